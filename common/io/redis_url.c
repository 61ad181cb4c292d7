/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_url.c: redis://[user[:password]@]host[:port][/db], unix:/path, and
 * sentinel://[user[:password]@]host[:port][,…]/master[/db].
 *
 * User and password are percent-decoded. The text of an error never repeats the URL, since it may
 * hold a password. @thread any
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "common/io/redis_impl.h"

#define URL_MAX       4096
#define SENTINELS_MAX 16

static int refuse(char *why, size_t why_size, const char *text)
{
    snprintf(why, why_size, "%s", text);
    return -EINVAL;
}

static void free_secret(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

void redis_url_done(struct redis_url *u)
{
    free(u->path);
    free(u->master);
    free(u->sentinels);
    free(u->user);
    free_secret(u->password);
    *u = (struct redis_url){0};
}

static int print_address(char *dst, size_t size, const struct redis_address *at)
{
    return snprintf(dst, size, strchr(at->host, ':') ? "[%s]:%d" : "%s:%d", at->host, at->port);
}

void redis_url_print(const struct redis_url *u, char *dst, size_t size)
{
    size_t n;

    if (u->path) {
        snprintf(dst, size, "unix:%s", u->path);
    } else if (u->at.host[0]) {
        print_address(dst, size, &u->at);
    } else {
        n = (size_t)snprintf(dst, size, "sentinel://");
        for (size_t i = 0; i < u->sentinel_count && n < size; i++) {
            n += (size_t)print_address(dst + n, size - n, &u->sentinels[i]);
            if (n < size)
                n += (size_t)snprintf(dst + n, size - n, "%s",
                                      i + 1 < u->sentinel_count ? "," : "/");
        }
        if (n < size)
            snprintf(dst + n, size - n, "%s", u->master);
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* NULL if a '%' isn't followed by two hex digits, or for a NUL. */
static char *percent_decode(struct slice s)
{
    char *text = mem_zalloc(s.n + 1); /* zeroed: free_secret() wipes up to a NUL */
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c == '%') {
            int high = s.n - i > 2 ? hex_digit(s.p[i + 1]) : -1;
            int low = s.n - i > 2 ? hex_digit(s.p[i + 2]) : -1;

            if (high < 0 || low < 0 || high + low == 0) {
                free_secret(text);
                return NULL;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        text[n++] = c;
    }
    text[n] = '\0';
    return text;
}

/* Decimal within [min, max]; false otherwise. */
static bool parse_number(struct slice s, int min, int max, int *ret)
{
    int v = 0;

    if (s.n == 0 || s.n > 6)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        v = v * 10 + (s.p[i] - '0');
    }
    if (v < min || v > max)
        return false;
    *ret = v;
    return true;
}

/* Splits s at its first c: what is before stays in *s, what is behind is returned. */
static bool split(struct slice *s, char c, struct slice *ret_behind)
{
    const char *at = s->n ? memchr(s->p, c, s->n) : NULL;

    if (!at)
        return false;
    *ret_behind = (struct slice){at + 1, (size_t)(s->p + s->n - at) - 1};
    s->n = (size_t)(at - s->p);
    return true;
}

static bool parse_user(struct slice s, struct redis_url *u)
{
    struct slice password;

    if (split(&s, ':', &password) && password.n && !(u->password = percent_decode(password)))
        return false;
    return s.n == 0 || (u->user = percent_decode(s)) != NULL;
}

/* host[:port] */
static int parse_address(struct slice s, int port, struct redis_address *ret, char *why,
                         size_t why_size)
{
    struct slice digits = {NULL, 0};

    if (s.n && s.p[0] == '[') {
        struct slice behind;

        s.p++, s.n--;
        if (!split(&s, ']', &behind) || (behind.n && behind.p[0] != ':'))
            return refuse(why, why_size, "a '[' without its ']' in the host");
        if (behind.n)
            digits = (struct slice){behind.p + 1, behind.n - 1};
    } else {
        split(&s, ':', &digits);
    }
    if (s.n == 0)
        return refuse(why, why_size, "no host");
    if (s.n >= sizeof(ret->host))
        return refuse(why, why_size, "a host of more than 255 bytes");
    ret->port = port;
    if (digits.p && !parse_number(digits, 1, 65535, &ret->port))
        return refuse(why, why_size, "the port isn't 1..65535");
    memcpy(ret->host, s.p, s.n);
    ret->host[s.n] = '\0';
    return 0;
}

static int parse_sentinels(struct slice list, struct redis_url *u, char *why, size_t why_size)
{
    struct slice more;
    bool goes_on = true;

    u->sentinels = mem_zalloc(SENTINELS_MAX * sizeof(*u->sentinels));
    while (goes_on) {
        struct redis_address *at = &u->sentinels[u->sentinel_count];

        if (u->sentinel_count == SENTINELS_MAX)
            return refuse(why, why_size, "more than 16 Sentinels");
        goes_on = split(&list, ',', &more);
        if (parse_address(list, 26379, at, why, why_size) < 0)
            return -EINVAL;
        u->sentinel_count++;
        list = more;
    }
    return 0;
}

/* As Sentinel itself takes names. */
static int parse_master(struct slice name, struct redis_url *u, char *why, size_t why_size)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";

    u->master = mem_strndup(name.n ? name.p : "", name.n);
    if (name.n == 0 || strspn(u->master, good) != name.n)
        return refuse(why, why_size,
                      "expected sentinel://host:port,host:port/<name of the master>");
    return 0;
}

static int parse_unix(const char *path, struct redis_url *u, char *why, size_t why_size)
{
    if (strncmp(path, "//", 2) == 0)
        path += 2;
    if (path[0] != '/')
        return refuse(why, why_size, "the socket's path must begin with '/'");
    if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return refuse(why, why_size, "the socket's path is too long");
    u->path = mem_strdup(path);
    return 0;
}

static int parse_tcp(struct slice s, struct redis_url *u, bool by_sentinels, char *why,
                     size_t why_size)
{
    struct slice db = {NULL, 0}, path = {NULL, 0};
    const char *at;

    if (memchr(s.p, '?', s.n) || memchr(s.p, '#', s.n))
        return refuse(why, why_size, "nothing may follow the database number");
    at = memrchr(s.p, '@', s.n);
    if (at) {
        if (!parse_user((struct slice){s.p, (size_t)(at - s.p)}, u))
            return refuse(why, why_size, "a bad %-escape before the '@'");
        s = (struct slice){at + 1, (size_t)(s.p + s.n - at) - 1};
    }
    split(&s, '/', &path);
    if (by_sentinels)
        split(&path, '/', &db);
    else
        db = path;
    if (db.n && !parse_number(db, 0, 999999, &u->db))
        return refuse(why, why_size, "the database isn't a number");
    if (!by_sentinels)
        return parse_address(s, 6379, &u->at, why, why_size);
    if (parse_master(path, u, why, why_size) < 0)
        return -EINVAL;
    return parse_sentinels(s, u, why, why_size);
}

int redis_url_parse(const char *url, struct redis_url *ret, char *why, size_t why_size)
{
    struct redis_url u = {0};
    int r;

    if (!url || strnlen(url, URL_MAX) == URL_MAX)
        return refuse(why, why_size, url ? "longer than 4096 bytes" : "no URL");
    if (strncmp(url, "unix:", 5) == 0)
        r = parse_unix(url + 5, &u, why, why_size);
    else if (strncmp(url, "redis://", 8) == 0)
        r = parse_tcp(slice_of(url + 8), &u, false, why, why_size);
    else if (strncmp(url, "sentinel://", 11) == 0)
        r = parse_tcp(slice_of(url + 11), &u, true, why, why_size);
    else if (strncmp(url, "rediss://", 9) == 0)
        r = refuse(why, why_size, "TLS to Redis (rediss://) is not supported");
    else
        r = refuse(why, why_size,
                   "expected redis://host:port, sentinel://host:port/master or unix:/path");
    if (r < 0)
        redis_url_done(&u);
    else
        *ret = u;
    return r;
}

void redis_url_where(const char *url, char dst[REDIS_WHERE_MAX])
{
    struct redis_url u = {0};
    char why[8];

    memcpy(dst, "?", 2);
    if (redis_url_parse(url, &u, why, sizeof(why)) == 0) {
        redis_url_print(&u, dst, REDIS_WHERE_MAX);
        redis_url_done(&u);
    }
}

void redis_url_public(const char *url, char dst[REDIS_WHERE_MAX])
{
    const char *at = strrchr(url, '@'), *user = strstr(url, "://");
    size_t kept;

    if (!user || !at || at < user) {
        snprintf(dst, REDIS_WHERE_MAX, "%s", url);
        return;
    }
    user += 3;
    kept = strcspn(user, ":@");
    snprintf(dst, REDIS_WHERE_MAX, "%.*s%s", (int)((size_t)(user - url) + kept), url,
             kept ? at : at + 1);
}

bool redis_url_has_password(const char *url)
{
    struct redis_url u;
    char why[8];
    bool has;

    if (redis_url_parse(url, &u, why, sizeof(why)) < 0)
        return false;
    has = u.password != NULL;
    redis_url_done(&u);
    return has;
}

int redis_url_check(const char *url, char *why, size_t why_size)
{
    struct redis_url u;
    int r = redis_url_parse(url, &u, why, why_size);

    if (r == 0)
        redis_url_done(&u);
    return r;
}
