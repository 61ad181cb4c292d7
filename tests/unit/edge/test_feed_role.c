/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_feed_role.c: a Redis that is made a replica under connections that stay, as by a plain
 * REPLICAOF, whose address leads to the new master sooner or later: with a real one.
 */
#include "tests/unit/edge/feed_rig.h"

#define LOG "LogAAAA1"

static struct rig r;
static struct plog *p;

static void begin(void)
{
    p = rig_begin_in(&r, LOG)->plogs[0];
}

/* The next test's is the same one. */
static void end(void)
{
    rig_cmd(&r, "REPLICAOF NO ONE");
    rig_cmd(&r, "CONFIG SET replica-read-only yes");
    rig_end(&r);
}

static void demote(void)
{
    rig_cmd(&r, "REPLICAOF 127.0.0.1 1");
}

/* Rows that grow, as a worker writes them. */
static void beats(int first, int count)
{
    char value[80];

    for (int i = first; i < first + count; i++) {
        (void)snprintf(value, sizeof(value), "%d w1 live 1 400 5 0", i);
        assert_non_null(redis_sync_cmd(r.redis, 4,
                                       (struct slice[]){SLICE("HSET"), SLICE("ff:beacon"),
                                                        SLICE("p:" LOG ":0"), slice_of(value)}));
        rig_read_beacon(&r, 400);
    }
}

/* Runs until the connection is up that isn't the one with that id. */
static void wait_other(const struct link *l, int64_t id)
{
    rig_wait(&r, feed_link_is_up(l) && redis_client_id(l->conn) != id);
}

/* A replica shows its master's rows late, by nobody knows how much. */
static void what_a_replica_shows_has_no_age(void **state)
{
    uint64_t seen;

    (void)state;
    begin();
    beats(1, 4);
    assert_true(atomic_load(&p->end_ms));
    rig_cmd(&r, "CONFIG SET replica-read-only no"); /* in place of a master that sends them */
    demote();
    beats(5, 1);
    seen = atomic_load(&p->end_ms);
    beats(6, 3);
    assert_int_equal(atomic_load(&p->end_ms), seen);
    assert_int_equal(atomic_load(&p->kafka_end), 400);
    end();
}

static void who_became_a_replica_is_left(void **state)
{
    int64_t control, history;

    (void)state;
    begin();
    beats(1, 1);
    control = redis_client_id(r.feed->control.conn);
    history = redis_client_id(r.feed->home->history.conn);
    demote();
    wait_other(&r.feed->control, control);
    assert_int_equal(redis_client_id(r.feed->home->history.conn), history); /* it can be read */
    rig_cmd(&r, "REPLICAOF NO ONE");
    wait_other(&r.feed->home->history, history);
    assert_false(r.feed->demoted);
    end();
}

/* Of a server that only streams are at nobody asks for the role: a refused want tells. */
static void a_refused_want_tells_of_a_replica(void **state)
{
    char text[100];
    int64_t id;

    (void)state;
    begin();
    (void)snprintf(text, sizeof(text), "HSET ff:shards version 1 s:two redis://localhost:%d",
                   server.port);
    rig_cmd(&r, text);
    rig_wait(&r, p->store != r.feed->home); /* it is read each second */
    beats(1, 3);
    rig_wait(&r, feed_link_is_up(&p->store->history));
    id = redis_client_id(p->store->history.conn);
    demote();
    feed_deep_start(r.feed, p, 10);
    wait_other(&p->store->history, id);
    id = redis_client_id(p->store->history.conn);
    feed_deep_start(r.feed, p, 10);
    rig_run(&r, 300); /* not again at once: it leads there, as yet */
    assert_int_equal(redis_client_id(p->store->history.conn), id);
    end();
}

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(what_a_replica_shows_has_no_age),
        TEST(who_became_a_replica_is_left),
        TEST(a_refused_want_tells_of_a_replica),
    };

    return RUN_WITH_SERVER(list);
}
