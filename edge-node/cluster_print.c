/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster_print.c: see cluster_print.h. What a node says of itself is printed as it stands, so only
 * escaped (JSON) or cut at what isn't printable (the table).
 */
#include "edge-node/cluster_print.h"

#include <stdio.h>

#include "common/base/utf8.h"
#include "common/io/coord.h"

static const char *role_of(const struct coord_member *m)
{
    return m->role == COORD_EDGE ? "edge" : "worker";
}

static const char *state_of(const struct coord_member *m)
{
    if (m->load.draining)
        return "draining";
    return m->load.ready ? "ready" : "starting";
}

static void json_text(struct buf *out, const char *name, const char *text)
{
    struct slice s = slice_of(text);

    buf_printf(out, "\"%s\":", name);
    buf_json_string(out, utf8_is_valid(s) ? s : SLICE("?"));
    buf_byte(out, ',');
}

static void json_member(struct buf *out, const struct coord_member *m)
{
    const struct coord_load *l = &m->load;

    buf_byte(out, '{');
    json_text(out, "node", m->node);
    json_text(out, "role", role_of(m));
    json_text(out, "region", m->region);
    json_text(out, "state", state_of(m));
    json_text(out, "url", m->url);
    json_text(out, "admin", m->admin);
    json_text(out, "redis", m->redis);
    json_text(out, "version", m->version);
    buf_printf(out, "\"self\":%s,", m->is_self ? "true" : "false");
    if (m->is_untold) {
        buf_lit(out, "\"clients\":null,\"room\":null,\"connect_rate\":null,\"partitions\":null,"
                     "\"cpu_permille\":null,\"lag_ms\":null}");
        return;
    }
    buf_printf(out,
               "\"clients\":%lld,\"room\":%lld,\"connect_rate\":%lld,\"partitions\":%lld,"
               "\"cpu_permille\":%lld,\"lag_ms\":%lld}",
               (long long)l->clients, (long long)l->room, (long long)l->connect_rate,
               (long long)l->partitions, (long long)l->cpu_permille, (long long)l->lag_ms);
}

static uint64_t since(uint64_t then_ms, uint64_t now_ms)
{
    return then_ms && then_ms < now_ms ? now_ms - then_ms : 0;
}

void cluster_print_json(struct buf *out, const struct coord_view *v, uint64_t now_ms)
{
    buf_printf(out, "{\"version\":%llu,\"age_ms\":%llu,\"lost_ms\":%llu,\"members\":[",
               (unsigned long long)v->version, (unsigned long long)since(v->at_ms, now_ms),
               (unsigned long long)since(v->lost_ms, now_ms));
    for (size_t i = 0; i < v->count; i++) {
        buf_str(out, i ? ",\n" : "\n");
        json_member(out, &v->members[i]);
    }
    buf_lit(out, "\n]}\n");
}

/* ---- the table ---- */

enum {
    NODE,
    ROLE,
    REGION,
    STATE,
    CLIENTS,
    ROOM,
    PARTITIONS,
    CPU,
    LAG,
    VERSION,
    ADDRESS,
    COLUMNS
};

#define CELL_MAX 64

struct row {
    char cell[COLUMNS][CELL_MAX];
};

static const struct row titles = {{"NODE", "ROLE", "REGION", "STATE", "CLIENTS", "ROOM",
                                   "PARTITIONS", "CPU", "LAG", "VERSION", "ADDRESS"}};

static void put_text(char cell[CELL_MAX], const char *text)
{
    size_t n = 0;

    for (; text[n] && n < CELL_MAX - 1; n++)
        cell[n] = text[n] > ' ' && text[n] < 127 ? text[n] : '?';
    if (!n)
        cell[n++] = '-';
    cell[n] = '\0';
}

static void put_number(char cell[CELL_MAX], int64_t n, const char *unit)
{
    (void)snprintf(cell, CELL_MAX, "%lld%s", (long long)n, unit);
}

static void put_load(struct row *r, const struct coord_member *m)
{
    bool is_edge = m->role == COORD_EDGE;

    if (is_edge)
        put_number(r->cell[CLIENTS], m->load.clients, "");
    if (is_edge && m->load.room)
        put_number(r->cell[ROOM], m->load.room, "");
    put_number(r->cell[PARTITIONS], m->load.partitions, "");
    put_number(r->cell[CPU], m->load.cpu_permille / 10, "%");
    put_number(r->cell[LAG], m->load.lag_ms, "ms");
}

static void put_row(struct row *r, const struct coord_member *m)
{
    put_text(r->cell[NODE], m->node);
    put_text(r->cell[ROLE], role_of(m));
    put_text(r->cell[REGION], m->region);
    put_text(r->cell[STATE], state_of(m));
    for (int i = CLIENTS; i <= LAG; i++)
        put_text(r->cell[i], "-");
    if (!m->is_untold)
        put_load(r, m);
    put_text(r->cell[VERSION], m->version);
    put_text(r->cell[ADDRESS], m->role == COORD_EDGE ? m->url : m->admin);
}

static bool is_number(int column)
{
    return column >= CLIENTS && column <= LAG;
}

static void print_row(struct buf *out, const struct row *r, const int width[COLUMNS])
{
    for (int i = 0; i < COLUMNS; i++) {
        if (i + 1 == COLUMNS)
            buf_printf(out, "%s\n", r->cell[i]);
        else if (is_number(i))
            buf_printf(out, "%*s  ", width[i], r->cell[i]);
        else
            buf_printf(out, "%-*s  ", width[i], r->cell[i]);
    }
}

static void widen(int width[COLUMNS], const struct row *r)
{
    for (int i = 0; i < COLUMNS; i++) {
        int n = (int)strlen(r->cell[i]);
        width[i] = n > width[i] ? n : width[i];
    }
}

void cluster_print_table(struct buf *out, const struct coord_view *v, uint64_t now_ms)
{
    int width[COLUMNS] = {0};
    struct row r;

    widen(width, &titles);
    for (size_t i = 0; i < v->count; i++) {
        put_row(&r, &v->members[i]);
        widen(width, &r);
    }
    print_row(out, &titles, width);
    for (size_t i = 0; i < v->count; i++) {
        put_row(&r, &v->members[i]);
        print_row(out, &r, width);
    }
    if (v->lost_ms)
        buf_printf(out, "coordination lost %llu s ago: this is how it was\n",
                   (unsigned long long)(since(v->lost_ms, now_ms) / 1000));
}
