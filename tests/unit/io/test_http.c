/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_http.c: the HTTP client against a server on the same loop that says what it is told to:
 * good replies, bad ones, endless ones, none.
 */
#include "tests/unit/io/http_fixture.h"

/* What a call came to. */
struct outcome {
    bool done;
    int calls, err, status;
    struct buf body;
    char why[256], header[64];
};

static void on_done(const struct http_reply *r, void *arg)
{
    struct outcome *o = arg;
    const char *header = http_reply_header(r, "x-index");

    o->done = true;
    o->calls++;
    o->err = r->err;
    o->status = r->status;
    buf_clear(&o->body);
    buf_slice(&o->body, r->body);
    buf_byte(&o->body, '\0');
    snprintf(o->why, sizeof(o->why), "%s", r->why);
    snprintf(o->header, sizeof(o->header), "%s", header ? header : "(none)");
}

static struct outcome ask(const struct http_request *r)
{
    struct outcome o = {.err = 1};

    (void)http_start(http, r, on_done, &o);
    assert_false(o.done); /* never from inside the call */
    assert_true(run_until(loop, &o.done, WAIT_MS));
    assert_int_equal(o.calls, 1);
    return o;
}

static struct outcome get(const char *says)
{
    struct http_request r = get_request();

    server.says = slice_of(says);
    return ask(&r);
}

static void expect_error(struct outcome o, int err)
{
    if (o.err != err)
        fail_msg("%d instead of %d: %s", o.err, err, o.why);
    assert_int_equal(o.status, 0);
    assert_true(o.why[0]);
    assert_string_equal(o.body.p, "");
    buf_done(&o.body);
}

#define OK(body) \
    "HTTP/1.1 200 OK\r\nContent-Length: " body "\r\nX-Index: 17\r\nContent-Type: x/y\r\n\r\n"

static void a_reply_arrives(void **state)
{
    struct outcome o = get(OK("5") "hello");

    (void)state;
    assert_int_equal(o.err, 0);
    assert_int_equal(o.status, 200);
    assert_string_equal(o.body.p, "hello");
    assert_string_equal(o.header, "17");
    assert_string_equal(o.why, "");
    assert_non_null(strstr(server.asked.p, "GET /v1/x?a=b HTTP/1.1\r\n"));
    buf_done(&o.body);
    o = get(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_string_equal(o.body.p, "abcde");
    assert_string_equal(o.header, "(none)");
    buf_done(&o.body);
}

static void any_status_is_a_reply(void **state)
{
    static const struct {
        const char *says;
        int status;
    } cases[] = {
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno", 404},
        {"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n", 500},
        {"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 302},
        {"HTTP/1.1 204 No Content\r\n\r\n", 204},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct outcome o = get(cases[i].says);
        assert_int_equal(o.err, 0);
        assert_int_equal(o.status, cases[i].status);
        buf_done(&o.body);
    }
}

static void what_is_sent_is_what_was_given(void **state)
{
    const char *const headers[] = {"X-Token: secret", "Content-Type: application/json", NULL};
    struct http_request r = get_request();
    struct buf big = BUF_INIT;
    struct outcome o;

    (void)state;
    memset(buf_reserve(&big, MIB(2)), 'b', MIB(2));
    big.n = MIB(2);
    r.method = "PUT";
    r.headers = headers;
    r.body = buf_as_slice(&big);
    server.says = slice_of(OK("0"));
    o = ask(&r);
    assert_int_equal(o.status, 200);
    assert_memory_equal(server.asked.p, "PUT /v1/x?a=b HTTP/1.1\r\n", 24);
    assert_non_null(strstr(server.asked.p, "\r\nX-Token: secret\r\n"));
    assert_non_null(strstr(server.asked.p, "\r\nContent-Type: application/json\r\n"));
    assert_null(strstr(server.asked.p, "Expect"));
    assert_int_equal(strspn(strstr(server.asked.p, "\r\n\r\n") + 4, "b"), MIB(2));
    buf_done(&o.body);
    r.body = SLICE("");
    o = ask(&r);
    assert_non_null(strstr(server.asked.p, "\r\nContent-Length: 0\r\n"));
    buf_done(&o.body);
    r.method = "DELETE";
    r.body = (struct slice){NULL, 0};
    o = ask(&r);
    assert_memory_equal(server.asked.p, "DELETE /", 8);
    assert_null(strstr(server.asked.p, "Content-Length"));
    buf_done(&o.body);
    buf_done(&big);
}

static void a_connection_is_used_again(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct outcome o = get(OK("2") "ok");
        assert_int_equal(o.err, 0);
        buf_done(&o.body);
    }
    assert_int_equal(server.accepted, 1);
    assert_int_equal(server.requests, 3);
}

static void the_environments_proxy_is_not_used(void **state)
{
    struct outcome o;

    (void)state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    o = get(OK("2") "ok");
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    assert_int_equal(o.err, 0);
    buf_done(&o.body);
}

static void nobody_listens(void **state)
{
    struct http_request r = get_request();

    (void)state;
    server_close(&server);
    expect_error(ask(&r), -ECONNREFUSED);
    server_open(&server, loop);
    r.url = "http://";
    expect_error(ask(&r), -EINVAL);
    r.url = "ftp://127.0.0.1/";
    expect_error(ask(&r), -EBADMSG);
}

static void bad_replies_are_errors(void **state)
{
    (void)state;
    server.closes = true;
    expect_error(get(""), -ECONNRESET);
    expect_error(get(OK("50") "hello"), -ECONNRESET);
    expect_error(get("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), -ECONNRESET);
    expect_error(get("-ERR unknown command\r\n"), -EBADMSG);
    expect_error(get("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab"), -ECONNRESET);
}

static void replies_are_bounded(void **state)
{
    struct http_request r = get_request();
    struct outcome o;

    (void)state;
    r.reply_max = 5;
    server.says = slice_of(OK("5") "hello");
    o = ask(&r);
    assert_int_equal(o.err, 0); /* as many as that is not too many */
    buf_done(&o.body);
    server.says = slice_of(OK("6") "hello!");
    expect_error(ask(&r), -EMSGSIZE);
    r.reply_max = MIB(1);
    server.pours = true;
    server.says = SLICE("HTTP/1.1 200 OK\r\n\r\n"); /* no length: its body never ends */
    expect_error(ask(&r), -EMSGSIZE);
    server.says =
        SLICE("HTTP/1.1 100 Continue\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n\r\n");
    expect_error(ask(&r), -EMSGSIZE); /* nor do its headers */
}

static void time_is_bounded(void **state)
{
    static const char *const says[] = {"", "HTTP/1.1 200 OK\r\n", OK("50") "hello"};
    struct http_request r = get_request();

    (void)state;
    r.timeout_ms = 100;
    for (size_t i = 0; i < ARRAY_LEN(says); i++) {
        uint64_t began = clock_mono_ms();
        server.says = slice_of(says[i]);
        expect_error(ask(&r), -ETIMEDOUT);
        assert_in_range(clock_mono_ms() - began, 90, WAIT_MS / 2);
    }
}

static void a_cancelled_call_is_silent(void **state)
{
    struct http_request r = get_request();
    struct outcome cancelled = {.err = 1}, o;
    struct http_call *c;

    (void)state;
    http_cancel(NULL);
    http_cancel(http_start(http, &r, on_done, &cancelled));
    c = http_start(http, &r, on_done, &cancelled); /* the server says nothing */
    assert_true(run_until(loop, &server.was_asked, WAIT_MS));
    assert_int_equal(server.requests, 1);
    http_cancel(c);
    o = get(OK("2") "ok");
    assert_int_equal(o.err, 0);
    assert_int_equal(cancelled.calls, 0);
    buf_done(&o.body);
}

static struct http_call *other;
static struct outcome second;

static void on_first(const struct http_reply *r, void *arg)
{
    struct http_request again = get_request();

    assert_int_equal(r->err, 0);
    (*(int *)arg)++;
    http_cancel(other);
    (void)http_start(http, &again, on_done, &second);
}

static void a_callback_may_start_and_cancel(void **state)
{
    struct http_request r = get_request();
    struct outcome cancelled = {.err = 1};
    int firsts = 0;

    (void)state;
    second = (struct outcome){.err = 1};
    other = http_start(http, &r, on_done, &cancelled); /* the server says nothing */
    assert_true(run_until(loop, &server.was_asked, WAIT_MS));
    server.says = slice_of(OK("2") "ok");
    (void)http_start(http, &r, on_first, &firsts);
    assert_true(run_until(loop, &second.done, WAIT_MS));
    assert_int_equal(firsts, 1);
    assert_int_equal(second.err, 0);
    assert_int_equal(cancelled.calls, 0);
    buf_done(&second.body);
}

static void it_may_be_freed_with_calls_under_way(void **state)
{
    struct http_request r = get_request();
    struct outcome never = {.err = 1};

    (void)state;
    for (int i = 0; i < 3; i++)
        (void)http_start(http, &r, on_done, &never);
    assert_true(run_until(loop, &server.was_asked, WAIT_MS));
    http_free(http);
    assert_int_equal(never.calls, 0);
    http = http_new(loop, &(struct http_opts){0});
    http_free(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(a_reply_arrives),
        TEST(any_status_is_a_reply),
        TEST(what_is_sent_is_what_was_given),
        TEST(a_connection_is_used_again),
        TEST(the_environments_proxy_is_not_used),
        TEST(nobody_listens),
        TEST(bad_replies_are_errors),
        TEST(replies_are_bounded),
        TEST(time_is_bounded),
        TEST(a_cancelled_call_is_silent),
        TEST(a_callback_may_start_and_cancel),
        TEST(it_may_be_freed_with_calls_under_way),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(list, NULL, NULL);
}
