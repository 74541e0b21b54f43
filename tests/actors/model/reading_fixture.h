/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a stream in two pieces, at every offset, and compares what came of it. */
#pragma once

#include "api.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW_MS 1700000000000

struct expected {
    const char *text, *calls, *items; /* NULL: not looked at */
    uint64_t input_tokens, output_tokens;
    enum fault_kind fault;
    const char *code;
    int64_t until_ms;
    const char *stop;
};

static void expect_json(const json_t *value, const char *expected)
{
    json_error_t error;
    json_t *wanted = json_loads(expected, 0, &error);
    if (!wanted)
        fail_msg("expected value: %s", error.text);
    char *text = json_dumps(value, JSON_COMPACT);
    if (!json_equal(wanted, value))
        fail_msg("got %s\nexpected %s", text, expected);
    free(text);
    json_decref(wanted);
}

static void check(const struct reading *reading, const struct expected *expected)
{
    assert_int_equal(reading->fault.kind, expected->fault);
    assert_int_equal(reading->complete, expected->fault == FAULT_NONE);
    assert_string_equal(reading->fault.code, expected->code ? expected->code : "");
    assert_int_equal(reading->fault.until_ms, expected->until_ms);
    assert_string_equal(reading->stop, expected->stop ? expected->stop : "");
    if (expected->text) {
        assert_int_equal(reading->text.size, strlen(expected->text));
        assert_memory_equal(reading->text.size ? reading->text.bytes : "", expected->text,
                            reading->text.size);
    }
    if (expected->calls)
        expect_json(reading->calls, expected->calls);
    if (expected->items)
        expect_json(reading->items, expected->items);
    assert_int_equal(reading->input_tokens, expected->input_tokens);
    assert_int_equal(reading->output_tokens, expected->output_tokens);
}

static void read_stream(const struct api *api, const char *stream, const struct expected *expected)
{
    size_t size = strlen(stream);
    for (size_t at = 0; at <= size; at++) {
        struct reading reading;
        assert_int_equal(reading_init(&reading, api, "queenright"), 0);
        reading.by = "lab lab:me";
        int result = reading_feed(&reading, stream, at, NOW_MS);
        if (result == 0)
            result = reading_feed(&reading, stream + at, size - at, NOW_MS);
        if (result == 0)
            result = reading_finish(&reading, NOW_MS);
        assert_int_equal(result == 0, expected->fault == FAULT_NONE);
        check(&reading, expected);
        reading_deinit(&reading);
    }
}

/* Byte by byte: providers cache by the prefix of a request, so the order of keys is kept too. */
static void expect_body(const struct api *api, const struct api_call *base, const char *input,
                        const char *tools, const char *expected)
{
    struct api_call call = *base;
    json_t *input_value = json_loads(input, 0, NULL);
    json_t *tools_value = tools ? json_loads(tools, 0, NULL) : NULL;
    assert_non_null(input_value);
    call.input = input_value;
    call.tools = tools_value;
    json_t *body = api->build(&call);
    assert_non_null(body);
    char *text = json_dumps(body, JSON_COMPACT);
    assert_string_equal(text, expected);
    free(text);
    json_decref(body);
    json_decref(input_value);
    json_decref(tools_value);
}
