/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_auth.c: what a token grants, and which codes answer one that grants nothing.
 */
#include "common/io/token.h"
#include "common/runtime/namespace.h"

#include "edge-node/auth.h"
#include "edge-node/edge_conf.h"
#include "edge-node/proto.h"
#include "tests/unit/edge/edge_test.h"
#include "tests/unit/edge/edge_tokens.h"

static struct edge_conf conf;
static struct token_keys *keys;

static void test_connect(void **state)
{
    struct namespace_conf open = {.anonymous = true}, closed = {.anonymous = false};
    struct namespace in_open = {.conf = &open}, in_closed = {.conf = &closed};
    struct user *u;

    (void)state;
    assert_int_equal(auth_connect(&conf, keys, SLICE(TOKEN_USER), &u), 0);
    assert_string_equal(u->id, "u");
    assert_int_equal(u->exp_s, 0);
    assert_int_equal(u->channel_count, 1);
    assert_string_equal(u->channels[0], "a");
    assert_true(auth_may(u, &in_closed, SLICE("a")));
    assert_true(auth_may(u, &in_closed, SLICE("priv:x")));
    assert_true(auth_may(u, &in_closed, SLICE("priv:team-7")));
    assert_true(auth_may(u, &in_closed, SLICE("priv:team-")));
    assert_false(auth_may(u, &in_closed, SLICE("priv:team")));
    assert_false(auth_may(u, &in_closed, SLICE("priv:xx")));
    assert_false(auth_may(u, &in_closed, SLICE("b")));
    assert_false(auth_may(NULL, &in_closed, SLICE("a")));
    assert_true(auth_may(u, &in_open, SLICE("b")));
    assert_true(auth_may(NULL, &in_open, SLICE("b")));
    user_free(u);
    user_free(NULL);
}

static void test_connect_refused(void **state)
{
    struct user *u = NULL;

    (void)state;
    assert_int_equal(auth_connect(&conf, NULL, SLICE(TOKEN_USER), &u), DISCONNECT_INVALID_TOKEN);
    assert_int_equal(auth_connect(&conf, keys, SLICE("x.y.z"), &u), DISCONNECT_INVALID_TOKEN);
    assert_int_equal(auth_connect(&conf, keys, SLICE(TOKEN_USER "A"), &u),
                     DISCONNECT_INVALID_TOKEN);
    assert_int_equal(auth_connect(&conf, keys, SLICE(TOKEN_SUB), &u), DISCONNECT_INVALID_TOKEN);
    assert_int_equal(auth_connect(&conf, keys, SLICE(TOKEN_OLD), &u), ERROR_TOKEN_EXPIRED);
    assert_null(u);
}

static void test_subscribe(void **state)
{
    struct user *u;
    int64_t exp_s = -1;

    (void)state;
    assert_int_equal(auth_connect(&conf, keys, SLICE(TOKEN_USER), &u), 0);
    assert_int_equal(auth_subscribe(&conf, keys, u, SLICE("priv:s"), SLICE(TOKEN_SUB), &exp_s), 0);
    assert_int_equal(exp_s, 0);
    assert_int_equal(auth_subscribe(&conf, keys, u, SLICE("priv:t"), SLICE(TOKEN_SUB), &exp_s),
                     ERROR_PERMISSION_DENIED);
    assert_int_equal(auth_subscribe(&conf, keys, NULL, SLICE("priv:s"), SLICE(TOKEN_SUB), &exp_s),
                     ERROR_PERMISSION_DENIED);
    assert_int_equal(auth_subscribe(&conf, NULL, u, SLICE("priv:s"), SLICE(TOKEN_SUB), &exp_s),
                     ERROR_PERMISSION_DENIED);
    assert_int_equal(auth_subscribe(&conf, keys, u, SLICE("priv:s"), SLICE(TOKEN_OLD), &exp_s),
                     ERROR_TOKEN_EXPIRED);
    user_free(u);
}

static void test_ttl(void **state)
{
    (void)state;
    assert_int_equal(auth_ttl(0), -1);
    assert_int_equal(auth_ttl(1000), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_connect_refused),
        cmocka_unit_test(test_subscribe),
        cmocka_unit_test(test_ttl),
    };
    char why[100];
    int rc;

    keys = token_keys_new(TOKEN_SECRET, NULL, why, sizeof(why));
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    token_keys_free(keys);
    return rc;
}
