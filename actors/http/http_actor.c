/* SPDX-License-Identifier: Apache-2.0 */
/* The actor "http": transfers for the other actors of this process.
 *
 * Takes   http_request, as a stream: http_head, http_chunk..., then http_end; or a refusal:
 *         bad_request, unavailable, timeout, too_large, busy.
 * Sends   nothing else.
 * Owns    the curl multi handle, its connections and its cache of names; a line per origin.
 * Rules   Parts go out under the requester's credit; without any, curl pauses the transfer, its
 *         buffer fills and TCP slows the server. The deadline is the request's own, kept by the
 *         runtime: it answers and calls on_cancel, which ends the transfer.
 *         A request is sent once. curl would send a POST again by itself when a kept connection
 *         turns out to be dead before the first byte of an answer, and cannot know whether the
 *         server had acted; a model call would be paid twice and nobody could tell. So the second
 *         sending is stopped in CURLOPT_PREREQFUNCTION and told as `unavailable`: whoever asked
 *         decides, in the open. (A GET may be sent again.)
 *         Each origin has its own line, so a slow one keeps nobody else from connecting; and few
 *         connections of one origin are being made at a time, for curl looks a name up on a new
 *         thread each.
 *         Redirects are not followed: no credential ever reaches a host the URL does not name. */
#include "transfer.h"

#include "actors/handler.h"
#include "loop.h"
#include "proto/system.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_CONNECTIONS_DEFAULT 1024
#define HOST_CONNECTING_MAX 64
#define TRANSFERS_DEFAULT 8192
#define CONNECT_DEFAULT_MS 15000
#define IDLE_DEFAULT_MS 300000
#define BODY_DEFAULT_MAX (32u << 20)

/* One origin. Lives as long as it has transfers. */
struct host {
    UT_hash_handle hh;
    unsigned active;     /* started transfers */
    unsigned connecting; /* of these, how many have not sent their request yet */
    TAILQ_HEAD(, transfer) queue;
    char origin[TRANSFER_ORIGIN_MAX];
};

struct http_state {
    struct http_config config; /* with defaults filled in */
    char *proxy, *ca_file;     /* the config's strings */
    struct loop loop;
    struct transfer *transfers; /* by request */
    struct host *hosts;         /* by origin */
    struct context *context;    /* during a handler: curl's callbacks need it */
    bool curl_started;
    uint64_t finished, failed, bytes;
};

/* ---- parts --------------------------------------------------------------------------------- */

/* Takes the message. 0, -EAGAIN without credit, other: the request is over. */
static int send_part(struct transfer *transfer, struct message *message)
{
    int result = message ? context_part(transfer->http->context, transfer->request, message)
                         : -ENOMEM;
    if (result == -EAGAIN)
        message_free(message);
    return result;
}

static int send_head(struct transfer *transfer)
{
    if (transfer->head_sent || !transfer->head_complete)
        return 0;
    struct http_head head = {.status = transfer->status,
                             .headers = {transfer->head, (uint32_t)transfer->head_size}};
    int result = send_part(transfer, actor_pack(http_head, &head));
    transfer->head_sent = result == 0;
    return result;
}

static void touch(struct transfer *transfer)
{
    transfer->last_ns = context_now_ns(transfer->http->context);
}

static size_t on_header(char *line, size_t unit, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    touch(transfer);
    if (transfer->head_complete) /* trailers */
        return unit * count;
    int result = transfer_take_header(transfer, line, unit * count);
    transfer->over_limit |= result == -EMSGSIZE;
    if (result == 0 && transfer->head_complete) {
        transfer_drop_body(transfer);
        result = send_head(transfer);
    }
    return result == 0 || result == -EAGAIN ? unit * count : 0;
}

static size_t on_body(char *bytes, size_t unit, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    size_t size = unit * count;
    int result = send_head(transfer);
    if (transfer->size + size > transfer->body_max) {
        transfer->over_limit = true;
        return 0;
    }
    if (result == 0) { /* to be told of credit, a part must have been tried */
        struct http_chunk chunk = {.bytes = {bytes, (uint32_t)size}};
        result = send_part(transfer, actor_pack(http_chunk, &chunk));
    }
    transfer->paused = result == -EAGAIN;
    if (transfer->paused)
        return CURL_WRITEFUNC_PAUSE;
    touch(transfer);
    transfer->size += size;
    transfer->http->bytes += size;
    return result == 0 ? size : 0;
}

/* ---- lines of waiting transfers ------------------------------------------------------------ */

static void connected(struct transfer *transfer)
{
    if (!transfer->connecting)
        return;
    transfer->connecting = false;
    transfer->host->connecting--;
}

static int on_prereq(void *arg, char *ip, char *local_ip, int port, int local_port)
{
    struct transfer *transfer = arg;
    (void)ip;
    (void)local_ip;
    (void)port;
    (void)local_port;
    transfer->sends++;
    connected(transfer);
    return transfer->sends > 1 && transfer->post ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static void start(struct http_state *state, struct transfer *transfer)
{
    CURL *easy = transfer->easy;
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_prereq);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer);
    transfer->started = transfer->connecting = true;
    transfer->host->active++;
    transfer->host->connecting++;
    touch(transfer);
    transfer->idle_timer = context_timer(state->context, transfer->idle_ns, transfer->request.n);
    CURLMcode code = curl_multi_add_handle(state->loop.multi, easy);
    if (code != CURLM_OK) {
        transfer->done = true;
        transfer->result = CURLE_OUT_OF_MEMORY;
    }
}

static struct host *host_get(struct http_state *state, const char *origin)
{
    struct host *host;
    HASH_FIND_STR(state->hosts, origin, host);
    if (host)
        return host;
    host = calloc(1, sizeof(*host));
    if (!host)
        return NULL;
    snprintf(host->origin, sizeof(host->origin), "%s", origin);
    TAILQ_INIT(&host->queue);
    HASH_ADD_STR(state->hosts, origin, host);
    if (!host->hh.tbl) { /* not added */
        free(host);
        return NULL;
    }
    return host;
}

/* Takes a transfer out of everything. serve_hosts is to follow. */
static void drop(struct http_state *state, struct transfer *transfer)
{
    struct host *host = transfer->host;
    HASH_DEL(state->transfers, transfer);
    if (transfer->started) {
        curl_multi_remove_handle(state->loop.multi, transfer->easy);
        context_timer_cancel(state->context, transfer->idle_timer);
        connected(transfer);
        host->active--;
    } else {
        TAILQ_REMOVE(&host->queue, transfer, waiting);
    }
    transfer_free(transfer);
}

/* ---- ends ---------------------------------------------------------------------------------- */

static struct message *refusal_of(const struct transfer *transfer)
{
    char why[CURL_ERROR_SIZE + TRANSFER_ORIGIN_MAX + 8];
    const char *text = transfer->error[0] ? transfer->error : curl_easy_strerror(transfer->result);
    if (transfer->over_limit)
        return actor_refusal("too_large", "the answer is over the limit", "", 0, 0);
    if (transfer->result == CURLE_ABORTED_BY_CALLBACK && transfer->sends > 1)
        return actor_refusal("unavailable",
                             "a kept connection died after the request was sent on it; it was not "
                             "sent again", "", 0, 0);
    snprintf(why, sizeof(why), "%s: %s", transfer->host->origin, text);
    bool late = transfer->result == CURLE_OPERATION_TIMEDOUT;
    return actor_refusal(late ? "timeout" : "unavailable", why, "", 0, 0);
}

static struct message *answer_of(const struct transfer *transfer)
{
    if (transfer->result != CURLE_OK || transfer->over_limit)
        return refusal_of(transfer);
    struct http_end end = {.status = transfer->status, .size = transfer->size};
    return actor_pack(http_end, &end);
}

/* Answers and forgets a transfer that curl is through with; its host may be without any then. One
 * whose head could not go out yet stays for want of credit. */
static void conclude(struct http_state *state, struct transfer *transfer)
{
    if (transfer->result == CURLE_OK && send_head(transfer) == -EAGAIN)
        return;
    if (transfer->result == CURLE_OK)
        state->finished++;
    else
        state->failed++;
    struct message *answer = answer_of(transfer);
    struct request_id request = transfer->request;
    drop(state, transfer);
    if (answer)
        context_answer(state->context, request, answer);
    else
        context_answer_status(state->context, request, STATUS_NO_MEMORY, 0);
}

static void start_waiting(struct http_state *state, struct host *host)
{
    struct transfer *transfer;
    while ((transfer = TAILQ_FIRST(&host->queue)) &&
           host->active < state->config.host_connections &&
           host->connecting < HOST_CONNECTING_MAX) {
        TAILQ_REMOVE(&host->queue, transfer, waiting);
        start(state, transfer);
        if (transfer->done) /* curl did not take it */
            conclude(state, transfer);
    }
}

/* Lets the next in line go, and forgets origins that have none. */
static void serve_hosts(struct http_state *state)
{
    struct host *host, *next;
    HASH_ITER(hh, state->hosts, host, next) {
        start_waiting(state, host);
        if (host->active > 0 || !TAILQ_EMPTY(&host->queue))
            continue;
        HASH_DEL(state->hosts, host);
        free(host);
    }
}

static void finish(struct http_state *state, struct transfer *transfer, CURLcode result)
{
    transfer->result = result;
    transfer->done = true;
    conclude(state, transfer);
}

static void collect(struct http_state *state)
{
    int left;
    CURLMsg *note;
    while ((note = curl_multi_info_read(state->loop.multi, &left))) {
        struct transfer *transfer = NULL;
        if (note->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(note->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        finish(state, transfer, note->data.result);
    }
}

/* ---- messages ------------------------------------------------------------------------------ */

/* Into its origin's line, and under its request. serve_hosts is to follow. */
static bool enter_tables(struct http_state *state, struct transfer *transfer, const char *origin)
{
    transfer->host = host_get(state, origin);
    if (!transfer->host)
        return false;
    HASH_ADD(hh, state->transfers, request, sizeof(transfer->request), transfer);
    if (!transfer->hh.tbl) /* not added */
        return false;
    TAILQ_INSERT_TAIL(&transfer->host->queue, transfer, waiting);
    return true;
}

static int on_http_request(struct http_state *state, struct context *context,
                           const struct http_request *message)
{
    char origin[TRANSFER_ORIGIN_MAX];
    const char *wrong = transfer_check(message, &state->config, origin);
    if (wrong)
        return actor_reply_refusal(context, "bad_request", wrong, "");
    if (HASH_COUNT(state->transfers) >= state->config.transfers)
        return actor_reply_refusal(context, "busy", "too many transfers at once", "");
    struct transfer *transfer = transfer_new(message, &state->config);
    if (!transfer)
        return context_reply_status(context, STATUS_NO_MEMORY, 0);
    transfer->request = context_defer(context);
    if (transfer->request.n == 0) { /* no memory, or a tell: nobody would hear the answer */
        transfer_free(transfer);
        return context_reply_status(context, STATUS_NO_MEMORY, 0);
    }
    state->context = context;
    transfer->http = state;
    if (!enter_tables(state, transfer, origin)) {
        context_answer_status(context, transfer->request, STATUS_NO_MEMORY, 0);
        transfer_free(transfer);
    }
    serve_hosts(state);
    state->context = NULL;
    return 0;
}
ACTOR_HANDLER(http_request)

static struct transfer *find(struct http_state *state, struct request_id request)
{
    struct transfer *transfer;
    HASH_FIND(hh, state->transfers, &request, sizeof(request), transfer);
    return transfer;
}

static void resume(struct http_state *state, struct transfer *transfer)
{
    touch(transfer);
    if (transfer->done) {
        conclude(state, transfer);
        return;
    }
    send_head(transfer);
    if (!transfer->paused)
        return;
    transfer->paused = false; /* on_body may run inside, and set it again */
    CURLcode code = curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
    if (code != CURLE_OK)
        finish(state, transfer, code);
}

static int on_credit(void *arg, struct context *context, struct request_id request)
{
    struct http_state *state = arg;
    struct transfer *transfer = find(state, request);
    if (!transfer)
        return 0;
    state->context = context;
    resume(state, transfer);
    serve_hosts(state);
    state->context = NULL;
    return 0;
}

static int on_cancel(void *arg, struct context *context, struct request_id request)
{
    struct http_state *state = arg;
    struct transfer *transfer = find(state, request);
    if (!transfer)
        return 0;
    state->context = context;
    drop(state, transfer);
    serve_hosts(state);
    state->context = NULL;
    return 0;
}

/* Silence of the server counts, waiting for our requester's credit does not. The timer is not
 * moved with every byte: it looks when it fires. */
static int on_timer(void *arg, struct context *context, uint64_t tag)
{
    struct http_state *state = arg;
    struct transfer *transfer = find(state, (struct request_id){tag});
    if (!transfer)
        return 0;
    uint64_t now_ns = context_now_ns(context);
    bool ours = transfer->paused || transfer->done;
    uint64_t due_ns = (ours ? now_ns : transfer->last_ns) + transfer->idle_ns;
    if (due_ns > now_ns) {
        transfer->idle_timer = context_timer(context, due_ns - now_ns, tag);
        return 0;
    }
    state->context = context;
    snprintf(transfer->error, sizeof(transfer->error), "no byte for %llu ms",
             (unsigned long long)(transfer->idle_ns / 1000000));
    finish(state, transfer, CURLE_OPERATION_TIMEDOUT);
    serve_hosts(state);
    state->context = NULL;
    return 0;
}

static int on_wait(void *arg, struct context *context, uint64_t timeout_ns)
{
    struct http_state *state = arg;
    state->context = context;
    int result = loop_run(&state->loop, timeout_ns);
    collect(state);
    serve_hosts(state);
    state->context = NULL;
    return result;
}

static void on_wake(void *arg)
{
    struct http_state *state = arg;
    loop_wake(&state->loop);
}

/* ---- start and stop ------------------------------------------------------------------------ */

static void fill_defaults(struct http_config *config)
{
    if (config->host_connections == 0)
        config->host_connections = HOST_CONNECTIONS_DEFAULT;
    if (config->transfers == 0)
        config->transfers = TRANSFERS_DEFAULT;
    if (config->connect_ms == 0)
        config->connect_ms = CONNECT_DEFAULT_MS;
    if (config->idle_ms == 0)
        config->idle_ms = IDLE_DEFAULT_MS;
    if (config->body_max == 0)
        config->body_max = BODY_DEFAULT_MAX;
}

static int start_actor(void *arg, struct context *context, const void *config)
{
    struct http_state *state = arg;
    (void)context;
    if (config)
        state->config = *(const struct http_config *)config;
    fill_defaults(&state->config);
    if (state->config.proxy)
        state->config.proxy = state->proxy = strdup(state->config.proxy);
    if (state->config.ca_file)
        state->config.ca_file = state->ca_file = strdup(state->config.ca_file);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return -ENOMEM;
    state->curl_started = true;
    return loop_init(&state->loop);
}

/* The runtime answers what is open. */
static void stop_actor(void *arg, struct context *context)
{
    struct http_state *state = arg;
    struct transfer *transfer, *next;
    struct host *host, *next_host;
    state->context = context;
    HASH_ITER(hh, state->transfers, transfer, next)
        drop(state, transfer);
    HASH_ITER(hh, state->hosts, host, next_host) {
        HASH_DEL(state->hosts, host);
        free(host);
    }
    free(state->proxy);
    free(state->ca_file);
    if (!state->curl_started)
        return;
    loop_deinit(&state->loop);
    curl_global_cleanup();
}

static size_t describe(const void *arg, char *ret_text, size_t size)
{
    const struct http_state *state = arg;
    const struct host *host;
    unsigned active = 0;
    for (host = state->hosts; host; host = host->hh.next)
        active += host->active;
    int length = snprintf(ret_text, size,
                          "transfers %u, of these waiting in line %u, origins %u; finished %llu, "
                          "failed %llu, bytes %llu",
                          HASH_COUNT(state->transfers), HASH_COUNT(state->transfers) - active,
                          HASH_COUNT(state->hosts), (unsigned long long)state->finished,
                          (unsigned long long)state->failed, (unsigned long long)state->bytes);
    return length < 0 ? 0 : (size_t)length;
}

static const struct actor_handler handlers[] = {
    ACTOR_ROW(http_request, FROM_LOCAL),
    ACTOR_ROW_END,
};

const struct actor_ops http_actor_ops = {
    .name = "http",
    .state_size = sizeof(struct http_state),
    .mailbox_limit = TRANSFERS_DEFAULT,
    .decode = proto_unpack,
    .handlers = handlers,
    .start = start_actor,
    .stop = stop_actor,
    .on_timer = on_timer,
    .on_credit = on_credit,
    .on_cancel = on_cancel,
    .wait = on_wait,
    .wake = on_wake,
    .describe = describe,
};
