/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c: starts the oracle (oracle.h) and the fleet (fleet.h), leads them through the phases of
 * shared.h, measures CPU, and merges everything into one report.
 */
#include "loadgen/run.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"

#include "loadgen/fleet.h"
#include "loadgen/oracle.h"
#include "loadgen/report.h"

#define MS           ((uint64_t)1000000)
#define ORACLE_MS    90000
#define FLUSH_MS     35000
#define SETTLE_MS    300  /* after the last record: a duplicate may still be on its way */
#define ALL_CHANNELS 1000 /* channels named in the report */

struct run {
    const struct settings *st;
    struct fleet fl;
    struct oracle oracle;
    bool tty;
    uint64_t shown_ns, shown_deliveries;
    uint64_t from_ns, from_deliveries; /* of the measurement */
    struct report rep;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
    (void)sig;
    interrupted = 1;
}

static void nap(uint64_t ns)
{
    struct timespec ts = {0, (long)ns};
    (void)nanosleep(&ts, NULL);
}

static int hear(struct run *r, struct slice *ret)
{
    int err = oracle_hear(&r->oracle, ORACLE_MS, ret);
    if (err == -EREMOTEIO)
        return run_complain("oracle", ret->p);
    return err ? run_complain("oracle", strerror(-err)) : 0;
}

static int oracle_begin(struct run *r)
{
    const struct conf_map *kafka = &r->st->conf.kafka;
    int err = oracle_start(&r->oracle);
    if (err)
        return run_complain("oracle", strerror(-err));
    for (size_t i = 0; i < kafka->n; i++)
        oracle_say(&r->oracle, "kafka %s=%s\n", kafka->v[i].name, kafka->v[i].value);
    oracle_say(&r->oracle, "topic %s\n", r->st->conf.topic);
    for (uint32_t i = 0; i < r->st->channel_count; i++)
        oracle_say(&r->oracle, "channel %s\n", r->st->keys[i]);
    oracle_say(&r->oracle, r->st->conf.read_later ? "begin later\n" : "begin\n");
    struct slice text;
    return hear(r, &text);
}

/* ---- while it runs ------------------------------------------------------------------------ */

static void progress(struct run *r, const char *what)
{
    uint64_t now = clock_mono_ns();
    if (!r->tty || now < r->shown_ns + 250 * MS)
        return;
    struct report_clients c;
    report_sum(&c, r->fl.sh->crews, r->st->processes);
    double rate = (double)(c.deliveries - r->shown_deliveries) * 1e9 / (double)(now - r->shown_ns);
    (void)fprintf(stderr,
                  "\r\033[K%s: %" PRIu64 "/%" PRId64 " clients, %" PRIu64
                  " records, %.0f deliveries/s, %" PRIu64 " lost, %" PRIu64 " resumed",
                  what, c.connected, r->st->conf.clients, stat_get(&r->fl.sh->plan.sent), rate,
                  c.lost + c.cut, c.resumed);
    r->shown_ns = now;
    r->shown_deliveries = c.deliveries;
}

static void progress_end(const struct run *r)
{
    if (r->tty)
        (void)fputs("\r\033[K", stderr);
}

static int wait_ready(struct run *r)
{
    uint64_t until = clock_mono_ns() + (uint64_t)r->st->conf.ready_timeout * MS;
    uint64_t want = (uint64_t)r->st->conf.clients * r->st->subscriptions;
    for (;;) {
        struct report_clients c;
        report_sum(&c, r->fl.sh->crews, r->st->processes);
        if (c.begun == want)
            break;
        char why[256];
        (void)snprintf(why, sizeof why,
                       "%" PRIu64 " of %" PRIu64 " subscriptions live, %" PRIu64
                       " clients connected, %" PRIu64 " failed connects, %" PRIu64
                       " refused, last code %" PRIu64,
                       c.begun, want, c.connected, c.connect_errors, c.refused, c.last_error);
        if (c.refused || clock_mono_ns() > until || interrupted)
            return run_complain("clients are not ready", why);
        if (fleet_alive(&r->fl))
            return -ECANCELED;
        progress(r, "connecting");
        nap(20 * MS);
    }
    if (!r->st->conf.verdict_only) {
        progress_end(r);
        (void)fprintf(stderr, "event=ready clients=%" PRId64 " subscriptions=%" PRIu64 "\n",
                      r->st->conf.clients, want);
    }
    return 0;
}

static uint64_t deliveries(const struct run *r)
{
    struct report_clients c;
    report_sum(&c, r->fl.sh->crews, r->st->processes);
    return c.deliveries;
}

static void sample_from(struct run *r)
{
    r->from_ns = clock_mono_ns();
    r->from_deliveries = deliveries(r);
    for (size_t i = 0; i < r->rep.process_count; i++) {
        struct report_process *p = &r->rep.processes[i];
        p->gone = usage_read(p->pid, &p->from) != 0;
    }
}

static void sample_to(struct run *r)
{
    if (r->from_ns == 0)
        return;
    r->rep.window_ns = clock_mono_ns() - r->from_ns;
    r->rep.window_deliveries = deliveries(r) - r->from_deliveries;
    for (size_t i = 0; i < r->rep.process_count; i++) {
        struct report_process *p = &r->rep.processes[i];
        p->gone = p->gone || usage_read(p->pid, &p->to) != 0;
    }
}

static int produce(struct run *r)
{
    const struct loadgen_conf *c = &r->st->conf;
    if (c->rate == 0) { /* somebody else produces; the same window */
        uint64_t from = clock_mono_ns() + (uint64_t)c->warm_up * MS;
        stat_set(&r->fl.sh->measure_from, from);
        stat_set(&r->fl.sh->measure_to, from + (uint64_t)c->duration * MS);
    }
    r->fl.sh->phase = PHASE_RUN;
    while (!interrupted) {
        uint64_t now = clock_mono_ns(), from = stat_get(&r->fl.sh->measure_from);
        uint64_t to = stat_get(&r->fl.sh->measure_to);
        if (from && r->from_ns == 0 && now >= from)
            sample_from(r);
        if (to && now >= to)
            break;
        if (fleet_alive(&r->fl))
            return -ECANCELED;
        progress(r, "running");
        nap(5 * MS);
    }
    sample_to(r);
    return 0;
}

/* ---- the end ------------------------------------------------------------------------------ */

static int drain(struct run *r)
{
    r->fl.sh->phase = PHASE_DRAIN;
    uint64_t until = clock_mono_ns() + FLUSH_MS * MS;
    while (r->st->conf.rate > 0 && !stat_get(&r->fl.sh->plan.done)) {
        if (clock_mono_ns() > until)
            return run_complain("producer", "records were not acknowledged in time");
        if (fleet_alive(&r->fl))
            return -ECANCELED;
        nap(5 * MS);
    }
    char *part = fleet_path(&r->fl, "ends.part", 0);
    struct slice text;
    oracle_say(&r->oracle, "stop %s\n", part);
    int err = hear(r, &text);
    if (!err && rename(part, r->fl.ends_path))
        err = run_complain(r->fl.ends_path, strerror(errno));
    free(part);
    return err;
}

static bool is_behind(const struct run *r)
{
    for (uint32_t i = 0; i < r->st->processes; i++)
        if (stat_get(&r->fl.sh->crews[i].behind) != 1)
            return true;
    return false;
}

/* What never comes is for the oracle to say. */
static int wait_stragglers(struct run *r)
{
    uint64_t now = clock_mono_ns(), until = now + (uint64_t)r->st->conf.straggler_timeout * MS;
    uint64_t settled = 0;
    while (now < until && (settled == 0 || now < settled)) {
        if (fleet_alive(&r->fl))
            return -ECANCELED;
        if (settled == 0 && !is_behind(r))
            settled = now + SETTLE_MS * MS;
        progress(r, "draining");
        nap(10 * MS);
        now = clock_mono_ns();
    }
    return 0;
}

static int judge(struct run *r)
{
    struct slice text;
    for (uint32_t i = 0; i < r->st->processes; i++) {
        char *log = fleet_path(&r->fl, "log", i);
        oracle_say(&r->oracle, "judge %s\n", log);
        free(log);
    }
    oracle_say(&r->oracle, "verdict %d %d\n", ALL_CHANNELS, r->st->conf.allow_told);
    int err = hear(r, &text);
    if (err)
        return err;
    if (report_take_verdict(&r->rep, text))
        return run_complain("oracle", "its verdict can't be read");
    return 0;
}

static int publish(struct run *r)
{
    struct report *rep = &r->rep;
    struct buf out = BUF_INIT;
    const char *path = r->st->conf.json;
    int err = 0;
    if (path[0]) {
        report_json(rep, &out);
        FILE *f = strcmp(path, "-") ? fopen(path, "we") : stdout;
        if (!f || fwrite(out.p, 1, out.n, f) != out.n || (f != stdout && fclose(f)))
            err = run_complain(path, strerror(errno));
        buf_clear(&out);
    }
    if (r->st->conf.verdict_only)
        report_verdict_line(rep, &out);
    else
        report_human(rep, &out);
    (void)fwrite(out.p, 1, out.n, strcmp(path, "-") ? stdout : stderr);
    buf_done(&out);
    return err;
}

static void merge(struct run *r)
{
    struct report *rep = &r->rep;
    hist_init(&rep->connect_ns);
    hist_init(&rep->latency_ns);
    hist_init(&rep->resume_ns);
    for (uint32_t i = 0; i < r->st->processes; i++) {
        hist_merge(&rep->connect_ns, &r->fl.sh->crews[i].connect_ns);
        hist_merge(&rep->latency_ns, &r->fl.sh->crews[i].latency_ns);
        hist_merge(&rep->resume_ns, &r->fl.sh->crews[i].resume_ns);
    }
    rep->sent = stat_get(&r->fl.sh->plan.sent);
    rep->acked = stat_get(&r->fl.sh->plan.acked);
    rep->failed = stat_get(&r->fl.sh->plan.failed);
    rep->late = stat_get(&r->fl.sh->plan.late);
}

static int run_all(struct run *r)
{
    int err = fleet_init(&r->fl, r->st);
    if (!err)
        err = oracle_begin(r);
    if (!err)
        err = fleet_start(&r->fl);
    if (!err)
        err = wait_ready(r);
    if (!err)
        err = produce(r);
    if (!err)
        err = drain(r);
    if (!err)
        err = wait_stragglers(r);
    progress_end(r);
    if (!err) {
        report_sum(&r->rep.clients, r->fl.sh->crews, r->st->processes);
        err = fleet_join(&r->fl);
    }
    if (err)
        return err;
    merge(r);
    err = judge(r);
    return err ? err : publish(r);
}

int run_main(const struct settings *st)
{
    struct run *r = mem_zalloc(sizeof *r);
    r->st = r->rep.st = st;
    r->tty = isatty(STDERR_FILENO) && !st->conf.verdict_only;
    r->rep.process_count = st->conf.pids.n;
    r->rep.processes = mem_zalloc((st->conf.pids.n + 1) * sizeof *r->rep.processes);
    for (size_t i = 0; i < st->conf.pids.n; i++) {
        r->rep.processes[i].name = st->conf.pids.v[i].name;
        r->rep.processes[i].pid = (int)strtol(st->conf.pids.v[i].value, NULL, 10);
    }
    struct sigaction on = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &on, NULL);
    (void)sigaction(SIGTERM, &on, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    int err = run_all(r);
    int status = err ? 3 : r->rep.clean ? 0 : 1;
    fleet_done(&r->fl); /* first: its processes hold the oracle's pipe open too */
    oracle_end(&r->oracle);
    free(r->rep.processes);
    free(r);
    return status;
}
