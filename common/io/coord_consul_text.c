/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_consul_text.c: what is said to Consul and what it answers, and when to ask again. Pure.
 * Answers come from a shared service that others may write to: each text in them is bounded.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/utf8.h"
#include "common/io/coord_consul.h"
#include "common/runtime/json.h"

/* Gone services are deleted by Consul after that; a minute is its least. */
#define DEREGISTER_AFTER "1m"
#define LOAD_GAP_MS      2000
#define PAUSE_MIN_MS     20
#define PAUSE_MAX_MS     400
#define POLL_MS          1000
#define ENTRY_MAX        KIB(64) /* of an answer; they have some 2 KiB */

/* The numbers of a load by their names in Meta. least: a smaller change isn't told. */
static const struct {
    const char *name;
    size_t offset;
    int64_t least;
} numbers[] = {
    {"clients", offsetof(struct coord_load, clients), 1},
    {"room", offsetof(struct coord_load, room), 1},
    {"connect_rate", offsetof(struct coord_load, connect_rate), 1},
    {"partitions", offsetof(struct coord_load, partitions), 1},
    {"cpu_permille", offsetof(struct coord_load, cpu_permille), 20},
    {"lag_ms", offsetof(struct coord_load, lag_ms), 100},
};

static int64_t number_of(const struct coord_load *l, size_t i)
{
    return *(const int64_t *)(const void *)((const char *)l + numbers[i].offset);
}

const char *consul_service(enum coord_role role)
{
    return role == COORD_EDGE ? "fanfare-edge" : "fanfare-worker";
}

void consul_id(struct buf *out, const struct coord_member *m)
{
    buf_printf(out, "%s:", consul_service(m->role));
    http_escape(out, slice_of(m->node));
}

/* ---- what is said ---- */

static void add_parameter(struct buf *out, const char *name, const char *value)
{
    if (!value || !value[0])
        return;
    buf_byte(out, memchr(out->p, '?', out->n) ? '&' : '?');
    buf_printf(out, "%s=", name);
    http_escape(out, slice_of(value));
}

void consul_url(struct buf *out, const struct coord_conf *conf, const struct consul_ask *ask)
{
    buf_str(out, conf->consul_url);
    while (out->n && out->p[out->n - 1] == '/')
        out->n--;
    buf_str(out, ask->path);
    http_escape(out, ask->name);
    if (ask->query)
        buf_str(out, ask->query);
    if (ask->index) {
        char index[24], wait[24];
        snprintf(index, sizeof(index), "%llu", (unsigned long long)ask->index);
        snprintf(wait, sizeof(wait), "%ds", CONSUL_WAIT_S);
        add_parameter(out, "index", index);
        add_parameter(out, "wait", wait);
    }
    add_parameter(out, "dc", ask->datacenter);
    add_parameter(out, "ns", conf->consul_namespace);
    buf_byte(out, '\0');
    out->n--;
}

static void add_text(struct buf *out, const char *name, const char *value)
{
    if (out->p[out->n - 1] != '{')
        buf_byte(out, ',');
    buf_json_string(out, slice_of(name));
    buf_byte(out, ':');
    buf_json_string(out, slice_of(value));
}

/* The host and port of ws://host:port, which Consul's DNS and its users' templates go by. There an
 * IPv6 address has no brackets. */
static void add_address(struct buf *out, const char *url)
{
    const char *host = strstr(url, "://"), *colon, *bracket;
    long port = strncmp(url, "wss", 3) ? 80 : 443;
    char copy[COORD_ADDRESS_MAX];
    size_t n;

    if (!host)
        return;
    host += 3;
    colon = strrchr(host, ':');
    bracket = strchr(host, ']');
    if (colon && bracket && colon < bracket)
        colon = NULL;
    if (colon)
        port = strtol(colon + 1, NULL, 10);
    n = colon ? (size_t)(colon - host) : strlen(host);
    if (bracket && host[0] == '[')
        n = (size_t)(bracket - ++host);
    if (n >= sizeof(copy))
        return;
    memcpy(copy, host, n);
    copy[n] = '\0';
    add_text(out, "Address", copy);
    buf_printf(out, ",\"Port\":%ld", port);
}

static void add_meta(struct buf *out, const struct coord_member *m, const struct coord_load *load,
                     const char *instance)
{
    char value[24];

    buf_lit(out, ",\"Meta\":{");
    add_text(out, "node", m->node);
    add_text(out, "region", m->region);
    add_text(out, "url", m->url);
    add_text(out, "admin", m->admin);
    add_text(out, "redis", m->redis);
    add_text(out, "version", m->version);
    add_text(out, "instance", instance);
    add_text(out, "ready", load->ready ? "true" : "false");
    add_text(out, "draining", load->draining ? "true" : "false");
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        snprintf(value, sizeof(value), "%lld", (long long)number_of(load, i));
        add_text(out, numbers[i].name, value);
    }
    buf_byte(out, '}');
}

const char *consul_status(const struct coord_load *load)
{
    return load->ready && !load->draining ? "passing" : "warning";
}

void consul_registration(struct buf *out, const struct coord_member *m,
                         const struct coord_load *load, const char *instance)
{
    struct buf id = BUF_INIT;

    consul_id(&id, m);
    buf_lit(out, "{\"ID\":");
    buf_json_string(out, buf_as_slice(&id));
    add_text(out, "Name", consul_service(m->role));
    add_address(out, m->url);
    add_meta(out, m, load, instance);
    buf_lit(out, ",\"Check\":{\"CheckID\":");
    buf_json_string(out, buf_as_slice(&id));
    add_text(out, "Name", "heartbeat");
    buf_printf(out, ",\"TTL\":\"%dms\"", CONSUL_TTL_MS);
    add_text(out, "Status", consul_status(load));
    add_text(out, "DeregisterCriticalServiceAfter", DEREGISTER_AFTER);
    buf_lit(out, "}}");
    buf_done(&id);
}

/* ---- what is answered ---- */

static bool is_live(const struct json *checks)
{
    struct slice status;

    for (size_t i = 0; i < json_size(checks); i++)
        if (json_text(json_get(json_at(checks, i), "Status"), &status) &&
            slice_eq(status, SLICE("critical")))
            return false;
    return true;
}

/* Texts of a tree are NUL-terminated, and hold no other NUL. */
static const char *meta_text(const struct json *meta, const char *name)
{
    struct slice s;

    return json_text(json_get(meta, name), &s) && s.n <= CONSUL_VALUE_MAX ? s.p : "";
}

static int64_t meta_number(const struct json *meta, const char *name)
{
    const char *text = meta_text(meta, name);
    char *end;
    long long v;

    errno = 0;
    v = strtoll(text, &end, 10);
    return end == text || *end || errno || v < 0 ? 0 : v;
}

static void read_load(const struct json *meta, struct coord_load *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        *(int64_t *)(void *)((char *)ret + numbers[i].offset) = meta_number(meta, numbers[i].name);
    ret->ready = !strcmp(meta_text(meta, "ready"), "true");
    ret->draining = !strcmp(meta_text(meta, "draining"), "true");
}

struct reading {
    enum coord_role role;
    const struct coord_member *self;
    struct consul_seen *found;
};

static bool read_entry(const struct json *entry, void *arg)
{
    const struct reading *r = arg;
    const struct json *meta = json_get(json_get(entry, "Service"), "Meta");
    struct coord_member m = {
        .node = meta_text(meta, "node"),
        .region = meta_text(meta, "region"),
        .url = meta_text(meta, "url"),
        .admin = meta_text(meta, "admin"),
        .redis = meta_text(meta, "redis"),
        .version = meta_text(meta, "version"),
        .role = r->role,
    };

    if (coord_member_is_same(&m, r->self)) {
        r->found->has_self = true;
    } else if (utf8_is_name(slice_of(m.node)) && is_live(json_get(entry, "Checks"))) {
        read_load(meta, &m.load);
        coord_list_add(&r->found->live, &m);
    }
    return true;
}

int consul_members(struct slice body, enum coord_role role, const struct coord_member *self,
                   struct consul_seen *ret)
{
    struct consul_seen found = {.has_self = false};
    struct reading reading = {.role = role, .self = self, .found = &found};

    if (coord_entries(&body, ENTRY_MAX, COORD_MEMBERS_MAX, read_entry, &reading)) {
        coord_list_done(&found.live);
        return -EINVAL;
    }
    *ret = found;
    return 0;
}

/* ---- when to ask again ---- */

uint64_t consul_next_index(uint64_t asked, const char *header)
{
    unsigned long long index;
    char *end;

    if (!header || header[0] < '0' || header[0] > '9')
        return 0;
    errno = 0;
    index = strtoull(header, &end, 10);
    return *end || errno || index < asked ? 0 : index;
}

uint64_t consul_pause_ms(size_t members, uint64_t index)
{
    uint64_t ms = 5 * members;

    if (!index)
        return POLL_MS;
    return ms < PAUSE_MIN_MS ? PAUSE_MIN_MS : ms > PAUSE_MAX_MS ? PAUSE_MAX_MS : ms;
}

bool consul_load_urgent(const struct coord_load *told, const struct coord_load *now)
{
    return told->ready != now->ready || told->draining != now->draining;
}

static bool has_moved(size_t i, const struct coord_load *told, const struct coord_load *now)
{
    int64_t a = number_of(told, i), b = number_of(now, i);
    int64_t by = a < b ? b - a : a - b, most = a < b ? b : a;

    return by >= numbers[i].least && by > most / 20;
}

bool consul_load_due(const struct coord_load *told, const struct coord_load *now, uint64_t since_ms,
                     size_t members)
{
    uint64_t gap = 40 * (uint64_t)members;

    if (consul_load_urgent(told, now))
        return true;
    if (since_ms < (gap > LOAD_GAP_MS ? gap : LOAD_GAP_MS))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        if (has_moved(i, told, now))
            return true;
    return false;
}
