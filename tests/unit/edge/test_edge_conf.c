/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_edge_conf.c: what --check-config of the edge finds, and that it finds all of it at once.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "edge-node/edge_conf.h"
#include "tests/unit/runtime/conf_run.h"

#define CHECK(...) \
    conf_run(&edge_program, &conf, (const char *const[]){"--check-config", __VA_ARGS__, NULL})
#define TOPIC "--set", "namespaces.q.topic=q"

static struct edge_conf conf;

static void expect(const char *set, const char *line)
{
    struct conf_run r = CHECK(TOPIC, "--set", set);

    if (r.rc != (line ? -EINVAL : 1))
        fail_msg("%s: %d, %s", set, r.rc, r.err.p);
    if (line && !strstr(r.err.p, line))
        fail_msg("%s: \"%s\" isn't in: %s", set, line, r.err.p);
    conf_run_done(&r);
}

static void test_addresses(void **state)
{
    (void)state;
    expect("redis_url=rediss://10.0.0.1:6379",
           "fanfare-edge: redis_url: TLS to Redis (rediss://) is not supported\n");
    expect("redis_url=10.0.0.1:6379",
           "redis_url: expected redis://host:port, sentinel://host:port/master or unix:/path\n");
    expect("redis_url=redis://u:p@10.0.0.1:6379/2", NULL);
    expect("redis_url=sentinel://10.0.0.1,10.0.0.2/region", NULL);
    expect("redis_replica_url=redis://10.0.0.1", NULL);
    expect("redis_replica_url=10.0.0.1", "redis_replica_url: expected redis://host:port");
    expect("redis_replica_url=sentinel",
           "redis_replica_url: \"sentinel\" needs a redis_url that names Sentinels\n");
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
    struct conf_run r = CHECK("-s", "redis_url=x", "-s", "listen=x", "-s", "admin_listen=x", "-s",
                              "token_hmac_secret=x");
    static const char *const names[] = {"redis_url: ", "\nfanfare-edge: listen: ", "admin_listen: ",
                                        "token_hmac_secret: ", "namespaces: "};

    (void)state;
    assert_int_equal(r.rc, -EINVAL);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (!strstr(r.err.p, names[i]))
            fail_msg("%s isn't in: %s", names[i], r.err.p);
    conf_run_done(&r);
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
