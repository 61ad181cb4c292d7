/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bare_redis.h: what bench_bare_worker and bench_bare_edge agree on: the way to Redis, the stream.
 *
 *   bare:<partition>         the stream; an entry's id is 1-<Kafka offset + 1>, its one field holds
 *                            the key's length in a byte, the key, and the payload as it came
 *   bare-last:<partition>    the id of the stream's last entry
 *
 * hiredis as it is, not our layer above it: what that costs is part of what is measured.
 * @thread main
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#define PARTITIONS_MAX 64
#define KEY_MAX        32
#define ID_MAX         24
#define STREAM_KEY     "bare:%d"
#define LAST_KEY       "bare-last:%d"

_Noreturn static inline void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
    exit(1);
}

/* A blocking connection to redis://HOST:PORT. */
static inline redisContext *redis_open(const char *url)
{
    char host[256];
    const char *from = strstr(url, "://"), *colon = strrchr(url, ':');
    if (!from || colon <= from)
        die(url, "expected redis://HOST:PORT");
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - from - 3), from + 3);
    redisContext *c = redisConnect(host, (int)strtol(colon + 1, NULL, 10));
    if (!c || c->err)
        die(url, c ? c->errstr : "no memory");
    return c;
}

/* Gives the kernel all that is queued. */
static inline void redis_write(redisContext *c)
{
    int done = 0;
    while (!done)
        if (redisBufferWrite(c, &done))
            die("redis", c->errstr);
}

static inline int partitions_of(const char *text)
{
    long n = strtol(text, NULL, 10);
    if (n < 1 || n > PARTITIONS_MAX)
        die(text, "expected 1 to 64 partitions");
    return (int)n;
}
