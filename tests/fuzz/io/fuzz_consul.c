/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_consul.c: what Consul answers about a service or a key, which whoever may write there has a
 * hand in.
 */
#include "common/io/coord_consul.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct coord_member self = {.node = "a"};
    struct consul_seen seen;
    struct consul_entry entry;
    const struct coord_member *m;

    if (consul_entry((struct slice){(const char *)data, size}, &entry) == 0) {
        must(entry.value.n <= size && strlen(entry.session) < sizeof(entry.session));
        consul_entry_done(&entry);
    }
    if (consul_members((struct slice){(const char *)data, size}, COORD_EDGE, &self, &seen) == 0) {
        for (size_t i = 0; i < seen.live.n; i++) {
            m = &seen.live.v[i];
            must(m->node[0] && strcmp(m->node, "a") != 0 && strlen(m->url) <= CONSUL_VALUE_MAX);
            must(m->load.clients >= 0 && m->load.cpu_permille >= 0);
        }
        coord_list_sort(&seen.live);
        coord_list_done(&seen.live);
    }
    return 0;
}
