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

#include "common/runtime/conf_impl.h"

#define FILE_MAX MIB(1)

void conf_error(struct buf *errors, const char *path, const char *fmt, ...)
{
    char text[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    buf_printf(errors, "%s: %s\n", path, text);
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

static int wrong(const struct conf_spec *spec, const char *path, const char *got,
                 struct buf *errors)
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

    snprintf(got, sizeof(got), "\"%.*s\"", (int)(text.n < 120 ? text.n : 120), text.p);
    return wrong(spec, path, got, errors);
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

/* ---- lists and maps ---- */

static void strings_clear(struct conf_strings *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->v[i]);
    free(s->v);
    *s = (struct conf_strings){NULL, 0};
}

static void strings_add(struct conf_strings *s, struct slice v)
{
    s->v = mem_realloc(s->v, (s->n + 1) * sizeof(*s->v));
    s->v[s->n++] = mem_strndup(v.p, v.n);
}

static void strings_of_text(struct conf_strings *s, struct slice text)
{
    strings_clear(s);
    while (text.n) {
        const char *comma = memchr(text.p, ',', text.n);
        size_t n = comma ? (size_t)(comma - text.p) : text.n;
        strings_add(s, (struct slice){text.p, n});
        n += comma != NULL;
        text.p += n;
        text.n -= n;
    }
}

static int strings_of_json(const struct conf_spec *spec, void *base, const struct json *j,
                           const char *path, struct buf *errors)
{
    struct conf_strings *s = conf_field(spec, base);
    struct slice v;

    if (json_kind(j) != JSON_T_ARRAY)
        return wrong(spec, path, json_type_name(j), errors);
    strings_clear(s);
    for (size_t i = 0; i < json_size(j); i++) {
        if (!json_text(json_at(j, i), &v))
            return wrong(spec, path, "an array with something else in it", errors);
        strings_add(s, v);
    }
    return 0;
}

void conf_map_set(struct conf_map *m, const char *name, struct slice value)
{
    size_t i = 0;

    while (i < m->n && strcmp(m->v[i].name, name) != 0)
        i++;
    if (i == m->n) {
        m->v = mem_realloc(m->v, (m->n + 1) * sizeof(*m->v));
        m->v[m->n++] = (struct conf_pair){mem_strdup(name), NULL};
    }
    free(m->v[i].value);
    m->v[i].value = mem_strndup(value.p, value.n);
}

static int map_of_json(const struct conf_spec *spec, void *base, const struct json *j,
                       const char *path, struct buf *errors)
{
    struct slice name, text;
    const struct json *value;
    void *it = NULL;
    int rc = 0;

    if (json_kind(j) != JSON_T_OBJECT)
        return wrong(spec, path, json_type_name(j), errors);
    while (json_next(j, &it, &name, &value)) {
        enum json_kind kind = json_kind(value);
        char *printed = NULL;
        if (kind == JSON_T_ARRAY || kind == JSON_T_OBJECT || kind == JSON_T_NULL) {
            conf_error(errors, path, "%s: expected a string, number or boolean, got %s", name.p,
                       json_type_name(value));
            rc = -EINVAL;
            continue;
        }
        if (!json_text(value, &text)) {
            printed = json_print(value);
            text = slice_of(printed);
        }
        conf_map_set(conf_field(spec, base), name.p, text);
        free(printed);
    }
    return rc;
}

void *conf_table_item(const struct conf_spec *spec, struct conf_table *t, const char *name)
{
    for (size_t i = 0; i < t->n; i++)
        if (!strcmp(t->v[i].name, name))
            return t->v[i].value;
    t->v = mem_realloc(t->v, (t->n + 1) * sizeof(*t->v));
    t->v[t->n] = (struct conf_item){mem_strdup(name), mem_zalloc(spec->sub_size)};
    conf_set_defaults(spec->sub, t->v[t->n].value);
    return t->v[t->n++].value;
}

static int table_of_json(const struct conf_spec *spec, void *base, const struct json *j,
                         const char *path, struct buf *errors)
{
    const struct json *item, *value;
    struct slice name, field;
    void *it = NULL;
    int rc = 0;

    if (json_kind(j) != JSON_T_OBJECT)
        return wrong(spec, path, json_type_name(j), errors);
    while (json_next(j, &it, &name, &item)) {
        void *strct = conf_table_item(spec, conf_field(spec, base), name.p);
        void *inner = NULL;
        if (json_kind(item) != JSON_T_OBJECT) {
            conf_error(errors, path, "%s: expected an object, got %s", name.p,
                       json_type_name(item));
            rc = -EINVAL;
            continue;
        }
        while (json_next(item, &inner, &field, &value)) {
            char full[512];
            snprintf(full, sizeof(full), "%s.%s.%s", path, name.p, field.p);
            if (conf_set_member(spec->sub, strct, field.p, value, full, errors))
                rc = -EINVAL;
        }
    }
    return rc;
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
            strings_of_text(conf_field(spec, base), text);
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
        if (json_text(j, &text))
            return enum_of_text(spec, base, text, path, errors);
        break;
    case CONF_STRINGS:
        return strings_of_json(spec, base, j, path, errors);
    case CONF_MAP:
        return map_of_json(spec, base, j, path, errors);
    case CONF_TABLE:
        return table_of_json(spec, base, j, path, errors);
    }
    return wrong(spec, path, json_type_name(j), errors);
}

int conf_set_file(const struct conf_spec *spec, void *base, const char *file, const char *path,
                  struct buf *errors)
{
    struct buf text = BUF_INIT;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;

    if (fd >= 0) {
        n = read(fd, buf_reserve(&text, FILE_MAX), FILE_MAX);
        close(fd);
    }
    if (n < 0) {
        conf_error(errors, path, "can't read %s: %s", file, strerror(errno));
        buf_done(&text);
        return -EINVAL;
    }
    while (n && (text.p[n - 1] == '\n' || text.p[n - 1] == '\r'))
        n--;
    set_string(spec, base, (struct slice){text.p, (size_t)n});
    buf_done(&text);
    return 0;
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

static void table_free(const struct conf_spec *spec, struct conf_table *t)
{
    for (size_t i = 0; i < t->n; i++) {
        conf_free(spec->sub, t->v[i].value);
        free(t->v[i].value);
        free(t->v[i].name);
    }
    free(t->v);
}

void conf_free(const struct conf_spec *specs, void *base)
{
    for (const struct conf_spec *spec = specs; spec->name; spec++) {
        void *field = conf_field(spec, base);
        struct conf_map *m = field;
        if (spec->type == CONF_STRING || spec->type == CONF_SECRET) {
            free(*(char **)field);
        } else if (spec->type == CONF_STRINGS) {
            strings_clear(field);
        } else if (spec->type == CONF_TABLE) {
            table_free(spec, field);
        } else if (spec->type == CONF_MAP) {
            for (size_t i = 0; i < m->n; i++) {
                free(m->v[i].name);
                free(m->v[i].value);
            }
            free(m->v);
        }
    }
}

const char *conf_map_get(const struct conf_map *m, const char *name)
{
    for (size_t i = 0; i < m->n; i++)
        if (!strcmp(m->v[i].name, name))
            return m->v[i].value;
    return NULL;
}
