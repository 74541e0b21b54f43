/* SPDX-License-Identifier: Apache-2.0 */
/* One request, from its head to the last byte of its answer.
 *
 * A request that has to wait (a delay, the next word of a model, a hang) is suspended and stands in
 * the heap of deadlines. libmicrohttpd does not notice that a suspended client leaves, so no
 * request sleeps longer than WAIT_MAX_MS without a look at its socket. Bodies are bounded before
 * they are read. */
#include "request.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define WAIT_MAX_MS 1000
#define BODY_SMALL (64 * 1024)
#define BODY_MODEL (8 * 1024 * 1024)

struct route {
    const char *method;
    const char *path;
    void (*page)(struct practice *practice, struct request *request);
    size_t body_max;
};

static const struct route routes[] = {
    { "POST", "/oauth/token", page_token, BODY_SMALL },
    { "POST", "/oauth/revoke", page_revoke, BODY_SMALL },
    { "GET", "/oauth/authorize", page_authorize, 0 },
    { "GET", "/.well-known/openid-configuration", page_discovery, 0 },
    { "POST", "/practice/login", page_login, BODY_SMALL },
    { "POST", "/practice/options", page_options, BODY_SMALL },
    { "POST", "/v1/responses", page_responses, BODY_MODEL },
    { "POST", "/v1/chat/completions", page_chat, BODY_MODEL },
    { "GET", "/v1/models", page_models, 0 },
    { "GET", "/stats", page_stats, 0 },
    { "GET", "/", page_home, 0 },
};

const char *request_header(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

const char *request_query(const struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_GET_ARGUMENT_KIND, name);
}

/* Has the client closed its end? */
static bool client_left(const struct request *request)
{
    char byte;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    ssize_t got = info ? recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) : 0;
    return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

bool server_refresh_open(const struct practice *practice, uint32_t login)
{
    for (const struct request *other = practice->requests; other != NULL; other = other->next) {
        if (other->login == login && !client_left(other))
            return true;
    }
    return false;
}

static const struct route *route_find(const char *method, const char *path, unsigned *ret_status)
{
    *ret_status = MHD_HTTP_NOT_FOUND;
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (strcmp(routes[i].path, path) != 0)
            continue;
        if (strcmp(routes[i].method, method) == 0)
            return &routes[i];
        *ret_status = MHD_HTTP_METHOD_NOT_ALLOWED;
    }
    return NULL;
}

static struct request *request_new(struct practice *practice, struct MHD_Connection *connection)
{
    struct request *request = calloc(1, sizeof(*request));
    if (request == NULL)
        return NULL;
    request->practice = practice;
    request->connection = connection;
    request->next = practice->requests;
    if (request->next != NULL)
        request->next->previous = request;
    practice->requests = request;
    return request;
}

static void request_free(struct request *request)
{
    struct practice *practice = request->practice;
    timers_disarm(&practice->timers, &request->timer);
    if (request->next != NULL)
        request->next->previous = request->previous;
    if (request->previous != NULL)
        request->previous->next = request->next;
    else
        practice->requests = request->next;
    reply_deinit(&request->reply);
    free(request->body);
    free(request);
}

/* Sleeps until `due_ms`, but looks after its socket meanwhile. False: cannot. */
static bool request_suspend(struct request *request, uint64_t due_ms)
{
    struct practice *practice = request->practice;
    uint64_t look_ms = server_now_ms() + WAIT_MAX_MS;
    if (practice->stopping || request->gone ||
        timers_arm(&practice->timers, &request->timer, due_ms < look_ms ? due_ms : look_ms) < 0)
        return false;
    request->suspended = true;
    MHD_suspend_connection(request->connection);
    return true;
}

void request_resume(struct request *request)
{
    timers_disarm(&request->practice->timers, &request->timer);
    request->suspended = false;
    request->gone = client_left(request);
    MHD_resume_connection(request->connection);
}

/* A stretch of the reply for libmicrohttpd, or nothing yet. */
static ssize_t reply_read(void *arg, uint64_t position, char *buffer, size_t max)
{
    struct request *request = arg;
    const struct reply *reply = &request->reply;
    uint64_t next_ms = REPLY_NEVER;
    if (request->practice->stopping || request->gone)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (position >= reply->size)
        return reply->reset ? MHD_CONTENT_READER_END_WITH_ERROR
                            : MHD_CONTENT_READER_END_OF_STREAM;
    size_t released = reply_released(reply, server_now_ms() - request->began_ms, &next_ms);
    if (position < released) {
        size_t size = released - position;
        size = size < max ? size : max;
        memcpy(buffer, reply->body + position, size);
        return (ssize_t)size;
    }
    uint64_t due_ms = next_ms == REPLY_NEVER ? REPLY_NEVER : request->began_ms + next_ms;
    return request_suspend(request, due_ms) ? 0 : MHD_CONTENT_READER_END_WITH_ERROR;
}

static struct MHD_Response *response_make(struct request *request)
{
    struct reply *reply = &request->reply;
    struct MHD_Response *response = NULL;
    char number[16];
    if (reply->step_count == 0 && !reply->reset)
        response = MHD_create_response_from_buffer(reply->size, reply->body,
                                                   MHD_RESPMEM_MUST_COPY);
    else
        response = MHD_create_response_from_callback(
            reply->stream ? MHD_SIZE_UNKNOWN : reply->size, 16 * 1024, reply_read, request, NULL);
    if (response == NULL)
        return NULL;
    MHD_add_response_header(response, "Content-Type", reply->type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "Server", "practice");
    if (reply->location != NULL)
        MHD_add_response_header(response, "Location", reply->location);
    if (reply->retry_after_s != 0) {
        snprintf(number, sizeof(number), "%u", reply->retry_after_s);
        MHD_add_response_header(response, "Retry-After", number);
    }
    return response;
}

static enum MHD_Result request_answer(struct request *request)
{
    struct practice *practice = request->practice;
    struct reply *reply = &request->reply;
    if (reply->body == NULL && !reply->drop)
        reply_text(reply, MHD_HTTP_INTERNAL_SERVER_ERROR, "text/plain", "practice: no memory\n");
    if (reply->drop || reply->out_of_memory || practice->stopping || request->gone)
        return MHD_NO;
    struct MHD_Response *response = response_make(request);
    if (response == NULL)
        return MHD_NO;
    request->began_ms = server_now_ms();
    if (request->model && ++practice->streams_open > practice->streams_peak)
        practice->streams_peak = practice->streams_open;
    enum MHD_Result r = MHD_queue_response(request->connection, reply->status, response);
    MHD_destroy_response(response);
    return r;
}

/* The request is here: decide, then wait if the reply says so, then answer. */
static enum MHD_Result request_proceed(struct request *request)
{
    struct reply *reply = &request->reply;
    uint64_t now_ms = server_now_ms();
    if (!request->routed) {
        request->routed = true;
        request->route->page(request->practice, request);
        request->began_ms = now_ms;
    }
    bool hangs = reply->delay_ms == REPLY_NEVER;
    uint64_t due_ms = hangs ? REPLY_NEVER : request->began_ms + reply->delay_ms;
    if (!request->gone && now_ms < due_ms)
        return request_suspend(request, due_ms) ? MHD_YES : MHD_NO;
    return request_answer(request);
}

static enum MHD_Result body_add(struct request *request, const char *bytes, size_t *size)
{
    size_t need = request->size + *size + 1;
    if (request->route == NULL || need > request->route->body_max + 1)
        return MHD_NO;
    if (need > request->capacity) {
        size_t capacity = need * 2;
        char *body = realloc(request->body, capacity);
        if (body == NULL)
            return MHD_NO;
        request->body = body;
        request->capacity = capacity;
    }
    memcpy(request->body + request->size, bytes, *size);
    request->size += *size;
    request->body[request->size] = '\0';
    *size = 0;
    return MHD_YES;
}

/* The head is here. Refusals are answered at once, before any body is read. */
static enum MHD_Result request_begin(struct request *request, const char *method, const char *path)
{
    unsigned status = 0;
    const char *length = request_header(request, "Content-Length");
    request->route = route_find(method, path, &status);
    if (request->route == NULL)
        reply_error(&request->reply, status, "not_found", "invalid_request_error",
                    "practice: no such page, or another method");
    else if (length != NULL && strtoull(length, NULL, 10) > request->route->body_max)
        reply_error(&request->reply, MHD_HTTP_CONTENT_TOO_LARGE, "too_large",
                    "invalid_request_error", "practice: the body is too large");
    else
        return MHD_YES;
    return request_answer(request);
}

enum MHD_Result request_on_part(void *arg, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload_data,
                                size_t *upload_size, void **slot)
{
    (void)version;
    struct request *request = *slot;
    if (request == NULL) {
        request = request_new(arg, connection);
        *slot = request;
        return request ? request_begin(request, method, url) : MHD_NO;
    }
    if (*upload_size != 0)
        return body_add(request, upload_data, upload_size);
    return request_proceed(request);
}

void request_on_end(void *arg, struct MHD_Connection *connection, void **slot,
                    enum MHD_RequestTerminationCode code)
{
    struct practice *practice = arg;
    struct request *request = *slot;
    (void)connection;
    if (request == NULL)
        return;
    if (request->model && request->began_ms != 0) {
        practice->streams_open -= practice->streams_open > 0;
        bool complete = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;
        practice->counters.model_answers += complete && !request->reply.cut;
        practice->counters.streams_abandoned += !complete && !request->reply.cut;
    }
    *slot = NULL;
    request_free(request);
}
