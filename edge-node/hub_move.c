/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_move.c: which clients are told to reconnect elsewhere, when some have to.
 */
#include "edge-node/hub.h"
#include "edge-node/session.h"

#define LOOKS_EACH 32 /* sessions that are looked at for one that is wanted */

uint32_t hub_move(struct hub *h, uint32_t n, uint16_t code)
{
    struct session *s, *tmp;
    uint32_t moved = 0;

    list_for_each_safe(s, tmp, &h->sessions, in_hub) {
        if (moved == n)
            break;
        if (s->state >= SESSION_CLOSING)
            continue;
        session_close(s, code);
        moved++;
    }
    return moved;
}

/* Who was looked at goes to the end of the list, so that the next call finds others. */
static uint32_t move_strays(struct hub *h, uint32_t n, uint16_t code, hub_is_stray_fn *is_stray,
                            void *arg)
{
    uint64_t looks = (uint64_t)n * LOOKS_EACH;
    uint32_t moved = 0;

    if (looks > h->session_count)
        looks = h->session_count;
    for (; looks > 0 && moved < n; looks--) {
        struct session *s = list_first(&h->sessions, struct session, in_hub);
        list_move_tail(&h->sessions, &s->in_hub);
        if (s->state >= SESSION_CLOSING || !is_stray(s, arg))
            continue;
        session_close(s, code);
        moved++;
    }
    return moved;
}

uint32_t hub_shed(struct hub *h, uint32_t n, uint16_t code, hub_is_stray_fn *is_stray, void *arg)
{
    uint32_t strays = move_strays(h, n, code, is_stray, arg);

    return strays + hub_move(h, n - strays, code);
}
