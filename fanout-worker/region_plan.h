/* SPDX-License-Identifier: Apache-2.0 */
/*
 * region_plan.h: which regions a worker feeds, and which of their processes are to start or end
 * now.
 *
 * Pure: told a view, the ends of processes and the time. A region is wanted while a live edge of it
 * is in the view; what its Redis is, its edges say. A region without any stays for `keep_ms`, and
 * for as long as the view is the last one of a coordination service that is lost: then nobody
 * knows.
 * Names and addresses come from other nodes: those that can't be used are counted, not obeyed.
 * @thread main
 */
#pragma once

#include "common/base/base.h"

struct coord_view;

#define REGIONS_MAX      64
#define REGION_NAME_MAX  64  /* [A-Za-z0-9._-], as in the name of a consumer group */
#define REGION_REDIS_MAX 300 /* bytes of the address, with the NUL */
#define REGION_PAUSE_MIN 1000
#define REGION_PAUSE_MAX 30000
#define REGION_WELL_MS   60000 /* a process that lived so long begins with the least pause again */

enum region_act {
    REGION_REST,
    REGION_START,
    REGION_END,    /* SIGTERM; not said twice */
    REGION_FORGET, /* nothing is left of it: region_plan_forget */
};

struct region_row {
    char name[REGION_NAME_MAX + 1];
    char redis[REGION_REDIS_MAX];   /* as its edges say now */
    char started[REGION_REDIS_MAX]; /* what its process was given */
    int pid;                        /* 0: no process */
    bool is_ending;
    bool is_seen;      /* scratch of region_plan_see */
    bool is_split;     /* its edges name different ones: the first one's counts */
    uint64_t gone_ms;  /* since when no edge is live; 0: one is */
    uint64_t began_ms; /* its process */
    uint64_t start_ms; /* not before */
    uint64_t pause_ms; /* before the start after the next end */
};

struct region_plan {
    struct region_row rows[REGIONS_MAX];
    size_t count;
    uint64_t keep_ms;
    size_t refused; /* members of the last view with a name or address that can't be used */
    bool is_full;   /* the last view had more than REGIONS_MAX */
};

void region_plan_init(struct region_plan *p, uint64_t keep_ms);
/* Times are clock_mono_ms(), never 0. */
void region_plan_see(struct region_plan *p, const struct coord_view *v, uint64_t now);
enum region_act region_plan_act(const struct region_plan *p, const struct region_row *r,
                                uint64_t now);
void region_plan_started(struct region_row *r, int pid, uint64_t now);
/* Its process is no more (or could not be made). */
void region_plan_ended(struct region_row *r, uint64_t now);
void region_plan_forget(struct region_plan *p, struct region_row *r);
struct region_row *region_plan_of_pid(struct region_plan *p, int pid); /* NULL: none */
