/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.h: one run from the first connection to the verdict; the main process. @thread main
 */
#pragma once

#include "loadgen/settings.h"

/* Exit status: 0 clean, 1 not clean, 3 could not be done. */
int run_main(const struct settings *st);
