/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage.h: CPU time and memory of other processes, from /proc. @thread any
 */
#pragma once

#include <sys/types.h>

#include "common/base/base.h"

struct usage {
    uint64_t cpu_ns; /* user and system, all threads */
    uint64_t rss_bytes;
};

/* 0, or -errno (-ESRCH: no such process). */
int usage_read(pid_t pid, struct usage *ret) _must_check_;
