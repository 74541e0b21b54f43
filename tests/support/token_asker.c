/* SPDX-License-Identifier: Apache-2.0 */
/* An actor that asks when told, and notes every answer in a row. */
#include "support/token_rig.h"

static struct answer_row *asker_row(struct asker *asker, struct context *context)
{
    struct answer_row *row = &asker->rows[(*asker->count)++];

    assert_true(*asker->count < ANSWERS_MAX);
    *row = (struct answer_row){.tag = context_tag(context), .part = context_is_part(context)};
    if (context_message(context) != NULL)
        row->type = context_message(context)->type;
    return row;
}

static int asker_on_order(void *state, struct context *context, const void *body)
{
    struct ask_order order;
    struct request_options options;

    (void)state;
    memcpy(&order, body, sizeof(order));
    options = (struct request_options){.tag = order.tag, .credit = order.credit,
                                       .deadline_ns = order.deadline_ns,
                                       .ret_request = order.ret_request};
    return context_request(context, order.to, order.message, &options);
}

static int asker_on_credit_order(void *state, struct context *context, const void *body)
{
    struct credit_order order;

    (void)state;
    memcpy(&order, body, sizeof(order));
    context_credit(context, order.request, order.parts);
    return 0;
}

static int asker_on_grant(void *state, struct context *context, const void *body)
{
    const struct token_grant *grant = body;
    struct answer_row *row = asker_row(state, context);

    proto_text_copy(grant->access, row->text, sizeof(row->text));
    proto_text_copy(grant->account, row->account, sizeof(row->account));
    proto_text_copy(grant->origin, row->origin, sizeof(row->origin));
    row->generation = grant->generation;
    row->version = grant->version;
    proto_text_copy(grant->cooling_model, row->model, sizeof(row->model));
    row->expires_at_ms = grant->expires_at_ms;
    row->renew_at_ms = grant->renew_at_ms;
    row->cooling_until_ms = grant->cooling_until_ms;
    return 0;
}

static int asker_on_refusal(void *state, struct context *context, const void *body)
{
    const struct refusal *refusal = body;
    struct answer_row *row = asker_row(state, context);

    proto_text_copy(refusal->code, row->code, sizeof(row->code));
    proto_text_copy(refusal->why, row->text, sizeof(row->text));
    return 0;
}

static int asker_on_done(void *state, struct context *context, const void *body)
{
    asker_row(state, context)->count = ((const struct done *)body)->count;
    return 0;
}

static int asker_on_imported(void *state, struct context *context, const void *body)
{
    const struct token_imported *imported = body;
    struct answer_row *row = asker_row(state, context);

    proto_text_copy(imported->outcome, row->outcome, sizeof(row->outcome));
    proto_text_copy(imported->profile, row->text, sizeof(row->text));
    return 0;
}

static int asker_on_profile(void *state, struct context *context, const void *body)
{
    const struct token_profile *profile = body;
    struct answer_row *row = asker_row(state, context);

    proto_text_copy(profile->profile, row->text, sizeof(row->text));
    proto_text_copy(profile->state, row->state, sizeof(row->state));
    proto_text_copy(profile->reason, row->reason, sizeof(row->reason));
    proto_text_copy(profile->cooling_model, row->model, sizeof(row->model));
    row->cooling_until_ms = profile->cooling_until_ms;
    row->refresh_at_ms = profile->refresh_at_ms;
    row->generation = profile->generation;
    row->waited = profile->waited;
    return 0;
}

static int asker_on_status(void *state, struct context *context, uint64_t tag,
                           enum runtime_status status)
{
    struct answer_row *row = asker_row(state, context);

    row->tag = tag;
    row->status = (uint32_t)status;
    return 0;
}

static int asker_start(void *state_, struct context *context, const void *config)
{
    (void)context;
    *(struct asker *)state_ = *(const struct asker *)config;
    return 0;
}

static const struct actor_handler asker_handlers[] = {
    {ASK_TYPE, FROM_LOCAL, "ask", NULL, asker_on_order},
    {CREDIT_TYPE, FROM_LOCAL, "credit", NULL, asker_on_credit_order},
    {MSG_token_grant, FROM_ANSWER, "token_grant", &token_grant_schema, asker_on_grant},
    {MSG_refusal, FROM_ANSWER, "refusal", &refusal_schema, asker_on_refusal},
    {MSG_done, FROM_ANSWER, "done", &done_schema, asker_on_done},
    {MSG_token_imported, FROM_ANSWER, "token_imported", &token_imported_schema,
     asker_on_imported},
    {MSG_token_profile, FROM_ANSWER, "token_profile", &token_profile_schema, asker_on_profile},
    {0, 0, NULL, NULL, NULL},
};

const struct actor_ops asker_ops = {
    .name = "asker",
    .state_size = sizeof(struct asker),
    .mailbox_limit = 8192,
    .decode = proto_unpack,
    .handlers = asker_handlers,
    .start = asker_start,
    .on_status = asker_on_status,
};
