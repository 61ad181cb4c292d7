/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inbox.h: how history and pump hand each other work: a locked list and a bell.
 *
 * A job is heap memory; posting moves it, taking moves it on. The bell rings at each post and must
 * only wake its owner (ev_async_send, a condition variable). @thread post: any; take: its owner
 */
#pragma once

#include <pthread.h>

#include "common/base/list.h"

struct inbox {
    pthread_mutex_t lock;
    struct list items;
    void (*bell)(void *arg);
    void *arg;
};

static inline void inbox_init(struct inbox *in, void (*bell)(void *arg), void *arg)
{
    must(pthread_mutex_init(&in->lock, NULL) == 0);
    list_init(&in->items);
    in->bell = bell;
    in->arg = arg;
}

static inline void inbox_post(struct inbox *in, struct list *item)
{
    pthread_mutex_lock(&in->lock);
    list_add_tail(&in->items, item);
    pthread_mutex_unlock(&in->lock);
    in->bell(in->arg);
}

static inline bool inbox_is_empty(struct inbox *in)
{
    bool empty;

    pthread_mutex_lock(&in->lock);
    empty = list_is_empty(&in->items);
    pthread_mutex_unlock(&in->lock);
    return empty;
}

/* Moves all there is to the end of *ret. */
static inline void inbox_take(struct inbox *in, struct list *ret)
{
    pthread_mutex_lock(&in->lock);
    list_splice_tail(ret, &in->items);
    pthread_mutex_unlock(&in->lock);
}
