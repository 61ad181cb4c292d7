/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site.h: the Redis servers of the region as the pump is connected to them: home, which has the
 * topics, the beacon and the table of the others, and those (redis_shards) that partitions are at.
 *
 * Each comes back by itself, with growing pauses, and is checked before anything is written
 * (region.h). Partitions point at theirs; one that no partition is at any more goes with the next
 * tick. @thread pump
 */
#pragma once

#include <ev.h>

#include "common/base/list.h"
#include "common/io/redis.h"

#include "fanout-worker/script.h"

struct part;
struct pump;

struct site {
    struct list node; /* in pump.sites; home is the first */
    struct pump *pu;
    char *url;                 /* STORE_HOME, or one of redis_shards */
    struct redis_watch *watch; /* NULL: no Sentinels */
    struct redis_conn *redis;
    bool ready;
    bool deaf; /* none of its Sentinels answers */
    bool left; /* nobody is there any more */
    uint32_t reconnects;
    ev_timer reconnect;
};

void sites_start(struct pump *pu); /* home; the others follow from its table */
void sites_stop(struct pump *pu);
void sites_on_home(struct pump *pu); /* it is up again */
bool sites_are_ready(const struct pump *pu);
/* What moved away from it ends: called when it comes up, too. */
void site_tidy(struct site *at);
/* Once a second: the table, and what was left. */
void sites_tick(struct pump *pu);
/* The one of a partition, also of an older log. NULL: the table isn't known yet. */
struct site *site_of(struct pump *pu, const char *log, int32_t partition);

struct site *site_new(struct pump *pu, const char *url);
void site_free(struct site *at);
/* For late answers, too, of a server that was left since. */
void site_load(struct site *at);    /* the scripts, again */
void site_demoted(struct site *at); /* it said READONLY: another is the master */
/* argv: number of keys, keys, arguments */
void site_eval(struct site *at, enum script which, redis_reply_fn *fn, void *arg, int argc,
               const struct slice *argv);
