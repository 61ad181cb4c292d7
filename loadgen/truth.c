/* SPDX-License-Identifier: Apache-2.0 */
/*
 * truth.c: see truth.h. Records are kept as (position, digest), channels in a table by their key.
 */
#include "loadgen/truth.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "loadgen/dlog.h"

static void truth_grow_slots(struct truth *t);

struct truth *truth_new(void)
{
    struct truth *t = mem_zalloc(sizeof *t);
    truth_grow_slots(t);
    return t;
}

void truth_free(struct truth *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < t->n; i++) {
        free(t->v[i].key);
        free(t->v[i].v);
    }
    free(t->v);
    free(t->slots);
    free(t->spans);
    free(t);
}

/* The slot of a key: either free or holding it. */
static uint32_t *slot_of(const struct truth *t, struct slice key)
{
    size_t i = dlog_digest(key.p, key.n) & t->slot_mask;
    for (;; i = (i + 1) & t->slot_mask) {
        if (t->slots[i] == 0)
            return &t->slots[i];
        const struct channel *ch = &t->v[t->slots[i] - 1];
        if (slice_eq(key, (struct slice){ch->key, ch->key_len}))
            return &t->slots[i];
    }
}

static void truth_grow_slots(struct truth *t)
{
    size_t size = t->slots ? (t->slot_mask + 1) * 2 : 1024;
    free(t->slots);
    t->slots = mem_zalloc(size * sizeof *t->slots);
    t->slot_mask = size - 1;
    for (uint32_t i = 0; i < t->n; i++)
        *slot_of(t, (struct slice){t->v[i].key, t->v[i].key_len}) = i + 1;
}

uint32_t truth_watch(struct truth *t, struct slice key)
{
    uint32_t *slot = slot_of(t, key);
    if (*slot)
        return *slot - 1;
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 64;
        t->v = mem_realloc(t->v, t->cap * sizeof *t->v);
    }
    t->v[t->n] =
        (struct channel){.key = mem_strndup(key.p, key.n), .key_len = key.n, .partition = -1};
    *slot = ++t->n;
    if ((size_t)t->n * 2 > t->slot_mask)
        truth_grow_slots(t);
    return t->n - 1;
}

int truth_record(struct truth *t, struct slice key, int32_t partition, uint64_t pos,
                 uint32_t digest)
{
    uint32_t slot = *slot_of(t, key);
    if (!slot) {
        t->others++;
        return 0;
    }
    struct channel *ch = &t->v[slot - 1];
    if (ch->n > 0 && (pos <= ch->v[ch->n - 1].pos || partition != ch->partition)) {
        t->broken = true;
        return -EBADMSG;
    }
    if (ch->n == ch->cap) {
        ch->cap = ch->cap ? ch->cap * 2 : 64;
        ch->v = mem_realloc(ch->v, ch->cap * sizeof *ch->v);
    }
    ch->v[ch->n++] = (struct record){pos, digest};
    ch->partition = partition;
    t->records++;
    return 0;
}

static struct span *span_of(struct truth *t, int32_t partition)
{
    size_t i = (size_t)partition;
    if (i >= t->span_count) {
        t->spans = mem_realloc(t->spans, (i + 1) * sizeof *t->spans);
        memset(t->spans + t->span_count, 0, (i + 1 - t->span_count) * sizeof *t->spans);
        t->span_count = i + 1;
    }
    return &t->spans[i];
}

void truth_begin(struct truth *t, int32_t partition, uint64_t last_pos)
{
    span_of(t, partition)->begin = last_pos;
}

void truth_end(struct truth *t, int32_t partition, uint64_t last_pos)
{
    span_of(t, partition)->end = last_pos;
}

uint64_t truth_records(const struct truth *t)
{
    return t->records;
}

uint32_t truth_channels(const struct truth *t)
{
    return t->n;
}

uint64_t truth_last(const struct truth *t, uint32_t channel)
{
    const struct channel *ch = &t->v[channel];
    return ch->n ? ch->v[ch->n - 1].pos : 0;
}

size_t truth_index_behind(const struct channel *ch, uint64_t pos)
{
    size_t low = 0, high = ch->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (ch->v[mid].pos <= pos)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Is a position outside of the truth? A channel without records has no partition: the narrowest
 * span is the careful answer, as nothing at all may come inside of any. */
bool truth_is_outside(const struct truth *t, const struct channel *ch, uint64_t pos)
{
    if (ch->partition >= 0 && (size_t)ch->partition < t->span_count)
        return pos > t->spans[ch->partition].end || pos <= t->spans[ch->partition].begin;
    for (size_t i = 0; i < t->span_count; i++)
        if (pos > t->spans[i].end || pos <= t->spans[i].begin)
            return true;
    return false;
}

static void tally_add(struct tally *into, const struct tally *from)
{
    into->subscriptions += from->subscriptions;
    into->expected += from->expected;
    into->delivered += from->delivered;
    into->missing += from->missing;
    into->duplicate += from->duplicate;
    into->disorder += from->disorder;
    into->wrong += from->wrong;
    into->told += from->told;
    into->told_records += from->told_records;
    into->resumed += from->resumed;
    into->false_recovered += from->false_recovered;
}

void truth_sum(struct truth *t)
{
    t->all = (struct tally){0};
    for (uint32_t i = 0; i < t->n; i++)
        tally_add(&t->all, &t->v[i].tally);
}

const struct tally *truth_tally(const struct truth *t)
{
    return &t->all;
}

static uint64_t faults(const struct tally *s)
{
    return s->missing + s->duplicate + s->disorder + s->wrong;
}

bool truth_is_clean(const struct truth *t, bool allow_told)
{
    return !t->broken && faults(&t->all) == 0 && t->all.subscriptions > 0 &&
           (allow_told || t->all.told == 0);
}

static void tally_print(const struct tally *s, struct buf *out)
{
    buf_printf(out,
               "\"subscriptions\":%" PRIu64 ",\"expected\":%" PRIu64 ",\"delivered\":%" PRIu64
               ",\"missing\":%" PRIu64 ",\"duplicate\":%" PRIu64 ",\"disorder\":%" PRIu64
               ",\"wrong\":%" PRIu64 ",\"told\":%" PRIu64 ",\"told_records\":%" PRIu64
               ",\"resumed\":%" PRIu64 ",\"false_recovered\":%" PRIu64,
               s->subscriptions, s->expected, s->delivered, s->missing, s->duplicate, s->disorder,
               s->wrong, s->told, s->told_records, s->resumed, s->false_recovered);
}

static void channels_print(const struct truth *t, bool bad, size_t *room, struct buf *out)
{
    for (uint32_t i = 0; i<t->n && * room> 0; i++) {
        const struct channel *ch = &t->v[i];
        if ((faults(&ch->tally) + ch->tally.told > 0) != bad)
            continue;
        if (out->p[out->n - 1] != '[')
            buf_byte(out, ',');
        buf_lit(out, "{\"key\":");
        buf_json_string(out, (struct slice){ch->key, ch->key_len});
        buf_printf(out, ",\"records\":%zu,", ch->n);
        tally_print(&ch->tally, out);
        buf_byte(out, '}');
        --*room;
    }
}

void truth_print(const struct truth *t, size_t channels, bool allow_told, struct buf *out)
{
    buf_printf(out, "{\"clean\":%s,\"ordered_log\":%s,\"records\":%" PRIu64 ",\"channels\":%u,",
               truth_is_clean(t, allow_told) ? "true" : "false", t->broken ? "false" : "true",
               t->records, t->n);
    tally_print(&t->all, out);
    buf_lit(out, ",\"by_channel\":[");
    channels_print(t, true, &channels, out);
    channels_print(t, false, &channels, out);
    buf_lit(out, "]}");
}
