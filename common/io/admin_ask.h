/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_ask.h: asks an admin listener, from another process: `fanfare-edge health`.
 *
 * One GET at a time, blocking, at most ADMIN_ASK_MS and ADMIN_ASK_MAX bytes. No state. @thread boot
 */
#pragma once

#include "common/base/base.h"
#include "common/base/buf.h"

#define ADMIN_ASK_MS  3000
#define ADMIN_ASK_MAX MIB(16)

/* listen: where the node was told to listen (":9100", "[::]:9100", "host:9100"). 0, *ret_status and
 * the answer in `body` (what was there goes); or -errno (http.h) with why:
 * `":9100": Connection refused`. */
int admin_ask(const char *listen, const char *path, int *ret_status, struct buf *body, char *why,
              size_t why_size) _must_check_;

/* Is it `PROGRAM health [live|ready] …`? Then the path to ask for; argc and argv are without these
 * words, for conf_load(). NULL: it isn't. */
const char *admin_health_path(int *argc, char ***argv);
/* Asks, and prints what the node says. The exit code: 0 if all is well, else 1. */
int admin_health(const char *program, const char *listen, const char *path);
