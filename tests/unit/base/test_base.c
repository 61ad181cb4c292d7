/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_base.c: slices, copies of strings, memory, and must() that really ends the process.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/base.h"

static void test_slice(void **state)
{
    (void)state;
    struct slice none = slice_of(NULL);

    assert_null(none.p);
    assert_int_equal(none.n, 0);
    assert_true(slice_eq(slice_of("abc"), SLICE("abc")));
    assert_false(slice_eq(SLICE("abc"), SLICE("abd")));
    assert_false(slice_eq(SLICE("abc"), SLICE("ab")));
    assert_true(slice_eq(none, SLICE("")));
    assert_int_equal(SLICE("a\0b").n, 3);
}

static void test_strings(void **state)
{
    (void)state;
    _cleanup_free_ char *whole = mem_strdup("fanfare");
    _cleanup_free_ char *part = mem_strndup("fanfare", 3);
    _cleanup_free_ char *empty = mem_strndup(NULL, 0);

    assert_string_equal(whole, "fanfare");
    assert_string_equal(part, "fan");
    assert_string_equal(empty, "");
}

static void test_memory(void **state)
{
    (void)state;
    unsigned char *p = mem_zalloc(100);

    for (size_t i = 0; i < 100; i++)
        assert_int_equal(p[i], 0);
    p[99] = 7;
    p = mem_realloc(p, 100000);
    assert_int_equal(p[99], 7);
    free(p);
    p = mem_alloc(0);
    assert_non_null(p);
    free(p);
}

/* Runs fn in a child whose stderr is closed; returns the signal that ended it. */
static int signal_of(void (*fn)(void))
{
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO);
        fn();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void hold(void)
{
    must(1 + 1 == 2);
}

static void break_it(void)
{
    must(1 + 1 == 3);
}

static void test_must(void **state)
{
    (void)state;
    assert_int_equal(signal_of(hold), 0);
    assert_int_equal(signal_of(break_it), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slice),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_must),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
