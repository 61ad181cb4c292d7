/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_edge_conf.c: what --check-config of the edge finds, and that it finds all of it at once.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "edge-node/edge_conf.h"
#include "tests/unit/runtime/capture.h"

#define ARGS_MAX 16

/* Runs --check-config with these settings; what it said is in *ret_said. */
static int check(const char *const *sets, struct buf *ret_said)
{
    char *argv[2 * ARGS_MAX] = {mem_strdup("fanfare-edge"), mem_strdup("--check-config"),
                                mem_strdup("--set"), mem_strdup("namespaces.q.topic=q")};
    char *kept[2 * ARGS_MAX] = {NULL};
    struct capture out, err;
    struct buf said_out = BUF_INIT;
    struct edge_conf conf;
    int argc = 4, rc;

    for (size_t i = 0; sets[i]; i++) {
        argv[argc++] = mem_strdup("--set");
        argv[argc++] = mem_strdup(sets[i]);
    }
    memcpy((void *)kept, (const void *)argv, sizeof(kept)); /* getopt moves them */
    out = capture_begin(1);
    err = capture_begin(2);
    rc = conf_load(&edge_program, argc, argv, &conf);
    capture_end(&err, ret_said);
    capture_end(&out, &said_out);
    buf_done(&said_out);
    for (int i = 0; i < argc; i++)
        free(kept[i]);
    return rc;
}

static void expect(const char *set, const char *line)
{
    struct buf said = BUF_INIT;
    int rc = check((const char *const[]){set, NULL}, &said);

    if (rc != (line ? -EINVAL : 1))
        fail_msg("%s: %d, %s", set, rc, said.p);
    if (line && !strstr(said.p, line))
        fail_msg("%s: \"%s\" isn't in: %s", set, line, said.p);
    buf_done(&said);
}

static void test_addresses(void **state)
{
    (void)state;
    expect("redis_url=rediss://10.0.0.1:6379",
           "fanfare-edge: redis_url: TLS to Redis (rediss://) is not supported\n");
    expect("redis_url=10.0.0.1:6379", "redis_url: expected redis://host:port or unix:/path\n");
    expect("redis_url=redis://u:p@10.0.0.1:6379/2", NULL);
    expect("listen=8000", "listen: \"8000\": expected host:port\n");
    expect("listen=", "listen: \"\": expected host:port\n");
    expect("listen=[::1]:8000", NULL);
    expect("admin_listen=127.0.0.1", "admin_listen: \"127.0.0.1\": expected host:port\n");
    expect("admin_listen=", NULL); /* none */
}

static void test_keys(void **state)
{
    (void)state;
    expect("token_hmac_secret=too short",
           "token_hmac_secret: has 9 bytes; HS256 needs at least 32\n");
    expect("token_hmac_secret=a secret of at least thirty-two bytes", NULL);
    expect("token_rsa_public_key=ssh-rsa AAAA", "token_rsa_public_key: is no PEM public key");
}

static void test_all_of_it_at_once(void **state)
{
    static const char *const sets[] = {"redis_url=http://x", "listen=x", "admin_listen=y",
                                       "token_hmac_secret=z", NULL};
    struct buf said = BUF_INIT;

    (void)state;
    assert_int_equal(check(sets, &said), -EINVAL);
    for (size_t i = 0; sets[i]; i++) {
        char *name = mem_strndup(sets[i], strcspn(sets[i], "="));
        if (!strstr(said.p, name))
            fail_msg("%s isn't in: %s", name, said.p);
        free(name);
    }
    buf_done(&said);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_all_of_it_at_once),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
