/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feeder.c: plays a worker for an edge: appends to the region stream directly, so that neither
 * Kafka nor a worker is in the way of what is measured.
 *
 *   bench_feeder REDIS_URL TOPIC CHANNEL[*N] SIZE
 *
 * One log of one partition. With *N, records go to N channels in turn: CHANNEL0, CHANNEL1, …
 * Writes ff:topic:<topic> and, every 200 ms, the beacon's two rows. By lines on stdin:
 *   append N   → "appended LAST" : N records of SIZE bytes of JSON, up to 100 in one script, so
 *                that a reader gets them in one reply
 *   quit
 * "ready <log id>" is printed when the log can be subscribed to. @thread main
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/entry.h"
#include "common/base/keys.h"
#include "common/io/redis.h"
#include "common/runtime/proc.h"

#define BATCH_MAX 100
#define BEACON_MS 200

static const char script[] =
    "for i = 1, #ARGV, 2 do redis.call('XADD', KEYS[1], 'MAXLEN', '~', '100000', ARGV[i], 'd', "
    "ARGV[i + 1]) end "
    "redis.call('HSET', KEYS[2], 'last', string.sub(ARGV[#ARGV - 1], 3), 'fp', '0') return 1";

struct feeder {
    struct redis_sync *redis;
    const char *topic;
    struct slice channel;   /* without its number */
    uint64_t channel_count; /* 0: it has no number */
    size_t size;
    char log[LOG_ID_LEN + 1];
    uint64_t last, counter;
};

_Noreturn static void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench_feeder: %s: %s\n", what, why);
    exit(1);
}

static void cmd(struct feeder *fd, int argc, const struct slice *argv)
{
    const struct redis_reply *r = redis_sync_cmd(fd->redis, argc, argv);
    if (!r)
        die("redis", redis_sync_why(fd->redis));
    if (redis_type(r) == REDIS_T_ERROR)
        die("redis", redis_str(r).p);
}

static void write_topic(struct feeder *fd)
{
    char key[KEY_MAX];
    key_topic(key, fd->topic);
    const struct slice argv[] = {SLICE("HSET"),       slice_of(key),  SLICE("n"),
                                 SLICE("1"),          SLICE("log"),   slice_of(fd->log),
                                 SLICE("partitions"), SLICE("1"),     SLICE("partitioner"),
                                 SLICE("murmur2"),    SLICE("state"), SLICE("live")};
    cmd(fd, ARRAY_LEN(argv), argv);
}

static void write_beacon(struct feeder *fd)
{
    char field[KEY_MAX], value[256], own[64];
    struct beacon_row row = {.partition = 0,
                             .counter = ++fd->counter,
                             .state = BEACON_LIVE,
                             .low = 1,
                             .end = fd->last,
                             .last = fd->last,
                             .worker = "bench"};
    memcpy(row.log, fd->log, sizeof row.log);
    beacon_field(field, fd->log, 0);
    beacon_print(value, &row);
    (void)snprintf(own, sizeof own, "%" PRIu64 " 1", fd->counter);
    const struct slice argv[] = {SLICE("HSET"),   SLICE(KEY_BEACON), slice_of(field),
                                 slice_of(value), SLICE("w:bench"),  slice_of(own)};
    cmd(fd, ARRAY_LEN(argv), argv);
}

/* One entry's field `d`. */
static void entry_make(const struct feeder *fd, uint64_t pos, struct buf *out)
{
    struct buf payload = BUF_INIT, channel = BUF_INIT;
    buf_slice(&channel, fd->channel);
    if (fd->channel_count)
        buf_u64(&channel, pos % fd->channel_count);
    buf_printf(&payload, "{\"s\":%" PRIu64 ",\"p\":\"", pos);
    while (payload.n + 2 < fd->size)
        buf_byte(&payload, (unsigned char)('a' + payload.n % 26));
    buf_lit(&payload, "\"}");
    struct entry e = {.pos = pos,
                      .prev = pos - 1,
                      .kind = ENTRY_JSON,
                      .channel = buf_as_slice(&channel),
                      .tags = {"", 0},
                      .payload = buf_as_slice(&payload)};
    entry_encode(out, &e);
    buf_done(&channel);
    buf_done(&payload);
}

/* In one script; n: 1 to BATCH_MAX. */
static void append(struct feeder *fd, size_t n)
{
    char stream[KEY_MAX], side[KEY_MAX], ids[BATCH_MAX][ENTRY_ID_MAX];
    struct buf fields[BATCH_MAX];
    struct slice argv[5 + 2 * BATCH_MAX];
    key_stream(stream, fd->log, 0);
    key_side(side, fd->log, 0);
    int argc = 0;
    argv[argc++] = SLICE("EVAL");
    argv[argc++] = slice_of(script);
    argv[argc++] = SLICE("2");
    argv[argc++] = slice_of(stream);
    argv[argc++] = slice_of(side);
    for (size_t i = 0; i < n; i++) {
        fields[i] = BUF_INIT;
        entry_make(fd, ++fd->last, &fields[i]);
        argv[argc++] = (struct slice){ids[i], entry_id_print(ids[i], fd->last)};
        argv[argc++] = buf_as_slice(&fields[i]);
    }
    cmd(fd, argc, argv);
    for (size_t i = 0; i < n; i++)
        buf_done(&fields[i]);
}

/* A whole line at a time: the driver writes one and waits. false at the end. */
static bool obey(struct feeder *fd)
{
    char line[64];
    ssize_t n = read(STDIN_FILENO, line, sizeof line - 1);
    if (n <= 0)
        return false;
    line[n] = 0;
    if (strncmp(line, "append ", 7) != 0)
        return false;
    size_t left = strtoul(line + 7, NULL, 10);
    for (; left > BATCH_MAX; left -= BATCH_MAX)
        append(fd, BATCH_MAX);
    append(fd, left);
    printf("appended %" PRIu64 "\n", fd->last);
    (void)fflush(stdout);
    return true;
}

int main(int argc, char **argv)
{
    char why[256] = "";
    if (argc != 5)
        return 2;
    const char *star = strrchr(argv[3], '*');
    struct feeder fd = {.topic = argv[2],
                        .channel = {argv[3], star ? (size_t)(star - argv[3]) : strlen(argv[3])},
                        .channel_count = star ? strtoull(star + 1, NULL, 10) : 0,
                        .size = strtoul(argv[4], NULL, 10)};
    const struct redis_opts opts = {.url = argv[1]};
    fd.redis = redis_sync_open(&opts, why, sizeof why);
    if (!fd.redis)
        die(argv[1], why);
    proc_random_id(fd.log, LOG_ID_LEN);
    append(&fd, 1); /* the stream exists */
    write_beacon(&fd);
    write_topic(&fd);
    printf("ready %s\n", fd.log);
    (void)fflush(stdout);
    struct pollfd in = {STDIN_FILENO, POLLIN, 0};
    uint64_t due = 0;
    for (;;) {
        uint64_t now = clock_mono_ms();
        if (now >= due) {
            write_beacon(&fd);
            due = now + BEACON_MS;
        }
        if (poll(&in, 1, (int)(due - now)) > 0 && !obey(&fd))
            break;
    }
    redis_sync_close(fd.redis);
    return 0;
}
