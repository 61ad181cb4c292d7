/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc.c: limits, randomness and threads' names; see proc.h.
 */
#include "common/runtime/proc.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>

static _Thread_local const char *thread_role;

void proc_raise_fd_limit(void)
{
    struct rlimit rl;

    if (getrlimit(RLIMIT_NOFILE, &rl) != 0)
        return;
    rl.rlim_cur = rl.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &rl); /* up to the hard limit this can't fail */
}

uint64_t proc_fd_limit(void)
{
    struct rlimit rl;

    return getrlimit(RLIMIT_NOFILE, &rl) == 0 ? rl.rlim_cur : 1024;
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
