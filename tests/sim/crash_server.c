/* SPDX-License-Identifier: Apache-2.0 */
#include "crash_server.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void crash_server_init(struct crash_server *server, enum rotation rule, int64_t now_ms)
{
    memset(server, 0, sizeof(*server)); /* it is hashed as a whole */
    server->rule = rule;
    server->count = 1;
    server->tokens[1].access_ends_ms = now_ms + CRASH_LIFE_SECONDS * 1000;
}

unsigned crash_token_number(const struct secret *token)
{
    const char *dash = strrchr(secret_data(token), '-');
    return dash == NULL ? 0 : (unsigned)strtoul(dash + 1, NULL, 10);
}

bool crash_server_takes(const struct crash_server *server, unsigned number, int64_t now_ms)
{
    const struct crash_token *token = &server->tokens[number];
    if (number == 0 || number > server->count || server->ended || token->revoked) {
        return false;
    }
    if (!token->spent || server->rule == ROTATION_NONE || server->rule == ROTATION_TWO_PHASE) {
        return true;
    }
    if (server->rule == ROTATION_STRICT || now_ms - token->spent_ms >= CRASH_GRACE_SECONDS * 1000) {
        return false;
    }
    for (unsigned i = 1; i <= server->count; i++) { /* the last but one only */
        if (server->tokens[i].parent == number && server->tokens[i].spent) {
            return false;
        }
    }
    return true;
}

static unsigned give(struct crash_server *server, unsigned number, int64_t now_ms)
{
    if (server->rule == ROTATION_NONE) {
        server->tokens[number].access_ends_ms = now_ms + CRASH_LIFE_SECONDS * 1000;
        return number;
    }
    assert(server->count < CRASH_TOKENS);
    unsigned given = ++server->count;
    server->tokens[given] = (struct crash_token){
        .parent = (uint8_t)number, .access_ends_ms = now_ms + CRASH_LIFE_SECONDS * 1000};
    if (!server->tokens[number].spent) {
        server->tokens[number].spent = true;
        server->tokens[number].spent_ms = now_ms;
    }
    if (server->rule == ROTATION_TWO_PHASE) {
        crash_server_used(server, number);
    }
    return given;
}

uint32_t crash_server_spend(struct crash_server *server, unsigned number, int64_t now_ms,
                            struct secret **ret_body)
{
    char body[1200], padding[800];
    crash_server_pass(server, now_ms);
    if (!crash_server_takes(server, number, now_ms)) {
        if (server->rule == ROTATION_STRICT || server->rule == ROTATION_GRACE) {
            server->ended = true;
        }
        snprintf(body, sizeof(body), "{\"error\":\"invalid_grant\"}");
        *ret_body = secret_new(body, strlen(body));
        return 400;
    }
    unsigned given = give(server, number, now_ms);
    memset(padding, 'x', sizeof(padding) - 1); /* answers and records of several sectors */
    padding[sizeof(padding) - 1] = '\0';
    if (server->rule == ROTATION_NONE) {
        snprintf(body, sizeof(body), "{\"access_token\":\"%s-%u\",\"expires_in\":%d}", padding,
                 given, CRASH_LIFE_SECONDS);
    } else {
        snprintf(body, sizeof(body),
                 "{\"access_token\":\"%s-%u\",\"refresh_token\":\"refresh-%u\",\"expires_in\":%d}",
                 padding, given, given, CRASH_LIFE_SECONDS);
    }
    *ret_body = secret_new(body, strlen(body));
    return 200;
}

void crash_server_pass(struct crash_server *server, int64_t now_ms)
{
    if (server->late == 0) {
        return;
    }
    struct secret *body = NULL;
    unsigned number = server->late;
    int64_t at_ms = server->late_ms < now_ms ? server->late_ms : now_ms;
    server->late = 0;
    crash_server_spend(server, number, at_ms, &body);
    secret_free(body);
}

void crash_server_used(struct crash_server *server, unsigned number)
{
    unsigned parent = server->tokens[number].parent;
    if (server->rule == ROTATION_TWO_PHASE && parent != 0) {
        server->tokens[parent].revoked = true;
    }
}
