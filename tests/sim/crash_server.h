/* SPDX-License-Identifier: Apache-2.0 */
/* An OAuth server of one rotation rule, as a value: it is copied with each state of the world.
 *
 *     none        the refresh token stays
 *     grace       a new one each time; the last one may be sent again for GRACE_SECONDS after it
 *                 was first; later, or an older one, ends the family
 *     two-phase   a new one each time; the old one lives until the new one, or the access token
 *                 that came with it, is used; later it is refused
 *     strict      a new one each time; the old one sent again ends the family */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "token/provider.h"
#include "token/secret.h"

#define CRASH_TOKENS 16
#define CRASH_GRACE_SECONDS 60
#define CRASH_LIFE_SECONDS 3600

struct crash_token {
    uint8_t parent;       /* it was given for */
    uint8_t sent;         /* requests with it that left us */
    bool spent;           /* one of them was answered with another token */
    bool kept;            /* such an answer was durable at us */
    bool revoked;
    int64_t spent_ms;
    int64_t first_ms, last_ms; /* when the first and the last request left us */
    int64_t access_ends_ms; /* of the access token that came with it */
};

struct crash_server {
    enum rotation rule;
    uint8_t count;            /* tokens given so far: 1 .. count */
    uint8_t late;             /* token of a request still on its way; 0: none */
    int64_t late_ms;          /* when it comes */
    bool ended;               /* the family was ended for a reuse */
    struct crash_token tokens[CRASH_TOKENS + 1];
};

/* One login: token 1. */
void crash_server_init(struct crash_server *server, enum rotation rule, int64_t now_ms);
/* Handles a request; the body of its answer and the status. */
uint32_t crash_server_spend(struct crash_server *server, unsigned token, int64_t now_ms,
                            struct secret **ret_body);
/* A late request comes in when its time has come; its answer finds nobody. */
void crash_server_pass(struct crash_server *server, int64_t now_ms);
/* The access token that came with `token` was used. */
void crash_server_used(struct crash_server *server, unsigned token);
/* A request with it would be answered with tokens. */
bool crash_server_takes(const struct crash_server *server, unsigned token, int64_t now_ms);
/* Number in "refresh-7" or "access-7". */
unsigned crash_token_number(const struct secret *token);
