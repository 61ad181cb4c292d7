/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs.c: table of log incarnations, see logs.h. A few rows a topic, so it is searched linearly.
 *
 * Pure. @thread boot, then history
 */
#include "fanout-worker/logs.h"

#include <errno.h>
#include <stdlib.h>

#include "common/runtime/json.h"

void logs_done(struct logs *ls)
{
    free(ls->v);
    *ls = (struct logs){NULL, 0, 0};
}

const struct log_record *logs_get(const struct logs *ls, const char *topic, uint32_t n)
{
    for (size_t i = 0; i < ls->count; i++) {
        if (ls->v[i].n == n && strcmp(ls->v[i].topic, topic) == 0)
            return &ls->v[i];
    }
    return NULL;
}

bool logs_add(struct logs *ls, const struct log_record *rec)
{
    if (logs_get(ls, rec->topic, rec->n))
        return false;
    if (ls->count == ls->cap) {
        ls->cap = ls->cap ? ls->cap * 2 : 16;
        ls->v = mem_realloc(ls->v, ls->cap * sizeof(*ls->v));
    }
    ls->v[ls->count++] = *rec;
    return true;
}

const struct log_record *logs_newest(const struct logs *ls, const char *topic)
{
    const struct log_record *best = NULL;

    for (size_t i = 0; i < ls->count; i++) {
        if (strcmp(ls->v[i].topic, topic) == 0 && (!best || ls->v[i].n > best->n))
            best = &ls->v[i];
    }
    return best;
}

size_t logs_earlier(const struct logs *ls, const char *topic, uint32_t n,
                    int32_t ret[LOGS_EARLIER_MAX])
{
    const struct log_record *now = logs_get(ls, topic, n);
    size_t count = 0;

    for (uint32_t k = n; now && k > 1 && count < LOGS_EARLIER_MAX; k--) {
        const struct log_record *was = logs_get(ls, topic, k - 1);

        if (was && was->partitions < now->partitions)
            ret[count++] = was->partitions;
    }
    return count;
}

void logs_print(struct buf *out, const struct log_record *rec)
{
    buf_lit(out, "{\"topic\":");
    buf_json_string(out, slice_of(rec->topic));
    buf_lit(out, ",\"n\":");
    buf_u64(out, rec->n);
    buf_lit(out, ",\"log\":");
    buf_json_string(out, slice_of(rec->log));
    buf_lit(out, ",\"partitions\":");
    buf_i64(out, rec->partitions);
    if (rec->cluster[0]) {
        buf_lit(out, ",\"cluster\":");
        buf_json_string(out, slice_of(rec->cluster));
    }
    buf_byte(out, '}');
}

static int take_text(const struct json *j, char *dst, size_t cap)
{
    struct slice s;

    if (!json_text(j, &s) || s.n >= cap || memchr(s.p, 0, s.n))
        return -EBADMSG;
    memcpy(dst, s.p, s.n);
    dst[s.n] = '\0';
    return 0;
}

static int parse_fields(const struct json *j, struct log_record *rec)
{
    int64_t n, partitions;

    if (take_text(json_get(j, "topic"), rec->topic, sizeof(rec->topic)) < 0 || !rec->topic[0])
        return -EBADMSG;
    if (take_text(json_get(j, "log"), rec->log, sizeof(rec->log)) < 0)
        return -EBADMSG;
    if (!log_id_is_valid(slice_of(rec->log)))
        return -EBADMSG;
    if (!json_i64(json_get(j, "n"), &n) || n < 1 || n > INT32_MAX)
        return -EBADMSG;
    if (!json_i64(json_get(j, "partitions"), &partitions) || partitions < 1 ||
        partitions > INT32_MAX)
        return -EBADMSG;
    if (json_get(j, "cluster") &&
        take_text(json_get(j, "cluster"), rec->cluster, sizeof(rec->cluster)) < 0)
        return -EBADMSG;
    rec->n = (uint32_t)n;
    rec->partitions = (int32_t)partitions;
    return 0;
}

int logs_parse(struct slice text, struct log_record *ret)
{
    struct log_record rec = {.n = 0};
    struct json_error err;
    struct json *j = json_parse(text, &err);
    int rc;

    if (!j)
        return -EBADMSG;
    rc = parse_fields(j, &rec);
    json_free(j);
    if (rc == 0)
        *ret = rec;
    return rc;
}

enum logs_fit logs_fits(const struct log_record *rec, int32_t partitions, const char *cluster)
{
    if (rec->cluster[0] && cluster[0] && strcmp(rec->cluster, cluster) != 0)
        return LOGS_GROWN;
    if (partitions > rec->partitions)
        return LOGS_GROWN;
    return partitions < rec->partitions ? LOGS_SMALLER : LOGS_FIT;
}
