/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list.h: intrusive doubly linked list. A state is membership of one list.
 *
 * A node that is in no list points at itself, so removing twice is harmless. @thread of its owner
 */
#pragma once

#include "common/base/base.h"

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l)
{
    l->next = l->prev = l;
}

static inline bool list_is_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_add_tail(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_del(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Moves node from whichever list it is in (or none) to the end of head. */
static inline void list_move_tail(struct list *head, struct list *node)
{
    list_del(node);
    list_add_tail(head, node);
}

/* Moves all nodes of from to the end of to; from is empty afterwards. */
static inline void list_splice_tail(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first(head, type, member) \
    (list_is_empty(head) ? NULL : list_entry((head)->next, type, member))

/* The current node may be removed inside list_for_each_safe, no other. */
#define list_for_each(it, head, member)                                                 \
    for (it = list_entry((head)->next, __typeof__(*it), member); &it->member != (head); \
         it = list_entry(it->member.next, __typeof__(*it), member))
#define list_for_each_safe(it, tmp, head, member)                   \
    for (it = list_entry((head)->next, __typeof__(*it), member),    \
        tmp = list_entry(it->member.next, __typeof__(*it), member); \
         &it->member != (head);                                     \
         it = tmp, tmp = list_entry(tmp->member.next, __typeof__(*it), member))
