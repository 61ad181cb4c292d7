/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_address.c: addresses that others can reach, made of those that we listen on. No state.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/io/coord_impl.h"

#define HOST_MAX 256

/* "", 0.0.0.0 and :: stand for every address: nobody can connect to that. */
static bool is_every(const char *host)
{
    static const char *const every[] = {"", "0.0.0.0", "[::]", "::", "*"};

    for (size_t i = 0; i < ARRAY_LEN(every); i++)
        if (!strcmp(host, every[i]))
            return true;
    return false;
}

static const char *reachable_host(const char *host, char name[HOST_MAX])
{
    if (!is_every(host))
        return host;
    if (gethostname(name, HOST_MAX - 1) != 0 || !name[0])
        snprintf(name, HOST_MAX, "localhost");
    return name;
}

/* The text behind "ws://" or "wss://"; NULL if it begins with neither. */
static const char *behind_scheme(const char *text)
{
    if (!strncmp(text, "ws://", 5))
        return text + 5;
    return strncmp(text, "wss://", 6) ? NULL : text + 6;
}

/* Where the port's colon is; NULL: there is no port. An IPv6 address has its brackets. */
static const char *port_colon(const char *text)
{
    const char *bracket = strrchr(text, ']'), *colon = strrchr(text, ':');

    return colon && (!bracket || colon > bracket) ? colon : NULL;
}

/* Only what a host and a port are written with. */
static bool is_plain(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p <= ' ' || strchr("\"\\/?#@\x7f", *p))
            return false;
    return true;
}

/* "host", "host:port", "[v6]", "[v6]:port" */
static bool is_host(const char *text)
{
    const char *colon = port_colon(text);
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;

    if (!text[0] || colon == text || !is_plain(text))
        return false;
    if (!colon)
        return true;
    return digits && digits <= 5 && !colon[1 + digits] &&
           (text[0] == '[' || !memchr(text, ':', (size_t)(colon - text)));
}

int coord_url_check(const char *advertise, char *why, size_t why_size)
{
    const char *rest = behind_scheme(advertise);

    if (strlen(advertise) < COORD_ADDRESS_MAX - 16 &&
        (!advertise[0] || is_host(rest ? rest : advertise)))
        return 0;
    snprintf(why, why_size, "expected host, host:port, ws://host or wss://host");
    return -EINVAL;
}

void coord_url(char dst[COORD_ADDRESS_MAX], const char *advertise, const char *host, int port,
               bool tls)
{
    const char *scheme = tls ? "wss" : "ws";
    char name[HOST_MAX] = "";

    if (behind_scheme(advertise))
        snprintf(dst, COORD_ADDRESS_MAX, "%s", advertise);
    else if (port_colon(advertise))
        snprintf(dst, COORD_ADDRESS_MAX, "%s://%s", scheme, advertise);
    else
        snprintf(dst, COORD_ADDRESS_MAX, "%s://%s:%d", scheme,
                 reachable_host(advertise[0] ? advertise : host, name), port);
}

void coord_reachable(char dst[COORD_ADDRESS_MAX], const char *bound)
{
    const char *colon = port_colon(bound);
    char host[HOST_MAX], name[HOST_MAX] = "";

    if (!colon || (size_t)(colon - bound) >= sizeof(host)) {
        dst[0] = '\0'; /* "none" */
        return;
    }
    memcpy(host, bound, (size_t)(colon - bound));
    host[colon - bound] = '\0';
    snprintf(dst, COORD_ADDRESS_MAX, "%s%s", reachable_host(host, name), colon);
}
