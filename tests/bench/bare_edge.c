/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bare_edge.c: the least an edge of this design can do, to measure fanfare-edge against: one
 * thread, epoll, XREAD over all partitions, one send() for each subscriber of a record's channel.
 *
 *   bench_bare_edge REDIS_URL PARTITIONS     ("ready PORT" is printed on stdout)
 *
 * Of WebSocket and the client protocol it has what fanfare-loadgen sends and needs, by strstr: an
 * upgrade, then one frame with the connect command and one subscribe command. There is no resume,
 * no ping, no queue. A client that can't take a whole frame is dropped, and one that comes back is
 * not told that it recovered: the oracle counts both, so a figure can't be had by not delivering.
 * Payloads go out as they came. @thread main
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/bare_redis.h"

#define FD_MAX       65536
#define TEXT_MAX     65000
#define CHANNELS_MAX 1024 /* a power of two */
#define NAME_BYTES   64

struct channel {
    char name[NAME_BYTES];
    uint64_t last; /* position of its last record */
    int *fds;      /* its subscribers */
    size_t count;
};

static struct channel channels[CHANNELS_MAX]; /* open addressing; an empty name is a free slot */
static size_t channel_count;
static struct channel *channel_of[FD_MAX]; /* what a client subscribed to */
static bool is_upgraded[FD_MAX];
static char ids[PARTITIONS_MAX][ID_MAX]; /* where the next XREAD goes on */
static int partitions;
static redisContext *redis;

/* Finds a channel, or makes it: one without subscribers has a last position too. */
static struct channel *channel_get(const char *name, size_t n)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)name[i]) * 16777619u;
    for (;; hash++) {
        struct channel *ch = &channels[hash & (CHANNELS_MAX - 1)];
        if (!strncmp(ch->name, name, n) && !ch->name[n])
            return ch;
        if (ch->name[0])
            continue;
        if (++channel_count == CHANNELS_MAX)
            die("channels", "are too many");
        memcpy(ch->name, name, n);
        return ch;
    }
}

static void drop(int fd)
{
    struct channel *ch = channel_of[fd];
    for (size_t i = 0; ch && i < ch->count; i++) {
        if (ch->fds[i] == fd) {
            ch->fds[i] = ch->fds[--ch->count];
            break;
        }
    }
    channel_of[fd] = NULL;
    is_upgraded[fd] = false;
    (void)close(fd);
}

/* ---- records ------------------------------------------------------------------------------- */

/* Sends an XREAD from where the last one ended, without an end to its wait. */
static void ask(void)
{
    static char keys[PARTITIONS_MAX][KEY_MAX];
    const char *argv[6 + 2 * PARTITIONS_MAX] = {"XREAD", "COUNT", "500", "BLOCK", "0", "STREAMS"};
    for (int p = 0; p < partitions; p++) {
        if (!keys[p][0])
            (void)snprintf(keys[p], KEY_MAX, STREAM_KEY, p);
        argv[6 + p] = keys[p];
        argv[6 + partitions + p] = ids[p];
    }
    if (redisAppendCommandArgv(redis, 6 + 2 * partitions, argv, NULL))
        die("redis", redis->errstr);
    redis_write(redis);
}

/* Puts the head of a text frame in front of the text; room[4] is the text's first byte. Returns
 * where the frame begins; its length is in *ret_len. */
static char *frame_make(char *room, size_t n, size_t *ret_len)
{
    if (n < 126) {
        room[2] = (char)0x81;
        room[3] = (char)n;
        *ret_len = n + 2;
        return room + 2;
    }
    room[0] = (char)0x81;
    room[1] = 126;
    room[2] = (char)(n >> 8);
    room[3] = (char)n;
    *ret_len = n + 4;
    return room;
}

/* The loop that the measurement is about. */
static void publish(const redisReply *entry)
{
    static char room[4 + TEXT_MAX];
    const redisReply *blob = entry->element[1]->element[1];
    const char *pos = entry->element[0]->str + 2; /* behind "1-" */
    size_t key_len = blob->len ? (unsigned char)blob->str[0] : 0;
    if (key_len == 0 || key_len >= NAME_BYTES || key_len >= blob->len)
        die("a record's key", "has an unfit length");
    struct channel *ch = channel_get(blob->str + 1, key_len);
    ch->last = strtoull(pos, NULL, 10);
    if (ch->count == 0)
        return;
    int n = snprintf(room + 4, TEXT_MAX,
                     "{\"push\":{\"channel\":\"%s\",\"pub\":{\"data\":%s,\"offset\":%s}}}",
                     ch->name, blob->str + 1 + key_len, pos);
    if (n >= TEXT_MAX)
        die("a record", "is too long");
    size_t len;
    const char *frame = frame_make(room, (size_t)n, &len);
    for (size_t i = ch->count; i-- > 0;)
        if (send(ch->fds[i], frame, len, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)len)
            drop(ch->fds[i]);
}

static void take_records(void)
{
    void *got = NULL;
    if (redisBufferRead(redis) || redisGetReplyFromReader(redis, &got))
        die("redis", redis->errstr);
    if (!got)
        return; /* the rest of the reply is on its way */
    const redisReply *r = got;
    if (r->type != REDIS_REPLY_ARRAY)
        die("XREAD", r->str ? r->str : "no array");
    for (size_t i = 0; i < r->elements; i++) {
        const redisReply *stream = r->element[i], *entries = stream->element[1];
        const char *colon = strchr(stream->element[0]->str, ':');
        for (size_t j = 0; j < entries->elements; j++)
            publish(entries->element[j]);
        (void)snprintf(ids[strtol(colon + 1, NULL, 10)], ID_MAX, "%s",
                       entries->element[entries->elements - 1]->element[0]->str);
    }
    freeReplyObject(got);
    ask();
}

/* ---- clients ------------------------------------------------------------------------------- */

static void accept_all(int ep, int listener)
{
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (fd >= FD_MAX || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e))
            die("clients", "are too many");
    }
}

/* The connect command and one subscribe command, in one frame; loadgen numbers them 1 and 2. */
static void commands(int fd, const char *text)
{
    char room[512];
    size_t len;
    const char *name = strstr(text, "\"channel\":\"");
    size_t n = name ? strcspn(name + 11, "\"\\") : 0;
    if (n == 0 || n >= NAME_BYTES || channel_of[fd]) {
        drop(fd);
        return;
    }
    struct channel *ch = channel_of[fd] = channel_get(name + 11, n);
    ch->fds = realloc(ch->fds, (ch->count + 1) * sizeof *ch->fds);
    if (!ch->fds)
        die("subscribe", "no memory");
    ch->fds[ch->count++] = fd;
    int made = snprintf(room + 4, sizeof room - 4,
                        "{\"id\":1,\"connect\":{\"client\":\"bare\"}}\n{\"id\":2,\"subscribe\":"
                        "{\"recoverable\":true,\"epoch\":\"bare\",\"offset\":%llu}}",
                        (unsigned long long)ch->last);
    const char *frame = frame_make(room, (size_t)made, &len);
    if (send(fd, frame, len, MSG_NOSIGNAL) != (ssize_t)len)
        drop(fd);
}

/* A client's text frame, unmasked in place; NULL for anything else. Its commands fit into a short
 * one, and loadgen sends them at once. */
static char *unmask(char *frame, size_t n)
{
    size_t len = frame[1] & 127u;
    if (n != 6 + len || len > 125 || (unsigned char)frame[0] != 0x81)
        return NULL;
    for (size_t i = 0; i < len; i++)
        frame[6 + i] ^= frame[2 + i % 4];
    return frame + 6;
}

static void serve(int fd)
{
    static const char upgrade[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\n"
                                  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    static char in[FD_MAX];
    ssize_t n = read(fd, in, sizeof in - 1);
    if (n <= 0) {
        drop(fd);
        return;
    }
    in[n] = 0;
    if (is_upgraded[fd]) {
        const char *text = unmask(in, (size_t)n);
        if (text)
            commands(fd, text);
        else
            drop(fd);
        return;
    }
    is_upgraded[fd] = true;
    if (send(fd, upgrade, sizeof upgrade - 1, MSG_NOSIGNAL) < 0)
        drop(fd);
}

static int listen_any(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    if (fd < 0 || bind(fd, (const struct sockaddr *)&a, n) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&a, &n))
        die("listen", strerror(errno));
    printf("ready %d\n", ntohs(a.sin_port));
    (void)fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    struct rlimit rl;
    if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
        rl.rlim_cur = rl.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &rl);
    }
    redis = redis_open(argv[1]);
    partitions = partitions_of(argv[2]);
    for (int p = 0; p < partitions; p++)
        (void)snprintf(ids[p], ID_MAX, "0-0");
    ask();
    int listener = listen_any(), ep = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < 2; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.fd = i ? redis->fd : listener};
        if (epoll_ctl(ep, EPOLL_CTL_ADD, e.data.fd, &e))
            die("epoll_ctl", strerror(errno));
    }
    for (;;) {
        struct epoll_event ev[256];
        int n = epoll_wait(ep, ev, 256, -1);
        for (int i = 0; i < n; i++) {
            if (ev[i].data.fd == redis->fd)
                take_records();
            else if (ev[i].data.fd == listener)
                accept_all(ep, listener);
            else
                serve(ev[i].data.fd);
        }
    }
}
