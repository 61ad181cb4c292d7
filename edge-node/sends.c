/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sends.c: see sends.h.
 *
 * The kernel and we share two rings. We write entries and move the submission ring's tail; one
 * system call has them done, on this thread, and leaves each one's result in the completion ring.
 * MSG_DONTWAIT makes a send that would wait fail instead, so the call's own wait is for nothing
 * that isn't there already. The ring of completions has twice as many places: it can't overflow.
 */
#include "edge-node/sends.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct sends {
    int fd;
    uint32_t n; /* added */
    void *rings;
    size_t rings_size;
    struct io_uring_sqe *entries; /* SENDS_MAX, each at its own index in the ring */
    _Atomic uint32_t *submit_tail, *done_head, *done_tail;
    const struct io_uring_cqe *done;
    uint32_t done_mask;
    int32_t results[SENDS_MAX];
};

/* Every place of the ring is for the entry of the same index, for good. */
static void map_entries(const struct io_uring_params *p, char *rings)
{
    uint32_t *array = (uint32_t *)(void *)(rings + p->sq_off.array);

    for (uint32_t i = 0; i < p->sq_entries; i++)
        array[i] = i;
}

static bool map(struct sends *s, const struct io_uring_params *p)
{
    size_t submit = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
    size_t done = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
    char *rings;

    s->rings_size = submit > done ? submit : done;
    s->rings = mmap(NULL, s->rings_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, s->fd,
                    IORING_OFF_SQ_RING);
    s->entries = mmap(NULL, p->sq_entries * sizeof(*s->entries), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_POPULATE, s->fd, IORING_OFF_SQES);
    if (s->rings == MAP_FAILED || s->entries == MAP_FAILED)
        return false;
    rings = s->rings;
    s->submit_tail = (_Atomic uint32_t *)(void *)(rings + p->sq_off.tail);
    s->done_head = (_Atomic uint32_t *)(void *)(rings + p->cq_off.head);
    s->done_tail = (_Atomic uint32_t *)(void *)(rings + p->cq_off.tail);
    s->done = (const struct io_uring_cqe *)(const void *)(rings + p->cq_off.cqes);
    s->done_mask = p->cq_entries - 1;
    map_entries(p, rings);
    return true;
}

static long enter(const struct sends *s, uint32_t submit, uint32_t wait)
{
    return syscall(SYS_io_uring_enter, s->fd, submit, wait, IORING_ENTER_GETEVENTS, NULL, 0);
}

struct sends *sends_new(void)
{
    struct io_uring_params p = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                         IORING_SETUP_SUBMIT_ALL};
    struct sends *s;
    int fd = (int)syscall(SYS_io_uring_setup, SENDS_MAX, &p);

    if (fd < 0)
        return NULL;
    s = mem_zalloc(sizeof(*s));
    s->fd = fd;
    errno = ENOMEM;
    if (p.sq_entries == SENDS_MAX && p.features & IORING_FEAT_SINGLE_MMAP && map(s, &p) &&
        enter(s, 0, 0) == 0) /* to have a ring is one right, to use it another */
        return s;
    sends_free(s);
    return NULL;
}

void sends_free(struct sends *s)
{
    if (!s)
        return;
    if (s->rings && s->rings != MAP_FAILED)
        munmap(s->rings, s->rings_size);
    if (s->entries && s->entries != MAP_FAILED)
        munmap(s->entries, SENDS_MAX * sizeof(*s->entries));
    close(s->fd);
    free(s);
}

void sends_add(struct sends *s, int fd, const char *p, size_t n)
{
    uint32_t tail = atomic_load_explicit(s->submit_tail, memory_order_relaxed) + s->n;

    must(s->n < SENDS_MAX);
    s->entries[tail % SENDS_MAX] = (struct io_uring_sqe){
        .opcode = IORING_OP_SEND,
        .fd = fd,
        .addr = (uintptr_t)p,
        .len = n > INT32_MAX ? INT32_MAX : (uint32_t)n,
        .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL,
        .user_data = s->n,
    };
    s->n++;
}

/* What is there of the results; how many. */
static uint32_t take_results(struct sends *s)
{
    uint32_t head = atomic_load_explicit(s->done_head, memory_order_relaxed);
    uint32_t n = atomic_load_explicit(s->done_tail, memory_order_acquire) - head;

    for (uint32_t i = 0; i < n; i++) {
        const struct io_uring_cqe *c = &s->done[(head + i) & s->done_mask];
        must(c->user_data < s->n);
        s->results[c->user_data] = c->res;
    }
    atomic_store_explicit(s->done_head, head + n, memory_order_release);
    return n;
}

const int32_t *sends_run(struct sends *s)
{
    uint32_t begun = 0, done = 0;

    atomic_fetch_add_explicit(s->submit_tail, s->n, memory_order_release);
    while (done < s->n) {
        long n = enter(s, s->n - begun, s->n - done);
        if (n >= 0)
            begun += (uint32_t)n;
        else
            must(errno == EINTR || errno == EAGAIN || errno == EBUSY); /* once more */
        done += take_results(s);
    }
    s->n = 0;
    return s->results;
}
