/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index.pml: the last-position index: channel -> its last position among the records in
 * (since, upto], so that a cursor of a quiet channel is known to have missed nothing.
 *
 * Stands for: the rules that the index beside a stream is built by. (The workers write none yet:
 * the model came first.) Two workers append by compare-and-set, each with the channels that it
 * appended and hasn't flushed (dirty, from `base` on). A flush adds them as (base, tail] only if
 * the index ends at base and the stream reaches tail. Whoever was refused, attached again or saw
 * the chain break forgets what is dirty; it reads (upto, last] of the stream again, or begins an
 * index with since = upto = last. With ROTATES an index that grew too big is begun anew and the
 * old one is kept for a round. Replication copies stream and index together, now and then.
 *
 * Positions 1 .. N; channel 0 has the even ones, channel 1 the odd ones. A reader asks the master
 * or the copy about any cursor k: the index says that a channel has nothing in (k, upto] if
 * since <= k and the channel's last is at most k; or the old index and the new one together.
 *
 * Says: that is so in the log, retention's losses included (lie); with nothing going on, the index
 * reaches the stream's end (stall).
 *
 * What can happen, each with how often: FAILS failovers to the copy, WIPES, TRIMS of the oldest
 * entry, LOWS records that retention takes before they were read, ROTATES. SHARE: an absent stream
 * begins anywhere up to there.
 *
 * Rules to break: NO_UPTO (flush without a look at where the index ends), NO_FORGET (dirty is kept
 * over a refusal), NO_BREAK (and over a break of the chain), BLIND_READ (the stream is read again
 * without its `prev`), NO_SINCE (readers don't ask since when), NO_START (nor whether the index
 * reaches the place where their log begins), EARLY_ROTATE (a new index begins although the old one
 * doesn't reach it), OLD_ALONE (the old index is asked and not the new one). Without these two
 * nothing false is said either, as long as the others hold: NO_LAST (flush without a look at the
 * stream's last position), KEEP_INDEX (the index outlives its stream).
 *
 * Left out: bytes, many channels, the pull that follows (resume.pml).
 */
#include "common.pml"

#ifndef N
#define N 4
#endif

#define CH(o)           ((o) % 2)
hidden byte lie, stall; /* for CHECK */

#define NONE 15
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
    byte runs;
    byte tail, chain; /* append.pml */
    byte base;        /* what the index must reach for the next flush; NONE: not known */
    byte dirty[2];
};
worker W[2];

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
    if
    :: R[0].last == 0 ->
        do
        :: W[w].chain < SHARE -> W[w].chain++
        :: break
        od
    :: else
    fi;
    WHEN(W[w].chain < low, W[w].chain = low);
    W[w].runs = 1;
#ifdef NO_FORGET
    WHEN(W[w].base == NONE && R[0].last == 0 && W[w].chain == 0, W[w].base = 0)
#else
    forget(w)
#endif
}

/* One record a batch is enough here. */
inline append(w)
{
    o = W[w].chain + 1;
    R[0].e[o] = W[w].chain + 1;
    R[0].last = o;
#ifndef NO_BREAK
    WHEN(W[w].chain != W[w].tail, KEY(LOWS); forget(w)); /* the chain breaks */
#endif
    W[w].tail = o;
    W[w].chain = o;
    WHEN(W[w].base != NONE, W[w].dirty[CH(o)] = o)
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

/* The flush script. */
inline flush(w)
{
    if
    :: REACHES(w) && IS_THERE(w) ->
        k = 0;
        do
        :: k < 2 && W[w].dirty[k] > 0 -> R[0].x.at[k] = W[w].dirty[k]; W[w].dirty[k] = 0; k++
        :: k < 2 && W[w].dirty[k] == 0 -> k++
        :: else -> break
        od;
        R[0].x.upto = W[w].tail;
        KEY(); W[w].base = W[w].tail /* flushed */
    :: else -> KEY(); forget(w) /* refused: the index or the stream is elsewhere */
    fi
}

/* The stream is read from the index's end on; what is found is dirty. Else a new index begins. */
inline again(w)
{
    b = R[0].x.upto;
    k = b;
    even = 0;
    odd = 0;
    if
    :: b != NONE && b <= W[w].tail ->
        do
        :: k < W[w].tail && R[0].e[k + 1] == 0 -> k++
#ifdef BLIND_READ
        :: k < W[w].tail && R[0].e[k + 1] != 0 ->
#else
        :: k < W[w].tail && R[0].e[k + 1] != 0 && R[0].e[k + 1] - 1 > b -> b = NONE; break
        :: k < W[w].tail && R[0].e[k + 1] != 0 && R[0].e[k + 1] - 1 <= b ->
#endif
            k++;
            b = k;
            if
            :: CH(k) == 0 -> even = k
            :: CH(k) == 1 -> odd = k
            fi
        :: k >= W[w].tail -> break
        od
    :: else -> b = NONE
    fi;
    if
    :: b == NONE || b < W[w].tail -> /* the flush script with "begin": only if last is tail */
        R[0].x.since = W[w].tail;
        R[0].x.upto = W[w].tail;
        R[0].x.at[0] = 0;
        R[0].x.at[1] = 0;
        CLEAR(R[0].old);
        forget(w);
        KEY(); W[w].base = W[w].tail /* a new index */
    :: else ->
        W[w].base = R[0].x.upto;
        W[w].dirty[0] = even;
        KEY(); W[w].dirty[1] = odd /* read again */
    fi
}

#ifdef EARLY_ROTATE
#define MAY_ROTATE(w) true
#else
#define MAY_ROTATE(w) (W[w].base == W[w].tail && R[0].x.upto == W[w].tail)
#endif

inline rotate(w)
{
    rotates--;
    SET(R[0].old, R[0].x);
    R[0].x.since = W[w].tail;
    R[0].x.upto = W[w].tail;
    R[0].x.at[0] = 0;
    R[0].x.at[1] = 0;
    forget(w);
    W[w].base = W[w].tail
}

proctype Worker(byte w)
{
    do
    :: atomic { !W[w].runs -> attach(w) }
    :: atomic { W[w].runs && W[w].chain < N && W[w].chain >= low && R[0].last == W[w].tail ->
        append(w);
        readers() }
    :: atomic { W[w].runs && W[w].chain < N && W[w].chain < low -> attach(w) }
    :: atomic { W[w].runs && R[0].last != W[w].tail ->
        KEY(); attach(w) } /* refused, or the idle check */
    :: atomic { W[w].runs && W[w].base != NONE &&
                (W[w].base != W[w].tail || R[0].x.upto != W[w].base) ->
        flush(w);
        readers() }
    :: atomic { W[w].runs && W[w].base == NONE && W[w].tail > 0 && R[0].last == W[w].tail ->
        again(w);
        readers() }
#if ROTATES > 0
    :: atomic { W[w].runs && rotates > 0 && W[w].base != NONE && R[0].last == W[w].tail &&
                R[0].x.upto != NONE && MAY_ROTATE(w) ->
        rotate(w);
        KEY(); readers() }
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
    :: atomic { fails + wipes + trims + rotates > 0 ->
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
