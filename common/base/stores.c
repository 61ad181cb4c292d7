/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stores.c: see stores.h. A partition's score at a server is a mix of both hashes; the greatest
 * wins. What is hashed, and how, is a format: edges and workers of all versions must agree.
 */
#include "common/base/stores.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/decimal.h"
#include "common/base/hash.h"
#include "common/base/keys.h"

static uint64_t hash_of(struct slice text)
{
    static const uint64_t fixed[2] = {0x66616e66617265, 0x73746f726573};

    return siphash13(fixed, text.p, text.n);
}

bool store_name_is_valid(struct slice name)
{
    if (name.n == 0 || name.n > STORE_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.'))
            return false;
    }
    return true;
}

int stores_add(struct stores *st, struct slice name, struct slice url)
{
    struct store s = {.hash = hash_of(name)};
    size_t at = 0;

    if (!store_name_is_valid(name))
        return -EINVAL;
    memcpy(s.name, name.p, name.n);
    while (at < st->count && strcmp(st->v[at].name, s.name) < 0)
        at++;
    if (at < st->count && strcmp(st->v[at].name, s.name) == 0)
        return -EINVAL;
    if (st->count == STORES_MAX)
        return -ENOSPC;
    s.url = mem_strndup(url.n ? url.p : "", url.n);
    memmove(st->v + at + 1, st->v + at, (st->count - at) * sizeof(st->v[0]));
    st->v[at] = s;
    st->count++;
    return 0;
}

int stores_take(struct stores *st, struct slice field, struct slice value)
{
    if (slice_eq(field, SLICE("version")))
        return decimal_parse(value, INT64_MAX, &st->version) ? 0 : -EINVAL;
    if (field.n > 2 && memcmp(field.p, "s:", 2) == 0)
        return stores_add(st, (struct slice){field.p + 2, field.n - 2}, value);
    return 0;
}

bool stores_are_same(const struct stores *a, const struct stores *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->v[i].name, b->v[i].name) != 0 || strcmp(a->v[i].url, b->v[i].url) != 0)
            return false;
    return true;
}

bool stores_replace(const struct stores *read, const struct stores *used)
{
    return read->version > used->version ||
           (read->version && read->version == used->version && !stores_are_same(read, used));
}

const char *stores_url(const struct stores *st, const char *log, int32_t partition)
{
    const struct store *best = NULL;
    uint64_t most = 0, key;
    char text[LOG_ID_LEN + 16];

    if (st->count == 0)
        return STORE_HOME;
    key = hash_of((struct slice){
        text, (size_t)snprintf(text, sizeof(text), "%.*s:%d", LOG_ID_LEN, log, partition)});
    for (const struct store *s = st->v; s < st->v + st->count; s++) {
        uint64_t score = hash_u64(key ^ s->hash);

        if (!best || score > most) {
            best = s;
            most = score;
        }
    }
    return best->url;
}

void stores_done(struct stores *st)
{
    for (size_t i = 0; i < st->count; i++)
        free(st->v[i].url);
    *st = (struct stores){0};
}
