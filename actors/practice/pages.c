/* SPDX-License-Identifier: Apache-2.0 */
/* Pages that belong to no API: what was counted, what can be changed, how to use it. And the one
 * reader of request bodies. */
#include <inttypes.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model.h"

#define STATS_LOGINS_MAX 1000

static char *form_decode(const char *text, size_t size)
{
    char *out = strndup(text, size);
    for (char *c = out; c != NULL && *c != '\0'; c++)
        *c = *c == '+' ? ' ' : *c;
    if (out != NULL)
        MHD_http_unescape(out);
    return out;
}

/* RFC 6749 §3.2: a parameter may not come twice. */
static bool form_add(json_t *object, const char *pair, size_t size)
{
    const char *equals = memchr(pair, '=', size);
    size_t name_size = equals ? (size_t)(equals - pair) : size;
    size_t value_size = equals ? size - name_size - 1 : 0;
    char *name = form_decode(pair, name_size);
    char *value = form_decode(pair + size - value_size, value_size);
    bool ok = name != NULL && value != NULL && json_object_get(object, name) == NULL &&
              json_object_set_new(object, name, json_string(value)) == 0;
    free(name);
    free(value);
    return ok;
}

static json_t *form_object(const char *text)
{
    json_t *object = json_object();
    while (object != NULL && *text != '\0') {
        size_t size = strcspn(text, "&");
        if (size > 0 && !form_add(object, text, size)) {
            json_decref(object);
            return NULL;
        }
        text += size + (text[size] == '&');
    }
    return object;
}

json_t *request_object(const struct request *request)
{
    const char *type = request_header(request, "Content-Type");
    if (request->size == 0)
        return NULL;
    if (type == NULL || strncasecmp(type, "application/json", 16) != 0)
        return memchr(request->body, '\0', request->size) ? NULL : form_object(request->body);
    json_t *object = json_loadb(request->body, request->size, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(object))
        return object;
    json_decref(object);
    return NULL;
}

static json_t *faults_object(const struct practice *practice)
{
    json_t *object = json_object();
    for (int i = 1; i < FAULT_KINDS; i++) {
        uint64_t count = practice->token_plan.injected[i] + practice->model_plan.injected[i];
        if (count != 0)
            json_object_set_new(object, fault_name((enum practice_fault)i),
                                json_integer((json_int_t)count));
    }
    return object;
}

static json_t *logins_array(const struct practice *practice)
{
    json_t *array = json_array();
    for (size_t i = 0; i < practice->logins.count && i < STATS_LOGINS_MAX; i++) {
        const struct login *login = &practice->logins.rows[i];
        json_array_append_new(
            array, json_pack("{s:i, s:s, s:I, s:I, s:b}", "login", (int)login->number, "account",
                             login->account, "generation", (json_int_t)login->generation,
                             "access_tokens", (json_int_t)login->serial, "ended", login->ended));
    }
    return array;
}

void page_stats(struct practice *practice, struct request *request)
{
    json_t *stats = json_pack("{s:s}", "service", "practice provider");
#define COUNTER(name, help)                                                                        \
    json_object_set_new(stats, #name, json_integer((json_int_t)practice->counters.name));
    PRACTICE_COUNTERS(COUNTER)
#undef COUNTER
    json_object_set_new(stats, "logins_active",
                        json_integer((json_int_t)(practice->logins.count -
                                                  practice->logins.ended)));
    json_object_set_new(stats, "families_ended", json_integer((json_int_t)practice->logins.ended));
    json_object_set_new(stats, "streams_open", json_integer((json_int_t)practice->streams_open));
    json_object_set_new(stats, "streams_peak", json_integer((json_int_t)practice->streams_peak));
    json_object_set_new(stats, "uptime_ms",
                        json_integer((json_int_t)(server_now_ms() - practice->started_ms)));
    json_object_set_new(stats, "faults", faults_object(practice));
    json_object_set_new(stats, "login_list", logins_array(practice));
    reply_json(&request->reply, 200, stats);
}

/* All or nothing: a wrong option changes none. */
void page_options(struct practice *practice, struct request *request)
{
    struct practice_options options = practice->options;
    json_t *fields = request_object(request);
    const char *name = NULL;
    json_t *value = NULL;
    char why[256] = "practice: the body is not an object of option names and texts";
    int r = json_is_object(fields) ? 0 : -1;
    json_object_foreach(fields, name, value) {
        if (r == 0)
            r = json_is_string(value) ? practice_option_set(&options, name,
                                                            json_string_value(value), why,
                                                            sizeof(why))
                                      : -1;
    }
    bool token = json_object_get(fields, "token-faults") != NULL;
    bool model = json_object_get(fields, "model-faults") != NULL;
    json_decref(fields);
    if (r < 0) {
        model_bad_request(request, why);
        return;
    }
    practice->options = options;
    if (token)
        fault_plan_set(&practice->token_plan, options.token_faults, options.token_fault_count);
    if (model)
        fault_plan_set(&practice->model_plan, options.model_faults, options.model_fault_count);
    reply_json(&request->reply, 200, json_pack("{s:b, s:b}", "ok", 1, "practice", 1));
}

void page_models(struct practice *practice, struct request *request)
{
    struct login *login = NULL;
    if (!model_authorize(practice, request, &login))
        return;
    reply_json(&request->reply, 200,
               /* "models" is where Codex looks; an empty list is a good answer to it. */
               json_pack("{s:s, s:[{s:s, s:s, s:i, s:s, s:s}], s:[]}", "object", "list", "data",
                         "id", "practice-1", "object", "model", "created", 0, "owned_by",
                         "practice", "visibility", "list", "models"));
}

void page_home(struct practice *practice, struct request *request)
{
    char text[1024];
    snprintf(text, sizeof(text),
             "practice provider: a strict OAuth server and a scripted model, on loopback.\n"
             "Nothing here is real; every token and every answer says practice.\n\n"
             "  a new login    curl -X POST %s/practice/login\n"
             "  token url      %s/oauth/token   (client id: %s)\n"
             "  models         %s/v1   (Responses and Chat Completions, any model name)\n"
             "  what it saw    %s/stats\n",
             practice->issuer, practice->issuer, practice->options.client_id, practice->issuer,
             practice->issuer);
    reply_text(&request->reply, 200, "text/plain", text);
}
