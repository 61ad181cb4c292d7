/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_value.c: knobs' values: from text (environment, --set, defaults) and from JSON, with their
 * bounds. @thread boot
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/utf8.h"
#include "common/runtime/conf_impl.h"

#define FILE_MAX MIB(1)

void conf_error(struct buf *errors, const char *path, const char *fmt, ...)
{
    char text[512];
    va_list args;
    size_t at;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    at = errors->n;
    buf_printf(errors, "%s: %s", path, text);
    for (; at < errors->n; at++) /* a name from the file may hold a line break */
        if ((unsigned char)errors->p[at] < ' ')
            errors->p[at] = '?';
    buf_byte(errors, '\n');
}

const char *conf_type_words(const struct conf_spec *spec)
{
    static const char *const words[] = {
        [CONF_BOOL] = "true or false",
        [CONF_INT] = "an integer",
        [CONF_SIZE] = "a size in bytes (an integer, or text such as \"64KiB\", \"256MiB\")",
        [CONF_DURATION] =
            "a duration (an integer of ms, or text such as \"250ms\", \"3s\", \"5m\")",
        [CONF_STRING] = "a string",
        [CONF_SECRET] = "a string",
        [CONF_ENUM] = "one of its words",
        [CONF_STRINGS] = "an array of strings",
        [CONF_MAP] = "an object of strings, numbers and booleans",
        [CONF_TABLE] = "an object of objects",
    };

    return words[spec->type];
}

int conf_wrong(const struct conf_spec *spec, const char *path, const char *got, struct buf *errors)
{
    if (spec->type == CONF_ENUM)
        conf_error(errors, path, "expected one of %s, got %s", spec->values, got);
    else
        conf_error(errors, path, "expected %s, got %s", conf_type_words(spec), got);
    return -EINVAL;
}

static int wrong_text(const struct conf_spec *spec, const char *path, struct slice text,
                      struct buf *errors)
{
    char got[160];

    if (spec->type == CONF_MAP || spec->type == CONF_TABLE) /* may hold secrets */
        return conf_wrong(spec, path, "text that is no JSON", errors);
    snprintf(got, sizeof(got), "\"%.*s\"", (int)(text.n < 120 ? text.n : 120), text.p);
    return conf_wrong(spec, path, got, errors);
}

/* ---- scalars ---- */

static int set_number(const struct conf_spec *spec, void *base, int64_t v, const char *path,
                      struct buf *errors)
{
    if (v < spec->min || v > spec->max) {
        conf_error(errors, path, "%lld is out of range (%lld to %lld%s%s)", (long long)v,
                   (long long)spec->min, (long long)spec->max, spec->unit[0] ? " " : "",
                   spec->unit);
        return -EINVAL;
    }
    *(int64_t *)conf_field(spec, base) = v;
    return 0;
}

/* A string ends at its first NUL for whoever reads it, and --print-config writes JSON: neither a
 * NUL nor bad UTF-8 gets in. */
static bool is_text(struct slice s, const char *path, struct buf *errors)
{
    if (utf8_is_valid(s) && !(s.n && memchr(s.p, 0, s.n)))
        return true;
    conf_error(errors, path, "expected valid UTF-8 text without NUL bytes");
    return false;
}

static void set_string(const struct conf_spec *spec, void *base, struct slice v)
{
    char **field = conf_field(spec, base);

    free(*field);
    *field = mem_strndup(v.p, v.n);
}

static bool parse_i64(const char *text, int64_t *ret, const char **ret_rest)
{
    char *end;

    errno = 0;
    *ret = strtoll(text, &end, 10);
    *ret_rest = end;
    return end != text && !errno && text[0] != ' ';
}

static bool unit_of(const struct conf_spec *spec, const char *unit, int64_t *ret)
{
    static const struct {
        enum conf_type type;
        const char *name;
        int64_t factor;
    } units[] = {
        {CONF_SIZE, "B", 1},         {CONF_SIZE, "KiB", 1024},      {CONF_SIZE, "MiB", 1 << 20},
        {CONF_SIZE, "GiB", 1 << 30}, {CONF_DURATION, "ms", 1},      {CONF_DURATION, "s", 1000},
        {CONF_DURATION, "m", 60000}, {CONF_DURATION, "h", 3600000},
    };

    *ret = 1;
    if (!*unit)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (units[i].type == spec->type && !strcmp(units[i].name, unit)) {
            *ret = units[i].factor;
            return true;
        }
    }
    return false;
}

static int number_of_text(const struct conf_spec *spec, void *base, struct slice text,
                          const char *path, struct buf *errors)
{
    char copy[64];
    const char *rest;
    int64_t v, factor;

    if (text.n >= sizeof(copy))
        return wrong_text(spec, path, text, errors);
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    if (!parse_i64(copy, &v, &rest) || !unit_of(spec, rest, &factor) ||
        __builtin_mul_overflow(v, factor, &v))
        return wrong_text(spec, path, text, errors);
    return set_number(spec, base, v, path, errors);
}

static int enum_of_text(const struct conf_spec *spec, void *base, struct slice text,
                        const char *path, struct buf *errors)
{
    const char *p = spec->values;

    for (int i = 0; *p; i++) {
        size_t n = strcspn(p, "|");
        if (slice_eq(text, (struct slice){p, n})) {
            *(int *)conf_field(spec, base) = i;
            return 0;
        }
        p += n + (p[n] == '|');
    }
    return wrong_text(spec, path, text, errors);
}

static int bool_of_text(const struct conf_spec *spec, void *base, struct slice text,
                        const char *path, struct buf *errors)
{
    bool *field = conf_field(spec, base);

    if (slice_eq(text, SLICE("true")) || slice_eq(text, SLICE("1")))
        *field = true;
    else if (slice_eq(text, SLICE("false")) || slice_eq(text, SLICE("0")))
        *field = false;
    else
        return wrong_text(spec, path, text, errors);
    return 0;
}

/* ---- any ---- */

static int json_text_value(const struct conf_spec *spec, void *base, struct slice text,
                           const char *path, struct buf *errors)
{
    struct json_error err;
    struct json *j = json_parse(text, &err);
    int rc;

    if (!j)
        return wrong_text(spec, path, text, errors);
    rc = conf_set_json(spec, base, j, path, errors);
    json_free(j);
    return rc;
}

int conf_set_text(const struct conf_spec *spec, void *base, struct slice text, const char *path,
                  struct buf *errors)
{
    if (!is_text(text, path, errors))
        return -EINVAL;
    switch (spec->type) {
    case CONF_BOOL:
        return bool_of_text(spec, base, text, path, errors);
    case CONF_INT:
    case CONF_SIZE:
    case CONF_DURATION:
        return number_of_text(spec, base, text, path, errors);
    case CONF_STRING:
    case CONF_SECRET:
        set_string(spec, base, text);
        return 0;
    case CONF_ENUM:
        return enum_of_text(spec, base, text, path, errors);
    case CONF_STRINGS:
        if (!text.n || text.p[0] != '[') {
            conf_strings_of_text(conf_field(spec, base), text);
            return 0;
        }
        break;
    case CONF_MAP:
    case CONF_TABLE:
        break;
    }
    return json_text_value(spec, base, text, path, errors);
}

int conf_set_json(const struct conf_spec *spec, void *base, const struct json *j, const char *path,
                  struct buf *errors)
{
    struct slice text;
    int64_t number;
    bool yes;

    switch (spec->type) {
    case CONF_BOOL:
        if (json_bool(j, conf_field(spec, base)))
            return 0;
        break;
    case CONF_INT:
    case CONF_SIZE:
    case CONF_DURATION:
        if (json_i64(j, &number))
            return set_number(spec, base, number, path, errors);
        if (spec->type != CONF_INT && json_text(j, &text))
            return number_of_text(spec, base, text, path, errors);
        break;
    case CONF_STRING:
    case CONF_SECRET:
        if (!json_text(j, &text))
            break;
        set_string(spec, base, text);
        return 0;
    case CONF_ENUM:
        if (json_bool(j, &yes)) /* some enums have these words beside others */
            return enum_of_text(spec, base, yes ? SLICE("true") : SLICE("false"), path, errors);
        if (json_text(j, &text))
            return enum_of_text(spec, base, text, path, errors);
        break;
    case CONF_STRINGS:
        return conf_strings_of_json(spec, base, j, path, errors);
    case CONF_MAP:
        return conf_map_of_json(spec, base, j, path, errors);
    case CONF_TABLE:
        return conf_table_of_json(spec, base, j, path, errors);
    }
    return conf_wrong(spec, path, json_type_name(j), errors);
}

int conf_read_file(const char *file, size_t most, const char *path, struct buf *ret,
                   struct buf *errors)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC), err = fd < 0 ? errno : 0;
    ssize_t n = fd < 0 ? -1 : 1;

    while (n > 0 && ret->n <= most) { /* a pipe gives it in pieces */
        n = read(fd, buf_reserve(ret, KIB(64)), KIB(64));
        if (n < 0)
            err = errno;
        else
            ret->n += (size_t)n;
    }
    if (fd >= 0)
        close(fd);
    if (n < 0)
        conf_error(errors, path, "can't read %s: %s", file, strerror(err));
    else if (ret->n > most)
        conf_error(errors, path, "%s is larger than %zu bytes", file, most);
    return n < 0 || ret->n > most ? -EINVAL : 0;
}

int conf_file_text(const char *file, const char *path, struct buf *ret, struct buf *errors)
{
    int rc = conf_read_file(file, FILE_MAX, path, ret, errors);

    if (ret->n && ret->p[ret->n - 1] == '\n')
        ret->n--;
    if (ret->n && ret->p[ret->n - 1] == '\r')
        ret->n--;
    if (rc == 0 && !is_text(buf_as_slice(ret), path, errors))
        rc = -EINVAL;
    return rc;
}

void conf_wipe(struct buf *text)
{
    if (text->p)
        explicit_bzero(text->p, text->cap);
    buf_done(text);
}

int conf_set_file(const struct conf_spec *spec, void *base, const char *file, const char *path,
                  struct buf *errors)
{
    struct buf text = BUF_INIT;
    int rc = conf_file_text(file, path, &text, errors);

    if (rc == 0)
        set_string(spec, base, buf_as_slice(&text));
    conf_wipe(&text);
    return rc;
}

void conf_set_defaults(const struct conf_spec *specs, void *base)
{
    struct buf errors = BUF_INIT;

    for (const struct conf_spec *spec = specs; spec->name; spec++) {
        bool is_text = spec->type == CONF_STRING || spec->type == CONF_SECRET;
        if (!spec->def[0] && !is_text)
            continue; /* zero, empty */
        must(conf_set_text(spec, base, slice_of(spec->def), spec->name, &errors) == 0);
    }
    buf_done(&errors);
}
