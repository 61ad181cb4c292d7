/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.c: see log.h. A line is made in a buffer and written with one write(2), so lines of several
 * threads don't mix. @thread any
 */
#include "common/runtime/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"

#define LINE_MAX_BYTES  4096
#define VALUE_BUFFERS   8
#define VALUE_MAX_BYTES 512

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static _Atomic int threshold = LOG_LV_INFO;

void log_init(const char *program, enum log_level level)
{
    (void)program; /* the collector knows it; kept for a syslog sink */
    atomic_store(&threshold, (int)level);
}

void log_set_level(enum log_level level)
{
    atomic_store(&threshold, (int)level);
}

int log_level_parse(struct slice name, enum log_level *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (slice_eq(name, slice_of(level_names[i]))) {
            *ret = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* Counts the line against its site's burst; false: it is one too many. */
static bool may_log(struct log_site *site, uint32_t *ret_suppressed)
{
    uint64_t now = clock_mono_ms() / 1000;
    uint64_t window = atomic_load(&site->window);

    *ret_suppressed = 0;
    if (window != now && atomic_compare_exchange_strong(&site->window, &window, now)) {
        atomic_store(&site->lines, 0);
        *ret_suppressed = atomic_exchange(&site->suppressed, 0);
    }
    if (atomic_fetch_add(&site->lines, 1) < LOG_BURST)
        return true;
    atomic_fetch_add(&site->suppressed, 1);
    return false;
}

static size_t print_head(char *dst, size_t size, enum log_level level, const char *event)
{
    int64_t ms = clock_wall_ms();
    time_t s = (time_t)(ms / 1000);
    struct tm tm;
    size_t n;

    gmtime_r(&s, &tm);
    n = strftime(dst, size, "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(dst + n, size - n, ".%03dZ %-5s event=%s", (int)(ms % 1000),
                          level_names[level], event);
    return n;
}

static void write_all(const char *p, size_t n)
{
    while (n) {
        ssize_t done = write(STDERR_FILENO, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return; /* a full or closed log must not stop the work */
        p += done;
        n -= (size_t)done;
    }
}

void log_write(struct log_site *site, enum log_level level, const char *event, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    uint32_t suppressed;
    va_list args;
    size_t n;
    int m;

    if ((int)level > atomic_load_explicit(&threshold, memory_order_relaxed))
        return;
    if (!may_log(site, &suppressed))
        return;
    n = print_head(line, sizeof(line), level, event);
    va_start(args, fmt);
    m = vsnprintf(line + n, sizeof(line) - n - 40, fmt, args);
    va_end(args);
    if (m > 0)
        n += (size_t)m < sizeof(line) - n - 40 ? (size_t)m : sizeof(line) - n - 41;
    if (suppressed)
        n += (size_t)snprintf(line + n, sizeof(line) - n, " suppressed=%u", suppressed);
    line[n++] = '\n';
    write_all(line, n);
}

static bool is_plain(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c == '"' || c == '\\' || c == '=' || c == 0x7f)
            return false;
    }
    return s.n > 0 && s.n < VALUE_MAX_BYTES - 1;
}

static char *next_buffer(void)
{
    static _Thread_local char ring[VALUE_BUFFERS][VALUE_MAX_BYTES];
    static _Thread_local unsigned at;

    return ring[at++ % VALUE_BUFFERS];
}

const char *log_value(struct slice s)
{
    static const char ellipsis[] = "\xe2\x80\xa6";
    char *dst = next_buffer();
    size_t n = 0;

    if (is_plain(s)) {
        memcpy(dst, s.p, s.n);
        dst[s.n] = '\0';
        return dst;
    }
    dst[n++] = '"';
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (n > VALUE_MAX_BYTES - 12) {
            memcpy(dst + n, ellipsis, sizeof(ellipsis) - 1);
            n += sizeof(ellipsis) - 1;
            break;
        }
        if (c < ' ' || c == 0x7f) {
            n += (size_t)snprintf(dst + n, 5, "\\x%02x", c);
            continue;
        }
        if (c == '"' || c == '\\')
            dst[n++] = '\\';
        dst[n++] = (char)c;
    }
    dst[n++] = '"';
    dst[n] = '\0';
    return dst;
}
