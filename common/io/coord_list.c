/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_list.c: lists of members with their texts: one block for each member, which begins at its
 * node's name. @thread of its owner
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/io/coord_impl.h"

/* The texts of a member, in the order in which they stand in its block. */
static const size_t texts[] = {
    offsetof(struct coord_member, node),  offsetof(struct coord_member, region),
    offsetof(struct coord_member, url),   offsetof(struct coord_member, admin),
    offsetof(struct coord_member, redis), offsetof(struct coord_member, version),
};

static const char **text_of(struct coord_member *m, size_t i)
{
    return (const char **)(void *)((char *)m + texts[i]);
}

void coord_list_add(struct coord_list *l, const struct coord_member *from)
{
    struct coord_member m = *from;
    size_t size[ARRAY_LEN(texts)], all = 0;
    char *block;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (!*text_of(&m, i))
            *text_of(&m, i) = "";
        size[i] = strlen(*text_of(&m, i)) + 1;
        all += size[i];
    }
    block = mem_alloc(all);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        memcpy(block, *text_of(&m, i), size[i]);
        *text_of(&m, i) = block;
        block += size[i];
    }
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 8;
        l->v = mem_realloc(l->v, l->cap * sizeof(*l->v));
    }
    l->v[l->n++] = m;
}

static void drop(struct coord_member *m)
{
    free((void *)(uintptr_t)m->node); /* where its block begins */
}

void coord_list_done(struct coord_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        drop(&l->v[i]);
    free(l->v);
    *l = (struct coord_list){NULL, 0, 0};
}

static int by_name(const void *pa, const void *pb)
{
    const struct coord_member *a = pa, *b = pb;
    int by = (int)a->role - (int)b->role;

    return by ? by : strcmp(a->node, b->node);
}

static int by_region(const void *pa, const void *pb)
{
    const struct coord_member *a = pa, *b = pb;
    int by = strcmp(a->region, b->region);

    return by ? by : by_name(pa, pb);
}

bool coord_member_is_same(const struct coord_member *a, const struct coord_member *b)
{
    return by_name(a, b) == 0;
}

int coord_member_order(const struct coord_member *a, const struct coord_member *b)
{
    return by_region(a, b);
}

void coord_list_sort(struct coord_list *l)
{
    size_t kept = 0;

    if (!l->n)
        return;
    qsort(l->v, l->n, sizeof(*l->v), by_name);
    for (size_t i = 0; i < l->n; i++) {
        if (kept && coord_member_is_same(&l->v[kept - 1], &l->v[i]))
            drop(&l->v[i]);
        else
            l->v[kept++] = l->v[i];
    }
    l->n = kept;
    qsort(l->v, l->n, sizeof(*l->v), by_region);
}

const struct coord_member *coord_list_find(const struct coord_list *l, const struct coord_member *m)
{
    for (size_t i = 0; i < l->n; i++)
        if (coord_member_is_same(&l->v[i], m))
            return &l->v[i];
    return NULL;
}

bool coord_load_eq(const struct coord_load *a, const struct coord_load *b)
{
    return a->clients == b->clients && a->room == b->room && a->connect_rate == b->connect_rate &&
           a->partitions == b->partitions && a->cpu_permille == b->cpu_permille &&
           a->lag_ms == b->lag_ms && a->ready == b->ready && a->draining == b->draining;
}
