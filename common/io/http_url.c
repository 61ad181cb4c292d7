/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_url.c: URLs, checked and made: see http.h. No state.
 */
#include <errno.h>
#include <stdio.h>

#include <curl/curl.h>

#include "common/io/http.h"

int http_url_check(const char *url, char *why, size_t why_size)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL;
    CURLUcode rc =
        u ? curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER) : CURLUE_OUT_OF_MEMORY;
    bool good = rc == CURLUE_OK && curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                (!strcmp(scheme, "http") || !strcmp(scheme, "https")) &&
                curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && host[0];

    if (!good)
        snprintf(why, why_size, "expected http://host:port or https://host:port");
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    return good ? 0 : -EINVAL;
}

void http_escape(struct buf *out, struct slice s)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < s.n; i++) {
        unsigned char b = (unsigned char)s.p[i];

        if ((b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') ||
            b == '-' || b == '.' || b == '_' || b == '~') {
            buf_byte(out, b);
        } else {
            buf_byte(out, '%');
            buf_byte(out, (unsigned char)hex[b >> 4]);
            buf_byte(out, (unsigned char)hex[b & 15]);
        }
    }
}
