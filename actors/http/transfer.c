/* SPDX-License-Identifier: Apache-2.0 */
#include "transfer.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LINES_MAX 64
#define READ_BUFFER_SIZE 8192 /* bytes; model streams come in small pieces */
#define KEEP_IDLE_SECONDS 60  /* a connection idle for longer is not used again */

/* ---- checks -------------------------------------------------------------------------------- */

static bool is_visible(struct proto_text text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    return true;
}

/* Lines of `Name: value`. Nothing in them may end the head early or speak of credentials, of the
 * body's borders or of another host. */
static bool lines_are_sound(struct proto_text headers)
{
    static const char *const ours[] = {"authorization", "x-api-key",         "host", "expect",
                                       "content-length", "transfer-encoding", "connection"};
    const char *line = headers.data, *end = headers.data + headers.size;
    size_t count = 0;
    for (size_t i = 0; i < headers.size; i++)
        if ((unsigned char)headers.data[i] < ' ' && headers.data[i] != '\n')
            return false;
    while (line && line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        stop = stop ? stop : end;
        const char *colon = memchr(line, ':', (size_t)(stop - line));
        if (stop > line && (!colon || colon == line || ++count > LINES_MAX - 3))
            return false;
        for (size_t i = 0; stop > line && i < sizeof(ours) / sizeof(ours[0]); i++)
            if (strlen(ours[i]) == (size_t)(colon - line) &&
                strncasecmp(line, ours[i], (size_t)(colon - line)) == 0)
                return false;
        line = stop + 1;
    }
    return true;
}

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == 127;
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

static const char *check_parts(const char *scheme, const char *host, const char *port,
                               const struct http_config *config, char *ret_origin)
{
    bool plain = strcmp(scheme, "http") == 0;
    if (!plain && strcmp(scheme, "https") != 0)
        return "the URL is neither http nor https";
    if (plain && !config->allow_http && !is_loopback(host))
        return "plain http is allowed to this machine only";
    if (snprintf(ret_origin, TRANSFER_ORIGIN_MAX, "%s://%s:%s", scheme, host, port) >=
        TRANSFER_ORIGIN_MAX)
        return "the URL's host is too long";
    return NULL;
}

static const char *check_url(struct proto_text text, const struct http_config *config,
                             char *ret_origin)
{
    char url[2048], *scheme = NULL, *host = NULL, *port = NULL, *user = NULL;
    if (!proto_text_copy(text, url, sizeof(url)) || !is_visible(text))
        return "the URL is too long or has characters that no URL has";
    CURLU *parts = curl_url();
    const char *wrong = "the URL makes no sense";
    if (parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
        wrong = check_parts(scheme, host, port, config, ret_origin);
    if (!wrong && curl_url_get(parts, CURLUPART_USER, &user, 0) == CURLUE_OK)
        wrong = "the URL has credentials in it";
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    curl_url_cleanup(parts);
    return wrong;
}

const char *transfer_check(const struct http_request *message, const struct http_config *config,
                           char *ret_origin)
{
    if (!proto_text_equal(message->method, "GET") && !proto_text_equal(message->method, "POST"))
        return "the method is neither GET nor POST";
    if (!lines_are_sound(message->headers))
        return "the header lines are not sound";
    if (!is_visible(message->bearer) || !is_visible(message->api_key))
        return "the credential has characters that no header may have";
    return check_url(message->url, config, ret_origin);
}

/* ---- the request --------------------------------------------------------------------------- */

static size_t add_line(struct transfer *transfer, size_t count, char **at, const char *name,
                       struct proto_text value)
{
    size_t name_size = strlen(name);
    transfer->list[count] = (struct curl_slist){.data = *at};
    if (count > 0)
        transfer->list[count - 1].next = &transfer->list[count];
    memcpy(*at, name, name_size);
    if (value.size > 0)
        memcpy(*at + name_size, value.data, value.size);
    *at += name_size + value.size;
    *(*at)++ = '\0';
    return count + 1;
}

/* curl takes the list as it is and does not copy it, so the one block that has the credentials is
 * ours to wipe. */
static bool make_lines(struct transfer *transfer, const struct http_request *message)
{
    static const char bearer[] = "Authorization: Bearer ", api_key[] = "x-api-key: ";
    static const char no_expect[] = "Expect:"; /* or curl waits for a 100 before a large body */
    transfer->lines_size = message->headers.size + sizeof(bearer) + message->bearer.size +
                           sizeof(api_key) + message->api_key.size + sizeof(no_expect) + LINES_MAX;
    transfer->lines = malloc(transfer->lines_size);
    transfer->list = calloc(LINES_MAX, sizeof(*transfer->list));
    if (!transfer->lines || !transfer->list)
        return false;
    char *at = transfer->lines;
    size_t count = add_line(transfer, 0, &at, no_expect, (struct proto_text){0});
    if (message->bearer.size > 0)
        count = add_line(transfer, count, &at, bearer, message->bearer);
    if (message->api_key.size > 0)
        count = add_line(transfer, count, &at, api_key, message->api_key);
    const char *line = message->headers.data, *end = line + message->headers.size;
    while (line && line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        stop = stop ? stop : end;
        struct proto_text text = {line, (uint32_t)(stop - line)};
        if (text.size > 0)
            count = add_line(transfer, count, &at, "", text);
        line = stop + 1;
    }
    return true;
}

/* HTTP/1.1 on purpose: over one HTTP/2 connection a stream that is paused for want of credit holds
 * up the others of that connection in curl; with a connection each, a slow reader is TCP's matter
 * and hurts nobody else. */
static void set_options(struct transfer *transfer, const struct http_config *config)
{
    CURL *easy = transfer->easy;
    curl_easy_setopt(easy, CURLOPT_URL, transfer->url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->list);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "queenright");
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 0L);
    curl_easy_setopt(easy, CURLOPT_UNRESTRICTED_AUTH, 0L);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_PROXY, config->proxy ? config->proxy : "");
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (config->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, config->ca_file);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)config->connect_ms);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)KEEP_IDLE_SECONDS);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)READ_BUFFER_SIZE);
    if (transfer->post) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->body);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)transfer->body_size);
    }
}

struct transfer *transfer_new(const struct http_request *message, const struct http_config *config)
{
    struct transfer *transfer = calloc(1, sizeof(*transfer));
    if (!transfer)
        return NULL;
    transfer->post = proto_text_equal(message->method, "POST");
    transfer->body_size = message->body.size;
    transfer->body_max = message->body_max ? message->body_max : config->body_max;
    uint64_t idle_ms = message->idle_ms ? message->idle_ms : config->idle_ms;
    transfer->idle_ns = idle_ms * 1000000;
    transfer->easy = curl_easy_init();
    transfer->url = strndup(message->url.data, message->url.size);
    transfer->body = malloc(message->body.size + 1);
    if (!transfer->easy || !transfer->url || !transfer->body || !make_lines(transfer, message)) {
        transfer_free(transfer);
        return NULL;
    }
    if (message->body.size > 0)
        memcpy(transfer->body, message->body.data, message->body.size);
    set_options(transfer, config);
    return transfer;
}

void transfer_free(struct transfer *transfer)
{
    if (!transfer)
        return;
    curl_easy_cleanup(transfer->easy);
    if (transfer->lines)
        memory_wipe(transfer->lines, transfer->lines_size);
    free(transfer->lines);
    free(transfer->list);
    free(transfer->url);
    free(transfer->body);
    free(transfer->head);
    free(transfer);
}

void transfer_drop_body(struct transfer *transfer)
{
    curl_off_t sent = 0;
    curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
    if (!transfer->post || (size_t)sent < transfer->body_size)
        return;
    free(transfer->body);
    transfer->body = NULL;
}

/* ---- the answer's head --------------------------------------------------------------------- */

static bool head_reserve(struct transfer *transfer, size_t more)
{
    size_t wanted = transfer->head_size + more;
    if (wanted <= transfer->head_capacity)
        return true;
    size_t capacity = wanted < 512 ? 512 : wanted * 2;
    char *grown = realloc(transfer->head, capacity);
    if (!grown)
        return false;
    transfer->head = grown;
    transfer->head_capacity = capacity;
    return true;
}

/* Keeps a line in the form that http_head promises: lower-case name, no CR, UTF-8 (what is not
 * ASCII becomes a question mark: nothing we read from a header has it). */
static int keep_line(struct transfer *transfer, const char *line, size_t size)
{
    const char *colon = memchr(line, ':', size);
    if (!colon)
        return 0;
    if (transfer->head_size + size + 1 > TRANSFER_HEAD_MAX)
        return -EMSGSIZE;
    if (!head_reserve(transfer, size + 1))
        return -ENOMEM;
    char *at = transfer->head + transfer->head_size;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)line[i];
        at[i] = byte < ' ' || byte > '~' ? '?' : (char)byte;
        if (line + i < colon)
            at[i] = (char)tolower(at[i]);
    }
    at[size] = '\n';
    transfer->head_size += size + 1;
    return 0;
}

int transfer_take_header(struct transfer *transfer, const char *line, size_t size)
{
    while (size > 0 && (line[size - 1] == '\n' || line[size - 1] == '\r'))
        size--;
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) { /* a 1xx head may have come before */
        long status = 0;
        curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
        transfer->status = (unsigned)status;
        transfer->head_size = 0;
        return 0;
    }
    if (size > 0)
        return keep_line(transfer, line, size);
    transfer->head_complete = transfer->status >= 200;
    return 0;
}
