/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_token.c: good tokens and keys; forged ones, out of time, out of shape, out of bounds.
 */
#include <errno.h>
#include <inttypes.h>

#include "common/base/clock.h"
#include "common/io/token.h"

#include "tests/unit/io/token_fixture.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define HS256  "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define RS256  "{\"alg\":\"RS256\",\"typ\":\"JWT\"}"

static EVP_PKEY *rsa;
static char *rsa_pem, *rsa_private_pem, *rsa_small_pem, *ec_pem;
static struct token_keys *both, *hmac_only, *rsa_only;

static const struct signer by_hmac = {.secret = SECRET, .hash = EVP_sha256};

static struct signer by_rsa(void)
{
    return (struct signer){.key = rsa, .hash = EVP_sha256};
}

/* The verdict alone. */
static int check_with(const struct token_keys *k, const char *header, const char *claims,
                      const struct signer *s)
{
    struct buf b = make(header, claims, s);
    struct token t = {0};
    int r = token_check(k, buf_as_slice(&b), 0, &t);

    token_done(&t);
    buf_done(&b);
    return r;
}

static int check_claims(const char *claims)
{
    return check_with(hmac_only, HS256, claims, &by_hmac);
}

static int check_text(struct slice text)
{
    struct token t = {0};
    int r = token_check(both, text, 0, &t);

    token_done(&t);
    return r;
}

static void claims_are_read(void **state)
{
    static const char claims[] =
        "{\"sub\":\"ann\",\"exp\":4102444800,\"channels\":[\"a\",\"b:1\"],\"allow\":[\"news:*\"],"
        "\"channel\":\"c\",\"info\":{\"n\":[1, 2]},\"other\":1}";
    struct buf b = make(HS256, claims, &by_hmac);
    struct token t = {0};

    (void)state;
    assert_int_equal(token_check(both, buf_as_slice(&b), 0, &t), 0);
    assert_string_equal(t.sub, "ann");
    assert_int_equal(t.exp, 4102444800);
    assert_int_equal(t.channel_count, 2);
    assert_string_equal(t.channels[1], "b:1");
    assert_int_equal(t.allow_count, 1);
    assert_string_equal(t.allow[0], "news:*");
    assert_string_equal(t.channel, "c");
    assert_string_equal(t.info, "{\"n\":[1,2]}");
    token_done(&t);
    buf_done(&b);

    b = make(HS256, "{}", &by_hmac);
    assert_int_equal(token_check(both, buf_as_slice(&b), 0, &t), 0);
    assert_string_equal(t.sub, "");
    assert_string_equal(t.channel, "");
    assert_string_equal(t.info, "");
    assert_int_equal(t.exp + (int64_t)t.channel_count + (int64_t)t.allow_count, 0);
    token_done(&t);
    buf_done(&b);
}

static void each_alg_is_verified_by_its_own_key(void **state)
{
    const struct signer by_key = by_rsa();

    (void)state;
    assert_int_equal(check_with(both, HS256, "{}", &by_hmac), 0);
    assert_int_equal(check_with(both, RS256, "{}", &by_key), 0);
    assert_int_equal(check_with(hmac_only, HS256, "{}", &by_hmac), 0);
    assert_int_equal(check_with(rsa_only, RS256, "{}", &by_key), 0);
    assert_int_equal(check_with(hmac_only, RS256, "{}", &by_key), -EACCES);
    assert_int_equal(check_with(rsa_only, HS256, "{}", &by_hmac), -EACCES);
    assert_int_equal(check_with(both, RS256, "{}", &by_hmac), -EACCES);
    assert_int_equal(check_with(both, HS256, "{}", &by_key), -EACCES);
}

/* The public key is public: whoever has it must not be able to sign with it. */
static void hs256_signed_with_the_public_key_is_refused(void **state)
{
    const struct signer forger = {.secret = rsa_pem, .hash = EVP_sha256};

    (void)state;
    assert_int_equal(check_with(rsa_only, HS256, "{}", &forger), -EACCES);
    assert_int_equal(check_with(both, HS256, "{}", &forger), -EACCES);
    assert_int_equal(check_with(rsa_only, RS256, "{}", &forger), -EACCES);
}

static void other_algs_are_refused(void **state)
{
    static const char *const unsigned_headers[] = {
        "{\"alg\":\"none\"}",  "{\"alg\":\"None\"}",  "{\"alg\":\"NONE\",\"typ\":\"JWT\"}",
        "{\"alg\":\"HS256\"}", "{\"alg\":\"RS256\"}",
    };
    const struct signer nobody = {0};
    const struct signer sha512 = {.secret = SECRET, .hash = EVP_sha512};
    const struct signer sha384 = {.secret = SECRET, .hash = EVP_sha384};
    const struct signer rsa512 = {.key = rsa, .hash = EVP_sha512};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(unsigned_headers); i++) {
        int r = check_with(both, unsigned_headers[i], "{\"sub\":\"root\"}", &nobody);

        if (r != -EACCES && r != -EBADMSG) /* libjwt 1.17 says it is no token */
            fail_msg("%s: %d", unsigned_headers[i], r);
    }
    assert_int_equal(check_with(both, "{\"alg\":\"none\"}", "{}", &by_hmac), -EACCES);
    assert_int_equal(check_with(both, "{\"alg\":\"HS512\"}", "{}", &sha512), -EACCES);
    assert_int_equal(check_with(both, "{\"alg\":\"HS384\"}", "{}", &sha384), -EACCES);
    assert_int_equal(check_with(both, "{\"alg\":\"RS512\"}", "{}", &rsa512), -EACCES);
}

static void a_changed_token_is_refused(void **state)
{
    struct buf b = make(HS256, "{\"sub\":\"ann\"}", &by_hmac);
    const struct signer other = {.secret = "fedcba9876543210fedcba9876543210", .hash = EVP_sha256};
    char *dot = memchr(b.p, '.', b.n);

    (void)state;
    assert_int_equal(check_text(buf_as_slice(&b)), 0);
    dot[8] ^= 1; /* a claim's byte */
    assert_true(check_text(buf_as_slice(&b)) < 0);
    dot[8] ^= 1;
    b.p[b.n - 10] = b.p[b.n - 10] == 'A' ? 'B' : 'A';
    assert_int_equal(check_text(buf_as_slice(&b)), -EACCES);
    b.n -= 10;
    assert_int_equal(check_text(buf_as_slice(&b)), -EACCES);
    buf_done(&b);
    assert_int_equal(check_with(both, HS256, "{}", &other), -EACCES);
}

static int check_at(const char *name, int64_t seconds_from_now, int64_t leeway)
{
    struct token t = {0};
    char claims[64];
    struct buf b;
    int r;

    snprintf(claims, sizeof(claims), "{\"%s\":%" PRId64 "}", name,
             clock_wall_ms() / 1000 + seconds_from_now);
    b = make(HS256, claims, &by_hmac);
    r = token_check(both, buf_as_slice(&b), leeway, &t);
    token_done(&t);
    buf_done(&b);
    return r;
}

static void the_time_is_checked_with_leeway(void **state)
{
    (void)state;
    assert_int_equal(check_at("exp", 60, 0), 0);
    assert_int_equal(check_at("exp", -60, 0), -ETIME);
    assert_int_equal(check_at("exp", -60, 30), -ETIME);
    assert_int_equal(check_at("exp", -60, 120), 0);
    assert_int_equal(check_at("exp", 0, 0), -ETIME); /* RFC 7519: "on or after" */
    assert_int_equal(check_at("nbf", -60, 0), 0);
    assert_int_equal(check_at("nbf", 60, 0), -EACCES);
    assert_int_equal(check_at("nbf", 60, 30), -EACCES);
    assert_int_equal(check_at("nbf", 60, 120), 0);
    assert_int_equal(check_claims("{\"exp\":4102444800.5}"), 0);
    assert_int_equal(check_claims("{\"exp\":1.5}"), -ETIME);
    assert_int_equal(check_claims("{\"nbf\":0,\"iat\":0}"), 0);
    assert_true(check_claims("{\"exp\":0}") < 0); /* not "never" */
    assert_true(check_claims("{\"exp\":-1}") < 0);
    assert_true(check_claims("{\"exp\":null}") < 0);
    assert_true(check_claims("{\"exp\":\"4102444800\"}") < 0);
    assert_true(check_claims("{\"nbf\":1e300}") < 0);
}

static void what_is_no_token_is_said_to_be_none(void **state)
{
    static const char *const texts[] = {
        "",
        ".",
        "..",
        "...",
        "a",
        "a.b",
        "a.b.c",
        "e30.e30.e30",
        "e30.e30",
        "hello world",
        "bm90anNvbg.bm90anNvbg.AAAA",
        "\xff.\xff.\xff",
        "eyJhbGciOiJIUzI1NiJ9..AAAA",
    };
    struct buf b = make(HS256, "{}", &by_hmac);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        int r = check_text(slice_of(texts[i]));

        /* e30 is {}: a header without alg is a token of no alg of ours */
        if (r != -EBADMSG && !(r == -EACCES && strncmp(texts[i], "e30.e30.", 8) == 0))
            fail_msg("\"%s\": %d", texts[i], r);
    }
    assert_int_equal(check_text((struct slice){"a\0b.c.d", 7}), -EBADMSG);
    buf_byte(&b, '\0');
    assert_int_equal(check_text(buf_as_slice(&b)), -EBADMSG);
    b.p[b.n - 1] = ' ';
    assert_int_equal(check_text(buf_as_slice(&b)), -EBADMSG);
    buf_done(&b);
}

static void claims_of_a_wrong_type_are_refused(void **state)
{
    static const char *const claims[] = {
        "{\"sub\":1}",       "{\"sub\":[\"a\"]}",  "{\"channels\":\"a\"}",
        "{\"channels\":{}}", "{\"channels\":[1]}", "{\"allow\":[null]}",
        "{\"allow\":\"*\"}", "{\"channel\":{}}",   "{\"allow\":[\"a\",1]}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(claims); i++)
        if (check_claims(claims[i]) != -EBADMSG)
            fail_msg("%s: %d", claims[i], check_claims(claims[i]));
    assert_true(check_claims("[]") < 0);
    assert_true(check_claims("{\"sub\":\"a\\u0000b\"}") < 0);
}

static int check_many(const char *claim, int n)
{
    struct buf claims = BUF_INIT;
    int r;

    buf_printf(&claims, "{\"%s\":[", claim);
    for (int i = 0; i < n; i++)
        buf_printf(&claims, "%s\"c%d\"", i ? "," : "", i);
    buf_lit(&claims, "]}");
    buf_byte(&claims, '\0');
    r = check_claims(claims.p);
    buf_done(&claims);
    return r;
}

static void sizes_are_bounded(void **state)
{
    char *big = mem_alloc(KIB(8) + 2);

    (void)state;
    assert_int_equal(check_many("channels", 128), 0);
    assert_int_equal(check_many("channels", 129), -E2BIG);
    assert_int_equal(check_many("allow", 128), 0);
    assert_int_equal(check_many("allow", 129), -E2BIG);
    memset(big, 'A', KIB(8) + 1);
    assert_int_equal(check_text((struct slice){big, KIB(8) + 1}), -E2BIG);
    assert_int_equal(check_text((struct slice){big, KIB(8)}), -EBADMSG);
    free(big);
}

static void nothing_is_returned_on_failure(void **state)
{
    struct buf b = make(HS256, "{\"sub\":\"ann\",\"channels\":[\"a\"],\"exp\":5}", &by_hmac);
    struct token t = {.exp = 77};

    (void)state;
    assert_int_equal(token_check(both, buf_as_slice(&b), 0, &t), -ETIME);
    assert_int_equal(t.exp, 77);
    assert_null(t.sub);
    buf_done(&b);
}

static void refuse_keys(const char *secret, const char *pem)
{
    char why[256] = "";
    struct token_keys *k = token_keys_new(secret, pem, why, sizeof(why));

    if (k) {
        token_keys_free(k);
        fail_msg("taken: secret %s, key %.40s", secret ? secret : "-", pem ? pem : "-");
    }
    assert_true(strlen(why) > 0);
    assert_true(!secret || !secret[0] || !strstr(why, secret)); /* never into a log */
}

static void bad_keys_are_refused_at_boot(void **state)
{
    (void)state;
    refuse_keys(NULL, NULL);
    refuse_keys("", "");
    refuse_keys("0123456789abcdef0123456789abcde", NULL);
    refuse_keys("short", rsa_pem);
    refuse_keys(NULL, "not PEM");
    refuse_keys(SECRET, "not PEM");
    refuse_keys(NULL, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n");
    refuse_keys(NULL, ec_pem);
    refuse_keys(NULL, rsa_private_pem);
    refuse_keys(NULL, rsa_small_pem);
}

static struct token_keys *keys(const char *secret, const char *pem)
{
    char why[256];
    struct token_keys *k = token_keys_new(secret, pem, why, sizeof(why));

    if (!k)
        fail_msg("%s", why);
    return k;
}

static int begin(void **state)
{
    EVP_PKEY *small = EVP_RSA_gen(1024), *ec = EVP_EC_gen("P-256");

    (void)state;
    rsa = EVP_RSA_gen(2048);
    if (!rsa || !small || !ec)
        return -1;
    rsa_pem = pem_of(rsa, false);
    rsa_private_pem = pem_of(rsa, true);
    rsa_small_pem = pem_of(small, false);
    ec_pem = pem_of(ec, false);
    EVP_PKEY_free(small);
    EVP_PKEY_free(ec);
    both = keys(SECRET, rsa_pem);
    hmac_only = keys(SECRET, NULL);
    rsa_only = keys("", rsa_pem);
    return 0;
}

static int end(void **state)
{
    (void)state;
    token_keys_free(both);
    token_keys_free(hmac_only);
    token_keys_free(rsa_only);
    EVP_PKEY_free(rsa);
    free(rsa_pem);
    free(rsa_private_pem);
    free(rsa_small_pem);
    free(ec_pem);
    return 0;
}

int main(void)
{
    const struct CMUnitTest list[] = {
        cmocka_unit_test(claims_are_read),
        cmocka_unit_test(each_alg_is_verified_by_its_own_key),
        cmocka_unit_test(hs256_signed_with_the_public_key_is_refused),
        cmocka_unit_test(other_algs_are_refused),
        cmocka_unit_test(a_changed_token_is_refused),
        cmocka_unit_test(the_time_is_checked_with_leeway),
        cmocka_unit_test(what_is_no_token_is_said_to_be_none),
        cmocka_unit_test(claims_of_a_wrong_type_are_refused),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(nothing_is_returned_on_failure),
        cmocka_unit_test(bad_keys_are_refused_at_boot),
    };

    return cmocka_run_group_tests(list, begin, end);
}
