/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve.c: a lookup's asker and its thread have an end each of a pair of sockets, and nothing
 * else in common: the thread sends the answer, and whoever has cancelled has closed his end by
 * then. getaddrinfo_a() would do the same with signals and a queue that one dead name server can
 * block for all.
 */
#include "common/io/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/runtime/proc.h"

struct resolve {
    struct ev_loop *loop;
    ev_io told;
    int place;
    resolve_fn *fn;
    void *arg;
};

/* The thread's. */
struct lookup {
    int asker, place;
    char host[RESOLVE_HOST_MAX];
};

struct answer {
    char address[RESOLVE_ADDRESS_MAX], why[80]; /* no address: why */
};

/* A lookup's place is taken until both have left. */
static struct place {
    char host[RESOLVE_HOST_MAX];
    int users;
} places[RESOLVE_MAX]; /* under the lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* For both. -1: there is no room. */
static int enter(const char *host)
{
    int same = 0, place = -1;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < RESOLVE_MAX; i++) {
        if (!places[i].users)
            place = i;
        else
            same += strcmp(places[i].host, host) == 0;
    }
    if (same >= RESOLVE_EACH)
        place = -1;
    if (place >= 0) {
        memcpy(places[place].host, host, strlen(host) + 1);
        places[place].users = 2;
    }
    pthread_mutex_unlock(&lock);
    return place;
}

static void leave(int place)
{
    pthread_mutex_lock(&lock);
    places[place].users--;
    pthread_mutex_unlock(&lock);
}

/* ---- the thread ---- */

/* Of one family, as hiredis asks: IPv4 first, since "localhost" is often served there alone. */
static int look_up(const char *host, int family, struct answer *ret)
{
    const struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, NULL, &hints, &found);

    if (rc == 0)
        rc = getnameinfo(found->ai_addr, found->ai_addrlen, ret->address, sizeof(ret->address),
                         NULL, 0, NI_NUMERICHOST);
    if (found)
        freeaddrinfo(found);
    return rc;
}

static void *run(void *arg)
{
    struct lookup *l = arg;
    struct answer answer = {.address = ""};
    int rc;

    proc_thread_role("resolve");
    rc = look_up(l->host, AF_INET, &answer);
    if (rc != 0)
        rc = look_up(l->host, AF_INET6, &answer);
    if (rc != 0) {
        answer.address[0] = '\0';
        snprintf(answer.why, sizeof(answer.why), "%s", gai_strerror(rc));
    }
    (void)send(l->asker, &answer, sizeof(answer), MSG_NOSIGNAL); /* or nobody wants it any more */
    close(l->asker);
    leave(l->place);
    free(l);
    return NULL;
}

static bool start_thread(struct lookup *l)
{
    pthread_attr_t attr;
    pthread_t thread;
    int rc;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    rc = pthread_create(&thread, &attr, run, l);
    pthread_attr_destroy(&attr);
    return rc == 0;
}

/* ---- the asker ---- */

static void end(struct resolve *r)
{
    ev_io_stop(r->loop, &r->told);
    close(r->told.fd);
    leave(r->place);
    free(r);
}

static void on_told(struct ev_loop *loop, ev_io *w, int events)
{
    struct resolve *r = w->data;
    struct answer answer;
    resolve_fn *fn = r->fn;
    void *arg = r->arg;

    ssize_t n = recv(w->fd, &answer, sizeof(answer), MSG_DONTWAIT); /* one message, or its end */

    (void)loop, (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n != (ssize_t)sizeof(answer)) /* the kernel had no memory for it */
        answer = (struct answer){.why = "the answer was lost"};
    end(r);
    fn(arg, answer.address[0] ? answer.address : NULL, answer.why);
}

bool resolve_is_numeric(const char *host)
{
    struct in6_addr a;

    return inet_pton(AF_INET, host, &a) == 1 || inet_pton(AF_INET6, host, &a) == 1;
}

struct resolve *resolve_start(struct ev_loop *loop, const char *host, resolve_fn *fn, void *arg)
{
    int place = strlen(host) < RESOLVE_HOST_MAX ? enter(host) : -1, ends[2] = {-1, -1};
    struct lookup *l = NULL;
    struct resolve *r;

    if (place < 0)
        return NULL;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0) {
        l = mem_zalloc(sizeof(*l));
        *l = (struct lookup){.asker = ends[1], .place = place};
        memcpy(l->host, host, strlen(host) + 1);
    }
    if (!l || !start_thread(l)) {
        close(ends[0]);
        close(ends[1]);
        free(l);
        leave(place);
        leave(place);
        return NULL;
    }
    r = mem_zalloc(sizeof(*r));
    *r = (struct resolve){.loop = loop, .place = place, .fn = fn, .arg = arg};
    ev_io_init(&r->told, on_told, ends[0], EV_READ);
    r->told.data = r;
    ev_io_start(loop, &r->told);
    return r;
}

void resolve_cancel(struct resolve *r)
{
    if (r)
        end(r);
}
