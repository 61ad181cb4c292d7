/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json.h: a strict JSON tree to read: configuration, clients' commands, tokens' claims.
 *
 * The library behind it is jansson (docs/decisions/0002-jansson.md says why): strict UTF-8,
 * integers exact to 63 bits, duplicate keys and "\u0000" refused, errors with line and column,
 * whose text never quotes the input. Everything borrowed from a tree lives until json_free. No name
 * here may be one of jansson's (json_string, json_real): the linker would give ours to libjwt.
 * @thread any (a tree belongs to one thread)
 */
#pragma once

#include "common/base/base.h"

struct json;

struct json_error {
    int line, column; /* from 1; 0 if unknown */
    char text[160];   /* what is wrong */
};

/* One value and nothing but white space after it; NULL with *err filled. */
struct json *json_parse(struct slice text, struct json_error *err);
/* One value from the front of *text (several values may follow each other, as in a batch of
 * commands); *text moves behind it. NULL with *err filled; NULL and err->text[0] == 0 at the end.
 */
struct json *json_take(struct slice *text, struct json_error *err);
void json_free(struct json *j);

enum json_kind {
    JSON_T_NULL,
    JSON_T_BOOL,
    JSON_T_INT,
    JSON_T_REAL,
    JSON_T_STRING,
    JSON_T_ARRAY,
    JSON_T_OBJECT
};
enum json_kind json_kind(const struct json *j);
const char *json_type_name(const struct json *j); /* "object", "integer" … */

/* Member of an object; NULL if absent or j is no object (or NULL). */
const struct json *json_get(const struct json *j, const char *name);
size_t json_size(const struct json *j); /* members or elements; 0 otherwise */
const struct json *json_at(const struct json *arr, size_t i);

/* Members in order: void *it = NULL; while (json_next(obj, &it, &name, &value)) … */
bool json_next(const struct json *obj, void **it, struct slice *name, const struct json **value);

bool json_bool(const struct json *j, bool *ret);     /* false if it is no boolean */
bool json_i64(const struct json *j, int64_t *ret);   /* false if it is no integer */
bool json_u64(const struct json *j, uint64_t *ret);  /* false if it is no integer >= 0 */
bool json_number(const struct json *j, double *ret); /* integer or real */
bool json_text(const struct json *j, struct slice *ret);

/* The value as compact text; the caller frees. */
char *json_print(const struct json *j);
