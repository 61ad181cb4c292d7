/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis_reply.c: what hiredis' reader calls while it parses: trees in an arena, or entries at once.
 *
 * hiredis takes a NULL object for "out of memory", so every function returns some static or arena
 * pointer unless the reply is over its bounds. Nothing is freed object by object.
 *
 * Entries: the object of an array is a pointer into `levels`, so a child knows from its parent's
 * object where in the reply it stands; no stack of ours. @thread of the connection's loop
 */
#include <errno.h>
#include <stdlib.h>

#include "common/base/entry.h"
#include "common/io/redis_impl.h"

#define ARENA_BLOCK KIB(16)

#if HIREDIS_MAJOR >= 1
#    define REPLY_COUNT size_t
#else
#    define REPLY_COUNT int
#endif

struct arena_block {
    struct arena_block *next;
    size_t used, cap;
    _Alignas(16) char data[];
};

/* NULL when the tree would be over REDIS_TREE_MAX. */
static void *arena_alloc(struct reply_arena *a, size_t n)
{
    struct arena_block *b = a->first;
    void *p;

    n = (n + 15) & ~(size_t)15;
    if (n > REDIS_TREE_MAX - a->total)
        return NULL;
    if (!b || b->cap - b->used < n) {
        size_t cap = n > ARENA_BLOCK ? n : ARENA_BLOCK;

        b = mem_alloc(sizeof(*b) + cap);
        b->next = a->first;
        b->used = 0;
        b->cap = cap;
        a->first = b;
    }
    p = b->data + b->used;
    b->used += n;
    a->total += n;
    return p;
}

static void arena_free_to(struct reply_arena *a, const struct arena_block *last)
{
    while (a->first && a->first != last) {
        struct arena_block *b = a->first;

        a->first = b->next;
        free(b);
    }
    a->total = 0;
}

void arena_reset(struct reply_arena *a)
{
    struct arena_block *keep = a->first;

    while (keep && keep->next)
        keep = keep->next;
    if (keep && keep->cap > ARENA_BLOCK)
        keep = NULL;
    arena_free_to(a, keep);
    if (keep)
        keep->used = 0;
}

void arena_done(struct reply_arena *a)
{
    arena_free_to(a, NULL);
}

/* Where the object of this task is kept: a slot of its array, or the root. */
static struct redis_reply *tree_slot(const redisReadTask *task, enum redis_type type)
{
    struct redis_conn *c = task->privdata;
    struct redis_reply *r;

    if (task->parent) {
        struct redis_reply *parent = task->parent->obj;

        r = &parent->elements[task->idx];
    } else {
        r = c->root = arena_alloc(&c->arena, sizeof(*r));
        if (!r)
            return NULL;
    }
    *r = (struct redis_reply){.type = type};
    return r;
}

static void *tree_string(const redisReadTask *task, char *str, size_t n)
{
    struct redis_conn *c = task->privdata;
    struct redis_reply *r = tree_slot(task, REDIS_T_STRING);
    char *copy = n <= REDIS_STRING_MAX ? arena_alloc(&c->arena, n + 1) : NULL;

    if (!r || !copy) {
        c->too_big = true;
        return NULL;
    }
    if (task->type == REDIS_REPLY_ERROR)
        r->type = REDIS_T_ERROR;
    else if (task->type == REDIS_REPLY_STATUS)
        r->type = REDIS_T_STATUS;
    memcpy(copy, str, n);
    copy[n] = '\0';
    r->str = (struct slice){copy, n};
    return r;
}

/* From 1.0 on hiredis goes as deep as it is told to, with memory for each level. */
static bool is_too_deep(const redisReadTask *task)
{
    int depth = 0;

    for (; task && depth <= REDIS_DEPTH_MAX; task = task->parent)
        depth++;
    return depth > REDIS_DEPTH_MAX;
}

static void *tree_array(const redisReadTask *task, REPLY_COUNT count)
{
    struct redis_conn *c = task->privdata;
    struct redis_reply *r = is_too_deep(task) ? NULL : tree_slot(task, REDIS_T_ARRAY);
    size_t n = (size_t)count;

    if (r && n <= REDIS_TREE_MAX / sizeof(*r))
        r->elements = arena_alloc(&c->arena, n * sizeof(*r));
    if (!r || !r->elements) {
        c->too_big = true;
        return NULL;
    }
    r->count = n;
    return r;
}

static void *tree_integer(const redisReadTask *task, long long v)
{
    struct redis_reply *r = tree_slot(task, REDIS_T_INT);

    if (r)
        r->integer = v;
    return r;
}

static void *tree_nil(const redisReadTask *task)
{
    return tree_slot(task, REDIS_T_NIL);
}

static void no_free(void *obj)
{
    (void)obj;
}

#if HIREDIS_MAJOR >= 1
/* RESP3 only, which we never ask for; a server that sends it anyway must not crash us. */
static void *tree_double(const redisReadTask *task, double v, char *str, size_t n)
{
    (void)v;
    return tree_string(task, str, n);
}

static void *tree_bool(const redisReadTask *task, int v)
{
    return tree_integer(task, v);
}
#endif

redisReplyObjectFunctions redis_tree_functions = {
    .createString = tree_string,
    .createArray = tree_array,
    .createInteger = tree_integer,
    .createNil = tree_nil,
#if HIREDIS_MAJOR >= 1
    .createDouble = tree_double,
    .createBool = tree_bool,
#endif
    .freeObject = no_free,
};

/*
 * XREAD   [ [key, [ [id, [d, field]], … ]], … ]      nil: time-out
 * XRANGE          [ [id, [d, field]], … ]
 */
enum level {
    LEVEL_TOP,     /* no parent */
    LEVEL_STREAMS, /* in the array of streams */
    LEVEL_STREAM,  /* in [key, entries] */
    LEVEL_ENTRIES, /* in the array of entries */
    LEVEL_ENTRY,   /* in [id, fields] */
    LEVEL_FIELDS,  /* in [d, field] */
    LEVEL_IGNORED, /* below something that should not be there */
    LEVEL_COUNT
};

static char levels[LEVEL_COUNT];

static struct entries_parse *parse_of(const redisReadTask *task)
{
    struct redis_conn *c = task->privdata;

    return &c->entries;
}

static enum level level_of(const redisReadTask *task)
{
    return task->parent ? (enum level)((char *)task->parent->obj - levels) : LEVEL_TOP;
}

static void *entries_bad(struct entries_parse *e)
{
    if (e->err == 0)
        e->err = -EBADMSG;
    return &levels[LEVEL_IGNORED];
}

static bool is_field_name(const char *str, size_t n)
{
    return n == 1 && str[0] == 'd';
}

static void entries_field(const redisReadTask *task, struct slice field)
{
    const struct redis_conn *c = task->privdata;
    const struct entries_parse *e = &c->entries;
    struct slice key = e->has_key ? buf_as_slice(&e->key) : (struct slice){NULL, 0};

    /* freed: the owner may be gone. down: it is about to be told so. */
    if (e->err == 0 && c->state == CONN_UP)
        e->ops->entry(e->arg, key, e->pos, field);
}

static void *entries_string(const redisReadTask *task, char *str, size_t n)
{
    struct entries_parse *e = parse_of(task);
    enum level level = level_of(task);
    bool ok = false;

    if (n > REDIS_STRING_MAX) {
        ((struct redis_conn *)task->privdata)->too_big = true;
        return NULL;
    }
    if (level == LEVEL_TOP && task->type == REDIS_REPLY_ERROR) {
        e->err = -EREMOTEIO;
        buf_add(&e->msg, str, n < REDIS_ERROR_MAX ? n : REDIS_ERROR_MAX);
        return &levels[LEVEL_IGNORED];
    }
    if (task->type != REDIS_REPLY_STRING)
        return entries_bad(e);
    if (level == LEVEL_FIELDS && task->idx == 1) {
        entries_field(task, (struct slice){str, n});
        ok = true;
    } else if (level == LEVEL_FIELDS) {
        ok = is_field_name(str, n);
    } else if (level == LEVEL_ENTRY && task->idx == 0) {
        ok = entry_id_parse((struct slice){str, n}, &e->pos) == 0;
    } else if (level == LEVEL_STREAM && task->idx == 0) {
        buf_clear(&e->key);
        buf_add(&e->key, str, n);
        e->has_key = ok = true;
    }
    return ok ? (void *)&levels[LEVEL_IGNORED] : entries_bad(e);
}

static void *entries_array(const redisReadTask *task, REPLY_COUNT count)
{
    struct entries_parse *e = parse_of(task);
    enum level level = level_of(task);

    if (is_too_deep(task)) {
        ((struct redis_conn *)task->privdata)->too_big = true;
        return NULL;
    }
    switch (level) {
    case LEVEL_TOP:
        return &levels[e->root];
    case LEVEL_STREAMS:
        return count == 2 ? &levels[LEVEL_STREAM] : entries_bad(e);
    case LEVEL_STREAM:
        return task->idx == 1 ? &levels[LEVEL_ENTRIES] : entries_bad(e);
    case LEVEL_ENTRIES:
        return count == 2 ? &levels[LEVEL_ENTRY] : entries_bad(e);
    case LEVEL_ENTRY:
        return task->idx == 1 && count == 2 ? &levels[LEVEL_FIELDS] : entries_bad(e);
    default:
        return entries_bad(e);
    }
}

static void *entries_integer(const redisReadTask *task, long long v)
{
    (void)v;
    return entries_bad(parse_of(task));
}

static void *entries_nil(const redisReadTask *task)
{
    if (level_of(task) == LEVEL_TOP)
        return &levels[LEVEL_IGNORED];
    return entries_bad(parse_of(task));
}

#if HIREDIS_MAJOR >= 1
static void *entries_double(const redisReadTask *task, double v, char *str, size_t n)
{
    (void)v;
    (void)str;
    (void)n;
    return entries_bad(parse_of(task));
}

static void *entries_bool(const redisReadTask *task, int v)
{
    return entries_integer(task, v);
}
#endif

redisReplyObjectFunctions redis_entries_functions = {
    .createString = entries_string,
    .createArray = entries_array,
    .createInteger = entries_integer,
    .createNil = entries_nil,
#if HIREDIS_MAJOR >= 1
    .createDouble = entries_double,
    .createBool = entries_bool,
#endif
    .freeObject = no_free,
};

void entries_begin(struct entries_parse *e, const struct redis_pending *p)
{
    e->ops = p->ops;
    e->arg = p->arg;
    e->root = p->kind == PENDING_XREAD ? LEVEL_STREAMS : LEVEL_ENTRIES;
    e->has_key = false;
    e->err = 0;
    e->pos = 0;
    buf_clear(&e->msg);
    buf_clear(&e->key);
}

enum redis_type redis_type(const struct redis_reply *r)
{
    return r->type;
}

struct slice redis_str(const struct redis_reply *r)
{
    return r->str;
}

int64_t redis_int(const struct redis_reply *r)
{
    char *end;
    long long v;

    if (r->type == REDIS_T_INT)
        return r->integer;
    if (r->type != REDIS_T_STRING || r->str.n == 0 || r->str.n > 20)
        return 0;
    if (r->str.p[0] != '-' && (r->str.p[0] < '0' || r->str.p[0] > '9'))
        return 0;
    errno = 0;
    v = strtoll(r->str.p, &end, 10);
    return errno == 0 && end == r->str.p + r->str.n ? v : 0;
}

size_t redis_len(const struct redis_reply *r)
{
    return r->count;
}

const struct redis_reply *redis_at(const struct redis_reply *r, size_t i)
{
    return i < r->count ? &r->elements[i] : NULL;
}

bool redis_is_error(const struct redis_reply *r, const char *prefix)
{
    size_t n = strlen(prefix);

    return r->type == REDIS_T_ERROR && r->str.n >= n && memcmp(r->str.p, prefix, n) == 0;
}
