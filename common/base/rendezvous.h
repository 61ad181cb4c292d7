/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rendezvous.h: which of several nodes has a key, computed alike by everybody who knows the same
 * nodes (highest random weight): a node that comes takes only its share of the keys, one that goes
 * leaves only its own to others.
 *
 * Nodes may have weights (how much they hold, beside each other) and loads. Bounded: a node whose
 * load is above `bound` times its fair share (and a few more) stands behind all others, so that one
 * key that everybody wants, or an uneven hash, fills no node. A fair share is the sum of all loads
 * divided by weights.
 *
 * Loads are told by the nodes themselves, so they are seconds old: struct rendezvous_guess adds
 * what was sent to a node since. @thread any; a guess has one owner
 */
#pragma once

#include "common/base/base.h"

struct rendezvous_node {
    uint64_t hash; /* rendezvous_hash() of its name */
    double weight; /* > 0 */
    double load;
    double rank, score; /* scratch */
};

#define RENDEZVOUS_FEW 16 /* so many more than a share are no burden to anybody */

/* The same in every process, unlike hash_bytes(). */
uint64_t rendezvous_hash(struct slice name);
/* Index of the node that the key belongs to, whatever their loads are; n > 0. */
size_t rendezvous_home(uint64_t key, const struct rendezvous_node *v, size_t n);
/* Indices of all n, the best for the key first, those over the bound (> 1) last. */
void rendezvous_order(uint64_t key, struct rendezvous_node *v, size_t n, double bound, size_t *ret);
/* Indices of all n, the least full first; keys spread those that are equally full. */
void rendezvous_emptiest(uint64_t key, struct rendezvous_node *v, size_t n, size_t *ret);
/* What would be fair for node `self` to have, of ret_all. */
double rendezvous_share(const struct rendezvous_node *v, size_t n, size_t self, double *ret_all);
/* What node `self` has above `to` times its fair share and a few, if it is above `above` times and
 * those; else 0. */
double rendezvous_surplus(const struct rendezvous_node *v, size_t n, size_t self, double above,
                          double to);

/* A node's load, as far as it is known here. */
struct rendezvous_guess {
    double told;    /* by the node */
    double sent;    /* there, and not in `told` yet */
    uint64_t at_ms; /* when `sent` was reckoned */
};

/* The node tells its load: a rise is some of those who were sent there. */
void rendezvous_told(struct rendezvous_guess *g, double load, uint64_t now_ms);
/* n were sent there. (Of others who send as we do, and aren't seen, n says so too.) */
void rendezvous_sent(struct rendezvous_guess *g, double n, uint64_t now_ms);
/* Who doesn't arrive is forgotten: half of `sent` every eight seconds. */
double rendezvous_guessed(const struct rendezvous_guess *g, uint64_t now_ms);
