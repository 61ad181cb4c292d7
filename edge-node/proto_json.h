/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto_json.h: the reading half of the JSON protocol, for proto_json.c's table. proto.h says what
 * each function does. @thread any
 */
#pragma once

#include "edge-node/proto.h"

int proto_json_take(struct slice *frame, struct command *ret) _must_check_;
void proto_json_command_done(struct command *cmd);
bool proto_json_connect_sub(const struct command *cmd, struct slice channel, struct cursor *ret);
