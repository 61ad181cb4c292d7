/* SPDX-License-Identifier: Apache-2.0 */
/*
 * namespace.h: namespaces and the way between channels and records, the same in worker and edge.
 *
 * channel = <namespace>:<record key>; the default namespace (name "") has no prefix. With
 * `key: full` the record key carries the prefix itself. Each topic belongs to one namespace.
 * In the file: "namespaces": {"": {"topic": "events"}, "quakes": {"topic": "quakes", …}}.
 *
 * Immutable after namespaces_init(): @thread any.
 */
#pragma once

#include "common/base/base.h"
#include "common/base/partitioner.h"
#include "common/runtime/conf.h"

enum ns_payload {
    NS_JSON,
    NS_TEXT,
    NS_BINARY
};
enum ns_invalid {
    NS_INVALID_STRING,
    NS_INVALID_BASE64,
    NS_INVALID_REJECT
};
enum ns_key {
    NS_KEY_SHORT,
    NS_KEY_FULL
};
const char *ns_key_name(int key);         /* as in the configuration */
const char *ns_promise_name(int history); /* "latest", or "all" */
enum ns_fate {
    NS_FATE_MARKER,
    NS_FATE_SKIP
};
enum ns_tombstone {
    NS_TOMBSTONE_NULL,
    NS_TOMBSTONE_SKIP
};

enum ns_history {
    NS_HISTORY_ON,
    NS_HISTORY_OFF,
    NS_HISTORY_LATEST
};
enum ns_slow {
    NS_SLOW_CATCH_UP,
    NS_SLOW_LATEST,
    NS_SLOW_DISCONNECT
};

/* The rows of namespace.def. */
struct namespace_conf {
    char *topic;
    char *log_id;                /* overrides the registry; "" = from the registry */
    int partitioner;             /* enum partitioner */
    int key;                     /* enum ns_key */
    int payload;                 /* enum ns_payload */
    int on_invalid;              /* enum ns_invalid */
    int on_too_large;            /* enum ns_fate */
    int on_tombstone;            /* enum ns_tombstone */
    struct conf_strings headers; /* allow-list of Kafka headers that travel as tags */
    bool anonymous;              /* may be subscribed without a token's permission */
    int slow_clients;            /* enum ns_slow */
    int64_t slow_time;           /* ms */
    int history;                 /* enum ns_history */
};
extern const struct conf_spec namespace_specs[];

struct namespace
{
    const char *name; /* "" = default */
    const char *topic;
    const struct namespace_conf *conf;
    uint32_t index; /* 0 … count-1, the order of the configuration */
};

struct namespaces {
    struct namespace *v;
    uint32_t count;
};

/* Borrows the table. 0, or -EINVAL with lines "namespaces.x: …" appended to errors (a topic used
 * twice, a name with ':' or control characters, no topic). */
int namespaces_init(struct namespaces *nss, const struct conf_table *table,
                    struct buf *errors) _must_check_;
void namespaces_done(struct namespaces *nss);

/* The namespace of a channel and the record key inside it (borrowed from channel). The longest
 * text before the first ':' that is a configured namespace's name wins, else the default one. 0;
 * -ENOENT: no such namespace; -EINVAL: not a name (utf8_is_name), or an empty key. */
int namespaces_of_channel(const struct namespaces *nss, struct slice channel,
                          const struct namespace **ret, struct slice *ret_key) _must_check_;

/* The channel of a record key of ns, appended to out (cleared first). 0; -EINVAL: no valid name,
 * too long; -ENXIO: unreachable: a key of the default namespace that begins with a configured
 * one's prefix, or a `key: full` key without its prefix. */
int namespace_channel(const struct namespaces *nss, const struct namespace *ns, struct slice key,
                      struct buf *out) _must_check_;
