/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_listener.c: where the client port listens: several sockets on one port that is ours alone,
 * and what it says where it can't.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "edge-node/listener.h"

static void what_cannot_be_listened_on_is_said(void **state)
{
    static const char *const bad[] = {
        "",        "127.0.0.1", "127.0.0.1:",  "127.0.0.1:x",     "x y:1",        "127.0.0.1:-1",
        "[::1:80", "::1:80",    "1.2.3.4.5:1", "127.0.0.1:65536", "127.0.0.1:80x"};
    char why[256];
    int fd, port;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        why[0] = '\0';
        if (listener_open(bad[i], &fd, 1, &port, why, sizeof(why)) == 0)
            fail_msg("\"%s\" was taken, port %d", bad[i], port);
        assert_memory_equal(why, "listen: ", 8);
        assert_true(strlen(why) > 8);
    }
}

static void sockets_share_a_port_with_nobody_else(void **state)
{
    char why[256], taken[32];
    int fds[3], other, port = 0;

    (void)state;
    assert_int_equal(listener_open("127.0.0.1:0", fds, 3, &port, why, sizeof(why)), 0);
    assert_in_range(port, 1, 65535);
    snprintf(taken, sizeof(taken), "127.0.0.1:%d", port);
    assert_int_not_equal(listener_open(taken, &other, 1, &port, why, sizeof(why)), 0);
    assert_non_null(strstr(why, taken));
    assert_non_null(strstr(why, "is another edge running there?"));
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    assert_int_equal(listener_open(taken, fds, 1, &port, why, sizeof(why)), 0);
    close(fds[0]);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(what_cannot_be_listened_on_is_said),
        cmocka_unit_test(sockets_share_a_port_with_nobody_else),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
