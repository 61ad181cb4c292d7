/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oracle_client.c: loadgen's side of the oracle's pipes; see oracle.h. @thread main
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"

#include "loadgen/oracle.h"

#define ANSWER_MAX MIB(16)

int oracle_start(struct oracle *o)
{
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC))
        return -errno;
    if (pipe2(from, O_CLOEXEC)) {
        int err = errno;
        (void)close(to[0]);
        (void)close(to[1]);
        return -err;
    }
    pid_t pid = fork();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(to[0], STDIN_FILENO);
        (void)dup2(from[1], STDOUT_FILENO);
        /* Ctrl-C ends the load, not the judge. */
        (void)signal(SIGINT, SIG_IGN);
        (void)signal(SIGTERM, SIG_IGN);
        execl("/proc/self/exe", "fanfare-loadgen", "oracle", (char *)NULL);
        _exit(127);
    }
    int err = pid < 0 ? errno : 0;
    (void)close(to[0]);
    (void)close(from[1]);
    if (err) {
        (void)close(to[1]);
        (void)close(from[0]);
        return -err;
    }
    *o = (struct oracle){pid, to[1], from[0], BUF_INIT};
    return 0;
}

void oracle_say(struct oracle *o, const char *fmt, ...)
{
    char *text;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    must(n >= 0);
    /* A pipe that broke shows at the next oracle_hear(). */
    for (size_t done = 0; done < (size_t)n;) {
        ssize_t w = write(o->to, text + done, (size_t)n - done);
        if (w < 0 && errno != EINTR)
            break;
        done += w > 0 ? (size_t)w : 0;
    }
    free_ptr(&text);
}

int oracle_hear(struct oracle *o, int64_t timeout_ms, struct slice *ret)
{
    uint64_t until = clock_mono_ms() + (uint64_t)timeout_ms;
    static char *last; /* the line handed out before */
    free_ptr(&last);
    last = NULL;
    for (;;) {
        char *nl = o->in.n ? memchr(o->in.p, '\n', o->in.n) : NULL;
        if (nl) {
            size_t len = (size_t)(nl - o->in.p);
            last = mem_strndup(o->in.p, len);
            buf_consume(&o->in, len + 1);
            *ret = (struct slice){last, len};
            return len >= 6 && !memcmp(last, "error ", 6) ? -EREMOTEIO : 0;
        }
        uint64_t now = clock_mono_ms();
        if (now >= until)
            return -ETIMEDOUT;
        struct pollfd pfd = {o->from, POLLIN, 0};
        int r = poll(&pfd, 1, (int)(until - now));
        if (r < 0 && errno != EINTR)
            return -errno;
        if (r <= 0)
            continue;
        ssize_t n = read(o->from, buf_reserve(&o->in, 65536), 65536);
        if (n == 0 || (n < 0 && errno != EINTR) || o->in.n > ANSWER_MAX)
            return -EPIPE;
        o->in.n += n > 0 ? (size_t)n : 0;
    }
}

void oracle_end(struct oracle *o)
{
    if (o->pid <= 0)
        return;
    (void)close(o->to);
    (void)close(o->from);
    while (waitpid(o->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    buf_done(&o->in);
    o->pid = 0;
}
