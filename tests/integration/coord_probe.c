/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_probe.c: a node that is nothing but its coordination: what the tests of values and locks
 * run, kill and stop. For tests only.
 *
 *     coord_probe NODE CONSUL_URL
 *
 * Commands are lines on stdin: get KEY, put KEY VALUE, cas KEY INDEX VALUE, delete KEY INDEX, watch
 * KEY, lock KEY, unlock KEY. What comes of them are lines on stdout, each with its wall-clock time
 * in ms. It ends with stdin. @thread main; callbacks: coord
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/io/coord_kv.h"
#include "common/io/coord_lock.h"
#include "common/runtime/log.h"

#define LOCKS_MAX 8

static struct coord *coord;
static struct {
    char *key;
    struct coord_lock *lock;
} locks[LOCKS_MAX];

static void on_value(const struct coord_value *v, void *arg)
{
    printf("%lld value %s err=%s index=%llu %.*s\n", (long long)clock_wall_ms(), (char *)arg,
           v->err ? strerrordesc_np(-v->err) : "0", (unsigned long long)v->index, (int)v->value.n,
           v->value.p ? v->value.p : "");
    (void)fflush(stdout);
}

static void on_lock(int err, const char *why, void *arg)
{
    printf("%lld %s %s %s\n", (long long)clock_wall_ms(),
           err == 0         ? "gained"
           : err == -ESTALE ? "lost"
           : err == -EBUSY  ? "busy"
                            : "ended",
           (char *)arg, why);
    (void)fflush(stdout);
}

static int lock(char *key)
{
    for (size_t i = 0; i < LOCKS_MAX; i++) {
        if (locks[i].lock)
            continue;
        locks[i].key = key;
        return coord_lock_new(coord, key, on_lock, key, &locks[i].lock);
    }
    return -ENOMEM;
}

static int unlock(const char *key)
{
    for (size_t i = 0; i < LOCKS_MAX; i++) {
        if (locks[i].lock && !strcmp(locks[i].key, key)) {
            coord_lock_free(locks[i].lock);
            locks[i].lock = NULL;
            return 0;
        }
    }
    return -ENOENT;
}

/* The key stays allocated: callbacks have it as their arg, to the end of the process. */
static int run(const char *verb, char *key, const char *a, const char *b)
{
    struct coord_kv_if when = {.key = key, .index = strtoull(a, NULL, 10)};
    struct coord_kv_op *watch;

    if (!strcmp(verb, "get"))
        return coord_kv_get(coord, key, on_value, key);
    if (!strcmp(verb, "put"))
        return coord_kv_put(coord, key, slice_of(a), on_value, key);
    if (!strcmp(verb, "cas"))
        return coord_kv_cas(coord, &when, slice_of(b), on_value, key);
    if (!strcmp(verb, "delete"))
        return coord_kv_delete(coord, &when, on_value, key);
    if (!strcmp(verb, "watch"))
        return coord_kv_watch(coord, key, on_value, key, &watch);
    if (!strcmp(verb, "lock"))
        return lock(key);
    return strcmp(verb, "unlock") ? -EINVAL : unlock(key);
}

int main(int argc, char **argv)
{
    static struct coord_metrics metrics;
    static char none[] = "";
    struct coord_conf conf = {.coordination = COORDINATION_CONSUL,
                              .consul_token = none,
                              .consul_ca = none,
                              .consul_cert = none,
                              .consul_key = none,
                              .consul_namespace = none};
    char line[512], verb[16], key[64], a[64], b[256];

    if (argc != 3)
        return 2;
    conf.consul_url = argv[2];
    log_init("coord_probe", LOG_LV_INFO);
    hash_seed();
    coord = coord_start(&(struct coord_opts){
        .conf = &conf,
        .metrics = &metrics,
        .self = {.role = COORD_WORKER, .node = argv[1], .region = "r", .load = {.ready = true}}});
    while (fgets(line, sizeof(line), stdin)) {
        verb[0] = key[0] = a[0] = b[0] = '\0';
        if (sscanf(line, "%15s %63s %63s %255s", verb, key, a, b) < 2 ||
            run(verb, mem_strdup(key), a, b))
            return 1;
    }
    coord_stop(coord);
    return 0;
}
