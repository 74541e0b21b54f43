/* SPDX-License-Identifier: Apache-2.0 */
/* Life of a struct credential (declared in token/store.h). */
#pragma once

#include "token/secret.h"
#include "token/store.h"

/* Empty; owns nothing yet. */
void credential_init(struct credential *credential);
void credential_deinit(struct credential *credential);
/* A deep copy into *ret_copy, which need not be initialised. 0 or -ENOMEM. */
int credential_copy(const struct credential *credential, struct credential *ret_copy);

/* Puts `secret` (taken over; may be NULL) in place of *field and frees what was there. */
void credential_set(struct secret **field, struct secret *secret);
/* Notes the digest of a refresh token as the newest, unless it is known. 0 or -ENOMEM. */
int credential_add_digest(struct credential *credential, const uint8_t digest[16]);
bool credential_has_digest(const struct credential *credential, const uint8_t digest[16]);

void stored_deinit(struct stored *stored);
