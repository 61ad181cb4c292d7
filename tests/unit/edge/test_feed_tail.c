/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_feed_tail.c: how much the real feed asks a real Redis for at a time.
 */
#include "tests/unit/edge/feed_rig.h"

#define LOG     "LogAAAA1"
#define RECORDS 1000
#define SIZE    1000

static struct rig r;

/* How many XREADs Redis has answered. */
static uint64_t reads(void)
{
    const struct redis_reply *reply =
        redis_sync_cmd(r.redis, 2, (struct slice[]){SLICE("INFO"), SLICE("commandstats")});
    static const char name[] = "cmdstat_xread:calls=";
    struct slice text = redis_str(reply);
    const char *at = memmem(text.p, text.n, name, sizeof(name) - 1);

    return at ? strtoull(at + sizeof(name) - 1, NULL, 10) : 0;
}

/* A partition that is alone on its connection may fill the whole reply: what comes in one turn goes
 * to a client in one write, so that a backlog costs an edge less a record than what trickles. */
static void a_backlog_comes_in_few_replies(void **state)
{
    char json[SIZE + 1];
    uint64_t before;
    struct plog *p;

    (void)state;
    memset(json, '1', SIZE);
    json[SIZE] = '\0';
    p = rig_begin_in(&r, LOG)->plogs[0];
    rig_record(&r, LOG, 1, "a", slice_of(json));
    feed_tail(r.feed, 0, p, true);
    rig_expect_upto(&r, p, 1);
    rig_record(&r, LOG, 2, "a", slice_of(json)); /* read, so that feed knows how large they are */
    rig_expect_upto(&r, p, 2);
    before = reads();
    for (uint64_t i = 3; i < 3 + RECORDS; i++)
        rig_record(&r, LOG, i, "a", slice_of(json));
    rig_expect_upto(&r, p, RECORDS + 2);
    assert_in_range(reads() - before, 1, 5);
    feed_tail(r.feed, 0, p, false);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(a_backlog_comes_in_few_replies),
    };

    return RUN_WITH_SERVER(list);
}
