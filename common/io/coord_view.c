/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_view.c: an immutable, counted view. Whoever drops the last reference frees it. @thread any
 */
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/io/coord_impl.h"

struct counted_view {
    _Atomic uint32_t refs;
    struct coord_list list;
    struct coord_view view;
};

static struct counted_view *counted(const struct coord_view *v)
{
    return container_of((uintptr_t)v, struct counted_view, view);
}

struct coord_view *coord_view_take(struct coord_list *members, uint64_t lost_ms)
{
    struct counted_view *cv = mem_zalloc(sizeof(*cv));

    cv->refs = 1;
    cv->list = *members;
    *members = (struct coord_list){NULL, 0, 0};
    coord_list_sort(&cv->list);
    cv->view = (struct coord_view){
        .at_ms = clock_mono_ms(), .lost_ms = lost_ms, .count = cv->list.n, .members = cv->list.v};
    return &cv->view;
}

void coord_view_ref_more(const struct coord_view *v)
{
    atomic_fetch_add_explicit(&counted(v)->refs, 1, memory_order_relaxed);
}

void coord_view_unref(const struct coord_view *v)
{
    struct counted_view *cv;

    if (!v)
        return;
    cv = counted(v);
    if (atomic_fetch_sub_explicit(&cv->refs, 1, memory_order_acq_rel) > 1)
        return;
    coord_list_done(&cv->list);
    free(cv);
}

static bool text_differs(const char *a, const char *b)
{
    return strcmp(a, b) != 0;
}

static bool member_differs(const struct coord_member *a, const struct coord_member *b)
{
    return !coord_member_is_same(a, b) || text_differs(a->region, b->region) ||
           text_differs(a->url, b->url) || text_differs(a->admin, b->admin) ||
           text_differs(a->redis, b->redis) || text_differs(a->version, b->version) ||
           a->is_self != b->is_self || a->is_untold != b->is_untold ||
           !coord_load_eq(&a->load, &b->load);
}

bool coord_view_differs(const struct coord_view *a, const struct coord_view *b)
{
    if (a->count != b->count || a->lost_ms != b->lost_ms)
        return true;
    for (size_t i = 0; i < a->count; i++)
        if (member_differs(&a->members[i], &b->members[i]))
            return true;
    return false;
}
