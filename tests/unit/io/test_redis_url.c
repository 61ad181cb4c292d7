/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_redis_url.c: which Redis URLs are taken, and that no password gets into an error.
 */
#include "tests/unit/io/redis_fixture.h"

static const struct {
    const char *url;
    bool ok;
} urls[] = {
    {"redis://127.0.0.1", true},
    {"redis://127.0.0.1:6380", true},
    {"redis://[::1]:6379/2", true},
    {"redis://u:p%40w@host:1/0", true},
    {"redis://:pw@host/", true},
    {"redis://user@host", true},
    {"unix:/run/redis.sock", true},
    {"unix:///run/redis.sock", true},
    {"redis://p%2Fw:x@h", true},
    {"redis://u:a@b@h", true},
    {"", false},
    {"redis://", false},
    {"redis:///1", false},
    {"redis://:6379", false},
    {"redis://host:0", false},
    {"redis://host:65536", false},
    {"redis://host:", false},
    {"redis://host:99999999999", false},
    {"redis://host:6379x", false},
    {"redis://host/x", false},
    {"redis://host/-1", false},
    {"redis://[::1", false},
    {"redis://[::1]6379", false},
    {"redis://[]", false},
    {"redis://u:%4@host", false},
    {"redis://u:%zz@host", false},
    {"redis://u:%00@host", false},
    {"redis://u:%@host", false},
    {"rediss://host", false},
    {"http://host", false},
    {"unix:run/redis.sock", false},
    {"unix:", false},
    {"redis://host/1?x=2", false},
    {"redis://host:1:2", false},
};

static void urls_are_checked(void **state)
{
    char why[128], long_path[300] = "unix:/";

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        int r = redis_url_check(urls[i].url, why, sizeof(why));

        if ((r == 0) != urls[i].ok)
            fail_msg("%s: %d", urls[i].url, r);
        if (r < 0)
            assert_true(strlen(why) > 0);
    }
    memset(long_path + 6, 'p', sizeof(long_path) - 7);
    assert_int_equal(redis_url_check(long_path, why, sizeof(why)), -EINVAL);
    assert_int_equal(redis_url_check(NULL, why, sizeof(why)), -EINVAL);
    assert_int_equal(redis_url_check("redis://u:secret@h:x", why, sizeof(why)), -EINVAL);
    assert_null(strstr(why, "secret"));
}

static void addresses_are_told_from_names(void **state)
{
    (void)state;
    assert_true(redis_url_is_numeric("redis://127.0.0.1:6379"));
    assert_true(redis_url_is_numeric("redis://u:p@10.0.0.7/2"));
    assert_true(redis_url_is_numeric("redis://[::1]:6379"));
    assert_true(redis_url_is_numeric("unix:/run/redis.sock"));
    assert_false(redis_url_is_numeric("redis://localhost"));
    assert_false(redis_url_is_numeric("redis://10.0.0.7.example:6379"));
    assert_false(redis_url_is_numeric("nonsense"));
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(urls_are_checked),
        cmocka_unit_test(addresses_are_told_from_names),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
