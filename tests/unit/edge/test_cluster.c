/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_cluster.c: whom a view says to connect to, what others can take, who has too many; and how
 * the view is printed.
 */
#include <math.h>

#include "common/io/coord.h"

#include "edge-node/cluster.h"
#include "edge-node/cluster_print.h"
#include "tests/unit/edge/edge_test.h"

#define MEMBERS 8

static struct coord_member members[MEMBERS];
static struct coord_view view;
static struct cluster *c;
static uint64_t now = 100000;
static char names[MEMBERS][24], urls[MEMBERS][40];

/* Edges 0 to 4 are of region eu, 0 is this one; 5 and 6 of us; 7 is a worker of eu. */
static void begin(void)
{
    view = (struct coord_view){.version = 1, .count = MEMBERS, .members = members};
    for (int i = 0; i < MEMBERS; i++) {
        snprintf(names[i], sizeof(names[i]), "node-%d", i);
        snprintf(urls[i], sizeof(urls[i]), "ws://10.0.0.%d:8000", i);
        members[i] = (struct coord_member){
            .node = names[i],
            .region = i == 5 || i == 6 ? "us" : "eu",
            .url = i == 7 ? "" : urls[i],
            .admin = "10.0.0.1:9100",
            .redis = "",
            .version = "1.0",
            .role = i == 7 ? COORD_WORKER : COORD_EDGE,
            .is_self = i == 0,
            .load = {.clients = 100, .connect_rate = 1000, .ready = true},
        };
    }
    c = cluster_new();
}

static void see(void)
{
    view.version++;
    cluster_see(c, &view, now);
}

static void end(void)
{
    cluster_free(c);
}

static struct cluster_endpoint at[CLUSTER_ENDPOINTS_MAX];

static size_t place(const char *name)
{
    return cluster_place(c, slice_of(name), now, at);
}

static double surplus(double clients)
{
    struct cluster_standing s;

    cluster_get_standing(c, clients, CLUSTER_ABOVE, now, &s);
    return s.surplus;
}

static void test_nobody_known(void **state)
{
    struct cluster_spare s;

    (void)state;
    begin();
    assert_int_equal(place("t-1"), 0);
    cluster_get_spare(c, now, &s);
    assert_int_equal(s.edges, 0);
    assert_true(surplus(1e6) == 0);
    assert_false(cluster_is_elsewhere(c, SLICE("t-1")));
    end();
}

/* The same edge for a place, whoever is asked; own region first. */
static void test_order(void **state)
{
    unsigned of[MEMBERS] = {0};
    char name[16], first[CLUSTER_URL_MAX];
    struct cluster *unasked = cluster_new();

    (void)state;
    begin();
    see();
    cluster_see(unasked, &view, now);
    for (int i = 0; i < 64; i++) {
        cluster_free(c); /* who was asked before counts */
        c = cluster_new();
        see();
        snprintf(name, sizeof(name), "t-%d", i);
        assert_int_equal(place(name), 7);
        snprintf(first, sizeof(first), "%s", at[0].url);
        for (int j = 0; j < 5; j++)
            assert_string_equal(at[j].region, "eu");
        assert_string_equal(at[5].region, "us");
        assert_string_equal(at[6].region, "us");
        of[at[0].node[5] - '0']++;
        cluster_see(unasked, &view, now);
        assert_true(cluster_is_elsewhere(unasked, slice_of(name)) == (at[0].node[5] != '0'));
    }
    cluster_free(unasked);
    for (int i = 0; i < 5; i++)
        assert_in_range(of[i], 5, 25);
    for (int i = 1; i < 5; i++) { /* another edge asks itself */
        members[i - 1].is_self = false;
        members[i].is_self = true;
    }
    see();
    assert_int_equal(place(name), 7);
    assert_string_equal(at[0].url, first);
    end();
}

static void test_drains_and_starts(void **state)
{
    (void)state;
    begin();
    members[1].load.draining = true;
    members[2].load.ready = false;
    members[3].load.room = 100; /* full */
    members[4].url = "ws://bad\r\nhost";
    see();
    assert_int_equal(place("t-1"), 5);
    assert_string_equal(at[0].node, "node-0");
    for (int i = 1; i < 3; i++)
        assert_true(!strcmp(at[i].node, "node-2") || !strcmp(at[i].node, "node-3"));
    members[0].load.draining = members[2].load.draining = members[3].load.draining = true;
    see();
    assert_int_equal(place("t-1"), 2);
    assert_string_equal(at[0].region, "us");
    members[5].load.draining = members[6].load.draining = true;
    see();
    assert_int_equal(place("t-1"), 0);
    end();
}

/* Numbers are told every other second: a storm between is spread by what was sent. */
static void test_storm(void **state)
{
    unsigned of[MEMBERS] = {0}, most = 0;

    (void)state;
    begin();
    members[4].load.clients = 0; /* it is new */
    see();
    for (int i = 0; i < 1000; i++) {
        place("");
        of[at[0].node[5] - '0']++;
    }
    for (int i = 0; i < 5; i++)
        most = of[i] > most ? of[i] : most;
    assert_in_range(of[4], 200, 300);
    assert_in_range(most, 200, 300);
    memset(of, 0, sizeof(of));
    for (int i = 0; i < 1000; i++) { /* all want one channel */
        place("t-1");
        of[at[0].node[5] - '0']++;
    }
    for (int i = 0; i < 5; i++)
        assert_true(of[i] <= 1000 * 1.5 / 5); /* it fills up to the bound what was even before */
    end();
}

static void test_spare(void **state)
{
    struct cluster_spare s;

    (void)state;
    begin();
    members[1].load.cpu_permille = 500;
    members[2].load.cpu_permille = 1000;
    members[3].load.ready = false;
    see();
    cluster_get_spare(c, now, &s);
    assert_int_equal(s.edges, 3);
    assert_true(fabs(s.connect_rate - (500 + 100 + 1000)) < 1e-6);
    assert_true(isinf(s.room));
    members[0].load.draining = members[4].load.draining = true;
    members[1].load.room = members[2].load.room = 150;
    see();
    cluster_get_spare(c, now, &s);
    assert_int_equal(s.edges, 2);
    assert_true(fabs(s.connect_rate - 300) < 1e-6); /* two drain, and share it */
    assert_true(fabs(s.room - 50) < 1e-6);
    cluster_sent_away(c, 40,
                      now); /* they aren't in the numbers yet; 3 isn't ready, but may take some */
    cluster_get_spare(c, now, &s);
    assert_in_range(s.room, 30, 45);
    end();
}

static void test_surplus(void **state)
{
    struct cluster_standing standing;

    (void)state;
    begin();
    see();
    assert_true(surplus(100) == 0);
    assert_true(surplus(130) == 0); /* of a share of 106 */
    assert_in_range(surplus(1000), 647, 649);
    cluster_get_standing(c, 1000, CLUSTER_ABOVE, now, &standing);
    assert_true(standing.all == 1400 && standing.share == 280);
    members[0].load.draining = true;
    see();
    assert_true(surplus(1000) == 0);
    members[0].load.draining = false;
    for (int i = 0; i < 5; i++)
        members[i].load.clients = 2;
    see();
    assert_true(surplus(10) == 0); /* so few are no burden */
    end();
}

/* The numbers of a lost view are as old as the loss: two edges that each believe the other to be
 * empty would shed to each other for ever. */
static void test_surplus_of_a_lost_view(void **state)
{
    (void)state;
    begin();
    view.lost_ms = now - 1;
    see();
    assert_true(surplus(1000) == 0);
    view.lost_ms = 0;
    see();
    assert_true(surplus(1000) > 600);
    end();
}

/* An edge that takes nobody is no place to go to: the others would shed to each other. */
static void test_surplus_beside_those_who_take_nobody(void **state)
{
    (void)state;
    begin();
    for (int i = 1; i < 5; i++)
        members[i].load.clients = 500;
    members[1].load = (struct coord_load){.clients = 0, .ready = false};
    members[2].load.clients = members[2].load.room = 20; /* full */
    see();
    assert_true(surplus(500) == 0);
    assert_in_range(surplus(1000), 180, 190); /* of a share of 667 */
    for (int i = 0; i < 64; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t-%d", i);
        members[3].load.ready = members[4].load.ready = false;
        see();
        assert_false(cluster_is_elsewhere(c, slice_of(name)));
    }
    end();
}

/* Of the others, only that they are there is known (Kubernetes): they are taken to be like this
 * one, and nobody is shed for numbers that nobody told. */
static void test_loads_that_are_not_told(void **state)
{
    struct cluster_spare s;
    bool seen[5] = {false};

    (void)state;
    begin();
    for (int i = 1; i < 5; i++) {
        members[i].is_untold = true;
        members[i].load = (struct coord_load){.ready = true};
    }
    members[0].load.room = 150;
    members[0].load.cpu_permille = 500;
    members[4].load.ready = false;
    see();
    assert_true(surplus(1000) == 0);
    cluster_get_spare(c, now, &s);
    assert_int_equal(s.edges, 3);
    assert_true(fabs(s.connect_rate - 3 * 500) < 1e-6);
    assert_true(fabs(s.room - 3 * 50) < 1e-6);
    for (int i = 0; i < 64; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t-%d", i);
        now += 10000; /* what was sent is forgotten */
        see();
        (void)place(name);
        seen[at[0].node[5] - '0'] = true;
    }
    assert_true(seen[0] && seen[1] && seen[2] && seen[3] && !seen[4]);
    end();
}

/* More edges than are kept: those of this region come first, wherever its name stands. */
static void test_a_crowd(void **state)
{
    static struct coord_member crowd[300 + MEMBERS];
    static char crowd_names[300][16], crowd_urls[300][32];

    (void)state;
    begin();
    for (int i = 0; i < 300; i++) {
        crowd[i] = members[1];
        snprintf(crowd_names[i], sizeof(crowd_names[i]), "n%d", i);
        snprintf(crowd_urls[i], sizeof(crowd_urls[i]), "ws://10.0.1.1:%d", 8000 + i);
        crowd[i].node = crowd_names[i];
        crowd[i].url = crowd_urls[i];
        crowd[i].region = "aa";
    }
    memcpy(&crowd[300], members, sizeof(members));
    view.members = crowd;
    view.count = ARRAY_LEN(crowd);
    see();
    assert_int_equal(place("t-1"), CLUSTER_ENDPOINTS_MAX);
    assert_string_equal(at[0].region, "eu");
    assert_string_equal(at[4].region, "eu");
    end();
}

/* Edges behind one address: a client that tries one endpoint after the other tries it once. */
static void test_an_address_is_told_once(void **state)
{
    (void)state;
    begin();
    for (int i = 0; i < 4; i++)
        members[i].url = "wss://edges.example.com";
    members[6].url = members[5].url;
    see();
    assert_int_equal(place("t-1"), 3);
    assert_string_not_equal(at[0].url, at[1].url);
    assert_string_equal(at[1].region, "eu");
    assert_string_equal(at[2].region, "us");
    end();
}

static const char *text_of(struct buf *b)
{
    buf_byte(b, '\0');
    return b->p;
}

static void test_print(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    begin();
    view.at_ms = now - 250;
    members[1].load.draining = true;
    members[2].load.ready = false;
    members[2].node = "a\"b";
    members[3].is_untold = true;
    cluster_print_json(&b, &view, now);
    text_of(&b);
    assert_non_null(strstr(b.p, "{\"version\":1,\"age_ms\":250,\"lost_ms\":0,\"members\":[\n"
                                "{\"node\":\"node-0\",\"role\":\"edge\",\"region\":\"eu\","
                                "\"state\":\"ready\",\"url\":\"ws://10.0.0.0:8000\","));
    assert_non_null(strstr(b.p, "\"self\":true,\"clients\":100,\"room\":0,\"connect_rate\":1000,"));
    assert_non_null(strstr(b.p, "\"a\\\"b\""));
    assert_non_null(strstr(b.p,
                           "\"self\":false,\"clients\":null,\"room\":null,\"connect_rate\":null,"
                           "\"partitions\":null,\"cpu_permille\":null,\"lag_ms\":null}"));
    buf_clear(&b);
    view.lost_ms = now - 5000;
    cluster_print_table(&b, &view, now);
    text_of(&b);
    assert_non_null(strstr(b.p, "NODE    ROLE    REGION  STATE     CLIENTS  ROOM  PARTITIONS  CPU  "
                                "LAG  VERSION  ADDRESS\n"));
    assert_non_null(strstr(b.p, "node-1  edge    eu      draining      100     -           0   0%  "
                                "0ms  1.0      ws://10.0.0.1:8000\n"));
    assert_non_null(strstr(b.p, "node-3  edge    eu      ready           -     -           -    -  "
                                "  -  1.0      ws://10.0.0.3:8000\n"));
    assert_non_null(strstr(b.p, "node-7  worker  eu      ready           -     -           0   0%  "
                                "0ms  1.0      10.0.0.1:9100\n"));
    assert_non_null(strstr(b.p, "coordination lost 5 s ago"));
    buf_done(&b);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_known),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_drains_and_starts),
        cmocka_unit_test(test_storm),
        cmocka_unit_test(test_spare),
        cmocka_unit_test(test_surplus),
        cmocka_unit_test(test_surplus_of_a_lost_view),
        cmocka_unit_test(test_surplus_beside_those_who_take_nobody),
        cmocka_unit_test(test_loads_that_are_not_told),
        cmocka_unit_test(test_a_crowd),
        cmocka_unit_test(test_an_address_is_told_once),
        cmocka_unit_test(test_print),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
