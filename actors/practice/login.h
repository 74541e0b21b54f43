/* SPDX-License-Identifier: Apache-2.0 */
/* Logins and their tokens; the rules of spending. No socket, no clock. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "practice/practice.h"

#define LOGIN_ACCOUNT_SIZE 64
#define LOGINS_MAX 100000

struct login {
    uint32_t number;       /* from 1 */
    char account[LOGIN_ACCOUNT_SIZE];
    uint64_t generation;   /* of the refresh token that is good now; from 1 */
    uint64_t serial;       /* access tokens minted */
    uint64_t issued_ms;    /* when the current generation was */
    bool successor_used;   /* the current generation, or an access token with it, was used */
    bool ended;
    uint64_t quota_until_ms;
};

struct logins {
    unsigned char key[32];
    struct login *rows;
    size_t count;
    size_t capacity;
    size_t ended;
};

struct access_terms {
    const char *issuer;
    const char *client_id;
    uint64_t now_ms;
    int64_t wall_s;
    uint64_t life_ms;
    size_t padding; /* bytes added to its claims, to make a token of absurd size */
};

enum access_check { ACCESS_GOOD, ACCESS_UNKNOWN, ACCESS_EXPIRED, ACCESS_ENDED };
enum spend { SPEND_ROTATED, SPEND_REPEATED, SPEND_KEPT, SPEND_REUSED, SPEND_ENDED, SPEND_EARLY };

int logins_init(struct logins *logins);
void logins_deinit(struct logins *logins);
/* An empty account gets a name of its own. NULL: no memory, or too many. */
struct login *logins_add(struct logins *logins, const char *account, uint64_t now_ms);

/* malloc'd; the same text each time for one generation. */
char *login_refresh_token(const struct logins *logins, const struct login *login);
/* malloc'd, JWT-shaped. */
char *login_access_token(const struct logins *logins, struct login *login,
                         const struct access_terms *terms);

bool logins_read_refresh(struct logins *logins, const char *token, struct login **ret_login,
                         uint64_t *ret_generation);
/* *ret_login is written unless the answer is ACCESS_UNKNOWN. */
enum access_check logins_check_access(struct logins *logins, const char *token, uint64_t now_ms,
                                      struct login **ret_login);

/* Someone presents `generation` of this login: what happens to it. */
enum spend login_spend(struct logins *logins, struct login *login, uint64_t generation,
                       const struct practice_options *options, uint64_t now_ms);
void login_end(struct logins *logins, struct login *login);
