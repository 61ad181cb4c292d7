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
#include "common/base/utf8.h"

#define LINE_MAX_BYTES  4096
#define VALUE_BUFFERS   8
#define VALUE_MAX_BYTES 512
#define ELLIPSIS        "\xe2\x80\xa6"

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static _Atomic int threshold = LOG_LV_INFO;

void log_init(const char *program, enum log_level level)
{
    (void)program; /* the collector knows it; kept for a syslog sink */
    atomic_store(&threshold, (int)level);
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

/* A value may have been printed without log_value(): its line breaks mustn't begin a new line. */
static void tame(char *line, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    }
}

void log_write(struct log_site *site, enum log_level level, const char *event, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    int m, saved_errno = errno;
    uint32_t suppressed;
    va_list args;
    size_t n;

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
    tame(line, n);
    line[n++] = '\n';
    write_all(line, n);
    errno = saved_errno;
}

/* Characters that a terminal obeys or that reorder the text around them: C1 controls, line and
 * paragraph separators, the bidirectional overrides. */
static bool is_unprintable(const unsigned char *p, size_t n)
{
    if (n == 2)
        return p[0] == 0xc2 && p[1] < 0xa0;
    if (n != 3 || p[0] != 0xe2)
        return false;
    return (p[1] == 0x80 && p[2] >= 0xa8 && p[2] <= 0xae) ||
           (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);
}

/* One character of a value as it is printed; returns its length in the input. */
static size_t value_char(const unsigned char *p, const unsigned char *end, char dst[16],
                         bool *quoted)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = *p < 0x80 ? 1 : utf8_long_char(p, end);
    char *d = dst;

    if (n > 1 && !is_unprintable(p, n)) {
        memcpy(dst, p, n);
        dst[n] = 0;
        return n;
    }
    if (n == 1 && *p >= 0x20 && *p != 0x7f) {
        *quoted = *quoted || strchr(" \"\\=", *p);
        if (*p == '"' || *p == '\\')
            *d++ = '\\';
        *d++ = (char)*p;
        *d = 0;
        return 1;
    }
    *quoted = true;
    n = n ? n : 1;
    for (size_t i = 0; i < n; i++) {
        *d++ = '\\';
        if (p[i] == '\n' || p[i] == '\r' || p[i] == '\t') {
            *d++ = p[i] == '\n' ? 'n' : p[i] == '\r' ? 'r' : 't';
            continue;
        }
        *d++ = 'x';
        *d++ = hex[p[i] >> 4];
        *d++ = hex[p[i] & 15];
    }
    *d = 0;
    return n;
}

const char *log_value(struct slice s)
{
    static _Thread_local char ring[VALUE_BUFFERS][VALUE_MAX_BYTES];
    static _Thread_local unsigned next;
    char *out = ring[next++ % VALUE_BUFFERS];
    const unsigned char *p = (const unsigned char *)(s.p ? s.p : "");
    const unsigned char *end = p + (s.p ? s.n : 0);
    const size_t most = VALUE_MAX_BYTES - sizeof("\"" ELLIPSIS);
    size_t n = 1; /* place of the opening quote */
    bool quoted = p == end;

    while (p < end) {
        char piece[16];
        size_t taken = value_char(p, end, piece, &quoted), len = strlen(piece);

        if (n + len > most) {
            memcpy(out + n, ELLIPSIS, sizeof(ELLIPSIS) - 1);
            n += sizeof(ELLIPSIS) - 1;
            break;
        }
        memcpy(out + n, piece, len);
        n += len;
        p += taken;
    }
    if (quoted) {
        out[0] = '"';
        out[n++] = '"';
    }
    out[n] = 0;
    return quoted ? out : out + 1;
}
