/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolve.h: the address of a host by its name, for loops that must never wait: the system's
 * resolver, which blocks, is asked by a thread of its own.
 *
 * At most RESOLVE_MAX lookups of a process are under way, RESOLVE_EACH of one name, so that one
 * whose name servers are silent leaves room for others; those that were cancelled included: they
 * end when the resolver's own time is over. @thread of the loop
 */
#pragma once

#include "common/base/base.h"

#define RESOLVE_HOST_MAX    256 /* a name with its NUL */
#define RESOLVE_ADDRESS_MAX 46  /* a numeric address with its NUL */
#define RESOLVE_MAX         64
#define RESOLVE_EACH        32

struct ev_loop;
struct resolve;

/* address: numeric, IPv4 where the name has one. NULL: there is none, and why says it. */
typedef void resolve_fn(void *arg, const char *address, const char *why);

bool resolve_is_numeric(const char *host);
/* fn is called once, from the loop; then the lookup is gone. NULL: there is no room for it. */
struct resolve *resolve_start(struct ev_loop *loop, const char *host, resolve_fn *fn, void *arg);
/* fn isn't called any more. NULL: nothing. */
void resolve_cancel(struct resolve *r);
