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
#include "proto/agent.h"
#include "proto/control.h"
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
};

static int space_new(void **state)
{
    struct space *space = calloc(1, sizeof(*space));

    space->generator.seed = 1;
    *state = space;
    return space ? 0 : -1;
}

static int space_free(void **state)
{
    free(*state);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_message_comes_back_as_it_was_packed, space_new,
                                        space_free),
        cmocka_unit_test(numbers_rise_and_are_found),
        cmocka_unit_test(a_missing_tail_reads_as_zero),
        cmocka_unit_test(elements_of_a_newer_version_are_ignored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
