/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_consul_entry.c: a key of Consul's as it is answered. Pure. Others may write there: it is
 * bounded by the answer's bytes, and a tree takes up to a hundred times as much as its text.
 */
#include <errno.h>

#include "common/io/coord_consul.h"
#include "common/runtime/json.h"

#define ENTRY_MAX MIB(1) /* Consul's values have 512 KiB at most, as text a third more */

static int base64_digit(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Standard base64 with its padding. */
static int add_base64(struct buf *out, struct slice s)
{
    uint32_t bits = 0;
    int have = 0;

    if (s.n % 4)
        return -EBADMSG;
    for (int pad = 0; pad < 2 && s.n && s.p[s.n - 1] == '='; pad++)
        s.n--;
    for (size_t i = 0; i < s.n; i++) {
        int digit = base64_digit(s.p[i]);

        if (digit < 0)
            return -EBADMSG;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have >= 8) {
            have -= 8;
            buf_byte(out, (unsigned char)(bits >> have));
        }
    }
    return 0;
}

int consul_entry(struct slice body, struct consul_entry *ret)
{
    struct consul_entry e = {.value = BUF_INIT};
    struct json_error err;
    struct json *tree = body.n <= ENTRY_MAX ? json_parse(body, &err) : NULL;
    const struct json *j = json_at(tree, 0), *value = json_get(j, "Value");
    struct slice text = SLICE(""), session = SLICE("");
    int rc = json_u64(json_get(j, "ModifyIndex"), &e.index) ? 0 : -EBADMSG;

    if (value && !json_text(value, &text) && json_kind(value) != JSON_T_NULL)
        rc = -EBADMSG;
    (void)json_text(json_get(j, "Session"), &session);
    if (!rc && session.n < sizeof(e.session))
        memcpy(e.session, session.p, session.n);
    else
        rc = -EBADMSG;
    if (!rc)
        rc = add_base64(&e.value, text);
    json_free(tree);
    if (rc)
        consul_entry_done(&e);
    else
        *ret = e;
    return rc;
}

void consul_entry_done(struct consul_entry *e)
{
    buf_done(&e->value);
}
