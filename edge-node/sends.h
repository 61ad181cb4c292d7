/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sends.h: many sockets' send() in one system call, by way of io_uring.
 *
 * It is send() in all but the number of calls: no send waits, none is under way when sends_run()
 * returns, and each has its own result. docs/decisions/0021-io-uring.md has the numbers.
 *
 * @thread shard: all calls but sends_free() on the thread of sends_new()
 */
#pragma once

#include "common/base/base.h"

struct sends;

#define SENDS_MAX 256 /* at once */

/* NULL: the kernel is older than 6.1, or forbids it (a container's rules often do); errno says. */
struct sends *sends_new(void);
void sends_free(struct sends *s); /* NULL is fine */

/* At most SENDS_MAX before a sends_run(), and no socket twice: a part of the first might be left.
 * The bytes stay where they are until then. */
void sends_add(struct sends *s, int fd, const char *p, size_t n);
/* Sends what was added. The i-th result is of the i-th: bytes, or -errno (-EAGAIN: the socket takes
 * nothing). Valid until the next sends_add(). */
const int32_t *sends_run(struct sends *s);
