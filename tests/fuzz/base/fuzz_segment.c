/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_segment.c: whatever segment_open and segment_next accept ascends within (from, upto] and is
 * chained without a break. Input: the value of a segment's key. @thread main
 */
#include <errno.h>

#include "common/base/segment.h"

#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct segment s;
    struct entry e;
    uint64_t last, chain;
    int rc;

    if (segment_open((struct slice){(const char *)data, size}, &s) < 0)
        return 0;
    must(s.from <= s.upto && s.upto <= INT64_MAX && s.low >= 1);
    last = s.from;
    chain = s.chain;
    while ((rc = segment_next(&s, &e)) == 0) {
        must(e.pos > last && e.pos <= s.upto && e.prev == chain);
        last = chain = e.pos;
    }
    must(rc == -ENOENT || rc == -EBADMSG);
    return 0;
}
