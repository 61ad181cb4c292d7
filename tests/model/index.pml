/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.pml: the last-position index: channel -> its last position among the records in
 * (since, upto], so that a cursor of a quiet channel is known to have missed nothing.
 *
 * Stands for: fanout-worker/index.c, index_add.lua and index_read.lua, and common/base/index.c,
 * by which edges judge. Two workers append by compare-and-set, and note what moved in (from,
 * tail]: `from` is where their chain began when they attached. What is noted is sent to the add
 * script, which wants the index to end where its sender believes (base), and the stream to reach
 * tail; what was sent is no longer noted, and the answer comes later. Whoever was refused, or
 * attached again, forgets, and asks the read script: it takes entries of the stream that follow
 * the index's end, one by one here, or begins a new index at `from`. Where it then ends comes
 * later, too, and is believed if it lies in [from, tail]. With ROTATES an index that grew too big
 * is kept as the old one, and a new one begins at its end. Replication copies stream and index
 * together, now and then.
 *
 * Positions 1 .. N; channel 0 has the even ones, channel 1 the odd ones. A reader asks the master
 * or the copy about any cursor k: the index says that a channel has nothing in (k, upto] if since
 * <= k and the channel's last is at most k; or the old index and the new one together.
 *
 * Says: that is so in the log, retention's losses included (lie); with nothing going on, the
 * index reaches the stream's end (stall).
 *
 * What can happen, each with how often: FAILS failovers to the copy (a worker may not notice for
 * a while), WIPES, TRIMS of the oldest entry, LOWS records that retention takes before they were
 * read, ROTATES, ERRS calls for the index that fail though nothing is wrong. SHARE: an absent
 * stream begins anywhere up to there. LATE: a worker's answers come later; else at once.
 *
 * Rules to break: NO_UPTO (add without a look at where the index ends), NO_FORGET (what is noted
 * is kept when attaching again), NO_BREAK (it is taken for all since the stream's last position,
 * also where the chain goes on behind a gap), NO_FROM (any end of the index is believed that
 * isn't ahead of tail), BLIND_READ (the stream is read without its `prev`), NO_SINCE (readers
 * don't ask since when), NO_START (nor whether the index reaches the place where their log
 * begins), EARLY_ROTATE (a new index begins although the old one doesn't reach it), OLD_ALONE
 * (the old index is asked and not the new one). Without these two nothing false is said either,
 * as long as the others hold: NO_LAST (add without a look at the stream's last position),
 * KEEP_INDEX (the index outlives its stream).
 *
 * Left out: bytes, many channels, the pull that follows (resume.pml).
 *
 * length: a rule and what breaks it stand together.
 */
#include "common.pml"

#ifndef N
#define N 4
#endif

#define CH(o)           ((o) % 2)
hidden byte lie, stall; /* for CHECK */

#define NONE    15
#define REFUSED 1
typedef index_t {
    byte since, upto; /* upto = NONE: there is none */
    byte at[2];       /* the channels' last; 0: none */
};
typedef redis {
    byte last;     /* 0: there is no stream */
    byte e[N + 1]; /* the entry at a position: 0 none, else its prev + 1 */
    index_t x, old;
};
redis R[2]; /* the master, and the copy */
byte low = 0;
byte fails = FAILS, wipes = WIPES, trims = TRIMS, rotates = ROTATES;

typedef worker {
    byte runs, broken; /* broken: its Redis is another one now, and it will see that */
    byte tail, chain;  /* append.pml */
    byte from;         /* what is noted begins behind it */
    byte base;         /* where the index ends when all that was sent is done; NONE: not known */
    byte dirty[2];     /* noted */
    byte answer;       /* under way: 0 none, REFUSED, or where the index ends + 2 */
};
worker W[2];
byte errs = ERRS;

hidden byte k, o, b, ch, even, odd; /* scratch of one atomic step */

#define CLEAR(x)     \
    x.since = 0;     \
    x.upto = NONE;   \
    x.at[0] = 0;     \
    x.at[1] = 0
#define SET(x, y)        \
    x.since = y.since;   \
    x.upto = y.upto;     \
    x.at[0] = y.at[0];   \
    x.at[1] = y.at[1]

inline copy(d, s)
{
    R[d].last = R[s].last;
    k = 1;
    do
    :: k <= N -> R[d].e[k] = R[s].e[k]; k++
    :: else -> break
    od;
    SET(R[d].x, R[s].x);
    SET(R[d].old, R[s].old)
}

/* ---- readers ---- */

#ifdef NO_SINCE
#define SINCE(x, c) true
#else
#define SINCE(x, c) (R[0].x.since <= (c))
#endif
#define SAYS(x, c, ch) (R[0].x.upto != NONE && R[0].x.at[ch] <= (c))
#ifdef OLD_ALONE
#define BOTH(c, ch) SAYS(old, c, ch)
#elif defined(EARLY_ROTATE)
#define BOTH(c, ch) (SAYS(old, c, ch) && SAYS(x, c, ch))
#else
#define BOTH(c, ch) (SAYS(old, c, ch) && SAYS(x, c, ch) && R[0].old.upto >= R[0].x.since)
#endif
#ifdef NO_START
#define SAID R[0].last
#else
#define SAID R[0].x.upto
#endif

/* Whoever asks now, with any cursor, for any channel: what the index says is so. To ask the copy
 * is to ask the master at an earlier time. With NO_START a reader takes it for said up to where its
 * own log may begin: the stream's end. */
inline readers()
{
    k = 0;
    do
    :: k < N ->
        ch = 0;
        do
        :: ch < 2 && ((SINCE(x, k) && SAYS(x, k, ch)) || (SINCE(old, k) && BOTH(k, ch))) ->
            o = k + 1;
            do
            :: o <= SAID -> KEY(); CHECK(lie, CH(o) != ch); o++ /* something is said */
            :: else -> break
            od;
            ch++
        :: ch < 2 && !((SINCE(x, k) && SAYS(x, k, ch)) || (SINCE(old, k) && BOTH(k, ch))) -> ch++
        :: else -> break
        od;
        k++
    :: else -> break
    od
}

/* ---- workers ---- */

inline forget(w)
{
    W[w].base = NONE;
    W[w].dirty[0] = 0;
    W[w].dirty[1] = 0
}

inline attach(w)
{
    W[w].tail = R[0].last;
    W[w].chain = R[0].last;
    W[w].broken = 0;
    if
    :: R[0].last == 0 ->
        do
        :: W[w].chain < SHARE -> W[w].chain++
        :: break
        od
    :: else
    fi;
    WHEN(W[w].chain < low, W[w].chain = low);
#ifdef NO_FORGET
    if
    :: !W[w].runs ->
        W[w].from = W[w].chain;
        forget(w)
    :: else
    fi;
#else
    forget(w);
    W[w].answer = 0;
#ifdef NO_BREAK
    W[w].from = W[w].tail;
#else
    W[w].from = W[w].chain; /* not the tail: the chain may break here; NO_BREAK shows what if not */
#endif
#endif
    W[w].runs = 1
}

/* One record a batch is enough here. */
inline append(w)
{
    o = W[w].chain + 1;
    R[0].e[o] = W[w].chain + 1;
    R[0].last = o;
    W[w].tail = o;
    W[w].chain = o;
    W[w].dirty[CH(o)] = o
}

/* An index that has reached its bound. */
inline rotate()
{
#if ROTATES > 0
    if
    :: rotates > 0 ->
        rotates--;
        SET(R[0].old, R[0].x);
        R[0].x.since = R[0].x.upto;
#ifdef EARLY_ROTATE
        R[0].x.since = R[0].last;
        R[0].x.upto = R[0].last;
#endif
        R[0].x.at[0] = 0;
        KEY(); R[0].x.at[1] = 0
    :: true
    fi
#else
    skip
#endif
}

#ifdef NO_UPTO
#define REACHES(w) (R[0].x.upto != NONE)
#else
#define REACHES(w) (R[0].x.upto == W[w].base)
#endif

#ifdef NO_LAST
#define IS_THERE(w) true
#else
#define IS_THERE(w) (W[w].tail <= R[0].last)
#endif

/* index_add.lua; what was sent is no longer noted. */
inline add(w)
{
    if
    :: REACHES(w) && IS_THERE(w) ->
        k = 0;
        do
        :: k < 2 && W[w].dirty[k] > 0 -> R[0].x.at[k] = W[w].dirty[k]; k++
        :: k < 2 && W[w].dirty[k] == 0 -> k++
        :: else -> break
        od;
        R[0].x.upto = W[w].tail;
        KEY(); rotate()
    :: !(REACHES(w) && IS_THERE(w)) -> KEY(); W[w].answer = REFUSED
    :: errs > 0 -> errs--; KEY(ERRS); W[w].answer = REFUSED /* a full Redis */
    fi;
    W[w].dirty[0] = 0;
    W[w].dirty[1] = 0;
    W[w].base = W[w].tail;
    W[w].from = W[w].tail
}

/* index_read.lua: one entry is read, or a new index begins where the worker's notes do. */
inline read(w)
{
    b = R[0].x.upto;
    k = b + 1;
    if
    :: errs > 0 -> errs--; KEY(ERRS); W[w].answer = REFUSED
    :: R[0].last == 0 -> skip
    :: R[0].last > 0 && b != NONE && b >= W[w].from -> W[w].answer = b + 2
    :: R[0].last > 0 && (b == NONE || b < W[w].from) ->
        do
        :: b != NONE && k < R[0].last && R[0].e[k] == 0 -> k++
        :: else -> break
        od;
        if
        :: b != NONE && k > R[0].last -> W[w].answer = b + 2 /* there is no more, as yet */
#ifdef BLIND_READ
        :: b != NONE && k <= R[0].last ->
#else
        :: b != NONE && k <= R[0].last && R[0].e[k] - 1 <= b ->
#endif
            R[0].x.at[CH(k)] = k;
            R[0].x.upto = k;
            W[w].answer = k + 2;
            KEY(FAILS); rotate()
#ifdef BLIND_READ
        :: b == NONE ->
#else
        :: b == NONE || (k <= R[0].last && R[0].e[k] - 1 > b) ->
#endif
            R[0].x.since = W[w].from;
            R[0].x.upto = W[w].from;
            R[0].x.at[0] = 0;
            R[0].x.at[1] = 0;
            CLEAR(R[0].old);
            KEY(); W[w].answer = W[w].from + 2 /* a new index */
        fi
    fi
}

#ifdef LATE
#define ANSWER(w) skip
#else
#define ANSWER(w) told(w)
#endif

#ifdef NO_FROM
#define IN_NOTES(w, o) ((o) <= W[w].tail)
#else
#define IN_NOTES(w, o) (W[w].from <= (o) && (o) <= W[w].tail)
#endif

inline told(w)
{
    if
    :: W[w].answer == REFUSED ->
        forget(w);
        KEY(); W[w].from = W[w].tail
    :: W[w].answer > REFUSED && W[w].base == NONE && IN_NOTES(w, W[w].answer - 2) ->
        KEY(); W[w].base = W[w].answer - 2
    :: else
    fi;
    W[w].answer = 0
}

proctype Worker(byte w)
{
    do
    :: atomic { !W[w].runs || W[w].broken -> attach(w) }
    :: atomic { W[w].runs && W[w].chain < N && W[w].chain >= low && R[0].last == W[w].tail ->
        append(w);
        readers() }
    :: atomic { W[w].runs && W[w].chain < N && W[w].chain < low -> attach(w) }
    :: atomic { W[w].runs && R[0].last != W[w].tail ->
        KEY(); attach(w) } /* refused, or the idle check */
    :: atomic { W[w].runs && W[w].base != NONE && W[w].answer == 0 &&
                (W[w].base != W[w].tail || R[0].x.upto != W[w].base) -> /* or now and then */
        add(w);
        ANSWER(w);
        readers() }
    :: atomic { W[w].runs && W[w].base == NONE && W[w].answer == 0 && R[0].last > 0 ->
        read(w);
        ANSWER(w);
        readers() }
#ifdef LATE
    :: atomic { W[w].answer != 0 -> told(w) }
#endif
    od
}

/* ---- what happens ---- */

proctype Env()
{
    do
    :: atomic { fails > 0 -> copy(1, 0) } /* replication has come so far */
#if FAILS > 0
    :: atomic { fails > 0 ->
        fails--;
        W[0].broken = W[0].runs;
        W[1].broken = W[1].runs;
        KEY(); copy(0, 1) } /* a failover */
#endif
#if WIPES > 0
    :: atomic { wipes > 0 && R[0].last > 0 ->
        wipes--;
        R[0].last = 0;
        k = 1;
        do
        :: k <= N -> R[0].e[k] = 0; k++
        :: else -> break
        od;
#ifndef KEEP_INDEX
        CLEAR(R[0].x);
        CLEAR(R[0].old);
#endif
        KEY(); copy(1, 0) }
#endif
#if TRIMS > 0
    :: atomic { trims > 0 && R[0].last > 0 ->
        trims--;
        k = 1;
        do
        :: k < R[0].last && R[0].e[k] == 0 -> k++
        :: else -> break
        od;
        WHEN(k < R[0].last, KEY(); R[0].e[k] = 0) }
#endif
#if LOWS > 0
    :: atomic { low < LOWS -> low++ }
#endif
    :: atomic { fails + wipes + trims + rotates + errs > 0 ->
        errs = 0;
        fails = 0;
        wipes = 0;
        trims = 0;
        rotates = 0 }
    od
}

active proctype Quiet()
{
    atomic {
        timeout ->
        KEY(); CHECK(stall, R[0].last == N && R[0].x.upto == N)
    }
}

init
{
    atomic {
        CLEAR(R[0].x);
        CLEAR(R[0].old);
        CLEAR(R[1].x);
        CLEAR(R[1].old);
        W[0].base = NONE;
        W[1].base = NONE;
        run Worker(0);
        run Worker(1);
        run Env()
    }
}
