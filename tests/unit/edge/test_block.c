/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_block.c: a block is whole frames of at most write_max, each ending at a known record; the
 * WebSocket header has the right length on both sides of each border.
 */
#include "edge-node/block.h"
#include "edge-node/transport_ws.h"
#include "tests/unit/edge/edge_test.h"

static struct rec_vec recs;

static void add(void *arg, const struct plog_rec *r)
{
    (void)arg;
    rec_vec_add(&recs, r);
}

static struct plog *fill(struct turns *t, size_t n, size_t payload)
{
    struct plog *p = plog_new("abcdefgh", 0, 0, 1);
    char *text = mem_alloc(payload);

    memset(text, '7', payload);
    plog_start(p, 0, t);
    for (size_t i = 1; i <= n; i++)
        append_one(p, i * 10, "c", (struct slice){text, payload});
    plog_publish(p);
    recs.n = 0;
    assert_int_equal(plog_each(p, 0, n * 10, NULL, add, NULL), 0);
    assert_int_equal(recs.n, n);
    free(text);
    return p;
}

/* Payload of the frame at p; *n is its length. */
static const char *frame_of(const char *p, size_t size, size_t *n)
{
    const unsigned char *u = (const unsigned char *)p;
    size_t head = u[1] < 126 ? 2 : u[1] == 126 ? 4 : 10, len = 0;

    assert_int_equal(u[0], 0x81);
    for (size_t i = 2; i < head; i++)
        len = len << 8 | u[i];
    *n = head == 2 ? u[1] : len;
    assert_true(head == 2 || *n >= 126);
    assert_true(head != 10 || *n > 65535);
    assert_int_equal(head + *n, size);
    return p + head;
}

static void check_split(size_t n, size_t payload, size_t write_max)
{
    struct turns *t = turns_new(1);
    struct plog *p = fill(t, n, payload);
    struct block b = {0};
    size_t seen = 0, sum = 0;

    block_encode(&b, &(struct block_how){&proto_json, &transport_ws, write_max, false}, &recs);
    for (size_t i = 0; i < b.n; i++) {
        const struct chunk *c = &b.chunks[i];
        size_t len, starts = 1;
        const char *text = frame_of(b.bytes.p + c->at, c->n, &len);
        assert_true(len <= write_max || c->count == 1);
        for (size_t k = 0; k < len; k++)
            starts += text[k] == '\n';
        assert_int_equal(starts, c->count);
        assert_memory_equal(text, "{\"push\"", 7);
        assert_int_equal(text[len - 1], '}');
        seen += c->count;
        sum += c->n;
        assert_int_equal(c->last, seen * 10);
    }
    assert_int_equal(seen, n);
    assert_int_equal(sum, b.size);
    block_done(&b);
    plog_free(p);
    turns_free(t);
}

static void test_split(void **state)
{
    (void)state;
    check_split(1, 1, 4096);
    check_split(1, 100000, 4096); /* one record alone may be larger */
    check_split(500, 100, 4096);
    check_split(300, 5000, 4096);
    check_split(1000, 300, KIB(64));
}

static void test_header_borders(void **state)
{
    static const size_t sizes[] = {100, 125, 126, 127, 65535, 65536, 65537};
    size_t around = strlen("{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":,\"offset\":10}}}");

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct turns *t = turns_new(1);
        struct plog *p = fill(t, 1, sizes[i] - around);
        struct block b = {0};
        size_t len;
        block_encode(&b, &(struct block_how){&proto_json, &transport_ws, KIB(64), false}, &recs);
        assert_int_equal(b.n, 1);
        frame_of(b.bytes.p + b.chunks[0].at, b.chunks[0].n, &len);
        assert_int_equal(len, sizes[i]);
        block_done(&b);
        plog_free(p);
        turns_free(t);
    }
}

static size_t memory_after(struct block *b, size_t n, size_t payload)
{
    struct turns *t = turns_new(1);
    struct plog *p = fill(t, n, payload);

    block_encode(b, &(struct block_how){&proto_json, &transport_ws, KIB(64), false}, &recs);
    assert_true(b->bytes.cap >= n * payload);
    block_clear(b);
    plog_free(p);
    turns_free(t);
    return b->bytes.cap;
}

/* A block's memory stays for the next turn, but not what one large turn needed. */
static void test_memory(void **state)
{
    struct block b = {0};

    (void)state;
    assert_in_range(memory_after(&b, 10, 100), 1000, BLOCK_KEEP);
    assert_in_range(memory_after(&b, 2000, 1000), 0, BLOCK_KEEP);
    block_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_header_borders),
        cmocka_unit_test(test_memory),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);

    rec_vec_done(&recs);
    return rc;
}
