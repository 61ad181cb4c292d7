/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_answer.c: what backends share: long answers read in bounded memory. Pure.
 */
#include <errno.h>

#include "common/io/coord_impl.h"
#include "common/runtime/json.h"

/* Is that the next byte, but for blanks? Then it is taken. */
static bool take(struct slice *rest, char byte)
{
    while (rest->n && rest->p[0] && strchr(" \t\r\n", rest->p[0])) {
        rest->p++;
        rest->n--;
    }
    if (!rest->n || rest->p[0] != byte)
        return false;
    rest->p++;
    rest->n--;
    return true;
}

/* Entries are parsed one at a time: a tree takes up to a hundred times as much as its text. */
static struct json *take_entry(struct slice *rest, size_t most)
{
    struct slice some = {rest->p, rest->n < most ? rest->n : most};
    struct json_error err;
    struct json *entry = json_take(&some, &err);

    rest->n -= (size_t)(some.p - rest->p);
    rest->p = some.p;
    return entry;
}

int coord_entries(struct slice *rest, size_t entry_max, size_t most, coord_entry_fn *each,
                  void *arg)
{
    if (!take(rest, '['))
        return -EINVAL;
    if (take(rest, ']'))
        return 0;
    do {
        struct json *entry = most-- > 0 ? take_entry(rest, entry_max) : NULL;
        bool good = entry && each(entry, arg);

        json_free(entry);
        if (!good)
            return -EINVAL;
    } while (take(rest, ','));
    return take(rest, ']') ? 0 : -EINVAL;
}
