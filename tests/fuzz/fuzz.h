/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz.h: the one function a fuzz target defines; called by libFuzzer or by replay.c.
 *
 * data is an allocation of exactly size bytes. Returns 0; what must hold is must()ed. @thread main
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
