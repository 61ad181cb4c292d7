/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_http_url.c: URLs are checked, and what goes into one is escaped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/io/http.h"

static void urls_are_checked(void **state)
{
    static const char *const good[] = {"http://a", "https://a.b:8501", "http://[::1]:8500/x",
                                       "http://127.0.0.1:8500/"};
    static const char *const bad[] = {"",      "127.0.0.1:8500", "http://",       "ftp://a",
                                      "/v1/x", "unix:///x",      "http://a:port", "http://u:p@a"};
    char why[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (http_url_check(good[i], why, sizeof(why)))
            fail_msg("%s: %s", good[i], why);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (!http_url_check(bad[i], why, sizeof(why)))
            fail_msg("%s is good", bad[i]);
        assert_string_equal(why, "expected http://host:port or https://host:port");
    }
}

static void escapes(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    http_escape(&b, SLICE("aZ09-._~"));
    http_escape(&b, SLICE(" /:?&=%+\xc3\xa9"));
    assert_true(slice_eq(buf_as_slice(&b), SLICE("aZ09-._~%20%2F%3A%3F%26%3D%25%2B%C3%A9")));
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(urls_are_checked),
        cmocka_unit_test(escapes),
    };

    return cmocka_run_group_tests(list, NULL, NULL);
}
