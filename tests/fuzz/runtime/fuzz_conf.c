/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_conf.c: an input is a configuration file's text, or, if its first line begins with "--set ",
 * one argument a line. It is loaded or refused, --print-config's text of what was loaded is JSON,
 * and the secret never shows in it. stdout and stderr go to a file that is emptied each time.
 * @thread main
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/runtime/conf.h"
#include "common/runtime/json.h"
#include "common/runtime/namespace.h"

#include "tests/fuzz/fuzz.h"

#define ARGS_MAX 16
#define SECRET   "hunter2-never-shown"

struct conf {
    bool flag;
    int64_t count, size, time;
    char *text, *secret;
    int word;
    struct conf_strings list;
    struct conf_map map;
    struct conf_table namespaces;
};

static const struct conf_spec specs[] = {
    CONF_ROW(struct conf, flag, CONF_BOOL, "flag", "true", 0, 0, NULL, "", "A flag."),
    CONF_ROW(struct conf, count, CONF_INT, "count", "1", 0, 256, NULL, "", "A count."),
    CONF_ROW(struct conf, size, CONF_SIZE, "size", "64KiB", 0, 1 << 30, NULL, "bytes", "A size."),
    CONF_ROW(struct conf, time, CONF_DURATION, "time", "3s", 0, 1 << 30, NULL, "ms", "A time."),
    CONF_ROW(struct conf, text, CONF_STRING, "text", "", 0, 0, NULL, "", "A text."),
    CONF_ROW(struct conf, secret, CONF_SECRET, "secret", SECRET, 0, 0, NULL, "", "A secret."),
    CONF_ROW(struct conf, word, CONF_ENUM, "word", "a", 0, 0, "a|b|c", "", "A word."),
    CONF_ROW(struct conf, list, CONF_STRINGS, "list", "x,y", 0, 0, NULL, "", "A list."),
    CONF_ROW(struct conf, map, CONF_MAP, "map", "", 0, 0, NULL, "", "A map."),
    {"namespaces", CONF_TABLE, offsetof(struct conf, namespaces), "", 0, 0, NULL, "", "Tables.",
     namespace_specs, sizeof(struct namespace_conf)},
    {NULL, CONF_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL, NULL, 0},
};

static void check(const void *arg, struct buf *errors)
{
    const struct conf *c = arg;
    struct namespaces nss;

    if (namespaces_init(&nss, &c->namespaces, errors) == 0)
        namespaces_done(&nss);
}

static const struct conf_program program = {
    .name = "fuzz",
    .summary = "a program",
    .description = "None.",
    .examples = "fuzz",
    .specs = specs,
    .size = sizeof(struct conf),
    .check = check,
};

/* Runs conf_load with stdout and stderr in sink; returns its result and all it wrote. */
static int load(int argc, char **argv, int sink, struct buf *said)
{
    int out, err, rc;
    struct conf c;
    ssize_t n;

    (void)fflush(NULL);
    must(ftruncate(sink, 0) == 0 && lseek(sink, 0, SEEK_SET) == 0);
    out = dup(1);
    err = dup(2);
    must(dup2(sink, 1) == 1 && dup2(sink, 2) == 2);
    rc = conf_load(&program, argc, argv, &c);
    (void)fflush(NULL);
    must(dup2(out, 1) == 1 && dup2(err, 2) == 2);
    close(out);
    close(err);
    if (rc == 0)
        conf_done(&program, &c);
    must(lseek(sink, 0, SEEK_SET) == 0);
    while ((n = read(sink, buf_reserve(said, 4096), 4096)) > 0)
        said->n += (size_t)n;
    return rc;
}

static void judge(int rc, struct slice input, const struct buf *said)
{
    struct json_error err;
    struct json *j;

    /* An input that has it may have it anywhere, under a mistyped name too. */
    if (!memmem(input.p, input.n, SECRET, sizeof(SECRET) - 1))
        must(!memmem(said->p, said->n, SECRET, sizeof(SECRET) - 1));
    if (rc != 1) {
        must(rc < 0 && said->n > 0 && said->p[said->n - 1] == '\n');
        return;
    }
    j = json_parse(buf_as_slice(said), &err);
    must(j != NULL);
    json_free(j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64], name[] = "fuzz", print[] = "--print-config", config[] = "--config";
    char *argv[2 * ARGS_MAX + 5] = {name, print}, *text = mem_strndup((const char *)data, size);
    char set[] = "--set", *next = NULL;
    int sink = memfd_create("said", MFD_CLOEXEC), file = memfd_create("conf", MFD_CLOEXEC);
    struct buf said = BUF_INIT;
    int argc = 2;

    must(sink >= 0 && file >= 0);
    if (strncmp(text, "--set ", 6) == 0) {
        for (char *line = strtok_r(text + 6, "\n", &next); line && argc < 2 * ARGS_MAX;
             line = strtok_r(NULL, "\n", &next)) {
            argv[argc++] = set;
            argv[argc++] = line;
        }
    } else {
        must(write(file, data, size) == (ssize_t)size);
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
        argv[argc++] = config;
        argv[argc++] = path;
    }
    judge(load(argc, argv, sink, &said), (struct slice){(const char *)data, size}, &said);
    buf_done(&said);
    close(sink);
    close(file);
    free(text);
    return 0;
}
