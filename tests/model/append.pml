/* SPDX-License-Identifier: Apache-2.0 */
/*
 * append.pml: two workers write one partition's stream, whatever happens to them and to Redis.
 *
 * Stands for: fanout-worker/append.c (pipelined batches), partition.c (attach, idle check),
 * attach.c (where to go on), append.lua and stream.lua (compare-and-set; both keys or none), and
 * for the edges the check of `prev` in edge-node/feed_tail.c and plog_page.c.
 *
 * Kafka holds the positions 1 .. N; CTRL is a control record, which nobody sees. Both workers are
 * always active: which one is the zombie of a rebalance is left open. Redis is two instances; what
 * the master wrote comes to the other one later, entry by entry. The client reads any instance at
 * any time, as if it went from edge to edge.
 *
 * Says: whatever a client gets, every record between its cursor and that one was delivered or
 * told (loss); when nothing moves any more, it has everything (stall); and where nothing was
 * trimmed, wiped or taken by retention, no gap is told (gap). With LIVE: it gets everything in
 * finite time, if each process goes on (a cycle otherwise).
 *
 * What can happen, each with how often: ERRS refusals that pass (OOM, MISCONF, ...), FAILS
 * failovers that lose the tail (the workers' connections break, or a proxy hides it; with SPLIT the
 * old master goes on until it is healed), WIPES (both copies empty), TRIMS of the oldest entry,
 * KEYS losses of one key of the two, LOWS records that retention takes, read or not. SHARE: an
 * absent stream is begun at any position up to it.
 *
 * Rules to break: NO_CAS (plain XADD), NO_PREV, NO_IDLE, NO_REREAD (a refused worker believes the
 * answer but goes on with what it has), DEAF (it tries the same again), BLIND_SIDE (the side hash
 * is believed without a look at its stream).
 *
 * Left out: content (a position is its record; truncate.pml has content), bytes and full batches
 * (any batch may follow another one), time, the edge (resume.pml).
 */
#include "common.pml"

#ifndef N
#define N 4
#endif
#ifndef CTRL
#define CTRL 3
#endif
#ifndef PIPE
#define PIPE 2
#endif

#define BATCH      2
#define VISIBLE(o) ((o) != CTRL)
hidden byte loss, stall, gap; /* for CHECK */

typedef redis {
    byte last;     /* the stream's last id, which trimming leaves; 0: there is no stream */
    byte side;     /* the side hash's; 0: there is none */
    byte e[N + 1]; /* the entry at a position: 0 none, else its prev + 1 */
};
redis R[2];
byte master = 0;
bit split = 0; /* the other one is a master, too */

byte errs = ERRS, fails = FAILS, wipes = WIPES, trims = TRIMS, keys = KEYS;
byte low = 0; /* Kafka has the positions above */

typedef worker {
    byte at;    /* the instance it is connected to */
    bit runs;   /* is attached */
    bit doubt;  /* was refused, or can't read on: attaches when its pipeline is answered */
    bit dead;   /* its connection is gone, and what was in the pipeline */
    byte tail;  /* what the next batch expects */
    byte chain; /* what the next entry continues from */
#ifdef DEAF
    byte acked;
#endif
};
worker W[2];
chan pipe[2] = [PIPE] of { byte, byte, byte }; /* expected, chain, last: all visible between */

byte c = 0; /* the client's cursor: it got everything up to it, or was told */

hidden byte k, x, r; /* scratch of one atomic step */
/* stream.lua: r = the last position of the stream on instance i. Both keys or none. */
inline last_position(i)
{
#ifdef BLIND_SIDE
    r = R[i].side;
#else
    if
    :: R[i].last == 0 -> R[i].side = 0
    :: R[i].last > 0 && R[i].side == 0 -> R[i].side = R[i].last
    :: else
    fi;
    r = R[i].side;
#endif
}

/* append.lua, from its first XADD on; with NO_CAS a refused id is taken for a duplicate. */
inline write(i, from, upto)
{
    k = from + 1;
    x = from;
    do
    :: k <= upto && VISIBLE(k) && k > R[i].last ->
        R[i].e[k] = x + 1;
        R[i].last = k;
        x = k;
        k++
    :: k <= upto && VISIBLE(k) && k <= R[i].last -> x = k; k++
    :: k <= upto && !VISIBLE(k) -> k++
    :: else -> break
    od;
    R[i].side = R[i].last
}

inline copy(d, s)
{
    R[d].last = R[s].last;
    R[d].side = R[s].side;
    k = 1;
    do
    :: k <= N -> R[d].e[k] = R[s].e[k]; k++
    :: else -> break
    od
}

inline delete(i)
{
    R[i].last = 0;
    k = 1;
    do
    :: k <= N -> R[i].e[k] = 0; k++
    :: else -> break
    od
}

/* attach.c. Asking Redis and asking Kafka are one step here: what happens between the two is as if
 * it happened just after, and compare-and-set refuses what it makes wrong. */
inline attach(w)
{
    do
    :: pipe[w]?_,_,_
    :: empty(pipe[w]) -> break
    od;
    if
    :: W[w].at = master
    :: split -> W[w].at = 1 - master
    fi;
    last_position(W[w].at);
    W[w].tail = r;
    W[w].chain = r;
    if
    :: r == 0 ->
        do /* begins at max(low, end - share), and the end is anywhere */
        :: W[w].chain < SHARE -> W[w].chain++
        :: break
        od
    :: else
    fi;
    WHEN(W[w].chain < low, W[w].chain = low);
#ifdef DEAF
    W[w].acked = r;
#endif
    W[w].runs = 1;
    W[w].doubt = 0;
    W[w].dead = 0
}

/* The next batch leaves: one visible record, or more. */
inline send(w)
{
    x = W[w].chain;
    k = 0;
    do
    :: x < N && k < BATCH ->
        x++;
        WHEN(VISIBLE(x), k++)
    :: k > 0 && VISIBLE(x) -> break
    od;
    pipe[w]!W[w].tail,W[w].chain,x;
    W[w].tail = x;
    W[w].chain = x
}

proctype Worker(byte w)
{
    byte expected, from, upto;
    do
    :: atomic { !W[w].runs -> attach(w) }
#ifdef NO_REREAD
    :: atomic { W[w].doubt && !W[w].dead && empty(pipe[w]) ->
        last_position(W[w].at);
        W[w].tail = r;
        W[w].doubt = 0 }
    :: atomic { W[w].dead -> attach(w) }
#elif defined(DEAF)
    :: atomic { W[w].doubt && !W[w].dead && empty(pipe[w]) ->
        W[w].tail = W[w].acked;
        W[w].chain = W[w].acked;
        W[w].doubt = 0 }
    :: atomic { W[w].dead -> W[w].at = master; W[w].dead = 0; W[w].doubt = 1 }
#else
    :: atomic { W[w].runs && W[w].doubt && !W[w].dead && empty(pipe[w]) ->
        KEY(); attach(w) } /* a refused worker attaches again */
    :: atomic { W[w].dead ->
        KEY(FAILS); attach(w) } /* so does one whose connection broke */
#endif
#ifndef NO_IDLE
    :: atomic { W[w].runs && !W[w].doubt && !W[w].dead && empty(pipe[w]) &&
                R[W[w].at].last != W[w].tail ->
        KEY(); W[w].doubt = 1 } /* the idle check finds another last position */
#endif
    :: atomic { W[w].runs && !W[w].doubt && !W[w].dead && nfull(pipe[w]) &&
                W[w].chain < N && W[w].chain >= low ->
        send(w) }
    :: atomic { W[w].runs && !W[w].doubt && !W[w].dead && W[w].chain < low ->
        KEY(LOWS); W[w].doubt = 1 } /* out of range: retention took what comes next */
    /* The server takes the head of the pipeline; the answer comes at once. */
    :: atomic { nempty(pipe[w]) && !W[w].dead ->
        pipe[w]?expected,from,upto;
        if
        :: errs > 0 -> KEY(ERRS); errs--; W[w].doubt = 1 /* a refusal that passes */
        :: true ->
#ifdef NO_CAS
            write(W[w].at, from, upto)
#else
            last_position(W[w].at);
            if
            :: r == expected ->
                write(W[w].at, from, upto);
#ifdef DEAF
                W[w].acked = upto
#endif
            :: else -> KEY(); W[w].doubt = 1 /* refused, another one was here */
            fi
#endif
        fi;
        expected = 0;
        from = 0;
        upto = 0 }
    od
}

/* The other instance's master is gone: so are the connections to it. */
inline cut(i)
{
    k = 0;
    do
    :: k < 2 && W[k].runs && W[k].at == i -> W[k].dead = 1; k++
    :: k < 2 && !(W[k].runs && W[k].at == i) -> k++
    :: else -> break
    od
}

proctype Env()
{
    do
    /* replication, one entry at a time */
    :: atomic { !split && R[1 - master].last < R[master].last ->
        k = R[1 - master].last + 1;
        do
        :: k < R[master].last && R[master].e[k] == 0 -> k++
        :: else -> break
        od;
        R[1 - master].e[k] = R[master].e[k];
        R[1 - master].last = k;
        R[1 - master].side = k }
#if FAILS > 0
    :: atomic { fails > 0 && !split ->
        fails--;
        master = 1 - master;
#ifdef SPLIT
        KEY(); split = 1 } /* the old master goes on by itself */
    :: atomic { split ->
        split = 0;
        cut(1 - master);
        KEY(); copy(1 - master, master) } /* it is healed */
#else
        if
        :: cut(1 - master)
        :: KEY(); W[0].at = master; W[1].at = master /* a proxy hides it from the workers */
        fi;
        KEY(); copy(1 - master, master) } /* a replica is the master; a new replica copies it */
#endif
#endif
#if WIPES > 0
    :: atomic { wipes > 0 && !split && R[master].last > 0 ->
        wipes--;
        delete(0);
        delete(1);
        R[0].side = 0;
        KEY(); R[1].side = 0 }
#endif
#if TRIMS > 0
    :: atomic { trims > 0 && R[master].last > 0 ->
        trims--;
        k = 1;
        do
        :: k < R[master].last && R[master].e[k] == 0 -> k++
        :: else -> break
        od;
        if
        :: k < R[master].last ->
            R[master].e[k] = 0;
            WHEN(!split && k < R[1 - master].last, KEY(); R[1 - master].e[k] = 0) /* everywhere */
        :: else
        fi }
#endif
#if KEYS > 0
    :: atomic { keys > 0 && !split && R[master].last > 0 ->
        keys--;
        if
        :: KEY(); delete(0); delete(1) /* only the side hash is left */
        :: KEY(); R[0].side = 0; R[1].side = 0 /* only the stream is left */
        fi }
#endif
#if LOWS > 0
    :: atomic { low < LOWS -> low++ }
#endif
    /* nothing more happens: what is counted above is used up */
    :: atomic { !split && errs + fails + wipes + trims + keys > 0 ->
        errs = 0;
        fails = 0;
        wipes = 0;
        trims = 0;
        keys = 0 }
    od
}

#define MORE(i) (c < R[i].last)

proctype Client()
{
    byte i, o;
    do
    :: atomic { c < N && (MORE(0) || MORE(1)) ->
        if
        :: MORE(0) -> i = 0
        :: MORE(1) -> i = 1
        fi;
        o = c + 1;
        do
        :: R[i].e[o] == 0 && o < R[i].last -> o++
        :: else -> break
        od;
#ifndef NO_PREV
        if
        :: R[i].e[o] - 1 > c ->
            KEY(TRIMS); c = R[i].e[o] - 1; /* a gap is told */
#ifdef NOGAP
            CHECK(gap, false)
#endif
        :: else
        fi;
#endif
        do
        :: c + 1 < o -> CHECK(loss, !VISIBLE(c + 1)); c++
        :: else -> break
        od;
        c = o;
        i = 0;
        o = 0 }
    :: c >= N -> break
    od
}

#ifdef LIVE
ltl live { <> (c == N) }
#else
active proctype Quiet()
{
    timeout -> KEY(); CHECK(stall, c == N && R[master].last == N)
}
#endif

init
{
    atomic {
        run Worker(0);
        run Worker(1);
        run Env();
        run Client()
    }
}
