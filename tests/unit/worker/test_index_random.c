/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_index_random.c: two workers' indexes and the real scripts, at random: pipelines, lost answers,
 * crashes, zombies, failovers to a copy that is behind, wipes, trims, a full Redis, records that
 * retention takes, hands that meddle with the keys. After each step everything that the last-position
 * index says, to an edge that reads its two hashes now or one of them earlier, is compared with the
 * log. In the end it must reach the stream's end, and prove something.
 *
 * FANFARE_TEST_SEED=n repeats one run, FANFARE_TEST_SEEDS=n makes n.
 */
#include "tests/unit/worker/index_rig.h"

#define STEPS    700
#define SEEDS    40
#define POSITION 600 /* of the log, at most */
#define CHANNELS 6
#define WORKERS  2
#define QUEUED   64

static const char *const names[CHANNELS] = {"a", "quakes:japan", "since", "upto", "\xC3\xA9", "z z"};

static uint64_t rng;
static uint64_t proofs;

static uint32_t rnd(uint32_t n)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng >> 33) % n;
}

/* ---- the log ---- */

static int channel_at[POSITION + 1]; /* -1: Kafka has no record there */
static uint64_t kafka_end, kafka_low; /* records have positions in (kafka_low, kafka_end] */

static void produce(void)
{
    for (uint32_t n = 1 + rnd(4); n-- > 0 && kafka_end < POSITION;)
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
    const struct redis_reply *r = eval(
        SCRIPT_INDEX_READ, 4,
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

/* ---- what happens ---- */

static const char *const all_keys[] = {stream_key, side_key, index_key, old_key};

static void copy_key(const char *name, const char *from, const char *to)
{
    char text[KEY_MAX * 2 + 64];

    (void)snprintf(text, sizeof(text), "SELECT %s", to);
    cmd(text);
    (void)snprintf(text, sizeof(text), "DEL %s", name);
    cmd(text);
    (void)snprintf(text, sizeof(text), "SELECT %s", from);
    cmd(text);
    (void)snprintf(text, sizeof(text), "COPY %s %s DB %s", name, name, to);
    cmd(text);
    cmd("SELECT 0");
}

/* Replication has come so far, or the copy takes the master's place. */
static void copy_all(const char *from, const char *to)
{
    for (size_t i = 0; i < ARRAY_LEN(all_keys); i++)
        copy_key(all_keys[i], from, to);
}

static void fail_over(void)
{
    copy_all("1", "0");
    for (size_t i = 0; i < WORKERS; i++)
        if (rnd(4))
            crash(&workers[i]); /* else its connection never notices */
}

static void del(const char *name)
{
    char text[KEY_MAX + 8];

    (void)snprintf(text, sizeof(text), "DEL %s", name);
    cmd(text);
}

static void set(const char *name, const char *field, const char *value)
{
    assert_non_null(redis_sync_cmd(redis, 4,
                                   (struct slice[]){SLICE("HSET"), slice_of(name), slice_of(field),
                                                    slice_of(value)}));
}

/* Somebody's hands: keys go, come back from an old copy, or hold what nobody can read. What is
 * believable and false is left out: there is nothing to tell it by. */
static void meddle(void)
{
    switch (rnd(10)) {
    case 0:
        cmd("FLUSHDB");
        break;
    case 1:
    case 2:
    case 3:
        del(all_keys[rnd(4)]);
        break;
    case 4:
        del(stream_key);
        del(side_key);
        break;
    case 5:
    case 6:
        copy_key(all_keys[2 + rnd(2)], "1", "0"); /* an index without its stream */
        break;
    case 7:
        set(rnd(2) ? index_key : old_key, "", rnd(2) ? "garbage" : "9 8 7");
        break;
    case 8:
        set(rnd(2) ? index_key : old_key, names[rnd(CHANNELS)], "garbage");
        break;
    default:
        del(index_key);
        assert_non_null(redis_sync_cmd(
            redis, 3, (struct slice[]){SLICE("SET"), slice_of(index_key), SLICE("a string")}));
    }
}

static void retention(void)
{
    kafka_low += rnd((uint32_t)(kafka_end - kafka_low) / 2 + 1);
}

static void fill_redis(void)
{
    cmd("CONFIG SET maxmemory 1");
    for (uint32_t n = rnd(6); n-- > 0;)
        execute(&workers[rnd(WORKERS)]);
    cmd("CONFIG SET maxmemory 0");
}

static void disturb(void)
{
    switch (rnd(40)) {
    case 0:
    case 1:
        crash(&workers[rnd(WORKERS)]);
        break;
    case 2:
        detach(&workers[rnd(WORKERS)]); /* what it sent is still on its way */
        break;
    case 3:
    case 4:
        copy_all("0", "1");
        break;
    case 5:
        fail_over();
        break;
    case 6:
        if (!rnd(2))
            meddle();
        break;
    case 7:
        if (!rnd(4))
            retention();
        break;
    case 8:
        fill_redis();
        break;
    default:
        break;
    }
}

/* ---- what is said ---- */

/* The log has no record of the channel in (pos, upto], whether Kafka still has them or not. */
static void expect_none(int channel, uint64_t pos, uint64_t upto)
{
    for (uint64_t i = pos + 1; i <= upto && i <= kafka_end; i++)
        if (channel_at[i] == channel)
            fail_msg("%s: said that (%llu, %llu] has none, but there is %llu", names[channel],
                     (unsigned long long)pos, (unsigned long long)upto, (unsigned long long)i);
}

static void judge_one(int channel, const struct index_says *now, const struct index_says *old)
{
    for (uint64_t pos = 0; pos <= kafka_end; pos++) {
        uint64_t upto = index_proves(now, old, pos);

        assert_true(upto >= pos);
        if (upto == pos)
            continue;
        proofs++;
        expect_none(channel, pos, upto);
    }
}

static struct index_says now[CHANNELS], old[CHANNELS];

/* An edge reads the new hash, and later the old one; or sees what it read before. */
static void judge(void)
{
    struct index_says first[CHANNELS], second[CHANNELS];

    memcpy(first, now, sizeof(now));
    memcpy(second, old, sizeof(old));
    read_says(index_key, CHANNELS, names, now);
    read_says(old_key, CHANNELS, names, old);
    for (int ch = 0; ch < CHANNELS; ch++) {
        judge_one(ch, &now[ch], &old[ch]);
        judge_one(ch, &first[ch], &old[ch]);
        judge_one(ch, &now[ch], &second[ch]);
    }
}

/* ---- a run ---- */

static void work(struct worker *w)
{
    if (!w->attached) {
        if (rnd(4) == 0)
            attach(w);
        return;
    }
    for (uint32_t n = rnd(4); n-- > 0 && w->attached && w->out_n < QUEUED / 2;)
        carry(w);
    if (rnd(3) == 0 && w->attached && w->out_n < QUEUED / 2)
        index_flush(&w->ix);
    if (rnd(50) == 0) /* the idle check */
        w->attached = w->attached && stream_last() == w->tail;
}

static void step(void)
{
    struct worker *w = &workers[rnd(WORKERS)];

    if (rnd(3) == 0)
        produce();
    work(w);
    for (uint32_t n = rnd(4); n-- > 0;)
        execute(&workers[rnd(WORKERS)]);
    for (uint32_t n = rnd(4); n-- > 0;)
        answer(&workers[rnd(WORKERS)]);
    disturb();
    for (size_t i = 0; i < WORKERS; i++)
        index_assert(&workers[i].ix);
    judge();
}

/* Nothing happens any more but the work. */
static void settle(void)
{
    crash(&workers[1]);
    for (int round = 0; round < 400 && now[0].upto < kafka_end; round++) {
        if (!workers[0].attached || stream_last() != workers[0].tail)
            attach(&workers[0]);
        carry(&workers[0]);
        index_flush(&workers[0].ix);
        while (workers[0].out_n || workers[0].back_n) {
            execute(&workers[0]);
            answer(&workers[0]);
        }
        judge();
    }
    assert_int_equal(stream_last(), kafka_end);
    assert_true(now[0].is_there);
    assert_int_equal(now[0].upto, kafka_end);
}

static void run(uint64_t seed)
{
    print_message("seed %llu\n", (unsigned long long)seed);
    rng = seed;
    kafka_end = kafka_low = 0;
    memset(now, 0, sizeof(now));
    memset(old, 0, sizeof(old));
    cmd("FLUSHALL");
    for (size_t i = 0; i < WORKERS; i++) {
        static const uint64_t bounds[] = {150, 300, 1000000};

        workers[i] = (struct worker){.bound = bounds[rnd(ARRAY_LEN(bounds))]};
        index_init(&workers[i].ix, &io, &workers[i]);
        index_reset(&workers[i].ix);
    }
    for (int i = 0; i < STEPS; i++)
        step();
    settle();
    for (size_t i = 0; i < WORKERS; i++)
        index_done(&workers[i].ix);
}

static void what_is_said_is_so(void **state)
{
    const char *one = getenv("FANFARE_TEST_SEED"), *many = getenv("FANFARE_TEST_SEEDS");
    uint64_t n = many ? strtoull(many, NULL, 10) : SEEDS;

    (void)state;
    rig_open();
    if (one)
        run(strtoull(one, NULL, 10));
    for (uint64_t seed = 1; !one && seed <= n; seed++)
        run(seed);
    print_message("%llu proofs\n", (unsigned long long)proofs);
    assert_true(proofs > 1000);
    redis_sync_close(redis);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(what_is_said_is_so),
    };

    return RUN_WITH_SERVER(list);
}
