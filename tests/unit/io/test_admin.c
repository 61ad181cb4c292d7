/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_admin.c: the admin listener over raw sockets, client and server on one loop and thread.
 * length: one listener and its raw client serve all of these tests
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/io/admin.h"

#define WAIT_MS 20000

static struct ev_loop *loop;
static struct admin *admin;
static int handled;

static void hello(struct admin_response *res, void *arg)
{
    handled++;
    buf_str(&res->body, arg);
}

static void not_ready(struct admin_response *res, void *arg)
{
    (void)arg;
    res->status = 503;
    res->content_type = "application/json";
    buf_str(&res->body, "{\"ready\":false}\n");
}

static void big(struct admin_response *res, void *arg)
{
    (void)arg;
    memset(buf_reserve(&res->body, MIB(4)), 'm', MIB(4));
    res->body.n += MIB(4);
}

static void empty(struct admin_response *res, void *arg)
{
    (void)res;
    (void)arg;
}

static void either(struct admin_response *res, void *arg)
{
    (void)arg;
    buf_str(&res->body, res->wants_text ? "text" : "json");
}

static char hello_text[] = "hello\n", done_text[] = "done\n", undone_text[] = "undone\n";
static const struct admin_route routes[] = {
    {"/hello", hello, hello_text},
    {"/ready", not_ready, NULL},
    {"/big", big, NULL},
    {"/empty", empty, NULL},
    {"/either", either, NULL},
    {"POST /do", hello, done_text},
    {"DELETE /do", hello, undone_text},
    {NULL, NULL, NULL},
};

static int setup(void **state)
{
    char why[256];

    (void)state;
    handled = 0;
    loop = ev_loop_new(EVFLAG_AUTO);
    admin = admin_new(loop, "127.0.0.1:0", routes, why, sizeof(why));
    return admin ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    admin_free(admin);
    ev_loop_destroy(loop);
    return 0;
}

static int dial(void)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)admin_port(admin))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void turn(struct ev_loop *l, ev_timer *w, int events)
{
    (void)w;
    (void)events;
    ev_break(l, EVBREAK_ONE);
}

/* Runs the loop, asleep at most 2 ms at once, since the client's socket isn't in it. */
static void run_a_little(void)
{
    ev_timer t;

    ev_now_update(loop);
    ev_timer_init(&t, turn, 0.002, 0.);
    ev_timer_start(loop, &t);
    ev_run(loop, EVRUN_ONCE);
    ev_timer_stop(loop, &t);
}

/* Reads until the peer closes (want NULL), or until the text ends with want. */
static void receive(int fd, struct buf *b, const char *want)
{
    uint64_t end = clock_mono_ms() + WAIT_MS;
    size_t n = want ? strlen(want) : 0;

    while (clock_mono_ms() < end) {
        ssize_t got = recv(fd, buf_reserve(b, KIB(64)), KIB(64), 0);

        if (got > 0)
            b->n += (size_t)got;
        if (want && b->n >= n && memcmp(b->p + b->n - n, want, n) == 0)
            return;
        if (got == 0 || (got < 0 && errno == ECONNRESET)) {
            if (want)
                fail_msg("closed after \"%.*s\"", (int)b->n, b->p);
            return;
        }
        run_a_little();
    }
    fail_msg("no answer");
}

/* One request on a connection of its own; its whole answer, NUL-terminated. */
static struct buf ask(const char *request)
{
    struct buf b = BUF_INIT;
    int fd = dial();

    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    receive(fd, &b, NULL);
    buf_byte(&b, '\0');
    close(fd);
    return b;
}

#define TAIL " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void expect(const char *request, const char *status, const char *body)
{
    struct buf b = ask(request);
    const char *got;

    if (strncmp(b.p, status, strlen(status)) != 0)
        fail_msg("%s: %.60s", request, b.p);
    got = strstr(b.p, "\r\n\r\n");
    assert_non_null(got);
    if (body)
        assert_string_equal(got + 4, body);
    buf_done(&b);
}

static void routes_answer(void **state)
{
    struct buf b;

    (void)state;
    expect("GET /hello" TAIL, "HTTP/1.1 200", "hello\n");
    expect("GET /hello?x=1" TAIL, "HTTP/1.1 200", "hello\n");
    expect("GET /empty" TAIL, "HTTP/1.1 200", "");
    expect("GET /ready" TAIL, "HTTP/1.1 503", "{\"ready\":false}\n");
    b = ask("GET /ready" TAIL);
    assert_non_null(strstr(b.p, "Content-Type: application/json\r\n"));
    buf_done(&b);
    b = ask("GET /hello" TAIL);
    assert_non_null(strstr(b.p, "Content-Type: text/plain"));
    buf_done(&b);
}

static void text_is_asked_for(void **state)
{
    (void)state;
    expect("GET /either" TAIL, "HTTP/1.1 200", "json");
    expect("GET /either?format=text" TAIL, "HTTP/1.1 200", "text");
    expect("GET /either?format=json" TAIL, "HTTP/1.1 200", "json");
    expect("GET /either HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\nConnection: close\r\n\r\n",
           "HTTP/1.1 200", "text");
}

static void head_has_the_headers_alone(void **state)
{
    struct buf b = ask("HEAD /hello" TAIL);

    (void)state;
    assert_memory_equal(b.p, "HTTP/1.1 200", 12);
    assert_non_null(strstr(b.p, "Content-Length: 6\r\n"));
    assert_string_equal(strstr(b.p, "\r\n\r\n"), "\r\n\r\n");
    assert_int_equal(handled, 1);
    buf_done(&b);
}

static void an_unknown_path_gets_the_list(void **state)
{
    static const char *const paths[] = {"/", "/hello/", "/hell", "/HELLO"};
    char request[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct buf b;

        snprintf(request, sizeof(request), "GET %s" TAIL, paths[i]);
        b = ask(request);
        if (strncmp(b.p, "HTTP/1.1 404", 12) != 0)
            fail_msg("%s: %.40s", paths[i], b.p);
        assert_non_null(
            strstr(b.p, "/hello\n/ready\n/big\n/empty\n/either\nPOST /do\nDELETE /do\n"));
        buf_done(&b);
    }
}

static void other_methods_are_refused(void **state)
{
    static const char *const requests[] = {
        "POST /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
        "PUT /hello" TAIL,
        "DELETE /hello" TAIL,
        "OPTIONS /nowhere" TAIL,
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        struct buf b = ask(requests[i]);

        if (strncmp(b.p, "HTTP/1.1 405", 12) != 0)
            fail_msg("%.20s: %.40s", requests[i], b.p);
        assert_non_null(strstr(b.p, "Allow: GET, HEAD\r\n"));
        buf_done(&b);
    }
    assert_int_equal(handled, 0);
}

#define POST "POST /do HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"

/* What a client says besides is not read, however long it is said to be. */
static void a_method_of_its_own(void **state)
{
    (void)state;
    expect("POST /do" TAIL, "HTTP/1.1 200", "done\n");
    expect(POST "Content-Length: 3\r\n\r\nabc", "HTTP/1.1 200", "done\n");
    expect(POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 200",
           "done\n");
    expect("DELETE /do" TAIL, "HTTP/1.1 200", "undone\n");
    assert_int_equal(handled, 4);
    expect("PUT /do" TAIL, "HTTP/1.1 405", "only POST, DELETE\n");
    expect("POST /d" TAIL, "HTTP/1.1 405", "only GET, HEAD\n");
    expect("POST /hello" TAIL, "HTTP/1.1 405", "only GET, HEAD\n");
    expect("GET /do" TAIL, "HTTP/1.1 404", NULL);
    assert_int_equal(handled, 4);
}

static void web_pages_may_only_read(void **state)
{
    (void)state;
    expect(POST "Origin: https://evil.example\r\n\r\n", "HTTP/1.1 403", "not for web pages\n");
    expect(POST "Origin: null\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 403", NULL);
    assert_int_equal(handled, 0);
    expect("GET /hello HTTP/1.1\r\nHost: x\r\nOrigin: https://x\r\nConnection: close\r\n\r\n",
           "HTTP/1.1 200", "hello\n");
}

static void a_connection_may_ask_again(void **state)
{
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    int fd = dial();

    (void)state;
    for (int i = 1; i <= 3; i++) {
        struct buf b = BUF_INIT;

        assert_int_equal(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL), sizeof(request) - 1);
        receive(fd, &b, "\r\n\r\nhello\n");
        assert_int_equal(handled, i);
        buf_done(&b);
    }
    close(fd);
}

static void a_request_in_single_bytes_is_answered(void **state)
{
    static const char request[] = "GET /hello" TAIL;
    struct buf b = BUF_INIT;
    int fd = dial();

    (void)state;
    for (size_t i = 0; i < sizeof(request) - 1; i++) {
        assert_int_equal(send(fd, request + i, 1, MSG_NOSIGNAL), 1);
        run_a_little();
    }
    receive(fd, &b, NULL);
    assert_memory_equal(b.p, "HTTP/1.1 200", 12);
    buf_done(&b);
    close(fd);
}

static void a_big_answer_arrives_whole(void **state)
{
    struct buf b = ask("GET /big" TAIL);
    const char *body = strstr(b.p, "\r\n\r\n");

    (void)state;
    assert_non_null(body);
    assert_int_equal(strspn(body + 4, "m"), MIB(4));
    buf_done(&b);
}

static void garbage_is_survived(void **state)
{
    static const char *const garbage[] = {"\r\n\r\n\r\n", "GET\r\n\r\n", "\x16\x03\x01\x02",
                                          "GET /hello HTTP/9.9\r\n\r\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
        int fd = dial();

        assert_true(send(fd, garbage[i], strlen(garbage[i]), MSG_NOSIGNAL) > 0);
        run_a_little();
        close(fd);
    }
    expect("GET /hello" TAIL, "HTTP/1.1 200", "hello\n");
}

static void long_headers_are_refused(void **state)
{
    struct buf b = BUF_INIT;
    int fd = dial();
    char line[1024];

    (void)state;
    memset(line, 'h', sizeof(line));
    assert_true(send(fd, "GET /hello HTTP/1.1\r\nX: ", 24, MSG_NOSIGNAL) == 24);
    for (int i = 0; i < 256 && send(fd, line, sizeof(line), MSG_NOSIGNAL) > 0; i++)
        run_a_little();
    receive(fd, &b, NULL); /* it ends, with a 4xx or without */
    assert_int_equal(handled, 0);
    assert_true(b.n == 0 || memcmp(b.p, "HTTP/1.1 4", 10) == 0);
    buf_done(&b);
    close(fd);
    expect("GET /hello" TAIL, "HTTP/1.1 200", "hello\n");
}

static int count_answers(const int *fds, size_t n)
{
    char text[512];
    int answers = 0;

    for (size_t i = 0; i < n; i++)
        answers += recv(fds[i], text, sizeof(text), 0) > 0;
    return answers;
}

/* 64 are served; those beyond wait or are closed, and one that leaves makes room. */
static void connections_are_bounded(void **state)
{
    static const char request[] = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    int fds[80], answered = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = dial();
        assert_true(send(fds[i], request, sizeof(request) - 1, MSG_NOSIGNAL) > 0);
        run_a_little();
    }
    for (uint64_t end = clock_mono_ms() + WAIT_MS; answered < 64 && clock_mono_ms() < end;) {
        run_a_little();
        answered += count_answers(fds, ARRAY_LEN(fds));
    }
    for (int i = 0; i < 20; i++)
        run_a_little();
    answered += count_answers(fds, ARRAY_LEN(fds)); /* no more come while those stay */
    assert_int_equal(answered, 64);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    expect("GET /hello" TAIL, "HTTP/1.1 200", "hello\n");
}

static void it_may_be_freed_with_connections_open(void **state)
{
    char why[256];
    int fd = dial(), idle = dial();

    (void)state;
    assert_true(send(fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n", 30, MSG_NOSIGNAL) > 0);
    for (int i = 0; i < 5; i++)
        run_a_little();
    admin_free(admin);
    close(fd);
    close(idle);
    admin = admin_new(loop, "127.0.0.1:0", routes, why, sizeof(why));
    assert_non_null(admin);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(routes_answer),
        TEST(text_is_asked_for),
        TEST(head_has_the_headers_alone),
        TEST(an_unknown_path_gets_the_list),
        TEST(other_methods_are_refused),
        TEST(a_method_of_its_own),
        TEST(web_pages_may_only_read),
        TEST(a_connection_may_ask_again),
        TEST(a_request_in_single_bytes_is_answered),
        TEST(a_big_answer_arrives_whole),
        TEST(garbage_is_survived),
        TEST(long_headers_are_refused),
        TEST(connections_are_bounded),
        TEST(it_may_be_freed_with_connections_open),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
