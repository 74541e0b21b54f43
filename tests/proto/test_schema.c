/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"
#include "guarded.h"
#include "proto/cursor.h"
#include "proto/system.h"
#include "proto/token.h"

#define BODY_MAX (64 << 10)
#define ROUNDS 50

struct space {
    struct generator generator;
    _Alignas(16) uint8_t message[PROTO_STRUCT_MAX];
    _Alignas(16) uint8_t again[PROTO_STRUCT_MAX];
    uint8_t body[BODY_MAX];
    char line[BODY_MAX];
    struct guarded guarded;
};

static int space_new(void **state)
{
    struct space *space = calloc(1, sizeof(*space));

    if (!space || guarded_init(&space->guarded, BODY_MAX) < 0)
        return -1;
    space->generator.seed = 1;
    *state = space;
    return 0;
}

static int space_free(void **state)
{
    struct space *space = *state;

    guarded_deinit(&space->guarded);
    free(space);
    return 0;
}

/* A generated message of this schema, packed into space->body. */
static size_t pack_generated(struct space *space, const struct proto_schema *schema)
{
    generate_message(&space->generator, schema, space->message);
    size_t size = proto_packed_size(schema, space->message);
    assert_true(size <= BODY_MAX);
    assert_int_equal(proto_pack(schema, space->message, space->body, size), 0);
    return size;
}

static void every_message_comes_back_as_it_was_packed(void **state)
{
    struct space *space = *state;
    const struct proto_schema *schema;

    for (size_t i = 0; (schema = proto_at(i)); i++)
        for (int round = 0; round < ROUNDS; round++) {
            size_t size = pack_generated(space, schema);
            memset(space->again, 0xee, sizeof(space->again));
            assert_int_equal(proto_unpack(schema, space->body, size, space->again), 0);
            assert_true(messages_equal(schema, space->message, space->again));
        }
}

static void numbers_rise_and_are_found(void **state)
{
    const struct proto_schema *schema;
    uint32_t last = 0;
    size_t i;

    (void)state;
    for (i = 0; (schema = proto_at(i)); i++) {
        assert_true(schema->number > last);
        assert_ptr_equal(proto_find(schema->number), schema);
        last = schema->number;
    }
    assert_true(i > 40);
    assert_null(proto_find(0));
    assert_null(proto_find(last + 1));
    assert_int_equal(MSG_token_get, 0x0101);
    assert_true(token_grant_schema.has_secret);
    assert_false(token_get_schema.has_secret);
}

static void a_missing_tail_reads_as_zero(void **state)
{
    static const uint8_t body[] = {0x92, 0xa4, 'b', 'u', 's', 'y', 0xa3, 'w', 'h', 'y'};
    struct refusal refusal;

    (void)state;
    memset(&refusal, 0xee, sizeof(refusal));
    assert_int_equal(proto_unpack(&refusal_schema, body, sizeof(body), &refusal), 0);
    assert_true(proto_text_equal(refusal.code, "busy"));
    assert_true(proto_text_equal(refusal.why, "why"));
    assert_int_equal(refusal.remedy.size, 0);
    assert_int_equal(refusal.retry_after_ms, 0);
    assert_int_equal(refusal.until_ms, 0);
}

static void elements_of_a_newer_version_are_ignored(void **state)
{
    static const uint8_t body[] = {0x93, 0x05, 0x81, 0xa1, 'k', 0x92, 1, 2, 0xc0};
    struct done done;

    (void)state;
    assert_int_equal(proto_unpack(&done_schema, body, sizeof(body), &done), 0);
    assert_int_equal(done.count, 5);
    assert_int_equal(proto_unpack(&done_schema, body, sizeof(body) - 1, &done), -EBADMSG);
}

static void every_truncation_is_refused(void **state)
{
    struct space *space = *state;
    const struct proto_schema *schema;

    for (size_t i = 0; (schema = proto_at(i)); i++) {
        size_t size = pack_generated(space, schema);
        for (size_t cut = 0; cut < size; cut++) {
            const uint8_t *body = guarded_copy(&space->guarded, space->body, cut);
            assert_int_equal(proto_unpack(schema, body, cut, space->again), -EBADMSG);
        }
        space->body[size] = 0xc0; /* and so is something left over */
        assert_int_equal(proto_unpack(schema, space->body, size + 1, space->again), -EBADMSG);
    }
}

static bool lies_within(const uint8_t *body, size_t size, const void *data, size_t data_size)
{
    const uint8_t *at = data;

    return data_size == 0 || (at >= body && at + data_size <= body + size);
}

/* Whatever was accepted borrows from the body, prints, and packs again. */
static void check_accepted(struct space *space, const struct proto_schema *schema,
                           const uint8_t *body, size_t size)
{
    const uint8_t *member = space->again;

    for (size_t i = 0; i < schema->field_count; i++) {
        enum proto_kind kind = schema->fields[i].kind;
        bool plain = kind == PROTO_boolean || kind == PROTO_u64 || kind == PROTO_i64;
        struct proto_text text = {0};

        if (!plain)
            memcpy(&text, member, sizeof(text));
        assert_true(lies_within(body, size, text.data, text.size));
        member += plain ? 8 : 16;
    }
    size_t packed = proto_packed_size(schema, space->again);
    assert_true(packed <= BODY_MAX);
    assert_int_equal(proto_pack(schema, space->again, (uint8_t *)space->line, packed), 0);
}

static void no_corrupted_byte_leads_out_of_the_body(void **state)
{
    static const uint8_t flips[] = {0x01, 0x10, 0x40, 0xff};
    struct space *space = *state;
    const struct proto_schema *schema;
    unsigned accepted = 0, refused = 0;

    for (size_t i = 0; (schema = proto_at(i)); i++) {
        size_t size = pack_generated(space, schema);
        for (size_t at = 0; at < size; at++)
            for (size_t flip = 0; flip < sizeof(flips); flip++) {
                uint8_t *body = guarded_copy(&space->guarded, space->body, size);
                body[at] ^= flips[flip];
                if (proto_unpack(schema, body, size, space->again) < 0) {
                    refused++;
                    continue;
                }
                accepted++;
                check_accepted(space, schema, body, size);
            }
        uint8_t *body = guarded_copy(&space->guarded, space->body, size);
        proto_print(schema, body, size, space->line, sizeof(space->line));
        proto_wipe(schema, body, size);
    }
    assert_true(accepted > 1000 && refused > 1000);
}

static struct token_grant a_grant(void)
{
    return (struct token_grant){.profile = proto_text("lab:me"),
                                .generation = 7,
                                .access = proto_text("hush-hush"),
                                .account = proto_text("five\n\x1b[1m")};
}

static void a_secret_is_never_printed(void **state)
{
    struct space *space = *state;
    const struct token_grant grant = a_grant();
    size_t size = proto_packed_size(&token_grant_schema, &grant);

    assert_int_equal(proto_pack(&token_grant_schema, &grant, space->body, size), 0);
    size_t length = proto_print(&token_grant_schema, space->body, size, space->line, BODY_MAX);
    assert_int_equal(length, strlen(space->line));
    assert_null(strstr(space->line, "hush"));
    assert_non_null(strstr(space->line, "token_grant{profile: \"lab:me\", generation: 7, "));
    assert_non_null(strstr(space->line, "access: <secret>"));
    assert_non_null(strstr(space->line, "\"five\\n\\x1b[1m\""));
    for (char *at = space->line; *at; at++)
        assert_true((unsigned char)*at >= 0x20);

    char little[12];
    assert_int_equal(proto_print(&token_grant_schema, space->body, size, little, sizeof(little)),
                     length);
    assert_string_equal(little, "token_grant");
    assert_int_equal(proto_print(&token_grant_schema, space->body, size, NULL, 0), length);
    space->body[size - 1] ^= 0xff;
    proto_print(&token_grant_schema, space->body, size - 1, space->line, BODY_MAX);
    assert_null(strstr(space->line, "hush"));
}

static void wiping_takes_the_secret_and_leaves_the_rest(void **state)
{
    struct space *space = *state;
    const struct token_grant grant = a_grant();
    struct token_grant wiped, little = {.access = proto_text("h")};
    size_t size = proto_packed_size(&token_grant_schema, &grant);

    assert_int_equal(proto_pack(&token_grant_schema, &grant, space->body, size), 0);
    assert_non_null(memmem(space->body, size, "hush", 4));
    proto_wipe(&token_grant_schema, space->body, size);
    assert_null(memmem(space->body, size, "hush", 4));
    assert_int_equal(proto_unpack(&token_grant_schema, space->body, size, &wiped), 0);
    assert_true(proto_text_equal(wiped.profile, "lab:me"));
    assert_int_equal(wiped.access.size, 9);

    assert_int_equal(proto_pack(&token_grant_schema, &grant, space->body, size), 0);
    proto_wipe(&token_grant_schema, space->body, size - 1); /* torn: all of it */
    assert_null(memmem(space->body, size - 1, "lab:me", 6));

    size = proto_packed_size(&token_grant_schema, &little);
    assert_int_equal(proto_pack(&token_grant_schema, &little, space->body, size), 0);
    proto_wipe(&token_grant_schema, space->body, size);
    assert_int_equal(proto_unpack(&token_grant_schema, space->body, size, &wiped), 0);
    assert_int_equal(wiped.access.size, 1);
    assert_int_equal(wiped.access.data[0], 0);
}

static void what_would_not_unpack_is_not_packed(void **state)
{
    const struct refusal bad_text = {.why = {"\xc3\x28", 2}};
    const struct refusal fine = {.code = proto_text("busy")};
    uint8_t body[64];

    (void)state;
    assert_int_equal(proto_pack(&refusal_schema, &bad_text, body, sizeof(body)), -EINVAL);
    size_t size = proto_packed_size(&refusal_schema, &fine);
    assert_int_equal(proto_pack(&refusal_schema, &fine, body, size - 1), -EMSGSIZE);
    assert_int_equal(proto_pack(&refusal_schema, &fine, body, size), 0);
}


static void text_is_copied_whole_or_not_at_all(void **state)
{
    char four[4] = "zzz";

    (void)state;
    assert_true(proto_text_copy(proto_text("abc"), four, sizeof(four)));
    assert_string_equal(four, "abc");
    assert_false(proto_text_copy(proto_text("abcd"), four, sizeof(four)));
    assert_string_equal(four, "");
    assert_true(proto_text_copy(proto_text("a"), four, sizeof(four)));
    assert_string_equal(four, "a");
    assert_true(proto_text_copy(proto_text(""), four, 1));
    assert_string_equal(four, "");
    assert_false(proto_text_copy((struct proto_text){"", 1}, four, sizeof(four)));
    assert_false(proto_text_copy((struct proto_text){"a\0b", 3}, four, sizeof(four)));
    assert_true(proto_text_copy(proto_text(NULL), four, sizeof(four)));
    assert_true(proto_text_equal(proto_text(NULL), ""));
    assert_false(proto_text_equal(proto_text("ab"), "abc"));
    assert_false(proto_text_equal(proto_text("a"), "b"));
    assert_null(proto_text_dup((struct proto_text){"a\0b", 3}));
    char *copy = proto_text_dup(proto_text("abc"));
    assert_string_equal(copy, "abc");
    free(copy);
}

/* A schema of this test's own: the kinds no topic uses yet, and no fields at all. */
#define NOTHING_FIELDS(F)
#define CRATE_FIELDS(F) F(boolean, full, "") F(value, thing, "") F(boolean, sealed, "")
#define WEIGHT_FIELDS(F) F(i64, grams, "")
#define SEAL_FIELDS(F) F(bytes, print, "")
#define CRATE_MESSAGES(X)                                                                          \
    X(0xff01, nothing, NOTHING_FIELDS, "No field.")                                                \
    X(0xff02, crate, CRATE_FIELDS, "A free-form value.")                                           \
    X(0xff03, weight, WEIGHT_FIELDS, "A number with a sign.")                                      \
    X(0xff04, seal, SEAL_FIELDS, "Bytes.")
PROTO_DECLARE(crate, CRATE_MESSAGES)
PROTO_DEFINE(crate, CRATE_MESSAGES)

static void a_field_of_the_wrong_kind_refuses_the_body(void **state)
{
    static const struct {
        const struct proto_schema *schema;
        const char *body;
        size_t size;
        int result;
    } rows[] = {
        {&done_schema, "\x91\x05", 2, 0},
        {&done_schema, "\x91\xa1x", 3, -EBADMSG},
        {&done_schema, "\x91\xff", 2, -EBADMSG},
        {&done_schema, "\x91\xc0", 2, -EBADMSG},
        {&done_schema, "\x80", 1, -EBADMSG}, /* no array */
        {&done_schema, "\x05", 1, -EBADMSG},
        {&weight_schema, "\x91\xff", 2, 0},
        {&weight_schema, "\x91\x05", 2, 0},
        {&weight_schema, "\x91\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 10, 0},
        {&weight_schema, "\x91\xcf\x80\x00\x00\x00\x00\x00\x00\x00", 10, -EBADMSG},
        {&weight_schema, "\x91\xa1x", 3, -EBADMSG},
        {&crate_schema, "\x91\xc3", 2, 0},
        {&crate_schema, "\x91\x01", 2, -EBADMSG},
        {&crate_schema, "\x92\xc3\xc1", 3, -EBADMSG}, /* no value at all */
        {&refusal_schema, "\x91\xa1x", 3, 0},
        {&refusal_schema, "\x91\xa1\xff", 3, -EBADMSG},
        {&refusal_schema, "\x91\xc4\x01x", 4, -EBADMSG},
        {&refusal_schema, "\x91\x05", 2, -EBADMSG},
        {&token_grant_schema, "\x94\xa1x\x07\x07\xa1y", 7, 0},
        {&token_grant_schema, "\x94\xa1x\x07\x07\xc4\x01y", 8, -EBADMSG},
        {&seal_schema, "\x91\xc4\x01x", 4, 0},
        {&seal_schema, "\x91\xa1x", 3, -EBADMSG},
    };
    struct space *space = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t *body = guarded_copy(&space->guarded, rows[i].body, rows[i].size);
        int r = proto_unpack(rows[i].schema, body, rows[i].size, space->again);

        if (r != rows[i].result)
            fail_msg("row %zu: %d", i, r);
        if (r == 0) /* and it is what it says, to the byte */
            check_accepted(space, rows[i].schema, body, rows[i].size);
    }
}

static void a_value_is_kept_packed_and_bounded(void **state)
{
    struct space *space = *state;
    struct crate crate = {.thing = {"\x92\x01\xa2ok", 5}, .sealed = true}, again;
    size_t size = proto_packed_size(&crate_schema, &crate);

    assert_int_equal(proto_crate_schema_count, 4);
    assert_int_equal(proto_pack(&crate_schema, &crate, space->body, size), 0);
    assert_int_equal(proto_unpack(&crate_schema, space->body, size, &again), 0);
    assert_int_equal(again.thing.size, 5);
    assert_true(again.sealed && !again.full);
    proto_print(&crate_schema, space->body, size, space->line, BODY_MAX);
    assert_string_equal(space->line, "crate{full: false, thing: [1, \"ok\"], sealed: true}");

    crate.thing = (struct proto_text){"\x92\x01", 2};
    assert_int_equal(proto_pack(&crate_schema, &crate, space->body, BODY_MAX), -EINVAL);
    crate.thing = (struct proto_text){0};
    size = proto_packed_size(&crate_schema, &crate);
    assert_int_equal(proto_pack(&crate_schema, &crate, space->body, size), 0);
    assert_int_equal(proto_unpack(&crate_schema, space->body, size, &again), 0);
    assert_int_equal(again.thing.size, 0);
}

static void a_message_without_fields_is_an_empty_array(void **state)
{
    struct nothing nothing;
    uint8_t body[1];

    (void)state;
    assert_int_equal(proto_packed_size(&nothing_schema, &nothing), 1);
    assert_int_equal(proto_pack(&nothing_schema, &nothing, body, 1), 0);
    assert_int_equal(body[0], 0x90);
    assert_int_equal(proto_unpack(&nothing_schema, body, 1, &nothing), 0);
}

#define IN_SPACE(test) cmocka_unit_test_setup_teardown(test, space_new, space_free)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_SPACE(every_message_comes_back_as_it_was_packed),
        cmocka_unit_test(numbers_rise_and_are_found),
        cmocka_unit_test(a_missing_tail_reads_as_zero),
        cmocka_unit_test(elements_of_a_newer_version_are_ignored),
        IN_SPACE(every_truncation_is_refused),
        IN_SPACE(no_corrupted_byte_leads_out_of_the_body),
        IN_SPACE(a_secret_is_never_printed),
        IN_SPACE(wiping_takes_the_secret_and_leaves_the_rest),
        cmocka_unit_test(what_would_not_unpack_is_not_packed),
        IN_SPACE(a_field_of_the_wrong_kind_refuses_the_body),
        cmocka_unit_test(text_is_copied_whole_or_not_at_all),
        IN_SPACE(a_value_is_kept_packed_and_bounded),
        cmocka_unit_test(a_message_without_fields_is_an_empty_array),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
