/* SPDX-License-Identifier: Apache-2.0 */
#include "history_tokens.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "token/credential.h"

#define TOKEN_SIZE 3000
#define WALL_MS 1700000000000

void tokens_profile(unsigned profile, char ret_name[PROFILE_ID_MAX])
{
    snprintf(ret_name, PROFILE_ID_MAX, TOKENS_PROFILE, profile);
}

static struct secret *token(const char *what, const struct history_step *step, unsigned number)
{
    char text[TOKEN_SIZE];
    int length = snprintf(text, sizeof(text), "%s-p%u-g%u-n%u-", what, step->profile,
                          step->generation, number);
    for (size_t i = (size_t)length; i < sizeof(text); i++) {
        text[i] = (char)('a' + (i * 7 + step->generation * 3 + i / 512) % 26);
    }
    struct secret *secret = secret_new(text, sizeof(text));
    assert(secret != NULL);
    return secret;
}

void tokens_credential(const struct history_step *step, bool needs_login,
                       struct credential *ret_credential)
{
    credential_init(ret_credential);
    tokens_profile(step->profile, ret_credential->profile);
    snprintf(ret_credential->provider, sizeof(ret_credential->provider), "lab");
    snprintf(ret_credential->mode, sizeof(ret_credential->mode), "oauth");
    snprintf(ret_credential->needs_login, sizeof(ret_credential->needs_login), "%s",
             needs_login ? "invalid_grant" : "");
    ret_credential->generation = step->generation;
    ret_credential->access = token("access", step, 0);
    ret_credential->refresh = token("refresh", step, 0);
    ret_credential->id_token = token("id", step, 0);
    ret_credential->obtained_at_ms = WALL_MS + step->generation;
    ret_credential->expires_at_ms = WALL_MS + 3600000 + step->generation;
}

void tokens_intent(const struct history_step *step, struct intent *ret_intent)
{
    *ret_intent = (struct intent){.generation = step->generation, .attempt = step->attempt,
                                  .wall_ms = WALL_MS, .first_wall_ms = WALL_MS};
    memset(ret_intent->nonce, step->attempt, sizeof(ret_intent->nonce));
}

void tokens_answer(const struct history_step *step, struct answer *ret_answer)
{
    *ret_answer = (struct answer){.generation = step->generation, .attempt = step->attempt,
                                  .complete = true, .http_status = 200,
                                  .body = token("answer", step, step->attempt)};
}

static bool same_answer(const struct stored *stored, struct history_step step)
{
    struct answer answer;
    if (!stored->has_answer) {
        return true;
    }
    step.attempt = (uint8_t)stored->answer.attempt;
    tokens_answer(&step, &answer);
    bool same = stored->answer.complete && stored->answer.generation == step.generation &&
                stored->answer.http_status == answer.http_status &&
                secret_equal(stored->answer.body, answer.body);
    secret_free(answer.body);
    return same;
}

int tokens_check(const struct stored *stored)
{
    const struct credential *found = &stored->credential;
    unsigned number;
    char name[PROFILE_ID_MAX];
    if (sscanf(found->profile, TOKENS_PROFILE, &number) != 1 || number >= HISTORY_PROFILES) {
        return -1;
    }
    struct history_step step = {.profile = (uint8_t)number,
                                .generation = (uint16_t)found->generation};
    struct credential credential;
    tokens_profile(number, name);
    tokens_credential(&step, found->needs_login[0] != '\0', &credential);
    bool same = strcmp(found->profile, name) == 0 &&
                secret_equal(found->access, credential.access) &&
                secret_equal(found->refresh, credential.refresh) &&
                secret_equal(found->id_token, credential.id_token) &&
                strcmp(found->needs_login, credential.needs_login) == 0 &&
                found->expires_at_ms == credential.expires_at_ms &&
                found->obtained_at_ms == credential.obtained_at_ms && same_answer(stored, step);
    credential_deinit(&credential);
    return same ? (int)number : -1;
}
