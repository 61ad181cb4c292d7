/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_proc.c: limits, random ids, names and roles of threads.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/runtime/proc.h"

static void test_fd_limit(void **state)
{
    struct rlimit lim;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &lim), 0);
    proc_set_fd_limit(64);
    assert_int_equal(proc_fd_limit(), 64);
    proc_raise_fd_limit();
    assert_true(proc_fd_limit() == (lim.rlim_max < PROC_FD_MAX ? lim.rlim_max : PROC_FD_MAX));
}

static void test_cpus(void **state)
{
    (void)state;
    assert_true(proc_cpus() >= 1);
}

#ifdef __SANITIZE_THREAD__
#    define SHADOW 5 /* it keeps four bytes for each that is touched */
#else
#    define SHADOW 1
#endif

static void test_memory(void **state)
{
    uint64_t before = proc_memory(), limit = proc_group_limit(PROC_GROUP);
    volatile char *p = malloc(MIB(16)); /* or the compiler leaves out what nobody reads */

    (void)state;
    for (size_t i = 0; i < MIB(16); i += 1024)
        p[i] = 1;
    assert_in_range(proc_memory(), before + MIB(15), before + SHADOW * MIB(40));
    assert_true(limit == 0 || limit >= before);
    free((void *)(uintptr_t)p);
}

static const char *const group_files[] = {"memory.max",
                                          "memory.current",
                                          "memory.stat",
                                          "memory/memory.limit_in_bytes",
                                          "memory/memory.usage_in_bytes",
                                          "memory/memory.stat",
                                          "memory"};

static void remove_group(const char *dir)
{
    char path[256];

    for (size_t i = 0; i < sizeof(group_files) / sizeof(group_files[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, group_files[i]);
        (void)remove(path);
    }
    assert_int_equal(remove(dir), 0);
}

static void put(const char *dir, const char *name, const char *text)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void test_group_v2(void **state)
{
    char dir[] = "/tmp/fanfare-group-XXXXXX";

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(proc_group_limit(dir), 0);
    assert_int_equal(proc_group_memory(dir), 0);
    put(dir, "memory.max", "max\n");
    put(dir, "memory.current", "5000000\n");
    put(dir, "memory.stat", "anon 1000\nactive_file 7\ninactive_file 2000000\nslab 5\n");
    assert_int_equal(proc_group_limit(dir), 0);
    assert_int_equal(proc_group_memory(dir), 3000000);
    put(dir, "memory.max", "268435456\n");
    assert_int_equal(proc_group_limit(dir), 268435456);
    remove_group(dir);
}

static void test_group_v1(void **state)
{
    char dir[] = "/tmp/fanfare-group-XXXXXX", memory[64];

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(memory, sizeof(memory), "%s/memory", dir);
    assert_int_equal(mkdir(memory, 0700), 0);
    put(memory, "memory.limit_in_bytes", "9223372036854771712\n");
    put(memory, "memory.usage_in_bytes", "5000000\n");
    put(memory, "memory.stat", "inactive_file 10\ntotal_inactive_file 1000000\n");
    assert_int_equal(proc_group_limit(dir), 0);
    assert_int_equal(proc_group_memory(dir), 4000000);
    put(memory, "memory.limit_in_bytes", "104857600\n");
    assert_int_equal(proc_group_limit(dir), 104857600);
    remove_group(dir);
}

static void test_exit_within(void **state)
{
    int status, pipes[2];
    char said[100] = "";
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    pid = fork();
    if (pid == 0) {
        dup2(pipes[1], STDERR_FILENO);
        proc_exit_within(1, 7);
        for (;;)
            pause();
    }
    close(pipes[1]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    assert_true(read(pipes[0], said, sizeof(said) - 1) > 0);
    assert_non_null(strstr(said, "event=exit_cut"));
    close(pipes[0]);
}

static void test_random_id(void **state)
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char id[6201], again[6201];
    size_t seen[256] = {0};

    (void)state;
    id[6200] = 'x';
    proc_random_id(id, 6200);
    proc_random_id(again, 6200);
    assert_int_equal(strlen(id), 6200);
    assert_int_equal(strspn(id, letters), 6200);
    assert_string_not_equal(id, again);
    for (size_t i = 0; i < 6200; i++)
        seen[(unsigned char)id[i]]++;
    for (size_t i = 0; i < 62; i++) /* 100 are expected; 30 is seven deviations away */
        assert_in_range(seen[(unsigned char)letters[i]], 30, 170);
    proc_random_id(id, 0);
    assert_int_equal(id[0], 0);
}

static void *thread_main(void *arg)
{
    char name[16] = "";

    assert_null(proc_thread_role_get());
    proc_thread_role("a-very-long-role-name");
    assert_string_equal(proc_thread_role_get(), "a-very-long-role-name");
    assert_int_equal(pthread_getname_np(pthread_self(), name, sizeof(name)), 0);
    assert_string_equal(name, "a-very-long-rol");
    PROC_THREAD_IS("a-very-long-role-name");
    return arg;
}

static void test_roles(void **state)
{
    char before[16] = "", after[16] = "";
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_getname_np(pthread_self(), before, sizeof(before)), 0);
    proc_thread_role("main");
    assert_int_equal(pthread_getname_np(pthread_self(), after, sizeof(after)), 0);
    assert_string_equal(before, after);
    assert_int_equal(pthread_create(&thread, NULL, thread_main, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(proc_thread_role_get(), "main");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fd_limit),  cmocka_unit_test(test_cpus),
        cmocka_unit_test(test_memory),    cmocka_unit_test(test_exit_within),
        cmocka_unit_test(test_group_v2),  cmocka_unit_test(test_group_v1),
        cmocka_unit_test(test_random_id), cmocka_unit_test(test_roles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
