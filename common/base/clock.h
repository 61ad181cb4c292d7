/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.h: time. Intervals and time-outs use the monotonic clock, never the wall clock. @thread any
 */
#pragma once

#include "common/base/base.h"

uint64_t clock_mono_ns(void); /* CLOCK_MONOTONIC */
uint64_t clock_mono_ms(void);
int64_t clock_wall_ms(void); /* ms since 1970, for people and records only */
