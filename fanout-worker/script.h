/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script.h: the Lua scripts, built in. Each call is EVALSHA; who gets NOSCRIPT loads them again.
 *
 * Texts are static; the hashes are Redis' own, asked for once at start. @thread any
 */
#pragma once

#include "common/base/base.h"

enum script {
    SCRIPT_APPEND,
    SCRIPT_APPEND_OOM,
    SCRIPT_LAST,
    SCRIPT_INDEX_ADD,
    SCRIPT_INDEX_READ,
    SCRIPT_TOPIC,
    SCRIPT_SEGMENT,
    SCRIPT_SWEEP,
    SCRIPT_SHARDS,
    SCRIPT_COUNT
};

#define SCRIPT_SHA_LEN 40

struct scripts {
    char sha[SCRIPT_COUNT][SCRIPT_SHA_LEN + 1];
};

struct slice script_text(enum script which);
