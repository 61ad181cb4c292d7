/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_kube.c: what the API server answers about slices, which whoever may write those has a hand
 * in: a list, and behind the first empty line the events of a watch.
 */
#include "common/io/coord_kube.h"

#include "tests/fuzz/fuzz.h"

static const struct coord_member self = {.node = "a",
                                         .region = "eu",
                                         .url = "ws://10.0.0.1:8000",
                                         .role = COORD_EDGE};

static void check(const struct kube_slices *s)
{
    struct coord_list all = {NULL, 0, 0};

    kube_slices_all(s, &all);
    must(all.n <= s->edges && s->edges <= COORD_MEMBERS_MAX);
    for (size_t i = 0; i < all.n; i++)
        must(all.v[i].node[0] && strcmp(all.v[i].node, "a") != 0 && all.v[i].is_untold &&
             (!all.v[i].url[0] || !strncmp(all.v[i].url, "ws://", 5)));
    coord_list_done(&all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice all = {(const char *)data, size}, list = all, line;
    const char *blank = size ? memmem(all.p, all.n, "\n\n", 2) : NULL, *end;
    struct kube_slices s = {.v = NULL};
    char said[KUBE_SAID_MAX];

    if (blank)
        list.n = (size_t)(blank - all.p);
    if (kube_list(list, &self, &s) == 0)
        check(&s);
    all.n -= blank ? list.n + 2 : all.n;
    all.p += size - all.n;
    while (all.n) {
        end = memchr(all.p, '\n', all.n);
        line = (struct slice){all.p, end ? (size_t)(end - all.p) : all.n};
        (void)kube_event(line, &self, &s, said);
        all.n -= line.n + (end ? 1 : 0);
        all.p += line.n + (end ? 1 : 0);
    }
    check(&s);
    kube_said((struct slice){(const char *)data, size}, said);
    kube_slices_done(&s);
    return 0;
}
