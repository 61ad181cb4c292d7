/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_case.h: what the hub's tests share: one fake shard, one client, and what came for it as text.
 * Include it once in a program. @thread main
 */
#pragma once

#include "tests/unit/edge/fake_conn.h"

static struct fake x;
static struct fake_conn c;

static inline const char *take_text(struct fake_conn *conn)
{
    static struct buf text;

    buf_clear(&text);
    buf_slice(&text, buf_as_slice(&conn->text));
    buf_byte(&text, '\0');
    buf_clear(&conn->text);
    return text.p;
}

static inline void begin(uint64_t start)
{
    fake_init(&x, start);
    fake_open(&x, &c);
    fake_say(&x, &c, "{\"id\":1,\"connect\":{}}");
    fake_turn(&x);
    assert_non_null(strstr(take_text(&c), "{\"id\":1,\"connect\":{\"client\":\""));
}

static inline void end(void)
{
    fake_close(&c);
    fake_done(&x);
}

/* Sends and settles; what came must be exactly this. */
static inline void say_expect(const char *say, const char *expect)
{
    fake_say(&x, &c, say);
    fake_settle(&x);
    assert_string_equal(take_text(&c), expect);
}

#define HEAD "\"recoverable\":true,\"positioned\":true,\"epoch\":\"" FAKE_LOG "\""

static inline void subscribe_at(const char *channel, uint64_t offset)
{
    char text[200];

    snprintf(text, sizeof(text),
             "{\"id\":2,\"subscribe\":{\"channel\":\"%s\",\"recover\":true,\"epoch\":\"" FAKE_LOG
             "\",\"offset\":%llu}}",
             channel, (unsigned long long)offset);
    fake_say(&x, &c, text);
}

/* Positions pushed or given in replies, in the order they came. */
static inline size_t positions(const char *text, uint64_t *pos, size_t max)
{
    size_t n = 0;

    for (const char *p = text; *p;
         p++) { /* strstr() has its sanitizer measure the rest each time */
        if (*p != '{' || strncmp(p, "{\"n\":", 5) != 0)
            continue;
        assert_true(n < max);
        pos[n++] = strtoull(p + 5, NULL, 10);
    }
    return n;
}

static inline void assert_all_after(const char *channel, uint64_t after, const char *text)
{
    static uint64_t pos[32768];
    const struct fake_stream *s = fake_stream_of(&x, channel);
    size_t n = positions(text, pos, ARRAY_LEN(pos)), k = 0;

    for (size_t i = 0; i < s->n; i++) {
        if (s->v[i].lost || s->v[i].pos <= after || strcmp(s->v[i].channel, channel) != 0)
            continue;
        assert_true(k < n);
        assert_int_equal(pos[k++], s->v[i].pos);
    }
    assert_int_equal(k, n);
}

/* Another channel of the same partition. */
static inline const char *neighbour(const char *channel)
{
    static char name[16];

    for (int i = 0; i < 999; i++) {
        (void)snprintf(name, sizeof(name), "q%d", i);
        if (fake_stream_of(&x, name) == fake_stream_of(&x, channel))
            break;
    }
    return name;
}
