/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong with a model call, in the few kinds that ask for different deeds.
 *
 * A credential fault, a quota fault and a network fault look alike at a provider: all three may be
 * a 401, a 403, a 404 or an error event inside a 200 stream, as JSON or as a proxy's HTML. So the
 * provider's code decides where there is one, the HTTP status where there is none, and never the
 * wording of a message. */
#pragma once

#include "proto/schema.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum fault_kind {
    FAULT_NONE,
    FAULT_LOGIN,     /* the token is not accepted: token_rejected, then once more */
    FAULT_QUOTA,     /* the account is spent until `until_ms`: the next profile */
    FAULT_RATE,      /* this model is spent for this account until `until_ms`: the next profile */
    FAULT_PROFILE,   /* this account may not do this at all: the next profile */
    FAULT_MODEL,     /* this model is not there: the next model */
    FAULT_TRANSIENT, /* overload, 5xx, network: again in a moment, then the next model */
    FAULT_CUT,       /* the stream ended without its terminal event: as transient */
    FAULT_REQUEST    /* the request itself is at fault: no other try would help */
};

struct fault {
    enum fault_kind kind;
    char code[64];    /* the provider's, or ours; for programs */
    char why[256];    /* for people; the provider's words, cut */
    int64_t until_ms; /* Unix ms; 0: unknown */
};

/* Sets it unless one is set already: the first cause is the one to tell. */
void fault_set(struct fault *fault, enum fault_kind kind, const char *code, const char *why);
/* From an error object {code | type, message, resets_at, resets_in_seconds}, wherever it stood.
 * `otherwise` is the kind for a code that is not in the table. */
void fault_from_error(struct fault *fault, const json_t *error, enum fault_kind otherwise,
                      int64_t now_ms);
/* From an HTTP answer that is not 200. `headers` as in http_head. */
void fault_from_http(struct fault *fault, unsigned status, struct proto_text headers,
                     const char *body, size_t size, int64_t now_ms);
/* Takes off what is left of a character that was cut: words that go into a message are UTF-8. */
void text_mend(char *text);
/* The value of a header in http_head's form, {NULL, 0} when it is not there. */
struct proto_text header_value(struct proto_text headers, const char *name);
