/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_jsoncheck.c: jsoncheck beside jansson. Where they may differ, and only there:
 *
 *   deeper than JSONCHECK_DEPTH       we refuse, jansson goes to 2048
 *   a lone surrogate, \u0000 in a key jansson refuses; RFC 8259 allows both
 *   numbers beyond a double           jansson can't hold them; they are JSON all the same
 *   a raw zero byte after a number    jansson loses it: we never take one
 *
 * Also: taking the line breaks out leaves the same value, and no line break. @thread main
 */
#include <jansson.h>
#include <stdlib.h>

#include "common/base/jsoncheck.h"

#include "tests/fuzz/fuzz.h"

#define FLAGS (JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL)

static unsigned max_of(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

/* Levels of containers in a tree that jansson made; it bounds the recursion. */
static unsigned depth_of(json_t *value)
{
    unsigned depth = 0;
    const char *key;
    json_t *child;
    size_t i;

    json_array_foreach(value, i, child) depth = max_of(depth, depth_of(child));
    json_object_foreach(value, key, child) depth = max_of(depth, depth_of(child));
    return depth + (json_is_array(value) || json_is_object(value));
}

static bool has_surrogate(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 3 < n; i++) {
        if (p[i] == '\\' && p[i + 1] == 'u' && (p[i + 2] | 0x20) == 'd' && p[i + 3] >= '8')
            return true;
    }
    return false;
}

/* jansson refused what we took: is it for one of the reasons above? */
static bool may_refuse(const json_error_t *error, const uint8_t *data, size_t size)
{
    switch (json_error_code(error)) {
    case json_error_numeric_overflow:
    case json_error_null_byte_in_key:
        return true;
    default:
        return has_surrogate(data, size);
    }
}

/* A copy of its exact size, so that a sanitizer sees what is written beyond. */
static void check_stripped(struct slice s, const json_t *tree)
{
    char *copy = mem_alloc(s.n);
    size_t n = jsoncheck_strip_lines(copy, s);
    json_t *again;

    must(n < s.n);
    must(jsoncheck((struct slice){copy, n}) == JSONCHECK_OK);
    if (tree) {
        again = json_loadb(copy, n, FLAGS, NULL);
        must(again && json_equal(again, tree));
        json_decref(again);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice s = {(const char *)data, size};
    enum jsoncheck ours = jsoncheck(s);
    json_error_t error;
    json_t *tree;

    if (size && memchr(data, '\0', size)) {
        must(ours == JSONCHECK_INVALID);
        return 0;
    }
    tree = json_loadb(size ? s.p : "", size, FLAGS, &error);
    if (ours == JSONCHECK_INVALID)
        must(!tree || depth_of(tree) > JSONCHECK_DEPTH);
    else
        must(tree ? depth_of(tree) <= JSONCHECK_DEPTH : may_refuse(&error, data, size));
    if (ours == JSONCHECK_OK)
        must(size == 0 || (!memchr(data, '\n', size) && !memchr(data, '\r', size)));
    if (ours == JSONCHECK_LINES)
        check_stripped(s, tree);
    json_decref(tree);
    return 0;
}
