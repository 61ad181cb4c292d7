/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h: one line an event on stderr, `event=name key=value …`, for people and for machines.
 *
 *   2026-11-21T08:00:00.123Z info  event=assigned topic=quakes partitions=4
 *
 * error: needs a person; warn: something was lost or is slower; info: lifecycle; debug: for us.
 * Nothing is logged per message. A repeated event is rate-limited: after LOG_BURST lines of one
 * call site within a second the rest are counted, and the next line of that site carries
 * `suppressed=N`. Values with spaces, quotes or control characters are quoted and escaped by the
 * printer (log_value), so input can't forge a line.
 *
 * Only whoever decides logs: library code returns errors. @thread any
 */
#pragma once

#include "common/base/base.h"

enum log_level {
    LOG_LV_ERROR,
    LOG_LV_WARN,
    LOG_LV_INFO,
    LOG_LV_DEBUG
};

#define LOG_BURST 10

struct log_site {            /* one per call site, static */
    _Atomic uint64_t window; /* second the burst began in */
    _Atomic uint32_t lines, suppressed;
};

void log_init(const char *program, enum log_level level); /* program is not copied */

/* fmt prints ` key=value` pairs; use "%s" only with log_value() or text that is ours. */
void log_write(struct log_site *site, enum log_level level, const char *event, const char *fmt, ...)
    _printf_like_(4, 5);

/* Quotes a value for a log line into a thread-local ring of 8 buffers of 512 bytes (longer values
 * are cut and marked with '…'). */
const char *log_value(struct slice s);

#define log_at(level, event, ...)                         \
    do {                                                  \
        static struct log_site log_site_;                 \
        log_write(&log_site_, level, event, __VA_ARGS__); \
    } while (0)
#define log_error(event, ...) log_at(LOG_LV_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...)  log_at(LOG_LV_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  log_at(LOG_LV_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_at(LOG_LV_DEBUG, event, __VA_ARGS__)
