/* SPDX-License-Identifier: Apache-2.0 */
/* The journal writes lines down for good, and reads them back.
 *
 * Takes   journal_append   -> done when it is on disk, or refusal: then the file is as it was
 *         journal_load     -> stream of journal_line, then journal_end
 *         journal_list     -> journal_names
 * Owns    the folder below its root. Nobody else in the process touches those files.
 * Rules   Pinned, for it waits on the disk; one append after another, each synced. From actors of
 *         this process only: a path from a stranger is no business of the disk's. A load shows the
 *         file as it was when it began, as fast as its reader gives credit.
 *
 * A disk that fails is told as `not_saved` with the system's words. It is never an end of this
 * actor: the next append may well succeed, when somebody has made room. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "actors/handler.h"
#include "journal_file.h"
#include "proto/agent.h"
#include "proto/system.h"
#include "session/journal.h"

#define PATH_TEXT_MAX 1024

struct load {
    struct load *next;
    struct request_id request;
    struct journal_reader reader;
    struct message *held; /* a part that had no credit yet */
    uint64_t lines, skipped;
};

struct journal_state {
    int root;
    char path[PATH_TEXT_MAX];
    struct load *loads;
    uint64_t appended, failed;
};

/* What a path or a disk can have against it, in words; the last row is for the rest. */
static const struct fault {
    int error;
    const char *code;
    const char *remedy;
} faults[] = {
    {-EINVAL, "bad_request", ""},
    {-EMSGSIZE, "too_large", ""},
    {-ENOSPC, "not_saved", "make room on the disk"},
    {-EDQUOT, "not_saved", "make room on the disk"},
    {-ELOOP, "not_saved", "symbolic links are not followed there"},
    {-EROFS, "not_saved", "look at the state directory's owner, modes and file system"},
    {-EACCES, "not_saved", "look at the state directory's owner, modes and file system"},
    {0, "not_saved", ""},
};

static struct message *refusal_of(int error, const char *what, const char *path)
{
    char why[PATH_TEXT_MAX + 128];
    const struct fault *fault = faults;

    while (fault->error && fault->error != error)
        fault++;
    snprintf(why, sizeof(why), "%s %s: %s", what, path, strerror(-error));
    return actor_refusal(fault->code, why, fault->remedy, 0, 0);
}

static int reply(struct context *context, struct message *answer)
{
    if (!answer)
        return context_reply_status(context, STATUS_NO_MEMORY, 0);
    return context_reply(context, answer);
}

static int on_journal_append(struct journal_state *state, struct context *context,
                             const struct journal_append *message)
{
    char path[PATH_TEXT_MAX];
    int r = -EINVAL;

    if (proto_text_copy(message->file, path, sizeof(path)))
        r = journal_file_append(state->root, path, message->line.data, message->line.size);
    if (r < 0) {
        state->failed++;
        return reply(context, refusal_of(r, "cannot write", path));
    }
    state->appended++;
    return actor_reply_done(context, 1);
}

static struct load *load_find(struct journal_state *state, struct request_id request)
{
    struct load *load = state->loads;

    while (load && load->request.n != request.n)
        load = load->next;
    return load;
}

static void load_free(struct journal_state *state, struct load *load)
{
    struct load **at = &state->loads;

    while (*at && *at != load)
        at = &(*at)->next;
    if (*at)
        *at = load->next;
    journal_reader_close(&load->reader);
    message_free(load->held);
    free(load);
}

/* The next line as a part into load->held. 1, 0 at the end, negative errno. */
static int load_hold(struct load *load)
{
    const char *line;
    size_t size;
    int r;

    while (!load->held && (r = journal_reader_next(&load->reader, &line, &size)) > 0) {
        const struct journal_line part = {.line = {line, (uint32_t)size}};

        load->held = actor_pack(journal_line, &part);
        if (!load->held) /* not UTF-8 */
            load->skipped++;
    }
    return load->held ? 1 : r;
}

static int load_finish(struct journal_state *state, struct context *context, struct load *load,
                       int error)
{
    const struct journal_end end = {.lines = load->lines,
                                    .torn = load->reader.torn,
                                    .skipped = load->skipped + load->reader.skipped};
    struct request_id request = load->request;
    struct message *answer =
        error < 0 ? refusal_of(error, "cannot read", "a file") : actor_pack(journal_end, &end);

    load_free(state, load);
    if (!answer)
        return context_answer_status(context, request, STATUS_NO_MEMORY, 0);
    context_answer(context, request, answer); /* who no longer waits is no fault of ours */
    return 0;
}

/* As many parts as there is credit for. */
static int load_pump(struct journal_state *state, struct context *context, struct load *load)
{
    int r;

    while ((r = load_hold(load)) > 0) {
        r = context_part(context, load->request, load->held);
        if (r == -EAGAIN)
            return 0;
        load->held = NULL;
        if (r < 0) {
            load_free(state, load);
            return 0;
        }
        load->lines++;
    }
    return load_finish(state, context, load, r);
}

static int on_journal_load(struct journal_state *state, struct context *context,
                           const struct journal_load *message)
{
    char path[PATH_TEXT_MAX];
    struct load *load = calloc(1, sizeof(*load));
    int r = -EINVAL;

    if (!load)
        return context_reply_status(context, STATUS_NO_MEMORY, 0);
    if (proto_text_copy(message->file, path, sizeof(path)))
        r = journal_reader_open(&load->reader, state->root, path);
    if (r < 0) {
        free(load);
        return reply(context, refusal_of(r, "cannot read", path));
    }
    load->request = context_defer(context);
    load->next = state->loads;
    state->loads = load;
    return load_pump(state, context, load);
}

static int on_journal_list(struct journal_state *state, struct context *context,
                           const struct journal_list *message)
{
    char path[PATH_TEXT_MAX], *names = NULL;
    int r = -EINVAL;

    if (proto_text_copy(message->folder, path, sizeof(path)))
        r = journal_folder_list(state->root, path, &names);
    if (r < 0)
        return reply(context, refusal_of(r, "cannot list", path));

    const struct journal_names answer = {.names = proto_text(names)};
    r = reply(context, actor_pack(journal_names, &answer));
    free(names);
    return r;
}

static int on_credit(void *state, struct context *context, struct request_id request)
{
    struct load *load = load_find(state, request);

    return load ? load_pump(state, context, load) : 0;
}

static int on_cancel(void *state, struct context *context, struct request_id request)
{
    struct load *load = load_find(state, request);

    (void)context;
    if (load)
        load_free(state, load);
    return 0;
}

static int start(void *state_, struct context *context, const void *config_)
{
    struct journal_state *state = state_;
    const struct journal_config *config = config_;

    (void)context;
    state->root = journal_root_open(config->root);
    if (state->root < 0)
        return state->root;
    snprintf(state->path, sizeof(state->path), "%s", config->root);
    return 0;
}

static void stop(void *state_, struct context *context)
{
    struct journal_state *state = state_;

    (void)context;
    while (state->loads)
        load_free(state, state->loads);
    if (state->root > 0)
        close(state->root);
}

static size_t describe(const void *state_, char *ret_text, size_t size)
{
    const struct journal_state *state = state_;
    int length = snprintf(ret_text, size, "root %s, %llu lines written, %llu refused", state->path,
                          (unsigned long long)state->appended, (unsigned long long)state->failed);

    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

ACTOR_HANDLER(journal_append)
ACTOR_HANDLER(journal_load)
ACTOR_HANDLER(journal_list)

static const struct actor_handler handlers[] = {
    ACTOR_ROW(journal_append, FROM_LOCAL),
    ACTOR_ROW(journal_load, FROM_LOCAL),
    ACTOR_ROW(journal_list, FROM_LOCAL),
    ACTOR_ROW_END,
};

const struct actor_ops journal_actor_ops = {
    .name = "journal",
    .state_size = sizeof(struct journal_state),
    .mailbox_limit = 4096,
    .decode = proto_unpack,
    .handlers = handlers,
    .start = start,
    .stop = stop,
    .on_credit = on_credit,
    .on_cancel = on_cancel,
    .describe = describe,
};
