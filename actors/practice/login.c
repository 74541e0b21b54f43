/* SPDX-License-Identifier: Apache-2.0 */
/* Logins and their tokens.
 *
 * A login is a family: all refresh tokens that descend from it, numbered by generation. Exactly one
 * generation is good at a time; presenting an older one is a reuse, whoever does it and why, for
 * the server cannot tell a thief from a client that lost an answer. What the rotation rule forgives
 * is decided in login_spend and nowhere else.
 *
 * Tokens are not stored. Each names its login, generation and end in clear and closes with a keyed
 * digest of all that stands before it, so a login costs the same after a million rotations, and a
 * token of another run of this server is unknown, not mistaken for one of ours. Lives are measured
 * on the clock that does not jump; what the client is told is rounded down, so that no client is
 * told of a longer life than it gets. */
#include "login.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define MAC_BYTES 16
#define MAC_HEX (MAC_BYTES * 2)

int logins_init(struct logins *logins)
{
    *logins = (struct logins){ 0 };
    if (sodium_init() < 0)
        return -EIO;
    randombytes_buf(logins->key, sizeof(logins->key));
    return 0;
}

void logins_deinit(struct logins *logins)
{
    free(logins->rows);
    sodium_memzero(logins, sizeof(*logins));
}

struct login *logins_add(struct logins *logins, const char *account, uint64_t now_ms)
{
    if (logins->count == LOGINS_MAX)
        return NULL;
    if (logins->count == logins->capacity) {
        size_t capacity = logins->capacity ? logins->capacity * 2 : 16;
        struct login *rows = realloc(logins->rows, capacity * sizeof(*rows));
        if (rows == NULL)
            return NULL;
        logins->rows = rows;
        logins->capacity = capacity;
    }
    struct login *login = &logins->rows[logins->count++];
    *login = (struct login){
        .number = (uint32_t)logins->count, .generation = 1, .issued_ms = now_ms,
        .successor_used = true, /* the first pair has no predecessor to forgive */
    };
    if (account[0] != '\0')
        snprintf(login->account, sizeof(login->account), "%s", account);
    else
        snprintf(login->account, sizeof(login->account), "practice-account-%" PRIu32,
                 login->number);
    return login;
}

static struct login *logins_find(struct logins *logins, uint32_t number)
{
    return number >= 1 && number <= logins->count ? &logins->rows[number - 1] : NULL;
}

/* `text` with "-" and its digest appended; takes over and frees `text`. */
static char *sealed(const struct logins *logins, char *text)
{
    unsigned char mac[MAC_BYTES];
    char hex[MAC_HEX + 1];
    if (text == NULL)
        return NULL;
    size_t size = strlen(text);
    crypto_generichash(mac, sizeof(mac), (const unsigned char *)text, size, logins->key,
                       sizeof(logins->key));
    sodium_bin2hex(hex, sizeof(hex), mac, sizeof(mac));
    char *token = malloc(size + 1 + MAC_HEX + 1);
    if (token != NULL) {
        memcpy(token, text, size);
        token[size] = '-';
        memcpy(token + size + 1, hex, MAC_HEX + 1);
    }
    free(text);
    return token;
}

static bool is_sealed(const struct logins *logins, const char *token)
{
    size_t size = strlen(token);
    if (size < MAC_HEX + 2 || token[size - MAC_HEX - 1] != '-')
        return false;
    char *again = sealed(logins, strndup(token, size - MAC_HEX - 1));
    bool same = again != NULL && sodium_memcmp(again, token, size) == 0;
    free(again);
    return same;
}

char *login_refresh_token(const struct logins *logins, const struct login *login)
{
    char *text = NULL;
    if (asprintf(&text, "practice-refresh-%" PRIu32 "-%" PRIu64, login->number,
                 login->generation) < 0)
        return NULL;
    return sealed(logins, text);
}

static char *base64url(const char *text)
{
    size_t size = strlen(text);
    size_t room = sodium_base64_encoded_len(size, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    char *out = malloc(room);
    if (out != NULL)
        sodium_bin2base64(out, room, (const unsigned char *)text, size,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    return out;
}

static char *claims_text(const struct login *login, const struct access_terms *terms)
{
    json_t *claims = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:b, s:s, s:{s:s, s:s}}", "iss", terms->issuer, "sub",
        login->account, "aud", terms->client_id, "iat", (json_int_t)terms->wall_s, "exp",
        (json_int_t)(terms->wall_s + (int64_t)(terms->life_ms / 1000)), "practice", 1,
        "chatgpt_account_id", login->account, "https://api.openai.com/auth", "chatgpt_account_id",
        login->account, "chatgpt_plan_type", "practice");
    char *padding = terms->padding ? malloc(terms->padding + 1) : NULL;
    if (padding != NULL) {
        memset(padding, 'p', terms->padding);
        padding[terms->padding] = '\0';
        json_object_set_new(claims, "padding", json_string(padding));
        free(padding);
    }
    char *text = json_dumps(claims, JSON_COMPACT);
    json_decref(claims);
    return text;
}

char *login_access_token(const struct logins *logins, struct login *login,
                         const struct access_terms *terms)
{
    char *claims = claims_text(login, terms);
    char *header = base64url("{\"alg\":\"none\",\"typ\":\"practice\"}");
    char *payload = claims ? base64url(claims) : NULL;
    char *text = NULL;
    login->serial++;
    if (header == NULL || payload == NULL ||
        asprintf(&text, "%s.%s.practice-%" PRIu32 "-%" PRIu64 "-%" PRIu64 "-%" PRIu64, header,
                 payload, login->number, login->generation, login->serial,
                 terms->now_ms + terms->life_ms) < 0)
        text = NULL;
    free(claims);
    free(header);
    free(payload);
    return sealed(logins, text);
}

bool logins_read_refresh(struct logins *logins, const char *token, struct login **ret_login,
                         uint64_t *ret_generation)
{
    uint32_t number = 0;
    uint64_t generation = 0;
    if (sscanf(token, "practice-refresh-%" SCNu32 "-%" SCNu64 "-", &number, &generation) != 2 ||
        !is_sealed(logins, token))
        return false;
    struct login *login = logins_find(logins, number);
    if (login == NULL)
        return false;
    *ret_login = login;
    *ret_generation = generation;
    return true;
}

enum access_check logins_check_access(struct logins *logins, const char *token, uint64_t now_ms,
                                      struct login **ret_login)
{
    uint32_t number = 0;
    uint64_t generation = 0;
    uint64_t serial = 0;
    uint64_t end_ms = 0;
    const char *signature = strrchr(token, '.');
    if (signature == NULL ||
        sscanf(signature, ".practice-%" SCNu32 "-%" SCNu64 "-%" SCNu64 "-%" SCNu64 "-", &number,
               &generation, &serial, &end_ms) != 4 ||
        !is_sealed(logins, token))
        return ACCESS_UNKNOWN;
    struct login *login = logins_find(logins, number);
    if (login == NULL)
        return ACCESS_UNKNOWN;
    *ret_login = login;
    if (login->ended)
        return ACCESS_ENDED;
    if (now_ms >= end_ms)
        return ACCESS_EXPIRED;
    if (generation == login->generation)
        login->successor_used = true;
    return ACCESS_GOOD;
}

void login_end(struct logins *logins, struct login *login)
{
    if (!login->ended)
        logins->ended++;
    login->ended = true;
}

/* The one before the current generation, where the rule forgives that it comes again. */
static bool forgiven(const struct login *login, uint64_t generation,
                     const struct practice_options *options, uint64_t now_ms)
{
    if (generation + 1 != login->generation)
        return false;
    if (options->rotation == PRACTICE_GRACE)
        return now_ms < login->issued_ms + options->grace_ms;
    return options->rotation == PRACTICE_TWO_PHASE && !login->successor_used;
}

enum spend login_spend(struct logins *logins, struct login *login, uint64_t generation,
                       const struct practice_options *options, uint64_t now_ms)
{
    if (login->ended)
        return SPEND_ENDED;
    if (generation != login->generation) {
        if (forgiven(login, generation, options, now_ms))
            return SPEND_REPEATED;
        if (options->reuse_ends_login)
            login_end(logins, login);
        return SPEND_REUSED;
    }
    if (options->rotation == PRACTICE_NONE)
        return SPEND_KEPT;
    bool early = now_ms < login->issued_ms + options->earliest_refresh_ms;
    login->generation++;
    login->issued_ms = now_ms;
    login->successor_used = false;
    return early ? SPEND_EARLY : SPEND_ROTATED;
}
