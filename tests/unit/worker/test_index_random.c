/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_index_random.c: two workers' indexes and the real scripts, at random: pipelines, lost
 * answers, crashes, zombies, failovers to a copy that is behind, wipes, trims, a full Redis,
 * records that retention takes, hands that meddle with the keys. After each step everything that
 * the last-position index says, to an edge that reads its two hashes now or one of them earlier, is
 * compared with the log. In the end it must reach the stream's end, and have proved something.
 *
 * FANFARE_TEST_SEED=n repeats one run, FANFARE_TEST_SEEDS=n makes n.
 */
#include "tests/unit/worker/index_workers.h"

#define STEPS 700
#define SEEDS 40

static uint64_t proofs;

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
    assert_non_null(redis_sync_cmd(
        redis, 4,
        (struct slice[]){SLICE("HSET"), slice_of(name), slice_of(field), slice_of(value)}));
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
