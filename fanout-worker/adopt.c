/* SPDX-License-Identifier: Apache-2.0 */
/*
 * adopt.c: see adopt.h. A region has few workers: they are searched linearly.
 *
 * Owns what it remembers of each worker, and of each partition that a row says is adopted: those
 * are judged by their own counter, since an adopter that gave way lives on. @thread pump
 */
#include "fanout-worker/adopt.h"

#include <stdlib.h>

#include "common/base/hash.h"

#define FORGET_MS 120000 /* a worker that stands still so long has no row any more */

struct worker {
    struct list link;
    uint32_t value, round; /* its row's checksum; when it was last there */
    uint32_t moved_round;
    uint32_t age_ms; /* since then */
    bool moved, left;
    bool known_dead; /* a whole reading has shown what it left */
    size_t n;
    char id[WORKER_ID_MAX];
};

struct marked {
    struct list link;
    char log[LOG_ID_LEN + 1];
    int32_t partition;
    uint64_t counter;
    uint32_t age_ms, round;
    char worker[WORKER_ID_MAX];
};

void adopt_init(struct adopt *a, const char *self)
{
    *a = (struct adopt){.self = self};
    list_init(&a->workers);
    list_init(&a->marked);
}

void adopt_clear(struct adopt *a)
{
    struct worker *w, *next_w;
    struct marked *m, *next_m;

    list_for_each_safe(w, next_w, &a->workers, link) {
        list_del(&w->link);
        free(w);
    }
    list_for_each_safe(m, next_m, &a->marked, link) {
        list_del(&m->link);
        free(m);
    }
    a->read_ms = 0;
    a->step_ms = a->value = 0;
}

static struct worker *find(const struct adopt *a, struct slice id)
{
    struct worker *w;

    list_for_each(w, &a->workers, link) {
        if (slice_eq((struct slice){w->id, w->n}, id))
            return w;
    }
    return NULL;
}

static bool is_dead(const struct worker *w)
{
    return w->moved && (w->left || w->age_ms >= ADOPT_STALE_MS);
}

/* ---- a reading ---- */

void adopt_begin(struct adopt *a, uint64_t now_ms)
{
    uint64_t step = a->step_ms + (a->read_ms ? now_ms - a->read_ms : 0);

    a->step_ms = step < ADOPT_STEP_MS ? (uint32_t)step : ADOPT_STEP_MS;
    a->read_ms = now_ms;
    a->ticked = false;
    a->round++;
}

void adopt_worker(struct adopt *a, struct slice id, struct slice value)
{
    uint32_t sum = crc32c(0, value.p, value.n);
    struct worker *w;

    if (slice_eq(id, slice_of(a->self))) {
        a->ticked = a->value != sum;
        a->value = sum;
        a->value_round = a->round;
        return;
    }
    if (id.n == 0 || id.n >= WORKER_ID_MAX)
        return;
    w = find(a, id);
    if (!w) {
        w = mem_zalloc(sizeof(*w));
        memcpy(w->id, id.p, id.n);
        w->n = id.n;
        list_add_tail(&a->workers, &w->link);
    } else if (w->value != sum || w->left) {
        w->moved = true;
        w->left = w->known_dead = false;
        w->age_ms = 0;
        w->moved_round = a->round;
    }
    w->value = sum;
    w->round = a->round;
}

static void count_time(struct adopt *a)
{
    struct worker *w;
    struct marked *m;

    if (!a->ticked)
        return;
    list_for_each(w, &a->workers, link)
        w->age_ms += w->moved_round == a->round ? 0 : a->step_ms;
    list_for_each(m, &a->marked, link)
        m->age_ms += a->step_ms;
    a->step_ms = 0;
}

/* What died is remembered for as long as its partitions' rows may be there. */
void adopt_end(struct adopt *a, bool whole)
{
    struct worker *w, *next;

    count_time(a);
    whole = whole && a->value_round == a->round; /* not if Redis was emptied */
    list_for_each_safe(w, next, &a->workers, link) {
        if (whole && w->round != a->round && !w->left) {
            w->left = true;
            w->age_ms = w->age_ms > ADOPT_STALE_MS ? w->age_ms : ADOPT_STALE_MS;
        }
        if (whole)
            w->known_dead = is_dead(w);
        if (w->age_ms > FORGET_MS || (w->left && !w->moved)) {
            list_del(&w->link);
            free(w);
        }
    }
}

bool adopt_has_news(const struct adopt *a)
{
    const struct worker *w;

    list_for_each(w, &a->workers, link) {
        if ((is_dead(w) && !w->known_dead) || (!w->left && w->round != a->round))
            return true;
    }
    return false;
}

size_t adopt_others(const struct adopt *a, struct slice *dst, size_t cap)
{
    struct worker *w;
    size_t n = 0;

    list_for_each(w, &a->workers, link) {
        if (n < cap)
            dst[n++] = (struct slice){w->id, w->n};
    }
    return n;
}

/* ---- a partition ---- */

static uint64_t score(struct slice id, const struct beacon_row *row)
{
    uint32_t p = (uint32_t)row->partition, place = crc32c(0, row->log, LOG_ID_LEN);

    place = crc32c(place, &p, sizeof(p));
    return hash_u64((uint64_t)crc32c(0, id.p, id.n) << 32 | place);
}

static bool comes_before(struct slice id, struct slice other, const struct beacon_row *row)
{
    uint64_t one = score(id, row), two = score(other, row);

    if (one != two)
        return one > two;
    return murmur2(id.p, id.n) > murmur2(other.p, other.n); /* any order will do */
}

/* How many of the living come before us. */
static uint32_t turn_of(const struct adopt *a, const struct beacon_row *row)
{
    const struct worker *w;
    uint32_t n = 0;

    list_for_each(w, &a->workers, link) {
        if (w->moved && !is_dead(w) &&
            comes_before((struct slice){w->id, w->n}, slice_of(a->self), row))
            n++;
    }
    return n;
}

/* The row's age as far as we saw it; a new one, or another writer's, begins at 0. */
static uint32_t marked_age(struct adopt *a, const struct beacon_row *row)
{
    struct marked *m, *next, *found = NULL;

    list_for_each_safe(m, next, &a->marked, link) {
        if (m->partition == row->partition && strcmp(m->log, row->log) == 0) {
            found = m;
        } else if (m->age_ms > FORGET_MS) {
            list_del(&m->link);
            free(m);
        }
    }
    if (!found) {
        found = mem_zalloc(sizeof(*found));
        memcpy(found->log, row->log, sizeof(found->log));
        found->partition = row->partition;
        list_add_tail(&a->marked, &found->link);
    }
    if (found->counter != row->counter || strcmp(found->worker, row->worker) != 0)
        found->age_ms = 0;
    found->counter = row->counter;
    memcpy(found->worker, row->worker, sizeof(found->worker));
    return found->age_ms;
}

enum adopt_say adopt_look(struct adopt *a, const struct beacon_row *row)
{
    struct slice writer = slice_of(row->worker);
    bool marked = writer.n > 1 && writer.p[writer.n - 1] == ADOPT_MARK, is_self;
    const struct worker *w;
    uint32_t age = 0;

    if (marked) {
        writer.n--;
        age = marked_age(a, row);
    }
    is_self = slice_eq(writer, slice_of(a->self));
    w = is_self ? NULL : find(a, writer);
    if (w && is_dead(w))
        age = w->age_ms;
    else if (!marked || age < ADOPT_STALE_MS)
        return is_self || (marked && comes_before(slice_of(a->self), writer, row)) ? ADOPT_OTHERS
                                                                                   : ADOPT_YIELD;
    return age >= ADOPT_STALE_MS + turn_of(a, row) * ADOPT_TURN_MS ? ADOPT_TAKE : ADOPT_WAIT;
}
