/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_json.c: the protocol in JSON: a frame is 1..n objects joined by line breaks, both ways.
 *
 * proto_json_read.c reads; here messages are written. @thread any
 */

#include "edge-node/proto_json.h"

static void separate(struct buf *out)
{
    if (out->n)
        buf_byte(out, '\n');
}

static void comma(struct buf *out)
{
    if (out->n && out->p[out->n - 1] != '{' && out->p[out->n - 1] != '[')
        buf_byte(out, ',');
}

static void reply_head(struct buf *out, uint32_t id)
{
    separate(out);
    buf_lit(out, "{\"id\":");
    buf_u64(out, id);
    buf_byte(out, ',');
}

static void gap(struct buf *out, const struct proto_gap *g)
{
    if (!g->to)
        return;
    comma(out);
    buf_printf(out, "\"gap\":{\"from\":%llu,\"to\":%llu}", (unsigned long long)g->from,
               (unsigned long long)g->to);
}

/* skipped: also as a tag, which is what an SDK hands on to its application. */
static void tags(struct buf *out, const struct plog_rec *r, const struct proto_gap *skipped)
{
    struct slice it = plog_rec_tags(r), name, value;

    buf_lit(out, ",\"tags\":{");
    while (entry_tag_next(&it, &name, &value)) {
        comma(out);
        buf_json_string(out, name);
        buf_byte(out, ':');
        buf_json_string(out, value);
    }
    if (skipped->to) {
        comma(out);
        buf_printf(out, "\"fanfare-gap\":\"%llu-%llu\"", (unsigned long long)skipped->from,
                   (unsigned long long)skipped->to);
    }
    buf_byte(out, '}');
}

static void pub_object(struct buf *out, const struct plog_rec *r, bool bare,
                       const struct proto_gap *skipped)
{
    buf_lit(out, "{\"data\":");
    switch ((enum entry_kind)r->kind) {
    case ENTRY_JSON:
        buf_slice(out, plog_rec_payload(r));
        break;
    case ENTRY_TEXT:
        buf_json_string(out, plog_rec_payload(r));
        break;
    case ENTRY_BINARY:
        buf_byte(out, '"');
        buf_base64(out, plog_rec_payload(r));
        buf_byte(out, '"');
        break;
    case ENTRY_NULL:
        buf_lit(out, "null");
        break;
    }
    if (!bare) {
        buf_lit(out, ",\"offset\":");
        buf_u64(out, r->pos);
    }
    gap(out, skipped);
    if (r->tag_count || skipped->to)
        tags(out, r, skipped);
    buf_byte(out, '}');
}

static void pub(struct buf *pubs, const struct plog_rec *r, bool bare)
{
    if (pubs->n)
        buf_byte(pubs, ',');
    pub_object(pubs, r, bare, &proto_no_gap);
}

static void subscribe_body(struct buf *out, const struct proto_subscribe *r)
{
    buf_byte(out, '{');
    if (r->recoverable)
        buf_lit(out, "\"recoverable\":true,\"positioned\":true");
    if (r->epoch.n) {
        comma(out);
        buf_lit(out, "\"epoch\":");
        buf_json_string(out, r->epoch);
    }
    if (r->offset) {
        comma(out);
        buf_lit(out, "\"offset\":");
        buf_u64(out, r->offset);
    }
    if (r->was_recovering) {
        comma(out);
        buf_lit(out, "\"was_recovering\":true");
    }
    if (r->recovered) {
        comma(out);
        buf_lit(out, "\"recovered\":true");
    }
    gap(out, &r->gap);
    if (r->ttl_s >= 0) {
        comma(out);
        buf_printf(out, "\"expires\":true,\"ttl\":%lld", (long long)r->ttl_s);
    }
    if (r->pubs.n) {
        comma(out);
        buf_lit(out, "\"publications\":[");
        buf_slice(out, r->pubs);
        buf_byte(out, ']');
    }
    buf_byte(out, '}');
}

static void sub_result(struct buf *subs, struct slice channel, const struct proto_subscribe *r)
{
    if (subs->n)
        buf_byte(subs, ',');
    buf_json_string(subs, channel);
    buf_byte(subs, ':');
    subscribe_body(subs, r);
}

static void error(struct buf *out, uint32_t id, int code, const char *text)
{
    reply_head(out, id);
    buf_printf(out, "\"error\":{\"code\":%d,\"message\":\"%s\"%s}}", code,
               text ? text : proto_error_text(code),
               proto_error_is_temporary(code) ? ",\"temporary\":true" : "");
}

static void connect(struct buf *out, uint32_t id, const struct proto_connect *r)
{
    reply_head(out, id);
    buf_lit(out, "\"connect\":{\"client\":");
    buf_json_string(out, slice_of(r->client));
    buf_lit(out, ",\"version\":\"fanfare " FANFARE_VERSION "\"");
    if (r->ttl_s >= 0)
        buf_printf(out, ",\"expires\":true,\"ttl\":%lld", (long long)r->ttl_s);
    if (r->data.n) {
        buf_lit(out, ",\"data\":");
        buf_slice(out, r->data);
    }
    if (r->subs.n) {
        buf_lit(out, ",\"subs\":{");
        buf_slice(out, r->subs);
        buf_byte(out, '}');
    }
    if (r->ping_s)
        buf_printf(out, ",\"ping\":%lld,\"pong\":true", (long long)r->ping_s);
    buf_lit(out, ",\"node\":");
    buf_json_string(out, slice_of(r->node));
    buf_lit(out, "}}");
}

static void subscribe(struct buf *out, uint32_t id, const struct proto_subscribe *r)
{
    reply_head(out, id);
    buf_lit(out, "\"subscribe\":");
    subscribe_body(out, r);
    buf_byte(out, '}');
}

static void unsubscribe(struct buf *out, uint32_t id)
{
    reply_head(out, id);
    buf_lit(out, "\"unsubscribe\":{}}");
}

static void history(struct buf *out, uint32_t id, struct slice epoch, uint64_t offset,
                    struct slice pubs)
{
    reply_head(out, id);
    buf_lit(out, "\"history\":{\"publications\":[");
    buf_slice(out, pubs);
    buf_lit(out, "],\"epoch\":");
    buf_json_string(out, epoch);
    buf_lit(out, ",\"offset\":");
    buf_u64(out, offset);
    buf_lit(out, "}}");
}

static void refresh(struct buf *out, uint32_t id, bool of_sub, const char *client, int64_t ttl_s)
{
    reply_head(out, id);
    if (of_sub) {
        buf_lit(out, "\"sub_refresh\":{");
    } else {
        buf_lit(out, "\"refresh\":{\"client\":");
        buf_json_string(out, slice_of(client));
        buf_lit(out, ",\"version\":\"fanfare " FANFARE_VERSION "\"");
    }
    if (ttl_s >= 0) {
        comma(out);
        buf_printf(out, "\"expires\":true,\"ttl\":%lld", (long long)ttl_s);
    }
    buf_lit(out, "}}");
}

static void pong(struct buf *out, uint32_t id)
{
    reply_head(out, id);
    buf_lit(out, "\"ping\":{}}");
}

static void push_head(struct buf *out, struct slice channel)
{
    separate(out);
    buf_lit(out, "{\"push\":{\"channel\":");
    buf_json_string(out, channel);
}

static void push_pub(struct buf *out, struct slice channel, const struct plog_rec *r, bool bare)
{
    push_head(out, channel);
    buf_lit(out, ",\"pub\":");
    pub_object(out, r, bare, &proto_no_gap);
    buf_lit(out, "}}");
}

static void push_latest(struct buf *out, struct slice channel, const struct plog_rec *r,
                        const struct proto_gap *skipped)
{
    push_head(out, channel);
    buf_lit(out, ",\"pub\":");
    pub_object(out, r, false, skipped);
    buf_lit(out, "}}");
}

static void push_unsubscribe(struct buf *out, struct slice channel, int code,
                             const struct proto_gap *missing)
{
    push_head(out, channel);
    buf_printf(out, ",\"unsubscribe\":{\"code\":%d,\"reason\":\"%s\"", code,
               proto_close_text(code));
    gap(out, missing);
    buf_lit(out, "}}}");
}

static void push_gap(struct buf *out, struct slice channel, const struct proto_gap *missing)
{
    push_head(out, channel);
    gap(out, missing);
    buf_lit(out, "}}");
}

static void ping(struct buf *out)
{
    separate(out);
    buf_lit(out, "{}");
}

const struct proto proto_json = {
    .take = proto_json_take,
    .command_done = proto_json_command_done,
    .connect_sub = proto_json_connect_sub,
    .pub = pub,
    .sub_result = sub_result,
    .error = error,
    .connect = connect,
    .subscribe = subscribe,
    .unsubscribe = unsubscribe,
    .history = history,
    .refresh = refresh,
    .pong = pong,
    .push_pub = push_pub,
    .push_latest = push_latest,
    .push_unsubscribe = push_unsubscribe,
    .push_gap = push_gap,
    .ping = ping,
};
