/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rendezvous.c: see rendezvous.h. A score is weight / -ln(u), u uniform in (0, 1) from key and
 * node: so a node wins keys in proportion to its weight.
 */
#include "common/base/rendezvous.h"

#include <math.h>

#include "common/base/hash.h"

#define HALF_LIFE_MS 8000.0

uint64_t rendezvous_hash(struct slice name)
{
    static const uint64_t key[2] = {0x66616e66617265ull, 0x72656e64657a76ull};

    return siphash13(key, name.p, name.n);
}

static double score(uint64_t key, const struct rendezvous_node *node)
{
    uint64_t mixed = hash_u64(key ^ hash_u64(node->hash));
    double u = ((double)(mixed >> 11) + 0.5) * 0x1p-53;

    return node->weight / -log(u);
}

size_t rendezvous_home(uint64_t key, const struct rendezvous_node *v, size_t n)
{
    size_t best = 0;
    double most = 0;

    for (size_t i = 0; i < n; i++) {
        double s = score(key, &v[i]);
        if (s > most) {
            most = s;
            best = i;
        }
    }
    return best;
}

struct sums {
    double load, weight;
};

static struct sums sum(const struct rendezvous_node *v, size_t n)
{
    struct sums all = {0, 0};

    for (size_t i = 0; i < n; i++) {
        all.load += v[i].load;
        all.weight += v[i].weight;
    }
    return all;
}

/* Would one more be over the bound? Rounded up, so that there is always a node that it isn't for,
 * however few there are. */
static bool is_over(const struct rendezvous_node *node, const struct sums *all, double bound)
{
    double share = (all->load + 1) * node->weight / all->weight;

    return node->load + 1 > ceil(bound * share) + RENDEZVOUS_FEW;
}

static bool is_before(const struct rendezvous_node *a, const struct rendezvous_node *b)
{
    return a->rank < b->rank || (a->rank == b->rank && a->score > b->score);
}

/* By rank, small ones first, then by score, great ones first. Insertion: there are a few dozen. */
static void sort(uint64_t key, struct rendezvous_node *v, size_t n, size_t *ret)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        v[i].score = score(key, &v[i]);
        for (; at > 0 && is_before(&v[i], &v[ret[at - 1]]); at--)
            ret[at] = ret[at - 1];
        ret[at] = i;
    }
}

void rendezvous_order(uint64_t key, struct rendezvous_node *v, size_t n, double bound, size_t *ret)
{
    struct sums all = sum(v, n);

    for (size_t i = 0; i < n; i++)
        v[i].rank = is_over(&v[i], &all, bound);
    sort(key, v, n, ret);
}

void rendezvous_emptiest(uint64_t key, struct rendezvous_node *v, size_t n, size_t *ret)
{
    for (size_t i = 0; i < n; i++)
        v[i].rank = v[i].load / v[i].weight;
    sort(key, v, n, ret);
}

double rendezvous_share(const struct rendezvous_node *v, size_t n, size_t self, double *ret_all)
{
    struct sums all = sum(v, n);

    *ret_all = all.load;
    return all.load * v[self].weight / all.weight;
}

double rendezvous_surplus(const struct rendezvous_node *v, size_t n, size_t self, double above,
                          double to)
{
    double all, share = rendezvous_share(v, n, self, &all);
    double load = v[self].load - RENDEZVOUS_FEW;

    return load > above * share ? load - to * share : 0;
}

/* ---- guesses ---- */

static double sent_now(const struct rendezvous_guess *g, uint64_t now_ms)
{
    return g->sent > 0 ? g->sent * exp2((double)(now_ms - g->at_ms) / -HALF_LIFE_MS) : 0;
}

void rendezvous_told(struct rendezvous_guess *g, double load, uint64_t now_ms)
{
    double sent = sent_now(g, now_ms) - (load > g->told ? load - g->told : 0);

    *g = (struct rendezvous_guess){load, sent > 0 ? sent : 0, now_ms};
}

void rendezvous_sent(struct rendezvous_guess *g, double n, uint64_t now_ms)
{
    g->sent = sent_now(g, now_ms) + n;
    g->at_ms = now_ms;
}

double rendezvous_guessed(const struct rendezvous_guess *g, uint64_t now_ms)
{
    return g->told + sent_now(g, now_ms);
}
