/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis.h: a non-blocking, pipelined Redis connection on a libev loop, and a blocking one for boot.
 *
 * Owns hiredis: nobody else sees its headers. RESP2. One connection belongs to one loop and thread.
 * It never reconnects or resends by itself: when it breaks, every command not yet answered gets its
 * callback with reply NULL, then on_down is called once; the owner decides (docs of append, feed).
 *
 * URL: redis://[user[:password]@]host[:port][/db], unix:/path, or
 * sentinel://[user[:password]@]host[:port][,host[:port]…]/master[/db], whose hosts are Sentinels:
 * they are asked at each connect where that master is, and user and password are the master's. A
 * password may be given apart.
 */
#pragma once

#include "common/base/base.h"

struct ev_loop;
struct redis_conn;
struct redis_watch;
struct redis_reply; /* borrowed within its callback */

enum redis_type {
    REDIS_T_STRING,
    REDIS_T_STATUS,
    REDIS_T_ERROR,
    REDIS_T_INT,
    REDIS_T_NIL,
    REDIS_T_ARRAY
};
enum redis_type redis_type(const struct redis_reply *r);
struct slice redis_str(const struct redis_reply *r); /* string, status, error; else {NULL, 0} */
int64_t redis_int(const struct redis_reply *r);      /* integer, or a string that is one; else 0 */
size_t redis_len(const struct redis_reply *r);       /* elements of an array; else 0 */
const struct redis_reply *redis_at(const struct redis_reply *r, size_t i);
bool redis_is_error(const struct redis_reply *r, const char *prefix); /* "NOSCRIPT", "OOM", … */

enum redis_role {
    REDIS_ANY,
    REDIS_MASTER,  /* a server that says it is a replica is refused: -EROFS */
    REDIS_REPLICA, /* one that isn't in step with its master is: -EAGAIN; it may be a master by now.
                    * By Sentinels: one that they know, this process always the same */
};

struct redis_opts {
    const char *url;
    const char *password; /* NULL or "" = the URL's */
    enum redis_role role; /* by Sentinels REDIS_ANY is REDIS_MASTER */
    /* Of the Sentinels themselves; NULL or "" = none. */
    const char *sentinel_user, *sentinel_password;
    /* Where the master was last, for when no Sentinel answers; NULL = then it can't connect. */
    struct redis_watch *watch;
    int64_t connect_ms; /* a connection not up by then is down (ETIMEDOUT); default 2000 if 0 */
    int64_t reply_ms;   /* the oldest unanswered command may take this long, else down; 0 = never */
    const char *name;   /* CLIENT SETNAME; NULL = none */
};

struct redis_ops {
    /* AUTH, SELECT, SETNAME answered: commands may be sent. */
    void (*on_up)(struct redis_conn *c, void *arg);
    /* Connect failed, peer closed, protocol error, time-out. why is text for a log. The connection
     * is dead: call redis_conn_free (also from here). err is -errno. */
    void (*on_down)(struct redis_conn *c, int err, const char *why, void *arg);
};

typedef void redis_reply_fn(struct redis_conn *c, const struct redis_reply *reply, void *arg);

/* Entries of XREAD, XRANGE and XREVRANGE replies, handed over while they are parsed: no reply
 * tree. Ids that are not 1-<pos> and fields other than one `d` are a protocol error (done gets
 * -EBADMSG). */
struct redis_entries_ops {
    /* key: the stream's key for XREAD, {NULL,0} for XRANGE. field borrows until return. */
    void (*entry)(void *arg, struct slice key, uint64_t pos, struct slice field);
    /* The whole reply was seen. err 0; -EBADMSG; -EREMOTEIO: Redis answered an error (msg, at most
     * 512 bytes); -ECONNRESET: the connection broke first (msg says why). After a wrong entry no
     * further one of that reply is handed over; the connection stays. A nil reply (time-out) is
     * err 0 and no entries. */
    void (*done)(void *arg, int err, const char *msg);
};

/* Begins to connect; nothing of it blocks. ops must outlive the connection. Callbacks only come
 * from the loop, never from inside this call. NULL only for an unusable URL (redis_url_check says
 * why). */
struct redis_conn *redis_conn_new(struct ev_loop *loop, const struct redis_opts *opts,
                                  const struct redis_ops *ops, void *arg);
/* Unanswered callbacks get NULL before it returns; no on_down. May be called from any callback of
 * c, whose reply then stays valid until that callback returns. */
void redis_conn_free(struct redis_conn *c);
/* Its owner found that it is of no use: ends as if it had broken, with on_down from the loop. */
void redis_conn_end(struct redis_conn *c, const char *why);
bool redis_conn_is_up(const struct redis_conn *c);
/* host:port or unix:/path, for people: a URL may hold a password. "?" for an unusable URL. */
#define REDIS_WHERE_MAX 300
void redis_url_where(const char *url, char dst[REDIS_WHERE_MAX]);
/* The same of a connection: of a Sentinel URL the server it was led to. */
void redis_conn_where(const struct redis_conn *c, char dst[REDIS_WHERE_MAX]);
/* A usable URL without its password, for others to use. */
void redis_url_public(const char *url, char dst[REDIS_WHERE_MAX]);
bool redis_url_has_password(const char *url);
/* Do both lead to one server, as its address goes? */
bool redis_conn_is_same(const struct redis_conn *a, const struct redis_conn *b);
int redis_url_check(const char *url, char *why, size_t why_size) _must_check_;

/* Queue a command; written once before the loop sleeps (or when 64 KiB are queued). fn may be NULL.
 * On a connection that is not up: fn is called with NULL at the next loop turn. A callback that got
 * NULL must not try again on the same connection (see redis_conn_is_up). */
void redis_cmd(struct redis_conn *c, redis_reply_fn *fn, void *arg, int argc,
               const struct slice *argv);
/* The same for a command whose reply nobody waits for yet: it doesn't wake the loop. It is looked
 * for whenever the loop wakes for something else, and at the latest after REDIS_RELAX_MS without
 * any. At a command a millisecond that is half of the wake-ups. */
void redis_cmd_relaxed(struct redis_conn *c, redis_reply_fn *fn, void *arg, int argc,
                       const struct slice *argv);
/* Somebody waits after all: the replies to everything queued so far wake the loop. */
void redis_hurry(struct redis_conn *c);
/* "XADD k * f v" style for cold paths: words split at spaces, no quoting; %s and %b are not known:
 * arguments that need care use redis_cmd. */
void redis_cmd_text(struct redis_conn *c, redis_reply_fn *fn, void *arg, const char *text);
void redis_cmd_entries(struct redis_conn *c, const struct redis_entries_ops *ops, void *arg,
                       int argc, const struct slice *argv);
size_t redis_pending_bytes(const struct redis_conn *c); /* queued and not yet given to the kernel */
size_t redis_pending_cmds(const struct redis_conn *c);  /* not yet answered */
int64_t redis_client_id(const struct redis_conn *c);    /* CLIENT ID; 0 before on_up */

/* Asks the Sentinels of a sentinel:// URL all the time, twice a second: a master that was deposed
 * may go on answering. Outlives the connections that name it; one loop. */
struct redis_watch_ops {
    /* A master is known: connections that don't agree are of no use (redis_conn_end). Each time. */
    void (*on_master)(void *arg);
    /* Sentinels that answered no longer do (why), or they do again. */
    void (*on_heard)(void *arg, bool heard, const char *why);
};
/* NULL: the URL names no Sentinels. */
struct redis_watch *redis_watch_new(struct ev_loop *loop, const struct redis_opts *opts,
                                    const struct redis_watch_ops *ops, void *arg);
void redis_watch_free(struct redis_watch *w);
/* Leads the connection to the master that is known? One on its way there does. */
bool redis_watch_agrees(const struct redis_watch *w, const struct redis_conn *c);

/* Blocking, for boot and tools. */
struct redis_sync;
/* NULL with why filled, and errno. */
struct redis_sync *redis_sync_open(const struct redis_opts *opts, char *why, size_t why_size);
/* NULL if the connection broke (why is filled at open only; text by redis_sync_why). The reply
 * lives until the next call or close. */
const struct redis_reply *redis_sync_cmd(struct redis_sync *s, int argc, const struct slice *argv);
const char *redis_sync_why(const struct redis_sync *s);
void redis_sync_close(struct redis_sync *s);
