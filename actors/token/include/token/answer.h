/* SPDX-License-Identifier: Apache-2.0 */
/* What one answer of a token endpoint means (outcome table, DESIGN §7.3). Pure. */
#pragma once

#include "token/provider.h"
#include "token/secret.h"
#include "token/store.h"

/* Owned fields; NULL, 0 and "" mean: the answer does not say. */
struct token_answer {
    struct secret *access;
    struct secret *refresh;
    struct secret *id_token;
    int64_t expires_at_ms;          /* of access */
    int64_t earliest_refresh_at_ms;
    int64_t refresh_expires_at_ms;
    char account[128];              /* the rule's account claim, from the access or id token */
    char error_code[64];            /* lower case: error.code, else error, else code */
    char why[192];                  /* for people: what the outcome rests on; no secrets */
    bool no_memory;                 /* it could not be read for lack of memory: UNKNOWN means
                                     * nothing, parse it again */
};

/* Always fills *ret_answer; for OUTCOME_UNKNOWN and later kinds its secrets are NULL.
 * `body` may be NULL. `now_ms` is the Unix time the answer came. */
enum token_outcome token_answer_parse(const struct provider_rule *rule, long http_status,
                                      const struct secret *body, int64_t now_ms,
                                      struct token_answer *ret_answer);
void token_answer_deinit(struct token_answer *answer);

/* Moves what the answer says into the credential, as its next generation; what the answer does not
 * say stays as it was. True: the refresh token is another one now. */
bool token_answer_apply(struct token_answer *answer, struct credential *credential, int64_t now_ms);

const char *token_outcome_name(enum token_outcome outcome);

/* Claims of a JSON Web Token, read without checking its signature: it came from its issuer over
 * TLS, or belongs to the user who hands it in. 0 or "" when it has none or is no JWT. */
int64_t token_expiry_ms(const struct secret *token);
bool token_claim(const struct secret *token, const char *pointer, char *ret_text, size_t size);
