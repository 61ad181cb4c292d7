/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.c: see json.h; the only file that sees jansson. A struct json is jansson's json_t.
 */
#include "common/runtime/json.h"

#include <jansson.h>
#include <stdio.h>

static json_t *tree(struct json *j)
{
    return (json_t *)(void *)j;
}

static const json_t *ctree(const struct json *j)
{
    return (const json_t *)(const void *)j;
}

static const struct json *ours(const json_t *t)
{
    return (const struct json *)(const void *)t;
}

/* jansson quotes the input in its texts ("... near 'x'"). That part is cut off: the input may be a
 * secret of the configuration, or a peer's bytes. */
static void fill(struct json_error *err, const json_error_t *e)
{
    const char *quote = strstr(e->text, " near ");

    err->line = e->line > 0 ? e->line : 0;
    err->column = e->line > 0 && e->column < 1 ? 1 : e->column > 0 ? e->column : 0;
    snprintf(err->text, sizeof(err->text), "%.*s",
             (int)(quote ? (size_t)(quote - e->text) : strlen(e->text)), e->text);
    if (!err->text[0])
        snprintf(err->text, sizeof(err->text), "not JSON");
}

/* jansson 2.14 skips a NUL byte behind a number ("[1\0]"): t is freed and refused if there is one
 * in the text it was read from. */
static json_t *refuse_nul(json_t *t, struct slice text, struct json_error *err)
{
    if (!t || !memchr(text.p, 0, text.n))
        return t;
    json_decref(t);
    snprintf(err->text, sizeof(err->text), "NUL byte");
    return NULL;
}

struct json *json_parse(struct slice text, struct json_error *err)
{
    json_error_t e;
    json_t *t = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);

    *err = (struct json_error){0};
    if (!t)
        fill(err, &e);
    return (struct json *)(void *)refuse_nul(t, text, err);
}

struct json *json_take(struct slice *text, struct json_error *err)
{
    json_error_t e;
    json_t *t;

    *err = (struct json_error){0};
    while (text->n && strchr(" \t\r\n", text->p[0]) && text->p[0]) {
        text->p++;
        text->n--;
    }
    if (!text->n)
        return NULL;
    t = json_loadb(text->p, text->n,
                   JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &e);
    if (!t) {
        fill(err, &e);
        return NULL;
    }
    must(e.position > 0 && (size_t)e.position <= text->n);
    if (!refuse_nul(t, (struct slice){text->p, (size_t)e.position}, err))
        return NULL;
    text->p += e.position; /* with JSON_DISABLE_EOF_CHECK: the bytes read */
    text->n -= (size_t)e.position;
    return (struct json *)(void *)t;
}

void json_free(struct json *j)
{
    json_decref(tree(j));
}

enum json_kind json_kind(const struct json *j)
{
    switch (j ? json_typeof(ctree(j)) : JSON_NULL) {
    case JSON_OBJECT:
        return JSON_T_OBJECT;
    case JSON_ARRAY:
        return JSON_T_ARRAY;
    case JSON_STRING:
        return JSON_T_STRING;
    case JSON_INTEGER:
        return JSON_T_INT;
    case JSON_REAL:
        return JSON_T_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return JSON_T_BOOL;
    case JSON_NULL:
        break;
    }
    return JSON_T_NULL;
}

const char *json_type_name(const struct json *j)
{
    static const char *const names[] = {"null",   "boolean", "integer", "number",
                                        "string", "array",   "object"};

    return names[json_kind(j)];
}

const struct json *json_get(const struct json *j, const char *name)
{
    return j ? ours(json_object_get(ctree(j), name)) : NULL;
}

size_t json_size(const struct json *j)
{
    const json_t *t = ctree(j);

    if (!t)
        return 0;
    return json_is_object(t) ? json_object_size(t) : json_array_size(t);
}

const struct json *json_at(const struct json *arr, size_t i)
{
    return arr ? ours(json_array_get(ctree(arr), i)) : NULL;
}

bool json_next(const struct json *obj, void **it, struct slice *name, const struct json **value)
{
    json_t *t =
        (json_t *)(uintptr_t)obj; /* jansson's iterators take no const; nothing is changed */

    if (!obj || !json_is_object(t))
        return false;
    *it = *it ? json_object_iter_next(t, *it) : json_object_iter(t);
    if (!*it)
        return false;
    *name = slice_of(json_object_iter_key(*it));
    *value = ours(json_object_iter_value(*it));
    return true;
}

bool json_bool(const struct json *j, bool *ret)
{
    if (json_kind(j) != JSON_T_BOOL)
        return false;
    *ret = json_is_true(ctree(j));
    return true;
}

bool json_i64(const struct json *j, int64_t *ret)
{
    if (json_kind(j) != JSON_T_INT)
        return false;
    *ret = json_integer_value(ctree(j));
    return true;
}

bool json_u64(const struct json *j, uint64_t *ret)
{
    int64_t v;

    if (!json_i64(j, &v) || v < 0)
        return false;
    *ret = (uint64_t)v;
    return true;
}

bool json_number(const struct json *j, double *ret)
{
    if (json_kind(j) != JSON_T_INT && json_kind(j) != JSON_T_REAL)
        return false;
    *ret = json_number_value(ctree(j));
    return true;
}

bool json_text(const struct json *j, struct slice *ret)
{
    if (json_kind(j) != JSON_T_STRING)
        return false;
    *ret = (struct slice){json_string_value(ctree(j)), json_string_length(ctree(j))};
    return true;
}

char *json_print(const struct json *j)
{
    return json_dumps(ctree(j), JSON_COMPACT | JSON_ENCODE_ANY);
}
