/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resume.pml: clients subscribe with a cursor, pull what they missed, go live, fall behind, leave
 * and come again, while Kafka, the region's stream and the edge's partition log move under them.
 *
 * Stands for: edge-node/turn.c (the turn), hub.c (hub_resolve), hub_older.c, sub.c (begin_*, pull,
 * expire_behind, sub_lag, sub_gap), publish.c (a client that can't take more), feed_tail.c (the
 * tail, its holes), feed_history.c (pages of the stream), feed_deep.c (pages of what only Kafka
 * has), feed.c (a partition that nobody listens to is dropped), plog.c.
 *
 * One partition of one log. Kafka has the positions low .. N; the stream holds first .. last.
 * Channel s has the positions s+1, s+3, ...; subscription s is on channel s, so two channels share
 * a tail. The turn is cut where feed, another thread, may come between: advance and publish; each
 * waiter's try. Who WAITS is tried again when that could help (the tail's signal, or the tick).
 *
 * Says: nothing is lost between a client's cursor and what it gets (loss), nothing comes twice or
 * out of order (order); "not recovered" and gaps are told only if Kafka no longer has what follows
 * the cursor (gap), and no gap twice for one cursor (again); when nothing moves any more, every
 * client is live and has everything (stall). The cursor moves by a record or by an answer "not
 * recovered", which tells.
 *
 * What can happen, each with how often: TRIMS of the stream, BACKS (Redis lost its tail), WIPES
 * (rebuilt from a later start), LOWS (Kafka's retention), DROPS (nobody listened for long), CHOKES
 * (a client can't take more), LEAVES of a client. BEACON: what it says isn't known from the start.
 * The plog's oldest records and the page are evicted at any time.
 *
 * Rules to break: SHARED_SCAN (a page is scanned once a turn, for the channels that are on the tail
 * by then; a channel finds its tail when it is tried: so it once was), TWO_STEPS (drain, and go
 * live in a later turn), LIVE_FIRST (live before the history), LIVE_AHEAD (a client ahead of its
 * region goes live at once), LAG_LATE (who falls behind is believed to have this turn's records),
 * NO_EVICT_LOOK (the plog is read without a look at where it begins), NO_PAGE_LOOK (nor at where a
 * page begins), EMPTY_PAGE (an empty answer is taken for "nothing is missing"), NO_HOLE (feed
 * appends over a hole), PAGE_OVER (a page goes on behind one), NO_LOST (a hole that was met isn't
 * remembered), START_BACK (a dropped plog begins again behind where it was), REGION_ONLY (a hole is
 * told, Kafka isn't asked).
 *
 * Left out: several clients on a channel (the walk they share), bounds of a turn, sessions and what
 * is encoded, topics and logs (truncate.pml), sparse positions (append.pml), a second hole in a
 * stream (the older entries go, too), a cursor beyond Kafka's end, a client that has no cursor in a
 * rebuild, server-side subscriptions, memory order (plog.c's header has it).
 *
 * length: one turn with all that moves beside it; parts of it alone would prove nothing.
 */
#include "common.pml"

#ifndef N
#define N 4
#endif
#ifndef CLIENTS
#define CLIENTS 2
#endif

#define COUNT         2 /* entries of one XRANGE */
#define ROW           2 /* positions of one segment of deep history */
#define BIT(o)        (1 << (o))
#define OF(s, o)      ((o) % 2 != (s)) /* position o is of channel s */
#define IN(set, s, o) (OF(s, o) && ((set) & BIT(o)) != 0)
hidden byte loss, order, gap, again, stall; /* for CHECK */

byte low = 1; /* Kafka has low .. N */

/* Redis */
byte first = 1, last = 0; /* last < first: there is no stream */
byte h0 = 0, h1 = 0;      /* it lacks (h0, h1]: retention was faster than the worker; 0: no hole */
byte trims = TRIMS, backs = BACKS, wipes = WIPES;

/* feed: the plog covers (from, upto], and has the records of `recs`, a bit each; so has the page,
 * which was asked for from pasked on and, where it begins later, tells */
bit ready = 0;
byte from = 0, upto = 0, recs = 0;
byte pasked = 0, pfrom = 0, pupto = 0, precs = 0; /* pupto = 0: no page */
byte want = 0, deep = 0;  /* asked of the stream, of the workers: a position + 1 */
byte region_from = 0;     /* the stream begins behind it, as last seen */
#ifdef BEACON
byte seen_low = 0; /* the greatest low that the beacon or a segment told; 0: none */
#else
byte seen_low = 1;
#endif
#define KNOWN (seen_low > 0) /* Kafka's end, too: it is N */
byte drops = DROPS;

/* the shard: its tail */
bit tail_ready = 0;
byte cursor = 0;
byte lost = 0; /* where the last hole ends that somebody met */
bit turning = 0;
byte chokes = CHOKES;
byte scanned = 0; /* SHARED_SCAN: where the page of this turn ends */

#define AWAY    0
#define NEXT    1 /* in the hub's list for the next turn */
#define WAITS   2 /* tail->waiting */
#define BLOCKED 3 /* session->blocked: until the client can take more */
#define LIVE    4
#define NOW     5 /* of this turn's waiters */
typedef sub {
    byte st;
    bit on;       /* its channel found its tail */
    bit answered;
    bit recover;  /* it has a cursor */
    byte pos;     /* everything up to here was sent; while not live */
    byte c;       /* the client's cursor */
    bit told;     /* that what follows c is missing */
    bit drained;  /* TWO_STEPS */
    bit paged;    /* SHARED_SCAN: the page of this turn was scanned for its channel */
};
sub S[2];
byte leaves = LEAVES;

hidden byte o, e, k, set, upto2; /* scratch of one atomic step */

/* The client gets record o. */
inline deliver(s)
{
    CHECK(order, o > S[s].c);
    k = S[s].c + 1;
    do
    :: k < o -> CHECK(loss, !OF(s, k)); k++
    :: else -> break
    od;
    S[s].c = o;
    S[s].told = 0
}

/* ---- Redis ---- */

proctype Redis()
{
    do
    /* an append; where retention was faster than the worker, it goes on behind the gap */
    :: atomic { last < N && last < first ->
        WHEN(low > first, first = low);
        last = first }
    :: atomic { last < N && last >= first ->
        if
        :: low > last + 1 && h1 == 0 -> KEY(LOWS); h0 = last; h1 = low - 1
        :: low > last + 1 && h1 > 0 -> first = low; h0 = 0; h1 = 0
        :: else
        fi;
        last = (low > last + 1 -> low : last + 1) }
    :: atomic { low - 1 < LOWS -> low++ }
#if TRIMS > 0
    :: atomic { trims > 0 && first < last ->
        KEY(); trims--;
        select (k : first + 1 .. last);
        WHEN(h1 > 0 && k > h0, k = (k > h1 -> k : h1 + 1); h0 = 0; h1 = 0);
        first = k }
#endif
#if BACKS > 0
    :: atomic { backs > 0 && first < last ->
        KEY(); backs--;
        select (k : first .. last - 1);
        WHEN(h1 > 0 && k <= h1, k = (k < h0 -> k : h0); h0 = 0; h1 = 0);
        last = k }
#endif
#if WIPES > 0
    :: atomic { wipes > 0 && first <= last ->
        KEY(); wipes--;
        select (k : first .. N); /* the worker begins again at max(low, end - share) */
        first = k; last = k - 1; h0 = 0; h1 = 0 }
#endif
    :: atomic { trims + backs + wipes > 0 -> trims = 0; backs = 0; wipes = 0 }
    od
}

/* ---- feed ---- */

#define TAILED     (S[0].on || S[1].on)
#define PAGE_AT(p) (pasked <= (p) && (p) < pupto)
#define IS_STREAM  (first <= last)
#define CAN_DEEP   (KNOWN && !(region_from > 0 && seen_low > region_from)) /* feed_deep_can */

inline drop_page()
{
    pasked = 0; pfrom = 0; pupto = 0; precs = 0
}

/* feed_start_plog: at the stream's last entry; without a stream, at Kafka's end. */
inline start_plog()
{
    upto2 = upto;
    upto = (IS_STREAM -> last : N);
#ifndef START_BACK
    WHEN(upto < upto2, upto = upto2); /* Redis went back since */
#endif
    from = upto; recs = 0; ready = 1
}

/* An entry's prev is behind where p ends: at the stream's beginning, or in it. */
#define HOLE_AT(p) (p + 1 < first || (h1 > 0 && h0 <= p && p < h1))
#define GOES_ON(p) (p + 1 < first -> first - 1 : h1)

/* An XREAD's reply: some entries, in one publication. */
inline read_tail()
{
    do
    :: upto < last ->
        if
        :: HOLE_AT(upto) ->
            KEY(TRIMS); upto = GOES_ON(upto); /* a hole */
#ifndef NO_HOLE
            from = upto; recs = 0
#endif
        :: else
        fi;
        upto++; recs = recs | BIT(upto)
    :: (recs & BIT(upto)) != 0 -> break
    od
}

#ifdef PAGE_OVER
#define ENDS(p) false
#else
#define ENDS(p) (h1 > 0 && p == h0)
#endif

/* The stream's entries after pos, of one reply, up to a hole. */
inline read_page(pos)
{
    pasked = pos; precs = 0;
    pfrom = (HOLE_AT(pos) -> GOES_ON(pos) : pos);
    pupto = pfrom;
    do
    :: pupto < pfrom + COUNT && pupto < last && !ENDS(pupto) ->
        pupto++;
        WHEN(!(h0 < pupto && pupto <= h1), precs = precs | BIT(pupto))
    :: else -> break
    od
}

/* take_page: what the region lacks is asked of Kafka, if that may have it; else the page tells. */
inline take_page()
{
    if
    :: pfrom > pasked ->
        region_from = pfrom;
#ifndef REGION_ONLY
        if
        :: seen_low > pfrom -> KEY(LOWS) /* final */
        :: else -> WHEN(CAN_DEEP && deep == 0, deep = pasked + 1); drop_page()
        fi
#endif
    :: else
    fi
}

/* A segment, with what Kafka has now. A row begins at a multiple of ROW. */
inline read_segment(pos)
{
    drop_page();
    pasked = pos - pos % ROW;
    pupto = pasked + ROW;
    WHEN(pupto > N, pupto = N);
    pfrom = (low - 1 > pasked -> low - 1 : pasked);
    WHEN(pfrom > pupto, pfrom = pupto);
    o = pfrom + 1;
    do
    :: o <= pupto -> precs = precs | BIT(o); o++
    :: else -> break
    od;
    WHEN(low > seen_low, seen_low = low)
}

proctype Feed()
{
    do
    :: atomic { seen_low < low -> seen_low = low } /* the beacon */
    :: atomic { !ready && TAILED && (IS_STREAM || KNOWN) -> start_plog() }
    :: atomic { ready && IS_STREAM && upto < last -> read_tail() }
    /* eviction of the oldest segment, never of the newest; of the page */
    :: atomic { ready && from + 1 < upto -> from++; recs = recs & ~BIT(from) }
    :: atomic { pupto > 0 -> drop_page() }
    /* what a shard wants */
    :: atomic { ready && want > 0 && (PAGE_AT(want - 1) || deep > 0) -> want = 0 }
    :: atomic { ready && want > 0 && want - 1 < region_from && CAN_DEEP && deep == 0 ->
        deep = want; want = 0 }
    :: atomic { ready && want > 0 && !PAGE_AT(want - 1) && IS_STREAM && want <= last ->
        read_page(want - 1);
        take_page();
        want = 0 }
    :: atomic { ready && want > 0 && !PAGE_AT(want - 1) && (!IS_STREAM || want > last) ->
        region_from = 0;
#ifdef EMPTY_PAGE
        WHEN(want <= upto, pasked = want - 1; pfrom = pasked; pupto = upto; precs = 0);
#else
        WHEN(CAN_DEEP && deep == 0, KEY(WIPES); deep = want);
#endif
        want = 0 }
    :: atomic { deep > 0 ->
        WHEN(CAN_DEEP, KEY(TRIMS); read_segment(deep - 1));
        deep = 0 }
    /* nobody listened for long; somebody may come at this very moment (see tidy_plog) */
#if DROPS > 0
    :: atomic { ready && drops > 0 && !TAILED -> KEY(); drops-- }
        if
        :: atomic { ready -> ready = 0; from = upto; recs = 0; drop_page() }
        fi
#endif
    od
}

/* ---- the shard ---- */

#define LAG(s, p) S[s].pos = p; S[s].st = BLOCKED /* sub_lag */

inline unresolve(s)
{
    S[s].on = 0;
    WHEN(!TAILED, tail_ready = 0; cursor = 0) /* it goes with its last channel */
}

/* The live get what is in (a, b], as far as they can take it. */
inline publish(s, a, b)
{
    if
    :: S[s].st == LIVE ->
        e = a; /* where it is when it falls behind */
        o = a + 1;
        do
        :: o <= b && !IN(recs, s, o) -> o++
        :: o <= b && IN(recs, s, o) -> deliver(s); e = o; o++
        :: o <= b && IN(recs, s, o) && chokes > 0 ->
            chokes--;
#ifdef LAG_LATE
            e = b;
#endif
            KEY(CHOKES); LAG(s, e); /* a live client falls behind */
            break
        :: o > b -> break
        od
    :: else
    fi
}

/* turn.c: advance */
inline advance()
{
    if
    :: tail_ready && upto > cursor ->
        if
        :: cursor < from ->
            KEY(); /* a hole, or evicted */
            WHEN(S[0].st == LIVE, LAG(0, cursor));
            WHEN(S[1].st == LIVE, LAG(1, cursor))
        :: else -> publish(0, cursor, upto); publish(1, cursor, upto)
        fi;
        cursor = upto
    :: else
    fi
}

/* hub.c: hub_resolve */
inline resolve(s)
{
    S[s].on = 1;
    WHEN(!tail_ready && ready, cursor = upto; tail_ready = 1)
}

/* sub.c: send_all: channel s' records in (pos, b], of those in `set`. */
inline send_all(s, b)
{
    o = S[s].pos + 1;
    do
    :: o <= b && !IN(set, s, o) -> o++
    :: o <= b && IN(set, s, o) -> deliver(s); S[s].pos = o; o++
    :: o <= b && IN(set, s, o) && chokes > 0 ->
        chokes--;
        KEY(CHOKES); S[s].st = BLOCKED; /* a pulled client can't take more */
        break
    :: o > b -> break
    od;
    WHEN(S[s].st != BLOCKED && S[s].pos < b, S[s].pos = b)
}

/* hub_older.c: from_page: there is one, or the waiter waits for it. */
inline page(s)
{
    if
    :: PAGE_AT(S[s].pos) -> set = precs
    :: else ->
        WHEN(want == 0, want = S[s].pos + 1); /* the first ones stay; who is too late asks again */
        S[s].st = WAITS
    fi;
#ifdef SHARED_SCAN
    if
    :: S[s].st == NOW && scanned == 0 ->
        scanned = pupto;
        S[0].paged = S[0].on && S[0].st != LIVE;
        S[1].paged = S[1].on && S[1].st != LIVE
    :: S[s].st == NOW && scanned != 0 && scanned != pupto -> S[s].st = NEXT
    :: S[s].st == NOW && scanned == pupto && !S[s].paged -> set = 0
    :: else
    fi
#endif
}

/* Told: an answer "not recovered", from where pushes go on. */
inline begin_now(s)
{
    CHECK(gap, !S[s].recover || low > S[s].pos + 1);
    S[s].pos = cursor; S[s].c = cursor;
    S[s].answered = 1; S[s].told = 0;
    S[s].recover = 1 /* from now on */
}

/* Its place is gone: the client is told, and comes again with its cursor. */
inline tell_gap(s)
{
    CHECK(gap, low > S[s].pos + 1);
    CHECK(again, !S[s].told);
    S[s].told = 1;
#ifndef NO_LOST
    WHEN(lost < pfrom, lost = pfrom); /* before it is told: the next reply is final */
#endif
    S[s].st = AWAY;
    unresolve(s)
}

#ifdef NO_EVICT_LOOK
#define IN_PLOG(s) true
#else
#define IN_PLOG(s) (S[s].pos >= from)
#endif
#ifdef NO_PAGE_LOOK
#define IN_PAGE(s) true
#else
#define IN_PAGE(s) (S[s].pos >= pfrom)
#endif

/* sub.c: begin */
inline begin(s)
{
    if
    :: !S[s].recover -> begin_now(s)
    :: S[s].recover && S[s].pos > cursor && KNOWN ->
        KEY(); S[s].answered = 1 /* ahead of this region, not of Kafka */
    :: S[s].recover && S[s].pos > cursor && !KNOWN -> S[s].st = WAITS
    :: S[s].recover && S[s].pos <= cursor && S[s].pos < lost -> KEY(LOWS); begin_now(s)
    :: S[s].recover && S[s].pos <= cursor && S[s].pos >= lost && IN_PLOG(s) -> S[s].answered = 1
    :: S[s].recover && S[s].pos <= cursor && S[s].pos >= lost && !IN_PLOG(s) ->
        page(s);
        if
        :: S[s].st != NOW
        :: S[s].st == NOW && !IN_PAGE(s) -> KEY(LOWS); begin_now(s) /* not recovered */
        :: S[s].st == NOW && IN_PAGE(s) -> S[s].answered = 1
        fi
    fi
}

/* sub.c: pull */
inline pull(s)
{
    do
    :: S[s].st == NOW && S[s].pos < cursor && IN_PLOG(s) ->
        set = recs;
        send_all(s, cursor)
    :: S[s].st == NOW && S[s].pos < cursor && !IN_PLOG(s) ->
        page(s);
        if
        :: S[s].st != NOW
        :: S[s].st == NOW && !IN_PAGE(s) -> KEY(LOWS); tell_gap(s) /* a gap found later */
        :: S[s].st == NOW && IN_PAGE(s) -> send_all(s, pupto)
        fi
#ifdef TWO_STEPS
    :: S[s].st == NOW && S[s].pos == cursor && !S[s].drained -> S[s].drained = 1; S[s].st = NEXT
#endif
#ifdef LIVE_AHEAD
    :: S[s].st == NOW && S[s].pos >= cursor -> S[s].st = LIVE
#else
    :: S[s].st == NOW && S[s].pos == cursor -> S[s].st = LIVE
    :: S[s].st == NOW && S[s].pos > cursor -> KEY(); S[s].st = WAITS /* never rewound */
#endif
    :: S[s].st != NOW -> break
    od
}

/* sub.c: sub_try */
inline try(s)
{
    resolve(s);
    if
    :: !tail_ready -> S[s].st = WAITS
    :: tail_ready ->
#ifdef TWO_STEPS
        WHEN(S[s].drained, S[s].st = LIVE);
#endif
        WHEN(S[s].st == NOW && !S[s].answered, begin(s));
#ifdef LIVE_FIRST
        WHEN(S[s].st == NOW, S[s].st = LIVE);
#endif
        WHEN(S[s].st == NOW, pull(s))
    fi
}

/* sub.c: expire_behind: the reply's time is up. Errors aren't here: who gets one tries again. */
inline expire(s)
{
    if
    :: seen_low <= S[s].pos + 1 -> KEY(TRIMS); S[s].answered = 1 /* Kafka has it: it will come */
    :: else -> KEY(LOWS); begin_now(s)
    fi
}

/* Would it help to try it? If not, it may be tried again and again to no effect. */
#define HELPS(s)                                                                             \
    (S[s].st == WAITS &&                                                                     \
     ((!tail_ready && ready) ||                                                              \
      (tail_ready && S[s].pos > cursor && !S[s].answered && KNOWN) ||                        \
      (tail_ready && S[s].pos <= cursor &&                                                   \
       (IN_PLOG(s) || PAGE_AT(S[s].pos) || S[s].pos == cursor ||                             \
        (want == 0 && deep == 0 && ((IS_STREAM && S[s].pos < last) || CAN_DEEP))))))
#define EXPIRES(s) (S[s].st == WAITS && !S[s].answered && tail_ready && S[s].recover &&      \
                    S[s].pos <= cursor && KNOWN)
#define NEWS (tail_ready && upto > cursor)

proctype Shard()
{
    do
    :: atomic { !turning && (NEWS || S[0].st == NEXT || S[1].st == NEXT) ->
        turning = 1;
        advance();
        WHEN(S[0].st == NEXT, S[0].st = NOW);
        WHEN(S[1].st == NEXT, S[1].st = NOW) }
        do
        :: atomic { S[0].st == NOW -> try(0) }
        :: atomic { S[1].st == NOW -> try(1) }
        :: atomic { S[0].st != NOW && S[1].st != NOW ->
            scanned = 0; S[0].paged = 0; S[1].paged = 0;
            turning = 0;
            break }
        od
    :: atomic { !turning && HELPS(0) -> S[0].st = NEXT }
    :: atomic { !turning && HELPS(1) -> S[1].st = NEXT }
    :: atomic { !turning && EXPIRES(0) -> expire(0) }
    :: atomic { !turning && EXPIRES(1) -> expire(1) }
    od
}

/* ---- clients: their commands come between turns ---- */

proctype Client(byte s)
{
    do
    :: atomic { !turning && S[s].st == AWAY ->
        S[s].st = NEXT; S[s].answered = 0; S[s].drained = 0; S[s].pos = S[s].c }
    :: atomic { !turning && S[s].st == BLOCKED -> S[s].st = NEXT }
    :: atomic { !turning && leaves > 0 -> leaves = 0 }
    :: atomic { !turning && S[s].st != AWAY && leaves > 0 ->
        leaves--;
        S[s].st = AWAY;
        KEY(LEAVES); unresolve(s) }
    od
}

active proctype Quiet()
{
    atomic {
        timeout ->
        CHECK(stall, !turning && S[0].st == LIVE && S[CLIENTS - 1].st == LIVE && cursor == N);
        k = S[0].c + 1;
        do
        :: k <= N -> CHECK(loss, !OF(0, k)); k++
        :: else -> break
        od;
        k = (CLIENTS == 2 -> S[1].c + 1 : N + 1);
        do
        :: k <= N -> CHECK(loss, !OF(1, k)); k++
        :: else -> KEY(); break /* everybody is live at the end */
        od
    }
}

/* A client has seen something elsewhere, or begins. */
inline arrive(s)
{
    if
    :: S[s].recover = 0
    :: S[s].recover = 1
    fi;
    select (k : 0 .. N * S[s].recover);
    S[s].c = k
}

init
{
    atomic {
        select (k : 0 .. N);
        last = k;
        arrive(0);
#if CLIENTS > 1
        arrive(1);
        run Client(1);
#endif
        run Redis();
        run Feed();
        run Shard();
        run Client(0)
    }
}
