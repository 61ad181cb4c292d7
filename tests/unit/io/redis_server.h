/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_server.h: a real redis-server for the tests, on a free loopback port, killed by its pid.
 *
 * It dies with the test (PR_SET_PDEATHSIG). @thread main
 */
#pragma once

#include "tests/unit/io/redis_fixture.h"

struct server {
    pid_t pid;
    int port;
    char url[64];
    char unix_path[64], unix_url[80];
};

static inline bool server_is_installed(void)
{
    return system("command -v redis-server >/dev/null 2>&1") == 0;
}

/* Whether somebody listens there; waits up to WAIT_MS for it. */
static inline bool port_answers(int port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    uint64_t end = clock_mono_ms() + WAIT_MS;

    while (clock_mono_ms() < end) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int r = connect(fd, (struct sockaddr *)&sa, sizeof(sa));

        close(fd);
        if (r == 0)
            return true;
        poll(NULL, 0, 10);
    }
    return false;
}

static inline void server_run(struct server *s, const char *password)
{
    char port[16];
    int fd = loopback_listen(&s->port);

    close(fd);
    snprintf(port, sizeof(port), "%d", s->port);
    snprintf(s->url, sizeof(s->url), "redis://127.0.0.1:%d", s->port);
    snprintf(s->unix_path, sizeof(s->unix_path), "/tmp/fanfare-test-redis-%d-%d.sock",
             (int)getpid(), s->port);
    unlink(s->unix_path); /* of an earlier process with this pid */
    snprintf(s->unix_url, sizeof(s->unix_url), "unix:%s", s->unix_path);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("redis-server", "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
               "--appendonly", "no", "--logfile", "/dev/null", "--unixsocket", s->unix_path,
               "--requirepass", password, "--maxmemory-policy", "noeviction", (char *)NULL);
        _exit(127);
    }
}

/* Whether it serves; waits up to WAIT_MS for it. Not if it has ended (pid 0), as it does if another
 * process took its port after we had found it free: who answers there then is another one. */
static inline bool server_serves(struct server *s)
{
    uint64_t end = clock_mono_ms() + WAIT_MS;

    do {
        if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
            s->pid = 0;
            return false;
        }
        if (access(s->unix_path, F_OK) == 0) /* it listens there when it does at its port */
            return port_answers(s->port);
        poll(NULL, 0, 10);
    } while (clock_mono_ms() < end);
    return false;
}

static inline void server_start(struct server *s, const char *password)
{
    for (int i = 0; i < 5; i++) {
        server_run(s, password);
        if (server_serves(s))
            return;
        assert_int_equal(s->pid, 0);
    }
    fail_msg("redis-server ends at once");
}

static inline void server_stop(struct server *s)
{
    if (s->pid <= 0)
        return;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    unlink(s->unix_path);
    s->pid = 0;
}

static struct server server;
static char key[32]; /* fresh for each test */
static int tests;

static inline int fresh_key(void **state)
{
    (void)state;
    snprintf(key, sizeof(key), "k%d", ++tests);
    return 0;
}

static inline char *with_key(const char *before, const char *after)
{
    static char text[512];

    snprintf(text, sizeof(text), "%s %s %s", before, key, after);
    return text;
}

static inline struct redis_sync *open_sync(const char *url)
{
    char why[256];
    struct redis_sync *s = redis_sync_open(&(struct redis_opts){.url = url}, why, sizeof(why));

    if (!s)
        fail_msg("%s", why);
    return s;
}

static inline int start_server(void **state)
{
    (void)state;
    server_start(&server, "");
    return 0;
}

static inline int stop_server(void **state)
{
    (void)state;
    server_stop(&server);
    return 0;
}

#define TEST(f) cmocka_unit_test_setup(f, fresh_key)

/* Runs the tests against one server; skips them, with the reason, where there is none to start. */
#define RUN_WITH_SERVER(list)                                                        \
    (server_is_installed() ? cmocka_run_group_tests(list, start_server, stop_server) \
                           : (print_message("[  SKIPPED ] redis-server is not installed\n"), 0))
