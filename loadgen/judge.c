/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.c: see judge.h. Files are judged one after the other, so only one process's clients are in
 * memory at a time: two bits a record for each (client, channel).
 */
#include "loadgen/judge.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "loadgen/dlog.h"

enum seen {
    SEEN_NOT,
    SEEN_DELIVERED,
    SEEN_TOLD,
    SEEN_SKIPPED /* missing, right behind a cursor that was called recovered */
};

/* What one client has of one channel. */
struct watch {
    uint64_t name;         /* client << 32 | channel, + 1; 0 = free slot */
    uint64_t from, cursor; /* positions */
    size_t start, next;    /* indexes into the channel's records */
    size_t until;          /* owed up to here, exclusive */
    bool resumed;          /* recovered:true, and nothing came since */
    uint8_t *seen;         /* two bits a record */
};

struct judge {
    struct truth *t;
    struct watch *slots;
    size_t mask, count;
};

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
    w->start = w->next = truth_index_behind(ch, row->pos);
    w->until = ch->n;
    w->seen = mem_zalloc(ch->n / 4 + 1);
    ch->tally.subscriptions++;
    if (++j->count * 2 > j->mask)
        judge_grow(j);
}

/* The record at i is the first that came after recovered:true. */
static void watch_skipped(struct watch *w, size_t i)
{
    for (size_t k = w->next; k < i; k++)
        if (seen_get(w, k) == SEEN_NOT)
            seen_set(w, k, SEEN_SKIPPED);
}

static void watch_delivered(struct judge *j, struct watch *w, const struct dlog_row *row)
{
    struct channel *ch = &j->t->v[row->channel];
    if (row->pos > w->from && truth_is_outside(j->t, ch, row->pos))
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
        i = truth_index_behind(ch, row->pos);
        if (i == 0 || ch->v[i - 1].pos != row->pos) {
            ch->tally.wrong++;
            return;
        }
        i--;
    }
    if (w->resumed)
        watch_skipped(w, i);
    w->resumed = false;
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
    w->resumed = false;
    size_t until = truth_index_behind(ch, pos);
    for (size_t i = truth_index_behind(ch, w->cursor); i < until; i++)
        if (seen_get(w, i) == SEEN_NOT)
            seen_set(w, i, SEEN_TOLD);
    if (until > w->next)
        w->next = until;
    if (pos > w->cursor)
        w->cursor = pos;
}

/* The client went back to an earlier cursor: what it didn't get until now never came. */
static void watch_rewound(struct judge *j, struct watch *w, const struct dlog_row *row)
{
    struct channel *ch = &j->t->v[row->channel];
    size_t from = truth_index_behind(ch, row->pos);
    if (row->pos < w->from || row->pos > w->cursor) {
        ch->tally.wrong++;
        return;
    }
    for (size_t i = from; i < w->next; i++) {
        enum seen seen = seen_get(w, i);
        ch->tally.missing += seen == SEEN_NOT || seen == SEEN_SKIPPED;
        ch->tally.false_recovered += seen == SEEN_SKIPPED;
        seen_set(w, i, SEEN_NOT);
    }
    w->next = from < w->next ? from : w->next;
    w->cursor = row->pos;
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
        w->resumed = true;
    } else if (row->type == DLOG_TOLD) {
        watch_told(j, w, row->channel, row->pos);
    } else if (row->type == DLOG_REWOUND) {
        watch_rewound(j, w, row);
    } else { /* DLOG_ENDED */
        tally->told++;
        w->until = truth_index_behind(&j->t->v[row->channel], w->cursor);
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
            ch->tally.missing += seen == SEEN_NOT || seen == SEEN_SKIPPED;
            ch->tally.false_recovered += seen == SEEN_SKIPPED;
            ch->tally.told_records += seen == SEEN_TOLD;
        }
        free(w->seen);
    }
    free(j->slots);
}

int judge_file(struct truth *t, const char *path)
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
                rows[i].type > DLOG_REWOUND)
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
    truth_sum(t);
    return r;
}
