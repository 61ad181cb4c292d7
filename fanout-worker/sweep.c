/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sweep.c: see sweep.h. Knows no Redis, so that it is tested with a clock of the test's own.
 */
#include "fanout-worker/sweep.h"

#include <stdlib.h>

#include "common/base/hash.h"

struct row {
    struct hmap_node node;
    struct list in_rows;
    uint64_t value_hash, since_ms;
    uint32_t round;
    size_t n;
    char field[];
};

void sweep_init(struct sweep *s)
{
    *s = (struct sweep){.round = 1};
    hmap_init(&s->by_field);
    list_init(&s->rows);
}

static void forget(struct sweep *s, struct row *r)
{
    hmap_remove(&s->by_field, &r->node);
    list_del(&r->in_rows);
    free(r);
}

void sweep_clear(struct sweep *s)
{
    struct row *r, *next;

    list_for_each_safe(r, next, &s->rows, in_rows)
        forget(s, r);
    hmap_done(&s->by_field);
    hmap_init(&s->by_field);
}

static struct row *find(struct sweep *s, struct slice field)
{
    uint64_t hash = hash_bytes(field.p, field.n);
    struct hmap_node *n;
    struct row *r;

    for (n = hmap_first(&s->by_field, hash); n; n = hmap_next(n)) {
        r = container_of(n, struct row, node);
        if (slice_eq((struct slice){r->field, r->n}, field))
            return r;
    }
    r = mem_zalloc(sizeof(*r) + field.n);
    r->n = field.n;
    memcpy(r->field, field.p, field.n);
    list_init(&r->in_rows);
    hmap_insert(&s->by_field, &r->node, hash);
    return r;
}

bool sweep_row(struct sweep *s, struct slice field, struct slice value, uint64_t now_ms)
{
    uint64_t hash = hash_bytes(value.p, value.n);
    struct row *r;

    if (field.n < 3 || (field.p[0] != 'w' && field.p[0] != 'p') || field.p[1] != ':')
        return false;
    r = find(s, field);
    if (!r->round || r->value_hash != hash)
        r->since_ms = now_ms;
    r->value_hash = hash;
    r->round = s->round;
    list_move_tail(&s->rows, &r->in_rows);
    return now_ms - r->since_ms >= SWEEP_MS;
}

void sweep_end(struct sweep *s)
{
    struct row *r, *next;

    list_for_each_safe(r, next, &s->rows, in_rows) {
        if (r->round == s->round)
            break;
        forget(s, r);
    }
    s->round++;
}
