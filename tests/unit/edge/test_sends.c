/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_sends.c: many sends in one call are the same as one by one: whole, in part, refused, broken.
 * Skipped where the kernel has no io_uring for us.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "edge-node/sends.h"

static struct sends *sends;
static int ours[SENDS_MAX], theirs[SENDS_MAX];

static void open_pairs(size_t n)
{
    sends = sends_new();
    if (!sends)
        skip();
    for (size_t i = 0; i < n; i++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        ours[i] = pair[0];
        theirs[i] = pair[1];
    }
}

static void close_pairs(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        close(ours[i]);
        close(theirs[i]);
    }
    sends_free(sends);
}

static void each_gets_its_own(void **state)
{
    char text[SENDS_MAX], got[8];

    (void)state;
    open_pairs(SENDS_MAX);
    for (int round = 0; round < 20; round++) { /* the rings go round */
        size_t n = round % 4 ? (size_t)round * 13 : SENDS_MAX;
        const int32_t *sent;
        for (size_t i = 0; i < n; i++) {
            text[i] = (char)i;
            sends_add(sends, ours[i], text + i, 1);
        }
        sent = sends_run(sends);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(sent[i], 1);
            assert_int_equal(recv(theirs[i], got, sizeof(got), MSG_DONTWAIT), 1);
            assert_int_equal(got[0], text[i]);
        }
    }
    close_pairs(SENDS_MAX);
}

static void what_a_socket_does_not_take_is_told(void **state)
{
    const size_t size = MIB(4);
    char *text = calloc(1, size);
    const int32_t *sent;

    (void)state;
    assert_non_null(text);
    open_pairs(4);
    close(theirs[1]);
    sends_add(sends, ours[0], text, size);
    sends_add(sends, ours[1], text, 10);
    sends_add(sends, -1, text, 10);
    sends_add(sends, ours[3], text, 10);
    sent = sends_run(sends);
    assert_in_range(sent[0], 1, size - 1);
    assert_int_equal(sent[1], -EPIPE); /* and no signal */
    assert_int_equal(sent[2], -EBADF);
    assert_int_equal(sent[3], 10);
    sends_add(sends, ours[0], text, size);
    sends_add(sends, ours[3], text, 20);
    sent = sends_run(sends);
    assert_int_equal(sent[0], -EAGAIN); /* full: it does not wait */
    assert_int_equal(sent[1], 20);
    theirs[1] = dup(theirs[0]);
    close_pairs(4);
    free(text);
}

/* From now on this process may not enter a ring, as rules that name single calls may have it. */
static int forbid_entering(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_enter, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog all = {ARRAY_LEN(rules), rules};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -errno;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) ? -errno : 0;
}

static void a_ring_that_may_not_be_used_is_none(void **state)
{
    pid_t child;
    int status;

    (void)state;
    open_pairs(0);
    close_pairs(0);
    child = fork();
    assert_true(child >= 0);
    if (!child) {
        if (forbid_entering() != 0)
            _exit(2);
        _exit(sends_new() || errno != EPERM);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 2)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_gets_its_own),
        cmocka_unit_test(what_a_socket_does_not_take_is_told),
        cmocka_unit_test(a_ring_that_may_not_be_used_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
