/* SPDX-License-Identifier: Apache-2.0 */
/*
 * site_table.c: which server each partition is at: the table in home Redis (common/base/stores.h),
 * read every second, and written if this worker's own is newer.
 *
 * Nobody assigns places: who has the same table finds the same. When it changes, a partition that
 * moves is attached anew where it is now: its stream isn't there, so it is rebuilt as a lost one,
 * with the same ids. What it leaves behind expires. @thread pump
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/decimal.h"
#include "common/base/hash.h"
#include "common/base/keys.h"
#include "common/runtime/log.h"

#include "fanout-worker/pump_impl.h"

#define LEFT_TTL   "60000" /* edges that haven't read the table yet still read there */
#define STAY_BEATS 40      /* 10 s: what is in use outlives what anybody does to it as left */

static struct site *site_get(struct pump *pu, const char *url)
{
    struct site *at;

    list_for_each(at, &pu->sites, node)
        if (strcmp(at->url, url) == 0)
            return at;
    return site_new(pu, url);
}

struct site *site_of(struct pump *pu, const char *log, int32_t partition)
{
    return pu->placed ? site_get(pu, stores_url(&pu->stores, log, partition)) : NULL;
}

/* ---- moves ---- */

static void expire(struct site *at, const char *log, int32_t p)
{
    char key[KEY_MAX];
    size_t (*const names[])(char *, const char *, int32_t) = {key_stream, key_side, key_index,
                                                              key_index_old};

    for (size_t i = 0; at->ready && i < ARRAY_LEN(names); i++)
        redis_cmd(
            at->redis, NULL, NULL, 4,
            (struct slice[]){
                SLICE("PEXPIRE"), {key, names[i](key, log, p)}, SLICE(LEFT_TTL), SLICE("NX")});
}

/* All of them, not only our own: whoever wrote there may be gone. */
void site_tidy(struct site *at)
{
    struct pump *pu = at->pu;

    for (uint32_t i = 0; i < pu->topic_count && at->ready; i++) {
        const struct log_record *log = &pu->topics[i].log;

        for (int32_t p = 0; p < log->partitions; p++)
            if (strcmp(stores_url(&pu->was, log->log, p), at->url) == 0 &&
                strcmp(stores_url(&pu->stores, log->log, p), at->url) != 0)
                expire(at, log->log, p);
    }
}

static size_t move(struct pump *pu, struct topic *t)
{
    size_t moved = 0;

    for (int32_t p = 0; p < t->log.partitions || p < t->part_count; p++) {
        struct site *to = site_of(pu, t->log.log, p);

        if (strcmp(stores_url(&pu->was, t->log.log, p), to->url) == 0)
            continue;
        moved += p < t->log.partitions; /* of a log not known yet: none of them may point there */
        if (p >= t->part_count || !t->parts[p])
            continue;
        part_detach(t->parts[p]);
        t->parts[p]->at = to;
        t->parts[p]->returns = true;
        part_attach(t->parts[p]);
    }
    return moved;
}

/* A server that nobody is at goes when what was sent there is on its way. */
static void mark_left(struct pump *pu)
{
    struct site *at;

    list_for_each(at, &pu->sites, node) {
        at->left = at != pu->home;
        for (size_t i = 0; i < pu->stores.count; i++)
            at->left = at->left && strcmp(pu->stores.v[i].url, at->url) != 0;
    }
}

static void place_first(struct part *p)
{
    p->at = site_of(p->pu, p->t->log.log, p->id.partition);
    part_attach(p);
}

static void place_all(struct pump *pu)
{
    pu->placed = true;
    pump_each_part(pu, place_first);
    for (uint32_t i = 0; i < pu->topic_count; i++)
        topic_on_redis(&pu->topics[i]); /* older logs are found by the table, too */
}

static void take_table(struct pump *pu, struct stores *take_now, struct stores *take_was)
{
    struct stores *was = pu->placed ? &pu->stores : take_was;
    struct site *at;
    size_t moved = 0;

    stores_done(&pu->was);
    pu->was = *was;
    pu->stores = *take_now;
    *take_now = (struct stores){0};
    if (was == take_was)
        *take_was = (struct stores){0};
    if (!pu->placed)
        place_all(pu);
    if (pu->stores.version == 0)
        return;
    for (uint32_t i = 0; i < pu->topic_count; i++)
        moved += move(pu, &pu->topics[i]);
    list_for_each(at, &pu->sites, node)
        site_tidy(at);
    mark_left(pu);
    metric_set(&pu->opts.metrics->shards, (int64_t)pu->stores.count);
    log_info("shards", " version=%llu count=%zu moved=%zu", (unsigned long long)pu->stores.version,
             pu->stores.count, moved);
}

/* ---- the table ---- */

/* It is read each second: what is wrong is said when it changes. */
static bool is_news(struct pump *pu, uint32_t before, struct slice wrong)
{
    pu->wrong = crc32c(0, wrong.p, wrong.n) | 1;
    return pu->wrong != before;
}

static bool is_usable(struct pump *pu, uint32_t wrong_before, const struct stores *st)
{
    char why[160], wrong[STORE_NAME_MAX + 24 + 160];

    for (size_t i = 0; i < st->count; i++) {
        const char *url = st->v[i].url, *name = st->v[i].name;

        if (strcmp(url, STORE_HOME) == 0 || redis_url_check(url, why, sizeof(why)) == 0)
            continue;
        snprintf(wrong, sizeof(wrong), "%llu %s %s", (unsigned long long)st->version, name, why);
        if (is_news(pu, wrong_before, slice_of(wrong)))
            log_error("shards_unusable", " name=%s version=%llu why=%s", name,
                      (unsigned long long)st->version, log_value(slice_of(why)));
        return false;
    }
    return true;
}

/* 0, or it can't be read. */
static int parse(const struct redis_reply *reply, struct stores *now, struct stores *was)
{
    for (size_t i = 0; i + 1 < redis_len(reply); i += 2) {
        struct slice field = redis_str(redis_at(reply, i));
        struct slice value = redis_str(redis_at(reply, i + 1));
        int rc = field.n > 2 && memcmp(field.p, "w:", 2) == 0
                     ? stores_add(was, (struct slice){field.p + 2, field.n - 2}, value)
                     : stores_take(now, field, value);

        if (rc < 0)
            return rc;
    }
    return 0;
}

static void compare_own(struct pump *pu, const struct stores *now)
{
    const struct stores *own = &pu->own_stores;

    if (own->version == 0 || pu->compared == now->version)
        return;
    pu->compared = now->version;
    if (own->version < now->version)
        log_warn("shards_older", " own=%llu used=%llu", (unsigned long long)own->version,
                 (unsigned long long)now->version);
    else if (!stores_are_same(own, now))
        log_error("shards_differ", " version=%llu mend=%s", (unsigned long long)own->version,
                  log_value(SLICE("raise redis_shards_version with each change of redis_shards")));
}

static void unknown(struct pump *pu, uint32_t wrong_before, struct slice why)
{
    if (is_news(pu, wrong_before, why))
        log_warn("shards_unknown", " why=%s", log_value(why));
}

static void on_table(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct stores now = {0}, was = {0};
    struct pump *pu = arg;
    uint32_t wrong = pu->wrong;

    (void)c;
    pu->table_asked = false;
    if (!reply)
        return;
    pu->wrong = 0;
    if (redis_is_error(reply, "NOSCRIPT"))
        site_load(pu->home);
    if (redis_type(reply) != REDIS_T_ARRAY) {
        unknown(pu, wrong, redis_str(reply));
    } else if (parse(reply, &now, &was) < 0) {
        unknown(pu, wrong, SLICE("its version, or a server's name, can't be one"));
    } else if (!pu->placed || stores_replace(&now, &pu->stores)) {
        compare_own(pu, &now);
        if (is_usable(pu, wrong, &now))
            take_table(pu, &now, &was);
    }
    stores_done(&now);
    stores_done(&was);
}

/* The table in use is brought back to a home that forgot it, also by who has an older one of its
 * own, or none: who comes anew finds the one that all others follow. */
static void ask_table(struct pump *pu)
{
    const struct stores *st =
        pu->own_stores.version > pu->stores.version ? &pu->own_stores : &pu->stores;
    struct slice argv[3 + 2 * STORES_MAX] = {SLICE("1"), SLICE(KEY_SHARDS)};
    char version[DECIMAL_MAX];
    int argc = 3;

    if (!pu->home->ready || pu->table_asked)
        return;
    argv[2] = decimal_slice(version, st->version);
    for (size_t i = 0; i < st->count; i++) {
        argv[argc++] = slice_of(st->v[i].name);
        argv[argc++] = slice_of(st->v[i].url);
    }
    pu->table_asked = true;
    site_eval(pu->home, SCRIPT_SHARDS, on_table, pu, argc, argv);
}

/* ---- life ---- */

void sites_on_home(struct pump *pu)
{
    pu->table_asked = false;
    ask_table(pu);
}

static void stay(struct part *p)
{
    if (p->state == PART_RUN)
        part_stay(p);
}

void sites_tick(struct pump *pu)
{
    struct site *at, *next;

    if (pu->stores.version && pu->beat % STAY_BEATS == 0)
        pump_each_part(pu, stay);
    list_for_each_safe(at, next, &pu->sites, node)
        if (at->left)
            site_free(at);
    ask_table(pu);
}

void sites_start(struct pump *pu)
{
    const struct conf_map *m = &pu->opts.conf->redis_shards;

    pu->own_stores.version = (uint64_t)pu->opts.conf->redis_shards_version;
    for (size_t i = 0; i < m->n; i++)
        must(stores_add(&pu->own_stores, slice_of(m->v[i].name), slice_of(m->v[i].value)) == 0);
    pu->home = site_new(pu, STORE_HOME);
}

void sites_stop(struct pump *pu)
{
    struct site *at, *next;

    list_for_each_safe(at, next, &pu->sites, node)
        site_free(at);
    stores_done(&pu->stores);
    stores_done(&pu->was);
    stores_done(&pu->own_stores);
}
