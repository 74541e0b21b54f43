/* SPDX-License-Identifier: Apache-2.0 */
#include "queenright/keeper/ask.h"

#include <limits.h>
#include <stdio.h>
#include <time.h>

#include "proto/token.h"
#include "queenright/cli/command.h"
#include "queenright/keeper/start.h"
#include "runtime/ports.h"

#define DEATHS_MAX 3 /* a question that meets so many does not get through */
#define NS_PER_MS 1000000l
#define PAUSE_MS 50   /* before the second try; twice that before the third, and so on */
#define PAUSE_MAX_MS 800

struct question {
    const struct proto_schema *schema;
    const void *message;
    client_part_fn on_part;
    void *arg;
    bool begun; /* the caller has seen a part: it cannot be asked again */
    unsigned deaths;
    uint64_t timeout_ns, end_ns; /* of all tries, from when the first keeper was met */
};

static int on_part(void *arg, const struct message *part)
{
    struct question *question = arg;

    question->begun = true;
    return question->on_part(question->arg, part);
}

static bool keeper_ends(struct question *question, const struct message *answer)
{
    struct refusal refusal;

    if (answer->flags & MESSAGE_STATUS)
        return (answer->status == STATUS_PEER_DOWN || answer->status == STATUS_DIED ||
                answer->status == STATUS_NO_ACTOR || answer->status == STATUS_SHUTDOWN) &&
               ++question->deaths < DEATHS_MAX;
    return answer->type == MSG_refusal &&
           proto_unpack(&refusal_schema, answer->body, answer->size, &refusal) == 0 &&
           proto_text_equal(refusal.code, "stopping");
}

static uint64_t now_ns(void)
{
    return clock_real()->now_ns(clock_real());
}

int keeper_dial(struct keeper_line *line)
{
    char why[PATH_MAX + 512] = "";

    if (line->client != NULL || keeper_open(line->paths, &line->client, why, sizeof(why)) == 0)
        return 0;
    command_error(NULL, "the keeper: %s", why);
    return EXIT_CODE_UNAVAILABLE;
}

static int ask_once(struct keeper_line *line, struct question *question,
                    struct message **ret_answer)
{
    int code = keeper_dial(line);
    uint64_t now = now_ns();

    if (code != 0)
        return code;
    if (question->end_ns == 0) /* to find the keeper is not the question's time */
        question->end_ns = now + question->timeout_ns;
    return client_call(line->client, "token", question->schema, question->message,
                       now < question->end_ns ? (question->end_ns - now) / NS_PER_MS : 0,
                       question->on_part != NULL ? on_part : NULL, question, ret_answer);
}

int keeper_run(struct keeper_line *line, const struct proto_schema *schema, const void *message,
               uint64_t timeout_ms, client_part_fn on_part_, void *arg, uint32_t wanted,
               struct message **ret_answer)
{
    struct question question = {.schema = schema, .message = message, .on_part = on_part_,
                                .arg = arg, .timeout_ns = timeout_ms * NS_PER_MS};
    struct timespec pause = {.tv_nsec = PAUSE_MS * NS_PER_MS};
    struct message *answer = NULL;
    int code;

    while ((code = ask_once(line, &question, &answer)) == 0 && !question.begun &&
           keeper_ends(&question, answer) &&
           now_ns() + (uint64_t)pause.tv_nsec < question.end_ns) {
        message_free(answer);
        keeper_hang_up(line);
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < PAUSE_MAX_MS * NS_PER_MS)
            pause.tv_nsec *= 2;
    }
    return code != 0 ? code : client_judge(line->client, "token", answer, wanted, ret_answer);
}

void keeper_hang_up(struct keeper_line *line)
{
    link_client_close(line->client);
    line->client = NULL;
}
