/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_json.h: the reading half of the JSON protocol, for proto_json.c's table. proto.h says what
 * each function does. @thread any
 */
#pragma once

#include "edge-node/proto.h"

int proto_json_take(struct slice *frame, struct command *ret) _must_check_;
/* Its two halves: what is plain, without memory of its own (false: not for it; nothing moved); and
 * all of it. What the first reads, the second reads as the same. */
bool proto_json_quick(struct slice *frame, struct command *ret);
int proto_json_take_tree(struct slice *frame, struct command *ret) _must_check_;
void proto_json_command_done(struct command *cmd);
bool proto_json_connect_sub(const struct command *cmd, struct slice channel, struct cursor *ret);
