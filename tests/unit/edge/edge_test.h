/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edge_test.h: what the edge's unit tests share: cmocka with the headers it wants, and entries
 * made of a few words. Nothing here has state. @thread main
 */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/base/hash.h"

#include "edge-node/plog.h"
#include "edge-node/turns.h"

static inline struct entry entry_of(uint64_t pos, uint64_t prev, const char *channel,
                                    struct slice payload)
{
    return (struct entry){
        .pos = pos,
        .prev = prev,
        .kind = ENTRY_JSON,
        .channel = slice_of(channel),
        .tags = {"", 0},
        .payload = payload,
    };
}

static inline struct channel_key key_of_name(const char *name)
{
    return (struct channel_key){hash_bytes(name, strlen(name)), slice_of(name)};
}

static inline void append_one(struct plog *p, uint64_t pos, const char *channel,
                              struct slice payload)
{
    struct entry e = entry_of(pos, pos - 1, channel, payload);

    plog_append(p, &e, key_of_name(channel).hash, 0);
}
