/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_conf.h: the configuration of fanfare-worker, as worker_conf.def lists it.
 *
 * Immutable after conf_load(). @thread any
 */
#pragma once

#include "common/io/coord_conf.h"
#include "common/runtime/conf.h"
#include "common/runtime/namespace.h"

#define WORKER_FIELD_CONF_INT      int64_t
#define WORKER_FIELD_CONF_SIZE     int64_t
#define WORKER_FIELD_CONF_STRING   char *
#define WORKER_FIELD_CONF_SECRET   char *
#define WORKER_FIELD_CONF_ENUM     int
#define WORKER_FIELD_CONF_MAP      struct conf_map

#define WORKER_FIELD_CONF_DURATION int64_t

enum worker_regions {
    REGIONS_OWN,
    REGIONS_ALL
};

struct worker_conf {
#define KNOB(field, type, name, def, min, max, values, unit, doc) WORKER_FIELD_##type field;
#define TABLE(field, name, rows, strct, doc)                      struct conf_table field;
#include "fanout-worker/worker_conf.def"
#undef KNOB
#undef TABLE
    struct coord_conf coord;
};

extern const struct conf_program worker_program;
