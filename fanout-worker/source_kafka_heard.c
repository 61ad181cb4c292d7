/* SPDX-License-Identifier: Apache-2.0 */
/* source_kafka_heard.c: see source_kafka_heard.h. */
#include "fanout-worker/source_kafka_heard.h"

#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "common/base/clock.h"

#define FETCH 1 /* the protocol's number of that request */

/* The broker's place, or NULL: there is no room for one more. */
static struct kafka_heard_broker *place_of(struct kafka_heard *h, int32_t broker)
{
    for (size_t i = 0; i < ARRAY_LEN(h->brokers); i++) {
        int64_t id = 0, own = (int64_t)broker + 1;

        if (atomic_load(&h->brokers[i].id) == own ||
            atomic_compare_exchange_strong(&h->brokers[i].id, &id, own))
            return &h->brokers[i];
    }
    return NULL;
}

void kafka_heard_answer(struct kafka_heard *h, int32_t broker, uint64_t asked_ms)
{
    struct kafka_heard_broker *b = place_of(h, broker);

    if (b)
        atomic_store(&b->answered_ms, asked_ms);
}

void kafka_heard_asked(struct kafka_heard *h, int32_t broker)
{
    struct kafka_heard_broker *b = place_of(h, broker);

    if (b)
        atomic_store(&b->asked_ms, atomic_load(&b->answered_ms));
}

/* NOLINTNEXTLINE(readability-function-size): the library's signature */
static rd_kafka_resp_err_t on_response(rd_kafka_t *rk, int fd, const char *name, int32_t broker,
                                       int16_t kind, int16_t version, int32_t id, size_t size,
                                       int64_t took_us, rd_kafka_resp_err_t err, void *arg)
{
    uint64_t now = clock_mono_ms(), took_ms = (uint64_t)took_us / 1000 + 1;

    (void)rk, (void)fd, (void)name, (void)version, (void)id, (void)size;
    if (kind == FETCH && !err && took_us >= 0 && broker >= 0 && took_ms < now)
        kafka_heard_answer(arg, broker, now - took_ms);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* NOLINTNEXTLINE(readability-function-size): the library's signature */
static rd_kafka_resp_err_t on_request(rd_kafka_t *rk, int fd, const char *name, int32_t broker,
                                      int16_t kind, int16_t version, int32_t id, size_t size,
                                      void *arg)
{
    (void)rk, (void)fd, (void)name, (void)version, (void)id, (void)size;
    if (kind == FETCH && broker >= 0)
        kafka_heard_asked(arg, broker);
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the library's signature */
static rd_kafka_resp_err_t on_new(rd_kafka_t *rk, const rd_kafka_conf_t *conf, void *arg, char *why,
                                  size_t why_size)
{
    (void)conf, (void)why, (void)why_size;
    must(rd_kafka_interceptor_add_on_request_sent(rk, "fanfare", on_request, arg) ==
         RD_KAFKA_RESP_ERR_NO_ERROR);
    return rd_kafka_interceptor_add_on_response_received(rk, "fanfare", on_response, arg);
}

void kafka_heard_listen(struct kafka_heard *h, struct rd_kafka_conf_s *rc)
{
    must(rd_kafka_conf_interceptor_add_on_new(rc, "fanfare", on_new, h) ==
         RD_KAFKA_RESP_ERR_NO_ERROR);
}

/* More brokers than are kept: one more than that. */
static void add_fetched(struct kafka_heard *h, int64_t broker)
{
    size_t i = 0;

    while (i < ARRAY_LEN(h->fetched) && i < h->fetched_count && h->fetched[i] != broker)
        i++;
    if (i < ARRAY_LEN(h->fetched))
        h->fetched[i] = broker;
    if (i >= h->fetched_count)
        h->fetched_count = i + 1;
}

/* "broker":1, "leader":1, … "fetch_state":"active", … of each partition of the topics. The
 * brokers' own lists ("toppars") name those of other workers, too: who has nothing but such ones is
 * never asked. */
void kafka_heard_stats(struct kafka_heard *h, const char *stats, uint64_t now_ms)
{
    static const char broker[] = "\"broker\":", leader[] = "\"leader\":",
                      state[] = "\"fetch_state\":\"", active[] = "active\"";

    h->fetched_count = 0;
    h->from_follower = false;
    h->told_ms = now_ms;
    while ((stats = strstr(stats, broker))) {
        int64_t id = strtoll(stats + sizeof(broker) - 1, NULL, 10), first;

        stats = strstr(stats, leader);
        if (!stats)
            break;
        first = strtoll(stats + sizeof(leader) - 1, NULL, 10);
        stats = strstr(stats, state);
        if (!stats)
            break;
        stats += sizeof(state) - 1;
        if (strncmp(stats, active, sizeof(active) - 1) != 0)
            continue;
        add_fetched(h, id);
        h->from_follower = h->from_follower || id != first;
    }
}

static uint64_t asked_of(const struct kafka_heard *h, int64_t broker)
{
    for (size_t i = 0; i < ARRAY_LEN(h->brokers); i++)
        if (atomic_load(&h->brokers[i].id) == broker + 1)
            return atomic_load(&h->brokers[i].asked_ms);
    return 0;
}

uint64_t kafka_heard_ms(const struct kafka_heard *h)
{
    uint64_t oldest = h->told_ms; /* who is asked is known since then */

    if (h->fetched_count > ARRAY_LEN(h->fetched))
        return 0;
    for (size_t i = 0; i < h->fetched_count; i++) {
        uint64_t asked = asked_of(h, h->fetched[i]);

        oldest = asked < oldest ? asked : oldest;
    }
    return oldest;
}

uint64_t kafka_heard_end_ms(const struct kafka_heard *h)
{
    return h->from_follower ? 0 : kafka_heard_ms(h);
}
