/* SPDX-License-Identifier: Apache-2.0 */
#include "token/credential.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Enough to know any stale copy: a login that rotates every hour for a month. Older digests go. */
#define DIGESTS_MAX 1024

void credential_init(struct credential *credential)
{
    *credential = (struct credential){0};
}

void credential_deinit(struct credential *credential)
{
    secret_free(credential->access);
    secret_free(credential->refresh);
    secret_free(credential->id_token);
    free(credential->rule);
    free(credential->digests);
    credential_init(credential);
}

static bool copy_secret(const struct secret *from, struct secret **ret_to)
{
    *ret_to = secret_copy(from);
    return *ret_to != NULL || from == NULL;
}

int credential_copy(const struct credential *credential, struct credential *ret_copy)
{
    struct credential copy = *credential;
    copy.access = copy.refresh = copy.id_token = NULL;
    copy.rule = NULL;
    copy.digests = NULL;
    copy.digest_count = 0;

    bool done = copy_secret(credential->access, &copy.access) &&
                copy_secret(credential->refresh, &copy.refresh) &&
                copy_secret(credential->id_token, &copy.id_token);
    if (done && credential->rule != NULL) {
        copy.rule = strdup(credential->rule);
        done = copy.rule != NULL;
    }
    if (done && credential->digest_count > 0) {
        size_t size = credential->digest_count * sizeof(*copy.digests);
        copy.digests = malloc(size);
        done = copy.digests != NULL;
        if (done) {
            memcpy(copy.digests, credential->digests, size);
            copy.digest_count = credential->digest_count;
        }
    }
    if (!done) {
        credential_deinit(&copy);
        return -ENOMEM;
    }
    *ret_copy = copy;
    return 0;
}

void credential_set(struct secret **field, struct secret *secret)
{
    if (*field != secret) {
        secret_free(*field);
        *field = secret;
    }
}

bool credential_has_digest(const struct credential *credential, const uint8_t digest[16])
{
    for (size_t i = 0; i < credential->digest_count; i++) {
        if (memcmp(credential->digests[i], digest, 16) == 0) {
            return true;
        }
    }
    return false;
}

int credential_add_digest(struct credential *credential, const uint8_t digest[16])
{
    if (credential_has_digest(credential, digest)) {
        return 0;
    }
    if (credential->digest_count >= DIGESTS_MAX) {
        size_t keep = DIGESTS_MAX - 1;
        memmove(credential->digests, credential->digests + credential->digest_count - keep,
                keep * sizeof(*credential->digests));
        credential->digest_count = keep;
    }
    void *grown = reallocarray(credential->digests, credential->digest_count + 1,
                               sizeof(*credential->digests));
    if (grown == NULL) {
        return -ENOMEM;
    }
    credential->digests = grown;
    memcpy(credential->digests[credential->digest_count++], digest, 16);
    return 0;
}

void stored_deinit(struct stored *stored)
{
    credential_deinit(&stored->credential);
    secret_free(stored->answer.body);
    *stored = (struct stored){0};
}
