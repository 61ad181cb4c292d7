/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.c: names in Redis are put together here, and beacon rows are written and read; keys.h says
 * what each is for. What is read is checked in full. No state. @thread any
 */
#include "common/base/keys.h"

#include <errno.h>
#include <stdio.h>

#include "common/base/decimal.h"

static const char *const states[] = {
    [BEACON_LIVE] = "live",
    [BEACON_REBUILD] = "rebuild",
    [BEACON_STALLED] = "stalled",
};

/* snprintf's result, which our own bounds keep below the buffer's size. */
static size_t printed(int n, size_t size)
{
    must(n > 0 && (size_t)n < size);
    return (size_t)n;
}

size_t key_stream(char dst[KEY_MAX], const char *log, int32_t partition)
{
    return printed(snprintf(dst, KEY_MAX, "ff:{%s:%d}", log, partition), KEY_MAX);
}

size_t key_side(char dst[KEY_MAX], const char *log, int32_t partition)
{
    return printed(snprintf(dst, KEY_MAX, "ff:{%s:%d}:side", log, partition), KEY_MAX);
}

size_t key_index(char dst[KEY_MAX], const char *log, int32_t partition)
{
    return printed(snprintf(dst, KEY_MAX, "ff:{%s:%d}:last", log, partition), KEY_MAX);
}

size_t key_index_old(char dst[KEY_MAX], const char *log, int32_t partition)
{
    return printed(snprintf(dst, KEY_MAX, "ff:{%s:%d}:last:old", log, partition), KEY_MAX);
}

size_t key_segment(char dst[KEY_MAX], const char *log, int32_t partition, uint64_t from)
{
    return printed(
        snprintf(dst, KEY_MAX, "ff:{%s:%d}:seg:%llu", log, partition, (unsigned long long)from),
        KEY_MAX);
}

size_t key_segment_want(char dst[KEY_MAX], const char *log, int32_t partition, uint64_t from)
{
    return printed(snprintf(dst, KEY_MAX, "ff:{%s:%d}:seg:%llu:want", log, partition,
                            (unsigned long long)from),
                   KEY_MAX);
}

size_t key_topic(char dst[KEY_MAX], const char *topic)
{
    return printed(snprintf(dst, KEY_MAX, "ff:topic:%s", topic), KEY_MAX);
}

bool log_id_is_valid(struct slice s)
{
    if (s.n != LOG_ID_LEN)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')))
            return false;
    }
    return true;
}

size_t beacon_field(char dst[KEY_MAX], const char *log, int32_t partition)
{
    return printed(snprintf(dst, KEY_MAX, "p:%s:%d", log, partition), KEY_MAX);
}

size_t beacon_print(char dst[256], const struct beacon_row *row)
{
    must((size_t)row->state < ARRAY_LEN(states));
    return printed(snprintf(dst, 256, "%llu %s %s %llu %llu %llu %llu",
                            (unsigned long long)row->counter, row->worker, states[row->state],
                            (unsigned long long)row->low, (unsigned long long)row->end,
                            (unsigned long long)row->last, (unsigned long long)row->age_ms),
                   256);
}

/* Takes what stands before the first sep, or all; false if there is nothing left. */
static bool take_until(struct slice *it, char sep, struct slice *ret)
{
    const char *at;

    if (!it->p)
        return false;
    at = it->n ? memchr(it->p, sep, it->n) : NULL;
    if (!at) {
        *ret = *it;
        *it = (struct slice){NULL, 0};
        return true;
    }
    *ret = (struct slice){it->p, (size_t)(at - it->p)};
    *it = (struct slice){at + 1, it->n - ret->n - 1};
    return true;
}

static bool take_number(struct slice *it, char sep, uint64_t max, uint64_t *ret)
{
    struct slice text;

    return take_until(it, sep, &text) && decimal_parse(text, max, ret);
}

/* "p:<log>:<p>" */
static int parse_field(struct slice field, struct beacon_row *row)
{
    struct slice kind, log;
    uint64_t partition;

    if (!take_until(&field, ':', &kind))
        return -EBADMSG;
    if (slice_eq(kind, SLICE("w")) && field.p)
        return -ENOENT;
    if (!slice_eq(kind, SLICE("p")) || !take_until(&field, ':', &log) || !log_id_is_valid(log) ||
        !take_number(&field, ':', INT32_MAX, &partition) || field.p)
        return -EBADMSG;
    memcpy(row->log, log.p, log.n);
    row->partition = (int32_t)partition;
    return 0;
}

static bool parse_state(struct slice text, enum beacon_state *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        if (slice_eq(text, slice_of(states[i]))) {
            *ret = (enum beacon_state)i;
            return true;
        }
    }
    return false;
}

static bool parse_worker(struct slice text, struct beacon_row *row)
{
    if (text.n < 1 || text.n >= sizeof(row->worker) || memchr(text.p, '\0', text.n))
        return false;
    memcpy(row->worker, text.p, text.n);
    return true;
}

size_t segment_want_print(char dst[KEY_MAX], const struct segment_want *w)
{
    return printed(
        snprintf(dst, KEY_MAX, "%s %d %llu", w->log, w->partition, (unsigned long long)w->from),
        KEY_MAX);
}

int segment_want_parse(struct slice text, struct segment_want *ret)
{
    struct segment_want w = {.partition = 0};
    uint64_t partition;
    struct slice log;

    if (!take_until(&text, ' ', &log) || !log_id_is_valid(log) ||
        !take_number(&text, ' ', INT32_MAX, &partition) ||
        !take_number(&text, ' ', INT64_MAX, &w.from) || text.p)
        return -EBADMSG;
    memcpy(w.log, log.p, log.n);
    w.partition = (int32_t)partition;
    *ret = w;
    return 0;
}

/* An older worker doesn't say it. */
static bool take_age(struct slice *it, uint64_t *ret)
{
    *ret = BEACON_AGE_UNKNOWN;
    return !it->p || take_number(it, ' ', INT64_MAX, ret);
}

int beacon_parse(struct slice field, struct slice value, struct beacon_row *ret)
{
    struct beacon_row row = {.counter = 0};
    struct slice worker, state;
    int r = parse_field(field, &row);

    if (r < 0)
        return r;
    if (!take_number(&value, ' ', UINT64_MAX, &row.counter) || !take_until(&value, ' ', &worker) ||
        !parse_worker(worker, &row) || !take_until(&value, ' ', &state) ||
        !parse_state(state, &row.state) || !take_number(&value, ' ', INT64_MAX, &row.low) ||
        !take_number(&value, ' ', INT64_MAX, &row.end) ||
        !take_number(&value, ' ', INT64_MAX, &row.last) || !take_age(&value, &row.age_ms) ||
        value.p)
        return -EBADMSG;
    *ret = row;
    return 0;
}
