/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_impl.h: the inside of a Redis connection, shared by the redis*.c files and nobody else.
 *
 * redis.c owns the watchers and the end, redis_connect.c the way to being up, redis_read.c the
 * input, redis_cmd.c the queue of commands and the output, redis_reply.c what hiredis' reader
 * calls, redis_url.c the address, redis_sentinel.c who the master is, redis_watch.c whether it
 * still is, redis_sync.c the blocking form.
 *
 * Invariant: `sent` holds one row per command whose reply has not been seen to its end, in the
 * order written, so its head always names who gets the reply being parsed. @thread of the
 * connection's loop
 */
#pragma once

#include <ev.h>

#include <hiredis/hiredis.h>

#include "common/base/buf.h"
#include "common/io/redis.h"
#include "common/io/resolve.h"

#define REDIS_STRING_MAX MIB(64)  /* one string of a reply */
#define REDIS_TREE_MAX   MIB(128) /* a whole reply tree, array slots included */
#define REDIS_DEPTH_MAX  7        /* arrays in one another, as in hiredis 0.14; ours need five */
#define REDIS_READ_SIZE  KIB(256) /* one recv() */
#define REDIS_READ_TURN  MIB(1)   /* bytes per event, so one connection can't hold the loop */
#define REDIS_FEED_SIZE  KIB(16)  /* given to hiredis at once: it memmoves what is left of it */
#define REDIS_FLUSH_AT   KIB(64)  /* queued output that is written without waiting */
#define REDIS_OUT_KEEP   KIB(256) /* output memory kept when idle */
#define REDIS_CONNECT_MS 2000
#define REDIS_RELAX_MS   5   /* a relaxed command's reply is looked for that late */
#define REDIS_CMD_ARGS   64  /* words of redis_cmd_text */
#define REDIS_ERROR_MAX  512 /* bytes kept of an error in the place of entries */

/* redis_url.c */
struct redis_address {
    char host[RESOLVE_HOST_MAX]; /* "": not known */
    int port;
};

struct redis_url {
    struct redis_address at; /* of a Sentinel URL: the master's, when it was asked for */
    char *path;              /* of a unix socket, else NULL */
    char *master;            /* its name, of a Sentinel URL, else NULL */
    struct redis_address *sentinels;
    size_t sentinel_count;
    char *user, *password;
    int db;
};

int redis_url_parse(const char *url, struct redis_url *ret, char *why,
                    size_t why_size) _must_check_;
void redis_url_done(struct redis_url *u);
void redis_url_print(const struct redis_url *u, char *dst, size_t size); /* without secrets */

/* redis_sentinel.c: fn is told once for each question, and may free ss. */
struct sentinels;
struct sentinels_say {
    int err; /* 0; -ENOENT: no such master; -ENXIO: no replica; -EHOSTUNREACH: none answers */
    struct redis_address at;
    int64_t epoch;
    bool by_most; /* most of them know a master */
    char why[256];
};
typedef void sentinels_fn(void *arg, const struct sentinels_say *says);
struct sentinels *sentinels_new(struct ev_loop *loop, const struct redis_url *url,
                                const struct redis_opts *opts, sentinels_fn *fn, void *arg);
void sentinels_ask(struct sentinels *ss); /* nothing while it is asked */
void sentinels_free(struct sentinels *ss);
/* redis_watch.c: where to connect by that answer, and by what the watch (or NULL) knows. 0, or
 * says->err. */
int watch_judge(const struct redis_watch *w, const struct sentinels_say *says,
                struct redis_address *ret) _must_check_;

/* redis_reply.c: a reply tree lives in an arena which is emptied after its callback. */
struct redis_reply {
    enum redis_type type;
    int64_t integer;
    struct slice str;
    size_t count;
    struct redis_reply *elements;
};

struct reply_arena {
    struct arena_block *first; /* the newest block; the oldest is kept when emptied */
    size_t total;
};

void arena_reset(struct reply_arena *a); /* keeps one block */
void arena_done(struct reply_arena *a);

/* State of the reply of redis_cmd_entries that is being parsed. */
struct entries_parse {
    const struct redis_entries_ops *ops;
    void *arg;
    struct buf key; /* of the stream being read; copied, as hiredis' buffer moves */
    struct buf msg; /* Redis' error */
    uint64_t pos;   /* of the entry being read */
    int root;       /* level the top array stands for */
    int err;
    bool has_key;
};

extern redisReplyObjectFunctions redis_tree_functions, redis_entries_functions;

/* redis_cmd.c */
enum pending_kind {
    PENDING_REPLY,
    PENDING_XREAD,
    PENDING_XRANGE
};

struct redis_pending {
    union {
        redis_reply_fn *fn;
        const struct redis_entries_ops *ops;
    };
    void *arg;
    uint64_t since_ms; /* clock_mono_ms() when queued */
    enum pending_kind kind;
};

struct pending_ring {
    struct redis_pending *rows;
    size_t head, count, cap; /* cap is 0 or a power of two */
};

void entries_begin(struct entries_parse *e, const struct redis_pending *p); /* redis_reply.c */

void ring_push(struct pending_ring *r, const struct redis_pending *p);
struct redis_pending *ring_head(const struct pending_ring *r);
struct redis_pending ring_pop(struct pending_ring *r);
void ring_done(struct pending_ring *r);

enum conn_state {
    CONN_CONNECTING,
    CONN_HANDSHAKE,
    CONN_UP,
    CONN_DOWN
};

struct redis_conn {
    struct ev_loop *loop;
    const struct redis_ops *ops;
    void *arg;
    struct redis_url url;
    char *password, *name;
    enum redis_role role;
    uint64_t connect_ms, reply_ms;

    struct redis_watch *watch;
    struct sentinels *asking;  /* where the master is */
    struct resolve *resolving; /* the host's address is being looked up */
    redisContext
        *ctx; /* NULL until then; its fd and its reader are used, its output buffer is not */
    ev_io reading, writing;
    ev_timer timer; /* connect_ms, then reply_ms */
    ev_timer soon;  /* zero time-out: what must be told from the loop, not from a caller's stack */
    ev_prepare flush; /* lowest priority: after all others of this turn queued their commands */
    ev_check peek;    /* highest: what a wake-up is for may depend on replies nobody waited for */
    ev_timer relaxed; /* REDIS_RELAX_MS, while `reading` is off */

    enum conn_state state;
    int nest;       /* callbacks of ours on the stack; memory is freed only at 0 */
    bool freed;     /* redis_conn_free was called */
    bool draining;  /* inside redis_conn_free's drain */
    bool told;      /* on_down was called */
    bool too_big;   /* why hiredis was told that memory ran out */
    bool expecting; /* the reader is set up for the head of sent */
    int err;        /* why it is down */
    char why[512];

    struct buf out;
    size_t out_off;              /* bytes of out already written */
    struct pending_ring sent;    /* written or in out, not yet answered */
    size_t urgent;               /* rows of sent up to the last one that somebody waits for */
    struct pending_ring refused; /* commands given to a connection that isn't up */
    struct reply_arena arena;
    struct redis_reply *root;
    struct entries_parse entries;
    int64_t client_id;
};

/* Ends the connection; its owner is told at the next loop turn. The first reason stays. */
void conn_fail(struct redis_conn *c, int err, const char *fmt, ...) _printf_like_(3, 4);
void conn_write(struct redis_conn *c); /* what is queued, as far as the kernel takes it */
void conn_leave(struct redis_conn *c); /* ends what c->nest++ began; may free c */
/* redis.c: redis_conn_new() of a parsed URL, which is taken. */
struct redis_conn *conn_new(struct ev_loop *loop, struct redis_url *take_url,
                            const struct redis_opts *opts, const struct redis_ops *ops, void *arg);
/* redis_connect.c: on the way to being up; what fails is told as conn_fail() does. */
void conn_begin(struct redis_conn *c, const struct redis_opts *opts);
/* redis_read.c */
void conn_read(struct redis_conn *c);  /* what has come; may free c */
void conn_watch(struct redis_conn *c); /* before the loop sleeps: shall replies wake it? */
/* Queues a command whatever the state; redis.c's handshake. */
void conn_queue(struct redis_conn *c, const struct redis_pending *p, int argc,
                const struct slice *argv);
void conn_refuse_all(struct redis_conn *c, struct pending_ring *ring, size_t n);
