/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tsan_threads.c: <threads.h> by pthread calls, for builds with the thread sanitizer only.
 *
 * librdkafka makes its threads and locks with C11's functions. gcc's sanitizer knows pthread's
 * only: a thread it has not seen begin crashes at its first intercepted call, and a lock it has not
 * seen orders nothing. Linked into a program, these definitions come before the C library's, for
 * shared libraries too, and go through what the sanitizer intercepts. What is missing here
 * (thrd_current, thrd_yield, tss_*) neither makes threads nor orders them: the C library's will do.
 *
 * Its read-write locks are pthread's, but tsan.supp has the sanitizer ignore all that it knows of
 * when librdkafka itself calls it, order along with accesses. Called from here it counts.
 *
 * Invariant: glibc's types are the same ones under other names, checked below, so that either
 * family's functions may be used on an object. @thread any
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(_Generic((thrd_t)0, pthread_t : 1, default : 0), "thrd_t is pthread_t");
_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t), "mtx_t is pthread_mutex_t");
_Static_assert(sizeof(cnd_t) == sizeof(pthread_cond_t), "cnd_t is pthread_cond_t");
_Static_assert(sizeof(once_flag) == sizeof(pthread_once_t), "once_flag is pthread_once_t");

struct start {
    thrd_start_t fn;
    void *arg;
};

static int result(int err)
{
    switch (err) {
    case 0:
        return thrd_success;
    case ENOMEM:
        return thrd_nomem;
    case ETIMEDOUT:
        return thrd_timedout;
    case EBUSY:
        return thrd_busy;
    default:
        return thrd_error;
    }
}

static void *run(void *arg)
{
    struct start start = *(struct start *)arg;

    free(arg);
    return (void *)(intptr_t)start.fn(start.arg);
}

int thrd_create(thrd_t *thread, thrd_start_t fn, void *arg)
{
    struct start *start = malloc(sizeof(*start));
    int err;

    if (!start)
        return thrd_nomem;
    *start = (struct start){fn, arg};
    err = pthread_create(thread, NULL, run, start);
    if (err)
        free(start);
    return err == EAGAIN ? thrd_nomem : result(err);
}

int thrd_join(thrd_t thread, int *ret)
{
    void *value = NULL;
    int err = pthread_join(thread, &value);

    if (ret)
        *ret = (int)(intptr_t)value;
    return result(err);
}

int thrd_detach(thrd_t thread)
{
    return result(pthread_detach(thread));
}

void thrd_exit(int ret)
{
    pthread_exit((void *)(intptr_t)ret);
}

void call_once(once_flag *flag, void (*fn)(void))
{
    (void)pthread_once((pthread_once_t *)flag, fn);
}

int mtx_init(mtx_t *m, int type)
{
    bool recursive = type & mtx_recursive;
    pthread_mutexattr_t attr;
    int err = pthread_mutexattr_init(&attr);

    if (err)
        return result(err);
    err = pthread_mutexattr_settype(&attr,
                                    recursive ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL);
    if (!err)
        err = pthread_mutex_init((pthread_mutex_t *)m, &attr);
    (void)pthread_mutexattr_destroy(&attr);
    return result(err);
}

void mtx_destroy(mtx_t *m)
{
    (void)pthread_mutex_destroy((pthread_mutex_t *)m);
}

int mtx_lock(mtx_t *m)
{
    return result(pthread_mutex_lock((pthread_mutex_t *)m));
}

int mtx_trylock(mtx_t *m)
{
    return result(pthread_mutex_trylock((pthread_mutex_t *)m));
}

int mtx_timedlock(mtx_t *restrict m, const struct timespec *restrict until)
{
    return result(pthread_mutex_timedlock((pthread_mutex_t *)m, until));
}

int mtx_unlock(mtx_t *m)
{
    return result(pthread_mutex_unlock((pthread_mutex_t *)m));
}

int cnd_init(cnd_t *c)
{
    return result(pthread_cond_init((pthread_cond_t *)c, NULL));
}

void cnd_destroy(cnd_t *c)
{
    (void)pthread_cond_destroy((pthread_cond_t *)c);
}

int cnd_signal(cnd_t *c)
{
    return result(pthread_cond_signal((pthread_cond_t *)c));
}

int cnd_broadcast(cnd_t *c)
{
    return result(pthread_cond_broadcast((pthread_cond_t *)c));
}

int cnd_wait(cnd_t *c, mtx_t *m)
{
    return result(pthread_cond_wait((pthread_cond_t *)c, (pthread_mutex_t *)m));
}

int cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict until)
{
    return result(pthread_cond_timedwait((pthread_cond_t *)c, (pthread_mutex_t *)m, until));
}

/* ---- read-write locks ------------------------------------------------------------------------ */

int __interceptor_pthread_rwlock_rdlock(pthread_rwlock_t *l);
int __interceptor_pthread_rwlock_wrlock(pthread_rwlock_t *l);
int __interceptor_pthread_rwlock_unlock(pthread_rwlock_t *l);

int pthread_rwlock_rdlock(pthread_rwlock_t *l)
{
    return __interceptor_pthread_rwlock_rdlock(l);
}

int pthread_rwlock_wrlock(pthread_rwlock_t *l)
{
    return __interceptor_pthread_rwlock_wrlock(l);
}

int pthread_rwlock_unlock(pthread_rwlock_t *l)
{
    return __interceptor_pthread_rwlock_unlock(l);
}
