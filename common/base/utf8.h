/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8.h: strict UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF). @thread any
 */
#pragma once

#include "common/base/base.h"

bool utf8_is_valid(struct slice s);
/* A name that may travel as a channel: 1..255 bytes of valid UTF-8 without control characters
 * (below U+0020, U+007F). */
bool utf8_is_name(struct slice s);
#define NAME_MAX_BYTES 255
