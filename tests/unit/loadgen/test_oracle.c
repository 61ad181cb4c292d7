/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_oracle.c: the verdict on made-up delivery logs: a clean one passes, and each single fault
 * in it is found and named rightly. One dropped record of thousands must be enough.
 * length: one fault after the other in one made-up log, by the same few helpers.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "loadgen/dlog.h"
#include "loadgen/judge.h"

/* Two channels in one partition, positions sparse: "a" at 10, 20, 30 …, "b" at 15, 25, 35 … */
#define RECORDS 100

static uint32_t digest_at(uint64_t pos)
{
    return dlog_digest(&pos, sizeof pos);
}

static struct truth *truth_make(void)
{
    struct truth *t = truth_new();
    assert_int_equal(truth_watch(t, SLICE("a")), 0);
    assert_int_equal(truth_watch(t, SLICE("b")), 1);
    assert_int_equal(truth_watch(t, SLICE("a")), 0);
    truth_begin(t, 0, 5);
    for (uint64_t i = 1; i <= RECORDS; i++) {
        assert_int_equal(truth_record(t, SLICE("a"), 0, i * 10, digest_at(i * 10)), 0);
        assert_int_equal(truth_record(t, SLICE("b"), 0, i * 10 + 5, digest_at(i * 10 + 5)), 0);
        assert_int_equal(truth_record(t, SLICE("other"), 0, i * 10 + 6, 0), 0);
    }
    truth_end(t, 0, RECORDS * 10 + 9);
    assert_int_equal(truth_last(t, 1), RECORDS * 10 + 5);
    return t;
}

struct log {
    struct dlog_row v[1000];
    size_t n;
};

static void row(struct log *l, enum dlog_type type, uint32_t client, uint64_t pos)
{
    l->v[l->n++] = (struct dlog_row){client, 0, pos, digest_at(pos), type};
}

/* Client 7 of channel "a", subscribed at 200 (so from the 21st on), gets all. */
static void whole(struct log *l)
{
    l->n = 0;
    row(l, DLOG_SUBSCRIBED, 7, 200);
    for (uint64_t i = 21; i <= RECORDS; i++)
        row(l, DLOG_DELIVERED, 7, i * 10);
}

/* Row of the delivery at pos. */
static size_t at(uint64_t pos)
{
    return (size_t)(pos / 10 - 20);
}

static void erase(struct log *l, size_t i)
{
    memmove(&l->v[i], &l->v[i + 1], (l->n - i - 1) * sizeof l->v[0]);
    l->n--;
}

static void insert(struct log *l, size_t i, struct dlog_row r)
{
    memmove(&l->v[i + 1], &l->v[i], (l->n - i) * sizeof l->v[0]);
    l->v[i] = r;
    l->n++;
}

static int judge_bytes(struct truth *t, const void *p, size_t n)
{
    char path[] = "/tmp/fanfare-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), n);
    close(fd);
    int r = judge_file(t, path);
    unlink(path);
    return r;
}

static struct tally judge(const struct log *l, bool *clean)
{
    struct truth *t = truth_make();
    assert_int_equal(judge_bytes(t, l->v, l->n * sizeof l->v[0]), 0);
    struct tally tally = *truth_tally(t);
    *clean = truth_is_clean(t, false);
    truth_free(t);
    return tally;
}

static void assert_faults(const struct log *l, struct tally want)
{
    bool clean;
    struct tally got = judge(l, &clean);
    assert_int_equal(got.missing, want.missing);
    assert_int_equal(got.duplicate, want.duplicate);
    assert_int_equal(got.disorder, want.disorder);
    assert_int_equal(got.wrong, want.wrong);
    assert_int_equal(got.told, want.told);
    assert_int_equal(got.told_records, want.told_records);
    bool faultless =
        !want.missing && !want.duplicate && !want.disorder && !want.wrong && !want.told;
    assert_int_equal(clean, faultless);
}

static void test_clean(void **state)
{
    (void)state;
    struct log l;
    bool clean;
    whole(&l);
    struct tally got = judge(&l, &clean);
    assert_true(clean);
    assert_int_equal(got.subscriptions, 1);
    assert_int_equal(got.expected, 80);
    assert_int_equal(got.delivered, 80);
    row(&l, DLOG_RESUMED, 7, 1000);
    assert_faults(&l, (struct tally){0});
}

static void test_rewound(void **state)
{
    (void)state;
    struct log l;
    whole(&l);
    row(&l, DLOG_REWOUND, 7, 500);
    row(&l, DLOG_RESUMED, 7, 500);
    size_t again = l.n;
    for (uint64_t pos = 510; pos <= 1000; pos += 10)
        row(&l, DLOG_DELIVERED, 7, pos);
    assert_faults(&l, (struct tally){0});

    struct log faulty = l; /* what didn't come again, or came from before the cursor */
    erase(&faulty, again + 3);
    assert_faults(&faulty, (struct tally){.missing = 1});
    faulty = l;
    insert(&faulty, again, (struct dlog_row){7, 0, 500, digest_at(500), DLOG_DELIVERED});
    assert_faults(&faulty, (struct tally){.duplicate = 1});
    faulty = l; /* that it comes now is no excuse for not having come before */
    erase(&faulty, at(700));
    assert_faults(&faulty, (struct tally){.missing = 1});
    faulty = l;
    faulty.v[again - 2].pos = 100; /* before the subscription */
    assert_faults(&faulty, (struct tally){.wrong = 1, .duplicate = 50});
}

static void test_one_dropped_record_fails(void **state)
{
    (void)state;
    struct log l;
    for (uint64_t pos = 210; pos <= 1000; pos += 10) { /* each one: first, last, in between */
        whole(&l);
        erase(&l, at(pos));
        assert_faults(&l, (struct tally){.missing = 1});
    }
}

/* Missing is one thing; missing right behind "recovered" is a lie, too. */
static void test_false_recovered(void **state)
{
    (void)state;
    struct log l;
    bool clean;
    whole(&l);
    insert(&l, at(700), (struct dlog_row){7, 0, 690, 0, DLOG_RESUMED});
    assert_int_equal(judge(&l, &clean).false_recovered, 0);
    erase(&l, at(700) + 1);
    erase(&l, at(700) + 1); /* 700 and 710: 720 is the first that comes */
    erase(&l, at(900));     /* 920 (two rows are gone, one came): later, plainly missing */
    struct tally got = judge(&l, &clean);
    assert_false(clean);
    assert_int_equal(got.missing, 3);
    assert_int_equal(got.false_recovered, 2);

    l.v[at(700)].type =
        DLOG_TOLD; /* told in time: no lie, and nothing is missing but for the later one */
    l.v[at(700)].pos = 710;
    got = judge(&l, &clean);
    assert_int_equal(got.missing, 1);
    assert_int_equal(got.false_recovered, 0);

    whole(&l); /* that it comes to a client which went back to an old cursor is no excuse */
    erase(&l, at(700));
    insert(&l, at(700), (struct dlog_row){7, 0, 690, 0, DLOG_RESUMED});
    row(&l, DLOG_REWOUND, 7, 500);
    row(&l, DLOG_RESUMED, 7, 500);
    for (uint64_t pos = 510; pos <= 1000; pos += 10)
        row(&l, DLOG_DELIVERED, 7, pos);
    got = judge(&l, &clean);
    assert_int_equal(got.missing, 1);
    assert_int_equal(got.false_recovered, 1);

    whole(&l); /* what comes after all is not missing, wherever it comes */
    insert(&l, at(700), (struct dlog_row){7, 0, 690, 0, DLOG_RESUMED});
    struct dlog_row late = l.v[at(700) + 1];
    erase(&l, at(700) + 1);
    insert(&l, at(700) + 3, late);
    got = judge(&l, &clean);
    assert_int_equal(got.missing, 0);
    assert_int_equal(got.disorder, 1);
    assert_int_equal(got.false_recovered, 0);
}

static void test_nothing_delivered_and_nothing_subscribed(void **state)
{
    (void)state;
    struct log l;
    bool clean;
    whole(&l);
    l.n = 1;
    assert_faults(&l, (struct tally){.missing = 80});
    l.n = 0;
    (void)judge(&l, &clean);
    assert_false(clean); /* a run that proved nothing is not clean */
}

static void test_duplicate(void **state)
{
    (void)state;
    struct log l;
    whole(&l);
    insert(&l, at(500), l.v[at(500)]);
    assert_faults(&l, (struct tally){.duplicate = 1});
    whole(&l);
    row(&l, DLOG_DELIVERED, 7, 210); /* much later */
    assert_faults(&l, (struct tally){.duplicate = 1});
    whole(&l);
    row(&l, DLOG_DELIVERED, 7, 200); /* from before the subscription */
    assert_faults(&l, (struct tally){.duplicate = 1});
}

static void test_out_of_order(void **state)
{
    (void)state;
    struct log l;
    whole(&l);
    struct dlog_row early = l.v[at(400)];
    l.v[at(400)] = l.v[at(410)];
    l.v[at(410)] = early;
    assert_faults(&l, (struct tally){.disorder = 1});
}

static void test_wrong(void **state)
{
    (void)state;
    struct log l;
    whole(&l);
    l.v[at(600)].digest ^= 1;
    assert_faults(&l, (struct tally){.wrong = 1});
    whole(&l);
    row(&l, DLOG_DELIVERED, 7, 605); /* a position of another channel */
    assert_faults(&l, (struct tally){.wrong = 1});
    whole(&l);
    row(&l, DLOG_DELIVERED, 8, 600); /* a client that never subscribed */
    assert_faults(&l, (struct tally){.wrong = 1});
    whole(&l);
    row(&l, DLOG_SUBSCRIBED, 7, 900); /* begins a second time, as if to shed its obligation */
    assert_faults(&l, (struct tally){.wrong = 1});
}

static void test_told_gap(void **state)
{
    (void)state;
    struct log l;
    whole(&l);
    for (int i = 0; i < 3; i++)
        erase(&l, at(500)); /* 500, 510, 520 never came … */
    insert(&l, at(500), (struct dlog_row){7, 0, 525, 0, DLOG_TOLD}); /* … and it was said */
    assert_faults(&l, (struct tally){.told = 1, .told_records = 3});
    erase(&l, at(500) + 1); /* 530 is missing too, and nobody said so */
    assert_faults(&l, (struct tally){.told = 1, .told_records = 3, .missing = 1});
}

static void test_telling_covers_only_what_is_ahead(void **state)
{
    (void)state;
    struct log l;
    whole(&l);
    erase(&l, at(300)); /* lost silently, long before */
    insert(&l, at(500), (struct dlog_row){7, 0, 510, 0, DLOG_TOLD});
    assert_int_equal(l.v[at(500) - 1].pos, 500);
    assert_int_equal(l.v[at(500) + 1].pos, 510);
    struct tally got;
    bool clean;
    got = judge(&l, &clean);
    assert_false(clean);
    assert_int_equal(got.missing, 1);
}

static void test_marker_and_end(void **state)
{
    (void)state;
    struct log l;
    whole(&l);
    l.v[at(700)].type = DLOG_MARKER;
    assert_faults(&l, (struct tally){.told = 1, .told_records = 1});
    whole(&l);
    l.n = at(700);
    row(&l, DLOG_ENDED, 7, 690);
    assert_faults(&l, (struct tally){.told = 1});
}

static void test_what_is_outside_the_truth(void **state)
{
    (void)state;
    struct log l;
    whole(&l);
    l.v[0].pos = 2; /* subscribed before the oracle began … */
    for (uint64_t i = 20; i >= 1; i--)
        insert(&l, 1, (struct dlog_row){7, 0, i * 10, digest_at(i * 10), DLOG_DELIVERED});
    insert(&l, 1, (struct dlog_row){7, 0, 4, 1, DLOG_DELIVERED}); /* … and got one from then */
    row(&l, DLOG_DELIVERED, 7, 5000);                             /* produced after the end */
    assert_faults(&l, (struct tally){0});
}

static void test_clients_of_several_files(void **state)
{
    (void)state;
    struct log l;
    struct truth *t = truth_make();
    for (uint32_t client = 0; client < 3; client++) {
        whole(&l);
        for (size_t i = 0; i < l.n; i++)
            l.v[i].client = client;
        if (client == 1)
            erase(&l, at(500));
        assert_int_equal(judge_bytes(t, l.v, l.n * sizeof l.v[0]), 0);
    }
    assert_int_equal(truth_tally(t)->subscriptions, 3);
    assert_int_equal(truth_tally(t)->expected, 240);
    assert_int_equal(truth_tally(t)->missing, 1);
    assert_false(truth_is_clean(t, true));
    struct buf out = BUF_INIT;
    truth_print(t, 1, false, &out);
    buf_byte(&out, 0);
    assert_non_null(strstr(out.p, "{\"clean\":false,"));
    assert_non_null(strstr(out.p, "\"by_channel\":[{\"key\":\"a\",\"records\":100,"));
    assert_null(strstr(out.p, "\"key\":\"b\"")); /* room for one: the one with a fault */
    buf_done(&out);
    truth_free(t);
}

static void test_many_channels_and_clients(void **state)
{
    (void)state;
    struct truth *t = truth_new();
    enum {
        CHANNELS = 3000,
        CLIENTS = 20
    };
    char key[16];
    for (uint32_t c = 0; c < CHANNELS; c++) {
        (void)snprintf(key, sizeof key, "k%u", c);
        assert_int_equal(truth_watch(t, slice_of(key)), c);
    }
    for (uint32_t c = 0; c < CHANNELS; c++) {
        (void)snprintf(key, sizeof key, "k%u", c);
        assert_int_equal(truth_record(t, slice_of(key), 3, c + 1, c), 0);
    }
    truth_end(t, 3, CHANNELS);
    static struct dlog_row rows[2 * CHANNELS * CLIENTS];
    size_t n = 0;
    for (uint32_t k = 0; k < CLIENTS; k++)
        for (uint32_t c = 0; c < CHANNELS; c++) {
            rows[n++] = (struct dlog_row){k, c, 0, 0, DLOG_SUBSCRIBED};
            rows[n++] = (struct dlog_row){k, c, c + 1, c, DLOG_DELIVERED};
        }
    assert_int_equal(judge_bytes(t, rows, sizeof rows), 0);
    assert_true(truth_is_clean(t, false));
    assert_int_equal(truth_tally(t)->delivered, CHANNELS * CLIENTS);
    truth_free(t);
}

static void test_bad_input(void **state)
{
    (void)state;
    struct truth *t = truth_make();
    struct dlog_row r = {1, 2, 3, 4, DLOG_SUBSCRIBED}; /* no such channel */
    assert_int_equal(judge_bytes(t, &r, sizeof r), -EBADMSG);
    r = (struct dlog_row){1, 0, 3, 4, 99};
    assert_int_equal(judge_bytes(t, &r, sizeof r), -EBADMSG);
    r = (struct dlog_row){1, 0, 3, 4, DLOG_SUBSCRIBED};
    assert_int_equal(judge_bytes(t, &r, sizeof r - 1), -EBADMSG); /* cut short */
    assert_int_equal(judge_file(t, "/nowhere/at/all"), -ENOENT);
    assert_int_equal(truth_record(t, SLICE("a"), 1, 5000, 0), -EBADMSG); /* another partition */
    assert_false(truth_is_clean(t, true));
    truth_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean),
        cmocka_unit_test(test_rewound),
        cmocka_unit_test(test_one_dropped_record_fails),
        cmocka_unit_test(test_false_recovered),
        cmocka_unit_test(test_nothing_delivered_and_nothing_subscribed),
        cmocka_unit_test(test_duplicate),
        cmocka_unit_test(test_out_of_order),
        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_told_gap),
        cmocka_unit_test(test_telling_covers_only_what_is_ahead),
        cmocka_unit_test(test_marker_and_end),
        cmocka_unit_test(test_what_is_outside_the_truth),
        cmocka_unit_test(test_clients_of_several_files),
        cmocka_unit_test(test_many_channels_and_clients),
        cmocka_unit_test(test_bad_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
