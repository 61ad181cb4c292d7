/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_history_ask.c: many partitions cost as many round trips as one, whoever can't be answered
 * takes along those of his question only, and none of them for long.
 *
 * Kafka is faked: it answers with numbers made of the partition's, or fails.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/runtime/namespace.h"

#include "fanout-worker/history_impl.h"
#include "fanout-worker/source_kafka.h"

#define LOG  "abcdefgh"
#define JOBS 12

static struct namespace ns = {.topic = "t"};
static struct namespaces nss = {.count = 1, .v = &ns};
static int32_t leaders[JOBS];
static struct history_topic topic = {.leaders = leaders, .leader_count = JOBS};
static struct history h = {.nss = &nss, .topics = &topic};
static struct list jobs;
static int questions, greatest, commits, bad;
static bool is_slow;
static rd_kafka_resp_err_t commit_err;

bool history_stopping(const struct history *unused)
{
    (void)unused;
    return false;
}

int kafka_ask_offsets(struct rd_kafka_s *rk, struct rd_kafka_topic_partition_list_s *l,
                      int64_t which, int ms)
{
    (void)rk, (void)ms;
    questions++;
    greatest = l->cnt > greatest ? l->cnt : greatest;
    for (int i = 0; i < l->cnt; i++) {
        if (l->elems[i].partition != bad)
            l->elems[i].offset = l->elems[i].partition + (which == RD_KAFKA_OFFSET_END ? 100 : 0);
        else if (is_slow && usleep(1100000) == 0)
            return RD_KAFKA_RESP_ERR__TIMED_OUT;
        else
            return RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
    }
    return 0;
}

rd_kafka_resp_err_t rd_kafka_committed(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *partitions,
                                       int timeout_ms)
{
    static const char metadata[] = LOG " 7b";

    (void)rk, (void)timeout_ms;
    commits++;
    for (int i = 0; i < partitions->cnt && !commit_err; i++) {
        partitions->elems[i].offset = 50 + partitions->elems[i].partition;
        partitions->elems[i].metadata = mem_strdup(metadata); /* the list frees it */
        partitions->elems[i].metadata_size = sizeof(metadata) - 1;
    }
    return commit_err;
}

static struct history_job *job(int32_t n)
{
    struct history_job *j;

    list_for_each(j, &jobs, link)
        if (j->partition == n)
            return j;
    abort();
}

/* Of each partition one; all led by this broker. */
static void begin(int32_t leader)
{
    list_init(&jobs);
    for (int32_t n = 0; n < JOBS; n++) {
        struct history_job *j = history_job_new(HISTORY_FACTS, 0);

        j->partition = n;
        j->now = (struct history_point){.pos = 20, .fp = 1, .has_fp = true};
        list_add_tail(&jobs, &j->link);
        leaders[n] = leader;
    }
    questions = greatest = commits = 0;
    bad = -1;
    is_slow = false;
    commit_err = RD_KAFKA_RESP_ERR_NO_ERROR;
    h.no_commit_until = 0;
}

static void end(void)
{
    struct history_job *j, *next;
    size_t n = 0;

    list_for_each_safe(j, next, &jobs, link) {
        free(j);
        n++;
    }
    assert_int_equal(n, JOBS);
}

static void test_one_broker_is_asked_once(void **state)
{
    (void)state;
    begin(1);
    history_ask(&h, &jobs);
    assert_int_equal(questions, 2); /* where each begins, where each ends */
    assert_int_equal(greatest, JOBS);
    assert_int_equal(commits, 0);
    for (int32_t n = 0; n < JOBS; n++) {
        assert_int_equal(job(n)->err, 0);
        assert_int_equal(job(n)->low, n);
        assert_int_equal(job(n)->end, n + 100);
        assert_int_equal(job(n)->check, CHECK_SAME);
    }
    end();
}

static void test_each_broker_is_asked(void **state)
{
    (void)state;
    begin(1);
    leaders[1] = leaders[2] = 2;
    leaders[3] = leaders[4] = -1; /* not known: each alone */
    history_ask(&h, &jobs);
    assert_int_equal(questions, 2 * 4);
    assert_int_equal(greatest, JOBS - 4);
    end();
}

static void test_who_fails_takes_his_question_along(void **state)
{
    (void)state;
    begin(1);
    leaders[1] = leaders[2] = 2;
    bad = 1;
    history_ask(&h, &jobs);
    for (int32_t n = 0; n < JOBS; n++)
        assert_int_equal(job(n)->err, n == 1 || n == 2 ? -EIO : 0);
    end();
    begin(1);
    bad = 1;
    job(1)->late = 2; /* it did before: alone now */
    history_ask(&h, &jobs);
    for (int32_t n = 0; n < JOBS; n++)
        assert_int_equal(job(n)->err, n == 1 ? -EIO : 0);
    assert_int_equal(greatest, JOBS - 1);
    end();
}

/* Many were in a question that failed: not each of them is asked about alone for that. */
static void test_who_was_taken_along_is_asked_with_few(void **state)
{
    (void)state;
    begin(1);
    bad = 1;
    for (int32_t n = 0; n < JOBS; n++)
        job(n)->late = 1;
    history_ask(&h, &jobs);
    assert_int_equal(greatest, 8);
    for (int32_t n = 0; n < JOBS; n++)
        assert_int_equal(job(n)->err, n < 8 ? -EIO : 0);
    end();
}

static void test_a_late_answer_ends_the_round(void **state)
{
    (void)state;
    begin(1);
    for (int32_t n = 5; n < JOBS; n++)
        leaders[n] = 2;
    leaders[3] = 3;
    bad = 3;
    is_slow = true;
    history_ask(&h, &jobs);
    for (int32_t n = 0; n < 5; n++) /* its broker's turn was after theirs */
        assert_int_equal(job(n)->err, n == 3 ? -EIO : 0);
    for (int32_t n = 5; n < JOBS; n++)
        assert_int_equal(job(n)->err, -EAGAIN);
    end();
}

static void test_commits_come_together(void **state)
{
    (void)state;
    begin(1);
    memcpy(job(0)->log, LOG, sizeof(LOG));
    memcpy(job(1)->log, "ABCDEFGH", sizeof(LOG)); /* the commit is of another log */
    memcpy(job(2)->log, LOG, sizeof(LOG));
    job(2)->now.pos = 70;
    history_ask(&h, &jobs);
    assert_int_equal(commits, 1);
    assert_int_equal(job(0)->commit, 50);
    assert_int_equal(job(0)->now.pos, 50);
    assert_int_equal(job(0)->now.fp, 0x7b);
    assert_int_equal(job(1)->now.pos, 20);
    assert_int_equal(job(2)->commit, 52);
    assert_int_equal(job(2)->now.pos, 70); /* it knows more */
    assert_int_equal(job(3)->commit, 0);   /* it didn't ask */
    end();
}

/* Only those who know nothing else fail without it, and the others don't ask again for a while. */
static void test_a_coordinator_that_is_silent(void **state)
{
    (void)state;
    begin(1);
    commit_err = RD_KAFKA_RESP_ERR__TIMED_OUT;
    memcpy(job(0)->log, LOG, sizeof(LOG));
    memcpy(job(1)->log, LOG, sizeof(LOG));
    job(1)->now = (struct history_point){.pos = 0};
    history_ask(&h, &jobs);
    assert_int_equal(job(0)->err, 0);
    assert_int_equal(job(1)->err, -EIO);
    assert_int_equal(commits, 1);
    job(1)->log[0] = '\0';
    job(1)->err = 0;
    history_ask(&h, &jobs);
    assert_int_equal(commits, 1);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_broker_is_asked_once),
        cmocka_unit_test(test_each_broker_is_asked),
        cmocka_unit_test(test_who_fails_takes_his_question_along),
        cmocka_unit_test(test_who_was_taken_along_is_asked_with_few),
        cmocka_unit_test(test_a_late_answer_ends_the_round),
        cmocka_unit_test(test_commits_come_together),
        cmocka_unit_test(test_a_coordinator_that_is_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
