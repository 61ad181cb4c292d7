/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.c: produces a file of timed events to a Kafka topic, compressed in time, again and again.
 *
 *   fanfare-demo-replay FILE TOPIC SPEED [NAME=VALUE…]     SPEED: seconds of then in one of now
 *
 * A line of FILE is `<time in ms>\t<record key>\t<JSON members>`, oldest first. A record's value is
 *   {"seq":<number within its key: 1, 2 …>,"t":<monotonic ns>,"at":<wall clock, ms>,<members>}
 * taken at the produce call; a reader can check for itself that it got all, and how late.
 * NAME=VALUE are librdkafka properties. Prints a line at the end (SIGTERM, SIGINT); exit 1 if a
 * record was not stored.
 * @thread main (delivery reports come from rd_kafka_poll)
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <librdkafka/rdkafka.h>

#define KEYS_MAX    64
#define VALUE_MAX   4096
#define LOOP_GAP_MS 3600000 /* between the last event and the first one again, in time of then */

struct event {
    int64_t time_ms;
    const char *key;
    const char *members;
    unsigned slot; /* of the key in replay.seq */
};

struct replay {
    char *text; /* the file; events point into it */
    struct event *events;
    size_t count;
    const char *keys[KEYS_MAX];
    uint64_t seq[KEYS_MAX];
    unsigned key_count;
    rd_kafka_t *rk;
    const char *topic;
    uint64_t stored, failed;
};

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

static int64_t clock_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int read_file(const char *path, char **ret)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return -errno;
    char *text = NULL;
    size_t size = 0;
    ssize_t n = getdelim(&text, &size, '\0', f); /* text has no NUL: all of it */
    fclose(f);
    if (n <= 0) {
        free(text);
        return -ENODATA;
    }
    *ret = text;
    return 0;
}

static int key_slot(struct replay *rp, const char *key, unsigned *ret)
{
    unsigned i = 0;
    while (i < rp->key_count && strcmp(rp->keys[i], key) != 0)
        i++;
    if (i == KEYS_MAX)
        return -E2BIG;
    if (i == rp->key_count)
        rp->keys[rp->key_count++] = key;
    *ret = i;
    return 0;
}

static int parse_line(struct replay *rp, char *line, struct event *ret)
{
    char *end, *rest = line;
    const char *time = strsep(&rest, "\t"), *key = strsep(&rest, "\t");
    errno = 0;
    ret->time_ms = strtoll(time, &end, 10);
    if (errno || end == time || *end || !key || !*key || !rest || strlen(rest) > VALUE_MAX - 128)
        return -EBADMSG;
    ret->key = key;
    ret->members = rest;
    return key_slot(rp, key, &ret->slot);
}

static int parse(struct replay *rp)
{
    size_t room = 0;
    char *rest = rp->text, *line;
    while ((line = strsep(&rest, "\n"))) {
        if (!*line)
            continue;
        if (rp->count == room) {
            room = room ? room * 2 : 1024;
            struct event *bigger = reallocarray(rp->events, room, sizeof(*bigger));
            if (!bigger)
                return -ENOMEM;
            rp->events = bigger;
        }
        int rc = parse_line(rp, line, &rp->events[rp->count]);
        if (rc)
            return rc;
        rp->count++;
    }
    return rp->count ? 0 : -ENODATA;
}

static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct replay *rp = opaque;
    (void)rk;
    if (!m->err) {
        rp->stored++;
    } else if (rp->failed++ == 0) {
        fprintf(stderr, "fanfare-demo-replay: not stored: %s\n", rd_kafka_err2str(m->err));
    }
}

static int open_producer(struct replay *rp, char **properties)
{
    char text[512];
    static char defaults[][48] = {"partitioner=murmur2_random", "enable.idempotence=false",
                                  "acks=all", "linger.ms=0"};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_opaque(conf, rp);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    size_t n = sizeof(defaults) / sizeof(defaults[0]);
    for (size_t i = 0; i < n || properties[i - n]; i++) {
        char *value = i < n ? defaults[i] : properties[i - n];
        const char *name = strsep(&value, "=");
        if (rd_kafka_conf_set(conf, name, value ? value : "", text, sizeof(text))) {
            fprintf(stderr, "fanfare-demo-replay: %s\n", text);
            rd_kafka_conf_destroy(conf);
            return -EINVAL;
        }
    }
    rp->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (!rp->rk) {
        fprintf(stderr, "fanfare-demo-replay: %s\n", text);
        rd_kafka_conf_destroy(conf);
        return -EINVAL;
    }
    return 0;
}

static void produce(struct replay *rp, const struct event *ev)
{
    char value[VALUE_MAX];
    int64_t wall = clock_ns(CLOCK_REALTIME);
    int n = snprintf(value, sizeof(value),
                     "{\"seq\":%" PRIu64 ",\"t\":%" PRId64 ",\"at\":%" PRId64 ".%03d,%s}",
                     rp->seq[ev->slot] + 1, clock_ns(CLOCK_MONOTONIC), wall / 1000000,
                     (int)(wall / 1000 % 1000), ev->members);
    rd_kafka_resp_err_t err = rd_kafka_producev(
        rp->rk, RD_KAFKA_V_TOPIC(rp->topic), RD_KAFKA_V_KEY(ev->key, strlen(ev->key)),
        RD_KAFKA_V_VALUE(value, (size_t)n), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_END);
    if (!err) {
        rp->seq[ev->slot]++;
    } else if (rp->failed++ == 0) {
        fprintf(stderr, "fanfare-demo-replay: not produced: %s\n", rd_kafka_err2str(err));
    }
}

/* Each event at its due time; the times of then repeat with a gap between two rounds. */
static void run(struct replay *rp, double speed)
{
    int64_t start = clock_ns(CLOCK_MONOTONIC), first = rp->events[0].time_ms;
    int64_t round_ms = rp->events[rp->count - 1].time_ms - first + LOOP_GAP_MS;
    for (int64_t round = 0; !stopping; round++) {
        for (size_t i = 0; i < rp->count && !stopping; i++) {
            int64_t then = round * round_ms + rp->events[i].time_ms - first;
            int64_t due = start + (int64_t)((double)then * 1e6 / speed), left;
            while (!stopping && (left = due - clock_ns(CLOCK_MONOTONIC)) > 0)
                rd_kafka_poll(rp->rk, left > 100000000 ? 100 : (int)(left / 1000000) + 1);
            if (!stopping)
                produce(rp, &rp->events[i]);
            rd_kafka_poll(rp->rk, 0);
        }
    }
}

int main(int argc, char **argv)
{
    struct replay rp = {0};
    double speed = argc > 3 ? strtod(argv[3], NULL) : 0;
    if (!(speed > 0)) {
        fprintf(stderr, "usage: fanfare-demo-replay FILE TOPIC SPEED [NAME=VALUE…]\n");
        return 2;
    }
    struct sigaction sa = {.sa_handler = on_signal};
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    rp.topic = argv[2];
    int rc = read_file(argv[1], &rp.text);
    if (rc == 0)
        rc = parse(&rp);
    if (rc)
        fprintf(stderr, "fanfare-demo-replay: %s: %s (event %zu)\n", argv[1], strerror(-rc),
                rp.count + 1);
    else
        rc = open_producer(&rp, argv + 4);
    if (rc == 0) {
        run(&rp, speed);
        rd_kafka_flush(rp.rk, 5000);
        rp.failed += (uint64_t)rd_kafka_outq_len(rp.rk);
        printf("stored=%" PRIu64 " failed=%" PRIu64 "\n", rp.stored, rp.failed);
        rd_kafka_destroy(rp.rk);
    }
    free(rp.events);
    free(rp.text);
    return rc || rp.failed ? 1 : 0;
}
