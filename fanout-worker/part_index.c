/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_index.c: a partition's last-position index as script calls, and what the answers mean.
 *
 * The transport behind index.h. Once a second, and whenever many channels moved, what moved is
 * added behind the appends it belongs to: the script comes after them on the same connection, and
 * sees by the stream's last position whether they succeeded. Nothing waits for it; whatever goes
 * wrong here leaves the index as it is. @thread pump
 */
#include <stdlib.h>

#include "common/base/decimal.h"
#include "common/runtime/log.h"

#include "fanout-worker/pump_impl.h"

#define READ_ENTRIES   SLICE("200")   /* a call's cost */
#define READ_POSITIONS SLICE("20000") /* what lies further behind isn't read, but given up */

struct index_call {
    struct part *p;
    uint64_t gen;
};

static struct index_call *call_new(struct part *p, uint64_t gen)
{
    struct index_call *c = mem_alloc(sizeof(*c));

    *c = (struct index_call){p, gen};
    return c;
}

/* Of one generation: the old one may be as large. */
static struct slice bound(const struct part *p, char dst[DECIMAL_MAX])
{
    return decimal_slice(dst, (uint64_t)p->pu->opts.index_bytes / 2);
}

/* A refusal is no fault: somebody else wrote, or Redis went back. */
static bool is_good(struct part *p, const struct redis_reply *reply)
{
    if (redis_type(reply) != REDIS_T_ERROR)
        return true;
    PUMP_METRIC(p->pu, index_failed, 1);
    if (redis_is_error(reply, "NOSCRIPT"))
        site_load(p->at);
    else if (!redis_is_error(reply, "REFUSED"))
        log_warn("index_failed", " stream=%s reply=%s", p->stream, log_value(redis_str(reply)));
    return false;
}

static void on_added(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    _cleanup_free_ struct index_call *call = arg;
    struct part *p = call->p;

    (void)c;
    if (!reply) /* a lost connection attaches all again */
        return;
    if (!is_good(p, reply))
        index_failed(&p->ix, call->gen);
    else if (redis_int(reply) == 2)
        PUMP_METRIC(p->pu, index_begun, 1);
}

static void send_add(void *arg, uint64_t gen, uint64_t base, uint64_t upto,
                     const struct hmap *moves)
{
    struct part *p = arg;
    struct pump *pu = p->pu;
    size_t argc = 6 + moves->count * 2, bucket = 0, at = 6;
    char fixed[3][DECIMAL_MAX], *digits;
    struct hmap_node *n = NULL;
    struct slice *argv;

    buf_clear(&pu->scratch);
    digits = buf_reserve(&pu->scratch, moves->count * DECIMAL_MAX);
    argv = pump_argv(pu, argc);
    argv[0] = SLICE("2");
    argv[1] = slice_of(p->stream);
    argv[2] = slice_of(p->side);
    argv[3] = decimal_slice(fixed[0], base);
    argv[4] = decimal_slice(fixed[1], upto);
    argv[5] = bound(p, fixed[2]);
    while ((n = hmap_walk(moves, &bucket, n))) {
        const struct index_move *m = container_of(n, struct index_move, node);

        argv[at++] = (struct slice){m->name, m->n};
        argv[at++] = decimal_slice(digits, m->pos);
        digits += DECIMAL_MAX;
    }
    PUMP_METRIC(pu, index_moves, moves->count);
    site_eval(p->at, SCRIPT_INDEX_ADD, on_added, call_new(p, gen), (int)argc, argv);
}

/* {where the index ends, what was done} */
static void on_told(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    _cleanup_free_ struct index_call *call = arg;
    struct part *p = call->p;
    uint64_t upto;

    (void)c;
    if (!reply)
        return;
    if (!is_good(p, reply) || redis_len(reply) != 2 ||
        !decimal_parse(redis_str(redis_at(reply, 0)), INT64_MAX, &upto)) {
        index_failed(&p->ix, call->gen);
        return;
    }
    PUMP_METRIC(p->pu, index_begun, redis_int(redis_at(reply, 1)) == 2);
    index_told(&p->ix, call->gen, upto, redis_int(redis_at(reply, 1)) > 0);
}

static void send_read(void *arg, uint64_t gen, uint64_t from)
{
    char fixed[2][DECIMAL_MAX];
    struct part *p = arg;
    struct slice argv[7] = {SLICE("2"), slice_of(p->stream), slice_of(p->side)};

    argv[3] = decimal_slice(fixed[0], from);
    argv[4] = bound(p, fixed[1]);
    argv[5] = READ_ENTRIES;
    argv[6] = READ_POSITIONS;
    PUMP_METRIC(p->pu, index_reads, 1);
    site_eval(p->at, SCRIPT_INDEX_READ, on_told, call_new(p, gen), 7, argv);
}

const struct index_io part_index_io = {.add = send_add, .read = send_read};

/* Once a second each; in turn, so that Redis isn't kept from its readers by all in a row. */
void part_index_tick(struct part *p)
{
    if (p->state != PART_RUN || (p->pu->beat + (uint64_t)p->id.partition) % 4 != 0)
        return;
    p->index_due = p->ap.count > 0; /* its moves are those of entries that haven't left */
    if (!p->index_due)
        index_flush(&p->ix);
}

void part_index_sent(struct part *p)
{
    must(p->ix.at == p->ap.tail);
    if (p->index_due || index_is_full(&p->ix)) {
        p->index_due = false;
        index_flush(&p->ix);
    }
}
