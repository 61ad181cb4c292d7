/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord.h: who else is there: the nodes of the cluster as the coordination service knows them, and
 * what a node tells about itself.
 *
 * One thread of its own; nothing here ever blocks a caller. What is known is a view: immutable,
 * counted, replaced as a whole, with this node always in it. When the service is lost, the last
 * view stays (lost_ms says since when) and nothing else happens; after it is back, nodes that it
 * has forgotten stay in the view until they had time to come back. Not configured: the view holds
 * this node alone, and there is no thread.
 * @thread main for start and stop; any for the others
 */
#pragma once

#include "common/base/base.h"
#include "common/io/coord_conf.h"
#include "common/io/coord_metric.h"

struct coord;

enum coord_role {
    COORD_EDGE,
    COORD_WORKER
};

/* What a node tells of itself. Numbers, so that others can place clients by them. */
struct coord_load {
    int64_t clients;      /* connections now */
    int64_t room;         /* most connections it will take; 0: not known */
    int64_t connect_rate; /* connects a second it takes well; 0: not known */
    int64_t partitions;   /* read by an edge, written by a worker */
    int64_t cpu_permille; /* of the CPUs it may use */
    int64_t lag_ms;       /* behind Kafka's end */
    bool ready, draining;
};

struct coord_member {
    const char *node; /* name, unique among its role */
    const char *region;
    const char
        *url; /* clients' address, without a path: ws://host:port, wss://…; "" for a worker */
    const char *admin; /* host:port of its admin listener; "" for none */
    const char *redis; /* its region's Redis: a URL without its password */
    const char *version;
    enum coord_role role;
    bool is_self;
    bool is_untold;         /* of its load, only ready and draining are known */
    struct coord_load load; /* as last told */
};

struct coord_view {
    uint64_t version; /* grows with each change */
    uint64_t at_ms;   /* clock_mono_ms() when it was made */
    uint64_t lost_ms; /* since when the service doesn't answer; 0: it does */
    size_t count;
    const struct coord_member *members; /* live ones (self always), by region, role, node */
};

struct coord_opts {
    const struct coord_conf *conf; /* borrowed until coord_stop() */
    struct coord_metrics *metrics; /* borrowed until coord_stop() */
    /* Copied: role, names, addresses; load: as it begins. admin: as it is bound (admin_address()).
     * redis: the URL in use. Others are told what they can reach, and no password. */
    struct coord_member self;
};

/* Registers this node and begins to watch. A service that doesn't answer is no error: the node
 * starts alone, says so (event=coordination_lost), and goes on trying. */
struct coord *coord_start(const struct coord_opts *opts);
/* Tells the service that this node is gone, for which it waits at most a second, and ends the
 * thread. Other threads have let go of c before; callbacks on its own, which this still brings
 * (coord_kv.h, coord_lock.h), may use it. Views that somebody still holds stay good. NULL is
 * harmless. */
void coord_stop(struct coord *c);

/* The view, one reference more; coord_view_unref() when done. Never NULL. */
const struct coord_view *coord_view_ref(struct coord *c);
void coord_view_unref(const struct coord_view *v);
uint64_t coord_version(struct coord *c); /* of the view now, cheap */
/* What others are to know, and this node's own view: coord's thread takes it there, so in a moment
 * (with no service configured: before this returns). Consul is told of a change of ready or
 * draining as soon as a request that is under way is answered, after 2 s at most; of numbers when
 * one moved by over 5 %, at most each 2 s (in a cluster of over 50 nodes less often). Kubernetes is
 * told nothing: it asks the probes. */
void coord_tell(struct coord *c, const struct coord_load *load);

/* ---- addresses that others can reach ---- */

#define COORD_ADDRESS_MAX 300

/* The address that an edge advertises. advertise: "" (the host and port it listens on), "host",
 * "host:port", or a URL (ws://…, wss://…), which is taken as it is. host: as in `listen`; one that
 * stands for every address is replaced by the machine's name. port: the bound one. */
void coord_url(char dst[COORD_ADDRESS_MAX], const char *advertise, const char *host, int port,
               bool tls);
/* 0, or -EINVAL with why: `expected host, host:port, ws://host or wss://host`. */
int coord_url_check(const char *advertise, char *why, size_t why_size) _must_check_;
