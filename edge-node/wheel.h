/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wheel.h: a timer wheel for many coarse timers: 128 slots of 512 ms, O(1) to set and to fire.
 *
 * A timer further away than the wheel's 65 s fires at its slot and is put back by the wheel.
 * @thread shard
 */
#pragma once

#include "common/base/list.h"

#define WHEEL_SLOTS   128
#define WHEEL_STEP_MS 512

struct wheel_timer {
    struct list node;
    uint64_t due_ms;
};

struct wheel {
    struct list slots[WHEEL_SLOTS];
    uint64_t done; /* steps that were run */
};

static inline void wheel_init(struct wheel *w, uint64_t now_ms)
{
    for (size_t i = 0; i < WHEEL_SLOTS; i++)
        list_init(&w->slots[i]);
    w->done = now_ms / WHEEL_STEP_MS;
}

static inline void wheel_timer_init(struct wheel_timer *t)
{
    list_init(&t->node);
}

static inline void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t due_ms)
{
    uint64_t step = due_ms / WHEEL_STEP_MS + 1; /* never early */
    uint64_t last = w->done + WHEEL_SLOTS - 1;

    t->due_ms = due_ms;
    if (step <= w->done)
        step = w->done + 1;
    list_move_tail(&w->slots[(step < last ? step : last) % WHEEL_SLOTS], &t->node);
}

static inline void wheel_stop(struct wheel_timer *t)
{
    list_del(&t->node);
}

/* Calls fire(t) for each timer that is due; it may set or stop any timer. */
static inline void wheel_run(struct wheel *w, uint64_t now_ms,
                             void (*fire)(struct wheel_timer *t, uint64_t now_ms))
{
    while (w->done < now_ms / WHEEL_STEP_MS) {
        struct list due;
        struct wheel_timer *t;
        w->done++;
        list_init(&due);
        list_splice_tail(&due, &w->slots[w->done % WHEEL_SLOTS]);
        while ((t = list_first(&due, struct wheel_timer, node))) {
            list_del(&t->node);
            if (t->due_ms > now_ms)
                wheel_set(w, t, t->due_ms);
            else
                fire(t, now_ms);
        }
    }
}
