/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oracle.h: the oracle's own process, `fanfare-loadgen oracle`, and how loadgen talks to it.
 *
 * Lines on its stdin (secrets never stand on a command line):
 *   kafka NAME=VALUE     a librdkafka property      topic NAME      channel KEY (a record key)
 *   begin [later]        → "ready", once it stands at the end of every partition and reads on;
 *                          later: reads from there at "stop"
 *   stop FILE            → "stopped RECORDS": it has read up to where the log ended when asked;
 *                          has each channel's last position, a line each, in their order (0 = none)
 *   judge FILE           a delivery log (dlog.h); after "stop"
 *   verdict CHANNELS TOLD → one line of JSON (truth.h); TOLD 1: being told is no fault
 * Anything wrong is answered by "error TEXT" and the end of the process (exit 1).
 */
#pragma once

#include <sys/types.h>

#include "common/base/base.h"
#include "common/base/buf.h"

int oracle_main(void); /* exit status */

/* The other side. */
struct oracle {
    pid_t pid;
    int to, from;
    struct buf in;
};

/* Executes this program anew as the oracle. 0 or -errno. */
int oracle_start(struct oracle *o) _must_check_;
void oracle_say(struct oracle *o, const char *fmt, ...) _printf_like_(2, 3);
/* One line of its answer, without the line break, valid until the next call. 0; -ETIMEDOUT;
 * -EPIPE: it ended; -EREMOTEIO: it said "error …" (the text is in *ret). */
int oracle_hear(struct oracle *o, int64_t timeout_ms, struct slice *ret) _must_check_;
void oracle_end(struct oracle *o); /* closes the pipes and reaps it */
