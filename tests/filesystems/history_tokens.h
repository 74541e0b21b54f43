/* SPDX-License-Identifier: Apache-2.0 */
/* What the credentials of a history hold: made from profile and generation, so that what is found
 * can be told from what should be. Longer than a block of the disk: so a record can be torn. */
#pragma once

#include "history.h"

#define TOKENS_PROFILE "lab:p%u"

void tokens_profile(unsigned profile, char ret_name[PROFILE_ID_MAX]);
/* The credential, intent and answer of a step; all owned. */
void tokens_credential(const struct history_step *step, bool needs_login,
                       struct credential *ret_credential);
void tokens_intent(const struct history_step *step, struct intent *ret_intent);
void tokens_answer(const struct history_step *step, struct answer *ret_answer);

/* Number of the profile, and whether all that is in it is as it was saved; -1 if not. */
int tokens_check(const struct stored *stored);
