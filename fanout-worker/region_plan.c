/* SPDX-License-Identifier: Apache-2.0 */
/*
 * region_plan.c: see region_plan.h.
 */
#include "fanout-worker/region_plan.h"

#include <stdio.h>

#include "common/io/coord.h"

void region_plan_init(struct region_plan *p, uint64_t keep_ms)
{
    *p = (struct region_plan){.keep_ms = keep_ms};
}

static bool is_name(const char *s)
{
    size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

    return n > 0 && n <= REGION_NAME_MAX && !s[n];
}

static struct region_row *row_of(struct region_plan *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->rows[i].name, name) == 0)
            return &p->rows[i];
    return NULL;
}

static void see_member(struct region_plan *p, const struct coord_member *m)
{
    struct region_row *r;

    if (m->role != COORD_EDGE)
        return;
    if (!is_name(m->region) || !m->redis[0] || strlen(m->redis) >= REGION_REDIS_MAX) {
        p->refused++;
        return;
    }
    r = row_of(p, m->region);
    if (!r && p->count == REGIONS_MAX) {
        p->is_full = true;
        return;
    }
    if (!r) {
        r = &p->rows[p->count++];
        *r = (struct region_row){.pause_ms = REGION_PAUSE_MIN};
        snprintf(r->name, sizeof(r->name), "%s", m->region);
    }
    if (r->is_seen) {
        r->is_split |= strcmp(r->redis, m->redis) != 0;
        return;
    }
    r->is_seen = true;
    r->is_split = false;
    snprintf(r->redis, sizeof(r->redis), "%s", m->redis);
}

void region_plan_see(struct region_plan *p, const struct coord_view *v, uint64_t now)
{
    p->refused = 0;
    p->is_full = false;
    for (size_t i = 0; i < p->count; i++)
        p->rows[i].is_seen = false;
    for (size_t i = 0; i < v->count; i++)
        see_member(p, &v->members[i]);
    for (size_t i = 0; i < p->count; i++) {
        struct region_row *r = &p->rows[i];
        if (r->is_seen || v->lost_ms)
            r->gone_ms = 0;
        else if (!r->gone_ms)
            r->gone_ms = now;
    }
}

static bool is_over(const struct region_plan *p, const struct region_row *r, uint64_t now)
{
    return r->gone_ms && now >= r->gone_ms + p->keep_ms;
}

enum region_act region_plan_act(const struct region_plan *p, const struct region_row *r,
                                uint64_t now)
{
    if (r->pid) {
        bool moved = strcmp(r->redis, r->started) != 0;
        return !r->is_ending && (moved || is_over(p, r, now)) ? REGION_END : REGION_REST;
    }
    if (is_over(p, r, now))
        return REGION_FORGET;
    return now >= r->start_ms ? REGION_START : REGION_REST;
}

void region_plan_started(struct region_row *r, int pid, uint64_t now)
{
    r->pid = pid;
    r->began_ms = now;
    r->is_ending = false;
    snprintf(r->started, sizeof(r->started), "%s", r->redis);
}

void region_plan_ended(struct region_row *r, uint64_t now)
{
    if (r->is_ending || (r->pid && now >= r->began_ms + REGION_WELL_MS))
        r->pause_ms = REGION_PAUSE_MIN;
    r->start_ms = r->is_ending ? now : now + r->pause_ms;
    if (!r->is_ending)
        r->pause_ms = r->pause_ms * 2 < REGION_PAUSE_MAX ? r->pause_ms * 2 : REGION_PAUSE_MAX;
    r->pid = 0;
    r->is_ending = false;
}

void region_plan_forget(struct region_plan *p, struct region_row *r)
{
    *r = p->rows[--p->count];
}

struct region_row *region_plan_of_pid(struct region_plan *p, int pid)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->rows[i].pid == pid)
            return &p->rows[i];
    return NULL;
}
