/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shard_lws.h: a shard's libwebsockets contexts, on its loop.
 *
 * More than one: when libwebsockets 4.1 closes a plain connection it looks through a table with a
 * place for each descriptor that the process might have, which takes a millisecond where that is a
 * million. So there are contexts for small, greater and any descriptors, as many as the limit of
 * open files is worth; a table that is looked through is at most four times as long as there are
 * descriptors in use, or a short one.
 *
 * shard_lws_init and _done in main, one shard after the other; the rest @thread shard
 */
#pragma once

#include "common/base/base.h"

struct shard;
struct shard_lws;

#define SHARD_LWS_TABLES 5 /* at most */

/* The lengths of their tables, where a process may have `most` descriptors: shortest first, each a
 * quarter of the next, the last for all. Returns how many. @thread any */
size_t shard_lws_tables(uint64_t most, uint64_t ret[SHARD_LWS_TABLES]);

/* 0 with *ret, or -1 with why (TLS files that can't be read, …). Lowers this process' limit of open
 * files for a moment. */
int shard_lws_init(struct shard *sh, struct shard_lws **ret, char *why,
                   size_t why_size) _must_check_;
void shard_lws_done(struct shard_lws *l); /* closes what is left: session_on_close. NULL is fine */
/* Takes an accepted connection. False: it can't, and has closed it. */
bool shard_lws_take_fd(struct shard_lws *l, int fd);
/* Once a second. libwebsockets' one timer on a libev loop stays at the first deadline that it was
 * set to; a nearer one is only seen when it has something to do. */
void shard_lws_look(struct shard_lws *l);
