/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_index_script.c: index_add.lua and index_read.lua case by case, against a Redis of the test's
 * own. test_index_random.c asks whether what they make is true. @thread main
 */
#include "tests/unit/worker/index_rig.h"

#define NO_BOUND SLICE("1000000000")

static void begin(void)
{
    rig_open();
}

static void end(void)
{
    redis_sync_close(redis);
}

/* Entries with these channels, from position `first` on. */
static void carry(uint64_t prev, uint64_t first, size_t n, const char *const *channels)
{
    uint64_t expected = stream_last();

    for (size_t i = 0; i < n; i++) {
        struct entry e = entry_for(channels[i], prev, first + i);

        assert_int_not_equal(redis_type(append(expected, 1000, &e)), REDIS_T_ERROR);
        prev = expected = first + i;
    }
}

static void expect_range(const char *which, const char *range)
{
    const struct redis_reply *r =
        redis_sync_cmd(redis, 3, (struct slice[]){SLICE("HGET"), slice_of(which), SLICE("")});

    assert_non_null(r);
    assert_int_equal(redis_type(r), range ? REDIS_T_STRING : REDIS_T_NIL);
    if (range && !slice_eq(redis_str(r), slice_of(range)))
        fail_msg("%.*s isn't %s", (int)redis_str(r).n, redis_str(r).p, range);
}

static void expect_last(const char *channel, uint64_t last)
{
    struct index_says says;

    read_says(index_key, 1, &channel, &says);
    assert_int_equal(says.last, last);
}

static void expect_read(const char *from, const char *entries, const char *far, const char *upto,
                        int what)
{
    const struct redis_reply *r =
        eval(SCRIPT_INDEX_READ, 4,
             (struct slice[]){slice_of(from), NO_BOUND, slice_of(entries), slice_of(far)});

    assert_int_equal(redis_len(r), 2);
    assert_true(slice_eq(redis_str(redis_at(r, 0)), slice_of(upto)));
    assert_int_equal(redis_int(redis_at(r, 1)), what);
}

static const struct redis_reply *add_one(const char *base, const char *upto, struct slice bound,
                                         const char *channel, const char *pos)
{
    return eval(
        SCRIPT_INDEX_ADD, 5,
        (struct slice[]){slice_of(base), slice_of(upto), bound, slice_of(channel), slice_of(pos)});
}

static void it_begins_where_it_is_told_to(void **state)
{
    (void)state;
    begin();
    expect_read("0", "10", "99", "0", 0); /* no stream */
    expect_range(index_key, NULL);
    carry(0, 1, 3, (const char *const[]){"a", "b", "a"});
    expect_read("1", "10", "99", "1", 2);
    expect_range(index_key, "1 1 0");
    expect_read("1", "10", "99", "1", 0);
    expect_read("0", "10", "99", "1", 0); /* it is further already */
    end();
}

static void it_is_read_in_portions(void **state)
{
    (void)state;
    begin();
    carry(0, 1, 3, (const char *const[]){"a", "b", "a"});
    expect_read("0", "10", "99", "0", 2);
    expect_read("3", "2", "99", "2", 1);
    expect_last("a", 1);
    expect_last("b", 2);
    expect_read("3", "2", "99", "3", 1);
    expect_last("a", 3);
    expect_read("4", "2", "99", "3", 0); /* nothing more is there */
    end();
}

static void it_begins_anew_where_the_stream_does_not_follow(void **state)
{
    (void)state;
    begin();
    carry(0, 1, 2, (const char *const[]){"a", "b"});
    expect_read("2", "10", "99", "2", 2);
    carry(5, 6, 2, (const char *const[]){"a", "b"}); /* 3 to 5 were lost */
    expect_read("7", "10", "99", "7", 2);
    expect_range(index_key, "7 7 0");
    expect_last("a", 0);
    carry(7, 8, 9, (const char *const[]){"a", "b", "c", "a", "a", "a", "a", "a", "a"});
    expect_read("16", "10", "8", "16", 2); /* too far behind */
    expect_range(index_key, "16 16 0");
    cmd("XADD ff:{LogAAAA1:0} 1-17 d \x02unreadable");
    cmd("HSET ff:{LogAAAA1:0}:side last 17");
    expect_read("17", "10", "99", "17", 2);
    end();
}

static void what_moved_is_added_if_it_fits(void **state)
{
    (void)state;
    begin();
    carry(0, 1, 9, (const char *const[]){"a", "b", "a", "a", "a", "a", "a", "a", "a"});
    expect_read("2", "10", "99", "2", 2);
    assert_true(redis_is_error(add_one("3", "9", NO_BOUND, "a", "9"), "REFUSED"));
    assert_true(redis_is_error(add_one("2", "10", NO_BOUND, "a", "9"), "REFUSED"));
    expect_range(index_key, "2 2 0");
    assert_int_equal(redis_int(add_one("2", "9", NO_BOUND, "a", "9")), 1);
    expect_range(index_key, "2 9 61");
    expect_last("a", 9);
    assert_int_equal(redis_int(add_one("9", "9", NO_BOUND, "a", "9")), 1);
    expect_range(index_key, "2 9 61"); /* its field was there */
    cmd("DEL ff:{LogAAAA1:0}:last");
    assert_true(redis_is_error(add_one("9", "9", NO_BOUND, "a", "9"), "REFUSED"));
    expect_range(index_key, NULL);
    end();
}

static void at_its_bound_it_becomes_the_old_one(void **state)
{
    (void)state;
    begin();
    carry(0, 1, 9, (const char *const[]){"a", "b", "a", "a", "a", "a", "a", "a", "a"});
    expect_read("0", "10", "99", "0", 2);
    assert_int_equal(redis_int(add_one("0", "1", SLICE("61"), "a", "1")), 1);
    assert_int_equal(redis_int(add_one("1", "2", SLICE("61"), "b", "2")), 2);
    expect_range(index_key, "2 2 0");
    expect_range(old_key, "0 2 122");
    assert_int_equal(redis_int(add_one("2", "9", SLICE("60"), "a", "9")), 2);
    expect_range(index_key, "9 9 0");
    expect_range(old_key, "2 9 61");
    end();
}

static void it_goes_with_its_stream(void **state)
{
    (void)state;
    begin();
    for (int side = 0; side < 2; side++) {
        carry(0, 1, 2, (const char *const[]){"a", "b"});
        expect_read("0", "1", "99", "0", 2);
        assert_int_equal(redis_int(add_one("0", "2", SLICE("1"), "a", "1")), 2);
        cmd("DEL ff:{LogAAAA1:0}");
        if (side)
            cmd("DEL ff:{LogAAAA1:0}:side");
        assert_int_equal(stream_last(), 0);
        assert_int_equal(redis_int(cmd("DBSIZE")), 0);
    }
    end();
}

/* Its positions would lose their last digits in a Lua number. */
static void the_greatest_positions(void **state)
{
    const uint64_t last = INT64_MAX;

    (void)state;
    begin();
    carry(0, last - 2, 3, (const char *const[]){"a", "b", "c"});
    expect_read("9223372036854775804", "10", "99", "9223372036854775804", 2);
    assert_int_equal(redis_int(add_one("9223372036854775804", "9223372036854775807", NO_BOUND, "a",
                                       "9223372036854775805")),
                     1);
    expect_range(index_key, "9223372036854775804 9223372036854775807 61");
    expect_read("9223372036854775807", "10", "99", "9223372036854775807", 0);
    cmd("DEL ff:{LogAAAA1:0}:last");
    expect_read("9223372036854775805", "10", "99", "9223372036854775805", 2);
    expect_read("9223372036854775807", "10", "99", "9223372036854775807", 2); /* not read */
    end();
}

/* Bytes are counted, not asked for: not far from what Redis needs. */
static void its_bytes_are_about_right(void **state)
{
    static const size_t lengths[] = {4, 12, 40, 200};
    static char names[2000][256];
    static struct slice args[3 + 4000];

    (void)state;
    begin();
    carry(0, 1, 1, (const char *const[]){"a"});
    for (size_t l = 0; l < ARRAY_LEN(lengths); l++) {
        int64_t used, counted;

        cmd("DEL ff:{LogAAAA1:0}:last");
        expect_read("1", "1", "99", "1", 2);
        args[0] = args[1] = SLICE("1");
        args[2] = NO_BOUND;
        for (size_t i = 0; i < 2000; i++) {
            int n = snprintf(names[i], sizeof(names[i]), "%0*zx", (int)lengths[l], i);

            args[3 + 2 * i] = (struct slice){names[i], (size_t)n};
            args[4 + 2 * i] = SLICE("1234567890");
        }
        assert_int_equal(redis_int(eval(SCRIPT_INDEX_ADD, ARRAY_LEN(args), args)), 1);
        used = redis_int(cmd("MEMORY USAGE ff:{LogAAAA1:0}:last SAMPLES 0"));
        counted = strtoll(strrchr(redis_str(cmd("HGET ff:{LogAAAA1:0}:last ")).p, ' '), NULL, 10);
        print_message("%zu bytes a name: %lld used, %lld counted\n", lengths[l], (long long)used,
                      (long long)counted);
        assert_in_range(counted * 100 / used, 70, 130);
    }
    end();
}

int main(void)
{
    const struct CMUnitTest list[] = {
        TEST(it_begins_where_it_is_told_to),
        TEST(it_is_read_in_portions),
        TEST(it_begins_anew_where_the_stream_does_not_follow),
        TEST(what_moved_is_added_if_it_fits),
        TEST(at_its_bound_it_becomes_the_old_one),
        TEST(it_goes_with_its_stream),
        TEST(the_greatest_positions),
        TEST(its_bytes_are_about_right),
    };

    return RUN_WITH_SERVER(list);
}
