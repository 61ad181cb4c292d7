/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc.h: what a process asks of its system at start. @thread boot unless said
 */
#pragma once

#include "common/base/base.h"

/* Libraries make tables of this length, or refuse it: a hard limit without end is not of use. */
#define PROC_FD_MAX 1048576

void proc_raise_fd_limit(void); /* soft limit = hard limit, or PROC_FD_MAX */
uint64_t proc_fd_limit(void);
void proc_set_fd_limit(uint64_t n);    /* the soft limit; n is not above the hard one */
uint64_t proc_memory(void);            /* resident bytes now; 0: not known. @thread any */
int proc_cpus(void);                   /* CPUs this process may run on, >= 1 */
void proc_random(void *dst, size_t n); /* getrandom; any thread */
/* Of a control group (of either version), in bytes: what it may hold, 0 if there is no bound; and
 * what counts against that: its processes' memory, their sockets and other things of the kernel,
 * but not the pages of files that can be dropped. group: where its files are, which is PROC_GROUP
 * for the own one in a container. @thread any */
#define PROC_GROUP "/sys/fs/cgroup"
uint64_t proc_group_limit(const char *group);
uint64_t proc_group_memory(const char *group);
/* n random characters of [0-9A-Za-z] and a NUL; any thread. */
void proc_random_id(char *dst, size_t n);
/* A node's name: the configured one, else the host's with a random suffix. */
void proc_node_name(char *dst, size_t size, const char *configured);
/* The process ends with this status when so many seconds have passed: at the end, when a library
 * may not let go. 0: no longer. */
void proc_exit_within(unsigned seconds, int status);
void proc_thread_name(const char *name); /* of the calling thread, <= 15 characters */

/* Thread roles, asserted in debug builds: PROC_THREAD_IS("shard"). */
void proc_thread_role(const char *role); /* static string; also names the thread */
const char *proc_thread_role_get(void);
#ifdef NDEBUG
#    define PROC_THREAD_IS(role) ((void)0)
#else
#    define PROC_THREAD_IS(role) \
        assert(proc_thread_role_get() && !strcmp(proc_thread_role_get(), role))
#endif
