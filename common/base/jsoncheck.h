/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsoncheck.h: is this strict JSON (RFC 8259), and can it be embedded in a protocol frame as it is?
 *
 * Ours, because every record passes it once in the worker: one pass, no tree, no allocation. Strict
 * UTF-8, no raw control characters in strings, at most JSONCHECK_DEPTH levels, escapes checked
 * (\uD800 alone is accepted, as in RFC 8259). Fuzzed against jansson. @thread any
 */
#pragma once

#include "common/base/base.h"

#define JSONCHECK_DEPTH 64

enum jsoncheck {
    JSONCHECK_OK,    /* valid; no byte 0x0A or 0x0D in it */
    JSONCHECK_LINES, /* valid; has line breaks between tokens (take them out to embed it) */
    JSONCHECK_INVALID,
};

enum jsoncheck jsoncheck(struct slice s);
/* Copies valid JSON without its line breaks (they can only stand between tokens); returns the bytes
 * written, at most s.n. dst may not overlap s. */
size_t jsoncheck_strip_lines(char *dst, struct slice s);
