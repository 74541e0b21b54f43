/* SPDX-License-Identifier: Apache-2.0 */
/* An answer of a model. Input: a byte that chooses the API, a byte that seeds the splits, then the
 * body of the HTTP answer. The API byte's value 3 is for the body of an HTTP error.
 *
 * However the bytes are split, the same answer comes out. It is complete exactly when it has no
 * fault. What was read can go into the next request, whichever API that one speaks. */
#include "api.h"
#include "fuzz.h"
#include "proto/cursor.h"

#define NOW_MS 1790000000000

static const struct api *const apis[] = {&api_responses, &api_chat, &api_messages};

/* seed 0: all at once. */
static void read_split(struct reading *reading, const struct api *api, const char *bytes,
                       size_t size, uint32_t seed)
{
    int result = reading_init(reading, api, "queenright");

    assert(result == 0);
    for (size_t at = 0; at < size && result == 0;) {
        size_t piece = seed ? fuzz_piece(&seed, size - at) : size;
        result = reading_feed(reading, bytes + at, piece, NOW_MS);
        at += piece;
    }
    if (result == 0)
        result = reading_finish(reading, NOW_MS);
    assert((result == 0) == (reading->fault.kind == FAULT_NONE));
    assert(reading->complete || result < 0);
}

static void check_fault(const struct fault *fault)
{
    assert(memchr(fault->code, 0, sizeof(fault->code)));
    assert(memchr(fault->why, 0, sizeof(fault->why)));
    assert(proto_utf8_valid(proto_text(fault->code)));
    assert(proto_utf8_valid(proto_text(fault->why)));
    assert(fault->until_ms >= 0);
}

static void compare(const struct reading *a, const struct reading *b)
{
    assert(a->complete == b->complete && a->fault.kind == b->fault.kind);
    assert(strcmp(a->fault.code, b->fault.code) == 0 && strcmp(a->fault.why, b->fault.why) == 0);
    assert(a->text.size == b->text.size);
    assert(a->text.size == 0 || memcmp(a->text.bytes, b->text.bytes, a->text.size) == 0);
    assert(json_equal(a->items, b->items) && json_equal(a->calls, b->calls));
    assert(a->input_tokens == b->input_tokens && a->output_tokens == b->output_tokens);
    assert(strcmp(a->stop, b->stop) == 0);
}

static void say_again(const struct reading *reading, bool reasoning)
{
    for (size_t i = 0; i < sizeof(apis) / sizeof(apis[0]); i++) {
        json_t *body = apis[i]->build(&(struct api_call){
            .model = "practice-1",
            .instructions = proto_text("Be brief."),
            .input = reading->items,
            .tool_space = "queenright",
            .reasoning = reasoning,
            .output_max = 100,
        });
        assert(json_is_object(body));
        json_decref(body);
    }
}

static void read_error(unsigned status, const char *bytes, size_t size)
{
    struct fault fault = {0};

    fault_from_http(&fault, 400 + status, proto_text("retry-after: 7\nx-request-id: 1\n"), bytes,
                    size, NOW_MS);
    assert(fault.kind != FAULT_NONE);
    check_fault(&fault);
}

static void one(const uint8_t *bytes, size_t size)
{
    unsigned choice = fuzz_take(&bytes, &size) % 4;
    uint32_t seed = fuzz_take(&bytes, &size) + 1u;
    const char *stream = (const char *)bytes;
    struct reading whole, split;

    if (choice == 3) {
        read_error(seed % 200, stream, size);
        return;
    }
    read_split(&whole, apis[choice], stream, size, 0);
    read_split(&split, apis[choice], stream, size, seed);
    compare(&whole, &split);
    check_fault(&whole.fault);
    assert(proto_utf8_valid((struct proto_text){whole.text.bytes, (uint32_t)whole.text.size}));
    say_again(&whole, seed & 1);
    reading_deinit(&whole);
    reading_deinit(&split);
}

/* A JSON value of one byte takes about a hundred in jansson; there are two readings, and a body
 * for the next request. */
FUZZ_TARGET(one, 65536, 1024)
