/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_entry.c: what entry_decode accepts is within the drawing, and is the same after it was
 * encoded and decoded again. Input: 8 bytes of position, little end first; the field. @thread main
 */
#include "common/base/entry.h"
#include "common/base/utf8.h"

#include "tests/fuzz/fuzz.h"

#define POS_BYTES 8

static void check_tags(const struct entry *e)
{
    struct slice it = e->tags, name, value;
    unsigned n = 0;

    for (; entry_tag_next(&it, &name, &value); n++)
        must(utf8_is_valid(name) && utf8_is_valid(value));
    must(n == e->tag_count && n <= ENTRY_TAGS_MAX && it.n == 0);
}

static void check(const struct entry *e)
{
    must(e->pos >= 1 && e->pos <= INT64_MAX && e->prev < e->pos && e->time_ms >= 0);
    must(utf8_is_name(e->channel));
    must(e->kind != ENTRY_TEXT || utf8_is_valid(e->payload));
    must(e->kind != ENTRY_NULL || e->payload.n == 0);
    must(!e->marker || e->kind == ENTRY_NULL);
    check_tags(e);
}

static void check_round_trip(const struct entry *e)
{
    struct buf out = BUF_INIT;
    struct entry again;

    entry_encode(&out, e);
    must(entry_decode(buf_as_slice(&out), e->pos, &again) == 0);
    must(again.prev == e->prev && again.time_ms == e->time_ms && again.kind == e->kind);
    must(again.fingerprint == e->fingerprint && again.marker == e->marker);
    must(again.tag_count == e->tag_count && slice_eq(again.tags, e->tags));
    must(slice_eq(again.channel, e->channel) && slice_eq(again.payload, e->payload));
    buf_done(&out);
}

static void check_id(struct slice id)
{
    char text[ENTRY_ID_MAX];
    uint64_t pos;

    if (entry_id_parse(id, &pos) == 0)
        must(slice_eq((struct slice){text, entry_id_print(text, pos)}, id));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct entry e;
    uint64_t pos = 0;

    check_id((struct slice){(const char *)data, size});
    if (size < POS_BYTES)
        return 0;
    for (int i = 0; i < POS_BYTES; i++)
        pos |= (uint64_t)data[i] << (8 * i);
    if (entry_decode((struct slice){(const char *)data + POS_BYTES, size - POS_BYTES}, pos, &e) ==
        0) {
        check(&e);
        check_round_trip(&e);
    }
    return 0;
}
