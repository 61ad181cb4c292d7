/* SPDX-License-Identifier: Apache-2.0 */
/*
 * varint.h: reading LEB128 (unsigned, 1..10 bytes, as in Protocol Buffers) from a bounded cursor.
 *
 * @thread any
 */
#pragma once

#include "common/base/base.h"

/* Takes a varint off the front of *s. 0, or -EBADMSG (cut short, or more than 64 bits). */
int varint_take(struct slice *s, uint64_t *ret) _must_check_;
/* Takes a varint length and that many bytes off the front of *s. 0 or -EBADMSG. */
int varint_take_bytes(struct slice *s, struct slice *ret) _must_check_;
