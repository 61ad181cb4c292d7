/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_impl.h: what the files of conf share. Private to conf*.c. @thread boot
 */
#pragma once

#include "common/runtime/conf.h"
#include "common/runtime/json.h"

#define CONF_FILE_SUFFIX "_file"

static inline void *conf_field(const struct conf_spec *spec, void *base)
{
    return (char *)base + spec->offset;
}

/* conf_value.c: one knob from one value. Each returns 0, or -EINVAL with a line "path: …" appended
 * to errors; a secret's value is never part of it. */
int conf_set_text(const struct conf_spec *spec, void *base, struct slice text, const char *path,
                  struct buf *errors) _must_check_;
int conf_set_json(const struct conf_spec *spec, void *base, const struct json *j, const char *path,
                  struct buf *errors) _must_check_;
int conf_set_file(const struct conf_spec *spec, void *base, const char *file, const char *path,
                  struct buf *errors) _must_check_;
/* Appends the file's bytes to ret; more than `most` of them are an error. */
int conf_read_file(const char *file, size_t most, const char *path, struct buf *ret,
                   struct buf *errors) _must_check_;
void conf_set_defaults(const struct conf_spec *specs, void *base);
void conf_free(const struct conf_spec *specs, void *base);

int conf_wrong(const struct conf_spec *spec, const char *path, const char *got, struct buf *errors);

/* conf_list.c: the same for the knobs of more than one value. */
void conf_strings_of_text(struct conf_strings *s, struct slice text);
int conf_strings_of_json(const struct conf_spec *spec, void *base, const struct json *j,
                         const char *path, struct buf *errors) _must_check_;
int conf_map_of_json(const struct conf_spec *spec, void *base, const struct json *j,
                     const char *path, struct buf *errors) _must_check_;
int conf_table_of_json(const struct conf_spec *spec, void *base, const struct json *j,
                       const char *path, struct buf *errors) _must_check_;

/* conf.c: by name, `_file` included. */
int conf_set_member(const struct conf_spec *specs, void *base, const char *name,
                    const struct json *j, const char *path, struct buf *errors) _must_check_;
void *conf_table_item(const struct conf_spec *spec, struct conf_table *t, const char *name);
/* value of <name>_file is a path. */
int conf_map_set(struct conf_map *m, const char *name, const char *value, const char *path,
                 struct buf *errors) _must_check_;
const char *conf_type_words(const struct conf_spec *spec); /* "a size in bytes, such as 64KiB" */
void conf_error(struct buf *errors, const char *path, const char *fmt, ...) _printf_like_(3, 4);

/* conf_help.c */
void conf_print_help(const struct conf_program *prog, struct buf *out);
void conf_print_docs(const struct conf_program *prog, struct buf *out);
void conf_print_json(const struct conf_spec *specs, const void *base, int indent, struct buf *out);
