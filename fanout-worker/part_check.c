/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_check.c: is it still the same log, the same stream? What a running partition looks at
 * regularly, and what makes it attach again.
 *
 * The overlap check of a running partition compares its anchor: a record that was confirmed when
 * the check before was asked for (at first: the one that the attach compared, or the first that was
 * appended), so it is of this log. The newest record would prove nothing: a topic made anew and
 * already longer is read on at the same offset, and then the newest one is of the new log. If the
 * anchor is still there, what was confirmed when it was asked for is of the same log, and the next
 * anchor.
 * @thread pump
 */
#include <errno.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/runtime/log.h"

#include "fanout-worker/pump_impl.h"

#define IDLE_MS     250
#define CHECK_FAILS 2 /* checks that Kafka doesn't answer, in a row, before all is asked anew */

/* Whatever was read or asked before now may be of another log: it is dropped, and everything asked
 * again. */
void part_doubt(struct part *p)
{
    if (p->state == PART_LAST || p->state == PART_FACTS || p->state == PART_RUN)
        part_retry(p, PART_AGAIN_MS);
}

void part_check(struct part *p)
{
    struct history_point acked = {p->ap.acked, p->ap.acked_fp, p->ap.has_fp};
    struct history_job *j;

    if (p->state != PART_RUN || p->check_asked || p->anchor.pos == 0 ||
        !attach_check_is_due(p->pu->beat, p->id.topic, p->id.partition))
        return;
    if (attach_place(p->anchor.pos, p->low, (int64_t)p->anchor.pos) == CHECK_GONE) {
        p->anchor.pos = 0; /* retention took it; the next append gives another */
        return;
    }
    j = part_job(p, HISTORY_CHECK);
    j->before = p->anchor;
    p->mark = acked.has_fp && acked.pos > p->anchor.pos ? acked : p->anchor;
    p->check_asked = true;
    PUMP_METRIC(p->pu, overlap_checks, 1);
    history_post(p->pu->history, j);
}

void part_on_check(struct part *p, const struct history_job *j)
{
    p->check_asked = false;
    if (j->token != p->token || p->state != PART_RUN || j->err == -EAGAIN)
        return; /* the next one comes in seconds */
    p->check_fails = j->err < 0 ? p->check_fails + 1 : 0;
    if (j->err < 0 && p->check_fails < CHECK_FAILS)
        return;
    if (j->err == 0 && j->check == CHECK_SAME)
        p->anchor = p->mark;
    else if (j->err == 0 && j->check == CHECK_DIFFERENT)
        part_is_other(p);
    else
        part_attach(p); /* retention took it, Kafka's end lies before it, it can't be had */
}

static void on_idle(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    _cleanup_free_ struct part_ask *ask = arg;
    struct part *p = ask->p;
    uint64_t last;

    (void)c;
    if (!reply || ask->token != p->token || p->state != PART_RUN || ask->acked != p->ap.acked ||
        p->ap.inflight > 0)
        return;
    if (redis_is_error(reply, "NOSCRIPT"))
        site_load(p->at);
    if (redis_type(reply) != REDIS_T_ARRAY ||
        !decimal_parse(redis_str(redis_at(reply, 0)), UINT64_MAX, &last))
        return;
    if (last == p->ap.acked)
        return;
    PUMP_METRIC(p->pu, moved_back, 1);
    log_warn("stream_moved", " stream=%s expected=%llu found=%llu", p->stream,
             (unsigned long long)p->ap.acked, (unsigned long long)last);
    part_attach(p);
}

void part_idle_check(struct part *p)
{
    part_index_tick(p);
    if (p->state == PART_RUN && p->ap.inflight == 0 && clock_mono_ms() - p->moved_ms >= IDLE_MS)
        part_ask_last(p, on_idle);
}
