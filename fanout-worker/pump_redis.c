/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pump_redis.c: the pump's connection to the region's Redis: made, checked, loaded with scripts,
 * and made again with growing pauses when it breaks.
 *
 * Each connection is checked before anything is written: a master, and noeviction. Owns pu->redis.
 * @thread pump
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/runtime/log.h"

#include "fanout-worker/pump_impl.h"

#define REPLY_MS  5000
#define PAUSE_MAX 0.3 /* after a failover nobody waits much longer than it took */
#define EVAL_ARGV 64

static void give_up(struct pump *pu, const char *why)
{
    double pause = 0.05 * (double)(1u << (pu->reconnects < 5 ? pu->reconnects : 5));

    pu->reconnects++;
    log_warn("redis_down", " why=%s", log_value(slice_of(why)));
    pu->redis_ready = false;
    redis_conn_free(pu->redis);
    pu->redis = NULL;
    pump_each_part(pu, part_detach);
    pump_status(pu);
    ev_timer_set(&pu->reconnect, pause < PAUSE_MAX ? pause : PAUSE_MAX, 0);
    ev_timer_start(pu->loop, &pu->reconnect);
}

static void on_down(struct redis_conn *c, int err, const char *why, void *arg)
{
    (void)c;
    (void)err;
    give_up(arg, why);
}

static void on_role(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct pump *pu = arg;

    (void)c;
    /* A server that forbids ROLE is believed; writes to a replica fail anyway. */
    if (reply && redis_type(reply) == REDIS_T_ARRAY &&
        !slice_eq(redis_str(redis_at(reply, 0)), SLICE("master")))
        give_up(pu, "it is a replica, not the master");
}

static void on_memory(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    static const char good[] = "maxmemory_policy:noeviction";
    struct slice s = reply ? redis_str(reply) : (struct slice){NULL, 0};
    struct pump *pu = arg;
    char where[REDIS_WHERE_MAX];

    if (!reply || pu->redis != c)
        return;
    if (redis_type(reply) == REDIS_T_STRING && !memmem(s.p, s.n, good, sizeof(good) - 1)) {
        log_error("redis_evicts", " mend=%s", log_value(SLICE("set maxmemory-policy noeviction")));
        give_up(pu, "its maxmemory-policy isn't noeviction");
        return;
    }
    pu->redis_ready = true;
    pu->reconnects = 0;
    sweep_clear(&pu->sweep); /* nobody could write meanwhile, or this is another server */
    pump_adopt_clear(pu);
    PUMP_METRIC(pu, redis_connects, 1);
    redis_url_where(pu->opts.conf->redis_url, where);
    log_info("redis_up", " at=%s", log_value(slice_of(where)));
    for (uint32_t i = 0; i < pu->topic_count; i++)
        topic_on_redis(&pu->topics[i]);
    pump_each_part(pu, part_attach);
    pump_status(pu);
}

void pump_redis_load(struct pump *pu)
{
    for (int i = 0; i < SCRIPT_COUNT; i++)
        redis_cmd(pu->redis, NULL, NULL, 3,
                  (struct slice[]){SLICE("SCRIPT"), SLICE("LOAD"), script_text((enum script)i)});
}

void pump_redis_check(struct pump *pu)
{
    redis_cmd_text(pu->redis, on_role, pu, "ROLE");
}

static void on_up(struct redis_conn *c, void *arg)
{
    struct pump *pu = arg;

    pump_redis_load(pu);
    pump_redis_check(pu);
    redis_cmd_text(c, on_memory, pu, "INFO memory");
}

static const struct redis_ops ops = {.on_up = on_up, .on_down = on_down};

void pump_redis_connect(struct pump *pu)
{
    struct redis_opts opts = {
        .url = pu->opts.conf->redis_url,
        .password = pu->opts.conf->redis_password,
        .connect_ms = 2000,
        .reply_ms = REPLY_MS,
        .name = "fanfare-worker",
    };

    pu->redis = redis_conn_new(pu->loop, &opts, &ops, pu);
    must(pu->redis); /* the URL was checked at start */
}

struct slice *pump_argv(struct pump *pu, size_t argc)
{
    if (pu->argv_cap < argc) {
        pu->argv_cap = argc * 2;
        pu->argv = mem_realloc(pu->argv, pu->argv_cap * sizeof(*pu->argv));
    }
    return pu->argv;
}

void pump_eval(struct pump *pu, enum script which, redis_reply_fn *fn, void *arg, int argc,
               const struct slice *argv)
{
    struct slice few[EVAL_ARGV];
    struct slice *all = few;

    if (argc + 2 > EVAL_ARGV)
        all = mem_alloc(((size_t)argc + 2) * sizeof(*all));
    all[0] = SLICE("EVALSHA");
    all[1] = (struct slice){pu->scripts.sha[which], SCRIPT_SHA_LEN};
    memcpy(all + 2, argv, (size_t)argc * sizeof(*argv));
    /* append's wait() says when an answer matters; an index's never does */
    if (which == SCRIPT_APPEND || which == SCRIPT_INDEX_ADD)
        redis_cmd_relaxed(pu->redis, fn, arg, argc + 2, all);
    else
        redis_cmd(pu->redis, fn, arg, argc + 2, all);
    if (all != few)
        free(all);
}
