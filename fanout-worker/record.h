/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h: what becomes of a record: its channel, partition check, payload check, fate.
 *
 * Pure: no I/O, no clock, no log. A record that can't be carried is never silently gone: the result
 * names the reason, the caller counts and logs. Owns only scratch memory, which is one thread's.
 * @thread any
 */
#pragma once

#include "common/base/entry.h"
#include "common/runtime/namespace.h"

#include "fanout-worker/source.h"

enum refusal {
    REFUSED_NO_KEY,      /* skipped */
    REFUSED_BAD_KEY,     /* not a channel name: skipped */
    REFUSED_UNREACHABLE, /* begins with another namespace's prefix: skipped */
    REFUSED_TOO_LARGE,   /* on_too_large */
    REFUSED_INVALID,     /* on_invalid = reject: as on_too_large says */
    REFUSED_TOMBSTONE,   /* on_tombstone = skip */
    REFUSED_MOVED,       /* written when the topic had fewer partitions: skipped */
    REFUSAL_COUNT,
    REFUSED_NOT = REFUSAL_COUNT,
};
const char *refusal_name(enum refusal why);

enum record_fate {
    RECORD_ENTRY,    /* append it (an ordinary entry or, if why says so, a marker) */
    RECORD_SKIP,     /* nothing to append */
    RECORD_MISMATCH, /* not in its key's partition: ask for metadata, then decide */
};

struct record_rules {
    const struct namespaces *nss;
    const struct namespace *ns;
    int64_t record_max;
    int32_t partition, partitions; /* of the current log */
    bool unmapped;                 /* the mismatch is known: don't ask again */
    const int32_t *earlier;        /* partition counts of the topic's earlier logs */
    size_t earlier_count;
};

struct record_maker {
    struct buf channel, tags, payload;
};

struct record_result {
    enum record_fate fate;
    enum refusal why;   /* REFUSED_NOT: none */
    bool mismatch;      /* seen, but the topic is unmapped already */
    uint32_t tags_left; /* allowed headers that could not travel */
};

void record_maker_done(struct record_maker *m);
/* Fills *ret (all but pos and prev) for RECORD_ENTRY; it borrows from m and r. */
struct record_result record_make(struct record_maker *m, const struct record_rules *rules,
                                 const struct source_record *r, struct entry *ret);
