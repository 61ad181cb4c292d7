/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_admin_listen.c: where the admin listener listens, and what it says where it can't.
 */
#include <ev.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/io/admin.h"

static const struct admin_route routes[] = {{NULL, NULL, NULL}};

static void what_cannot_be_listened_on_is_said(void **state)
{
    static const char *const bad[] = {
        "",        "127.0.0.1", "127.0.0.1:",  "127.0.0.1:x",     "x y:1",        "127.0.0.1:-1",
        "[::1:80", "::1:80",    "1.2.3.4.5:1", "127.0.0.1:65536", "127.0.0.1:80x"};
    struct admin *first;
    char why[256], taken[32];
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct admin *a;

        why[0] = '\0';
        a = admin_new(loop, bad[i], routes, why, sizeof(why));
        if (a)
            fail_msg("\"%s\" was taken, port %d", bad[i], admin_port(a));
        assert_true(strlen(why) > 0);
    }
    first = admin_new(loop, "127.0.0.1:0", routes, why, sizeof(why));
    assert_non_null(first);
    snprintf(taken, sizeof(taken), "127.0.0.1:%d", admin_port(first));
    assert_null(admin_new(loop, taken, routes, why, sizeof(why)));
    assert_non_null(strstr(why, taken));
    assert_non_null(strstr(why, "in use"));
    admin_free(first);
    ev_loop_destroy(loop);
}

static void any_port_and_any_address(void **state)
{
    static const char *const listens[] = {":0", "0.0.0.0:0", "localhost:0", "[::1]:0"};
    char why[256];
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(listens); i++) {
        struct admin *a = admin_new(loop, listens[i], routes, why, sizeof(why));

        if (!a && listens[i][0] == '[') {
            print_message("no IPv6 on this machine: %s\n", why);
            continue;
        }
        if (!a)
            fail_msg("%s: %s", listens[i], why);
        assert_in_range(admin_port(a), 1, 65535);
        admin_free(a);
    }
    ev_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(what_cannot_be_listened_on_is_said),
        cmocka_unit_test(any_port_and_any_address),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
