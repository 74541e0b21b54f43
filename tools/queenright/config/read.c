/* SPDX-License-Identifier: Apache-2.0 */
/* Limits come before parsing, so that a wrong file (a log, a disk image, a bomb of brackets) is
 * refused at once and in words. What the parser says is put in our words: its own quote the text
 * near the error, which may be a secret someone put there. */
#include "queenright/config/read.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queenright/config/position.h"

static int read_error(struct config_errors *errors, int error)
{
    if (error == -EFBIG)
        config_errors_add(errors, 0, 0, "", "the file is larger than %d bytes (1 MiB), the most a "
                                            "config may have: is it the right file?",
                          CONFIG_SIZE_MAX);
    else if (error == -EISDIR)
        config_errors_add(errors, 0, 0, "", "this is a directory, expected a JSON file");
    else
        config_errors_add(errors, 0, 0, "", "cannot read the file: %s", strerror(-error));
    return error;
}

static int read_all(int fd, char *text, size_t *ret_size)
{
    size_t size = 0;
    while (size <= CONFIG_SIZE_MAX) {
        ssize_t got = read(fd, text + size, CONFIG_SIZE_MAX + 1 - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        size += (size_t)got;
    }
    *ret_size = size;
    return size > CONFIG_SIZE_MAX ? -EFBIG : 0;
}

int config_read_file(const char *path, char **ret_text, size_t *ret_size,
                     struct config_errors *errors)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return read_error(errors, -errno);
    struct stat status;
    int error = fstat(fd, &status) < 0 ? -errno : 0;
    if (error == 0 && S_ISDIR(status.st_mode))
        error = -EISDIR;
    if (error == 0 && S_ISREG(status.st_mode) && status.st_size > CONFIG_SIZE_MAX)
        error = -EFBIG;
    char *text = error == 0 ? malloc(CONFIG_SIZE_MAX + 1) : NULL;
    if (error == 0 && !text)
        error = -ENOMEM;
    size_t size = 0;
    if (error == 0)
        error = read_all(fd, text, &size);
    close(fd);
    if (error < 0) {
        free(text);
        return read_error(errors, error);
    }
    *ret_text = text;
    *ret_size = size;
    return 0;
}

void config_skip_mark(const char **text, size_t *size)
{
    if (*size >= 3 && memcmp(*text, "\xef\xbb\xbf", 3) == 0) {
        *text += 3;
        *size -= 3;
    }
}

static void error_at_offset(struct config_errors *errors, const char *text, size_t size,
                            size_t offset, const char *message)
{
    unsigned line = 0, column = 0;
    position_line(text, size, offset, &line, &column);
    config_errors_add(errors, line, column, "", "%s", message);
}

/* What JSON5 and slips of the pen look like. NULL: something else. */
static const char *syntax_hint(const char *text, size_t size, size_t offset)
{
    if (offset >= size)
        return "the file ends too early: a closing bracket or quote is missing";
    size_t before = offset;
    while (before > 0 && isspace((unsigned char)text[before - 1]))
        before--;
    char previous = before > 0 ? text[before - 1] : '\0';
    char here = text[offset];
    if (here == '/' || here == '#')
        return "JSON has no comments: remove it";
    if (here == '\'')
        return "strings take double quotes";
    if (strchr("}]", here) && previous == ',')
        return "a comma before the closing bracket: remove it";
    if (here == ',' && (previous == ',' || previous == '[' || previous == '{'))
        return "a comma too many";
    if (strchr("\"{[", here) && previous && strchr("\"}]el0123456789", previous))
        return "a comma is missing before this";
    if (isalpha((unsigned char)here) || here == '_' || here == '$')
        return "keys and strings take double quotes";
    return NULL;
}

/* The parser's sentence without its ` near '...'`. */
static void parser_text(const json_error_t *error, char *text, size_t size)
{
    const char *near = strstr(error->text, " near ");
    size_t length = near ? (size_t)(near - error->text) : strlen(error->text);
    if (length >= size)
        length = size - 1;
    memcpy(text, error->text, length);
    text[length] = '\0';
}

/* Offset of the token the parser stopped behind. */
static size_t token_start(const char *text, size_t size, size_t behind)
{
    size_t offset = behind > 0 ? behind - 1 : 0;
    if (offset >= size)
        return size;
    while (offset > 0 && isalnum((unsigned char)text[offset]) &&
           isalnum((unsigned char)text[offset - 1]))
        offset--;
    return offset;
}

static void error_syntax(struct config_errors *errors, const char *text, size_t size,
                         const json_error_t *error)
{
    char message[JSON_ERROR_TEXT_LENGTH];
    parser_text(error, message, sizeof message);
    size_t behind = error->position > 0 ? (size_t)error->position : 0;
    size_t offset = token_start(text, size, behind);
    const char *hint = NULL;
    switch (json_error_code(error)) {
    case json_error_invalid_utf8:
        hint = "not UTF-8: save the file as UTF-8";
        offset = behind < size ? behind : size;
        break;
    case json_error_null_character: hint = "a NUL character in a string"; break;
    case json_error_premature_end_of_input:
        hint = "the file ends too early: a closing bracket or quote is missing";
        offset = size;
        break;
    case json_error_end_of_input_expected:
        hint = "the config ends before this: something is left over";
        break;
    default:
        if (strncmp(error->text, "unexpected newline", 18) == 0) {
            hint = "the line ends inside a string: close it, and write \\n for a new line";
            offset = position_token(text, size, behind);
            break;
        }
        if (offset < size && text[offset] == '"')
            offset = position_token(text, size, behind);
        hint = syntax_hint(text, size, offset);
    }
    error_at_offset(errors, text, size, offset, hint ? hint : message);
}

/* Reports a duplicate and parses on, letting the last one win. */
static json_t *read_duplicates(const char *text, size_t size, const json_error_t *error,
                               struct config_errors *errors)
{
    size_t offset = position_token(text, size, (size_t)error->position);
    error_at_offset(errors, text, size, offset, "the same key twice in one object: keep one");
    return json_loadb(text, size, 0, NULL);
}

json_t *config_read_json(const char *text, size_t size, struct config_errors *errors)
{
    const char *nul = memchr(text, '\0', size);
    if (size == 0) {
        config_errors_add(errors, 0, 0, "", "the file is empty, expected a JSON object");
        return NULL;
    }
    if (size >= 2 && (memcmp(text, "\xff\xfe", 2) == 0 || memcmp(text, "\xfe\xff", 2) == 0)) {
        config_errors_add(errors, 1, 1, "", "the file is UTF-16: save it as UTF-8");
        return NULL;
    }
    if (nul) {
        error_at_offset(errors, text, size, (size_t)(nul - text),
                        "a NUL byte: this is not a text file");
        return NULL;
    }
    size_t deep = position_too_deep(text, size, CONFIG_NESTING_MAX);
    if (deep < size) {
        error_at_offset(errors, text, size, deep,
                        "nested deeper than anything a config holds");
        return NULL;
    }
    json_error_t error = {0}; /* without memory jansson leaves most of it as it was */
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (!root && json_error_code(&error) == json_error_duplicate_key)
        return read_duplicates(text, size, &error, errors);
    if (!root)
        error_syntax(errors, text, size, &error);
    return root;
}
