/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verdict.c: see verdict.h. Files are judged one after the other, so only one process's clients are
 * in memory at a time: two bits a record for each (client, channel).
 */
#include "loadgen/verdict.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "loadgen/dlog.h"

struct record {
    uint64_t pos;
    uint32_t digest;
};

struct channel {
    char *key;
    size_t key_len;
    struct record *v;
    size_t n, cap;
    int32_t partition; /* of its records; -1 = none yet */
    struct tally tally;
};

struct truth {
    struct channel *v;
    uint32_t n, cap;
    uint32_t *slots; /* open addressing: number + 1 of a channel by its key */
    size_t slot_mask;
    struct span {
        uint64_t begin, end; /* positions: last one before it, last one of it */
    } * spans;               /* by partition */
    size_t span_count;
    uint64_t records, others;
    bool broken; /* a key's positions didn't rise */
    struct tally all;
};

enum seen {
    SEEN_NOT,
    SEEN_DELIVERED,
    SEEN_TOLD
};

/* What one client has of one channel. */
struct watch {
    uint64_t name;         /* client << 32 | channel, + 1; 0 = free slot */
    uint64_t from, cursor; /* positions */
    size_t start, next;    /* indexes into the channel's records */
    size_t until;          /* owed up to here, exclusive */
    uint8_t *seen;         /* two bits a record */
};

struct judge {
    struct truth *t;
    struct watch *slots;
    size_t mask, count;
};

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

/* First record behind pos. */
static size_t index_behind(const struct channel *ch, uint64_t pos)
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

static enum seen seen_get(const struct watch *w, size_t i)
{
    return (enum seen)(w->seen[i / 4] >> (i % 4 * 2) & 3);
}

static void seen_set(struct watch *w, size_t i, enum seen what)
{
    unsigned shift = (unsigned)(i % 4 * 2);
    w->seen[i / 4] = (uint8_t)((w->seen[i / 4] & ~(3u << shift)) | (unsigned)what << shift);
}

static struct watch *watch_slot(const struct judge *j, uint64_t name)
{
    size_t i = (size_t)(name * 0x9e3779b97f4a7c15u >> 20) & j->mask;
    while (j->slots[i].name != 0 && j->slots[i].name != name)
        i = (i + 1) & j->mask;
    return &j->slots[i];
}

static void judge_grow(struct judge *j)
{
    struct judge bigger = {j->t, NULL, j->slots ? j->mask * 2 + 1 : 4095, j->count};
    bigger.slots = mem_zalloc((bigger.mask + 1) * sizeof *bigger.slots);
    for (size_t i = 0; j->slots && i <= j->mask; i++)
        if (j->slots[i].name)
            *watch_slot(&bigger, j->slots[i].name) = j->slots[i];
    free(j->slots);
    *j = bigger;
}

static void watch_begin(struct judge *j, struct watch *w, const struct dlog_row *row)
{
    struct channel *ch = &j->t->v[row->channel];
    if (w->name) { /* a subscription begins once; later it is resumed or told */
        ch->tally.wrong++;
        return;
    }
    w->name = ((uint64_t)row->client << 32 | row->channel) + 1;
    w->from = w->cursor = row->pos;
    w->start = w->next = index_behind(ch, row->pos);
    w->until = ch->n;
    w->seen = mem_zalloc(ch->n / 4 + 1);
    ch->tally.subscriptions++;
    if (++j->count * 2 > j->mask)
        judge_grow(j);
}

/* Is a position outside of the truth? A channel without records has no partition: the narrowest
 * span is the careful answer, as nothing at all may come inside of any. */
static bool is_outside(const struct truth *t, const struct channel *ch, uint64_t pos)
{
    if (ch->partition >= 0 && (size_t)ch->partition < t->span_count)
        return pos > t->spans[ch->partition].end || pos <= t->spans[ch->partition].begin;
    for (size_t i = 0; i < t->span_count; i++)
        if (pos > t->spans[i].end || pos <= t->spans[i].begin)
            return true;
    return false;
}

static void watch_delivered(struct judge *j, struct watch *w, const struct dlog_row *row)
{
    struct channel *ch = &j->t->v[row->channel];
    if (row->pos > w->from && is_outside(j->t, ch, row->pos))
        return;
    ch->tally.delivered++;
    if (row->pos > w->cursor)
        w->cursor = row->pos;
    size_t i = w->next;
    if (i >= ch->n || ch->v[i].pos != row->pos) {
        if (row->pos <= w->from) {
            ch->tally.duplicate++;
            return;
        }
        i = index_behind(ch, row->pos);
        if (i == 0 || ch->v[i - 1].pos != row->pos) {
            ch->tally.wrong++;
            return;
        }
        i--;
    }
    if (seen_get(w, i) == SEEN_DELIVERED)
        ch->tally.duplicate++;
    else if (i < w->next)
        ch->tally.disorder++;
    else
        w->next = i + 1;
    seen_set(w, i, SEEN_DELIVERED);
    if (row->type == DLOG_MARKER) {
        ch->tally.told++;
        seen_set(w, i, SEEN_TOLD);
    } else if (ch->v[i].digest != row->digest) {
        ch->tally.wrong++;
    }
}

/* A gap was announced: what lies behind the cursor up to pos may be missing. */
static void watch_told(struct judge *j, struct watch *w, uint32_t channel, uint64_t pos)
{
    struct channel *ch = &j->t->v[channel];
    ch->tally.told++;
    size_t until = index_behind(ch, pos);
    for (size_t i = index_behind(ch, w->cursor); i < until; i++)
        if (seen_get(w, i) == SEEN_NOT)
            seen_set(w, i, SEEN_TOLD);
    if (until > w->next)
        w->next = until;
    if (pos > w->cursor)
        w->cursor = pos;
}

static void judge_row(struct judge *j, const struct dlog_row *row)
{
    struct watch *w = watch_slot(j, ((uint64_t)row->client << 32 | row->channel) + 1);
    if (row->type == DLOG_SUBSCRIBED) {
        watch_begin(j, w, row);
        return;
    }
    struct tally *tally = &j->t->v[row->channel].tally;
    if (!w->name) {
        tally->wrong++;
    } else if (row->type == DLOG_DELIVERED || row->type == DLOG_MARKER) {
        watch_delivered(j, w, row);
    } else if (row->type == DLOG_RESUMED) {
        tally->resumed++;
    } else if (row->type == DLOG_TOLD) {
        watch_told(j, w, row->channel, row->pos);
    } else { /* DLOG_ENDED */
        tally->told++;
        w->until = index_behind(&j->t->v[row->channel], w->cursor);
    }
}

/* At the end of a file: what was owed and never came. */
static void judge_close(struct judge *j)
{
    for (size_t k = 0; k <= j->mask; k++) {
        struct watch *w = &j->slots[k];
        if (!w->name)
            continue;
        struct channel *ch = &j->t->v[(w->name - 1) & UINT32_MAX];
        for (size_t i = w->start; i < w->until; i++) {
            enum seen seen = seen_get(w, i);
            ch->tally.expected++;
            ch->tally.missing += seen == SEEN_NOT;
            ch->tally.told_records += seen == SEEN_TOLD;
        }
        free(w->seen);
    }
    free(j->slots);
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
}

int truth_judge(struct truth *t, const char *path)
{
    FILE *f = fopen(path, "rbe");
    if (!f)
        return -errno;
    struct judge j = {t, NULL, 0, 0};
    judge_grow(&j);
    struct dlog_row rows[4096];
    size_t n = 0, left = 0;
    int r = 0;
    while (r == 0 && (n = fread((char *)rows + left, 1, sizeof rows - left, f)) > 0) {
        n += left;
        for (size_t i = 0; i < n / sizeof rows[0] && r == 0; i++) {
            if (rows[i].channel >= t->n || rows[i].type < DLOG_SUBSCRIBED ||
                rows[i].type > DLOG_ENDED)
                r = -EBADMSG;
            else
                judge_row(&j, &rows[i]);
        }
        left = n % sizeof rows[0];
        memmove(rows, (char *)rows + (n - left), left);
    }
    if (r == 0 && (left != 0 || ferror(f)))
        r = -EBADMSG;
    (void)fclose(f);
    judge_close(&j);
    t->all = (struct tally){0};
    for (uint32_t i = 0; i < t->n; i++)
        tally_add(&t->all, &t->v[i].tally);
    return r;
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
               ",\"resumed\":%" PRIu64,
               s->subscriptions, s->expected, s->delivered, s->missing, s->duplicate, s->disorder,
               s->wrong, s->told, s->told_records, s->resumed);
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
