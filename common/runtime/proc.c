/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc.c: limits, randomness and threads' names; see proc.h.
 */
#include "common/runtime/proc.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

static _Thread_local const char *thread_role;

void proc_raise_fd_limit(void)
{
    struct rlimit rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
        return;
    proc_set_fd_limit(rl.rlim_max < PROC_FD_MAX ? rl.rlim_max : PROC_FD_MAX);
}

void proc_set_fd_limit(uint64_t n)
{
    struct rlimit rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
        return;
    rl.rlim_cur = n;
    (void)setrlimit(RLIMIT_NOFILE, &rl); /* up to the hard limit this can't fail */
}

uint64_t proc_fd_limit(void)
{
    struct rlimit rl;

    return getrlimit(RLIMIT_NOFILE, &rl) == 0 ? rl.rlim_cur : 1024;
}

/* The number behind `skip` others in a file's first line; 0: there is none. */
static uint64_t number_in(const char *path, int skip)
{
    char text[256], *at = text;
    FILE *f = fopen(path, "re");

    if (!f)
        return 0;
    if (!fgets(text, sizeof(text), f))
        text[0] = '\0';
    (void)fclose(f);
    for (; skip > 0; skip--) {
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    return strtoull(at, NULL, 10);
}

uint64_t proc_memory(void)
{
    return number_in("/proc/self/statm", 1) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A group's files are at the root of what a container sees. Version 1 says "none" by a number near
 * the greatest. */
uint64_t proc_memory_limit(void)
{
    uint64_t n = number_in("/sys/fs/cgroup/memory.max", 0);

    if (!n)
        n = number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes", 0);
    return n < (uint64_t)1 << 60 ? n : 0;
}

static volatile sig_atomic_t exit_status;

static void on_alarm(int number)
{
    static const char said[] = "event=exit_cut hint=\"a library did not let go\"\n";

    (void)number;
    if (write(STDERR_FILENO, said, sizeof(said) - 1) > 0)
        fsync(STDERR_FILENO);
    _exit(exit_status);
}

void proc_exit_within(unsigned seconds, int status)
{
    struct sigaction sa = {.sa_handler = on_alarm};

    exit_status = status;
    sigaction(SIGALRM, &sa, NULL);
    alarm(seconds);
}

int proc_cpus(void)
{
    cpu_set_t set;
    int n;

    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    n = CPU_COUNT(&set);
    return n < 1 ? 1 : n;
}

void proc_random(void *dst, size_t n)
{
    char *p = dst;

    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0) {
            must(errno == EINTR);
            continue;
        }
        p += got;
        n -= (size_t)got;
    }
}

void proc_random_id(char *dst, size_t n)
{
    static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    for (size_t i = 0; i < n;) {
        unsigned char byte;
        proc_random(&byte, 1);
        if (byte < 248) /* 4 * 62: each character is equally likely */
            dst[i++] = alphabet[byte % 62];
    }
    dst[n] = '\0';
}

void proc_thread_name(const char *name)
{
    char cut[16]; /* the kernel's limit, NUL included; a longer one would be refused */

    snprintf(cut, sizeof(cut), "%s", name);
    (void)pthread_setname_np(pthread_self(), cut);
}

void proc_thread_role(const char *role)
{
    thread_role = role;
    if (strcmp(role, "main") != 0) /* the main thread's name is the process's */
        proc_thread_name(role);
}

const char *proc_thread_role_get(void)
{
    return thread_role;
}
