/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base.c: the ends of the road: a broken invariant, and memory that isn't there.
 *
 * Both print one line on stderr and abort, so a core dump shows where. No state. @thread any
 */
#include "common/base/base.h"

#include <stdio.h>
#include <stdlib.h>

void must_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "event=assertion_failed file=%s line=%d what=\"%s\"\n", file, line, what);
    abort();
}

static _Noreturn void mem_failed(size_t n)
{
    fprintf(stderr, "event=out_of_memory bytes=%zu\n", n);
    abort();
}

void *mem_alloc(size_t n)
{
    void *p = malloc(n ? n : 1);

    if (!p)
        mem_failed(n);
    return p;
}

void *mem_zalloc(size_t n)
{
    void *p = calloc(1, n ? n : 1);

    if (!p)
        mem_failed(n);
    return p;
}

void *mem_realloc(void *p, size_t n)
{
    void *q = realloc(p, n ? n : 1);

    if (!q)
        mem_failed(n);
    return q;
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, strlen(s));
}

char *mem_strndup(const char *s, size_t n)
{
    char *copy;

    must(n < SIZE_MAX);
    copy = mem_alloc(n + 1);
    if (n > 0)
        memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}
