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
    {"sentinel://127.0.0.1:26379,10.0.0.1,[::1]:1/region", true},
    {"sentinel://u:p%40w@a,b/my-master.1_x/2", true},
    {"sentinel://a:1", false},
    {"sentinel://a:1/", false},
    {"sentinel://a:1//2", false},
    {"sentinel:///m", false},
    {"sentinel://a,/m", false},
    {"sentinel://a,,b/m", false},
    {"sentinel://a:0/m", false},
    {"sentinel://a/m n", false},
    {"sentinel://a/m/x", false},
    {"sentinel://a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a/m", true},
    {"sentinel://a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a/m", false},
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

static void where_has_no_secrets(void **state)
{
    char where[REDIS_WHERE_MAX], long_url[400] = "sentinel://";

    (void)state;
    redis_url_where("sentinel://u:secret@a,[::1]:5/m/3", where);
    assert_string_equal(where, "sentinel://a:26379,[::1]:5/m");
    redis_url_where("redis://u:secret@h/3", where);
    assert_string_equal(where, "h:6379");
    memset(long_url + 11, 'a', 250);
    snprintf(long_url + 261, sizeof(long_url) - 261, ",%060d/m", 0);
    redis_url_where(long_url, where);
    assert_int_equal(strlen(where), REDIS_WHERE_MAX - 1); /* cut, and ended */
}

static void a_public_url_leads_there_without_its_password(void **state)
{
    static const char *const pairs[][2] = {
        {"redis://h", "redis://h"},
        {"redis://h:1/3", "redis://h:1/3"},
        {"redis://:secret@h:1/3", "redis://h:1/3"},
        {"redis://u:se%40cret@h", "redis://u@h"},
        {"redis://u@h", "redis://u@h"},
        {"sentinel://u:secret@a,[::1]:5/m/3", "sentinel://u@a,[::1]:5/m/3"},
        {"unix:/run/a@b", "unix:/run/a@b"},
    };
    char dst[REDIS_WHERE_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        redis_url_public(pairs[i][0], dst);
        assert_string_equal(dst, pairs[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(urls_are_checked),
        cmocka_unit_test(where_has_no_secrets),
        cmocka_unit_test(a_public_url_leads_there_without_its_password),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
