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

/* The number in a file of the group: version 2's name, else version 1's. */
static uint64_t group_number(const char *group, const char *v2, const char *v1)
{
    char path[512];
    uint64_t n;

    snprintf(path, sizeof(path), "%s/%s", group, v2);
    n = number_in(path, 0);
    if (n)
        return n;
    snprintf(path, sizeof(path), "%s/memory/%s", group, v1);
    return number_in(path, 0);
}

/* Pages of files that nobody used lately: the kernel drops them before it ends a process. Version 1
 * counts those of the groups below in a line of its own. */
static uint64_t group_idle_files(const char *group)
{
    static const char *const names[] = {"inactive_file ", "total_inactive_file "};
    char path[512], line[256];
    uint64_t n = 0;
    FILE *f;

    snprintf(path, sizeof(path), "%s/memory.stat", group);
    f = fopen(path, "re");
    if (!f) {
        snprintf(path, sizeof(path), "%s/memory/memory.stat", group);
        f = fopen(path, "re");
    }
    if (!f)
        return 0;
    while (fgets(line, sizeof(line), f))
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            if (!strncmp(line, names[i], strlen(names[i])))
                n = strtoull(line + strlen(names[i]), NULL, 10); /* the total comes last */
    (void)fclose(f);
    return n;
}

/* Version 1 says "none" by a number near the greatest. */
uint64_t proc_group_limit(const char *group)
{
    uint64_t n = group_number(group, "memory.max", "memory.limit_in_bytes");

    return n < (uint64_t)1 << 60 ? n : 0;
}

uint64_t proc_group_memory(const char *group)
{
    uint64_t used = group_number(group, "memory.current", "memory.usage_in_bytes");
    uint64_t idle = group_idle_files(group);

    return used > idle ? used - idle : 0;
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

void proc_node_name(char *dst, size_t size, const char *configured)
{
    char host[64] = "node", suffix[9];

    gethostname(host, sizeof(host) - 1);
    proc_random_id(suffix, 8);
    if (configured[0])
        snprintf(dst, size, "%s", configured);
    else
        snprintf(dst, size, "%s-%s", host, suffix);
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
