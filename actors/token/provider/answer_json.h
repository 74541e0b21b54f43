/* SPDX-License-Identifier: Apache-2.0 */
/* JSON from outside, read within bounds: nesting, size, no duplicate keys. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 32

/* A new reference to the object or array, or NULL with a reason. `error` may be NULL. Where memory
 * ran out here or below, wipe_refusals() has risen. */
json_t *bounded_json_load(const char *bytes, size_t length, json_error_t *ret_error);
/* RFC 6901. "" is the whole. NULL: nothing there. Borrowed. */
const json_t *json_at(const json_t *root, const char *pointer);
/* Unix time in ms out of a number of seconds or milliseconds, a number written as text, or an
 * RFC 3339 time. False: it is none of these. */
bool json_time_ms(const json_t *value, int64_t *ret_ms);
/* A number, or one written as text. */
bool json_number(const json_t *value, double *ret_number);
/* The claims of a JWT, not verified; a new reference or NULL. */
json_t *jwt_claims(const char *token, size_t length);
/* A token is visible ASCII below TOKEN_MAX: it will stand in a header, where other bytes would end
 * it. */
bool token_text_valid(const char *text, size_t length);
