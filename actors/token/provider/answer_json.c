/* SPDX-License-Identifier: Apache-2.0 */
#include "answer_json.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "token/store.h"
#include "token/wipe.h"

/* Seconds beyond this are milliseconds: 1e11 s lies in the year 5138, 1e11 ms in 1973. */
#define MILLISECONDS_FROM 1e11
#define TIME_MAX_MS 253402300799000.0 /* end of the year 9999 */

/* jansson's own limit is 2048 levels of recursion; this one is counted before it sees the text. */
static bool depth_within(const char *bytes, size_t length)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = bytes[i];
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_DEPTH_MAX) {
                return false;
            }
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return true;
}

json_t *bounded_json_load(const char *bytes, size_t length, json_error_t *ret_error)
{
    if (!depth_within(bytes, length)) {
        if (ret_error != NULL) {
            *ret_error = (json_error_t){.line = 1, .column = 1};
            snprintf(ret_error->text, sizeof(ret_error->text), "nested deeper than %d levels",
                     JSON_DEPTH_MAX);
        }
        return NULL;
    }
    unsigned before = wipe_refusals();
    json_t *root = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, ret_error);
    if (wipe_refusals() == before) {
        return root;
    }
    json_decref(root); /* it may lack a character */
    if (ret_error != NULL) {
        *ret_error = (json_error_t){.text = "out of memory"};
    }
    return NULL;
}

/* Decodes one reference token of a JSON pointer. Returns where the next begins; NULL: too long. */
static const char *pointer_token(const char *at, char *ret_token, size_t size)
{
    size_t length = 0;
    for (; *at != '\0' && *at != '/'; at++) {
        char c = *at;
        if (c == '~' && (at[1] == '0' || at[1] == '1')) {
            c = at[1] == '0' ? '~' : '/';
            at++;
        }
        if (length + 1 >= size) {
            return NULL;
        }
        ret_token[length++] = c;
    }
    ret_token[length] = '\0';
    return at;
}

const json_t *json_at(const json_t *root, const char *pointer)
{
    const json_t *value = root;
    while (value != NULL && *pointer == '/') {
        char token[256];
        pointer = pointer_token(pointer + 1, token, sizeof(token));
        if (pointer == NULL) {
            return NULL;
        }
        if (json_typeof(value) == JSON_ARRAY) {
            char *end = NULL;
            unsigned long index = strtoul(token, &end, 10);
            bool digits = isdigit((unsigned char)token[0]) && *end == '\0';
            value = digits ? json_array_get(value, index) : NULL;
        } else {
            value = json_object_get(value, token);
        }
    }
    return *pointer == '\0' ? value : NULL;
}

bool json_number(const json_t *value, double *ret_number)
{
    if (json_is_number(value)) {
        *ret_number = json_number_value(value);
        return true;
    }
    if (!json_is_string(value)) {
        return false;
    }
    const char *text = json_string_value(value);
    char *end = NULL;
    double number = strtod(text, &end);
    bool plain = isdigit((unsigned char)text[0]) && *end == '\0' &&
                 strspn(text, "0123456789.") == strlen(text);
    if (plain) {
        *ret_number = number;
    }
    return plain;
}

/* Takes `count` digits, a number from `first` to `last`. */
static bool take_number(const char **text, int count, int first, int last, int *ret_number)
{
    int number = 0;
    for (int i = 0; i < count; i++, (*text)++) {
        if (!isdigit((unsigned char)**text)) {
            return false;
        }
        number = number * 10 + (**text - '0');
    }
    *ret_number = number;
    return number >= first && number <= last;
}

static bool take_one_of(const char **text, const char *characters)
{
    if (**text == '\0' || strchr(characters, **text) == NULL) {
        return false;
    }
    (*text)++;
    return true;
}

/* Z, or hours and minutes from it. */
static bool take_offset(const char **text, int *ret_seconds)
{
    int sign = **text == '-' ? -1 : 1, hours, minutes;
    *ret_seconds = 0;
    if (take_one_of(text, "Zz")) {
        return true;
    }
    if (!take_one_of(text, "+-") || !take_number(text, 2, 0, 23, &hours) ||
        !take_one_of(text, ":") || !take_number(text, 2, 0, 59, &minutes)) {
        return false;
    }
    *ret_seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

/* 2026-09-29T12:00:00[.123](Z|+02:00) */
static bool rfc3339_ms(const char *text, int64_t *ret_ms)
{
    struct tm tm = {0};
    int day, second, offset;
    if (!take_number(&text, 4, 1970, 9999, &tm.tm_year) || !take_one_of(&text, "-") ||
        !take_number(&text, 2, 1, 12, &tm.tm_mon) || !take_one_of(&text, "-") ||
        !take_number(&text, 2, 1, 31, &day) || !take_one_of(&text, "Tt ") ||
        !take_number(&text, 2, 0, 23, &tm.tm_hour) || !take_one_of(&text, ":") ||
        !take_number(&text, 2, 0, 59, &tm.tm_min) || !take_one_of(&text, ":") ||
        !take_number(&text, 2, 0, 60, &second)) { /* 60: a leap second */
        return false;
    }
    int milliseconds = 0;
    if (*text == '.') {
        int scale = 100;
        for (text++; isdigit((unsigned char)*text); text++, scale /= 10) {
            milliseconds += (*text - '0') * scale;
        }
        if (text[-1] == '.') {
            return false;
        }
    }
    if (!take_offset(&text, &offset) || *text != '\0') {
        return false;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    tm.tm_mday = day;
    *ret_ms = ((int64_t)timegm(&tm) + second - offset) * 1000 + milliseconds;
    return tm.tm_mday == day; /* else the month has no such day */
}

bool json_time_ms(const json_t *value, int64_t *ret_ms)
{
    double number;
    if (!json_number(value, &number)) {
        int64_t ms;
        if (!json_is_string(value) || !rfc3339_ms(json_string_value(value), &ms) || ms < 1 ||
            ms > TIME_MAX_MS) {
            return false;
        }
        *ret_ms = ms;
        return true;
    }
    double ms = number >= MILLISECONDS_FROM ? number : number * 1000.0;
    if (ms < 1 || ms > TIME_MAX_MS) {
        return false;
    }
    *ret_ms = (int64_t)ms;
    return true;
}

json_t *jwt_claims(const char *token, size_t length)
{
    const char *first = memchr(token, '.', length);
    if (first == NULL) {
        return NULL;
    }
    const char *payload = first + 1;
    const char *second = memchr(payload, '.', length - (size_t)(payload - token));
    if (second == NULL) {
        return NULL;
    }
    while (second[-1] == '=') { /* ends at the first dot at the latest */
        second--;
    }
    size_t size = (size_t)(second - payload);
    uint8_t *bytes = wipe_malloc(size + 1);
    if (bytes == NULL) {
        return NULL;
    }
    json_t *claims = NULL;
    size_t got = 0;
    if (sodium_base642bin(bytes, size, payload, size, NULL, &got, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0) {
        claims = bounded_json_load((const char *)bytes, got, NULL);
    }
    wipe_free(bytes);
    return claims;
}

bool token_text_valid(const char *text, size_t length)
{
    if (length == 0 || length >= TOKEN_MAX) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        if (text[i] < 0x21 || text[i] > 0x7e) {
            return false;
        }
    }
    return true;
}
