/* SPDX-License-Identifier: Apache-2.0 */
/* Single values of the config: URLs, variables, and what looks like a secret. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "queenright/config/check.h"

/* The authority of a URL, behind the scheme: *ret_size bytes up to the path. NULL: no scheme we
 * know. */
static const char *url_authority(const char *url, size_t *ret_size)
{
    const char *start = strncasecmp(url, "https://", 8) == 0  ? url + 8
                        : strncasecmp(url, "http://", 7) == 0 ? url + 7
                                                              : NULL;
    if (start)
        *ret_size = strcspn(start, "/?#");
    return start;
}

/* Behind the host, `:` and digits, or nothing. */
static bool url_port_is_good(const char *port, const char *end)
{
    if (port == end)
        return true;
    if (*port != ':' || end - port < 2 || end - port > 6)
        return false;
    long number = 0;
    for (port++; port < end; port++) {
        if (!isdigit((unsigned char)*port))
            return false;
        number = number * 10 + (*port - '0');
    }
    return number > 0 && number <= 65535;
}

const char *config_check_url(const char *url)
{
    size_t size = 0;
    const char *host = url_authority(url, &size);
    if (!host)
        return "expected a URL that starts with https:// or http://";
    for (const char *c = url; *c; c++)
        if (*c <= ' ' || *c == 0x7f || *c == '"' || *c == '\\')
            return "a URL has no spaces, quotes or control characters";
    if (memchr(host, '@', size))
        return "a URL here has no user and password: secrets live with the keeper";
    if (strchr(url, '#'))
        return "a URL here has no #fragment";
    const char *end = host + size;
    const char *close = *host == '[' ? memchr(host, ']', size) : NULL;
    const char *port = close ? close + 1 : memchr(host, ':', size);
    if (!port)
        port = end;
    if (port == host || (*host == '[' && !close))
        return "the URL names no host";
    return url_port_is_good(port, end) ? NULL : "the port is not a number from 1 to 65535";
}

bool config_url_is_loopback_or_https(const char *url)
{
    static const char *const loopback[] = {"localhost", "127.0.0.1", "[::1]"};
    if (strncasecmp(url, "https://", 8) == 0)
        return true;
    size_t size = 0;
    const char *host = url_authority(url, &size);
    for (size_t i = 0; host && i < sizeof loopback / sizeof loopback[0]; i++) {
        size_t length = strlen(loopback[i]);
        if (size >= length && strncasecmp(host, loopback[i], length) == 0 &&
            (size == length || host[length] == ':'))
            return true;
    }
    return false;
}

/* Whether `words`, a NULL-ended list, has one that occurs in the text, in any case. */
static bool has_word(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcasestr(text, *words))
            return true;
    return false;
}

bool config_name_is_secret(const char *name)
{
    static const char *const words[] = {"authorization", "api-key",  "api_key",  "apikey",
                                        "secret",        "password", "passwd",   "cookie",
                                        "refresh_token", "token",    "assertion", NULL};
    return has_word(name, words);
}

bool config_value_is_secret(const char *value)
{
    static const char *const starts[] = {"Bearer ", "Basic ", "sk-", "eyJ"};
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        if (strncmp(value, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

/* Length of the name in ${NAME}, upper-case letters, digits and _; 0: this is not a variable. */
static size_t variable_size(const char *text)
{
    size_t size = 0;
    while (isupper((unsigned char)text[2 + size]) || text[2 + size] == '_' ||
           (size > 0 && isdigit((unsigned char)text[2 + size])))
        size++;
    return text[2 + size] == '}' ? size : 0;
}

/* One ${NAME} at *text into out. */
static int expand_one(const char **text, FILE *out, char *ret_name, size_t name_size)
{
    size_t size = variable_size(*text);
    snprintf(ret_name, name_size, "%.*s", (int)size, *text + 2);
    if (config_name_is_secret(ret_name))
        return -EPERM;
    const char *value = secure_getenv(ret_name);
    if (!value)
        return -ENOENT;
    fputs(value, out);
    *text += size + 3;
    return 0;
}

int config_expand(const char *text, char **ret_text, char *ret_name, size_t name_size)
{
    *ret_text = NULL;
    if (!strstr(text, "${"))
        return 0;
    char *buffer = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&buffer, &size);
    if (!out)
        return -ENOMEM;
    int error = 0;
    while (*text && error == 0) {
        if (strncmp(text, "$${", 3) == 0) {
            fputs("${", out);
            text += 3;
        } else if (strncmp(text, "${", 2) == 0 && variable_size(text) > 0) {
            error = expand_one(&text, out, ret_name, name_size);
        } else {
            fputc(*text++, out);
        }
    }
    if (fclose(out) != 0 && error == 0)
        error = -ENOMEM;
    if (error == 0)
        *ret_text = buffer;
    else
        free(buffer);
    return error;
}
