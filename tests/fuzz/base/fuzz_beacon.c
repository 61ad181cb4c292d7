/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_beacon.c: what beacon_parse accepts is exactly what beacon_field and beacon_print write, or
 * what older ones wrote, without the age.
 * Input: the field's name, a line break, the value. @thread main
 */
#include <errno.h>

#include "common/base/keys.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data, *at = size ? memchr(p, '\n', size) : NULL;
    struct slice field = {p, at ? (size_t)(at - p) : size};
    struct slice value = {at ? at + 1 : p, at ? size - field.n - 1 : 0};
    char text[KEY_MAX], row_text[256];
    struct beacon_row row;
    struct slice printed;
    int r = beacon_parse(field, value, &row);

    must(r == 0 || r == -ENOENT || r == -EBADMSG);
    if (r < 0)
        return 0;
    must(log_id_is_valid(slice_of(row.log)));
    must(slice_eq((struct slice){text, beacon_field(text, row.log, row.partition)}, field));
    printed = (struct slice){row_text, beacon_print(row_text, &row)};
    if (row.age_ms == BEACON_AGE_UNKNOWN && value.n < printed.n)
        printed.n = (size_t)(strrchr(row_text, ' ') - row_text);
    must(slice_eq(printed, value));
    return 0;
}
