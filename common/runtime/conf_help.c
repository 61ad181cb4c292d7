/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_help.c: what a program tells of its knobs: --help, the generated Markdown, --print-config.
 * @thread boot
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/runtime/conf_impl.h"
#include "common/runtime/metric.h"

#define WIDTH 79

/* Paragraphs (separated by line breaks), wrapped at WIDTH and indented. */
static void wrap(struct buf *out, const char *text, int indent)
{
    int column = 0;

    while (*text) {
        size_t n = strcspn(text, " \n");
        if (column && column + 1 + (int)n > WIDTH) {
            buf_byte(out, '\n');
            column = 0;
        }
        if (n) {
            if (column)
                buf_byte(out, ' ');
            else
                buf_printf(out, "%*s", indent, "");
            column += column ? (int)n + 1 : indent + (int)n;
            buf_add(out, text, n);
        }
        text += n;
        if (*text == '\n') {
            buf_byte(out, '\n');
            column = 0;
        }
        text += *text != '\0';
    }
    buf_byte(out, '\n');
}

static const char *type_name(const struct conf_spec *spec)
{
    static const char *const names[] = {
        [CONF_BOOL] = "boolean",  [CONF_INT] = "integer",
        [CONF_SIZE] = "size",     [CONF_DURATION] = "duration",
        [CONF_STRING] = "string", [CONF_SECRET] = "secret",
        [CONF_ENUM] = "word",     [CONF_STRINGS] = "list of strings",
        [CONF_MAP] = "object",    [CONF_TABLE] = "object of objects",
    };

    return names[spec->type];
}

static bool has_range(const struct conf_spec *spec)
{
    return spec->type == CONF_INT || spec->type == CONF_SIZE || spec->type == CONF_DURATION;
}

static void facts(struct buf *out, const struct conf_spec *spec)
{
    buf_str(out, type_name(spec));
    if (spec->values && spec->values[0])
        buf_printf(out, ": %s", spec->values);
    if (spec->unit[0])
        buf_printf(out, ", %s", spec->unit);
    if (has_range(spec))
        buf_printf(out, ", %lld to %lld", (long long)spec->min, (long long)spec->max);
    if (spec->def[0])
        buf_printf(out, ", default %s", spec->def);
}

static void env_name(struct buf *out, const char *name)
{
    buf_lit(out, "FANFARE_");
    for (; *name; name++)
        buf_byte(out, (unsigned char)toupper((unsigned char)*name));
}

static void help_knobs(struct buf *out, const struct conf_spec *specs, int indent)
{
    for (const struct conf_spec *spec = specs; spec->name; spec++) {
        struct buf line = BUF_INIT;
        buf_printf(out, "%*s%s\n", indent, "", spec->name);
        facts(&line, spec);
        if (indent == 7) { /* only these have an environment variable */
            buf_lit(&line, ", $");
            env_name(&line, spec->name);
        }
        buf_byte(&line, '\0');
        wrap(out, line.p, indent + 4);
        wrap(out, spec->doc, indent + 4);
        buf_done(&line);
        if (spec->sub) {
            buf_printf(out, "%*sEach object has these keys:\n", indent + 4, "");
            help_knobs(out, spec->sub, indent + 8);
        }
    }
}

void conf_print_help(const struct conf_program *prog, struct buf *out)
{
    buf_printf(out, "NAME\n       %s - %s\n\n", prog->name, prog->summary);
    buf_printf(out, "SYNOPSIS\n       %s [--config FILE] [--set KEY=VALUE]...\n\nDESCRIPTION\n",
               prog->name);
    wrap(out, prog->description, 7);
    buf_lit(out, "\nOPTIONS\n"
                 "       -c, --config FILE    configuration as JSON (default: $FANFARE_CONFIG)\n"
                 "       -s, --set KEY=VALUE  one key; wins over file and environment\n"
                 "       --check-config       check the configuration and exit\n"
                 "       --print-config       print the effective one, secrets hidden, and exit\n"
                 "       --print-docs         print keys and metrics as Markdown and exit\n"
                 "       -V, --version        print the version and exit\n"
                 "       -h, --help           this text\n\n"
                 "CONFIGURATION\n"
                 "       Later ones win: defaults, the file, the environment, --set. A string can\n"
                 "       be given as KEY_file with the path of a file that holds it, also within\n"
                 "       an object (kafka.sasl.password_file). Dots reach into objects:\n"
                 "       --set kafka.bootstrap.servers=kafka:9092. Sizes are bytes, or 64KiB,\n"
                 "       256MiB, 1GiB; durations ms, or 250ms, 5s, 5m, 1h. In --set and the\n"
                 "       environment lists are a,b,c and objects JSON.\n\n");
    help_knobs(out, prog->specs, 7);
    buf_lit(out, "\nEXAMPLES\n");
    for (const char *p = prog->examples; *p;) {
        size_t n = strcspn(p, "\n");
        buf_printf(out, "       %.*s\n", (int)n, p);
        p += n + (p[n] == '\n');
    }
    buf_printf(out,
               "\nFILES\n"
               "       The one of --config or $FANFARE_CONFIG, such as /etc/fanfare/%s.json:\n"
               "       one JSON object, at most 4 MiB. There is no default file.\n",
               strncmp(prog->name, "fanfare-", 8) == 0 ? prog->name + 8 : prog->name);
    buf_printf(out, "\nEXIT STATUS\n%s",
               prog->exit_status
                   ? prog->exit_status
                   : "       0  stopped as asked\n"
                     "       1  could not start, or could not go on; stderr says why\n"
                     "       2  the configuration is wrong; each error is one line on stderr\n");
}

/* Text in a cell of a Markdown table: neither its end nor an HTML tag. */
static void docs_cell(struct buf *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '|' || *p == '<')
            buf_byte(out, '\\');
        buf_byte(out, *p == '\n' ? ' ' : (unsigned char)*p);
    }
}

static void docs_rows(struct buf *out, const struct conf_spec *specs, const char *prefix)
{
    for (const struct conf_spec *spec = specs; spec->name; spec++) {
        struct buf line = BUF_INIT;
        facts(&line, spec);
        buf_printf(out, "| `%s%s` | ", prefix, spec->name);
        for (size_t i = 0; i < line.n; i++) { /* a bar would end the cell */
            if (line.p[i] == '|')
                buf_lit(out, " \\| ");
            else
                buf_byte(out, (unsigned char)line.p[i]);
        }
        buf_lit(out, " | ");
        docs_cell(out, spec->doc);
        buf_lit(out, " |\n");
        buf_done(&line);
        if (spec->sub) {
            char inner[128];
            snprintf(inner, sizeof(inner), "%s%s.*.", prefix, spec->name);
            docs_rows(out, spec->sub, inner);
        }
    }
}

void conf_print_docs(const struct conf_program *prog, struct buf *out)
{
    buf_printf(out,
               "# %s\n\nMade by `%s --print-docs` from the tables in the code: don't edit it here, "
               "`./dev build debug docs` writes it anew.\n\n## Configuration\n\n",
               prog->name, prog->name);
    buf_lit(out, "| key | type | what it does |\n| --- | --- | --- |\n");
    docs_rows(out, prog->specs, "");
    if (!prog->metrics)
        return;
    buf_lit(out, "\n## Metrics\n\n");
    metric_print_docs(out, prog->metrics);
    buf_lit(out,
            "\nAnd of the process: `process_cpu_seconds_total`, `process_resident_memory_bytes`, "
            "`process_open_fds`, `process_max_fds`, `process_start_time_seconds`.\n");
}

/* ---- the effective configuration ---- */

/* A string knob; a password in a URL (redis://user:password@host) becomes ***. */
static void print_string(struct buf *out, const char *text)
{
    const char *host = strstr(text, "://");
    struct buf b = BUF_INIT;

    if (host) {
        const char *user = host + 3, *at = NULL, *colon;
        size_t n = strlen(user);

        for (size_t i = 0; i < n; i++) /* the last one: a password may hold '@' and '/' */
            at = user[i] == '@' ? user + i : at;
        colon = at ? memchr(user, ':', (size_t)(at - user)) : NULL;
        if (colon) {
            buf_add(&b, text, (size_t)(colon + 1 - text));
            buf_lit(&b, "***");
            text = at;
        }
    }
    buf_str(&b, text);
    buf_json_string(out, buf_as_slice(&b));
    buf_done(&b);
}

static void print_strings(struct buf *out, const struct conf_strings *s)
{
    buf_byte(out, '[');
    for (size_t i = 0; i < s->n; i++) {
        if (i)
            buf_lit(out, ", ");
        print_string(out, s->v[i]);
    }
    buf_byte(out, ']');
}

/* May a librdkafka property hold a secret? Rather one too many. */
static bool is_secret_name(const char *name)
{
    static const char *const words[] = {"password", "secret", ".key",
                                        "token",    "jaas",   "oauthbearer.config"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strcasestr(name, words[i]))
            return true;
    return false;
}

static void print_map(struct buf *out, const struct conf_map *m)
{
    buf_byte(out, '{');
    for (size_t i = 0; i < m->n; i++) {
        if (i)
            buf_lit(out, ", ");
        buf_json_string(out, slice_of(m->v[i].name));
        buf_lit(out, ": ");
        if (m->v[i].hidden || is_secret_name(m->v[i].name))
            buf_lit(out, "\"***\"");
        else
            print_string(out, m->v[i].value);
    }
    buf_byte(out, '}');
}

static void print_table(struct buf *out, const struct conf_spec *spec, const struct conf_table *t,
                        int indent)
{
    buf_byte(out, '{');
    for (size_t i = 0; i < t->n; i++) {
        buf_printf(out, "%s\n%*s", i ? "," : "", indent + 2, "");
        buf_json_string(out, slice_of(t->v[i].name));
        buf_lit(out, ": ");
        conf_print_json(spec->sub, t->v[i].value, indent + 2, out);
    }
    buf_byte(out, '}');
}

static void print_enum(struct buf *out, const struct conf_spec *spec, int value)
{
    const char *p = spec->values;

    while (value-- > 0)
        p = strchr(p, '|') + 1;
    buf_json_string(out, (struct slice){p, strcspn(p, "|")});
}

static void print_value(struct buf *out, const struct conf_spec *spec, const void *field,
                        int indent)
{
    const char *text;

    switch (spec->type) {
    case CONF_BOOL:
        buf_str(out, *(const bool *)field ? "true" : "false");
        break;
    case CONF_INT:
    case CONF_SIZE:
    case CONF_DURATION:
        buf_i64(out, *(const int64_t *)field);
        break;
    case CONF_STRING:
    case CONF_SECRET:
        text = *(char *const *)field;
        if (spec->type == CONF_SECRET && text[0])
            buf_lit(out, "\"***\"");
        else
            print_string(out, text);
        break;
    case CONF_ENUM:
        print_enum(out, spec, *(const int *)field);
        break;
    case CONF_STRINGS:
        print_strings(out, field);
        break;
    case CONF_MAP:
        print_map(out, field);
        break;
    case CONF_TABLE:
        print_table(out, spec, field, indent);
        break;
    }
}

void conf_print_json(const struct conf_spec *specs, const void *base, int indent, struct buf *out)
{
    buf_byte(out, '{');
    for (const struct conf_spec *spec = specs; spec->name; spec++) {
        buf_printf(out, "%s\n%*s\"%s\": ", spec == specs ? "" : ",", indent + 2, "", spec->name);
        print_value(out, spec, (const char *)base + spec->offset, indent + 2);
    }
    buf_printf(out, "\n%*s}", indent, "");
}
