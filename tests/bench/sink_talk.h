/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink_talk.h: what bench_sink's clients say and count, one row for each server they can talk to.
 *
 * A dialect only reads messages and writes frames: connections, TLS, framing and waiting are
 * sink.c's. To add one: a row in sink_talk.c. A server's complaint ends the program.
 *
 * @thread main
 */
#pragma once

#include "common/base/base.h"
#include "common/base/buf.h"

#include "loadgen/wsframe.h"

/* A client as its dialect sees it. */
struct talk_client {
    const char *channel;        /* what it subscribes to; NULL: nothing */
    char *const *more;          /* and to these, where the dialect can: more[stride] … */
    size_t more_count, stride;  /* … more[more_count * stride] */
    unsigned answers, expected; /* the dialect's own counts, 0 at first */
    bool is_ready;              /* the dialect sets it: publications can come from now on */
};

struct talk {
    const char *name;
    const char *protocol; /* Sec-WebSocket-Protocol; NULL: none */
    /* The path of the upgrade's GET, with its query. */
    void (*path)(const struct talk_client *c, struct buf *out);
    /* The upgrade is done: frames to send (ws_put()), or is_ready. */
    void (*greet)(struct talk_client *c, struct buf *out);
    /* Leaves all of its channels and subscribes to them again; is_ready when all that is answered.
     * NULL: the dialect can't. */
    void (*churn)(struct talk_client *c, struct buf *out);
    /* One data frame; appends frames to send, returns how many publications were in it. */
    unsigned (*message)(struct talk_client *c, const struct ws_frame *f, struct buf *out);
};

/* NULL: no such dialect. */
const struct talk *talk_find(const char *name);
