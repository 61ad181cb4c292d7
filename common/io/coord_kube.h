/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_kube.h: what the files of the Kubernetes backend share. Private to coord_kube*.c and their
 * tests: what coord_kube_text.c has is pure.
 *
 * Who is there is what the EndpointSlices of the edges' headless Service say: the pod's name, its
 * address, whether it is ready, and whether it is about to end. They are listed once and then
 * watched from that version on. A node tells nothing: the kubelet does, by the readiness probe. So
 * others' numbers aren't known (is_untold), and the right to read slices is all that it takes.
 * @thread coord
 */
#pragma once

#include "common/io/coord_impl.h"
#include "common/io/http.h"

#define KUBE_WATCH_S     30
#define KUBE_SLICES_MAX  2000
#define KUBE_ENTRY_MAX   MIB(2) /* one slice as text: the API server's own bound, and some */
#define KUBE_VERSION_MAX 64     /* of a resourceVersion */
#define KUBE_SAID_MAX    300    /* of a message */

/* ---- coord_kube_text.c: pure ---- */

/* What one EndpointSlice says. */
struct kube_slice {
    char *name;
    bool is_v6;
    bool is_gone;            /* deleted, but not settled yet */
    struct coord_list edges; /* this node not among them */
};

struct kube_slices {
    struct kube_slice *v;
    size_t n, cap;
    size_t gone;  /* of the n */
    size_t edges; /* in all of them */
    char version[KUBE_VERSION_MAX];
};

void kube_slices_done(struct kube_slices *s);
/* Everybody, once: by IPv4 if there is any. Who is in a slice that is gone, and in no other one,
 * too. */
void kube_slices_all(const struct kube_slices *s, struct coord_list *ret);
/* Those that are gone don't count any more. */
void kube_slices_settle(struct kube_slices *s);
/* 0: there is no such Service any more. */
static inline size_t kube_slices_left(const struct kube_slices *s)
{
    return s->n - s->gone;
}

struct kube_ask {
    const char *base, *space, *service; /* "https://10.0.0.1:443", the namespace, the Service */
    const char *version;                /* watch from here; "" or NULL: list */
};
void kube_url(struct buf *out, const struct kube_ask *ask);
/* The API server as a pod is told by its environment, in host and port; false: there is none. */
bool kube_server_url(struct buf *out, const char *host, const char *port);

/* The answer to a list. 0, or -EINVAL if it is no such thing. */
int kube_list(struct slice body, const struct coord_member *self,
              struct kube_slices *ret) _must_check_;

enum kube_event {
    KUBE_EVENT_CHANGE,
    KUBE_EVENT_DELETED, /* a slice is gone: to be settled, if it doesn't come back */
    KUBE_EVENT_NOTHING, /* a bookmark: only the version */
    KUBE_EVENT_EXPIRED, /* what was watched from is forgotten: list again */
    KUBE_EVENT_ERROR    /* said: why */
};
/* One line of a watch, done to s. */
enum kube_event kube_event(struct slice line, const struct coord_member *self,
                           struct kube_slices *s, char said[KUBE_SAID_MAX]);
/* The message of a Status, or the text itself. */
void kube_said(struct slice body, char said[KUBE_SAID_MAX]);
