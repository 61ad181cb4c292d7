/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_proto_json.c: commands as they may come, and messages byte by byte as clients see them.
 */
#include "edge-node/proto.h"
#include "tests/unit/edge/edge_test.h"

/* Takes one command of text. */
static int one(const char *text, struct command *cmd)
{
    struct slice frame = slice_of(text);

    return proto_json.take(&frame, cmd);
}

static void test_each_command(void **state)
{
    static const struct {
        const char *text;
        enum command_type type;
    } cases[] = {
        {"{}", COMMAND_PONG},
        {"{\"id\":1,\"connect\":{}}", COMMAND_CONNECT},
        {"{\"id\":1,\"subscribe\":{\"channel\":\"c\"}}", COMMAND_SUBSCRIBE},
        {"{\"id\":1,\"unsubscribe\":{\"channel\":\"c\"}}", COMMAND_UNSUBSCRIBE},
        {"{\"id\":1,\"history\":{\"channel\":\"c\"}}", COMMAND_HISTORY},
        {"{\"id\":1,\"refresh\":{\"token\":\"t\"}}", COMMAND_REFRESH},
        {"{\"id\":1,\"sub_refresh\":{\"channel\":\"c\"}}", COMMAND_SUB_REFRESH},
        {"{\"id\":1,\"ping\":{}}", COMMAND_PING},
        {"{\"send\":{}}", COMMAND_SEND},
        {"{\"id\":1,\"publish\":{}}", COMMAND_UNSUPPORTED},
        {"{\"id\":1,\"presence\":{}}", COMMAND_UNSUPPORTED},
        {"{\"id\":1,\"presence_stats\":{}}", COMMAND_UNSUPPORTED},
        {"{\"id\":1,\"rpc\":{}}", COMMAND_UNSUPPORTED},
        {"{\"id\":1,\"other\":{}}", COMMAND_UNKNOWN},
        {"{\"id\":1,\"subscribe\":{\"channel\":\"c\",\"new_field\":[1]},\"more\":1}",
         COMMAND_SUBSCRIBE},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct command cmd;
        assert_int_equal(one(cases[i].text, &cmd), 1);
        assert_int_equal(cmd.type, cases[i].type);
        assert_false(cmd.bad);
        proto_json.command_done(&cmd);
    }
}

static void test_fields(void **state)
{
    struct command cmd;
    struct cursor cursor;

    (void)state;
    assert_int_equal(one("{\"id\":1,\"history\":{\"channel\":\"c\",\"since\":null}}", &cmd), 1);
    assert_false(cmd.bad || cmd.has_since);
    proto_json.command_done(&cmd);
    assert_int_equal(one("{\"id\":4294967295,\"subscribe\":{\"channel\":\"\\u00e9\\n\",\"token\":"
                         "\"t\",\"recover\":true,\"epoch\":\"e\",\"offset\":9007199254740993}}",
                         &cmd),
                     1);
    assert_int_equal(cmd.id, UINT32_MAX);
    assert_true(slice_eq(cmd.channel, SLICE("\xc3\xa9\n")));
    assert_true(slice_eq(cmd.token, SLICE("t")));
    assert_true(cmd.cursor.recover);
    assert_int_equal(cmd.cursor.offset, 9007199254740993u); /* 2^53 + 1 */
    assert_true(slice_eq(cmd.cursor.epoch, SLICE("e")));
    proto_json.command_done(&cmd);
    assert_int_equal(one("{\"id\":1,\"history\":{\"channel\":\"c\",\"limit\":-1,\"reverse\":true,"
                         "\"since\":{\"offset\":7,\"epoch\":\"e\"}}}",
                         &cmd),
                     1);
    assert_true(cmd.has_since && cmd.reverse);
    assert_int_equal(cmd.limit, -1);
    assert_int_equal(cmd.cursor.offset, 7);
    proto_json.command_done(&cmd);
    assert_int_equal(one("{\"id\":1,\"connect\":{\"subs\":{\"a\":{\"recover\":true,\"offset\":3},"
                         "\"b\":null}}}",
                         &cmd),
                     1);
    assert_false(cmd.bad);
    assert_true(proto_json.connect_sub(&cmd, SLICE("a"), &cursor));
    assert_true(cursor.recover && cursor.offset == 3 && cursor.epoch.n == 0);
    assert_true(proto_json.connect_sub(&cmd, SLICE("b"), &cursor));
    assert_false(cursor.recover || cursor.offset);
    assert_false(proto_json.connect_sub(&cmd, SLICE("c"), &cursor));
    proto_json.command_done(&cmd);
}

static void test_bad_fields(void **state)
{
    static const char *const cases[] = {
        "\"subscribe\":5",
        "\"subscribe\":{\"channel\":1}",
        "\"subscribe\":{\"channel\":\"c\",\"offset\":-1}",
        "\"subscribe\":{\"channel\":\"c\",\"offset\":1.5}",
        "\"subscribe\":{\"channel\":\"c\",\"offset\":\"1\"}",
        "\"subscribe\":{\"channel\":\"c\",\"recover\":1}",
        "\"subscribe\":{\"channel\":\"c\",\"epoch\":[]}",
        "\"history\":{\"channel\":\"c\",\"limit\":\"x\"}",
        "\"history\":{\"channel\":\"c\",\"since\":{\"offset\":-2}}",
        "\"history\":{\"channel\":\"c\",\"since\":7}",
        "\"history\":{\"channel\":\"c\",\"since\":\"7\"}",
        "\"history\":{\"channel\":\"c\",\"since\":[7]}",
        "\"connect\":{\"token\":{}}",
        "\"connect\":{\"subs\":[]}",
        "\"connect\":{\"subs\":\"a\"}",
        "\"connect\":{\"subs\":{\"a\":5}}",
        "\"connect\":{\"subs\":{\"a\":{},\"b\":{\"offset\":-1}}}",
        "\"connect\":{\"subs\":{\"a\":{\"recover\":\"yes\"}}}",
        "\"connect\":{\"subs\":{\"a\":{\"epoch\":8}}}",
    };
    char text[200];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct command cmd;
        snprintf(text, sizeof(text), "{\"id\":1,%s}", cases[i]);
        assert_int_equal(one(text, &cmd), 1);
        assert_true(cmd.bad);
        proto_json.command_done(&cmd);
    }
}

static void test_not_the_protocol(void **state)
{
    static const char *const cases[] = {
        "x",
        "[]",
        "1",
        "\"a\"",
        "{",
        "{\"id\":-1}",
        "{\"id\":4294967296}",
        "{\"id\":\"1\"}",
        "{\"id\":1,\"id\":2}",
        "{\"id\":1,\"ping\":{}",
        "{\"a\":\"\xff\"}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct command cmd;
        assert_int_equal(one(cases[i], &cmd), -EBADMSG);
    }
}

/* Which of the two readers takes it shows in who owns memory. */
static void test_quick(void **state)
{
    static const struct {
        const char *text;
        bool quick;
    } cases[] = {
        {"{}", true},
        {"{\"connect\":{\"name\":\"js\"},\"id\":1}", true},
        {" { \"id\" : 1 , \"subscribe\" : { \"channel\" : \"c\" , \"recover\" : true } }", true},
        {"{\"id\":1,\"unsubscribe\":{\"channel\":\"c\"}}", true},
        {"{\"id\":1,\"ping\":{}}", true},
        {"{\"id\":1,\"subscribe\":{\"channel\":\"c\",\"token\":\"t\"}}", false},
        {"{\"id\":1,\"subscribe\":{\"channel\":\"\\u0063\"}}", false},
        {"{\"id\":1,\"connect\":{\"subs\":{}}}", false},
        {"{\"id\":1,\"history\":{\"channel\":\"c\"}}", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct command cmd;
        assert_int_equal(one(cases[i].text, &cmd), 1);
        assert_int_equal(cmd.tree == NULL, cases[i].quick);
        assert_false(cmd.bad);
        if (cmd.type == COMMAND_SUBSCRIBE)
            assert_true(slice_eq(cmd.channel, SLICE("c")));
        proto_json.command_done(&cmd);
    }
}

static void test_batch(void **state)
{
    struct slice frame = SLICE("{\"id\":1,\"ping\":{}}\n{\"id\":2,\"ping\":{}}\n\n{}\n");
    struct command cmd;

    (void)state;
    for (uint32_t id = 1; id <= 2; id++) {
        assert_int_equal(proto_json.take(&frame, &cmd), 1);
        assert_int_equal(cmd.id, id);
        proto_json.command_done(&cmd);
    }
    assert_int_equal(proto_json.take(&frame, &cmd), 1);
    assert_int_equal(cmd.type, COMMAND_PONG);
    proto_json.command_done(&cmd);
    assert_int_equal(proto_json.take(&frame, &cmd), 0);
}

/* ---- messages ---- */

struct expect {
    bool bare;
    const char *text;
    int seen;
};

static void check_push(void *arg, const struct plog_rec *r)
{
    struct expect *x = arg;
    struct buf out = BUF_INIT;

    proto_json.push_pub(&out, plog_rec_channel(r), r, x->bare);
    buf_byte(&out, '\0');
    assert_string_equal(out.p, x->text);
    buf_done(&out);
    x->seen++;
}

static void expect_push(struct entry e, bool bare, const char *text)
{
    struct turns *t = turns_new(1);
    struct plog *p = plog_new("abcdefgh", 0, 0, 1);
    struct expect x = {bare, text, 0};

    plog_start(p, e.pos - 1, t);
    plog_append(p, &e, 1, 0);
    plog_publish(p);
    assert_int_equal(plog_each(p, e.pos - 1, e.pos, NULL, check_push, &x), 0);
    assert_int_equal(x.seen, 1);
    plog_free(p);
    turns_free(t);
}

static void test_publications(void **state)
{
    struct entry e = entry_of(7, 6, "a\"\\\n", SLICE("{\"x\":1}"));
    struct buf tags = BUF_INIT;

    (void)state;
    expect_push(e, false,
                "{\"push\":{\"channel\":\"a\\\"\\\\\\n\",\"pub\":{\"data\":{\"x\":1},"
                "\"offset\":7}}}");
    e.channel = SLICE("c");
    expect_push(e, true, "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":{\"x\":1}}}}");
    e.kind = ENTRY_TEXT;
    expect_push(e, false,
                "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":\"{\\\"x\\\":1}\",\"offset\":7}}}");
    e.kind = ENTRY_BINARY;
    e.payload = SLICE("\x00\xff\x10");
    expect_push(e, false,
                "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":\"AP8Q\",\"offset\":7}}}");
    entry_tag_add(&tags, SLICE("fanfare-error"), SLICE("too_large"));
    entry_tag_add(&tags, SLICE("q"), SLICE("\"\t"));
    e.kind = ENTRY_NULL;
    e.payload = SLICE("");
    e.marker = true;
    e.tags = buf_as_slice(&tags);
    e.tag_count = 2;
    expect_push(e, false,
                "{\"push\":{\"channel\":\"c\",\"pub\":{\"data\":null,\"offset\":7,\"tags\":"
                "{\"fanfare-error\":\"too_large\",\"q\":\"\\\"\\t\"}}}}");
    buf_done(&tags);
}

static void test_connect(void **state)
{
    struct buf out = BUF_INIT;
    struct proto_connect r = {.client = "c1", .node = "n1", .ttl_s = -1};

    (void)state;
    proto_json.connect(&out, 1, &r);
    r.data = SLICE("{\"place\":\"t-2\"}");
    r.subs = SLICE("\"a\":{}");
    r.ttl_s = 60;
    r.ping_s = 25;
    proto_json.connect(&out, 2, &r);
    buf_byte(&out, '\0');
    assert_string_equal(
        out.p, "{\"id\":1,\"connect\":{\"client\":\"c1\",\"version\":\"fanfare " FANFARE_VERSION
               "\",\"node\":\"n1\"}}\n"
               "{\"id\":2,\"connect\":{\"client\":\"c1\",\"version\":\"fanfare " FANFARE_VERSION
               "\",\"expires\":true,\"ttl\":60,\"data\":{\"place\":\"t-2\"},\"subs\":{\"a\":{}},"
               "\"ping\":25,\"pong\":true,\"node\":\"n1\"}}");
    buf_done(&out);
}

static void test_messages_are_joined(void **state)
{
    struct buf out = BUF_INIT;

    (void)state;
    proto_json.error(&out, 3, ERROR_INTERNAL, NULL);
    proto_json.ping(&out);
    proto_json.pong(&out, 4);
    proto_json.unsubscribe(&out, 5);
    proto_json.push_unsubscribe(&out, SLICE("c"), UNSUB_EXPIRED, &proto_no_gap);
    proto_json.history(&out, 6, SLICE("ep"), 9, SLICE(""));
    buf_byte(&out, '\0');
    assert_string_equal(
        out.p, "{\"id\":3,\"error\":{\"code\":100,\"message\":\"internal server error\","
               "\"temporary\":true}}\n{}\n{\"id\":4,\"ping\":{}}\n{\"id\":5,\"unsubscribe\":{}}\n"
               "{\"push\":{\"channel\":\"c\",\"unsubscribe\":{\"code\":2501,\"reason\":"
               "\"subscription expired\"}}}\n"
               "{\"id\":6,\"history\":{\"publications\":[],\"epoch\":\"ep\",\"offset\":9}}");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_command),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_bad_fields),
        cmocka_unit_test(test_not_the_protocol),
        cmocka_unit_test(test_quick),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_publications),
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_messages_are_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
