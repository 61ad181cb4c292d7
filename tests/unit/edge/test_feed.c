/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_feed.c: what feed and shards owe each other over a log's end, at feed's own end, and in the
 * moment in which a shard begins to listen: with a real Redis, and the shards' turns done by hand.
 */
#include "tests/unit/edge/feed_rig.h"

static struct rig r;

/* A shard that had looked the topic up just before its log was superseded begins to tail a plog that
 * nobody else does: it must stay until the shard lets go. */
static void a_log_ends_while_a_shard_begins_to_tail_it(void **state)
{
    struct plog *p;
    uint32_t id;

    (void)state;
    rig_begin(&r, true);
    rig_topic(&r, 1, "LogAAAA1");
    turns_begin(r.turns, 0);
    p = rig_view(&r, "LogAAAA1")->plogs[0];
    id = p->id;
    rig_topic(&r, 2, "LogAAAA2");
    rig_view(&r, "LogAAAA2");
    rig_run(&r, 250); /* ticks: nobody tails it */
    feed_tail(r.feed, 0, p, true);
    turns_end(r.turns, 0);
    rig_run(&r, 250);
    assert_ptr_equal(feed_plog(r.feed, id), p);
    assert_int_equal(atomic_load(&p->state), PLOG_GONE);
    feed_tail(r.feed, 0, p, false);
    rig_run(&r, 250);
    assert_null(feed_plog(r.feed, id));
    rig_end(&r);
}

/* At the end the shards close their clients when feed has ended already. */
static void shards_let_go_after_feeds_end(void **state)
{
    struct plog *p;

    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        rig_begin(&r, shared);
        rig_topic(&r, 1, "LogAAAA1");
        p = rig_view(&r, "LogAAAA1")->plogs[0];
        feed_tail(r.feed, 0, p, true);
        rig_run(&r, 250);
        feed_stop(r.feed);
        assert_null(r.feed->loop); /* it may be freed: nobody may ring there */
        feed_tail(r.feed, 0, p, false);
        rig_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(a_log_ends_while_a_shard_begins_to_tail_it),
        TEST(shards_let_go_after_feeds_end),
    };

    return RUN_WITH_SERVER(list);
}
