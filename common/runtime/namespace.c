/* SPDX-License-Identifier: Apache-2.0 */
/*
 * namespace.c: see namespace.h.
 */
#include "common/runtime/namespace.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/keys.h"
#include "common/base/utf8.h"

#define KNOB(field, type, name, def, min, max, values, unit, doc) \
    CONF_ROW(struct namespace_conf, field, type, name, def, min, max, values, unit, doc),
const struct conf_spec namespace_specs[] = {
#include "common/runtime/namespace.def"
    {NULL, CONF_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL, NULL, 0},
};
#undef KNOB

const char *ns_key_name(int key)
{
    return key == NS_KEY_FULL ? "full" : "short";
}

const char *ns_promise_name(int history)
{
    return history == NS_HISTORY_LATEST ? "latest" : "all";
}

static void check_one(const struct conf_item *item, struct buf *errors)
{
    const struct namespace_conf *c = item->value;
    struct slice name = slice_of(item->name);

    if (name.n && (!utf8_is_name(name) || memchr(name.p, ':', name.n) || name.n > 64))
        buf_printf(errors,
                   "namespaces.%s: a name has 1 to 64 bytes, no ':' and no control characters\n",
                   item->name);
    if (!c->topic[0])
        buf_printf(errors, "namespaces.%s.topic: is missing\n", item->name);
    else if (strlen(c->topic) > TOPIC_MAX)
        buf_printf(errors, "namespaces.%s.topic: is longer than Kafka allows (%d)\n", item->name,
                   TOPIC_MAX);
    if (c->history == NS_HISTORY_LATEST && c->partitioner == PARTITIONER_ANY)
        buf_printf(errors,
                   "namespaces.%s.history: with partitioner any channels are live only, so nothing "
                   "can be latest\n",
                   item->name);
    if (c->log_id[0] && !log_id_is_valid(slice_of(c->log_id)))
        buf_printf(errors, "namespaces.%s.log_id: expected 8 characters of 0-9A-Za-z\n",
                   item->name);
}

static void check_topics(const struct conf_table *t, struct buf *errors)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct namespace_conf *a = t->v[i].value;
        for (size_t k = 0; k < i; k++) {
            const struct namespace_conf *b = t->v[k].value;
            if (a->topic[0] && !strcmp(a->topic, b->topic))
                buf_printf(errors,
                           "namespaces.%s.topic: \"%s\" is the topic of namespaces.%s already\n",
                           t->v[i].name, a->topic, t->v[k].name);
        }
    }
}

int namespaces_init(struct namespaces *nss, const struct conf_table *table, struct buf *errors)
{
    size_t before = errors->n;

    *nss = (struct namespaces){NULL, 0};
    for (size_t i = 0; i < table->n; i++)
        check_one(&table->v[i], errors);
    check_topics(table, errors);
    if (errors->n != before)
        return -EINVAL;
    nss->v = mem_zalloc(sizeof(*nss->v) * (table->n + 1));
    for (size_t i = 0; i < table->n; i++) {
        const struct namespace_conf *c = table->v[i].value;
        nss->v[i] = (struct namespace){table->v[i].name, c->topic, c, (uint32_t)i};
    }
    nss->count = (uint32_t)table->n;
    return 0;
}

void namespaces_done(struct namespaces *nss)
{
    free(nss->v);
    *nss = (struct namespaces){NULL, 0};
}

static const struct namespace *find(const struct namespaces *nss, struct slice name)
{
    for (uint32_t i = 0; i < nss->count; i++)
        if (slice_eq(slice_of(nss->v[i].name), name))
            return &nss->v[i];
    return NULL;
}

/* The configured namespace that a name's text before its first ':' names; NULL: none. */
static const struct namespace *prefix_of(const struct namespaces *nss, struct slice name)
{
    const char *colon = memchr(name.p, ':', name.n);

    if (!colon || colon == name.p)
        return NULL;
    return find(nss, (struct slice){name.p, (size_t)(colon - name.p)});
}

int namespaces_of_channel(const struct namespaces *nss, struct slice channel,
                          const struct namespace **ret, struct slice *ret_key)
{
    const struct namespace *ns;
    size_t skip = 0;

    if (!utf8_is_name(channel))
        return -EINVAL;
    ns = prefix_of(nss, channel);
    if (!ns)
        ns = find(nss, SLICE(""));
    else if (ns->conf->key == NS_KEY_SHORT)
        skip = strlen(ns->name) + 1;
    if (!ns)
        return -ENOENT;
    if (channel.n == skip)
        return -EINVAL;
    *ret = ns;
    *ret_key = (struct slice){channel.p + skip, channel.n - skip};
    return 0;
}

int namespace_channel(const struct namespaces *nss, const struct namespace *ns, struct slice key,
                      struct buf *out)
{
    buf_clear(out);
    if (!key.n)
        return -EINVAL;
    if (ns->name[0] && ns->conf->key == NS_KEY_SHORT) {
        buf_str(out, ns->name);
        buf_byte(out, ':');
    } else if (prefix_of(nss, key) != (ns->name[0] ? ns : NULL)) {
        return -ENXIO;
    }
    buf_slice(out, key);
    return utf8_is_name(buf_as_slice(out)) ? 0 : -EINVAL;
}
