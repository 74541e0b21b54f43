/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP request of a call. */
#include "call.h"

#include <stdlib.h>
#include <string.h>

#define COMMON "Content-Type: application/json\nAccept: text/event-stream\n"

char *call_body(const struct call *call, size_t *ret_size)
{
    const struct route *route = &call->routes[call->route];
    json_t *input = json_loadb(call->input.data, call->input.size, JSON_ALLOW_NUL, NULL);
    json_t *tools = call->tools.size > 0
                        ? json_loadb(call->tools.data, call->tools.size, 0, NULL)
                        : NULL;
    struct api_call common = {.model = route->model,
                              .instructions = call->instructions,
                              .input = input,
                              .tools = tools,
                              .cache_key = call->cache_key,
                              .by = call->by,
                              .tool_space = route->provider->tool_space,
                              .reasoning = route->provider->reasoning,
                              .output_max = route->provider->output_max};
    json_t *body = input ? route->provider->api->build(&common) : NULL;
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    json_decref(input);
    json_decref(tools);
    if (text)
        *ret_size = strlen(text);
    return text;
}

/* An account id goes into a header line only if it can do no harm there. */
static bool is_plain(struct proto_text text)
{
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    return text.size > 0;
}

char *call_headers(const struct call *call, struct proto_text account)
{
    const struct provider *provider = call->routes[call->route].provider;
    struct buffer lines = {0};
    int result = buffer_append(&lines, COMMON, strlen(COMMON), SIZE_MAX);
    if (result == 0)
        result = buffer_append(&lines, provider->headers, strlen(provider->headers), SIZE_MAX);
    if (result == 0 && *provider->account_header && is_plain(account)) {
        result = buffer_append(&lines, provider->account_header, strlen(provider->account_header),
                               SIZE_MAX);
        if (result == 0)
            result = buffer_append(&lines, ": ", 2, SIZE_MAX);
        if (result == 0)
            result = buffer_append(&lines, account.data, account.size, SIZE_MAX);
    }
    if (result == 0)
        result = buffer_append(&lines, "", 1, SIZE_MAX);
    if (result < 0)
        buffer_deinit(&lines);
    return lines.bytes;
}
