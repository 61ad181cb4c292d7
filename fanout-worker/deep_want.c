/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deep_want.c: a want, from the list to a row in hand: is it of a log that we read, does anybody
 * still wait, has nobody read it? While its row is in hand the want's key stands in Redis, renewed,
 * so that nobody else takes the same. @thread history
 */
#include "common/base/clock.h"

#include "fanout-worker/deep_impl.h"
#include "fanout-worker/worker_metric.h"

#define WANT_TTL_MS "2500"

static struct slice key_of(char key[KEY_MAX], const struct segment_want *want)
{
    return (struct slice){key, key_segment_want(key, want->log, want->partition, want->from)};
}

static void on_there(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct deep_row *row = arg;

    (void)c;
    if (deep_row_answered(row, reply))
        row->there = redis_int(reply) == 1;
}

static void on_claimed(struct redis_conn *c, const struct redis_reply *reply, void *arg)
{
    struct deep_row *row = arg;
    const struct deep_reader *r;

    deep_see_readonly(c, reply);
    if (!deep_row_answered(row, reply))
        return;
    if (redis_type(reply) != REDIS_T_STATUS || row->there) { /* nobody waits any more */
        deep_row_end(row, NULL);
        return;
    }
    DEEP_COUNT(row->d, deep_wants, 1);
    r = deep_reader_at(row);
    if (r) {
        row->low = r->low;
        deep_row_go(row, DEEP_WAIT);
    } else {
        deep_ask_last(row);
    }
}

static size_t rows_of(const struct deep *d, const struct segment_want *want)
{
    const struct deep_row *row;
    size_t n = 0;

    list_for_each(row, &d->rows, node)
        n += row->state != DEEP_DONE && row->want.partition == want->partition &&
             strcmp(row->want.log, want->log) == 0;
    return n;
}

void deep_want_take(struct deep *d, const struct segment_want *want)
{
    struct deep_row *row = mem_zalloc(sizeof(*row));
    char key[KEY_MAX], lock[KEY_MAX];
    bool much = rows_of(d, want) >= DEEP_EACH;

    row->d = d;
    row->want = *want;
    row->end_ms = clock_mono_ms() + DEEP_ROW_MS;
    list_add_tail(&d->rows, &row->node);
    d->count++;
    ev_timer_start(d->h->loop, &d->tick);
    if (!deep_find_topic(row) || much ||
        !deep_row_place(row)) { /* ours to forget: nobody else has it */
        deep_row_end(row, NULL);
        return;
    }
    row->replies += 2;
    redis_cmd(deep_conn(row), on_there, row, 2,
              (struct slice[]){SLICE("EXISTS"),
                               {key, key_segment(key, want->log, want->partition, want->from)}});
    redis_cmd(deep_conn(row), on_claimed, row, 6,
              (struct slice[]){SLICE("SET"), key_of(lock, want), SLICE("1"), SLICE("XX"),
                               SLICE("PX"), SLICE(WANT_TTL_MS)});
}

void deep_want_renew(const struct deep_row *row)
{
    char key[KEY_MAX];

    redis_cmd(deep_conn(row), NULL, NULL, 3,
              (struct slice[]){SLICE("PEXPIRE"), key_of(key, &row->want), SLICE(WANT_TTL_MS)});
}

void deep_want_drop(const struct deep_row *row)
{
    char key[KEY_MAX];

    redis_cmd(deep_conn(row), NULL, NULL, 2,
              (struct slice[]){SLICE("DEL"), key_of(key, &row->want)});
}
