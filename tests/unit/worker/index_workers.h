/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_workers.h: two workers of one partition, their indexes and what is on its way between them
 * and a real Redis, one call at a time; and the log that they read. Include it once in a program.
 * @thread main
 */
#pragma once

#include "tests/unit/worker/index_rig.h"

#define POSITIONS 600 /* of the log, at most */
#define CHANNELS  6
#define WORKERS   2
#define QUEUED    64

static const char *const names[CHANNELS] = {"a",    "quakes:japan", "since",
                                            "upto", "\xC3\xA9",     "z z"};

static uint64_t rng;

static uint32_t rnd(uint32_t n)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng >> 33) % n;
}

/* ---- the log ---- */

static int channel_at[POSITIONS + 1]; /* -1: Kafka has no record there */
static uint64_t kafka_end, kafka_low; /* records have positions in (kafka_low, kafka_end] */

static void produce(void)
{
    for (uint32_t n = 1 + rnd(4); n-- > 0 && kafka_end < POSITIONS;)
        channel_at[++kafka_end] = rnd(6) ? (int)rnd(CHANNELS) : -1;
    while (kafka_end && channel_at[kafka_end] < 0)
        channel_at[kafka_end] = (int)rnd(CHANNELS);
}

/* ---- a worker ---- */

enum kind {
    APPEND,
    ADD,
    READ
};

struct move {
    int channel;
    uint64_t pos;
};

struct call { /* on its way to Redis, or its answer on the way back */
    enum kind kind;
    uint64_t gen; /* the index's, or for an append the attachment's */
    uint64_t pos, prev;
    uint64_t base, upto;
    struct move moves[CHANNELS];
    size_t n;
    bool failed, moved;
};

struct worker {
    struct index ix;
    bool attached;
    uint64_t attachment, tail;
    uint64_t bound;
    struct call out[QUEUED], back[QUEUED];
    size_t out_n, back_n;
};

static struct worker workers[WORKERS];

static void push(struct call *v, size_t *n, const struct call *c)
{
    assert_true(*n < QUEUED);
    v[(*n)++] = *c;
}

static struct call take(struct call *v, size_t *n)
{
    struct call c = v[0];

    memmove(v, v + 1, --*n * sizeof(*v));
    return c;
}

static void on_add(void *arg, uint64_t gen, uint64_t base, uint64_t upto, const struct hmap *moves)
{
    struct call c = {.kind = ADD, .gen = gen, .base = base, .upto = upto};
    struct hmap_node *n = NULL;
    struct worker *w = arg;

    for (size_t i = 0; (n = hmap_walk(moves, &i, n));) {
        const struct index_move *m = container_of(n, struct index_move, node);
        int ch = 0;

        while (strncmp(names[ch], m->name, m->n) != 0 || names[ch][m->n])
            ch++;
        c.moves[c.n++] = (struct move){ch, m->pos};
    }
    push(w->out, &w->out_n, &c);
}

static void on_read(void *arg, uint64_t gen, uint64_t from)
{
    struct call c = {.kind = READ, .gen = gen, .base = from};
    struct worker *w = arg;

    push(w->out, &w->out_n, &c);
}

static const struct index_io io = {.add = on_add, .read = on_read};

static void detach(struct worker *w)
{
    w->attached = false;
    w->attachment++;
    index_reset(&w->ix);
}

static void crash(struct worker *w)
{
    detach(w);
    w->out_n = w->back_n = 0;
}

static void attach(struct worker *w)
{
    uint64_t chain = w->tail = stream_last();

    if (!chain) /* an absent stream begins somewhere near the log's end */
        chain = kafka_end > 20 ? kafka_end - rnd(20) : 0;
    if (chain < kafka_low)
        chain = kafka_low;
    w->attached = true;
    w->attachment++;
    index_begin(&w->ix, chain);
}

/* The next record of the log. */
static void carry(struct worker *w)
{
    struct call c = {.kind = APPEND, .gen = w->attachment, .prev = w->ix.at};

    for (c.pos = c.prev + 1; c.pos <= kafka_end && channel_at[c.pos] < 0;)
        c.pos++;
    if (c.pos > kafka_end)
        return;
    if (c.pos <= kafka_low) {
        detach(w);
        return;
    }
    index_note(&w->ix, slice_of(names[channel_at[c.pos]]), c.pos);
    c.base = w->tail;
    w->tail = c.pos;
    push(w->out, &w->out_n, &c);
}

/* ---- what Redis does ---- */

static void do_append(struct worker *w, struct call *c)
{
    struct entry e = entry_for(names[channel_at[c->pos]], c->prev, c->pos);

    (void)w;
    c->failed = redis_type(append(c->base, 5 + rnd(30), &e)) == REDIS_T_ERROR;
}

static void do_add(struct worker *w, struct call *c)
{
    struct slice args[3 + 2 * CHANNELS];
    char text[3 + CHANNELS][NUMBER];
    size_t n = 0;

    args[n++] = text_of(text[0], c->base);
    args[n++] = text_of(text[1], c->upto);
    args[n++] = text_of(text[2], w->bound);
    for (size_t i = 0; i < c->n; i++) {
        args[n++] = slice_of(names[c->moves[i].channel]);
        args[n++] = text_of(text[3 + i], c->moves[i].pos);
    }
    c->failed = redis_type(eval(SCRIPT_INDEX_ADD, n, args)) == REDIS_T_ERROR;
}

static void do_read(struct worker *w, struct call *c)
{
    char text[4][NUMBER];
    const struct redis_reply *r =
        eval(SCRIPT_INDEX_READ, 4,
             (struct slice[]){text_of(text[0], c->base), text_of(text[1], w->bound),
                              text_of(text[2], 1 + rnd(5)), text_of(text[3], 1 + rnd(60))});

    c->failed = redis_type(r) == REDIS_T_ERROR;
    if (c->failed)
        return;
    c->upto = (uint64_t)redis_int(redis_at(r, 0));
    c->moved = redis_int(redis_at(r, 1)) > 0;
}

static void execute(struct worker *w)
{
    static void (*const how[])(struct worker *, struct call *) = {
        [APPEND] = do_append, [ADD] = do_add, [READ] = do_read};
    struct call c;

    if (!w->out_n || w->back_n == QUEUED)
        return;
    c = take(w->out, &w->out_n);
    how[c.kind](w, &c);
    push(w->back, &w->back_n, &c);
}

static void answer(struct worker *w)
{
    struct call c;

    if (!w->back_n)
        return;
    c = take(w->back, &w->back_n);
    if (c.kind == APPEND) {
        if (c.failed && w->attached && c.gen == w->attachment)
            detach(w);
    } else if (c.failed) {
        index_failed(&w->ix, c.gen);
    } else if (c.kind == READ) {
        index_told(&w->ix, c.gen, c.upto, c.moved);
    }
}
