/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.c: see report.h. A figure that was not measured is null in JSON and "-" in the table.
 */
#include "loadgen/report.h"

#include <errno.h>
#include <inttypes.h>

#include "common/runtime/json.h"

static const double percentiles[] = {50, 90, 99, 99.9, 99.99};
static const char *const percentile_names[] = {"p50", "p90", "p99", "p99_9", "p99_99"};

void report_sum(struct report_clients *into, const struct crew_stats *crews, uint32_t n)
{
    memset(into, 0, sizeof *into);
    for (uint32_t i = 0; i < n; i++) {
        const struct crew_stats *c = &crews[i];
#define SUM(field) into->field += stat_get(&c->field)
        SUM(connected);
        SUM(connects);
        SUM(connect_errors);
        SUM(begun);
        SUM(refused);
        SUM(lost);
        SUM(cut);
        SUM(rewound);
        SUM(resumed);
        SUM(told_clients);
        SUM(protocol_errors);
        SUM(resubscribed);
        SUM(deliveries);
        SUM(bytes);
#undef SUM
        if (stat_get(&c->last_error))
            into->last_error = stat_get(&c->last_error);
        for (size_t e = 0; e < EDGES_MAX; e++) {
            stat_add(&into->edges[e].clients, stat_get(&c->edges[e].clients));
            stat_add(&into->edges[e].lost, stat_get(&c->edges[e].lost));
            stat_add(&into->edges[e].resumed, stat_get(&c->edges[e].resumed));
        }
    }
}

int report_take_verdict(struct report *rep, struct slice line)
{
    struct {
        const char *name;
        uint64_t *to;
    } fields[] = {
        {"records", &rep->records},         {"subscriptions", &rep->tally.subscriptions},
        {"expected", &rep->tally.expected}, {"delivered", &rep->tally.delivered},
        {"missing", &rep->tally.missing},   {"duplicate", &rep->tally.duplicate},
        {"disorder", &rep->tally.disorder}, {"wrong", &rep->tally.wrong},
        {"told", &rep->tally.told},         {"told_records", &rep->tally.told_records},
        {"resumed", &rep->tally.resumed},
    };
    struct json_error err;
    struct json *j = json_parse(line, &err);
    bool ok = j && json_bool(json_get(j, "clean"), &rep->clean);
    for (size_t i = 0; i < ARRAY_LEN(fields) && ok; i++)
        ok = json_u64(json_get(j, fields[i].name), fields[i].to);
    json_free(j);
    rep->verdict = line;
    /* The judge only sees what was logged; these are its client's own doubts. */
    if (rep->clients.protocol_errors || rep->clients.refused || rep->failed)
        rep->clean = false;
    return ok ? 0 : -EBADMSG;
}

static double cpu_ns(const struct report_process *p)
{
    return p->gone ? 0 : (double)(p->to.cpu_ns - p->from.cpu_ns);
}

double report_cpu_us(const struct report *rep)
{
    double sum = 0;
    for (size_t i = 0; i < rep->process_count; i++)
        sum += cpu_ns(&rep->processes[i]);
    return rep->window_deliveries ? sum / 1e3 / (double)rep->window_deliveries : 0;
}

static double per_second(const struct report *rep)
{
    return rep->window_ns ? (double)rep->window_deliveries * 1e9 / (double)rep->window_ns : 0;
}

static void hist_json(const struct hist *h, struct buf *out)
{
    buf_printf(out, "{\"count\":%" PRIu64, h->count);
    if (h->count == 0) {
        buf_byte(out, '}');
        return;
    }
    buf_printf(out, ",\"mean\":%.4f,\"min\":%.4f", hist_mean(h) / 1e6, (double)h->min / 1e6);
    for (size_t i = 0; i < ARRAY_LEN(percentiles); i++)
        buf_printf(out, ",\"%s\":%.4f", percentile_names[i],
                   (double)hist_at(h, percentiles[i]) / 1e6);
    buf_printf(out, ",\"max\":%.4f}", (double)h->max / 1e6);
}

static void config_json(const struct report *rep, struct buf *out)
{
    const struct loadgen_conf *c = &rep->st->conf;
    buf_printf(out,
               "{\"version\":\"" FANFARE_VERSION "\",\"config\":{\"clients\":%" PRId64
               ",\"channels\":%u,\"subscriptions\":%u,\"rate\":%" PRId64 ",\"payload\":%" PRId64
               ",\"warm_up_ms\":%" PRId64 ",\"duration_ms\":%" PRId64 ",\"processes\":%u}",
               c->clients, rep->st->channel_count, rep->st->subscriptions, c->rate, c->payload,
               c->warm_up, c->duration, rep->st->processes);
}

static void clients_json(const struct report *rep, struct buf *out)
{
    const struct report_clients *c = &rep->clients;
    buf_printf(out,
               ",\"clients\":{\"connected\":%" PRIu64 ",\"connects\":%" PRIu64
               ",\"connect_errors\":%" PRIu64 ",\"subscriptions\":%" PRIu64 ",\"refused\":%" PRIu64
               ",\"last_error\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"cut\":%" PRIu64
               ",\"rewound\":%" PRIu64 ",\"resumed\":%" PRIu64 ",\"told\":%" PRIu64
               ",\"protocol_errors\":%" PRIu64 ",\"resubscribed\":%" PRIu64 "},\"edges\":[",
               c->connected, c->connects, c->connect_errors, c->begun, c->refused, c->last_error,
               c->lost, c->cut, c->rewound, c->resumed, c->told_clients, c->protocol_errors,
               c->resubscribed);
    for (uint32_t i = 0; i < rep->st->edge_count; i++) {
        buf_printf(out, "%s{\"url\":", i ? "," : "");
        buf_json_string(out, slice_of(rep->st->conf.edges.v[i]));
        buf_printf(out, ",\"clients\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"resumed\":%" PRIu64 "}",
                   stat_get(&c->edges[i].clients), stat_get(&c->edges[i].lost),
                   stat_get(&c->edges[i].resumed));
    }
    buf_byte(out, ']');
}

static void processes_json(const struct report *rep, struct buf *out)
{
    buf_lit(out, ",\"cpu\":[");
    for (size_t i = 0; i < rep->process_count; i++) {
        const struct report_process *p = &rep->processes[i];
        buf_printf(out, "%s{\"name\":", i ? "," : "");
        buf_json_string(out, slice_of(p->name));
        buf_printf(out, ",\"pid\":%d", p->pid);
        if (p->gone)
            buf_lit(out, ",\"cpu_ms\":null");
        else
            buf_printf(out, ",\"cpu_ms\":%.1f,\"us_per_delivery\":%.3f,\"rss_bytes\":%" PRIu64,
                       cpu_ns(p) / 1e6,
                       rep->window_deliveries ? cpu_ns(p) / 1e3 / (double)rep->window_deliveries
                                              : 0.0,
                       p->to.rss_bytes);
        buf_byte(out, '}');
    }
    buf_byte(out, ']');
    if (rep->process_count)
        buf_printf(out, ",\"cpu_us_per_delivery\":%.3f", report_cpu_us(rep));
}

void report_json(const struct report *rep, struct buf *out)
{
    config_json(rep, out);
    buf_printf(out,
               ",\"producer\":{\"sent\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"failed\":%" PRIu64
               ",\"late\":%" PRIu64 "}",
               rep->sent, rep->acked, rep->failed, rep->late);
    clients_json(rep, out);
    buf_lit(out, ",\"connect_ms\":");
    hist_json(&rep->connect_ns, out);
    buf_lit(out, ",\"latency_ms\":");
    hist_json(&rep->latency_ns, out);
    if (rep->st->conf.buckets) {
        buf_lit(out, ",\"latency_buckets\":");
        hist_buckets_json(&rep->latency_ns, out);
    }
    buf_lit(out, ",\"resume_ms\":");
    hist_json(&rep->resume_ns, out);
    buf_printf(out,
               ",\"deliveries\":{\"total\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"window\":%" PRIu64
               ",\"window_s\":%.3f,\"per_second\":%.1f}",
               rep->clients.deliveries, rep->clients.bytes, rep->window_deliveries,
               (double)rep->window_ns / 1e9, per_second(rep));
    processes_json(rep, out);
    buf_printf(out, ",\"clean\":%s,\"verdict\":", rep->clean ? "true" : "false");
    buf_slice(out, rep->verdict);
    buf_lit(out, "}\n");
}

static void hist_human(const char *name, const struct hist *h, struct buf *out)
{
    buf_printf(out, "%-12s", name);
    if (h->count == 0) {
        buf_lit(out, "-\n");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(percentiles); i++)
        buf_printf(out, "p%g %.2f  ", percentiles[i], (double)hist_at(h, percentiles[i]) / 1e6);
    buf_printf(out, "max %.2f ms  (%" PRIu64 ")\n", (double)h->max / 1e6, h->count);
}

static void processes_human(const struct report *rep, struct buf *out)
{
    for (size_t i = 0; i < rep->process_count; i++) {
        const struct report_process *p = &rep->processes[i];
        if (p->gone) {
            buf_printf(out, "cpu         %s: ended\n", p->name);
            continue;
        }
        buf_printf(out, "cpu         %-10s %6.1f %%  %7.2f us a delivery  %.1f MiB\n", p->name,
                   rep->window_ns ? cpu_ns(p) * 100 / (double)rep->window_ns : 0.0,
                   rep->window_deliveries ? cpu_ns(p) / 1e3 / (double)rep->window_deliveries : 0.0,
                   (double)p->to.rss_bytes / 1048576.0);
    }
    if (rep->process_count > 1)
        buf_printf(out, "cpu         %-10s %7s   %7.2f us a delivery\n", "all", "",
                   report_cpu_us(rep));
}

void report_verdict_line(const struct report *rep, struct buf *out)
{
    const struct tally *t = &rep->tally;
    buf_printf(out,
               "%s: %" PRIu64 " records, %" PRIu64 " deliveries to %" PRId64 " clients, %" PRIu64
               " missing, %" PRIu64 " duplicate, %" PRIu64 " out of order, %" PRIu64
               " wrong, %" PRIu64 " resumed, %" PRIu64 " told\n",
               rep->clean ? "clean" : "NOT CLEAN", rep->records, t->delivered,
               rep->st->conf.clients, t->missing, t->duplicate, t->disorder, t->wrong,
               rep->clients.resumed, t->told);
}

void report_human(const struct report *rep, struct buf *out)
{
    const struct report_clients *c = &rep->clients;
    buf_printf(out,
               "records     %" PRIu64 " sent, %" PRIu64 " acknowledged, %" PRIu64
               " failed, %" PRIu64 " over 1 ms late\n",
               rep->sent, rep->acked, rep->failed, rep->late);
    buf_printf(out,
               "clients     %" PRIu64 " connected, %" PRIu64 " connects, %" PRIu64
               " failed connects, %" PRIu64 " lost, %" PRIu64 " cut, %" PRIu64 " resumed, %" PRIu64
               " told\n",
               c->connected, c->connects, c->connect_errors, c->lost, c->cut, c->resumed,
               c->told_clients);
    if (c->refused || c->protocol_errors)
        buf_printf(out,
                   "clients     %" PRIu64 " refused (last code %" PRIu64 "), %" PRIu64
                   " protocol errors\n",
                   c->refused, c->last_error, c->protocol_errors);
    buf_printf(out, "deliveries  %" PRIu64 " in all; measured %" PRIu64 " in %.1f s: %.0f/s\n",
               c->deliveries, rep->window_deliveries, (double)rep->window_ns / 1e9,
               per_second(rep));
    hist_human("connect", &rep->connect_ns, out);
    hist_human("latency", &rep->latency_ns, out);
    hist_human("resume", &rep->resume_ns, out);
    processes_human(rep, out);
    buf_lit(out, "verdict     ");
    report_verdict_line(rep, out);
}
