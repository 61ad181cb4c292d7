/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_rendezvous_cluster.c: a region of edges and 20,000 clients, simulated: every edge knows the
 * others by numbers that are up to two seconds old, answers where to connect, and sheds what it has
 * too much. After whatever change of membership no edge has more than 1.25 times the mean, and who
 * needn't move doesn't.
 *
 * A dead edge is seen after 3 s, a new one after 0.5 s; a client comes back 0.5 to 1 s after its
 * connection ended and is there some 0.3 s after it was sent; half of all want one channel.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "common/base/rendezvous.h"

#define EDGES     8
#define CLIENTS   20000
#define PLACES    64
#define STEP_MS   50
#define TELL_MS   2000
#define BOUND     1.2 /* of placing; shedding begins at 1.24, and ends here */
#define SHED_MAX  12  /* clients in a step: all who shed together, one edge's connect rate */
#define SETTLE_MS 3000

struct seen {
    struct rendezvous_guess guess;
    uint64_t told_ms; /* of the telling that was seen last */
};

static struct edge {
    uint64_t since_ms; /* it lives, or doesn't */
    uint64_t hash, told_ms, calm_ms, over_ms;
    double told, left_to_shed;
    struct seen of[EDGES]; /* what it knows of the others */
    int clients;
    bool lives;
} edges[EDGES];

static struct client {
    enum {
        AWAY,   /* asks at due_ms */
        COMING, /* is there at due_ms */
        THERE,
    } state;
    bool has_channel;
    uint64_t place, due_ms;
    int edge;
} clients[CLIENTS];

static uint64_t now_ms, seed;
static int shed;

static uint64_t rnd(uint64_t n)
{
    return hash_u64(++seed) % n;
}

/* ---- edges ---- */

static bool is_seen(const struct edge *e)
{
    return e->lives ? now_ms >= e->since_ms + 500 : now_ms < e->since_ms + 3000;
}

/* Whom this one knows to live, with what it believes of them; itself exactly. */
static size_t look(struct edge *self, struct rendezvous_node *v, int *ids)
{
    size_t n = 0;

    for (int i = 0; i < EDGES; i++) {
        struct edge *e = &edges[i];
        if (!e->hash || (e != self && !is_seen(e)))
            continue;
        v[n] = (struct rendezvous_node){
            .hash = e->hash, .weight = 1, .load = rendezvous_guessed(&self->of[i].guess, now_ms)};
        ids[n++] = i;
    }
    return n;
}

static void tell_and_see(struct edge *self)
{
    if (now_ms >= self->told_ms + TELL_MS) {
        self->told_ms = now_ms;
        self->told = self->clients;
    }
    for (int i = 0; i < EDGES; i++) {
        struct seen *seen = &self->of[i];
        if (edges[i].hash && seen->told_ms != edges[i].told_ms &&
            now_ms >= edges[i].told_ms + 100 + 100 * (self->hash % 3)) {
            rendezvous_told(&seen->guess, edges[i].told, now_ms);
            seen->told_ms = edges[i].told_ms;
        }
    }
}

static void leave(struct client *c)
{
    edges[c->edge].clients--;
    c->state = AWAY;
    c->due_ms = now_ms + 500 + rnd(500);
}

/* Is it at home elsewhere, where there is room for it? */
static bool is_stray(const struct client *c, const struct rendezvous_node *v, const int *ids,
                     size_t n)
{
    size_t home = rendezvous_home(c->place, v, n);
    double all = 0;

    for (size_t i = 0; i < n; i++)
        all += v[i].load;
    return ids[home] != c->edge && v[home].load < all / (double)n;
}

/* Those first who belong elsewhere. */
static void shed_some(int id, int n)
{
    struct rendezvous_node v[EDGES];
    int ids[EDGES];
    size_t count = look(&edges[id], v, ids);

    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < CLIENTS && n > 0; i++) {
            struct client *c = &clients[i];
            if (c->state != THERE || c->edge != id || (pass == 0 && !is_stray(c, v, ids, count)))
                continue;
            leave(c);
            shed++;
            n--;
        }
    }
}

static void balance(int id)
{
    struct edge *self = &edges[id];
    struct rendezvous_node v[EDGES];
    int ids[EDGES], n;
    size_t count, at = 0;
    double surplus;

    count = look(self, v, ids);
    while (ids[at] != id)
        at++;
    v[at].load = self->clients;
    surplus = rendezvous_surplus(v, count, at, 1.24, BOUND);
    if (surplus <= 0)
        self->over_ms = now_ms;
    if (self->left_to_shed < 1 && now_ms >= self->calm_ms && now_ms >= self->over_ms + SETTLE_MS)
        self->left_to_shed = surplus;
    n = self->left_to_shed < SHED_MAX ? (int)self->left_to_shed : SHED_MAX;
    if (n < 1)
        return;
    shed_some(id, n);
    self->left_to_shed -= n;
    self->calm_ms = now_ms + 5000;
}

static void begin_edge(int id)
{
    char name[16];
    int n = snprintf(name, sizeof(name), "edge-%d-%d", id, (int)(now_ms / 1000));

    edges[id] = (struct edge){.lives = true,
                              .since_ms = now_ms,
                              .told_ms = now_ms,
                              .calm_ms = now_ms + 5000,
                              .hash = rendezvous_hash((struct slice){name, (size_t)n})};
    for (int i = 0; i < EDGES; i++) {
        edges[id].of[i] = (struct seen){{edges[i].told, 0, now_ms}, edges[i].told_ms};
        edges[i].of[id] = (struct seen){{0, 0, now_ms}, now_ms};
    }
}

static void kill_edge(int id)
{
    edges[id].lives = false;
    edges[id].since_ms = now_ms;
    for (int i = 0; i < CLIENTS; i++)
        if (clients[i].state == THERE && clients[i].edge == id)
            leave(&clients[i]);
}

/* ---- clients ---- */

/* Any edge answers, as a balancer spreads those who ask. */
static void ask(struct client *c)
{
    struct rendezvous_node v[EDGES];
    struct edge *e;
    int ids[EDGES];
    size_t order[EDGES], n;

    do
        e = &edges[rnd(EDGES)];
    while (!e->lives);
    n = look(e, v, ids);
    if (c->has_channel)
        rendezvous_order(c->place, v, n, BOUND, order);
    else
        rendezvous_emptiest(rnd(UINT64_MAX), v, n, order);
    c->edge = ids[order[0]];
    rendezvous_sent(&e->of[c->edge].guess, (double)n, now_ms);
    c->state = COMING;
    c->due_ms = now_ms + 100 + rnd(400);
}

static void arrive(struct client *c)
{
    c->state = THERE;
    if (edges[c->edge].lives) {
        edges[c->edge].clients++;
        return;
    }
    c->state = AWAY;
    c->due_ms = now_ms + 500 + rnd(500);
}

static void pass(uint64_t ms)
{
    for (uint64_t end = now_ms + ms; now_ms < end; now_ms += STEP_MS) {
        for (int i = 0; i < CLIENTS; i++) {
            struct client *c = &clients[i];
            if (c->state == AWAY && now_ms >= c->due_ms)
                ask(c);
            else if (c->state == COMING && now_ms >= c->due_ms)
                arrive(c);
        }
        for (int i = 0; i < EDGES; i++) {
            if (!edges[i].lives)
                continue;
            tell_and_see(&edges[i]);
            balance(i);
        }
    }
}

/* ---- judging ---- */

static int before[EDGES];

static void mark(void)
{
    shed = 0;
    for (int i = 0; i < EDGES; i++)
        before[i] = edges[i].lives ? edges[i].clients : 0;
}

static void judge(const char *what)
{
    int n = 0, most = 0, all = 0, net = 0;
    double ratio;

    for (int i = 0; i < EDGES; i++) {
        if (!edges[i].lives)
            continue;
        n++;
        all += edges[i].clients;
        most = edges[i].clients > most ? edges[i].clients : most;
        net += before[i] > edges[i].clients ? before[i] - edges[i].clients : 0;
    }
    ratio = (double)most * n / all;
    print_message("%s: max/mean %.2f, %d told to move, %.1f %% of all needlessly\n", what, ratio,
                  shed, 100.0 * (shed > net ? shed - net : 0) / CLIENTS);
    assert_int_equal(all, CLIENTS);
    assert_true(ratio <= 1.25);
    assert_true(shed - net <= CLIENTS / 20);
}

/* So many edges, and all clients come within ten seconds. */
static void begin(int n, bool channels)
{
    now_ms = 100000;
    seed = 1;
    memset(edges, 0, sizeof(edges));
    for (int i = 0; i < n; i++)
        begin_edge(i);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = (struct client){
            .has_channel = channels,
            .place = rnd(2) ? 1 : hash_u64(100 + rnd(PLACES)),
            .due_ms = now_ms + 500 + rnd(10000),
        };
    mark();
    pass(20000);
    judge("all come");
}

static void test_one_dies(void **state)
{
    (void)state;
    for (int n = 2; n <= EDGES; n++) {
        begin(n, n % 2);
        mark();
        kill_edge(0);
        pass(20000);
        judge("one of them dies");
        assert_true(shed <= CLIENTS / 20); /* nobody of the others need move */
    }
}

static void test_one_comes(void **state)
{
    (void)state;
    for (int n = 1; n < EDGES; n++) {
        begin(n, n % 2);
        mark();
        begin_edge(n);
        pass(90000);
        judge("one more");
    }
}

static void test_twice_as_many(void **state)
{
    (void)state;
    begin(4, true);
    mark();
    for (int i = 4; i < 8; i++)
        begin_edge(i);
    pass(90000);
    judge("four more");
    mark();
    for (int i = 0; i < 4; i++)
        kill_edge(i);
    pass(30000);
    judge("and four die");
}

/* The last one comes back empty. */
static void test_one_after_the_other(void **state)
{
    (void)state;
    begin(4, true);
    for (int i = 0; i < 4; i++) {
        mark();
        kill_edge(i);
        pass(5000);
        begin_edge(i);
        pass(10000);
    }
    mark();
    pass(90000);
    judge("all were restarted");
}

/* Ten thousand at once, while one edge is empty: it would get them all if each edge trusted the
 * number that it was told last. */
static void test_herd(void **state)
{
    int most = 0;

    (void)state;
    begin(4, false);
    kill_edge(0);
    kill_edge(1);
    begin_edge(4);
    begin_edge(5);
    begin_edge(6);
    for (int step = 0; step < 100; step++) {
        pass(STEP_MS);
        for (int i = 0; i < EDGES; i++)
            most = edges[i].lives && edges[i].clients > most ? edges[i].clients : most;
    }
    print_message("herd: the fullest of 5 had %d of 20000\n", most);
    assert_true(most <= CLIENTS * 1.25 / 4); /* it began with a quarter */
    mark();
    pass(60000);
    judge("herd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_dies),      cmocka_unit_test(test_one_comes),
        cmocka_unit_test(test_twice_as_many), cmocka_unit_test(test_one_after_the_other),
        cmocka_unit_test(test_herd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
