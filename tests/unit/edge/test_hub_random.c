/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hub_random.c: many clients of two shards that come, go, resume and choke at random over
 * partitions that are written, lag, are evicted, restarted, stopped, trimmed, lose records, and
 * whose logs end; hub_model.h knows what each must get. FANFARE_TEST_SEED=n repeats one run,
 * FANFARE_TEST_SEEDS=n makes n.
 */
#include "common/io/token.h"

#include "edge-node/edge_metric.h"
#include "tests/unit/edge/hub_actors.h"

#define STEPS 1200
#define SEEDS 16

static struct token_keys *keys;

/* ---- what happens to the partitions ---- */

/* Where nobody listens, feed stops; where somebody does, it starts at the stream's end. */
static void stop_or_start(struct fake_stream *s)
{
    bool tailed = atomic_load(&s->p->tailing[0]) != 0;

    if (!tailed && atomic_load(&s->p->state) == PLOG_READY)
        plog_stop(s->p, x.feed.turns);
    else if (tailed && atomic_load(&s->p->state) == PLOG_COLD)
        fake_restart(&x, s);
}

static void end_log(void)
{
    if (x.feed.log == FAKE_LOGS - 1 || rnd(20))
        return;
    fake_new_log(&x, rnd(2) ? 0 : rnd(1000));
    sum.logs++;
}

static void lag(void)
{
    for (uint32_t n = rnd(20); n-- > 0;)
        model_write(rnd(CHANNELS), rnd(100), false);
}

/* Its last-position index is brought forward, begins anew, or is gone. */
static void move_index(struct fake_stream *s)
{
    uint32_t what = rnd(40);

    if (what == 0)
        s->index_upto = 0;
    else if (what == 1)
        s->index_since = s->index_upto = s->last;
    else
        s->index_upto += rnd((uint32_t)(s->last - s->index_upto) + 1);
    if (s->index_upto < s->index_since)
        s->index_since = s->index_upto;
}

static void disturb(void)
{
    struct fake_stream *s = some_stream();

    switch (rnd(20)) {
    case 0:
        fake_trim_region(s, 20 + rnd(100));
        if (rnd(2))
            fake_trim(s, 60 + rnd(200));
        break;
    case 1:
        if (!rnd(40))
            fake_lose(&x, channel(rnd(PLAIN)));
        break;
    case 2:
        model_write(rnd(PLAIN), rnd(3000), false);
        if (!rnd(5))
            fake_restart(&x, s);
        break;
    case 3:
    case 4:
        plog_evict(s->p, x.feed.turns);
        break;
    case 5:
        plog_evict_page(s->p, x.feed.turns);
        break;
    case 6:
        lag();
        break;
    case 7:
    case 8:
        fake_catch_up(&x, s);
        break;
    case 9:
        stop_or_start(s);
        break;
    case 10:
        end_log();
        break;
    case 11:
        x.feed.hide = rnd(8);
        break;
    case 12:
    case 13:
        move_index(s);
        break;
    default:
        break;
    }
}

/* The edge's clients all leave; later they resume in one turn, on channels new to the edge, while
 * the pages of before are still there. */
static void storm(void)
{
    for (size_t i = 0; i < CLIENTS; i++)
        if (clients[i].conn.s)
            go(&clients[i]);
    fake_turn(&x);
    write_some();
    for (size_t i = 0; i < CLIENTS; i++) {
        come(&clients[i]);
        for (size_t ch = 0; ch < CHANNELS; ch++)
            if (rnd(3))
                subscribe(&clients[i], ch);
    }
}

/* Some time in which nothing is written; perhaps no page comes, and the beacon goes on. */
static void stand_still(void)
{
    bool beats = rnd(3);

    x.feed.deaf = rnd(2);
    if (rnd(2))
        storm();
    for (uint32_t n = rnd(25); n-- > 0;) {
        for (int part = 0; beats && part < FAKE_PARTS; part++) {
            struct plog *p = stream_at(x.feed.log, part)->p;
            atomic_store(&p->beacon_ms, x.now_ms);
            atomic_store(&p->end_ms, x.now_ms);
        }
        fake_pass(&x, 100);
    }
    x.feed.deaf = false;
}

/* ---- a run ---- */

static void turn(void)
{
    fake_turn(&x);
    if (x.now_ms % 100 == 0)
        for (int i = 0; i < FAKE_SHARDS; i++)
            hub_tick(&x.hubs[i], x.now_ms);
    for (size_t i = 0; i < CLIENTS; i++) /* what came in this turn is judged by what is now */
        if (clients[i].conn.s)
            read_all(&clients[i]);
}

static void step(void)
{
    if (rnd(200) == 0)
        storm();
    if (rnd(300) == 0)
        stand_still();
    write_some();
    client_step(&clients[rnd(CLIENTS)]);
    disturb();
    if (rnd(3) == 0)
        fake_serve(&x);
    if (rnd(3))
        turn();
}

static void settle(void)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        if (!clients[i].conn.s || clients[i].conn.close_code)
            continue;
        clients[i].conn.room = SIZE_MAX;
        fake_drain(&clients[i].conn, SIZE_MAX);
    }
    for (int part = 0; part < FAKE_PARTS; part++) {
        struct fake_stream *s = &x.feed.streams[x.feed.log * FAKE_PARTS + part];
        if (atomic_load(&s->p->state) == PLOG_COLD)
            stop_or_start(s);
        fake_catch_up(&x, s);
        fake_signal(&x.feed, s->p);
    }
    for (size_t ch = 0; ch < CHANNELS; ch++) /* a record behind any lost one: it tells */
        model_write(ch, 1, true);
    fake_pass(&x, 100);
    for (size_t i = 0; i < CLIENTS; i++)
        if (clients[i].conn.s && clients[i].conn.close_code)
            was_closed(&clients[i]);
        else if (clients[i].conn.s)
            read_all(&clients[i]);
}

static void check_sub(const struct model_sub *m, size_t ch)
{
    assert_true(m->asked == m->active); /* else it hangs */
    if (!m->active)
        return;
    assert_int_equal(m->log, x.feed.log);
    if (ch < PLAIN)
        assert_null(next_rec(stream_of(m->log, ch), ch, m->cursor));
    for (int part = 0; ch >= PLAIN && part < FAKE_PARTS; part++) {
        uint64_t from = m->seen[part] ? m->seen[part] : m->ceiling[part];
        assert_null(next_rec(stream_at(m->log, part), ch, from));
    }
}

/* Everybody reads all; then each that is subscribed must have everything. */
static void check_end(void)
{
    x.feed.hide = 0;
    for (int round = 0; round < 4; round++)
        settle();
    fake_pass(&x, 2200); /* what isn't known by now is answered with error 100 */
    settle();
    for (size_t i = 0; i < CLIENTS; i++) {
        if (!clients[i].conn.s)
            continue;
        assert_false(clients[i].history.asked);
        for (size_t ch = 0; ch < CHANNELS; ch++)
            check_sub(&clients[i].subs[ch], ch);
    }
}

/* Each run has a configuration of its own. */
static void configure(uint64_t seed)
{
    struct namespace_conf *c = plain_conf();

    for (int i = 0; i < FAKE_SHARDS; i++) {
        x.hubs[i].keys = keys;
        x.hubs[i].scan_steps = seed % 3 ? 5 + (uint32_t)seed % 20 : SCAN_STEPS;
    }
    x.conf.write_max = seed % 2 ? 4096 : 20000;
    x.conf.resume_rate = seed % 4 ? 0 : 40;
    c->slow_clients = (int)(seed / 2 % 3);
    c->slow_time = 300;
    c->history = seed % 5 ? NS_HISTORY_ON : NS_HISTORY_LATEST;
}

static void run(uint64_t seed)
{
    print_message("seed %llu\n", (unsigned long long)seed);
    rng = seed;
    memset(cursors, 0, sizeof(cursors));
    memset(clients, 0, sizeof(clients));
    fake_init(&x, 0);
    x.now_ms += 100 - x.now_ms % 100; /* ticks come at the same steps in each run of a seed */
    configure(seed);
    for (size_t i = 0; i < STEPS; i++)
        step();
    check_end();
    for (size_t i = 0; i < CLIENTS; i++)
        if (clients[i].conn.s)
            go(&clients[i]);
    fake_done(&x);
}

/* The runs must have met what they are for. */
static void check_totals(void)
{
    print_message(
        "%zu publications and %zu live-only, %zu recovered, %zu told, %zu unsubscribed, %zu "
        "closed, %zu errors, %zu logs, %zu histories, %zu refused\n",
        sum.pubs, sum.any_pubs, sum.recovered, sum.told, sum.unsubscribed, sum.closed, sum.errors,
        sum.logs, sum.histories, sum.refused);
    assert_true(sum.pubs > 10000 && sum.any_pubs > 1000 && sum.chokes > 100);
    assert_true(sum.recovered > 100 && sum.told > 10 && sum.gaps > 10 && sum.unsubscribed > 10);
    assert_true(sum.closed > 10 && sum.logs > 5 && sum.histories > 100);
    assert_true(sum.errors < sum.recovered / 4 && sum.refused < sum.histories / 2);
    print_message("%lld proofs of the index, %lld misses\n", (long long)edge_metrics.index_proofs,
                  (long long)edge_metrics.index_misses);
    assert_true(edge_metrics.index_proofs > 100 && edge_metrics.index_misses > 100);
    print_message("%zu skips, %zu closed as slow, %zu replaced, %zu put off\n", sum.skips, sum.slow,
                  sum.replaced, sum.put_off);
    assert_true(sum.skips > 50 && sum.slow > 3 && sum.replaced > 10 && sum.put_off > 10);
}

static void test_random(void **state)
{
    const char *one = getenv("FANFARE_TEST_SEED");
    const char *many = getenv("FANFARE_TEST_SEEDS");
    uint64_t seeds = many ? strtoull(many, NULL, 10) : SEEDS;
    char why[128];

    (void)state;
    memset(&sum, 0, sizeof(sum));
    keys = token_keys_new(TOKEN_SECRET, NULL, why, sizeof(why));
    assert_non_null(keys);
    for (uint64_t seed = one ? strtoull(one, NULL, 10) : 1; seed <= seeds || one; seed++) {
        run(seed);
        if (one)
            break;
    }
    if (!one)
        check_totals();
    token_keys_free(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
