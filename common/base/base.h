/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base.h: the few words every file uses: slices, sizes, cleanup, assertions.
 *
 * Layer: base (libc only). No state. @thread any
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed run of bytes; never NUL-terminated by contract. An absent value has p == NULL, an
 * empty one has p != NULL and n == 0. */
struct slice {
    const char *p;
    size_t n;
};

#define SLICE(lit) ((struct slice){(lit), sizeof(lit) - 1})

static inline struct slice slice_of(const char *cstr)
{
    return (struct slice){cstr, cstr ? strlen(cstr) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* must(): an invariant of ours, checked in every build (assert is compiled out with NDEBUG).
 * Never for input: bad input is an error value. */
#define must(cond) ((cond) ? (void)0 : must_failed(#cond, __FILE__, __LINE__))
_Noreturn void must_failed(const char *what, const char *file, int line);

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))

#define KIB(n)                          ((size_t)(n)*1024)
#define MIB(n)                          ((size_t)(n)*1024 * 1024)

#define _cleanup_(fn)                   __attribute__((cleanup(fn)))
#define _printf_like_(f, a)             __attribute__((format(printf, f, a)))
#define _must_check_                    __attribute__((warn_unused_result))

static inline void free_ptr(void *pp)
{
    extern void free(void *);
    free(*(void **)pp);
}
#define _cleanup_free_ _cleanup_(free_ptr)

/* Memory is not a resource this program can run without: these end the process with one line when
 * the system has none, so no caller checks. What a peer can size is bounded before it gets here. */
void *mem_alloc(size_t n);
void *mem_zalloc(size_t n);
void *mem_realloc(void *p, size_t n);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n); /* copies n bytes and adds a NUL */
