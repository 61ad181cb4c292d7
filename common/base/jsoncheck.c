/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jsoncheck.c: a walk over JSON text: down to a scalar (or an empty container), then up over the
 * closing brackets to the next comma, until the depth is 0 again.
 *
 * Which kind each open container is stands in one bit of a 64-bit word, so there is no recursion
 * and no memory. Strings are skipped sixteen bytes at a time. All is inlined into jsoncheck(), so
 * that the walk lives in registers and not in memory. No state. @thread any
 */
#include "common/base/jsoncheck.h"

#include "common/base/scan.h"
#include "common/base/utf8.h"

_Static_assert(JSONCHECK_DEPTH <= 64, "one bit a level");

#define HOT static inline __attribute__((always_inline))

struct walk {
    const unsigned char *p, *end;
    uint64_t objects; /* bit 0: the innermost container is an object; bit 1: the one around it … */
    unsigned depth;
    bool lines; /* a line break was seen */
};

HOT void skip_space(struct walk *w)
{
    for (; w->p < w->end && *w->p <= ' '; w->p++) {
        if (*w->p == '\n' || *w->p == '\r')
            w->lines = true;
        else if (*w->p != ' ' && *w->p != '\t')
            return; /* whoever looks next refuses it */
    }
}

/* Takes the byte c. */
HOT bool take(struct walk *w, unsigned char c)
{
    if (w->p == w->end || *w->p != c)
        return false;
    w->p++;
    return true;
}

HOT bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

HOT bool take_digits(struct walk *w)
{
    const unsigned char *start = w->p;

    while (w->p < w->end && is_digit(*w->p))
        w->p++;
    return w->p > start;
}

HOT bool take_number(struct walk *w)
{
    take(w, '-');
    if (!take(w, '0') && !take_digits(w))
        return false;
    if (take(w, '.') && !take_digits(w))
        return false;
    if (take(w, 'e') || take(w, 'E')) {
        if (!take(w, '+'))
            take(w, '-');
        return take_digits(w);
    }
    return true;
}

HOT bool take_word(struct walk *w, struct slice word)
{
    if ((size_t)(w->end - w->p) < word.n || memcmp(w->p, word.p, word.n) != 0)
        return false;
    w->p += word.n;
    return true;
}

HOT bool is_hex(unsigned char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* After the backslash. */
HOT bool take_escape(struct walk *w)
{
    if (w->p == w->end)
        return false;
    switch (*w->p++) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return true;
    case 'u':
        if (w->end - w->p < 4)
            return false;
        w->p += 4;
        return is_hex(w->p[-4]) && is_hex(w->p[-3]) && is_hex(w->p[-2]) && is_hex(w->p[-1]);
    default:
        return false;
    }
}

/* Characters of more than one byte mostly come in runs. */
HOT bool take_long_chars(struct walk *w)
{
    do {
        size_t n = utf8_long_char(w->p, w->end);

        if (n == 0)
            return false;
        w->p += n;
    } while (w->p < w->end && *w->p >= 0x80);
    return true;
}

HOT bool take_string(struct walk *w)
{
    if (!take(w, '"'))
        return false;
    for (;;) {
        w->p = scan_string(w->p, w->end, true);
        if (w->p == w->end || *w->p < 0x20)
            return false;
        if (*w->p >= 0x80) {
            if (!take_long_chars(w))
                return false;
        } else if (*w->p++ == '"') {
            return true;
        } else if (!take_escape(w)) {
            return false;
        }
    }
}

HOT bool take_key(struct walk *w)
{
    skip_space(w);
    if (!take_string(w))
        return false;
    skip_space(w);
    return take(w, ':');
}

HOT bool take_scalar(struct walk *w)
{
    if (w->p == w->end)
        return false;
    switch (*w->p) {
    case '"':
        return take_string(w);
    case 't':
        return take_word(w, SLICE("true"));
    case 'f':
        return take_word(w, SLICE("false"));
    case 'n':
        return take_word(w, SLICE("null"));
    default:
        return take_number(w);
    }
}

HOT bool enter(struct walk *w, bool object)
{
    w->objects = w->objects << 1 | object;
    return ++w->depth <= JSONCHECK_DEPTH;
}

HOT void leave(struct walk *w)
{
    w->objects >>= 1;
    w->depth--;
}

/* From where a value must begin to behind its first scalar, or behind an empty container. */
HOT bool walk_down(struct walk *w)
{
    for (;;) {
        bool object;

        skip_space(w);
        object = take(w, '{');
        if (!object && !take(w, '['))
            return take_scalar(w);
        if (!enter(w, object))
            return false;
        skip_space(w);
        if (take(w, object ? '}' : ']')) {
            leave(w);
            return true;
        }
        if (object && !take_key(w))
            return false;
    }
}

/* From behind a value to where the next one must begin, or to depth 0. */
HOT bool walk_up(struct walk *w)
{
    while (w->depth > 0) {
        bool object = w->objects & 1;

        skip_space(w);
        if (take(w, ','))
            return object ? take_key(w) : true;
        if (!take(w, object ? '}' : ']'))
            return false;
        leave(w);
    }
    return true;
}

enum jsoncheck jsoncheck(struct slice s)
{
    struct walk w = {.p = (const unsigned char *)s.p};

    w.end = s.n ? w.p + s.n : w.p;
    do {
        if (!walk_down(&w) || !walk_up(&w))
            return JSONCHECK_INVALID;
    } while (w.depth > 0);
    skip_space(&w);
    if (w.p != w.end)
        return JSONCHECK_INVALID;
    return w.lines ? JSONCHECK_LINES : JSONCHECK_OK;
}

size_t jsoncheck_strip_lines(char *dst, struct slice s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        dst[n] = s.p[i];
        n += s.p[i] != '\n' && s.p[i] != '\r';
    }
    return n;
}
