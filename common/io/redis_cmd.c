/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_cmd.c: the queue of a connection's commands, and their output.
 *
 * Commands are formatted straight into one buffer per connection; redis.c's prepare watcher writes
 * it once a turn. What follows a partial write waits for the kernel. The caller bounds the buffer
 * by redis_pending_bytes(). @thread of the connection's loop
 */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/io/redis_impl.h"

static void ring_grow(struct pending_ring *r)
{
    size_t cap = r->cap ? r->cap * 2 : 16;
    struct redis_pending *rows = mem_alloc(cap * sizeof(*rows));

    for (size_t i = 0; i < r->count; i++)
        rows[i] = r->rows[(r->head + i) & (r->cap - 1)];
    free(r->rows);
    *r = (struct pending_ring){.rows = rows, .count = r->count, .cap = cap};
}

void ring_push(struct pending_ring *r, const struct redis_pending *p)
{
    if (r->count == r->cap)
        ring_grow(r);
    r->rows[(r->head + r->count) & (r->cap - 1)] = *p;
    r->count++;
}

struct redis_pending *ring_head(const struct pending_ring *r)
{
    return r->count ? &r->rows[r->head] : NULL;
}

struct redis_pending ring_pop(struct pending_ring *r)
{
    struct redis_pending p = r->rows[r->head];

    r->head = (r->head + 1) & (r->cap - 1);
    r->count--;
    return p;
}

void ring_done(struct pending_ring *r)
{
    free(r->rows);
    *r = (struct pending_ring){0};
}

/* Answers the first n commands of ring with "broke". Callbacks may queue more meanwhile. */
void conn_refuse_all(struct redis_conn *c, struct pending_ring *ring, size_t n)
{
    while (n-- > 0 && ring->count > 0) {
        struct redis_pending p = ring_pop(ring);

        if (p.kind != PENDING_REPLY)
            p.ops->done(p.arg, -ECONNRESET, c->err ? c->why : "not connected");
        else if (p.fn)
            p.fn(c, NULL, p.arg);
    }
}

static void add_header(struct buf *out, char mark, size_t n)
{
    buf_byte(out, (unsigned char)mark);
    buf_u64(out, n);
    buf_lit(out, "\r\n");
}

static void add_command(struct buf *out, int argc, const struct slice *argv)
{
    must(argc > 0);
    add_header(out, '*', (size_t)argc);
    for (int i = 0; i < argc; i++) {
        add_header(out, '$', argv[i].n);
        buf_slice(out, argv[i]);
        buf_lit(out, "\r\n");
    }
}

/* Drops what was written; moves the rest only when that is the smaller half. */
static void trim_output(struct redis_conn *c)
{
    if (c->out_off == c->out.n) {
        buf_clear(&c->out);
        buf_shrink(&c->out, REDIS_OUT_KEEP);
        c->out_off = 0;
    } else if (c->out_off > c->out.n / 2) {
        buf_consume(&c->out, c->out_off);
        c->out_off = 0;
    }
}

void conn_write(struct redis_conn *c)
{
    while (c->out_off < c->out.n) {
        ssize_t n = send(c->ctx->fd, c->out.p + c->out_off, c->out.n - c->out_off, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n < 0) {
            int err = errno;

            conn_fail(c, -err, "write: %s", strerror(err));
            return;
        }
        c->out_off += (size_t)n;
    }
    trim_output(c);
    if (c->out.n > 0)
        ev_io_start(c->loop, &c->writing);
    else
        ev_io_stop(c->loop, &c->writing);
}

static void push(struct redis_conn *c, const struct redis_pending *p, int argc,
                 const struct slice *argv)
{
    ring_push(&c->sent, p);
    add_command(&c->out, argc, argv);
}

static void queue_relaxed(struct redis_conn *c, const struct redis_pending *p, int argc,
                          const struct slice *argv)
{
    must(!c->freed || c->draining);
    if (c->state != CONN_UP) {
        ring_push(&c->refused, p);
        if (!c->freed && !ev_is_active(&c->soon)) {
            ev_timer_set(&c->soon, 0., 0.);
            ev_timer_start(c->loop, &c->soon);
        }
        return;
    }
    push(c, p, argc, argv);
    if (c->reply_ms && !ev_is_active(&c->timer)) {
        ev_timer_set(&c->timer, (double)c->reply_ms / 1000., 0.);
        ev_timer_start(c->loop, &c->timer);
    }
    if (c->out.n - c->out_off >= REDIS_FLUSH_AT && !ev_is_active(&c->writing))
        conn_write(c);
}

void redis_hurry(struct redis_conn *c)
{
    c->urgent = c->sent.count;
}

static void queue(struct redis_conn *c, const struct redis_pending *p, int argc,
                  const struct slice *argv)
{
    queue_relaxed(c, p, argc, argv);
    redis_hurry(c);
}

void conn_queue(struct redis_conn *c, const struct redis_pending *p, int argc,
                const struct slice *argv)
{
    push(c, p, argc, argv);
    redis_hurry(c);
}

void redis_cmd_relaxed(struct redis_conn *c, redis_reply_fn *fn, void *arg, int argc,
                       const struct slice *argv)
{
    const struct redis_pending p = {
        .fn = fn, .arg = arg, .since_ms = clock_mono_ms(), .kind = PENDING_REPLY};

    queue_relaxed(c, &p, argc, argv);
}

void redis_cmd(struct redis_conn *c, redis_reply_fn *fn, void *arg, int argc,
               const struct slice *argv)
{
    const struct redis_pending p = {
        .fn = fn, .arg = arg, .since_ms = clock_mono_ms(), .kind = PENDING_REPLY};

    queue(c, &p, argc, argv);
}

void redis_cmd_text(struct redis_conn *c, redis_reply_fn *fn, void *arg, const char *text)
{
    struct slice argv[REDIS_CMD_ARGS];
    int argc = 0;

    for (;;) {
        size_t n;

        text += strspn(text, " ");
        n = strcspn(text, " ");
        if (n == 0)
            break;
        must(argc < REDIS_CMD_ARGS);
        argv[argc++] = (struct slice){text, n};
        text += n;
    }
    redis_cmd(c, fn, arg, argc, argv);
}

/* XREAD and XREADGROUP name their streams in the reply, XRANGE and XREVRANGE don't. */
static enum pending_kind entries_kind(struct slice command)
{
    return command.n >= 5 && strncasecmp(command.p, "XREAD", 5) == 0 ? PENDING_XREAD
                                                                     : PENDING_XRANGE;
}

void redis_cmd_entries(struct redis_conn *c, const struct redis_entries_ops *ops, void *arg,
                       int argc, const struct slice *argv)
{
    const struct redis_pending p = {
        .ops = ops, .arg = arg, .since_ms = clock_mono_ms(), .kind = entries_kind(argv[0])};

    queue(c, &p, argc, argv);
}

size_t redis_pending_bytes(const struct redis_conn *c)
{
    return c->out.n - c->out_off;
}

size_t redis_pending_cmds(const struct redis_conn *c)
{
    return c->refused.count + (c->state == CONN_HANDSHAKE ? 0 : c->sent.count);
}
