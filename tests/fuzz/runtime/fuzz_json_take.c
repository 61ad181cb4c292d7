/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_json_take.c: values in a row, and one alone: takes end, move forward, and what was taken
 * prints to text that parses to the same. A failure always has a text. @thread main
 */
#include <stdlib.h>

#include "common/runtime/json.h"

#include "tests/fuzz/fuzz.h"

static void check(const struct json *j)
{
    char *text = json_print(j), *again;
    struct json_error err;
    struct json *copy;

    must(text != NULL);
    copy = json_parse(slice_of(text), &err);
    must(copy != NULL);
    again = json_print(copy);
    must(again && strcmp(text, again) == 0);
    json_free(copy);
    free(text);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data, size};
    struct json_error err;
    struct json *whole = json_parse(text, &err), *j;
    size_t taken = 0;

    must(whole || err.text[0]);
    for (;;) {
        size_t before = text.n;

        j = json_take(&text, &err);
        if (!j)
            break;
        must(text.n < before && text.p + text.n == (const char *)data + size);
        check(j);
        json_free(j);
        taken++;
    }
    must(err.text[0] || text.n == 0);
    must(!whole || (taken == 1 && text.n == 0)); /* what is valid alone is taken as one */
    json_free(whole);
    return 0;
}
