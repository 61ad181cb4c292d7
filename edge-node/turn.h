/* SPDX-License-Identifier: Apache-2.0 */
/*
 * turn.h: what hub.c and turn.c ask of each other. @thread shard
 */
#pragma once

#include "edge-node/hub.h"

struct turn_scratch;
struct turn_scratch *turn_scratch_new(void);
void turn_scratch_free(struct turn_scratch *x);
