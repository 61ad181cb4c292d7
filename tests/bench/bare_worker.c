/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bare_worker.c: the least a worker of this design can do, to measure fanfare-worker against: Kafka
 * records into Redis Streams by compare-and-set; no group, no checks, no beacon, no recovery.
 *
 *   bench_bare_worker BOOTSTRAP TOPIC PARTITIONS REDIS_URL ENTRIES
 *
 * Reads every partition from its beginning into an empty Redis, in streams of at most about ENTRIES
 * entries; "ready" is printed when it does.
 * What can be read at once makes one script call a partition, without a linger. Replies are looked
 * at only when more than OUTSTANDING calls have none, so reading them costs no wake-up of its own;
 * a refusal ends the program all the same. @thread main, beside librdkafka's
 */
#include <librdkafka/rdkafka.h>

#include "tests/bench/bare_redis.h"

#define BATCH       512
#define BLOB_MAX    2048
#define OUTSTANDING 8

/* KEYS: stream, last id. ARGV: the last id expected, bound in entries, then id, blob, … */
static const char script[] =
    "local last = '0-0' "
    "if redis.call('EXISTS', KEYS[1]) == 1 then last = redis.call('HGET', KEYS[2], 'id') end "
    "if last ~= ARGV[1] then return redis.error_reply('CASFAIL ' .. last) end "
    "for i = 3, #ARGV, 2 do redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], ARGV[i], 'd', "
    "ARGV[i + 1]) end "
    "redis.call('HSET', KEYS[2], 'id', ARGV[#ARGV - 1])";

struct part {
    char stream[KEY_MAX], last_key[KEY_MAX];
    char last[ID_MAX]; /* as Redis will have it when all calls are done */
};

struct call {
    const char *argv[7 + 2 * BATCH];
    size_t lens[7 + 2 * BATCH];
    int argc;
};

static struct part parts[PARTITIONS_MAX];
static const char *bound; /* of a stream, in entries */
static redisContext *redis;
static char sha[64];
static unsigned outstanding;

static void script_load(void)
{
    redisReply *r = redisCommand(redis, "SCRIPT LOAD %s", script);
    if (!r || r->type != REDIS_REPLY_STRING)
        die("SCRIPT LOAD", r ? r->str : redis->errstr);
    (void)snprintf(sha, sizeof sha, "%s", r->str);
    freeReplyObject(r);
}

static rd_kafka_t *consumer_open(const char *bootstrap, const char *topic, int partitions)
{
    static const char *const fixed[][2] = {{"group.id", "bench-bare"},
                                           {"enable.auto.commit", "false"},
                                           {"enable.auto.offset.store", "false"}};
    char why[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, why, sizeof why))
        die("bootstrap", why);
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        if (rd_kafka_conf_set(conf, fixed[i][0], fixed[i][1], why, sizeof why))
            die(fixed[i][0], why);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (!rk)
        die("consumer", why);
    rd_kafka_poll_set_consumer(rk);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    for (int p = 0; p < partitions; p++)
        rd_kafka_topic_partition_list_add(list, topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
    rd_kafka_resp_err_t err = rd_kafka_assign(rk, list);
    if (err)
        die("assign", rd_kafka_err2str(err));
    rd_kafka_topic_partition_list_destroy(list);
    return rk;
}

static void arg(struct call *c, const void *p, size_t n)
{
    c->argv[c->argc] = p;
    c->lens[c->argc++] = n;
}

static void arg_text(struct call *c, const char *text)
{
    arg(c, text, strlen(text));
}

/* Key and payload as one field: entries whose fields have the same name are Redis' cheapest. */
static size_t blob_make(char blob[BLOB_MAX], const rd_kafka_message_t *m)
{
    if (m->key_len > UINT8_MAX || 1 + m->key_len + m->len > BLOB_MAX)
        die("a record", "is too long");
    blob[0] = (char)m->key_len;
    memcpy(blob + 1, m->key, m->key_len);
    memcpy(blob + 1 + m->key_len, m->payload, m->len);
    return 1 + m->key_len + m->len;
}

/* Takes the records of the first one's partition out of the batch, in one call. */
static void append(rd_kafka_message_t **batch, size_t n)
{
    static struct call c;
    static char ids[BATCH][ID_MAX], blobs[BATCH][BLOB_MAX];
    const int32_t p = batch[0]->partition;
    size_t end = 0;
    c.argc = 0;
    arg_text(&c, "EVALSHA");
    arg_text(&c, sha);
    arg_text(&c, "2");
    arg_text(&c, parts[p].stream);
    arg_text(&c, parts[p].last_key);
    arg_text(&c, parts[p].last);
    arg_text(&c, bound);
    for (size_t i = 0; i < n; i++) {
        if (!batch[i] || batch[i]->partition != p)
            continue;
        end = i;
        int len = snprintf(ids[i], ID_MAX, "1-%lld", (long long)batch[i]->offset + 1);
        arg(&c, ids[i], (size_t)len);
        arg(&c, blobs[i], blob_make(blobs[i], batch[i]));
    }
    if (redisAppendCommandArgv(redis, c.argc, c.argv, c.lens))
        die("redis", redis->errstr);
    outstanding++;
    memcpy(parts[p].last, ids[end], ID_MAX);
    for (size_t i = 0; i < n; i++) {
        if (batch[i] && batch[i]->partition == p) {
            rd_kafka_message_destroy(batch[i]);
            batch[i] = NULL;
        }
    }
}

static void reply_take(void)
{
    void *got;
    if (redisGetReply(redis, &got))
        die("redis", redis->errstr);
    const redisReply *r = got;
    if (r->type == REDIS_REPLY_ERROR)
        die("refused", r->str);
    freeReplyObject(got);
    outstanding--;
}

/* Waits for a record, then takes what else is there. */
static size_t batch_take(rd_kafka_t *rk, rd_kafka_message_t **batch)
{
    size_t n = 0;
    rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, -1);
    for (; m; m = n < BATCH ? rd_kafka_consumer_poll(rk, 0) : NULL) {
        if (m->err)
            die("consume", rd_kafka_message_errstr(m));
        batch[n++] = m;
    }
    return n;
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    bound = argv[5];
    int partitions = partitions_of(argv[3]);
    for (int p = 0; p < partitions; p++) {
        (void)snprintf(parts[p].stream, KEY_MAX, STREAM_KEY, p);
        (void)snprintf(parts[p].last_key, KEY_MAX, LAST_KEY, p);
        (void)snprintf(parts[p].last, ID_MAX, "0-0");
    }
    redis = redis_open(argv[4]);
    script_load();
    rd_kafka_t *rk = consumer_open(argv[1], argv[2], partitions);
    printf("ready\n");
    (void)fflush(stdout);
    for (;;) {
        rd_kafka_message_t *batch[BATCH];
        size_t n = batch_take(rk, batch);
        for (size_t i = 0; i < n; i++)
            if (batch[i])
                append(batch + i, n - i);
        redis_write(redis);
        while (outstanding > OUTSTANDING)
            reply_take();
    }
}
