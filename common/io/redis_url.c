/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_url.c: redis://[user[:password]@]host[:port][/db] and unix:/path.
 *
 * User and password are percent-decoded. The text of an error never repeats the URL, since it may
 * hold a password. @thread any
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "common/io/redis_impl.h"

#define URL_MAX 4096

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
    free(u->host);
    free(u->path);
    free(u->user);
    free_secret(u->password);
    *u = (struct redis_url){0};
}

void redis_url_print(const struct redis_url *u, char *dst, size_t size)
{
    if (u->path)
        snprintf(dst, size, "unix:%s", u->path);
    else if (u->host)
        snprintf(dst, size, strchr(u->host, ':') ? "[%s]:%d" : "%s:%d", u->host, u->port);
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

static int parse_host(struct slice s, struct redis_url *u, char *why, size_t why_size)
{
    struct slice port = {NULL, 0};

    if (s.n && s.p[0] == '[') {
        struct slice behind;

        s.p++, s.n--;
        if (!split(&s, ']', &behind) || (behind.n && behind.p[0] != ':'))
            return refuse(why, why_size, "a '[' without its ']' in the host");
        if (behind.n)
            port = (struct slice){behind.p + 1, behind.n - 1};
    } else {
        split(&s, ':', &port);
    }
    if (s.n == 0)
        return refuse(why, why_size, "no host");
    u->port = 6379;
    if (port.p && !parse_number(port, 1, 65535, &u->port))
        return refuse(why, why_size, "the port isn't 1..65535");
    u->host = mem_strndup(s.p, s.n);
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

static int parse_tcp(struct slice s, struct redis_url *u, char *why, size_t why_size)
{
    struct slice db;
    const char *at;

    if (memchr(s.p, '?', s.n) || memchr(s.p, '#', s.n))
        return refuse(why, why_size, "nothing may follow the database number");
    at = memrchr(s.p, '@', s.n);
    if (at) {
        if (!parse_user((struct slice){s.p, (size_t)(at - s.p)}, u))
            return refuse(why, why_size, "a bad %-escape before the '@'");
        s = (struct slice){at + 1, (size_t)(s.p + s.n - at) - 1};
    }
    if (split(&s, '/', &db) && db.n && !parse_number(db, 0, 999999, &u->db))
        return refuse(why, why_size, "the database isn't a number");
    return parse_host(s, u, why, why_size);
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
        r = parse_tcp(slice_of(url + 8), &u, why, why_size);
    else if (strncmp(url, "rediss://", 9) == 0)
        r = refuse(why, why_size, "TLS to Redis (rediss://) is not supported");
    else
        r = refuse(why, why_size, "expected redis://host:port or unix:/path");
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

bool redis_url_is_numeric(const char *url)
{
    struct redis_url u = {0};
    struct in6_addr a;
    char why[8];
    bool is;

    if (redis_url_parse(url, &u, why, sizeof(why)) < 0)
        return false;
    is = u.path || inet_pton(AF_INET, u.host, &a) == 1 || inet_pton(AF_INET6, u.host, &a) == 1;
    redis_url_done(&u);
    return is;
}

int redis_url_check(const char *url, char *why, size_t why_size)
{
    struct redis_url u;
    int r = redis_url_parse(url, &u, why, why_size);

    if (r == 0)
        redis_url_done(&u);
    return r;
}
