/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crew.h: one process full of WebSocket clients, and what its three files share:
 *
 *   crew.c    the process: loop, pacing, reconnects, cuts, the end
 *   conn.c    one client's socket: connect, upgrade, frames in and out
 *   client.c  one client's protocol: connect, subscribe, resume, deliveries, the delivery log
 *
 * A client of our own instead of libwebsockets' client mode: that needs several KB and a multiple
 * of the CPU time a client, which on one machine leaves too little for the system under test.
 *
 * Calls go crew → conn → client; client calls conn only to send and to close. One thread, no locks.
 * A client is in crew.waiting while it has a due time, else in no list. @thread main of its process
 */
#pragma once

#include <ev.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/list.h"

#include "loadgen/dlog.h"
#include "loadgen/shared.h"

#define FRAME_MAX MIB(1)
#define EPOCH_MAX 64

enum conn_state {
    CONN_NONE,
    CONN_CONNECTING,
    CONN_UPGRADING,
    CONN_OPEN,
    CONN_FINAL
};

enum sub_state {
    SUB_IDLE, /* to be asked for */
    SUB_ASKED,
    SUB_LIVE,
    SUB_REFUSED /* for good */
};

struct sub {
    uint64_t cursor; /* position; meaningful once begun */
    uint64_t first;  /* where it began, or began again when it was told */
    uint32_t channel;
    uint8_t state; /* enum sub_state */
    uint8_t epoch; /* index into crew.epochs */
    bool begun;
};

struct client {
    struct ev_io io;
    struct list waiting;
    struct crew *crew;
    struct sub *subs;
    struct buf in, message, out; /* an incomplete frame, an incomplete message, unsent bytes */
    uint64_t due_ns;             /* when in crew.waiting: connect, or ask again */
    uint64_t started_ns, heard_ns;
    uint32_t id, number; /* in all processes, in this one */
    uint32_t attempts, ping_s;
    int fd;
    enum conn_state state;
    uint8_t edge, lost_edge;
    bool asking;       /* at /connect, where it is to go */
    bool slow, paused; /* reads little at a time */
    bool old;          /* resumes with its first cursors when it was cut */
    bool pong;         /* the server wants pongs */
    bool up;           /* its connect command was answered */
    bool was_lost;     /* by no fault of ours: counts for the edge it was on */
    bool resuming, told;
};

struct crew {
    const struct settings *st;
    struct shared *sh;
    struct crew_stats *stats;
    struct ev_loop *loop;
    struct client *clients;
    uint32_t count, index; /* clients, number of this process */
    struct list waiting;
    FILE *log;
    bool log_failed;
    char **names;    /* channels */
    uint32_t *slots; /* channel number + 1 by name; open addressing */
    size_t slot_mask;
    char epochs[16][EPOCH_MAX + 1];
    uint32_t epoch_count;
    struct buf text; /* scratch */
    char *rx;        /* scratch */
    uint64_t random;
    uint32_t started; /* clients whose first connect has begun */
    double start_credit;
    uint64_t ticks, cut_due_ns;
    uint64_t *ends; /* by channel, once known */
};

/* crew.c: the exit status of the process. log_path is created; ends_path is read in PHASE_DRAIN. */
int crew_main(const struct settings *st, struct shared *sh, uint32_t index, const char *log_path,
              const char *ends_path);
void crew_wait(struct client *c, uint64_t after_ns); /* sets its due time */
uint64_t crew_random(struct crew *cr);

/* conn.c */
void conn_open(struct client *c);
void conn_close(struct client *c);                  /* at once, without a word */
int conn_send(struct client *c, struct slice text); /* one text frame; 0 or -errno */
void conn_resume_reading(struct client *c);

/* client.c: what conn.c tells. */
void client_on_open(struct client *c);
int client_on_text(struct client *c, struct slice text, uint64_t now_ns); /* 0, else close it */
/* The connection is gone (closed here already); code: of a close frame, 1006 without one. */
void client_on_lost(struct client *c, unsigned code);
void client_on_due(struct client *c);
void client_cut(struct client *c); /* on purpose */
/* Subscriptions that are not yet where the ends say. */
uint64_t client_behind(const struct client *c, const uint64_t *ends);
