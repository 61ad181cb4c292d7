/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sub_latest.c: a resume in a namespace with history latest: the channel's newest record, if it is
 * behind the cursor. Where it looks, in this order: the links of the edge's own tail; what the
 * region's stream has, forwards; what the region lacks, by way of Kafka. Each stretch is read as
 * other resumes read it, in the same pages, so it costs no more than they do.
 *
 * The newest so far is kept encoded, for the reply; memory is one record. @thread shard
 */
#include <errno.h>
#include <stdlib.h>

#include "edge-node/sub.h"

struct finding {
    uint64_t begin; /* up to here there is nothing but `found`: the index says so, or it was seen */
    uint64_t pos;   /* looked at up to here, but for the hole */
    uint64_t found; /* position of the record in sub->pull->first; 0: none */
    uint64_t hole;  /* what the region lacks ends here; 0: it lacks nothing */
    uint64_t upto;  /* deep: as far as the region was looked at */
    uint64_t lost;  /* what nobody has any more ends here */
    bool deep;      /* on the way through the hole */
};

static void take_last(struct sub *sub, struct finding *f, const struct records *r)
{
    const struct plog_rec *rec = r->n ? records_at(r, r->n - 1) : NULL;

    if (!rec || rec->pos <= sub->pull->asked || rec->pos <= f->found)
        return;
    buf_clear(&sub->pull->first);
    sub->s->proto->pub(&sub->pull->first, rec, false);
    sub->s->h->pulled += sub->pull->first.n;
    f->found = rec->pos;
}

static uint64_t before_hole(const struct finding *f)
{
    return f->found > f->begin ? f->found : f->begin;
}

/* Up to `end`; 0: looked through. */
static int look(struct sub *sub, struct finding *f, uint64_t end)
{
    struct records r;

    while (f->pos < end) {
        int rc = hub_older(&sub->pull->w, f->pos, f->deep ? 0 : PLOG_WANT_REGION, &r);
        if (rc)
            return rc;
        if (f->pos < r.from && f->deep)
            f->lost = r.from;
        else if (f->pos < r.from)
            f->hole = r.from;
        take_last(sub, f, &r);
        if (f->pos < r.upto)
            f->pos = r.upto;
    }
    return 0;
}

/* The region; then, if a newer one may be in its hole, the hole, and what came meanwhile, which may
 * have a hole, too. */
static int look_everywhere(struct sub *sub, struct finding *f)
{
    const struct tail *t = sub->ch->tail;
    struct records r;
    int rc;

    if (hub_newest(sub->ch, sub->pull->asked, &r)) {
        take_last(sub, f, &r);
        f->pos = t->cursor;
        f->lost = 0;
        return 0;
    }
    if (!sub->pull->looked) {
        if (!hub_quiet(&sub->pull->w, &f->pos, &sub->pull->looked))
            return -EAGAIN;
        f->begin = f->pos;
    }
    for (;;) {
        if (!f->deep) {
            rc = look(sub, f, t->cursor);
            if (rc || f->found >= f->hole)
                return rc;
            f->upto = f->pos;
            f->pos = before_hole(f);
            f->deep = true;
        }
        rc = look(sub, f, f->hole);
        if (rc)
            return rc;
        f->deep = false;
        f->hole = 0;
        if (f->pos < f->upto)
            f->pos = f->upto;
        f->begin = f->pos;
    }
}

static void end(struct sub *sub)
{
    free(sub->pull->find);
    sub->pull->find = NULL;
}

/* In what its client is sent now; else it is pushed: many channels may resume in one frame. */
static bool has_room(const struct sub *sub)
{
    const struct session *s = sub->s;

    return s->first_bytes + s->out.n < (size_t)s->h->conf->write_max;
}

int sub_find_latest(struct sub *sub)
{
    struct finding *f = sub->pull->find;
    int rc;

    if (!f) {
        f = sub->pull->find = mem_zalloc(sizeof(*f));
        f->pos = f->begin = sub->pull->asked;
    }
    rc = look_everywhere(sub, f);
    if (rc)
        return rc;
    rc = f->lost > f->found ? -ENOENT : f->found != 0;
    sub->pull->pos = f->pos;
    if (f->found && !has_room(sub)) {
        buf_done(&sub->pull->first);
        sub->pull->pos = f->found - 1;
    }
    end(sub);
    return rc;
}

void sub_stop_finding(struct sub *sub)
{
    const struct finding *f = sub->pull->find;

    if (!f)
        return;
    sub->pull->pos = f->deep || f->found >= f->hole ? f->pos : before_hole(f);
    end(sub);
}
