/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster_print.h: the view of the cluster for programs (JSON) and for people (a table).
 * @thread any
 */
#pragma once

#include "common/base/buf.h"

struct coord_view;

void cluster_print_json(struct buf *out, const struct coord_view *v, uint64_t now_ms);
void cluster_print_table(struct buf *out, const struct coord_view *v, uint64_t now_ms);
