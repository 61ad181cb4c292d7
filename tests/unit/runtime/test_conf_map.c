/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_conf_map.c: a map's member given as <name>_file: from the file, --set and the environment;
 * what such a file holds is never shown, whatever the member is called.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/runtime/conf_run.h"

struct conf {
    struct conf_map kafka;
};

static const struct conf_spec specs[] = {
    CONF_ROW(struct conf, kafka, CONF_MAP, "kafka", "", 0, 0, NULL, "", "Properties."),
    {NULL, CONF_BOOL, 0, NULL, 0, 0, NULL, NULL, NULL, NULL, 0},
};

static const struct conf_program program = {
    .name = "fanfare-test",
    .summary = "does nothing",
    .description = "It is a program of a test.",
    .examples = "",
    .specs = specs,
    .size = sizeof(struct conf),
};

static struct conf conf;

#define RUN(...) conf_run(&program, &conf, (const char *const[]){__VA_ARGS__, NULL})

/* A file that holds text; removed when the test ends by the next call. */
static const char *file_of(struct slice text)
{
    static char path[32];
    int fd;

    if (path[0])
        unlink(path);
    memcpy(path, "/tmp/fanfare-map-XXXXXX", sizeof("/tmp/fanfare-map-XXXXXX"));
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text.p, text.n), text.n);
    close(fd);
    return path;
}

static void expect(struct conf_run r, const char *name, const char *value)
{
    if (r.rc)
        fail_msg("%d: %s", r.rc, r.err.p);
    assert_string_equal(conf_map_get(&conf.kafka, name), value);
    assert_int_equal(conf.kafka.n, 1);
    conf_done(&program, &conf);
    conf_run_done(&r);
}

static void test_each_source(void **state)
{
    char text[128];
    const char *secret;

    (void)state;
    secret = file_of(SLICE("hunter2 \n\n"));
    snprintf(text, sizeof(text), "kafka.sasl.password_file=%s", secret);
    expect(RUN("-s", text), "sasl.password", "hunter2 \n"); /* the last line break only */
    snprintf(text, sizeof(text), "kafka={\"sasl.password_file\":\"%s\"}", secret);
    expect(RUN("-s", text), "sasl.password", "hunter2 \n");
    snprintf(text, sizeof(text), "{\"sasl.password_file\":\"%s\"}", secret);
    setenv("FANFARE_KAFKA", text, 1);
    expect(RUN("-s", "kafka.sasl.password=later wins"), "sasl.password", "later wins");
    unsetenv("FANFARE_KAFKA");
}

static void test_it_is_never_shown(void **state)
{
    char set[128];
    struct conf_run r;

    (void)state;
    snprintf(set, sizeof(set), "kafka.some.setting_file=%s", file_of(SLICE("hunter2\n")));
    r = RUN("--print-config", "-s", set);
    assert_int_equal(r.rc, 1);
    assert_non_null(strstr(r.out.p, "\"some.setting\": \"***\""));
    assert_null(strstr(r.out.p, "hunter2"));
    conf_run_done(&r);
    r = RUN("--print-config", "-s", set, "-s", "kafka.some.setting=open"); /* not the file's */
    assert_non_null(strstr(r.out.p, "\"some.setting\": \"open\""));
    conf_run_done(&r);
}

static void test_errors(void **state)
{
    static const struct {
        const char *set, *said;
    } cases[] = {
        {"kafka.a_file=/nowhere/at/all", "fanfare-test: kafka.a_file: can't read /nowhere/at/all"},
        {"kafka={\"a_file\":5}", "kafka.a_file: expected the path of a file, got integer"},
        {"kafka._file=/etc/hostname", "kafka._file: expected"},
    };
    struct conf_run r;
    char set[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        r = RUN("-s", cases[i].set);
        if (r.rc != -EINVAL || !strstr(r.err.p, cases[i].said))
            fail_msg("%s: %d, %s", cases[i].set, r.rc, r.err.p);
        conf_run_done(&r);
    }
    snprintf(set, sizeof(set), "kafka.a_file=%s", file_of(SLICE("hunter2\xff")));
    r = RUN("-s", set);
    assert_int_equal(r.rc, -EINVAL);
    assert_non_null(strstr(r.err.p, "kafka.a_file: expected valid UTF-8"));
    assert_null(strstr(r.err.p, "hunter2"));
    conf_run_done(&r);
    (void)unlink(file_of(SLICE("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_source),
        cmocka_unit_test(test_it_is_never_shown),
        cmocka_unit_test(test_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
