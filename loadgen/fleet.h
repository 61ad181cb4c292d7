/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fleet.h: loadgen's child processes: crews and producer, their shared memory, and the directory of
 * the delivery logs. Children are forked before the process has any thread. @thread main
 */
#pragma once

#include <sys/types.h>

#include "loadgen/shared.h"

struct fleet {
    const struct settings *st;
    struct shared *sh;
    size_t shared_size;
    pid_t *crews, plan; /* 0 = none, or reaped */
    char *dir, *ends_path;
    bool own_dir;
};

/* Shared memory and directory. 0 or -ECANCELED (said on stderr, as in all of these). */
int fleet_init(struct fleet *fl, const struct settings *st) _must_check_;
int fleet_start(struct fleet *fl) _must_check_;
int fleet_alive(struct fleet *fl) _must_check_; /* no child has ended that should run */
int fleet_join(struct fleet *fl) _must_check_;  /* PHASE_STOP, and waits for the crews */
void fleet_done(struct fleet *fl);              /* also half started: ends what still runs */
char *fleet_path(const struct fleet *fl, const char *name, uint32_t n); /* the caller frees */

/* Says what went wrong; -ECANCELED. */
int run_complain(const char *what, const char *why);
