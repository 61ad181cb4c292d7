/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_kube_text.c: what is asked of the API server and what it answers. Pure. Others may write
 * slices for our Service, too: each text is bounded, and an address must be one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/utf8.h"
#include "common/io/coord_kube.h"
#include "common/runtime/json.h"

#define TEXT_MAX      253 /* of a name, or a type */
#define HOST_MAX      (INET6_ADDRSTRLEN + 2)
#define SAID_TEXT_MAX KIB(64) /* of a Status that is parsed; others are said as they begin */

/* ---- what is asked ---- */

static void add_parameter(struct buf *out, char before, const char *name, const char *value)
{
    buf_byte(out, (unsigned char)before);
    buf_printf(out, "%s=", name);
    http_escape(out, slice_of(value));
}

void kube_url(struct buf *out, const struct kube_ask *ask)
{
    struct buf label = BUF_INIT;

    buf_str(out, ask->base);
    while (out->n && out->p[out->n - 1] == '/')
        out->n--;
    buf_lit(out, "/apis/discovery.k8s.io/v1/namespaces/");
    http_escape(out, slice_of(ask->space));
    buf_lit(out, "/endpointslices");
    buf_printf(&label, "kubernetes.io/service-name=%s", ask->service);
    buf_byte(&label, '\0');
    add_parameter(out, '?', "labelSelector", label.p);
    buf_done(&label);
    if (ask->version && ask->version[0]) {
        buf_lit(out, "&watch=true&allowWatchBookmarks=true");
        buf_printf(out, "&timeoutSeconds=%d", KUBE_WATCH_S);
        add_parameter(out, '&', "resourceVersion", ask->version);
    }
    buf_byte(out, '\0');
    out->n--;
}

bool kube_server_url(struct buf *out, const char *host, const char *port)
{
    bool is_v6 = host && strchr(host, ':');

    if (!host || !host[0] || !port || !port[0])
        return false;
    buf_printf(out, "https://%s%s%s:%s", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
    buf_byte(out, '\0');
    out->n--;
    return true;
}

/* ---- slices ---- */

static void slice_done(struct kube_slice *s)
{
    coord_list_done(&s->edges);
    free(s->name);
}

void kube_slices_done(struct kube_slices *s)
{
    for (size_t i = 0; i < s->n; i++)
        slice_done(&s->v[i]);
    free(s->v);
    *s = (struct kube_slices){.v = NULL};
}

/* NULL if there is none of that name. */
static struct kube_slice *find(const struct kube_slices *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->v[i].name, name))
            return &s->v[i];
    return NULL;
}

static void drop(struct kube_slices *s, struct kube_slice *slice)
{
    s->edges -= slice->edges.n;
    s->gone -= slice->is_gone;
    slice_done(slice);
    *slice = s->v[--s->n];
}

static void mark_gone(struct kube_slices *s, const char *name)
{
    struct kube_slice *slice = find(s, name);

    if (!slice || slice->is_gone)
        return;
    slice->is_gone = true;
    s->gone++;
}

void kube_slices_settle(struct kube_slices *s)
{
    for (size_t i = s->n; i-- > 0;)
        if (s->v[i].is_gone)
            drop(s, &s->v[i]);
}

/* Takes it, in place of what had its name. false: too many; what had its name stays. */
static bool put(struct kube_slices *s, struct kube_slice *slice)
{
    struct kube_slice *was = find(s, slice->name);
    size_t others = s->edges - (was ? was->edges.n : 0);

    if ((!was && s->n == KUBE_SLICES_MAX) || others + slice->edges.n > COORD_MEMBERS_MAX) {
        slice_done(slice);
        return false;
    }
    if (was)
        drop(s, was);
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 4;
        s->v = mem_realloc(s->v, s->cap * sizeof(*s->v));
    }
    s->edges += slice->edges.n;
    s->v[s->n++] = *slice;
    return true;
}

static void add_edges(const struct kube_slice *slice, struct coord_list *ret)
{
    for (size_t m = 0; m < slice->edges.n; m++)
        if (!slice->is_gone || !coord_list_find(ret, &slice->edges.v[m]))
            coord_list_add(ret, &slice->edges.v[m]);
}

/* A pod has both addresses where a Service has both families, and may be in two slices for a
 * moment; views have each name once. Those that are there say how their pods are. */
void kube_slices_all(const struct kube_slices *s, struct coord_list *ret)
{
    bool has_v4 = false;

    for (size_t i = 0; i < s->n; i++)
        has_v4 = has_v4 || (!s->v[i].is_v6 && s->v[i].edges.n);
    for (int gone = 0; gone < 2; gone++)
        for (size_t i = 0; i < s->n; i++)
            if (s->v[i].is_gone == gone && !(s->v[i].is_v6 && has_v4))
                add_edges(&s->v[i], ret);
}

/* ---- one slice ---- */

/* Texts of a tree are NUL-terminated, and hold no other NUL. */
static const char *text_of(const struct json *j, const char *name, size_t most)
{
    struct slice s;

    return json_text(json_get(j, name), &s) && s.n <= most ? s.p : "";
}

static bool flag(const struct json *conditions, const char *name, bool if_absent)
{
    bool value;

    return json_bool(json_get(conditions, name), &value) ? value : if_absent;
}

/* 0: there is no such port. */
static int port_named(const struct json *slice, const char *name)
{
    const struct json *ports = json_get(slice, "ports");
    int64_t port;

    for (size_t i = 0; i < json_size(ports); i++) {
        const struct json *p = json_at(ports, i);
        if (!strcmp(text_of(p, "name", TEXT_MAX), name) && json_i64(json_get(p, "port"), &port) &&
            port > 0 && port < 65536)
            return (int)port;
    }
    return 0;
}

struct reading {
    const struct coord_member *self;
    struct kube_slices *slices;
};

/* What all endpoints of a slice have in common. */
struct common {
    const struct coord_member *self;
    bool is_v6;
    int client, admin; /* ports */
};

static bool host_of(const struct json *endpoint, bool is_v6, char host[HOST_MAX])
{
    unsigned char parsed[sizeof(struct in6_addr)];
    struct slice address;

    if (!json_text(json_at(json_get(endpoint, "addresses"), 0), &address) ||
        address.n >= INET6_ADDRSTRLEN ||
        inet_pton(is_v6 ? AF_INET6 : AF_INET, address.p, parsed) != 1)
        return false;
    snprintf(host, HOST_MAX, is_v6 ? "[%s]" : "%s", address.p);
    return true;
}

/* Is this edge known by a name, so behind what all of them are behind, an Ingress say? Not by an
 * address, ws://10.0.0.1:8000, nor by its pod's own name. */
static bool is_behind_one(const struct coord_member *self)
{
    const char *host = strstr(self->url, "://");
    unsigned char parsed[sizeof(struct in_addr)];
    char text[TEXT_MAX];
    size_t n;

    host = host ? host + 3 : self->url;
    n = strcspn(host, ":/");
    if (!n || *host == '[' || n >= sizeof(text))
        return false;
    memcpy(text, host, n);
    text[n] = '\0';
    return strcmp(text, self->node) != 0 && inet_pton(AF_INET, text, parsed) != 1;
}

/* Pods' addresses are nothing to clients who come by that name. */
static void put_url(char url[COORD_ADDRESS_MAX], const struct common *all, const char *host)
{
    const char *own = all->self->url;

    if (is_behind_one(all->self))
        snprintf(url, COORD_ADDRESS_MAX, "%s", own);
    else if (all->client)
        snprintf(url, COORD_ADDRESS_MAX, "%s://%s:%d", strncmp(own, "wss:", 4) ? "ws" : "wss", host,
                 all->client);
}

/* Whoever has no pod (targetRef) was written by hand: no edge of ours. */
static void add_edge(const struct json *endpoint, const struct common *all, struct coord_list *ret)
{
    const struct json *pod = json_get(endpoint, "targetRef");
    const struct json *conditions = json_get(endpoint, "conditions");
    bool ends = flag(conditions, "terminating", false);
    char host[HOST_MAX], url[COORD_ADDRESS_MAX] = "", admin[COORD_ADDRESS_MAX] = "";
    struct coord_member m = {
        .node = text_of(pod, "name", TEXT_MAX),
        .region = all->self->region,
        .url = url,
        .admin = admin,
        .role = COORD_EDGE,
        .is_untold = true,
        .load = {.ready = flag(conditions, "ready", true) && !ends, .draining = ends},
    };

    if (strcmp(text_of(pod, "kind", TEXT_MAX), "Pod") != 0 || !utf8_is_name(slice_of(m.node)) ||
        !host_of(endpoint, all->is_v6, host))
        return;
    put_url(url, all, host);
    if (all->admin)
        snprintf(admin, sizeof(admin), "%s:%d", host, all->admin);
    if (!coord_member_is_same(&m, all->self) &&
        (strcmp(url, all->self->url) != 0 || is_behind_one(all->self)))
        coord_list_add(ret, &m);
}

static const char *name_of(const struct json *slice)
{
    return text_of(json_get(slice, "metadata"), "name", TEXT_MAX);
}

static bool take_slice(const struct json *slice, void *arg)
{
    const struct reading *r = arg;
    const char *type = text_of(slice, "addressType", TEXT_MAX);
    const struct json *endpoints = json_get(slice, "endpoints");
    struct kube_slice made = {.is_v6 = strcmp(type, "IPv6") == 0};
    struct common all = {.self = r->self, .is_v6 = made.is_v6};

    if (!name_of(slice)[0])
        return false;
    made.name = mem_strdup(name_of(slice));
    all.client = port_named(slice, "client");
    all.admin = port_named(slice, "admin");
    for (size_t i = 0; i < json_size(endpoints) && i < COORD_MEMBERS_MAX; i++)
        add_edge(json_at(endpoints, i), &all, &made.edges);
    return put(r->slices, &made);
}

/* A version is opaque: it is given back as it came. */
static bool take_version(const struct json *object, struct kube_slices *s)
{
    const char *v = text_of(json_get(object, "metadata"), "resourceVersion", KUBE_VERSION_MAX - 1);

    if (!v[0])
        return false;
    snprintf(s->version, sizeof(s->version), "%s", v);
    return true;
}

/* ---- a list ---- */

/* Everything before the items, as an object of its own; they are read one at a time, for a tree
 * takes up to a hundred times as much as its text. The server writes its fields in that order. */
static int take_head(struct slice *rest, struct kube_slices *s)
{
    const char *items = memmem(rest->p, rest->n, "\"items\":", 8);
    struct buf head = BUF_INIT;
    struct json_error err;
    struct json *j = NULL;
    bool good;

    if (!items || (size_t)(items - rest->p) > KIB(64))
        return -EINVAL;
    buf_add(&head, rest->p, (size_t)(items - rest->p));
    buf_lit(&head, "\"items\":[]}");
    j = json_parse(buf_as_slice(&head), &err);
    good = !strcmp(text_of(j, "kind", TEXT_MAX), "EndpointSliceList") && take_version(j, s);
    json_free(j);
    buf_done(&head);
    rest->n -= (size_t)(items + 8 - rest->p);
    rest->p = items + 8;
    return good ? 0 : -EINVAL;
}

int kube_list(struct slice body, const struct coord_member *self, struct kube_slices *ret)
{
    struct kube_slices s = {.v = NULL};
    struct reading r = {.self = self, .slices = &s};

    if (take_head(&body, &s) ||
        coord_entries(&body, KUBE_ENTRY_MAX, KUBE_SLICES_MAX, take_slice, &r)) {
        kube_slices_done(&s);
        return -EINVAL;
    }
    *ret = s;
    return 0;
}

/* ---- a watch ---- */

void kube_said(struct slice body, char said[KUBE_SAID_MAX])
{
    struct json_error err;
    struct json *j = body.n <= SAID_TEXT_MAX ? json_parse(body, &err) : NULL;
    struct slice text;

    if (!json_text(json_get(j, "message"), &text))
        text = body;
    snprintf(said, KUBE_SAID_MAX, "%.*s", (int)(text.n < KUBE_SAID_MAX ? text.n : KUBE_SAID_MAX),
             text.p);
    json_free(j);
}

static enum kube_event refused(const struct json *status, char said[KUBE_SAID_MAX])
{
    int64_t code = 0;

    snprintf(said, KUBE_SAID_MAX, "%s", text_of(status, "message", SAID_TEXT_MAX));
    return json_i64(json_get(status, "code"), &code) && code == 410 ? KUBE_EVENT_EXPIRED
                                                                    : KUBE_EVENT_ERROR;
}

static enum kube_event change(const char *type, const struct json *object,
                              const struct coord_member *self, struct kube_slices *s)
{
    struct reading r = {.self = self, .slices = s};
    bool is_deleted = strcmp(type, "DELETED") == 0;

    if (!strcmp(type, "BOOKMARK"))
        return take_version(object, s) ? KUBE_EVENT_NOTHING : KUBE_EVENT_ERROR;
    if (is_deleted)
        mark_gone(s, name_of(object));
    else if ((strcmp(type, "ADDED") != 0 && strcmp(type, "MODIFIED") != 0) ||
             !take_slice(object, &r))
        return KUBE_EVENT_ERROR;
    if (!take_version(object, s))
        return KUBE_EVENT_ERROR;
    return is_deleted ? KUBE_EVENT_DELETED : KUBE_EVENT_CHANGE;
}

enum kube_event kube_event(struct slice line, const struct coord_member *self,
                           struct kube_slices *s, char said[KUBE_SAID_MAX])
{
    struct json_error err;
    struct json *j = json_parse(line, &err);
    const struct json *object = json_get(j, "object");
    const char *type = text_of(j, "type", TEXT_MAX);
    enum kube_event e;

    snprintf(said, KUBE_SAID_MAX, "an event that can't be read");
    e = strcmp(type, "ERROR") ? change(type, object, self, s) : refused(object, said);
    json_free(j);
    return e;
}
