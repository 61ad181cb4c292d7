/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry.h: one record as it stands in a region stream (schemas/region-stream.md draws it).
 *
 * The stream entry's id is `1-<position>`; its one field `d` is:
 *
 *   byte 0      version, ENTRY_VERSION
 *   byte 1      bits 0-2 kind (enum entry_kind), bit 3 ENTRY_MARKER, others 0
 *   varint      position - prev: distance to the position this entry continues from, >= 1
 *   4 bytes     fingerprint, little endian: crc32c(key, value, timestamp), see entry_fingerprint()
 *   varint      record time, ms since 1970 (0 if the record has none)
 *   varint n    channel: n bytes, 1..255, valid UTF-8
 *   varint c    tags: c times (varint, name bytes, varint, value bytes); valid UTF-8
 *   rest        payload
 *
 * Decoding borrows from the input. Everything is checked: a decoded entry can be trusted, apart
 * from the payload of ENTRY_JSON, which the worker checked. @thread any
 */
#pragma once

#include "common/base/base.h"
#include "common/base/buf.h"

#define ENTRY_VERSION  1
#define ENTRY_TAGS_MAX 16 /* tags of one entry */

enum entry_kind {
    ENTRY_JSON,   /* strict JSON without line breaks: embedded as it is */
    ENTRY_TEXT,   /* valid UTF-8: sent as a JSON string */
    ENTRY_BINARY, /* anything: sent as a base64 JSON string */
    ENTRY_NULL,   /* no payload (a tombstone, or a marker): sent as null */
};

#define ENTRY_MARKER 0x08 /* stands for a record that could not be carried; its tags say why */

struct entry {
    uint64_t pos;  /* Kafka offset + 1; from the entry's id, not in the field */
    uint64_t prev; /* < pos: the reader missed nothing if it was at >= prev */
    int64_t time_ms;
    uint32_t fingerprint;
    uint8_t kind; /* enum entry_kind */
    bool marker;
    uint8_t tag_count;
    struct slice channel;
    struct slice tags; /* the encoded pairs; entry_tag_next() */
    struct slice payload;
};

/* crc32c over the raw record before any transformation: key bytes, value bytes (none for a
 * tombstone), timestamp as 8 bytes little endian, in this order. */
uint32_t entry_fingerprint(struct slice key, struct slice value, int64_t time_ms);

/* Appends one pair to a tag block under construction (entry.tags). */
void entry_tag_add(struct buf *tags, struct slice name, struct slice value);
/* Takes the next pair off *it (start with entry.tags); false at the end. */
bool entry_tag_next(struct slice *it, struct slice *ret_name, struct slice *ret_value);

/* Appends the field `d` to out. e must satisfy the drawing (must() otherwise). */
void entry_encode(struct buf *out, const struct entry *e);
/* 0, -EPROTONOSUPPORT (another version) or -EBADMSG. *ret borrows from field. */
int entry_decode(struct slice field, uint64_t pos, struct entry *ret) _must_check_;

/* Positions as stream ids. Text is "1-<pos>"; buffer of ENTRY_ID_MAX bytes; returns its length. */
#define ENTRY_ID_MAX 24
size_t entry_id_print(char *dst, uint64_t pos);
/* 0, or -EBADMSG for anything that is not "1-<1..2^63-1>". */
int entry_id_parse(struct slice id, uint64_t *ret_pos) _must_check_;
