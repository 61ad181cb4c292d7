/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stores.h: the Redis servers among which a region's partitions are divided, and which of them a
 * partition is at: everybody who knows the same table finds the same (rendezvous hashing by name),
 * and a server more takes only its share.
 *
 * ff:shards in the region's home Redis is a hash: version, and s:<name> for each: its URL, or
 * "home". The greater version wins; without a table all is at home. @thread any
 */
#pragma once

#include "common/base/base.h"

#define STORES_MAX     32
#define STORE_NAME_MAX 32 /* bytes: letters, digits, '-', '_', '.' */
#define STORE_HOME     "home"

struct store {
    char name[STORE_NAME_MAX + 1];
    char *url;
    uint64_t hash; /* the name's */
};

struct stores {
    uint64_t version; /* 0: no table */
    size_t count;
    struct store v[STORES_MAX]; /* by name */
};

bool store_name_is_valid(struct slice name);
/* 0; -EINVAL: not a name, or it is there; -ENOSPC. */
int stores_add(struct stores *st, struct slice name, struct slice url) _must_check_;
/* A field of the hash and its value, as above. 0, or an error; others are ignored. */
int stores_take(struct stores *st, struct slice field, struct slice value) _must_check_;
bool stores_are_same(const struct stores *a, const struct stores *b); /* versions apart */
/* Of the table that was read at home and the one in use, the greater version counts; of two with
 * one version the one at home, so that all follow the same. */
bool stores_replace(const struct stores *read, const struct stores *used);
/* The URL of the one the partition is at. */
const char *stores_url(const struct stores *st, const char *log, int32_t partition);
void stores_done(struct stores *st);
