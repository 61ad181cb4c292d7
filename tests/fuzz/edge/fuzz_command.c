/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_command.c: a client's messages, split at zero bytes, into a whole session over a fake feed.
 * It must neither crash nor leak, and what comes out must be JSON. @thread main
 */
#include "common/runtime/json.h"

#include "tests/fuzz/fuzz.h"
#include "tests/unit/edge/fake_conn.h"

static void check_output(struct fake_conn *c)
{
    struct slice text = buf_as_slice(&c->text);
    struct json_error err;
    struct json *j;

    while ((j = json_take(&text, &err))) {
        must(json_kind(j) == JSON_T_OBJECT);
        json_free(j);
    }
    must(err.text[0] == '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fake x;
    static struct fake_conn c;
    struct slice rest = {(const char *)data, size};

    fake_init(&x, 100);
    fake_write(&x, "a", 10, true);
    fake_open(&x, &c);
    fake_say(&x, &c, "{\"id\":1,\"connect\":{}}");
    while (!c.close_code && rest.n) {
        const char *zero = memchr(rest.p, 0, rest.n);
        struct slice text = {rest.p, zero ? (size_t)(zero - rest.p) : rest.n};
        size_t step = text.n + (zero ? 1 : 0);
        if (text.n)
            session_on_message(c.s, text);
        fake_settle(&x);
        rest.p += step;
        rest.n -= step;
    }
    fake_pass(&x, 2200);
    check_output(&c);
    fake_close(&c);
    fake_done(&x);
    return 0;
}
