/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture.h: what a piece of code writes to a descriptor (1 or 2), as text. For the unit tests.
 *
 * One capture at a time; the text is owned by the caller. @thread main
 */
#pragma once

#include <stdio.h>
#include <unistd.h>

#include "common/base/buf.h"

struct capture {
    int fd, saved;
    FILE *file;
};

static inline struct capture capture_begin(int fd)
{
    struct capture c = {fd, dup(fd), tmpfile()};

    must(c.saved >= 0 && c.file);
    (void)fflush(NULL);
    must(dup2(fileno(c.file), fd) == fd);
    return c;
}

/* Ends the capture; out holds the text and a NUL behind it. */
static inline void capture_end(struct capture *c, struct buf *out)
{
    size_t n;

    (void)fflush(NULL);
    must(dup2(c->saved, c->fd) == c->fd);
    close(c->saved);
    rewind(c->file);
    buf_clear(out);
    while ((n = fread(buf_reserve(out, 4096), 1, 4096, c->file)) > 0)
        out->n += n;
    *buf_reserve(out, 1) = 0;
    (void)fclose(c->file);
}
