/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_http_parts.c: replies that go on for long, taken as they come.
 */
#include "tests/unit/io/http_fixture.h"

struct parts {
    struct buf seen;
    bool has_some, done;
    size_t most; /* more than that is enough */
    int err, status;
    struct buf body;
};

static void on_done(const struct http_reply *r, void *arg)
{
    struct parts *p = arg;

    p->done = true;
    p->err = r->err;
    p->status = r->status;
    buf_slice(&p->body, r->body);
}

static bool on_part(struct slice bytes, void *arg)
{
    struct parts *p = arg;

    buf_slice(&p->seen, bytes);
    p->has_some = true;
    return p->seen.n <= p->most;
}

static void a_long_reply_comes_in_parts(void **state)
{
    struct http_request r = get_request();
    struct parts p = {.most = 10};

    (void)state;
    r.part = on_part;
    r.reply_max = 1; /* of what isn't in parts */
    server.says = slice_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    (void)http_start(http, &r, on_done, &p);
    assert_true(run_until(loop, &p.has_some, WAIT_MS));
    assert_false(p.done);
    assert_true(slice_eq(buf_as_slice(&p.seen), SLICE("abc")));
    assert_int_equal(send(server.peers[0].io.fd, "2\r\nde\r\n0\r\n\r\n", 12, MSG_NOSIGNAL), 12);
    assert_true(run_until(loop, &p.done, WAIT_MS));
    assert_int_equal(p.err, 0);
    assert_int_equal(p.body.n, 0);
    assert_true(slice_eq(buf_as_slice(&p.seen), SLICE("abcde")));
    buf_clear(&p.seen);
    p.done = false;
    server.says =
        slice_of("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"); /* one too many */
    (void)http_start(http, &r, on_done, &p);
    assert_true(run_until(loop, &p.done, WAIT_MS));
    assert_int_equal(p.err, -ECANCELED);
    buf_done(&p.seen);
}

static void an_error_does_not_come_in_parts(void **state)
{
    struct http_request r = get_request();
    struct parts p = {.err = 1};

    (void)state;
    r.part = on_part;
    server.says = slice_of("HTTP/1.1 410 Gone\r\nContent-Length: 3\r\n\r\nold");
    (void)http_start(http, &r, on_done, &p);
    assert_true(run_until(loop, &p.done, WAIT_MS));
    assert_int_equal(p.status, 410);
    assert_true(slice_eq(buf_as_slice(&p.body), SLICE("old")));
    assert_false(p.has_some);
    buf_done(&p.body);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test_setup_teardown(a_long_reply_comes_in_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_does_not_come_in_parts, setup, teardown),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(list, NULL, NULL);
}
