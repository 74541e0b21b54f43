/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fair.h"

struct box {
    struct mailbox mailbox;
    struct mailbox_queues queues;
};

static void box_open(struct box *box, unsigned limit, bool fair)
{
    *box = (struct box){0};
    mailbox_init(&box->mailbox);
    box->queues.fair = fair ? fair_new(mailbox_limit(limit)) : NULL;
    mailbox_open(&box->mailbox, limit);
}

static void box_close(struct box *box)
{
    struct message_queue left;
    struct message *message;
    mailbox_close(&box->mailbox, &box->queues, &left);
    while ((message = message_queue_pop(&left)))
        message_free(message);
    fair_free(box->queues.fair);
}

static enum mailbox_push push(struct box *box, uint64_t from, uint32_t type, unsigned flags,
                              unsigned extra)
{
    struct message *message = message_new(type, 0);
    message->from.n = from;
    message->flags = (uint16_t)flags;
    message->request = flags & MESSAGE_REQUEST ? type : 0;
    enum mailbox_push result = mailbox_push(&box->mailbox, message, extra);
    if (result != MAILBOX_PUSHED && result != MAILBOX_PUSHED_WAKE)
        message_free(message);
    return result;
}

/* The types of what comes out, as text. */
static const char *pop_all(struct box *box, char *text)
{
    struct message *message;
    size_t length = 0;

    mailbox_take(&box->mailbox, &box->queues);
    text[0] = '\0';
    while ((message = mailbox_pop(&box->mailbox, &box->queues))) {
        length += (size_t)snprintf(text + length, 64 - length, "%u ", message->type);
        message_free(message);
    }
    return text;
}

static void only_the_push_that_ends_idleness_schedules(void **state)
{
    struct box box;
    char text[64];
    (void)state;
    box_open(&box, 8, false);
    assert_int_equal(push(&box, 1, 1, 0, 0), MAILBOX_PUSHED); /* it is running: starting */
    assert_false(mailbox_rest(&box.mailbox, &box.queues));
    assert_string_equal(pop_all(&box, text), "1 ");
    assert_true(mailbox_rest(&box.mailbox, &box.queues));
    assert_true(mailbox_is_idle(&box.mailbox));
    assert_int_equal(push(&box, 1, 2, 0, 0), MAILBOX_PUSHED_WAKE);
    assert_int_equal(push(&box, 1, 3, 0, 0), MAILBOX_PUSHED);
    assert_false(mailbox_claim(&box.mailbox));
    assert_string_equal(pop_all(&box, text), "2 3 ");
    box_close(&box);
    assert_int_equal(push(&box, 1, 4, 0, 0), MAILBOX_CLOSED);
}

static void order_is_kept_within_each_lane(void **state)
{
    struct box box;
    char text[64];
    (void)state;
    box_open(&box, 8, false);
    push(&box, 1, 1, 0, 0);
    push(&box, 2, 2, MESSAGE_CONTROL, 0);
    push(&box, 1, 3, 0, 0);
    mailbox_take(&box.mailbox, &box.queues);
    push(&box, 1, 4, MESSAGE_CONTROL, 0);
    push(&box, 1, 5, 0, 0);
    assert_string_equal(pop_all(&box, text), "2 4 1 3 5 ");
    box_close(&box);
}

static void the_limit_counts_what_is_pushed_and_what_waits(void **state)
{
    struct box box;
    (void)state;
    box_open(&box, 4, false);
    for (uint32_t i = 0; i < 3; i++)
        push(&box, 1, i, 0, 0);
    mailbox_take(&box.mailbox, &box.queues);
    assert_int_equal(push(&box, 1, 9, 0, 0), MAILBOX_PUSHED);
    assert_int_equal(push(&box, 1, 9, 0, 0), MAILBOX_FULL);
    assert_int_equal(mailbox_length(&box.mailbox), 4);
    assert_int_equal(push(&box, 1, 9, MESSAGE_CONTROL, MAILBOX_CONTROL), MAILBOX_PUSHED);
    assert_int_equal(push(&box, 1, 9, MESSAGE_ANSWER, MAILBOX_RESERVED), MAILBOX_PUSHED);
    message_free(mailbox_pop(&box.mailbox, &box.queues));
    message_free(mailbox_pop(&box.mailbox, &box.queues));
    message_free(mailbox_pop(&box.mailbox, &box.queues));
    assert_int_equal(push(&box, 1, 9, 0, 0), MAILBOX_PUSHED);
    box_close(&box);
}

static void a_request_can_be_taken_out_of_the_middle_and_the_ends(void **state)
{
    struct actor_id one = {1};
    struct box box;
    char text[64];
    (void)state;
    for (int fair = 0; fair < 2; fair++) {
        box_open(&box, 16, fair);
        for (uint32_t i = 1; i <= 5; i++)
            push(&box, 1, i, MESSAGE_REQUEST, 0);
        message_free(mailbox_remove(&box.mailbox, &box.queues, one, 3));
        message_free(mailbox_remove(&box.mailbox, &box.queues, one, 1));
        message_free(mailbox_remove(&box.mailbox, &box.queues, one, 5));
        assert_null(mailbox_remove(&box.mailbox, &box.queues, one, 5));
        assert_null(mailbox_remove(&box.mailbox, &box.queues, (struct actor_id){2}, 4));
        push(&box, 1, 6, 0, 0);
        assert_string_equal(pop_all(&box, text), "2 4 6 ");
        assert_true(mailbox_rest(&box.mailbox, &box.queues));
        box_close(&box);
    }
}

static void senders_are_served_in_turn(void **state)
{
    struct box box;
    char text[64];
    (void)state;
    box_open(&box, 64, true);
    for (uint32_t i = 1; i <= 5; i++)
        push(&box, 1, i, 0, 0);
    push(&box, 2, 20, 0, 0);
    push(&box, 2, 21, 0, 0);
    push(&box, 3, 30, 0, 0);
    push(&box, 9, 90, MESSAGE_ANSWER, MAILBOX_RESERVED);
    assert_string_equal(pop_all(&box, text), "90 1 20 30 2 21 3 4 5 ");
    assert_true(mailbox_rest(&box.mailbox, &box.queues));
    box_close(&box);
}

static void one_sender_cannot_fill_the_mailbox_for_others(void **state)
{
    struct message *message;
    struct box box;
    unsigned refused = 0;
    char text[64];
    (void)state;
    box_open(&box, 8, true);
    for (int round = 0; round < 3; round++) {
        for (uint32_t i = 1; i <= 7; i++)
            push(&box, 1, i, 0, 0);
        mailbox_take(&box.mailbox, &box.queues);
    }
    push(&box, 2, 20, 0, 0);
    mailbox_take(&box.mailbox, &box.queues);
    while ((message = message_queue_pop(&box.queues.fair->refused))) {
        assert_int_equal(message->from.n, 1);
        message_free(message);
        refused++;
    }
    assert_int_equal(refused, 17);
    assert_string_equal(pop_all(&box, text), "1 20 2 3 4 ");
    box_close(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_push_that_ends_idleness_schedules),
        cmocka_unit_test(order_is_kept_within_each_lane),
        cmocka_unit_test(the_limit_counts_what_is_pushed_and_what_waits),
        cmocka_unit_test(a_request_can_be_taken_out_of_the_middle_and_the_ends),
        cmocka_unit_test(senders_are_served_in_turn),
        cmocka_unit_test(one_sender_cannot_fill_the_mailbox_for_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
