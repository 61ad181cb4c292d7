/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_run.h: one run of conf_load() in a test: its result and what it wrote. @thread main
 */
#pragma once

#include <stdlib.h>

#include "common/runtime/conf.h"

#include "tests/unit/runtime/capture.h"

#define CONF_RUN_ARGS 24

struct conf_run {
    int rc;
    struct buf out, err;
};

/* args: ended by NULL. conf: the program's struct, filled if the result is 0 (conf_done() then). */
static inline struct conf_run conf_run(const struct conf_program *program, void *conf,
                                       const char *const *args)
{
    char *argv[CONF_RUN_ARGS] = {mem_strdup(program->name)}, *kept[CONF_RUN_ARGS];
    struct conf_run r = {0};
    struct capture out, err;
    int argc = 1;

    for (; args[argc - 1]; argc++) {
        must(argc < CONF_RUN_ARGS - 1);
        argv[argc] = mem_strdup(args[argc - 1]);
    }
    memcpy((void *)kept, (const void *)argv, sizeof(kept)); /* getopt moves them */
    out = capture_begin(1);
    err = capture_begin(2);
    r.rc = conf_load(program, argc, argv, conf);
    capture_end(&err, &r.err);
    capture_end(&out, &r.out);
    for (int i = 0; i < argc; i++)
        free(kept[i]);
    return r;
}

static inline void conf_run_done(struct conf_run *r)
{
    buf_done(&r->out);
    buf_done(&r->err);
}
