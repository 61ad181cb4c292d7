/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf.c: where values come from, and in which order: defaults, file, environment, --set.
 * @thread boot
 */
#include "common/runtime/conf.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/utf8.h"
#include "common/runtime/conf_impl.h"

/* ---- names ---- */

static const struct conf_spec *find(const struct conf_spec *specs, struct slice name)
{
    for (const struct conf_spec *spec = specs; spec->name; spec++)
        if (slice_eq(slice_of(spec->name), name))
            return spec;
    return NULL;
}

/* The knob that `<name>_file` stands for. */
static const struct conf_spec *find_file(const struct conf_spec *specs, struct slice name)
{
    size_t suffix = sizeof(CONF_FILE_SUFFIX) - 1;
    const struct conf_spec *spec;

    if (name.n <= suffix || memcmp(name.p + name.n - suffix, CONF_FILE_SUFFIX, suffix) != 0)
        return NULL;
    spec = find(specs, (struct slice){name.p, name.n - suffix});
    return spec && (spec->type == CONF_STRING || spec->type == CONF_SECRET) ? spec : NULL;
}

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;

    return m < c ? m : c;
}

/* Levenshtein distance; names over 63 bytes are far from everything. */
static size_t distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);

    if (n >= ARRAY_LEN(row) || strlen(a) >= ARRAY_LEN(row))
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t up = row[j];
            row[j] = smallest(up + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = up;
        }
    }
    return row[n];
}

static int unknown(const struct conf_spec *specs, const char *name, const char *path,
                   struct buf *errors)
{
    const struct conf_spec *best = NULL;
    size_t least = strlen(name) / 2 < 3 ? strlen(name) / 2 : 3;

    for (const struct conf_spec *spec = specs; spec->name; spec++) {
        size_t d = distance(name, spec->name);
        if (d <= least && (!best || d < distance(name, best->name)))
            best = spec;
    }
    if (best)
        conf_error(errors, path, "unknown key (did you mean \"%s\"?)", best->name);
    else
        conf_error(errors, path, "unknown key (--help lists all)");
    return -EINVAL;
}

int conf_set_member(const struct conf_spec *specs, void *base, const char *name,
                    const struct json *j, const char *path, struct buf *errors)
{
    const struct conf_spec *spec = find(specs, slice_of(name));
    struct slice file;

    if (spec)
        return conf_set_json(spec, base, j, path, errors);
    spec = find_file(specs, slice_of(name));
    if (!spec)
        return unknown(specs, name, path, errors);
    if (!json_text(j, &file)) {
        conf_error(errors, path, "expected the path of a file, got %s", json_type_name(j));
        return -EINVAL;
    }
    return conf_set_file(spec, base, file.p, path, errors);
}

/* ---- --set and the environment ---- */

static int set_named(const struct conf_spec *specs, void *base, const char *name, const char *path,
                     const char *value, struct buf *errors)
{
    const struct conf_spec *spec = find(specs, slice_of(name));

    if (spec)
        return conf_set_text(spec, base, slice_of(value), path, errors);
    spec = find_file(specs, slice_of(name));
    if (spec)
        return conf_set_file(spec, base, value, path, errors);
    return unknown(specs, name, path, errors);
}

/* kafka.bootstrap.servers, namespaces.quakes.topic */
static int set_dotted(const struct conf_spec *specs, void *base, const char *name,
                      const char *value, struct buf *errors)
{
    const char *dot = strchr(name, '.'), *last = strrchr(name, '.');
    const struct conf_spec *spec;
    _cleanup_free_ char *item = NULL;

    must(dot); /* the caller saw one */
    spec = find(specs, (struct slice){name, (size_t)(dot - name)});
    if (spec && spec->type == CONF_MAP) {
        if (!dot[1] || !utf8_is_valid(slice_of(name)) || !utf8_is_valid(slice_of(value))) {
            conf_error(errors, name, "expected %s.<key>=value in valid UTF-8", spec->name);
            return -EINVAL;
        }
        return conf_map_set(conf_field(spec, base), dot + 1, value, name, errors);
    }
    if (!spec || spec->type != CONF_TABLE) {
        _cleanup_free_ char *first = mem_strndup(name, (size_t)(dot - name));
        return unknown(specs, first, name, errors);
    }
    if (last == dot) {
        conf_error(errors, name, "expected %s.<name>.<key>=value", spec->name);
        return -EINVAL;
    }
    item = mem_strndup(dot + 1, (size_t)(last - dot - 1));
    return set_named(spec->sub, conf_table_item(spec, conf_field(spec, base), item), last + 1, name,
                     value, errors);
}

static void set_argument(const struct conf_program *prog, void *conf, const char *arg,
                         struct buf *errors)
{
    const char *eq = arg ? strchr(arg, '=') : NULL;
    _cleanup_free_ char *name = NULL;
    int rc;

    if (!eq) {
        /* Not told further: what follows the name may be a secret. */
        conf_error(errors, "--set", "expected name=value, got an argument without \"=\"");
        return;
    }
    name = mem_strndup(arg, (size_t)(eq - arg));
    if (strchr(name, '.'))
        rc = set_dotted(prog->specs, conf, name, eq + 1, errors);
    else
        rc = set_named(prog->specs, conf, name, name, eq + 1, errors);
    (void)rc; /* every error is in the list */
}

static void set_environment(const struct conf_program *prog, void *conf, struct buf *errors)
{
    for (const struct conf_spec *spec = prog->specs; spec->name; spec++) {
        for (int file = 0; file < 2; file++) {
            char name[128] = "FANFARE_", knob[128];
            const char *value;
            snprintf(knob, sizeof(knob), "%s%s", spec->name, file ? CONF_FILE_SUFFIX : "");
            for (size_t i = 0; knob[i]; i++)
                name[8 + i] = (char)toupper((unsigned char)knob[i]);
            value = getenv(name); // NOLINT(concurrency-mt-unsafe): at boot there is one thread
            if (file && spec->type != CONF_STRING && spec->type != CONF_SECRET)
                continue;
            if (value && set_named(prog->specs, conf, knob, name, value, errors))
                continue; /* in the list */
        }
    }
}

/* ---- the file ---- */

static void set_file(const struct conf_program *prog, void *conf, const char *path,
                     struct buf *errors)
{
    struct buf text = BUF_INIT;
    struct json_error err;
    struct json *j = NULL;
    const struct json *value;
    struct slice name;
    void *it = NULL;

    if (conf_read_file(path, MIB(4), "--config", &text, errors) == 0) {
        j = json_parse(buf_as_slice(&text), &err);
        if (!j)
            buf_printf(errors, "%s:%d:%d: %s\n", path, err.line, err.column, err.text);
        else if (json_kind(j) != JSON_T_OBJECT)
            conf_error(errors, path, "expected an object, got %s", json_type_name(j));
    }
    while (json_next(j, &it, &name, &value))
        if (conf_set_member(prog->specs, conf, name.p, value, name.p, errors))
            continue; /* in the list */
    json_free(j);
    buf_done(&text);
}

/* ---- the command line ---- */

enum {
    OPT_CONFIG = 'c',
    OPT_SET = 's',
    OPT_HELP = 'h',
    OPT_VERSION = 'V',
    OPT_CHECK = 256,
    OPT_PRINT,
    OPT_DOCS
};

struct arguments {
    const char *file;
    bool check, print;
    char **sets;
    size_t set_count;
};

static int print_and_done(struct buf *out)
{
    (void)fwrite(out->p, 1, out->n, stdout);
    buf_done(out);
    return 1;
}

/* The option getopt stumbled over, without what follows its "=": that may be a secret. */
static int wrong_option(const struct conf_program *prog, int argc, char **argv, bool needs_value)
{
    const char *arg = optind > 0 && optind <= argc ? argv[optind - 1] : "";

    fprintf(stderr, "%s: %s \"%.*s\"; try --help\n", prog->name,
            needs_value ? "a value is missing after" : "unknown option or needless value:",
            (int)strcspn(arg, "= "), arg);
    return -EINVAL;
}

/* 0: go on; 1: done; -EINVAL. */
static int parse_arguments(const struct conf_program *prog, int argc, char **argv,
                           struct arguments *a)
{
    static const struct option options[] = {{"config", required_argument, NULL, OPT_CONFIG},
                                            {"set", required_argument, NULL, OPT_SET},
                                            {"help", no_argument, NULL, OPT_HELP},
                                            {"version", no_argument, NULL, OPT_VERSION},
                                            {"check-config", no_argument, NULL, OPT_CHECK},
                                            {"print-config", no_argument, NULL, OPT_PRINT},
                                            {"print-docs", no_argument, NULL, OPT_DOCS},
                                            {NULL, 0, NULL, 0}};
    struct buf out = BUF_INIT;
    int c;

    optind = 0; /* GNU: begin anew, also in a second call of one process */
    while ((c = getopt_long(argc, argv, ":c:s:hV", options, NULL)) != -1) { // NOLINT: one thread
        switch (c) {
        case OPT_CONFIG:
            a->file = optarg;
            break;
        case OPT_SET:
            a->sets[a->set_count++] = optarg;
            break;
        case OPT_CHECK:
            a->check = true;
            break;
        case OPT_PRINT:
            a->print = true;
            break;
        case OPT_VERSION:
            buf_printf(&out, "%s %s\n", prog->name, FANFARE_VERSION);
            return print_and_done(&out);
        case OPT_HELP:
            conf_print_help(prog, &out);
            return print_and_done(&out);
        case OPT_DOCS:
            conf_print_docs(prog, &out);
            return print_and_done(&out);
        default:
            return wrong_option(prog, argc, argv, c == ':');
        }
    }
    if (optind < argc) {
        fprintf(stderr, "%s: unexpected argument (number %d); try --help\n", prog->name, optind);
        return -EINVAL;
    }
    return 0;
}

static void print_errors(const struct conf_program *prog, const struct buf *errors)
{
    const char *p = errors->p, *end = errors->p + errors->n;

    while (p < end) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        size_t n = nl ? (size_t)(nl - p) : (size_t)(end - p);
        fprintf(stderr, "%s: ", prog->name);
        for (size_t i = 0; i < n; i++) /* names come from the file: no terminal's escapes */
            fputc((unsigned char)p[i] < ' ' || p[i] == 0x7f ? '?' : p[i], stderr);
        fputc('\n', stderr);
        p += n + 1;
    }
}

/* Keys in effect, those of tables' objects and maps included. */
static size_t conf_count(const struct conf_spec *specs, const void *base)
{
    size_t n = 0;

    for (const struct conf_spec *spec = specs; spec->name; spec++) {
        const void *field = (const char *)base + spec->offset;
        const struct conf_table *t = field;
        const struct conf_map *m = field;

        if (spec->type == CONF_MAP)
            n += m->n;
        else if (spec->type != CONF_TABLE)
            n++;
        else
            for (size_t i = 0; i < t->n; i++)
                n += conf_count(spec->sub, t->v[i].value);
    }
    return n;
}

static int finish(const struct conf_program *prog, const struct arguments *a, void *conf)
{
    struct buf out = BUF_INIT;

    if (a->print) {
        conf_print_json(prog->specs, conf, 0, &out);
        buf_byte(&out, '\n');
    } else if (a->check) {
        buf_printf(&out, "config ok: %zu keys\n", conf_count(prog->specs, conf));
    } else {
        return 0;
    }
    conf_free(prog->specs, conf);
    return print_and_done(&out);
}

int conf_load(const struct conf_program *prog, int argc, char **argv, void *conf)
{
    struct arguments a = {.sets = mem_zalloc(sizeof(char *) * (size_t)(argc + 1))};
    struct buf errors = BUF_INIT;
    int rc = parse_arguments(prog, argc, argv, &a);

    if (rc)
        goto out;
    memset(conf, 0, prog->size);
    conf_set_defaults(prog->specs, conf);
    if (!a.file)
        a.file = getenv("FANFARE_CONFIG"); // NOLINT(concurrency-mt-unsafe): one thread
    if (a.file && a.file[0])
        set_file(prog, conf, a.file, &errors);
    set_environment(prog, conf, &errors);
    for (size_t i = 0; i < a.set_count; i++)
        set_argument(prog, conf, a.sets[i], &errors);
    if (!errors.n && prog->check)
        prog->check(conf, &errors);
    if (errors.n) {
        print_errors(prog, &errors);
        conf_free(prog->specs, conf);
        rc = -EINVAL;
    } else {
        rc = finish(prog, &a, conf);
    }
out:
    buf_done(&errors);
    free(a.sets);
    return rc;
}

void conf_done(const struct conf_program *prog, void *conf)
{
    conf_free(prog->specs, conf);
}
