/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_read.c: from the socket to the callbacks.
 *
 * Big reads into one buffer per thread, given to hiredis' reader in small parts: it copies them and
 * moves what is left after each reply, which is cheap only while there is little of it. Which set
 * of object functions parses a reply is decided by the command at the head of the queue.
 *
 * While only replies to relaxed commands are outstanding, the socket isn't watched: each wake-up of
 * the loop for something else reads it first (`peek`), and a timer ends the patience. When it fires
 * with nothing outstanding the socket is watched again, for the server's goodbye. (libev takes a
 * descriptor out of epoll only after one more event: the first reply of many still wakes the loop.)
 *
 * A callback may queue commands, and may free the connection: `nest` keeps the memory.
 * @thread of the connection's loop
 */
#include <errno.h>
#include <sys/socket.h>

#include "common/io/redis_impl.h"

static struct redis_pending pop_sent(struct redis_conn *c)
{
    if (c->urgent)
        c->urgent--;
    if (ev_is_active(&c->relaxed))
        ev_timer_again(c->loop, &c->relaxed);
    return ring_pop(&c->sent);
}

static void deliver_entries(struct redis_conn *c)
{
    struct redis_pending p = pop_sent(c);
    struct entries_parse *e = &c->entries;

    buf_byte(&e->msg, '\0');
    p.ops->done(p.arg, e->err, e->err == -EBADMSG ? "not a reply of entries" : e->msg.p);
}

static void deliver_tree(struct redis_conn *c)
{
    struct redis_pending p = pop_sent(c);

    if (p.fn)
        p.fn(c, c->root, p.arg);
    c->root = NULL;
    arena_reset(&c->arena);
}

/* Sets the reader up for the reply its queue's head waits for. */
static bool expect(struct redis_conn *c)
{
    const struct redis_pending *p = ring_head(&c->sent);
    redisReader *r = c->ctx->reader;

    if (!p) {
        if (r->len > r->pos)
            conn_fail(c, -EPROTO, "a reply nobody asked for");
        return false;
    }
    if (p->kind == PENDING_REPLY) {
        r->fn = &redis_tree_functions;
    } else {
        r->fn = &redis_entries_functions;
        entries_begin(&c->entries, p);
    }
    return true;
}

/* Parses and delivers all whole replies the reader holds. `c->expecting` outlives the call: the
 * reader may stand in the middle of a reply. */
static void parse(struct redis_conn *c)
{
    redisReader *r = c->ctx->reader;

    while (c->state == CONN_HANDSHAKE || c->state == CONN_UP) {
        void *obj = NULL;

        if (!c->expecting && !(c->expecting = expect(c)))
            return;
        if (redisReaderGetReply(r, &obj) != REDIS_OK) {
            conn_fail(c, -EPROTO, "%s", c->too_big ? "a reply over its bounds" : r->errstr);
            return;
        }
        if (!obj) {
            if (r->len - r->pos > REDIS_STRING_MAX + 64)
                conn_fail(c, -EPROTO, "a string over 64 MiB");
            return;
        }
        c->expecting = false;
        /* Freed, or ended, from inside its own entry(): its callback was or will be told so. */
        if (c->freed || c->state == CONN_DOWN)
            return;
        if (ring_head(&c->sent)->kind == PENDING_REPLY)
            deliver_tree(c);
        else
            deliver_entries(c);
    }
}

static void take_input(struct redis_conn *c, const char *p, size_t n)
{
    while (n > 0 && c->state != CONN_DOWN) {
        size_t part = n < REDIS_FEED_SIZE ? n : REDIS_FEED_SIZE;

        if (redisReaderFeed(c->ctx->reader, p, part) != REDIS_OK) {
            conn_fail(c, -EPROTO, "%s", c->ctx->reader->errstr);
            return;
        }
        parse(c);
        p += part;
        n -= part;
    }
}

void conn_watch(struct redis_conn *c)
{
    bool relaxed =
        c->state == CONN_UP && c->urgent == 0 && (c->sent.count > 0 || ev_is_active(&c->relaxed));

    if (c->state < CONN_HANDSHAKE || c->state == CONN_DOWN || relaxed == !ev_is_active(&c->reading))
        return;
    if (relaxed) {
        ev_io_stop(c->loop, &c->reading);
        ev_timer_again(c->loop, &c->relaxed);
    } else {
        ev_timer_stop(c->loop, &c->relaxed);
        ev_io_start(c->loop, &c->reading);
    }
}

void conn_read(struct redis_conn *c)
{
    static _Thread_local char input[REDIS_READ_SIZE];
    size_t total = 0;

    c->nest++;
    while (c->state != CONN_DOWN && total < REDIS_READ_TURN) {
        ssize_t n = recv(c->ctx->fd, input, sizeof(input), 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n <= 0) {
            int err = n < 0 ? errno : ECONNRESET;

            conn_fail(c, -err, "%s", n < 0 ? strerror(err) : "closed by the server");
            break;
        }
        take_input(c, input, (size_t)n);
        total += (size_t)n;
        if ((size_t)n < sizeof(input))
            break; /* drained; if more came just now, the loop tells again */
    }
    conn_leave(c);
}
