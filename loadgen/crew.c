/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crew.c: one process of clients: a tick every 10 ms starts connections at the configured rate,
 * opens again what is due, cuts, wakes slow readers and looks at the phase of the run. See crew.h.
 */
#include "loadgen/crew.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "common/base/clock.h"
#include "common/runtime/proc.h"

#define TICK_S     0.010
#define RX_BYTES   KIB(256)
#define SLOW_TICKS 10  /* 100 ms */
#define DOG_TICKS  100 /* 1 s */
#define CONNECT_NS 10000000000u

uint64_t crew_random(struct crew *cr)
{
    cr->random ^= cr->random << 13; /* xorshift64: jitter and masks, nothing secret */
    cr->random ^= cr->random >> 7;
    cr->random ^= cr->random << 17;
    return cr->random;
}

void crew_wait(struct client *c, uint64_t after_ns)
{
    c->due_ns = clock_mono_ns() + after_ns;
    list_move_tail(&c->crew->waiting, &c->waiting);
}

static void start_some(struct crew *cr)
{
    double rate = (double)cr->st->conf.connect_rate / (double)cr->st->processes;
    cr->start_credit += rate * TICK_S;
    while (cr->start_credit >= 1 && cr->started < cr->count) {
        conn_open(&cr->clients[cr->started++]);
        cr->start_credit -= 1;
    }
}

static void wake_due(struct crew *cr, uint64_t now)
{
    struct client *c, *tmp;
    struct list due;
    list_init(&due);
    list_for_each_safe(c, tmp, &cr->waiting, waiting)
        if (c->due_ns <= now)
            list_move_tail(&due, &c->waiting);
    while ((c = list_first(&due, struct client, waiting))) {
        list_del(&c->waiting);
        client_on_due(c);
    }
}

static void cut_some(struct crew *cr, uint64_t now)
{
    if (cr->st->conf.cut_percent == 0 || now < cr->cut_due_ns)
        return;
    uint64_t every = (uint64_t)cr->st->conf.cut_every * 1000000u;
    bool is_first = cr->cut_due_ns == 0;
    cr->cut_due_ns = now + every;
    for (uint32_t i = 0; i < cr->count && !is_first; i++)
        if (crew_random(cr) % 100 < (uint64_t)cr->st->conf.cut_percent)
            client_cut(&cr->clients[i]);
}

static void wake_slow(struct crew *cr)
{
    for (uint32_t i = 0; i < cr->count; i++)
        if (cr->clients[i].paused)
            conn_resume_reading(&cr->clients[i]);
}

/* As the SDKs: nothing heard for the ping interval and 10 s means the connection is dead. */
static void watch_dog(struct crew *cr, uint64_t now)
{
    for (uint32_t i = 0; i < cr->count; i++) {
        struct client *c = &cr->clients[i];
        uint64_t limit = c->up ? (uint64_t)c->ping_s * 1000000000u + CONNECT_NS : CONNECT_NS;
        if (c->state == CONN_NONE || c->state == CONN_FINAL || (c->up && c->ping_s == 0) ||
            c->slow || now < c->heard_ns + limit)
            continue;
        conn_close(c);
        client_on_lost(c, 1006);
    }
}

static void ends_read(struct crew *cr, const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return;
    cr->ends = mem_zalloc(cr->st->channel_count * sizeof *cr->ends);
    char line[32];
    for (uint32_t i = 0; i < cr->st->channel_count && fgets(line, sizeof line, f); i++)
        cr->ends[i] = strtoull(line, NULL, 10);
    (void)fclose(f);
}

static void drain(struct crew *cr)
{
    if (!cr->ends)
        ends_read(cr, ev_userdata(cr->loop));
    uint64_t behind = 0;
    for (uint32_t i = 0; cr->ends && i < cr->count; i++)
        behind += client_behind(&cr->clients[i], cr->ends);
    if (cr->ends)
        stat_set(&cr->stats->behind, behind + 1);
}

static void on_tick(struct ev_loop *loop, struct ev_timer *w, int revents)
{
    struct crew *cr = w->data;
    uint64_t now = clock_mono_ns();
    int phase = cr->sh->phase;
    (void)revents;
    cr->ticks++;
    if (phase == PHASE_STOP) {
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    start_some(cr);
    wake_due(cr, now);
    if (phase == PHASE_RUN)
        cut_some(cr, now);
    if (cr->ticks % SLOW_TICKS == 0)
        wake_slow(cr);
    if (cr->ticks % DOG_TICKS == 0)
        watch_dog(cr, now);
    if (phase == PHASE_DRAIN && cr->ticks % 2 == 0)
        drain(cr);
}

static void names_make(struct crew *cr)
{
    const struct settings *st = cr->st;
    size_t size = 1024;
    while (size < (size_t)st->channel_count * 2)
        size *= 2;
    cr->slots = mem_zalloc(size * sizeof *cr->slots);
    cr->slot_mask = size - 1;
    cr->names = mem_alloc(st->channel_count * sizeof *cr->names);
    for (uint32_t i = 0; i < st->channel_count; i++) {
        struct buf name = BUF_INIT;
        if (st->conf.namespace[0])
            buf_printf(&name, "%s:", st->conf.namespace);
        buf_str(&name, st->keys[i]);
        buf_byte(&name, 0);
        cr->names[i] = name.p;
        size_t slot = dlog_digest(name.p, name.n - 1) & cr->slot_mask;
        while (cr->slots[slot])
            slot = (slot + 1) & cr->slot_mask;
        cr->slots[slot] = i + 1;
    }
}

static void clients_make(struct crew *cr, uint32_t first)
{
    const struct settings *st = cr->st;
    cr->clients = mem_zalloc(cr->count * sizeof *cr->clients);
    for (uint32_t i = 0; i < cr->count; i++) {
        struct client *c = &cr->clients[i];
        c->crew = cr;
        c->id = first + i;
        c->number = i;
        c->fd = -1;
        c->edge = (uint8_t)(c->id % st->edge_count);
        uint64_t lot = (uint64_t)c->id * 7919 % 100, slow = (uint64_t)st->conf.slow_percent;
        c->slow = lot < slow;
        c->old = !c->slow && lot < slow + (uint64_t)st->conf.old_percent;
        c->subs = mem_zalloc(st->subscriptions * sizeof *c->subs);
        for (uint32_t j = 0; j < st->subscriptions; j++)
            c->subs[j].channel = settings_channel_of(st, c->id, j);
        list_init(&c->waiting);
        ev_io_init(&c->io, NULL, -1, 0);
    }
}

static void crew_done(struct crew *cr)
{
    for (uint32_t i = 0; i < cr->count; i++) {
        conn_close(&cr->clients[i]);
        free(cr->clients[i].subs);
    }
    for (uint32_t i = 0; i < cr->st->channel_count; i++)
        free(cr->names[i]);
    free(cr->names);
    free(cr->slots);
    free(cr->clients);
    free(cr->rx);
    free(cr->ends);
    buf_done(&cr->text);
    ev_loop_destroy(cr->loop);
}

int crew_main(const struct settings *st, struct shared *sh, uint32_t index, const char *log_path,
              const char *ends_path)
{
    uint64_t total = (uint64_t)st->conf.clients;
    uint32_t first = (uint32_t)(total * index / st->processes);
    struct crew cr = {.st = st,
                      .sh = sh,
                      .stats = &sh->crews[index],
                      .index = index,
                      .count = (uint32_t)(total * (index + 1) / st->processes) - first,
                      .random = 0x2545f4914f6cdd1du * (index + 1) ^ clock_mono_ns()};
    cr.random |= 1;
    list_init(&cr.waiting);
    cr.log = fopen(log_path, "wbe");
    if (!cr.log) {
        (void)fprintf(stderr, "fanfare-loadgen: %s: %s\n", log_path, strerror(errno));
        return 1;
    }
    (void)setvbuf(cr.log, NULL, _IOFBF, MIB(1));
    proc_raise_fd_limit();
    cr.loop = ev_loop_new(EVFLAG_AUTO);
    cr.rx = mem_alloc(RX_BYTES);
    names_make(&cr);
    clients_make(&cr, first);
    union {
        const char *text;
        void *data;
    } ends = {.text = ends_path};
    ev_set_userdata(cr.loop, ends.data);
    struct ev_timer tick;
    ev_timer_init(&tick, on_tick, TICK_S, TICK_S);
    tick.data = &cr;
    ev_timer_start(cr.loop, &tick);
    ev_run(cr.loop, 0);
    ev_timer_stop(cr.loop, &tick);
    if (fclose(cr.log) || cr.log_failed) {
        (void)fprintf(stderr, "fanfare-loadgen: %s: could not be written\n", log_path);
        crew_done(&cr);
        return 1;
    }
    crew_done(&cr);
    return 0;
}
