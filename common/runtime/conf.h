/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf.h: configuration from one table per program.
 *
 * A knob is one row of a `.def` file; its field, parser, bounds, default, environment name,
 * `--help` and docs/gen/ text all come from that row:
 *
 *   KNOB(field, TYPE, "name", "default", min, max, "values", "unit", "what it does …")
 *
 * Sources, later ones win: built-in defaults, the JSON file (--config FILE or $FANFARE_CONFIG), the
 * environment (FANFARE_ + name in upper case: FANFARE_REDIS_URL), --set name=value (repeatable).
 * In `--set` and the environment a string is taken as it stands, without quotes; objects are JSON,
 * lists JSON or "a,b,c". Dots reach into maps and namespaces: --set kafka.bootstrap.servers=… (a
 * map's key may contain dots itself), --set namespaces.quakes.topic=….
 *
 * Errors name the path and what was expected: `redis_url: expected a string, got integer`,
 * `namespaces.quakes.topic: …`, `shards: 900 is out of range (1 to 256)`, `edge.json:7:3: …` for a
 * syntax error, `admni: unknown key (did you mean "admin"?)`. All errors of a load are reported, a
 * line each; checks across knobs follow once there are none.
 *
 * CONF_SECRET: a string that is never printed or logged (shown as "***"). Any string or secret
 * knob may be given as `<name>_file` with a path instead: the file's content without its last line
 * break. So may a map's member (kafka.sasl.password_file), which is then a secret too. @thread boot
 */
#pragma once

#include "common/base/base.h"
#include "common/base/buf.h"

enum conf_type {
    CONF_BOOL,     /* bool */
    CONF_INT,      /* int64_t */
    CONF_SIZE,     /* int64_t bytes; accepts "64KiB", "256MiB", "1GiB" or an integer */
    CONF_DURATION, /* int64_t ms; accepts "250ms", "3s", "5m", "2h" or an integer of ms */
    CONF_STRING,   /* char *, "" if unset */
    CONF_SECRET,   /* char *, "" if unset */
    CONF_ENUM,     /* int, index into the row's values */
    CONF_STRINGS,  /* struct conf_strings: a JSON array of strings, or "a,b,c" in --set and env */
    CONF_MAP,      /* struct conf_map: a JSON object of scalars, kept as text */
    CONF_TABLE, /* struct conf_table: a JSON object of objects, each read by the row's sub-table */
};

struct conf_strings {
    char **v;
    size_t n;
};

struct conf_map {
    struct conf_pair {
        char *name, *value;
        bool hidden; /* came from a file: never printed or logged */
    } * v;
    size_t n;
};

struct conf_table {
    struct conf_item {
        char *name;
        void *value; /* the sub-table's struct */
    } * v;
    size_t n;
};

struct conf_spec {
    const char *name;
    enum conf_type type;
    size_t offset;               /* of the field in the struct */
    const char *def;             /* default as text, in the syntax of --set; "" = none */
    int64_t min, max;            /* CONF_INT, CONF_SIZE, CONF_DURATION */
    const char *values;          /* CONF_ENUM: "a|b|c" */
    const char *unit;            /* "" | "bytes" | "records" …, for the docs */
    const char *doc;             /* sentences; may hold line breaks */
    const struct conf_spec *sub; /* CONF_TABLE: its rows, ended by name == NULL */
    size_t sub_size;             /* CONF_TABLE: sizeof its struct */
};

struct metric_spec;

/* What the program tells about itself. */
struct conf_program {
    const char *name;              /* "fanfare-edge" */
    const char *summary;           /* one line */
    const char *description;       /* paragraphs for --help */
    const char *examples;          /* for --help; lines */
    const char *exit_status;       /* for --help; NULL: the usual codes */
    const struct conf_spec *specs; /* ended by name == NULL */
    size_t size;                   /* sizeof the configuration struct */
    /* Checks across knobs; appends "path: what is wrong\n" lines to errors. May be NULL. */
    void (*check)(const void *conf, struct buf *errors);
    const struct metric_spec *metrics; /* for --print-docs; may be NULL */
};

/* Handles --help, --version, --config, --set, --check-config, --print-config, --print-docs (the
 * generated Markdown). 0: *conf is filled, go on. 1: all is said and done, exit 0. -EINVAL: errors
 * were printed to stderr, exit 2 (EX_USAGE is not used). */
int conf_load(const struct conf_program *prog, int argc, char **argv, void *conf) _must_check_;
void conf_done(const struct conf_program *prog, void *conf);

const char *conf_map_get(const struct conf_map *m, const char *name); /* NULL if absent */

/* A file's text without its last line break, checked to be text, a MiB at most: a secret, to be
 * wiped by the caller. 0, or -EINVAL with a line "path: …" appended to errors. */
int conf_file_text(const char *file, const char *path, struct buf *ret,
                   struct buf *errors) _must_check_;
void conf_wipe(struct buf *text);

#define CONF_ROW(strct, field, type, name, def, min, max, values, unit, doc)          \
    {                                                                                 \
        name, type, offsetof(strct, field), def, min, max, values, unit, doc, NULL, 0 \
    }
