/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feeder.c: plays a worker for an edge: appends to the region stream directly, so that neither
 * Kafka nor a worker is in the way of what is measured.
 *
 *   bench_feeder REDIS_URL TOPIC CHANNEL[*N] SIZE [PARTITIONS]
 *
 * One log. With *N, records go to N channels in turn, CHANNEL followed by 0 to N-1, each in its
 * key's partition. Writes ff:topic:<topic> and, every 200 ms, the beacon. By lines on stdin:
 *   append N [I]  → "appended ALL" : N records of SIZE bytes of JSON, up to 100 in one script, so
 *                   that a reader gets them in one reply; the first one goes to the Ith channel
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
#include "common/base/decimal.h"
#include "common/base/entry.h"
#include "common/base/keys.h"
#include "common/base/partitioner.h"
#include "common/io/redis.h"
#include "common/runtime/proc.h"

#define BATCH_MAX 100
#define BEACON_MS 200

static const char script[] =
    "for i = 1, #KEYS do "
    "redis.call('XADD', KEYS[i], 'MAXLEN', '~', '100000', ARGV[2 * i - 1], 'd', ARGV[2 * i]) "
    "end return 1";

struct partition {
    char stream[KEY_MAX]; /* its key */
    size_t stream_len;
    uint64_t last; /* position */
};

struct feeder {
    struct redis_sync *redis;
    const char *topic;
    struct slice channel;   /* without its number */
    uint64_t channel_count; /* 0: it has no number */
    size_t size;
    char log[LOG_ID_LEN + 1];
    struct partition *parts;
    int32_t part_count;
    uint64_t next; /* channel */
    uint64_t appended, counter;
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
    char key[KEY_MAX], partitions[DECIMAL_MAX];
    key_topic(key, fd->topic);
    const struct slice argv[] = {
        SLICE("HSET"),        slice_of(key),
        SLICE("n"),           SLICE("1"),
        SLICE("log"),         slice_of(fd->log),
        SLICE("partitions"),  decimal_slice(partitions, (uint64_t)fd->part_count),
        SLICE("partitioner"), SLICE("murmur2"),
        SLICE("state"),       SLICE("live")};
    cmd(fd, ARRAY_LEN(argv), argv);
}

static void write_row(struct feeder *fd, int32_t i)
{
    char field[KEY_MAX], value[256];
    struct beacon_row row = {.partition = i,
                             .counter = fd->counter,
                             .state = BEACON_LIVE,
                             .low = 1,
                             .end = fd->parts[i].last,
                             .last = fd->parts[i].last,
                             .worker = "bench"};
    memcpy(row.log, fd->log, sizeof row.log);
    beacon_field(field, fd->log, i);
    beacon_print(value, &row);
    const struct slice argv[] = {SLICE("HSET"), SLICE(KEY_BEACON), slice_of(field),
                                 slice_of(value)};
    cmd(fd, ARRAY_LEN(argv), argv);
}

static void write_beacon(struct feeder *fd)
{
    char own[64];
    fd->counter++;
    for (int32_t i = 0; i < fd->part_count; i++)
        write_row(fd, i);
    (void)snprintf(own, sizeof own, "%" PRIu64 " %" PRId32, fd->counter, fd->part_count);
    const struct slice argv[] = {SLICE("HSET"), SLICE(KEY_BEACON), SLICE("w:bench"), slice_of(own)};
    cmd(fd, ARRAY_LEN(argv), argv);
}

/* One entry's field `d`. */
static void entry_make(const struct feeder *fd, struct slice channel, uint64_t pos, struct buf *out)
{
    struct buf payload = BUF_INIT;
    buf_printf(&payload, "{\"s\":%" PRIu64 ",\"p\":\"", pos);
    while (payload.n + 2 < fd->size)
        buf_byte(&payload, (unsigned char)('a' + payload.n % 26));
    buf_lit(&payload, "\"}");
    struct entry e = {.pos = pos,
                      .prev = pos - 1,
                      .kind = ENTRY_JSON,
                      .channel = channel,
                      .tags = {"", 0},
                      .payload = buf_as_slice(&payload)};
    entry_encode(out, &e);
    buf_done(&payload);
}

/* Records that go to Redis in one script. */
struct batch {
    size_t n;
    struct slice keys[BATCH_MAX], ids[BATCH_MAX];
    char id_texts[BATCH_MAX][ENTRY_ID_MAX];
    struct buf fields[BATCH_MAX];
};

static void batch_add(struct feeder *fd, struct batch *b, int32_t part, struct slice channel)
{
    struct partition *p = &fd->parts[part];
    size_t i = b->n++;
    b->keys[i] = (struct slice){p->stream, p->stream_len};
    b->ids[i] = (struct slice){b->id_texts[i], entry_id_print(b->id_texts[i], ++p->last)};
    b->fields[i] = BUF_INIT;
    entry_make(fd, channel, p->last, &b->fields[i]);
}

static void batch_send(struct feeder *fd, struct batch *b)
{
    char count[DECIMAL_MAX];
    struct slice argv[3 + 3 * BATCH_MAX] = {SLICE("EVAL"), slice_of(script),
                                            decimal_slice(count, b->n)};
    int argc = 3;
    for (size_t i = 0; i < b->n; i++)
        argv[argc++] = b->keys[i];
    for (size_t i = 0; i < b->n; i++) {
        argv[argc++] = b->ids[i];
        argv[argc++] = buf_as_slice(&b->fields[i]);
    }
    cmd(fd, argc, argv);
    for (size_t i = 0; i < b->n; i++)
        buf_done(&b->fields[i]);
    b->n = 0;
}

static void append(struct feeder *fd, size_t n)
{
    struct batch b = {.n = 0};
    struct buf channel = BUF_INIT;
    while (n-- > 0) {
        buf_clear(&channel);
        buf_slice(&channel, fd->channel);
        if (fd->channel_count)
            buf_u64(&channel, fd->next++ % fd->channel_count);
        fd->appended++;
        struct slice name = buf_as_slice(&channel);
        batch_add(fd, &b, partitioner_of(PARTITIONER_MURMUR2, name, fd->part_count), name);
        if (b.n == BATCH_MAX)
            batch_send(fd, &b);
    }
    if (b.n > 0)
        batch_send(fd, &b);
    buf_done(&channel);
}

/* Each stream has a record, of a channel that nobody has. */
static void begin(struct feeder *fd, int32_t partitions)
{
    proc_random_id(fd->log, LOG_ID_LEN);
    fd->part_count = partitions;
    fd->parts = mem_zalloc((size_t)partitions * sizeof *fd->parts);
    for (int32_t i = 0; i < partitions; i++) {
        struct batch b = {.n = 0};
        fd->parts[i].stream_len = key_stream(fd->parts[i].stream, fd->log, i);
        batch_add(fd, &b, i, SLICE("nobody's"));
        batch_send(fd, &b);
    }
    write_beacon(fd);
    write_topic(fd);
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
    char *end;
    size_t records = strtoul(line + 7, &end, 10);
    if (*end == ' ')
        fd->next = strtoull(end, NULL, 10);
    append(fd, records);
    printf("appended %" PRIu64 "\n", fd->appended);
    (void)fflush(stdout);
    return true;
}

int main(int argc, char **argv)
{
    char why[256] = "";
    int32_t partitions = argc == 6 ? (int32_t)strtol(argv[5], NULL, 10) : 1;
    if (argc < 5 || partitions < 1)
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
    begin(&fd, partitions);
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
