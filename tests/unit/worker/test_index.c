/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_index.c: when a worker's moves may be added to the index, over a transport that only writes
 * down what it is given. test_index_random.c asks whether what the index then says is so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "fanout-worker/index.h"

static struct {
    int adds, reads;
    uint64_t gen, base, upto, from;
    size_t moves;
    uint64_t pos_of_a; /* in the last add; 0: not in it */
} wire;

static void on_add(void *arg, uint64_t gen, uint64_t base, uint64_t upto, const struct hmap *moves)
{
    struct hmap_node *n = NULL;

    (void)arg;
    wire.adds++;
    wire.gen = gen;
    wire.base = base;
    wire.upto = upto;
    wire.moves = moves->count;
    wire.pos_of_a = 0;
    for (size_t i = 0; (n = hmap_walk(moves, &i, n));) {
        const struct index_move *m = container_of(n, struct index_move, node);

        if (m->n == 1 && m->name[0] == 'a')
            wire.pos_of_a = m->pos;
    }
}

static void on_read(void *arg, uint64_t gen, uint64_t from)
{
    (void)arg;
    wire.reads++;
    wire.gen = gen;
    wire.from = from;
}

static const struct index_io io = {.add = on_add, .read = on_read};
static struct index ix;

static void begin(uint64_t chain)
{
    memset(&wire, 0, sizeof(wire));
    index_init(&ix, &io, NULL);
    index_begin(&ix, chain);
}

/* The index ends at chain: moves can be added. */
static void begin_known(uint64_t chain)
{
    begin(chain);
    index_flush(&ix);
    index_told(&ix, wire.gen, chain, false);
    assert_int_equal(ix.state, INDEX_KNOWN);
}

static void note(const char *channel, uint64_t pos)
{
    index_note(&ix, slice_of(channel), pos);
    index_assert(&ix);
}

static void note_many(uint64_t first, uint64_t n)
{
    char name[24];

    for (uint64_t pos = first; pos < first + n; pos++) {
        (void)snprintf(name, sizeof(name), "n%llu", (unsigned long long)pos);
        note(name, pos);
    }
}

static void nothing_is_added_before_its_end_is_known(void **state)
{
    (void)state;
    begin(100);
    note("a", 101);
    note("b", 103);
    index_flush(&ix);
    assert_int_equal(wire.reads, 1);
    assert_int_equal(wire.from, 100);
    note("a", 104);
    index_flush(&ix); /* once is enough */
    assert_int_equal(wire.reads, 1);
    index_told(&ix, wire.gen, 102, false); /* another worker's doing, inside of ours */
    assert_int_equal(wire.adds, 0);
    index_flush(&ix);
    assert_int_equal(wire.adds, 1);
    assert_int_equal(wire.base, 102);
    assert_int_equal(wire.upto, 104);
    assert_int_equal(wire.moves, 2);
    assert_int_equal(wire.pos_of_a, 104);
    index_flush(&ix); /* nothing moved since */
    assert_int_equal(wire.adds, 1);
    index_done(&ix);
}

static void adds_follow_each_other(void **state)
{
    (void)state;
    begin_known(7);
    note("a", 8);
    index_flush(&ix);
    note("b", 9);
    index_flush(&ix);
    assert_int_equal(wire.base, 8);
    assert_int_equal(wire.upto, 9);
    assert_int_equal(wire.moves, 1);
    index_done(&ix);
}

static void what_failed_is_asked_for(void **state)
{
    uint64_t gen;

    (void)state;
    begin_known(7);
    note("a", 8);
    index_flush(&ix);
    gen = wire.gen;
    note("a", 9);
    index_flush(&ix);
    index_failed(&ix, gen);
    index_failed(&ix, gen); /* the second one's, of the same cause */
    note("a", 10);
    index_flush(&ix);
    assert_int_equal(wire.reads, 2);
    assert_int_equal(wire.from, 9); /* what was sent is unknown, what came later isn't */
    index_told(&ix, wire.gen, 5, true);
    assert_int_equal(wire.reads, 3); /* it comes nearer: at once again */
    index_told(&ix, wire.gen, 9, true);
    index_flush(&ix);
    assert_int_equal(wire.base, 9);
    assert_int_equal(wire.upto, 10);
    index_done(&ix);
}

static void an_idle_one_is_looked_after(void **state)
{
    (void)state;
    begin_known(7);
    for (int i = 1; i < INDEX_IDLE; i++)
        index_flush(&ix);
    assert_int_equal(wire.adds, 0);
    index_flush(&ix);
    assert_int_equal(wire.adds, 1);
    assert_int_equal(wire.base, 7);
    assert_int_equal(wire.upto, 7);
    assert_int_equal(wire.moves, 0);
    index_failed(&ix, wire.gen); /* it is gone */
    index_flush(&ix);
    assert_int_equal(wire.reads, 2);
    index_done(&ix);
}

static void an_index_elsewhere_is_left_alone(void **state)
{
    (void)state;
    begin(100);
    note("a", 101);
    index_flush(&ix);
    index_told(&ix, wire.gen, 102, false); /* ahead of us: somebody else is, too */
    index_flush(&ix);
    assert_int_equal(wire.reads, 2);
    index_told(&ix, wire.gen, 0, false); /* no stream */
    assert_int_equal(wire.reads, 2);
    index_flush(&ix);
    assert_int_equal(wire.reads, 3);
    assert_int_equal(wire.adds, 0);
    index_done(&ix);
}

static void answers_of_another_time_are_ignored(void **state)
{
    uint64_t gen;

    (void)state;
    begin(100);
    index_flush(&ix);
    gen = wire.gen;
    index_reset(&ix);
    index_told(&ix, gen, 100, false);
    assert_int_equal(ix.state, INDEX_OFF);
    index_begin(&ix, 200);
    index_told(&ix, gen, 200, false);
    index_failed(&ix, gen);
    assert_int_equal(ix.state, INDEX_UNKNOWN);
    index_done(&ix);
}

static void moves_are_bounded(void **state)
{
    (void)state;
    begin(0);
    index_flush(&ix);
    note_many(1, INDEX_MOVES + 10);
    assert_false(index_is_full(&ix)); /* it can't be flushed, so it needn't be */
    assert_int_equal(ix.moves.count, 10);
    index_told(&ix, wire.gen, 0, false);
    assert_int_equal(ix.state, INDEX_UNKNOWN); /* (0, 2048] is to be read from the stream */
    index_flush(&ix);
    assert_int_equal(wire.from, INDEX_MOVES);
    index_told(&ix, wire.gen, INDEX_MOVES, true);
    note_many(INDEX_MOVES + 11, INDEX_FULL - 11);
    assert_false(index_is_full(&ix));
    note("a", INDEX_MOVES + INDEX_FULL);
    assert_true(index_is_full(&ix));
    index_flush(&ix);
    assert_int_equal(wire.base, INDEX_MOVES);
    assert_int_equal(wire.moves, INDEX_FULL);
    note_many(ix.at + 1, INDEX_MOVES + 1); /* the owner never flushed */
    assert_int_equal(ix.state, INDEX_UNKNOWN);
    assert_int_equal(ix.moves.count, 1);
    index_done(&ix);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_added_before_its_end_is_known),
        cmocka_unit_test(adds_follow_each_other),
        cmocka_unit_test(what_failed_is_asked_for),
        cmocka_unit_test(an_idle_one_is_looked_after),
        cmocka_unit_test(an_index_elsewhere_is_left_alone),
        cmocka_unit_test(answers_of_another_time_are_ignored),
        cmocka_unit_test(moves_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
