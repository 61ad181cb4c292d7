/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster.h: what this edge knows of the others: who there is, how much each has, and whom it sent
 * where since they told. Clients are placed by it, and those of a draining edge paced.
 *
 * Main tells it each new view; shards ask it between. A mutex is held for microseconds, and never
 * over a system call. @thread any
 */
#pragma once

#include "common/base/base.h"

struct cluster;
struct coord_view;

#define CLUSTER_BOUND         1.2 /* no edge is sent more than that many times its fair share … */
#define CLUSTER_ABOVE         1.24 /* … and who has that many sheds what is above the bound */

#define CLUSTER_URL_MAX       300
#define CLUSTER_NAME_MAX      256
#define CLUSTER_ENDPOINTS_MAX 8

struct cluster_endpoint {
    char url[CLUSTER_URL_MAX]; /* without a path */
    char node[CLUSTER_NAME_MAX], region[CLUSTER_NAME_MAX];
};

/* What the others of this region can take of this edge's clients: its own part of that. */
struct cluster_spare {
    uint32_t edges;      /* that could take some; 0: none is known */
    double connect_rate; /* clients a second */
    double room;         /* clients; INFINITY: not known to end */
};

struct cluster *cluster_new(void);
void cluster_free(struct cluster *c);

/* main: at each change, and at least every second. */
void cluster_see(struct cluster *c, const struct coord_view *v, uint64_t now_ms);
void cluster_get_spare(struct cluster *c, uint64_t now_ms, struct cluster_spare *ret);
/* n clients of this edge were told to go elsewhere. */
void cluster_sent_away(struct cluster *c, uint32_t n, uint64_t now_ms);

/* How an edge stands among those of its region that take clients. All is 0 while coordination is
 * lost: what the others have is not known then. */
struct cluster_standing {
    double all;     /* clients that they have, and this edge */
    double share;   /* of these, what is fair for this edge to have */
    double surplus; /* that it has above CLUSTER_BOUND times that, if it has over `above` times */
};
/* Of this edge, if it has so many clients. */
void cluster_get_standing(struct cluster *c, double clients, double above, uint64_t now_ms,
                          struct cluster_standing *ret);

/* Where is a client of this place ("" or not known: any) best connected? The best first, other
 * regions' last; draining ones never. The first one counts as having it. An address that several
 * have is there once. Returns how many, at most CLUSTER_ENDPOINTS_MAX. */
size_t cluster_place(struct cluster *c, struct slice place, uint64_t now_ms,
                     struct cluster_endpoint ret[CLUSTER_ENDPOINTS_MAX]);
/* Would a client of this place be at home at another edge of this region, that has less than its
 * share? */
bool cluster_is_elsewhere(struct cluster *c, struct slice place);
