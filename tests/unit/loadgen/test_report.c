/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_report.c: figures of several processes are merged, the JSON is JSON with the right numbers,
 * and a client's own doubts make the verdict unclean.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/runtime/json.h"

#include "loadgen/report.h"

#define VERDICT(clean, missing)                                                                   \
    "{\"clean\":" clean                                                                           \
    ",\"ordered_log\":true,\"records\":500,\"channels\":3,\"subscriptions\":20,"                  \
    "\"expected\":1000,\"delivered\":990,\"missing\":" missing ",\"duplicate\":0,\"disorder\":0," \
    "\"wrong\":0,\"told\":0,\"told_records\":0,\"resumed\":4,\"by_channel\":[]}"

struct fixture {
    struct settings st;
    char *url;
    struct report rep;
};

static int setup(void **state)
{
    struct fixture *fx = calloc(1, sizeof *fx);
    fx->url = mem_strdup("ws://127.0.0.1:1/x");
    fx->st.conf.edges = (struct conf_strings){&fx->url, 1};
    fx->st.conf.clients = 10;
    fx->st.edge_count = 1;
    fx->st.processes = 2;
    fx->rep.st = &fx->st;
    hist_init(&fx->rep.connect_ns);
    hist_init(&fx->rep.latency_ns);
    hist_init(&fx->rep.resume_ns);
    *state = fx;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fx = *state;
    free(fx->url);
    free(fx);
    return 0;
}

static double number(const struct json *j, const char *a, const char *b)
{
    double v = -1;
    assert_true(json_number(b ? json_get(json_get(j, a), b) : json_get(j, a), &v));
    return v;
}

static void test_sum(void **state)
{
    (void)state;
    struct crew_stats *crews = calloc(2, sizeof *crews);
    stat_set(&crews[0].deliveries, 5);
    stat_set(&crews[1].deliveries, 7);
    stat_set(&crews[1].edges[1].lost, 3);
    stat_set(&crews[0].edges[1].lost, 1);
    stat_set(&crews[0].connected, 2);
    stat_add(&crews[0].connected, (uint64_t)-1);
    struct report_clients sum;
    report_sum(&sum, crews, 2);
    assert_int_equal(sum.deliveries, 12);
    assert_int_equal(stat_get(&sum.edges[1].lost), 4);
    assert_int_equal(sum.connected, 1);
    free(crews);
}

static void test_json(void **state)
{
    struct fixture *fx = *state;
    struct report_process p[2] = {
        {"edge", 10, false, {1000000, 0}, {11000000, 4096}},
        {"worker", 11, true, {0, 0}, {0, 0}},
    };
    fx->rep.processes = p;
    fx->rep.process_count = 2;
    fx->rep.window_ns = 2000000000u;
    fx->rep.window_deliveries = 1000;
    for (uint64_t i = 1; i <= 100; i++)
        hist_add(&fx->rep.latency_ns, i * 1000000);
    assert_int_equal(report_take_verdict(&fx->rep, SLICE(VERDICT("true", "0"))), 0);
    assert_true(fx->rep.clean);
    struct buf out = BUF_INIT;
    report_json(&fx->rep, &out);
    struct json_error err;
    struct json *j = json_parse(buf_as_slice(&out), &err);
    assert_non_null(j);
    assert_true(number(j, "deliveries", "per_second") == 500.0);
    assert_true(number(j, "cpu_us_per_delivery", NULL) == 10.0);
    assert_true(number(j, "verdict", "expected") == 1000.0);
    assert_true(number(j, "latency_ms", "p50") >= 50.0 && number(j, "latency_ms", "p50") < 50.06);
    assert_true(number(j, "latency_ms", "max") == 100.0);
    assert_true(number(j, "connect_ms", "count") == 0.0);
    json_free(j);
    buf_clear(&out);
    report_human(&fx->rep, &out);
    buf_byte(&out, 0);
    assert_non_null(
        strstr(out.p, "verdict     clean: 500 records, 990 deliveries to 10 clients, 0 missing"));
    assert_non_null(strstr(out.p, "worker: ended"));
    buf_done(&out);
}

static void test_unclean(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(report_take_verdict(&fx->rep, SLICE(VERDICT("false", "10"))), 0);
    assert_false(fx->rep.clean);
    assert_int_equal(fx->rep.tally.missing, 10);
    struct buf out = BUF_INIT;
    report_verdict_line(&fx->rep, &out);
    assert_memory_equal(out.p, "NOT CLEAN: ", 11);
    buf_done(&out);
    fx->rep.clients.protocol_errors = 1; /* the oracle can't know */
    assert_int_equal(report_take_verdict(&fx->rep, SLICE(VERDICT("true", "0"))), 0);
    assert_false(fx->rep.clean);
}

static void test_bad_verdict(void **state)
{
    struct fixture *fx = *state;
    assert_int_equal(report_take_verdict(&fx->rep, SLICE("clean")), -EBADMSG);
    assert_int_equal(report_take_verdict(&fx->rep, SLICE("{\"clean\":true}")), -EBADMSG);
}

static void test_usage(void **state)
{
    (void)state;
    struct usage a, b;
    assert_int_equal(usage_read(getpid(), &a), 0);
    assert_true(a.rss_bytes > 100000);
    volatile uint64_t x = 0;
    do { /* until the clock tick has moved */
        for (int i = 0; i < 1000000; i++)
            x = x + (uint64_t)i;
        assert_int_equal(usage_read(getpid(), &b), 0);
    } while (b.cpu_ns == a.cpu_ns);
    assert_true(b.cpu_ns > a.cpu_ns);
    assert_int_equal(usage_read(0x7ffffff0, &a), -ESRCH);
}

static void test_spread_and_urls(void **state)
{
    struct fixture *fx = *state;
    fx->st.channel_count = 105;
    fx->st.subscriptions = 10;
    for (uint32_t c = 0; c < 300; c++) {
        bool seen[105] = {false};
        for (uint32_t j = 0; j < 10; j++) {
            uint32_t ch = settings_channel_of(&fx->st, c, j);
            assert_true(ch < 105 && !seen[ch]);
            seen[ch] = true;
        }
    }
    struct edge_url url;
    assert_int_equal(edge_url_parse("ws://127.0.0.1:8001/a/b", &url), 0);
    assert_string_equal(url.path, "/a/b");
    assert_string_equal(url.host, "127.0.0.1:8001");
    assert_int_equal(ntohs(url.addr.sin_port), 8001);
    assert_int_equal(edge_url_parse("ws://127.0.0.1", &url), 0);
    assert_string_equal(url.path, "/connection/websocket");
    assert_int_equal(edge_url_parse("wss://127.0.0.1/", &url), -EINVAL);
    assert_int_equal(edge_url_parse("ws:///x", &url), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sum),
        cmocka_unit_test_setup_teardown(test_json, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unclean, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_verdict, setup, teardown),
        cmocka_unit_test(test_usage),
        cmocka_unit_test_setup_teardown(test_spread_and_urls, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
