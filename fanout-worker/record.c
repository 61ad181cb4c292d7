/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.c: from a source's record to an entry, see record.h.
 *
 * The order of the checks is the order of blame: key, channel, partition, size, payload.
 * Pure but for its scratch memory. @thread any
 */
#include "fanout-worker/record.h"

#include <errno.h>
#include <stdio.h>

#include "common/base/jsoncheck.h"
#include "common/base/utf8.h"

/* A record's size is its value's: a key is at most 255 bytes, and this is all that travels of its
 * headers. */
#define RECORD_TAGS_MAX 4096

#define TAG_ERROR       SLICE("fanfare-error")
#define TAG_SIZE        SLICE("fanfare-size")

static const char *const refusal_names[REFUSAL_COUNT] = {
    "no_key", "bad_key", "unreachable", "too_large", "invalid_payload", "tombstone", "moved",
};

const char *refusal_name(enum refusal why)
{
    return why < REFUSAL_COUNT ? refusal_names[why] : "none";
}

void record_maker_done(struct record_maker *m)
{
    buf_done(&m->channel);
    buf_done(&m->tags);
    buf_done(&m->payload);
}

static struct record_result skip(enum refusal why)
{
    return (struct record_result){.fate = RECORD_SKIP, .why = why};
}

static bool is_allowed(const struct conf_strings *allow, struct slice name)
{
    for (size_t i = 0; i < allow->n; i++) {
        if (slice_eq(slice_of(allow->v[i]), name))
            return true;
    }
    return false;
}

static uint8_t collect_tags(struct record_maker *m, const struct record_rules *rules,
                            const struct source_record *r, uint32_t *ret_left)
{
    const struct conf_strings *allow = &rules->ns->conf->headers;
    struct slice name, value;
    uint8_t count = 0;

    buf_clear(&m->tags);
    if (allow->n == 0 || !r->header)
        return 0;
    for (size_t i = 0; r->header(r->raw, i, &name, &value); i++) {
        if (!is_allowed(allow, name))
            continue;
        if (count == ENTRY_TAGS_MAX || m->tags.n + name.n + value.n > RECORD_TAGS_MAX || !value.p ||
            !utf8_is_valid(name) || !utf8_is_valid(value)) {
            (*ret_left)++;
            continue;
        }
        entry_tag_add(&m->tags, name, value);
        count++;
    }
    return count;
}

/* Turns *e into a marker, or says skip: what on_too_large asks for. */
static struct record_result cannot_carry(struct record_maker *m, const struct record_rules *rules,
                                         enum refusal why, size_t size, struct entry *e)
{
    char digits[24];
    int n;

    if (rules->ns->conf->on_too_large == NS_FATE_SKIP)
        return skip(why);
    buf_clear(&m->tags);
    entry_tag_add(&m->tags, TAG_ERROR, slice_of(refusal_name(why)));
    e->tag_count = 1;
    if (why == REFUSED_TOO_LARGE) {
        n = snprintf(digits, sizeof(digits), "%zu", size);
        entry_tag_add(&m->tags, TAG_SIZE, (struct slice){digits, (size_t)n});
        e->tag_count = 2;
    }
    e->kind = ENTRY_NULL;
    e->marker = true;
    e->tags = buf_as_slice(&m->tags);
    e->payload = SLICE("");
    return (struct record_result){.fate = RECORD_ENTRY, .why = why};
}

/* Sets kind and payload. False: on_invalid says reject. */
static bool shape_payload(struct record_maker *m, const struct namespace_conf *conf,
                          struct slice value, struct entry *e)
{
    enum jsoncheck verdict;

    e->payload = value;
    if (conf->payload == NS_BINARY) {
        e->kind = ENTRY_BINARY;
        return true;
    }
    if (conf->payload == NS_JSON) {
        verdict = jsoncheck(value);
        if (verdict == JSONCHECK_OK) {
            e->kind = ENTRY_JSON;
            return true;
        }
        if (verdict == JSONCHECK_LINES) {
            buf_clear(&m->payload);
            m->payload.n = jsoncheck_strip_lines(buf_reserve(&m->payload, value.n), value);
            e->payload = buf_as_slice(&m->payload);
            e->kind = ENTRY_JSON;
            return true;
        }
    } else if (utf8_is_valid(value)) {
        e->kind = ENTRY_TEXT;
        return true;
    }
    if (conf->on_invalid == NS_INVALID_REJECT)
        return false;
    e->kind =
        conf->on_invalid == NS_INVALID_STRING && utf8_is_valid(value) ? ENTRY_TEXT : ENTRY_BINARY;
    return true;
}

static bool fits_earlier(const struct record_rules *rules, struct slice key)
{
    enum partitioner how = (enum partitioner)rules->ns->conf->partitioner;

    for (size_t i = 0; i < rules->earlier_count; i++) {
        if (partitioner_of(how, key, rules->earlier[i]) == rules->partition)
            return true;
    }
    return false;
}

static enum record_fate check_partition(const struct record_rules *rules, struct slice key,
                                        enum refusal *ret_why, bool *ret_mismatch)
{
    int32_t p =
        partitioner_of((enum partitioner)rules->ns->conf->partitioner, key, rules->partitions);

    if (p < 0 || p == rules->partition)
        return RECORD_ENTRY;
    if (rules->unmapped) {
        *ret_mismatch = true;
        return RECORD_ENTRY;
    }
    /* After partitions were added, what was written before lies where the old count put it. Its
     * channel is read from another partition now, so nobody would find it here. */
    if (fits_earlier(rules, key)) {
        *ret_why = REFUSED_MOVED;
        return RECORD_SKIP;
    }
    return RECORD_MISMATCH;
}

struct record_result record_make(struct record_maker *m, const struct record_rules *rules,
                                 const struct source_record *r, struct entry *ret)
{
    struct record_result res = {.fate = RECORD_ENTRY, .why = REFUSED_NOT};
    struct record_result refused;
    int err;

    if (!r->key.p || r->key.n == 0)
        return skip(REFUSED_NO_KEY);
    err = namespace_channel(rules->nss, rules->ns, r->key, &m->channel);
    if (err < 0)
        return skip(err == -ENXIO ? REFUSED_UNREACHABLE : REFUSED_BAD_KEY);
    res.fate = check_partition(rules, r->key, &res.why, &res.mismatch);
    if (res.fate != RECORD_ENTRY)
        return res;
    if (!r->value.p && rules->ns->conf->on_tombstone == NS_TOMBSTONE_SKIP)
        return skip(REFUSED_TOMBSTONE);

    *ret = (struct entry){
        .time_ms = r->time_ms > 0 ? r->time_ms : 0,
        .fingerprint = entry_fingerprint(r->key, r->value, r->time_ms),
        .kind = ENTRY_NULL,
        .channel = buf_as_slice(&m->channel),
        .payload = SLICE(""),
    };
    ret->tag_count = collect_tags(m, rules, r, &res.tags_left);
    ret->tags = buf_as_slice(&m->tags);
    if (r->value.n > (size_t)rules->record_max)
        refused = cannot_carry(m, rules, REFUSED_TOO_LARGE, r->value.n, ret);
    else if (r->value.p && !shape_payload(m, rules->ns->conf, r->value, ret))
        refused = cannot_carry(m, rules, REFUSED_INVALID, r->value.n, ret);
    else
        return res;
    refused.mismatch = res.mismatch;
    refused.tags_left = res.tags_left;
    return refused;
}
