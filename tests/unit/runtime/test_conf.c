/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_conf.c: sources and their order, every type's good and bad values, all errors in one run,
 * what --help, --print-config and the others print, and that no secret is ever in it.
 * length: all tests load the one table of a made-up program.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/runtime/conf.h"
#include "common/runtime/json.h"
#include "common/runtime/namespace.h"

#include "tests/unit/runtime/conf_run.h"

struct conf {
    char *name, *redis_url, *password;
    bool flag;
    int64_t shards, bytes, wait;
    int level;
    struct conf_strings origins;
    struct conf_map kafka;
    struct conf_table namespaces;
};

static const struct conf_spec specs[] = {
    CONF_ROW(struct conf, name, CONF_STRING, "node", "n1", 0, 0, NULL, "", "Name of the node."),
    CONF_ROW(struct conf, redis_url, CONF_STRING, "redis_url", "redis://127.0.0.1:6379", 0, 0, NULL,
             "", "A Redis."),
    CONF_ROW(struct conf, password, CONF_SECRET, "password", "", 0, 0, NULL, "", "Its password."),
    CONF_ROW(struct conf, flag, CONF_BOOL, "flag", "true", 0, 0, NULL, "", "A flag."),
    CONF_ROW(struct conf, shards, CONF_INT, "shards", "2", 1, 256, NULL, "threads",
             "Threads that hold clients, each with its own event loop and its own listener, so "
             "that this line must be wrapped."),
    CONF_ROW(struct conf, bytes, CONF_SIZE, "bytes", "64KiB", 1024, 1 << 30, NULL, "bytes",
             "Size."),
    CONF_ROW(struct conf, wait, CONF_DURATION, "wait", "3s", 0, 7200000, NULL, "ms", "Time."),
    CONF_ROW(struct conf, level, CONF_ENUM, "level", "info", 0, 0, "error|warn|info", "", "Level."),
    CONF_ROW(struct conf, origins, CONF_STRINGS, "origins", "a,b", 0, 0, NULL, "", "Origins."),
    CONF_ROW(struct conf, kafka, CONF_MAP, "kafka", "", 0, 0, NULL, "", "Properties."),
    {"namespaces", CONF_TABLE, offsetof(struct conf, namespaces), "", 0, 0, NULL, "", "By name.",
     namespace_specs, sizeof(struct namespace_conf)},
    {NULL, CONF_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL, NULL, 0},
};

static void check(const void *arg, struct buf *errors)
{
    const struct conf *c = arg;

    if (c->shards == 13)
        buf_lit(errors, "shards: 13 is unlucky\n");
}

static const struct conf_program program = {
    .name = "fanfare-test",
    .summary = "does nothing",
    .description = "It is a program of a test, and has a description that is long enough to be "
                   "wrapped once at the least.\nSecond paragraph.",
    .examples = "fanfare-test --set shards=1",
    .specs = specs,
    .size = sizeof(struct conf),
    .check = check,
};

/* One run of conf_load: its result, what it wrote, and the struct if rc is 0. */
struct run {
    struct conf c;
    struct buf out, err;
    int rc;
};

static void run(struct run *r, const char *const *args)
{
    struct conf_run done = conf_run(&program, &r->c, args);

    r->rc = done.rc;
    r->out = done.out;
    r->err = done.err;
}

#define RUN(r, ...) run(r, (const char *const[]){__VA_ARGS__, NULL})

static void run_done(struct run *r)
{
    if (r->rc == 0)
        conf_done(&program, &r->c);
    buf_done(&r->out);
    buf_done(&r->err);
}

static void write_file(char path[32], struct slice text)
{
    int fd;

    memcpy(path, "/tmp/fanfare-conf-XXXXXX", sizeof("/tmp/fanfare-conf-XXXXXX"));
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text.p, text.n), text.n);
    close(fd);
}

static void load_text(struct run *r, struct slice text)
{
    char path[32];

    write_file(path, text);
    RUN(r, "--config", path);
    unlink(path);
}

static void test_defaults(void **state)
{
    struct run r;

    (void)state;
    run(&r, (const char *const[]){NULL});
    assert_int_equal(r.rc, 0);
    assert_int_equal(r.out.n + r.err.n, 0);
    assert_string_equal(r.c.name, "n1");
    assert_string_equal(r.c.password, "");
    assert_true(r.c.flag);
    assert_int_equal(r.c.shards, 2);
    assert_int_equal(r.c.bytes, 65536);
    assert_int_equal(r.c.wait, 3000);
    assert_int_equal(r.c.level, 2);
    assert_int_equal(r.c.origins.n, 2);
    assert_string_equal(r.c.origins.v[1], "b");
    assert_int_equal(r.c.kafka.n + r.c.namespaces.n, 0);
    assert_null(conf_map_get(&r.c.kafka, "x"));
    run_done(&r);
}

static void test_file(void **state)
{
    const struct namespace_conf *ns;
    struct run r;

    (void)state;
    load_text(
        &r,
        SLICE("{\"node\": \"\xc3\xa9\", \"flag\": false, \"shards\": 256, \"bytes\": \"1MiB\",\n"
              " \"wait\": 250, \"level\": \"error\", \"origins\": [],\n"
              " \"kafka\": {\"bootstrap.servers\": \"h:1\", \"linger.ms\": 5, \"x\": true},\n"
              " \"namespaces\": {\"\": {\"topic\": \"events\"},\n"
              "  \"q\": {\"topic\": \"quakes\", \"key\": \"full\", \"history\": false,\n"
              "   \"headers\": [\"h1\", \"h2\"]}}}\n"));
    assert_string_equal(r.err.p, "");
    assert_int_equal(r.rc, 0);
    assert_string_equal(r.c.name, "\xc3\xa9");
    assert_false(r.c.flag);
    assert_int_equal(r.c.shards, 256);
    assert_int_equal(r.c.bytes, 1 << 20);
    assert_int_equal(r.c.wait, 250);
    assert_int_equal(r.c.level, 0);
    assert_int_equal(r.c.origins.n, 0);
    assert_string_equal(conf_map_get(&r.c.kafka, "bootstrap.servers"), "h:1");
    assert_string_equal(conf_map_get(&r.c.kafka, "linger.ms"), "5");
    assert_string_equal(conf_map_get(&r.c.kafka, "x"), "true");
    assert_int_equal(r.c.namespaces.n, 2);
    assert_string_equal(r.c.namespaces.v[1].name, "q");
    ns = r.c.namespaces.v[1].value;
    assert_string_equal(ns->topic, "quakes");
    assert_int_equal(ns->key, NS_KEY_FULL);
    assert_int_equal(ns->payload, NS_JSON);
    assert_int_equal(ns->on_invalid, NS_INVALID_STRING);
    assert_int_equal(ns->on_too_large, NS_FATE_MARKER);
    assert_int_equal(ns->on_tombstone, NS_TOMBSTONE_NULL);
    assert_int_equal(ns->partitioner, PARTITIONER_MURMUR2);
    assert_true(ns->anonymous && ns->history == NS_HISTORY_OFF);
    assert_int_equal(ns->headers.n, 2);
    run_done(&r);
}

static void test_order_of_sources(void **state)
{
    char path[32];
    struct run r;

    (void)state;
    write_file(path, SLICE("{\"node\": \"file\", \"shards\": 3, \"bytes\": 2048, "
                           "\"namespaces\": {\"q\": {\"topic\": \"t\", \"payload\": \"text\"}}}"));
    setenv("FANFARE_SHARDS", "4", 1);
    setenv("FANFARE_BYTES", "4KiB", 1);
    setenv("FANFARE_CONFIG", path, 1);
    RUN(&r, "--set", "bytes=8KiB", "--set=kafka.bootstrap.servers=a=b", "-s", "node=x", "-s",
        "node=y", "-s", "namespaces.q.topic=u", "-s", "namespaces..topic=d");
    assert_string_equal(r.err.p, "");
    assert_int_equal(r.rc, 0);
    assert_string_equal(r.c.name, "y");
    assert_int_equal(r.c.shards, 4);
    assert_int_equal(r.c.bytes, 8192);
    assert_string_equal(conf_map_get(&r.c.kafka, "bootstrap.servers"), "a=b");
    assert_int_equal(r.c.namespaces.n, 2);
    assert_string_equal(((struct namespace_conf *)r.c.namespaces.v[0].value)->topic, "u");
    assert_int_equal(((struct namespace_conf *)r.c.namespaces.v[0].value)->payload, NS_TEXT);
    assert_string_equal(r.c.namespaces.v[1].name, "");
    run_done(&r);
    unsetenv("FANFARE_SHARDS");
    unsetenv("FANFARE_BYTES");
    unsetenv("FANFARE_CONFIG");
    unlink(path);
}

static void test_text_values(void **state)
{
    static const struct {
        const char *arg, *error; /* NULL: it is taken */
    } cases[] = {
        {"shards=1", NULL},
        {"shards=256", NULL},
        {"shards=0", "shards: 0 is out of range (1 to 256"},
        {"shards=257", "shards: 257 is out of range (1 to 256"},
        {"shards=", "shards: expected an integer"},
        {"shards=1x", "shards: expected an integer"},
        {"shards=1.5", "shards: expected an integer"},
        {"shards=0x10", "shards: expected an integer"},
        {"shards= 1", "shards: expected an integer"},
        {"shards=1 ", "shards: expected an integer"},
        {"shards=1KiB", "shards: expected an integer"},
        {"shards=99999999999999999999", "shards: expected an integer"},
        {"shards=-9223372036854775808", "out of range"},
        {"bytes=1GiB", NULL},
        {"bytes=2GiB", "bytes: 2147483648 is out of range"},
        {"bytes=9007199254740992KiB", "bytes: expected a size"},
        {"bytes=1KB", "bytes: expected a size"},
        {"bytes=1kib", "bytes: expected a size"},
        {"bytes=2s", "bytes: expected a size"},
        {"wait=2h", NULL},
        {"wait=5m", NULL},
        {"wait=0", NULL},
        {"wait=3h", "wait: 10800000 is out of range"},
        {"wait=-1s", "wait: -1000 is out of range"},
        {"wait=1d", "wait: expected a duration"},
        {"flag=false", NULL},
        {"flag=yes", "flag: expected true or false"},
        {"level=warn", NULL},
        {"level=warn|info", "level: expected one of error|warn|info"},
        {"level=", "level: expected one of"},
        {"level=inf", "level: expected one of"},
        {"origins=", NULL},
        {"origins=[\"a\"]", NULL},
        {"origins=[1]", "origins: expected an array of strings, got integer"},
        {"origins=[\"a\"", "origins: expected an array of strings"},
        {"kafka={\"a\":1}", NULL},
        {"kafka=x", "kafka: expected an object"},
        {"kafka=[]", "kafka: expected an object"},
        {"kafka.=1", "kafka.: expected"},
        {"kafka.a=\xff", "expected"},
        {"node=\xff", "node: expected valid UTF-8"},
        {"node=", NULL},
        {"nodes=1", "nodes: unknown key (did you mean \"node\"?)"},
        {"redis_ulr=1", "redis_ulr: unknown key (did you mean \"redis_url\"?)"},
        {"zzzzzzzz=1", "zzzzzzzz: unknown key"},
        {"=1", "unknown key"},
        {".=1", "unknown key"},
        {"node.x=1", "node.x: "},
        {"namespaces.q=1", "namespaces.q: expected"},
        {"namespaces.q.topik=1", "namespaces.q.topik: unknown key (did you mean \"topic\"?)"},
        {"namespaces.q.key=long", "namespaces.q.key: expected one of short|full"},
        {"shards", "--set: expected name=value"},
        {"shards=13", "shards: 13 is unlucky"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct run r;

        RUN(&r, "--set", cases[i].arg);
        if (!cases[i].error)
            assert_string_equal(r.err.p, "");
        else if (!strstr(r.err.p, cases[i].error))
            fail_msg("%s: %s", cases[i].arg, r.err.p);
        assert_int_equal(r.rc, cases[i].error ? -EINVAL : 0);
        assert_int_equal(r.out.n, 0);
        run_done(&r);
    }
}

static void test_all_errors_in_one_run(void **state)
{
    static const char *const lines[] = {
        "fanfare-test: node: expected a string, got integer\n",
        "fanfare-test: flag: expected true or false, got integer\n",
        "fanfare-test: shards: 900 is out of range (1 to 256",
        "fanfare-test: bytes: expected a size in bytes",
        "fanfare-test: level: expected one of error|warn|info, got \"loud\"\n",
        "fanfare-test: origins: expected an array of strings, got null as element 1\n",
        "fanfare-test: kafka.a: expected a string, number or boolean, got array\n",
        "fanfare-test: namespaces.q.topic: expected a string, got boolean\n",
        "fanfare-test: namespaces.q.payloda: unknown key (did you mean \"payload\"?)\n",
        "fanfare-test: namespaces.r: expected an object, got string\n",
        "fanfare-test: a?b: unknown key",
        "fanfare-test: FANFARE_WAIT: expected a duration",
    };
    struct run r;

    (void)state;
    setenv("FANFARE_WAIT", "soon", 1);
    load_text(&r, SLICE("{\"node\":1,\"flag\":1,\"shards\":900,\"bytes\":1.5,\"level\":\"loud\","
                        "\"origins\":[\"a\",null],\"kafka\":{\"a\":[]},\"namespaces\":"
                        "{\"q\":{\"topic\":true,\"payloda\":1},\"r\":\"x\"},\"a\\nb\":1}"));
    unsetenv("FANFARE_WAIT");
    assert_int_equal(r.rc, -EINVAL);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        if (!strstr(r.err.p, lines[i]))
            fail_msg("no \"%s\" in:\n%s", lines[i], r.err.p);
    run_done(&r);
}

static void test_bad_files(void **state)
{
    char big[] = "/tmp/fanfare-conf-XXXXXX";
    struct run r;
    int fd;

    (void)state;
    load_text(&r, SLICE("{\n  \"shards\": 2,\n  \"node\" \"x\"\n}"));
    assert_int_equal(r.rc, -EINVAL);
    assert_non_null(strstr(r.err.p, ":3:"));
    run_done(&r);
    load_text(&r, SLICE("[]"));
    assert_int_equal(r.rc, -EINVAL);
    assert_non_null(strstr(r.err.p, "expected an object, got array"));
    run_done(&r);
    load_text(&r, SLICE(""));
    assert_int_equal(r.rc, -EINVAL);
    run_done(&r);
    RUN(&r, "--config", "/nonexistent/x.json");
    assert_int_equal(r.rc, -EINVAL);
    assert_non_null(strstr(r.err.p, "/nonexistent/x.json: No such file"));
    run_done(&r);
    RUN(&r, "--config", "/tmp");
    assert_int_equal(r.rc, -EINVAL);
    assert_non_null(strstr(r.err.p, "directory"));
    run_done(&r);
    fd = mkstemp(big);
    assert_true(fd >= 0 && ftruncate(fd, 5 << 20) == 0);
    RUN(&r, "--config", big);
    assert_int_equal(r.rc, -EINVAL);
    assert_non_null(strstr(r.err.p, "is larger than"));
    run_done(&r);
    close(fd);
    unlink(big);
}

static void test_file_knobs(void **state)
{
    char path[32], set[64], text[128];
    struct run r;

    (void)state;
    write_file(path, SLICE("hunter2\n\r\n"));
    (void)snprintf(set, sizeof(set), "password_file=%s", path);
    RUN(&r, "--set", set);
    assert_int_equal(r.rc, 0);
    assert_string_equal(r.c.password, "hunter2\n"); /* only the last line break is taken */
    run_done(&r);
    setenv("FANFARE_PASSWORD_FILE", path, 1);
    run(&r, (const char *const[]){NULL});
    assert_string_equal(r.c.password, "hunter2\n");
    run_done(&r);
    unsetenv("FANFARE_PASSWORD_FILE");
    (void)snprintf(text, sizeof(text), "{\"node_file\": \"%s\"}", path);
    load_text(&r, slice_of(text));
    assert_string_equal(r.c.name, "hunter2\n");
    run_done(&r);
    unlink(path);
    RUN(&r, "--set", set);
    assert_int_equal(r.rc, -EINVAL);
    assert_non_null(strstr(r.err.p, "password_file: can't read /tmp/"));
    run_done(&r);
    write_file(path, (struct slice){"a\0b", 3});
    (void)snprintf(set, sizeof(set), "password_file=%s", path);
    RUN(&r, "--set", set);
    assert_int_equal(r.rc, -EINVAL);
    assert_non_null(strstr(r.err.p, "without NUL"));
    run_done(&r);
    unlink(path);
    RUN(&r, "--set", "shards_file=/dev/null"); /* only strings have a file */
    assert_int_equal(r.rc, -EINVAL);
    assert_non_null(strstr(r.err.p, "shards_file: unknown key"));
    run_done(&r);
    load_text(&r, SLICE("{\"password_file\": 1}"));
    assert_int_equal(r.rc, -EINVAL);
    assert_non_null(strstr(r.err.p, "password_file: expected the path of a file, got integer"));
    run_done(&r);
}

static void test_secrets_never_show(void **state)
{
    static const char *const args[][8] = {
        {"--print-config", "-s", "password=hunter2", "-s", "redis_url=redis://u:hunter2@h:1/2"},
        {"--print-config", "-s", "kafka.sasl.password=hunter2", "-s", "kafka.ssl.key.pem=hunter2"},
        {"--print-config", "-s", "kafka.sasl.oauthbearer.client.secret=hunter2"},
        {"--print-config", "-s", "redis_url=redis://:p@hunter2@h/"},
        {"--check-config", "-s", "password=hunter2"},
        {"--password=hunter2"},
        {"--set", "password", "hunter2"},
        {"--set", "password:hunter2"},
        {"hunter2"},
        {"-s", "kafka={\"sasl.password\":\"hunter2\""},
        {"-s", "passwrod=hunter2"},
        {"-s", "password=hunter2", "-s", "shards=13"},
        {"-s", "password=hunter2\xff"},
    };
    static const char *const files[] = {
        "{\"password\": \"hunter2\" \"x\"}",
        "{\"password\": \"hunter2",
        "{\"password\": hunter2}",
        "{\"password\": [\"hunter2\"]}",
        "{\"kafka\": {\"sasl.password\": [\"hunter2\"]}}",
    };
    struct run r;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(args); i++) {
        run(&r, args[i]);
        if (strstr(r.out.p, "hunter2") || strstr(r.err.p, "hunter2"))
            fail_msg("case %zu: %s%s", i, r.out.p, r.err.p);
        assert_int_not_equal(r.rc, 0);
        assert_true(r.out.n + r.err.n > 0);
        run_done(&r);
    }
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        load_text(&r, slice_of(files[i]));
        assert_int_equal(r.rc, -EINVAL);
        assert_null(strstr(r.err.p, "hunter2"));
        run_done(&r);
    }
}

/* What --print-config prints is a configuration that gives the same again. */
static void test_print_config(void **state)
{
    const struct json *ns;
    struct json_error err;
    struct run r, again;
    struct slice text;
    struct json *j;
    int64_t n;

    (void)state;
    RUN(&r, "--print-config", "-s", "password=x", "-s", "node=a\"\\\n\xc3\xa9", "-s",
        "redis_url=redis://u:x@h:1", "-s", "namespaces.q.topic=t", "-s", "kafka.a.b=c", "-s",
        "wait=1m", "-s", "level=warn");
    assert_int_equal(r.rc, 1);
    assert_int_equal(r.err.n, 0);
    j = json_parse(buf_as_slice(&r.out), &err);
    assert_non_null(j);
    assert_int_equal(json_size(j), ARRAY_LEN(specs) - 1);
    assert_true(json_text(json_get(j, "node"), &text) && slice_eq(text, SLICE("a\"\\\n\xc3\xa9")));
    assert_true(json_text(json_get(j, "password"), &text) && slice_eq(text, SLICE("***")));
    assert_true(json_text(json_get(j, "redis_url"), &text) &&
                slice_eq(text, SLICE("redis://u:***@h:1")));
    assert_true(json_i64(json_get(j, "wait"), &n) && n == 60000);
    assert_true(json_text(json_get(j, "level"), &text) && slice_eq(text, SLICE("warn")));
    ns = json_get(json_get(j, "namespaces"), "q");
    assert_true(json_text(json_get(ns, "payload"), &text) && slice_eq(text, SLICE("json")));
    load_text(&again, buf_as_slice(&r.out));
    assert_string_equal(again.err.p, "");
    assert_int_equal(again.c.wait, 60000);
    assert_string_equal(conf_map_get(&again.c.kafka, "a.b"), "c");
    run_done(&again);
    json_free(j);
    run_done(&r);
}

static void test_check_and_version(void **state)
{
    struct run r;

    (void)state;
    RUN(&r, "--check-config", "-s", "kafka.a=b", "-s", "kafka.c=d");
    assert_int_equal(r.rc, 1);
    assert_string_equal(r.out.p, "config ok: 11 keys\n"); /* 9 knobs, 2 of the map */
    run_done(&r);
    RUN(&r, "--check-config", "-s", "shards=0");
    assert_int_equal(r.rc, -EINVAL);
    assert_int_equal(r.out.n, 0);
    run_done(&r);
    RUN(&r, "--version");
    assert_int_equal(r.rc, 1);
    assert_string_equal(r.out.p, "fanfare-test " FANFARE_VERSION "\n");
    run_done(&r);
    RUN(&r, "--set");
    assert_int_equal(r.rc, -EINVAL);
    assert_non_null(strstr(r.err.p, "--set"));
    run_done(&r);
    RUN(&r, "--nonsense");
    assert_int_equal(r.rc, -EINVAL);
    assert_non_null(strstr(r.err.p, "\"--nonsense\""));
    run_done(&r);
}

static void test_help(void **state)
{
    static const char *const parts[] = {
        "NAME\n",        "fanfare-test - does nothing",
        "SYNOPSIS\n",    "DESCRIPTION\n",
        "OPTIONS\n",     "--print-docs",
        "FILES\n",       "EXAMPLES\n",
        "EXIT STATUS\n", "$FANFARE_REDIS_URL",
        "threads",       "1 to 256",
        "default 64KiB", "error|warn|info",
        "on_too_large",
    };
    struct run r;

    (void)state;
    RUN(&r, "--help", "--set", "shards=0");
    assert_int_equal(r.rc, 1);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (!strstr(r.out.p, parts[i]))
            fail_msg("no \"%s\"", parts[i]);
    for (const struct conf_spec *spec = specs; spec->name; spec++)
        assert_non_null(strstr(r.out.p, spec->name));
    for (const char *p = r.out.p; *p; p += strcspn(p, "\n") + 1)
        if (strcspn(p, "\n") > 80)
            fail_msg("too wide: %.*s", (int)strcspn(p, "\n"), p);
    run_done(&r);
}

static void test_docs(void **state)
{
    struct run r;

    (void)state;
    RUN(&r, "--print-docs");
    assert_int_equal(r.rc, 1);
    assert_non_null(strstr(r.out.p, "| `shards` | integer, threads, 1 to 256, default 2 | "));
    assert_non_null(strstr(r.out.p, "| `namespaces.*.topic` | "));
    for (const char *p = strstr(r.out.p, "\n| `"); p; p = strstr(p + 1, "\n| `")) {
        size_t bars = 0; /* each row has three cells */

        for (const char *c = p + 1; *c && *c != '\n'; c++)
            bars += *c == '|' && c[-1] != '\\';
        assert_int_equal(bars, 4);
    }
    run_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_order_of_sources),
        cmocka_unit_test(test_text_values),
        cmocka_unit_test(test_all_errors_in_one_run),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_file_knobs),
        cmocka_unit_test(test_secrets_never_show),
        cmocka_unit_test(test_print_config),
        cmocka_unit_test(test_check_and_version),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_docs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
