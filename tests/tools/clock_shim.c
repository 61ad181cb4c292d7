/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock_shim.c: a wall clock that jumps, for one process: preloaded (LD_PRELOAD) by
 * tests/chaos/test_clock.py. Monotonic time is left alone, as a kernel leaves it.
 *
 * $FANFARE_CLOCK_FILE holds two int64: what is added to the wall clock, in ns, read anew at each
 * call; and how often the wall clock was read, which this counts. A wait with a deadline on the
 * wall clock goes by the shifted one, and feels a jump while it waits, as the kernel's own does.
 * What asks the kernel without libc (a futex, a timerfd) isn't reached. @thread any
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define NS             1000000000
#define SLICE_NS       50000000 /* how soon a waiter feels a jump */
#define MONOTONIC_MASK 2u       /* of pthread_cond_t's __wrefs (glibc): made with CLOCK_MONOTONIC */

struct shared {
    _Atomic int64_t shift, reads;
};

static struct shared none, *shared = &none;
static int (*real_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FANFARE_CLOCK_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *p = fd >= 0 ? mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
                      : MAP_FAILED;

    if (p != MAP_FAILED)
        shared = p;
    if (fd >= 0)
        close(fd);
}

static int64_t as_ns(const struct timespec *ts)
{
    return (int64_t)ts->tv_sec * NS + ts->tv_nsec;
}

static struct timespec as_timespec(int64_t ns)
{
    return (struct timespec){ns / NS, ns % NS};
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    if (!real_gettime) /* before the constructor, too */
        *(void **)&real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    int r = real_gettime(id, ts);
    if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        *ts = as_timespec(as_ns(ts) + shared->shift);
        shared->reads++;
    }
    return r;
}

int gettimeofday(struct timeval *tv, void *zone)
{
    struct timespec ts;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &ts);
    *tv = (struct timeval){ts.tv_sec, ts.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *ret)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    if (ret)
        *ret = ts.tv_sec;
    return ts.tv_sec;
}

int timespec_get(struct timespec *ts, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, ts) == 0 ? base : 0;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict end)
{
    if (cond->__data.__wrefs & MONOTONIC_MASK)
        return pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, end);
    for (;;) {
        struct timespec now, mono, slice;
        clock_gettime(CLOCK_REALTIME, &now);
        clock_gettime(CLOCK_MONOTONIC, &mono);
        int64_t left = as_ns(end) - as_ns(&now);
        slice = as_timespec(as_ns(&mono) + (left < SLICE_NS ? (left > 0 ? left : 0) : SLICE_NS));
        int r = pthread_cond_clockwait(cond, mutex, CLOCK_MONOTONIC, &slice);
        if (r != ETIMEDOUT || left <= SLICE_NS)
            return r;
    }
}

/* glibc's cnd_t and mtx_t are its pthread_cond_t and pthread_mutex_t. */
int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict end)
{
    int r = pthread_cond_timedwait((pthread_cond_t *)(void *)cond, (pthread_mutex_t *)(void *)mutex,
                                   end);
    return r == 0 ? thrd_success : r == ETIMEDOUT ? thrd_timedout : thrd_error;
}
