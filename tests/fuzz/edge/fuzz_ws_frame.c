/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_ws_frame.c: the same bytes give the same events however they are cut; nothing is longer than
 * it may be; after an error only a close frame comes. Input: the size of the second run's pieces,
 * then what a client sends. @thread main
 */
#include <stdlib.h>

#include "common/base/utf8.h"

#include "edge-node/ws_frame.h"
#include "tests/fuzz/fuzz.h"

#define MAX 300

static void check(const struct ws_reader *r, const struct ws_event *e)
{
    must(!r->only_close || e->type == WS_CLOSE);
    must(e->payload.n <= (e->type >= WS_CLOSE ? WS_CONTROL_MAX : MAX));
    must(e->type != WS_TEXT || utf8_is_valid(e->payload));
}

static void run(const uint8_t *data, size_t size, size_t piece, struct buf *out)
{
    char *copy = mem_strndup((const char *)data, size);
    struct ws_reader r = {0};

    for (size_t at = 0; at < size; at += piece) {
        struct ws_input in = {copy + at, size - at < piece ? size - at : piece};
        struct ws_event e;
        int rc;
        while ((rc = ws_reader_next(&r, &in, MAX, &e)) != 0) {
            buf_i64(out, rc);
            if (rc < 0) {
                must(!r.only_close);
                r.only_close = true;
                continue;
            }
            check(&r, &e);
            buf_byte(out, (unsigned char)e.type);
            buf_slice(out, e.payload);
        }
        must(in.n == 0);
    }
    must(r.message.n <= MAX && r.control.n <= WS_CONTROL_MAX);
    ws_reader_done(&r);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = BUF_INIT, cut = BUF_INIT;

    if (size < 2)
        return 0;
    run(data + 1, size - 1, size - 1, &whole);
    run(data + 1, size - 1, data[0] ? data[0] : 1, &cut);
    must(slice_eq(buf_as_slice(&whole), buf_as_slice(&cut)));
    buf_done(&whole);
    buf_done(&cut);
    return 0;
}
