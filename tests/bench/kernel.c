/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel.c: what the kernel of this machine asks for what servers do all the time.
 *
 *   bench_kernel
 *
 * Prints "SYSCALL_NS FAULT_NS WAKE_NS": a call that does nothing, the first touch of a page, and
 * from one thread's write() until another, that slept on another CPU, has read it (half of a round
 * trip, the median; 0: there is only one CPU for us). Virtual machines differ widely in them.
 *
 * @thread main, and one that it wakes
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/clock.h"

#define CALLS      200000
#define PAGES      8192
#define PAGE_BYTES 4096
#define WAKES      5000

static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t syscall_ns(void)
{
    uint64_t t0 = clock_mono_ns();
    for (int i = 0; i < CALLS; i++)
        (void)syscall(SYS_getppid);
    return (clock_mono_ns() - t0) / CALLS;
}

static uint64_t fault_ns(void)
{
    size_t len = (size_t)PAGES * PAGE_BYTES;
    void *room = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile char *p = room;
    if (room == MAP_FAILED)
        fail("bench_kernel: memory");
    (void)madvise(room, len, MADV_NOHUGEPAGE); /* a kernel without huge pages refuses it */
    uint64_t t0 = clock_mono_ns();
    for (size_t i = 0; i < len; i += PAGE_BYTES)
        p[i] = 1;
    return (clock_mono_ns() - t0) / PAGES;
}

struct echo {
    int there[2], back[2];
    size_t cpu; /* its thread's */
};

static void on_cpu(size_t n)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(n, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        fail("bench_kernel: sched_setaffinity");
}

/* The first CPU from `n` on that we may use, CPU_SETSIZE if there is none. */
static size_t cpu_from(const cpu_set_t *ours, size_t n)
{
    while (n < CPU_SETSIZE && !CPU_ISSET(n, ours))
        n++;
    return n;
}

static void *echoes(void *arg)
{
    struct echo *e = arg;
    char c;
    on_cpu(e->cpu);
    while (read(e->there[0], &c, 1) == 1)
        if (write(e->back[1], &c, 1) != 1)
            break;
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static uint64_t wake_ns(void)
{
    static uint64_t took[WAKES];
    struct echo e;
    cpu_set_t ours;
    pthread_t t;
    char c = 0;
    if (sched_getaffinity(0, sizeof ours, &ours))
        fail("bench_kernel: sched_getaffinity");
    size_t mine = cpu_from(&ours, 0);
    e.cpu = cpu_from(&ours, mine + 1);
    if (e.cpu >= CPU_SETSIZE)
        return 0;
    if (pipe(e.there) || pipe(e.back))
        fail("bench_kernel: a pipe");
    on_cpu(mine);
    if (pthread_create(&t, NULL, echoes, &e))
        fail("bench_kernel: a thread");
    for (int i = 0; i < WAKES; i++) {
        uint64_t t0 = clock_mono_ns();
        if (write(e.there[1], &c, 1) != 1 || read(e.back[0], &c, 1) != 1)
            fail("bench_kernel: a pipe");
        took[i] = clock_mono_ns() - t0;
    }
    (void)close(e.there[1]);
    (void)pthread_join(t, NULL);
    qsort(took, WAKES, sizeof *took, by_size);
    return took[WAKES / 2] / 2;
}

int main(void)
{
    uint64_t call = syscall_ns(), fault = fault_ns();
    (void)printf("%" PRIu64 " %" PRIu64 " %" PRIu64 "\n", call, fault, wake_ns());
    return 0;
}
