/* SPDX-License-Identifier: Apache-2.0 */
/*
 * truncate.pml: Kafka's log is cut back, or its topic made anew, and positions get other records.
 *
 * Stands for: fanout-worker/registry.c (who names a log), attach.c and history_facts.c (the overlap
 * check), partition.c (attach, recheck), topic.c and topic.lua (the topic hash), and for the edges
 * edge-node/feed_topic.c and sub.c (a new log is told).
 *
 * Kafka holds the positions 1 .. end. With CUT it is cut once, at any position (at 1: the topic was
 * made anew): what stood there and above is gone, and other records come in its place: lineage 2.
 * A record is its position and its lineage, and so is its fingerprint. Each worker knows a log's
 * number n and appends to that log's stream; the registry's first record of n + 1 makes the next
 * log. The client follows the topic hash: a greater n there is an answer "not recovered". With
 * the cut each worker's connection breaks (or it was asleep), which it sees before the first
 * record of lineage 2; it then throws away what isn't confirmed and attaches. A commit follows each
 * append.
 * A worker compares the highest position that anybody knows (the stream's last, its own highest, at
 * first the commit), and its anchor: what was confirmed when the check before was asked for.
 *
 * Says: when nothing moves any more, whatever Kafka holds was delivered as Kafka holds it, or the
 * client was told (loss); it has come to the end (stall); all workers name a log alike (names);
 * one cut makes at most one new log (needless).
 *
 * What can happen, each with how often: BACKS (Redis lost its newest entry), WIPES (all streams
 * are gone); TOGETHER: wiped in the moment of the cut; RESTART: and the worker is a new one, which
 * knows nothing of its own. ANEW: cut at 1. LATE_ALARM: the change is seen only after records of
 * lineage 2, as with a change of leader that breaks no connection (librdkafka 2.0 tells no leader
 * epoch of a record). NO_ALARM: nothing is ever seen of it. LAZY_COMMIT: the commit is behind (it
 * comes every 5 s). WORKERS: 1 or 2, both active.
 *
 * Rules to break: NO_CHECK (no overlap check), NO_COMMIT (the commit is not compared), NO_TOP (a
 * worker's own highest position isn't), LOWERS (the commit follows a stream that went back),
 * NO_ANCHOR (the regular check compares the newest record), CHECK_LATER (with a broken connection
 * the partition goes on, and a record confirmed by then is compared), FROM_COMMIT (begins where the
 * commit is, not where the stream is), OWN_NAME (a worker uses its own record, not the first).
 *
 * Limits: each ends in a loss. LATE_ALARM with a cut above the anchor: what was confirmed after the
 * anchor and before the cut is compared with nothing. LAZY_COMMIT with RESTART: nobody who knew how
 * far clients had got is left.
 *
 * Left out: partition counts, regions, retention (append.pml), segments of deep history (which
 * outlive a cut by a minute), fingerprints that are equal by chance, the 2 s for which an end below
 * the position must last (here a smaller end is true).
 * length: one model; its parts are of no use alone.
 */
#include "common.pml"

#ifndef N
#define N 3
#endif
#ifndef WORKERS
#define WORKERS 1
#endif

hidden byte loss, stall, names, needless; /* for CHECK */

/* Kafka: the topic, the registry, the group's commit */
byte end = 0, lineage = 1, cut = 0;
#ifdef CUT
bit quiet = 0; /* it won't be cut any more */
#else
bit quiet = 1;
#endif
#define RECORD(p) ((lineage == 2 && (p) >= cut) -> 2 : 1)
byte newest = 1;     /* the registry's newest n */
byte name_of[4] = 0; /* its first record's name: who proposed it, + 1 */
typedef commit_t {
    byte n, pos, fp;
};
commit_t commit;

/* Redis: a stream for each log, and the topic hash */
typedef stream {
    byte first;    /* its first entry goes on from here */
    byte last;     /* 0: there is none */
    byte e[N + 1]; /* the record's lineage; 0: none */
};
stream L[4];
byte hash_n = 1;
byte backs = BACKS, wipes = WIPES;

#define HOLDS  0
#define RUNS   1
#define ASKS   2 /* the registry, to its end */
#define WRITES 3
typedef worker {
    byte st, n;
    byte tail;   /* confirmed, and what the next append expects */
    byte next;   /* read up to here */
    byte tail_fp;
    byte record; /* read and not yet appended: its lineage */
    bit alarm;   /* its connection broke */
    bit fresh;   /* it never looked at the commit */
    bit asked;   /* a regular check is under way */
    byte top, top_fp;       /* the highest ever confirmed or found, in this log */
    byte anchor, anchor_fp; /* of this log for sure */
    byte mark, mark_fp;     /* the next anchor, if the check under way finds this one */
};
worker W[WORKERS];

/* the client */
#define TOLD 3
byte log = 1, c = 0;
byte have[N + 1] = 0;

hidden byte k, p, fp; /* scratch of one atomic step */

/* What a worker knows of a log. */
inline forget(w)
{
    W[w].top = 0;
    W[w].top_fp = 0;
    W[w].anchor = 0;
    W[w].anchor_fp = 0;
    W[w].mark = 0;
    W[w].mark_fp = 0;
    W[w].asked = 0
}

inline delete(n)
{
    k = 1;
    do
    :: k <= N -> L[n].e[k] = 0; k++
    :: else -> break
    od;
    L[n].last = 0;
    L[n].first = 0
}

proctype Kafka()
{
    do
    :: atomic { end < N -> end++ }
    :: atomic { lineage == 1 && !quiet && end > 0 ->
        cut = 1;
#ifndef ANEW
        do
        :: cut < end -> cut++
        :: break
        od;
#endif
        end = cut - 1;
        lineage = 2;
#ifdef TOGETHER
        delete(1);
#endif
#ifdef RESTART
        forget(0);
        W[0].fresh = 1;
        W[0].st = HOLDS;
        W[0].tail = 0;
        W[0].next = 0;
        W[0].record = 0;
#endif
#ifndef NO_ALARM
        W[0].alarm = 1;
        W[WORKERS - 1].alarm = 1;
#endif
        KEY(CUT); skip }
    :: atomic { !quiet -> quiet = 1 }
    od
}

/* ---- workers ---- */

#ifdef NO_CHECK
#define ANCHOR_DIFFERS(w) false
#else
#define ANCHOR_DIFFERS(w) \
    (W[w].anchor > 0 && W[w].anchor <= end && RECORD(W[w].anchor) != W[w].anchor_fp)
#endif

/* What was compared is of this log: the anchor. */
inline runs(w)
{
    W[w].anchor = p;
    W[w].anchor_fp = (p > 0 -> fp : 0);
    WHEN(p > 0, W[w].top = p; W[w].top_fp = fp);
    W[w].asked = 0;
    W[w].fresh = 0;
    W[w].st = RUNS
}

inline attach(w)
{
    W[w].record = 0;
    W[w].alarm = 0;
    W[w].tail = L[W[w].n].last;
    W[w].tail_fp = L[W[w].n].e[W[w].tail];
    W[w].next = W[w].tail;
    p = W[w].tail;
    fp = W[w].tail_fp;
#ifndef NO_TOP
    WHEN(W[w].top > p, p = W[w].top; fp = W[w].top_fp);
#endif
#ifndef NO_COMMIT
    WHEN((W[w].fresh || p == 0) && commit.n == W[w].n && commit.pos > p,
         p = commit.pos; fp = commit.fp);
#endif
#ifdef FROM_COMMIT
    WHEN(commit.n == W[w].n && commit.pos > W[w].next, W[w].next = commit.pos);
#endif
    if
    :: p > end -> KEY(CUT); W[w].st = ASKS /* the end lies before the position */
#ifndef NO_CHECK
    :: p > 0 && p <= end && (RECORD(p) != fp || ANCHOR_DIFFERS(w)) ->
        KEY(CUT); W[w].st = ASKS /* another record */
    :: p == 0 || (p <= end && RECORD(p) == fp && !ANCHOR_DIFFERS(w)) -> runs(w)
#else
    :: p <= end -> runs(w)
#endif
    fi
}

inline hold(w)
{
    WHEN(W[w].tail > W[w].top, W[w].top = W[w].tail; W[w].top_fp = W[w].tail_fp);
    W[w].st = HOLDS;
    W[w].tail = 0;
    W[w].next = 0;
    W[w].record = 0
}

inline use_newest(w)
{
    W[w].n = newest;
#ifdef OWN_NAME
    CHECK(names, name_of[newest] == w + 1);
#endif
    hold(w);
    forget(w);
    WHEN(newest > hash_n, hash_n = newest) /* topic.lua: never a smaller one */
}

#ifdef LOWERS
#define COMMITS(w) (commit.n != W[w].n || commit.pos != W[w].tail)
#else
#define COMMITS(w) (commit.n < W[w].n || (commit.n == W[w].n && commit.pos < W[w].tail))
#endif

inline note_commit(w)
{
    if
    :: COMMITS(w) ->
        commit.n = W[w].n;
        commit.pos = W[w].tail;
        commit.fp = W[w].tail_fp
    :: else
    fi
}

/* append.lua */
inline append(w)
{
    if
    :: L[W[w].n].last == W[w].tail ->
        WHEN(W[w].tail == 0, L[W[w].n].first = W[w].next);
        L[W[w].n].last = W[w].next + 1;
        L[W[w].n].e[W[w].next + 1] = W[w].record;
        W[w].next++;
        W[w].tail = W[w].next;
        W[w].tail_fp = W[w].record;
        W[w].record = 0;
        WHEN(W[w].anchor == 0, W[w].anchor = W[w].tail; W[w].anchor_fp = W[w].tail_fp);
#ifndef LAZY_COMMIT
        note_commit(w)
#endif
    :: else -> hold(w)
    fi
}

#if defined(CHECK_LATER) || defined(LATE_ALARM)
#define MAY_READ(w) true
#else
#define MAY_READ(w) (!W[w].alarm)
#endif

proctype Worker(byte w)
{
    do
    :: atomic { W[w].st == HOLDS -> attach(w) }
    :: atomic { W[w].st == RUNS && W[w].record == 0 && W[w].next < end && MAY_READ(w) ->
        W[w].record = RECORD(W[w].next + 1) }
    :: atomic { W[w].st == RUNS && W[w].record > 0 -> append(w) }
    :: atomic { W[w].st == RUNS && W[w].next > end -> hold(w) } /* out of range */
    :: atomic { W[w].st == RUNS && W[w].record == 0 && L[W[w].n].last != W[w].tail ->
        hold(w) } /* the idle check, or a refusal */
    :: atomic { W[w].st == RUNS && W[w].alarm ->
#ifdef CHECK_LATER
        W[w].alarm = 0;
        if
        :: W[w].tail > end -> hold(w)
        :: W[w].tail > 0 && W[w].tail <= end &&
           RECORD(W[w].tail) != L[W[w].n].e[W[w].tail] -> W[w].st = ASKS
        :: else
        fi }
#else
        hold(w) }
#endif
    /* part_check, part_on_check: again and again; here only when it shows or changes something */
    :: atomic { W[w].st == RUNS && !W[w].asked && W[w].anchor > 0 &&
                (W[w].tail > W[w].anchor || W[w].anchor > end || ANCHOR_DIFFERS(w)) ->
        W[w].asked = 1;
        W[w].mark = W[w].tail;
        W[w].mark_fp = W[w].tail_fp;
#ifdef NO_ANCHOR
        W[w].anchor = W[w].tail;
        W[w].anchor_fp = W[w].tail_fp
#endif
        }
    :: atomic { W[w].st == RUNS && W[w].asked ->
        W[w].asked = 0;
        if
        :: W[w].anchor > end -> KEY(NO_ALARM); hold(w)
        :: ANCHOR_DIFFERS(w) -> KEY(NO_ALARM); W[w].st = ASKS
        :: W[w].anchor <= end && !ANCHOR_DIFFERS(w) ->
            W[w].anchor = W[w].mark;
            W[w].anchor_fp = W[w].mark_fp
        fi }
#ifdef LAZY_COMMIT
    :: atomic { W[w].st == RUNS && W[w].tail > 0 && L[W[w].n].last == W[w].tail &&
                COMMITS(w) ->
        note_commit(w) }
#endif
    /* registry_register: reads to the end, writes, reads back; the first record of n counts */
    :: atomic { W[w].st == ASKS ->
        if
        :: newest > W[w].n -> use_newest(w)
        :: else -> W[w].st = WRITES
        fi }
    :: atomic { W[w].st == WRITES ->
        if
        :: name_of[W[w].n + 1] == 0 -> name_of[W[w].n + 1] = w + 1
        :: else -> KEY(WORKERS) /* another worker was first */
        fi;
        newest = (newest > W[w].n + 1 -> newest : W[w].n + 1);
        CHECK(needless, newest <= 2);
        use_newest(w) }
    /* registry_poll */
    :: atomic { newest > W[w].n && W[w].st != ASKS && W[w].st != WRITES -> use_newest(w) }
    od
}

/* ---- Redis ---- */

proctype Redis()
{
    do
    :: atomic { quiet && backs + wipes > 0 -> backs = 0; wipes = 0 }
#if BACKS > 0
    :: atomic { backs > 0 && L[1].last > L[1].first + 1 ->
        backs--;
        L[1].e[L[1].last] = 0;
        KEY(); L[1].last-- }
#endif
#if WIPES > 0
    :: atomic { wipes > 0 && L[1].last > 0 ->
        wipes--;
        delete(1);
        KEY(); delete(2) }
#endif
    od
}

/* ---- the client ---- */

inline tell(upto)
{
    k = 1;
    do
    :: k <= N -> have[k] = (k <= (upto) -> TOLD : 0); k++
    :: else -> break
    od;
    c = upto
}

proctype Client()
{
    do
    :: atomic { L[log].last > c ->
        if
        :: L[log].first > c ->
            k = c + 1;
            do
            :: k <= L[log].first -> have[k] = TOLD; k++
            :: else -> break
            od;
            c = L[log].first
        :: else
        fi;
        c++;
        do
        :: L[log].e[c] == 0 && c < L[log].last -> c++
        :: else -> break
        od;
        have[c] = L[log].e[c] }
    :: atomic { hash_n > log ->
        log = hash_n;
        if
        :: L[log].last > 0 -> tell(L[log].last)
        :: else -> tell(end)
        fi; KEY(CUT) } /* a new log, not recovered */
    od
}

active proctype Quiet()
{
    atomic {
        timeout ->
        CHECK(stall, c >= end && log == newest);
        k = 1;
        do
        :: k <= N && k <= end -> CHECK(loss, have[k] == TOLD || have[k] == RECORD(k)); k++
        :: k <= N && k > end -> CHECK(loss, have[k] == TOLD || have[k] == 0); k++
        :: else -> KEY(); break
        od
    }
}

init
{
    atomic {
        W[0].n = 1;
        W[0].fresh = 1;
        W[WORKERS - 1].n = 1;
        W[WORKERS - 1].fresh = 1;
        run Kafka();
        run Redis();
        run Worker(0);
#if WORKERS > 1
        run Worker(1);
#endif
        run Client()
    }
}
