/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_fixture.h: the HTTP client and a server on one loop, for each test anew.
 */
#pragma once

#include "common/io/http.h"

#include "tests/unit/io/http_server.h"

static struct ev_loop *loop;
static struct server server;
static struct http *http;
static char url[64];

static int setup(void **state)
{
    (void)state;
    loop = ev_loop_new(EVFLAG_AUTO);
    server_open(&server, loop);
    http = http_new(loop, &(struct http_opts){.ca_file = ""});
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/v1/x?a=b", server.port);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_free(http);
    server_close(&server);
    ev_loop_destroy(loop);
    return 0;
}

static struct http_request get_request(void)
{
    return (struct http_request){
        .method = "GET", .url = url, .timeout_ms = WAIT_MS, .reply_max = KIB(64)};
}
