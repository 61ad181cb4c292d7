/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deep.h: deep history: what is older than a region stream, read from Kafka for edges that want it.
 *
 * Edges leave a want in ff:want (keys.h); whichever worker of the region takes it reads a row of
 * segments (segment.h) and publishes each under its key, for all edges. Before that it makes sure
 * that Kafka's log still is the stream's: the overlap check. Bounded: one want at a time, 4 MiB a
 * want, all segments together within `history_bytes`.
 *
 * Owns a Kafka handle of its own, made at the first want, and a Redis connection. @thread history
 */
#pragma once

struct history;
struct deep;

struct deep *deep_new(struct history *h); /* begins to connect */
void deep_free(struct deep *d);
