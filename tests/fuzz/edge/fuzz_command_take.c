/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_command_take.c: the commands of a frame, by the quick reader and by the tree's: what the
 * first reads, the second reads as the same. @thread main
 */
#include "edge-node/proto_json.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice frame = {(const char *)data, size}, left = frame;
    struct command quick, cmd;

    while (proto_json_quick(&left, &quick)) {
        must(proto_json_take_tree(&frame, &cmd) == 1);
        must(left.p == frame.p && left.n == frame.n);
        must(quick.type == cmd.type && quick.id == cmd.id && !quick.bad && !cmd.bad);
        must(slice_eq(quick.channel, cmd.channel) && !quick.channel.p == !cmd.channel.p);
        must(slice_eq(quick.token, cmd.token) && !quick.subs && !cmd.subs);
        must(quick.cursor.recover == cmd.cursor.recover);
        must(quick.cursor.offset == cmd.cursor.offset);
        must(slice_eq(quick.cursor.epoch, cmd.cursor.epoch));
        must(quick.sub_type == cmd.sub_type && quick.limit == cmd.limit);
        proto_json_command_done(&quick);
        proto_json_command_done(&cmd);
    }
    return 0;
}
