/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_utf8.c: utf8_is_valid beside a decoder that goes by the definition, bit by bit; and JSON
 * strings made of what is valid are valid JSON. @thread main
 */
#include "common/base/buf.h"
#include "common/base/jsoncheck.h"
#include "common/base/utf8.h"

#include "tests/fuzz/fuzz.h"

/* Bytes of the character at p by its number of leading ones, 0 if it isn't a scalar value in its
 * shortest form. */
static size_t decode(const uint8_t *p, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = 0;
    uint32_t c;

    while (len < 5 && *p & 0x80 >> len)
        len++;
    if (len == 0)
        return 1;
    if (len == 1 || len > 4 || len > n)
        return 0;
    c = *p & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if (p[i] >> 6 != 2)
            return 0;
        c = c << 6 | (p[i] & 63);
    }
    return c < least[len] || c > 0x10ffff || (c >> 11) == 0x1b ? 0 : len;
}

static bool is_valid(const uint8_t *p, size_t n)
{
    while (n > 0) {
        size_t len = decode(p, n);

        if (len == 0)
            return false;
        p += len;
        n -= len;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice s = {(const char *)data, size};
    bool valid = utf8_is_valid(s);
    struct buf b = BUF_INIT;

    must(valid == is_valid(data, size));
    must(!utf8_is_name(s) || (valid && size >= 1 && size <= NAME_MAX_BYTES));
    if (valid) {
        buf_json_string(&b, s);
        must(jsoncheck(buf_as_slice(&b)) == JSONCHECK_OK);
        buf_done(&b);
    }
    return 0;
}
