/* SPDX-License-Identifier: Apache-2.0 */
/* Walks the parsed tree beside the table of keys. The walk goes on after an error, so that one run
 * tells all that is wrong; a value of the wrong type is reported and not entered. Two things are
 * put right in the tree while passing, because everything later relies on them: ${VAR} is
 * replaced, ids become lower case. */
#include "queenright/config/check.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_value(struct config_checker *checker, const struct config_key *key,
                        json_t *value);

void config_check_push(struct config_checker *checker, const char *key, size_t index)
{
    assert(checker->depth < CONFIG_DEPTH_MAX);
    checker->steps[checker->depth++] = (struct config_step){key, index};
}

void config_check_pop(struct config_checker *checker)
{
    assert(checker->depth > 0);
    checker->depth--;
}

/* A key that would be misread in a dotted path is quoted. */
static void path_print(FILE *out, const struct config_step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!steps[i].key) {
            fprintf(out, "[%zu]", steps[i].index);
            continue;
        }
        const char *quote = strpbrk(steps[i].key, ". []\"\n\t") || !*steps[i].key ? "\"" : "";
        fprintf(out, "%s%s%s%s", i > 0 ? "." : "", quote, steps[i].key, quote);
    }
}

void config_check_error(struct config_checker *checker, bool of_key, const char *format, ...)
{
    size_t offset =
        position_find(checker->text, checker->size, checker->steps, checker->depth, of_key);
    unsigned line = 0, column = 0;
    position_line(checker->text, checker->size, offset, &line, &column);
    char *path = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&path, &size);
    if (!out) {
        checker->no_memory = true;
        return;
    }
    path_print(out, checker->steps, checker->depth);
    fclose(out);
    va_list args;
    va_start(args, format);
    config_errors_addv(checker->errors, line, column, path, format, args);
    va_end(args);
    free(path);
}

/* NULL without memory. */
static char *copy_text(struct config_checker *checker, const char *text)
{
    char *copy = strdup(text);
    checker->no_memory |= !copy;
    return copy;
}

static const char *found_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "a list";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "a number";
    case JSON_REAL: return "a number with a fraction";
    case JSON_TRUE: return "true";
    case JSON_FALSE: return "false";
    case JSON_NULL: return "null";
    }
    return "something else";
}

static void expected_print(const struct config_key *key, char *text, size_t size)
{
    static const char *const names[] = {
        [CONFIG_OBJECT] = "an object, {...}", [CONFIG_MAP] = "an object, {...}",
        [CONFIG_LIST] = "a list, [...]",      [CONFIG_STRING] = "a string",
        [CONFIG_TEXT] = "a string",           [CONFIG_ID] = "a string",
        [CONFIG_URL] = "a string",            [CONFIG_BOOL] = "true or false",
        [CONFIG_MODEL] = "a string, \"provider/model\"",
    };
    if (key->type == CONFIG_INT)
        snprintf(text, size, "a whole number from %lld to %lld", key->min, key->max);
    else if (key->type == CONFIG_ENUM)
        snprintf(text, size, "one of %s", key->values);
    else if (key->flags & KEY_OR_MODEL)
        snprintf(text, size, "a string, \"provider/model\", or an object, {...}");
    else
        snprintf(text, size, "%s", names[key->type]);
}

static void error_type(struct config_checker *checker, const struct config_key *key,
                       const json_t *value)
{
    char expected[256];
    expected_print(key, expected, sizeof expected);
    config_check_error(checker, false, "expected %s, found %s", expected, found_name(value));
}

/* The path of a known key with the ids of where we are in place of its stars. */
static void key_path_print(const struct config_checker *checker, const struct config_key *key,
                           char *text, size_t size)
{
    const struct config_key *at = config_key_at(0);
    size_t length = 0;
    const char *pattern = key->path;
    for (size_t step = 0; *pattern && length + 1 < size; step++) {
        size_t word = strcspn(pattern, ".");
        bool same = at && step < checker->depth && checker->steps[step].key;
        at = same ? config_key_child(at, checker->steps[step].key) : NULL;
        bool star = word == 1 && *pattern == '*';
        const char *shown = !star ? pattern : at ? checker->steps[step].key : "ID";
        length += (size_t)snprintf(text + length, size - length, "%.*s",
                                   star ? (int)strlen(shown) : (int)word, shown);
        pattern += word;
        if (*pattern == '.' && length + 1 < size) {
            text[length++] = '.';
            pattern++;
        }
    }
    text[length < size ? length : size - 1] = '\0';
}

static void error_unknown(struct config_checker *checker, const struct config_key *parent,
                          const char *key)
{
    char near[512] = "", known[512] = "";
    const struct config_key *child = NULL, *meant = config_key_nearest(parent, key);
    size_t length = 0;
    while ((child = config_key_child_after(parent, child)))
        if (child->type != CONFIG_SECRET && child->type != CONFIG_ELSEWHERE &&
            length < sizeof known)
            length += (size_t)snprintf(known + length, sizeof known - length, "%s%s",
                                       length ? ", " : "", config_key_name(child));
    if (meant) {
        key_path_print(checker, meant, near, sizeof near);
        config_check_error(checker, true, "unknown key; did you mean %s? (known here: %s)", near,
                           known);
    } else {
        config_check_error(checker, true, "unknown key (known here: %s)", known);
    }
}

static void check_object(struct config_checker *checker, const struct config_key *key,
                         json_t *object)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) {
        const struct config_key *child = config_key_child(key, name);
        config_check_push(checker, name, 0);
        if (child)
            check_value(checker, child, value);
        else
            error_unknown(checker, key, name);
        config_check_pop(checker);
    }
    const struct config_key *child = NULL;
    while ((child = config_key_child_after(key, child)))
        if (child->flags & KEY_REQUIRED && !json_object_get(object, config_key_name(child)))
            config_check_error(checker, false, "the key \"%s\" is missing: %s",
                               config_key_name(child), child->help);
}

/* Lower-cases in place. A sentence when it is no id, else NULL. */
static const char *id_normalise(char *id, size_t max)
{
    for (char *c = id; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    size_t length = strlen(id);
    if (length == 0 || length > max)
        return "an id has 1 to 63 characters";
    if (strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_-") != length || strchr("_-", id[0]))
        return "an id is made of letters, digits, _ and -, and starts with a letter or digit";
    return NULL;
}

static const char *free_name_check(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > 127)
        return "a name here has 1 to 127 characters";
    for (const char *c = name; *c; c++)
        if (*c <= ' ' || *c >= 0x7f || strchr(",\"\\", *c))
            return "a name here has no spaces, commas, quotes, or characters beyond ASCII";
    return NULL;
}

static void check_map_name(struct config_checker *checker, const struct config_key *key,
                           const char *name, const json_t *value, char *lower)
{
    const char *why = key->flags & KEY_ANY_ID ? free_name_check(name) : id_normalise(lower, 63);
    if (why)
        config_check_error(checker, true, "%s", why);
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    if (key->flags & KEY_NO_SECRETS &&
        (config_name_is_secret(name) || config_value_is_secret(text)))
        config_check_error(checker, true,
                           "looks like a secret; secrets live with the keeper, not in this file: "
                           "remove it and use `queenright auth import`");
}

static void check_map(struct config_checker *checker, const struct config_key *key, json_t *map)
{
    const struct config_key *child = config_key_child(key, "*");
    if (json_object_size(map) > (size_t)key->max)
        config_check_error(checker, false, "at most %lld entries", key->max);
    json_t *lowered = json_object();
    const char *name;
    json_t *value;
    json_object_foreach(map, name, value) {
        char *lower = copy_text(checker, name);
        if (!lower)
            break;
        config_check_push(checker, name, 0);
        check_value(checker, child, value);
        check_map_name(checker, key, name, value, lower);
        if (json_object_get(lowered, lower))
            config_check_error(checker, true, "\"%s\" is there already: ids are the same in upper "
                                              "and lower case", lower);
        config_check_pop(checker);
        if (!json_object_get(lowered, lower))
            json_object_set(lowered, lower, value);
        free(lower);
    }
    json_object_clear(map);
    json_object_update(map, lowered);
    json_decref(lowered);
}

static void check_list(struct config_checker *checker, const struct config_key *key, json_t *list)
{
    const struct config_key *child = config_key_child(key, NULL);
    if (json_array_size(list) > (size_t)key->max)
        config_check_error(checker, false, "at most %lld items", key->max);
    size_t i;
    json_t *value;
    json_array_foreach(list, i, value) {
        config_check_push(checker, NULL, i);
        check_value(checker, child, value);
        config_check_pop(checker);
    }
}

/* False after an error. */
static bool check_variables(struct config_checker *checker, json_t *value)
{
    char name[64] = "", *expanded = NULL;
    int error = config_expand(json_string_value(value), &expanded, name, sizeof name);
    if (error == -EPERM)
        config_check_error(checker, false,
                           "${%s} looks like a secret; secrets live with the keeper, not in this "
                           "file: store it with `queenright auth import`", name);
    else if (error < 0)
        config_check_error(checker, false,
                           "the environment has no variable %s (for a plain ${ write $${)", name);
    else if (expanded && json_string_set(value, expanded) < 0)
        config_check_error(checker, false, "the variable's value is not UTF-8"), error = -EINVAL;
    free(expanded);
    return error == 0;
}

static bool enum_has(const char *values, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = values; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (strncmp(at, word, length) == 0 && strchr("|", at[length]))
            return true;
    return false;
}

static void check_enum(struct config_checker *checker, const struct config_key *key,
                       const char *word)
{
    if (*word && enum_has(key->values, word))
        return;
    char best[64] = "";
    size_t best_distance = word_distance_max(word) + 1;
    for (const char *at = key->values; *at; at += strspn(at, "|")) {
        char value[64];
        size_t length = strcspn(at, "|");
        snprintf(value, sizeof value, "%.*s", (int)length, at);
        if (word_distance(value, word) < best_distance) {
            best_distance = word_distance(value, word);
            snprintf(best, sizeof best, "%s", value);
        }
        at += length;
    }
    char expected[256];
    expected_print(key, expected, sizeof expected);
    config_check_error(checker, false, "expected %s, found \"%.40s\"%s%s%s", expected, word,
                       *best ? "; did you mean " : "", best, *best ? "?" : "");
}

/* Lower-cases the provider's part. */
static void check_model(struct config_checker *checker, json_t *value)
{
    char *reference = copy_text(checker, json_string_value(value));
    if (!reference)
        return;
    char *slash = strchr(reference, '/');
    if (!slash || slash == reference || !slash[1] || strpbrk(reference, " \t\r\n$")) {
        config_check_error(checker, false,
                           "expected provider/model, e.g. openai/gpt-5.5, found \"%.60s\"",
                           reference);
    } else {
        for (char *c = reference; c < slash; c++)
            *c = (char)tolower((unsigned char)*c);
        json_string_set(value, reference);
    }
    free(reference);
}

static void check_id(struct config_checker *checker, const struct config_key *key, json_t *value)
{
    char *id = copy_text(checker, json_string_value(value));
    if (!id)
        return;
    const char *why = id_normalise(id, (size_t)key->max);
    if (why)
        config_check_error(checker, false, "%s", why);
    else
        json_string_set(value, id);
    free(id);
}

static void check_line(struct config_checker *checker, const struct config_key *key,
                       const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        bool allowed = *c >= ' ' || (key->type == CONFIG_TEXT && strchr("\n\r\t", *c));
        if (!allowed || *c == 0x7f) {
            config_check_error(checker, false, "a control character (0x%02x) in it", *c);
            return;
        }
    }
}

static void check_string(struct config_checker *checker, const struct config_key *key,
                         json_t *value)
{
    if (!check_variables(checker, value))
        return;
    const char *text = json_string_value(value);
    const char *why = NULL;
    if (key->max > 0 && strlen(text) > (size_t)key->max) {
        config_check_error(checker, false, "%zu bytes, at most %lld are allowed", strlen(text),
                           key->max);
        return;
    }
    check_line(checker, key, text);
    switch (key->type) {
    case CONFIG_ENUM: check_enum(checker, key, text); break;
    case CONFIG_MODEL: check_model(checker, value); break;
    case CONFIG_ID: check_id(checker, key, value); break;
    case CONFIG_URL: why = config_check_url(text); break;
    default: break;
    }
    if (key->flags & KEY_LOOPBACK && !why && !config_url_is_loopback_or_https(text))
        why = "expected https (http is for this machine's own loopback address)";
    if (why)
        config_check_error(checker, false, "%s", why);
}

static void check_int(struct config_checker *checker, const struct config_key *key,
                      const json_t *value)
{
    json_int_t number = json_integer_value(value);
    if (number < key->min || number > key->max)
        config_check_error(checker, false, "expected a whole number from %lld to %lld, found %lld",
                           key->min, key->max, (long long)number);
}

static void check_value(struct config_checker *checker, const struct config_key *key,
                        json_t *value)
{
    static const struct config_key model = {.type = CONFIG_MODEL, .max = 255};
    if (key->type == CONFIG_SECRET || key->type == CONFIG_ELSEWHERE)
        config_check_error(checker, true, "not allowed here: %s", key->values);
    else if (key->flags & KEY_OR_MODEL && json_is_string(value))
        check_string(checker, &model, value);
    else if (key->type == CONFIG_OBJECT && json_is_object(value))
        check_object(checker, key, value);
    else if (key->type == CONFIG_MAP && json_is_object(value))
        check_map(checker, key, value);
    else if (key->type == CONFIG_LIST && json_is_array(value))
        check_list(checker, key, value);
    else if (key->type == CONFIG_INT && json_is_integer(value))
        check_int(checker, key, value);
    else if (key->type == CONFIG_BOOL && json_is_boolean(value))
        ;
    else if (key->type >= CONFIG_STRING && key->type <= CONFIG_MODEL &&
             key->type != CONFIG_INT && key->type != CONFIG_BOOL && json_is_string(value))
        check_string(checker, key, value);
    else
        error_type(checker, key, value);
}

void config_check_keys(struct config_checker *checker, json_t *root)
{
    check_value(checker, config_key_at(0), root);
}
