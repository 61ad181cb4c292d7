/* SPDX-License-Identifier: Apache-2.0 */
/*
 * index_rig.h: the worker's scripts for one partition, called on a Redis of the test's own, and its
 * last-position index as an edge reads it. Include it once in a program. @thread main
 */
#pragma once

#include "common/base/entry.h"
#include "common/base/index.h"
#include "common/base/keys.h"

#include "fanout-worker/index.h"
#include "fanout-worker/script.h"
#include "tests/unit/io/redis_server.h"

#define LOG    "LogAAAA1"
#define NUMBER 24

static struct redis_sync *redis;
static char stream_key[KEY_MAX], side_key[KEY_MAX], index_key[KEY_MAX], old_key[KEY_MAX];

static inline void rig_open(void)
{
    redis = open_sync(server.url);
    key_stream(stream_key, LOG, 0);
    key_side(side_key, LOG, 0);
    key_index(index_key, LOG, 0);
    key_index_old(old_key, LOG, 0);
    assert_non_null(redis_sync_cmd(redis, 1, (struct slice[]){SLICE("FLUSHALL")}));
}

static inline const struct redis_reply *cmd(const char *text)
{
    struct slice argv[16];
    static char copy[1024];
    char *word, *rest = copy;
    const struct redis_reply *r;
    int argc = 0;

    (void)snprintf(copy, sizeof(copy), "%s", text);
    while ((word = strsep(&rest, " ")))
        argv[argc++] = slice_of(word);
    r = redis_sync_cmd(redis, argc, argv);
    assert_non_null(r);
    return r;
}

static inline const struct redis_reply *eval(enum script which, size_t n, const struct slice *args)
{
    static struct slice argv[8192] = {{"EVAL", 4}};
    const struct redis_reply *r;

    argv[1] = script_text(which);
    argv[2] = SLICE("2");
    argv[3] = slice_of(stream_key);
    argv[4] = slice_of(side_key);
    assert_true(n + 5 <= ARRAY_LEN(argv));
    if (n)
        memcpy(argv + 5, args, n * sizeof(*args));
    r = redis_sync_cmd(redis, (int)n + 5, argv);
    assert_non_null(r);
    return r;
}

static inline struct slice text_of(char dst[NUMBER], uint64_t v)
{
    return (struct slice){dst, (size_t)snprintf(dst, NUMBER, "%llu", (unsigned long long)v)};
}

static inline uint64_t stream_last(void)
{
    return (uint64_t)redis_int(redis_at(eval(SCRIPT_LAST, 0, NULL), 0));
}

/* One entry. */
static inline const struct redis_reply *append(uint64_t expected, uint64_t maxlen,
                                               const struct entry *e)
{
    static struct buf field;
    char text[3][NUMBER];

    buf_clear(&field);
    entry_encode(&field, e);
    return eval(SCRIPT_APPEND, 5,
                (struct slice[]){text_of(text[0], expected), text_of(text[1], maxlen), SLICE("7"),
                                 text_of(text[2], e->pos), buf_as_slice(&field)});
}

static inline struct entry entry_for(const char *channel, uint64_t prev, uint64_t pos)
{
    return (struct entry){.pos = pos,
                          .prev = prev,
                          .time_ms = (int64_t)(pos % 1000) * 1000,
                          .kind = ENTRY_JSON,
                          .channel = slice_of(channel),
                          .payload = SLICE("1")};
}

/* What the index (or the old one) says of n channels: one HMGET, as an edge does. */
static inline void read_says(const char *which, size_t n, const char *const *channels,
                             struct index_says *ret)
{
    struct slice argv[3 + 16] = {SLICE("HMGET"), slice_of(which), SLICE(INDEX_RANGE_FIELD)};
    const struct redis_reply *r;

    assert_true(n <= 16);
    for (size_t i = 0; i < n; i++)
        argv[3 + i] = slice_of(channels[i]);
    r = redis_sync_cmd(redis, (int)n + 3, argv);
    assert_non_null(r);
    for (size_t i = 0; i < n; i++) {
        ret[i] = (struct index_says){.is_there = false};
        if (redis_type(r) != REDIS_T_ARRAY)
            continue;
        if (redis_type(redis_at(r, i + 1)) != REDIS_T_NIL)
            ret[i].last = index_last(redis_str(redis_at(r, i + 1)));
        (void)index_take_range(&ret[i], redis_str(redis_at(r, 0)));
    }
}
