/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_list.c: the knobs that own more than one value: lists of strings, maps, tables of objects.
 *
 * A list is replaced as a whole; maps and tables take members one by one, so that a later source
 * can change one of them. @thread boot
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/runtime/conf_impl.h"

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

void conf_strings_of_text(struct conf_strings *s, struct slice text)
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

static int wrong_element(const struct conf_spec *spec, const char *path, size_t i,
                         const struct json *got, struct buf *errors)
{
    char what[64];

    snprintf(what, sizeof(what), "%s as element %zu", json_type_name(got), i);
    return conf_wrong(spec, path, what, errors);
}

int conf_strings_of_json(const struct conf_spec *spec, void *base, const struct json *j,
                         const char *path, struct buf *errors)
{
    struct conf_strings *s = conf_field(spec, base);
    struct slice v;

    if (json_kind(j) != JSON_T_ARRAY)
        return conf_wrong(spec, path, json_type_name(j), errors);
    strings_clear(s);
    for (size_t i = 0; i < json_size(j); i++) {
        if (!json_text(json_at(j, i), &v))
            return wrong_element(spec, path, i, json_at(j, i), errors);
        strings_add(s, v);
    }
    return 0;
}

static bool is_file_name(const char *name)
{
    size_t n = strlen(name), suffix = sizeof(CONF_FILE_SUFFIX) - 1;

    return n >= suffix && strcmp(name + n - suffix, CONF_FILE_SUFFIX) == 0;
}

static void map_put(struct conf_map *m, struct slice name, struct slice value, bool hidden)
{
    size_t i = 0;

    while (i < m->n && !slice_eq(slice_of(m->v[i].name), name))
        i++;
    if (i == m->n) {
        m->v = mem_realloc(m->v, (m->n + 1) * sizeof(*m->v));
        m->v[m->n++] = (struct conf_pair){.name = mem_strndup(name.p, name.n)};
    }
    free(m->v[i].value);
    m->v[i].value = mem_strndup(value.p, value.n);
    m->v[i].hidden = hidden;
}

static int map_put_file(struct conf_map *m, struct slice name, const char *file, const char *path,
                        struct buf *errors)
{
    struct buf text = BUF_INIT;
    int rc = conf_file_text(file, path, &text, errors);

    if (rc == 0)
        map_put(m, name, buf_as_slice(&text), true);
    conf_wipe(&text);
    return rc;
}

int conf_map_set(struct conf_map *m, const char *name, const char *value, const char *path,
                 struct buf *errors)
{
    struct slice key = slice_of(name);

    if (is_file_name(name))
        key.n -= sizeof(CONF_FILE_SUFFIX) - 1;
    if (!key.n) {
        conf_error(errors, path, "expected the name of a member");
        return -EINVAL;
    }
    if (is_file_name(name))
        return map_put_file(m, key, value, path, errors);
    map_put(m, key, slice_of(value), false);
    return 0;
}

static int map_member(struct conf_map *m, const char *name, const struct json *value,
                      const char *path, struct buf *errors)
{
    enum json_kind kind = json_kind(value);
    char *printed = NULL;
    struct slice text;
    int rc;

    if (is_file_name(name) && kind != JSON_T_STRING) {
        conf_error(errors, path, "expected the path of a file, got %s", json_type_name(value));
        return -EINVAL;
    }
    if (kind == JSON_T_ARRAY || kind == JSON_T_OBJECT || kind == JSON_T_NULL) {
        conf_error(errors, path, "expected a string, number or boolean, got %s",
                   json_type_name(value));
        return -EINVAL;
    }
    if (!json_text(value, &text)) {
        printed = json_print(value);
        text = slice_of(printed);
    }
    rc = conf_map_set(m, name, text.p, path, errors);
    free(printed);
    return rc;
}

int conf_map_of_json(const struct conf_spec *spec, void *base, const struct json *j,
                     const char *path, struct buf *errors)
{
    const struct json *value;
    struct slice name;
    void *it = NULL;
    int rc = 0;

    if (json_kind(j) != JSON_T_OBJECT)
        return conf_wrong(spec, path, json_type_name(j), errors);
    while (json_next(j, &it, &name, &value)) {
        char full[512];
        snprintf(full, sizeof(full), "%s.%s", path, name.p);
        if (map_member(conf_field(spec, base), name.p, value, full, errors))
            rc = -EINVAL;
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

int conf_table_of_json(const struct conf_spec *spec, void *base, const struct json *j,
                       const char *path, struct buf *errors)
{
    const struct json *item, *value;
    struct slice name, field;
    void *it = NULL;
    int rc = 0;

    if (json_kind(j) != JSON_T_OBJECT)
        return conf_wrong(spec, path, json_type_name(j), errors);
    while (json_next(j, &it, &name, &item)) {
        void *strct = conf_table_item(spec, conf_field(spec, base), name.p);
        void *inner = NULL;
        char full[512];
        if (json_kind(item) != JSON_T_OBJECT) {
            snprintf(full, sizeof(full), "%s.%s", path, name.p);
            conf_error(errors, full, "expected an object, got %s", json_type_name(item));
            rc = -EINVAL;
            continue;
        }
        while (json_next(item, &inner, &field, &value)) {
            snprintf(full, sizeof(full), "%s.%s.%s", path, name.p, field.p);
            if (conf_set_member(spec->sub, strct, field.p, value, full, errors))
                rc = -EINVAL;
        }
    }
    return rc;
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
