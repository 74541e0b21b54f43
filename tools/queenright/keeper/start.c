/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns a keeper is not who started it but the lock of its state directory: two programs that
 * start one at the same time get one keeper, for the second finds the lock taken, ends, and its
 * starter connects to the first. */
#include "queenright/keeper/start.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "actors/handler.h"
#include "proto/control.h"
#include "proto/system.h"
#include "proto/token.h"
#include "queenright/process/process.h"
#include "queenright/version.h"
#include "runtime/link.h"

#define CONNECT_NS 2000000000ull
#define DRAIN_NS 60000000000ull
#define READY_MS 10000
#define PATIENCE 5                 /* times that one who listens may fail to answer */
#define PATIENCE_NS 30000000000ull /* with one that holds the store, and does not listen yet */
#define PAUSE_MS 20u
#define PAUSE_DOUBLINGS 5u
#define SOCKETS "/proc/net/unix"

/* One that does not know the question is of another version. One that says nothing is not: it is
 * just leaving, or has too much to do or too little memory. */
static int silence(const struct message *answer)
{
    if (!(answer->flags & MESSAGE_STATUS))
        return 0;
    switch (answer->status) {
    case STATUS_UNKNOWN_TYPE:
    case STATUS_MALFORMED:
    case STATUS_VERSION:
        return 0;
    case STATUS_PEER_DOWN:
    case STATUS_DIED:
    case STATUS_NO_ACTOR:
    case STATUS_SHUTDOWN:
        return -ECONNREFUSED;
    default:
        return -ETIMEDOUT;
    }
}

/* 1: it is of our version. 0: of another. Negative errno: it did not say. */
static int same_version(struct link_client *client)
{
    struct control_info question = {0};
    struct control_process process;
    struct message *answer = NULL;
    int rc = link_client_call(client, "control", actor_pack(control_info, &question), CONNECT_NS,
                              NULL, NULL, &answer);

    if (rc == 0)
        rc = silence(answer);
    if (rc == 0 && answer->type == MSG_control_process &&
        proto_unpack(&control_process_schema, answer->body, answer->size, &process) == 0)
        rc = proto_text_equal(process.version, QUEENRIGHT_VERSION);
    message_free(answer);
    return rc;
}

/* -ERESTART: it has finished what it had begun, and goes. -EBUSY: it has not, in a minute. */
static int drain(struct link_client *client)
{
    struct token_drain question = {.why = proto_text("another version takes over")};
    struct message *answer = NULL;
    int rc = link_client_call(client, "token", actor_pack(token_drain, &question), DRAIN_NS, NULL,
                              NULL, &answer);

    if (rc == 0)
        rc = answer->type == MSG_done || answer->status == STATUS_PEER_DOWN ? -ERESTART : -EBUSY;
    message_free(answer);
    return rc;
}

/* True when no process has this socket open, as the kernel lists them. A client would find out too,
 * by dialling in vain for a fifth of a second; this is the cold start of everything. */
static bool nobody_listens(const char *endpoint)
{
    const char *path = endpoint + strlen("ipc://");
    FILE *sockets = fopen(SOCKETS, "re");
    bool found = false;
    char line[512];

    if (!sockets)
        return false; /* not told: dial */
    while (!found && fgets(line, sizeof(line), sockets)) {
        const char *at = strstr(line, path);

        found = at && at[strlen(path)] == '\n';
    }
    fclose(sockets);
    return !found;
}

/* 0: one of our version answers. -ECONNREFUSED: none does. As drain: one of another version did. */
static int probe(const char *endpoint, struct link_client **ret_client)
{
    struct link_client *client;
    int rc;

    if (nobody_listens(endpoint))
        return -ECONNREFUSED;
    rc = link_client_open(endpoint, "queenright", CONNECT_NS, NULL, 0, &client);

    if (rc == -EPROTO || rc == -ENOENT)
        return -ECONNREFUSED;
    if (rc < 0)
        return rc;
    rc = same_version(client);
    if (rc == 1) {
        *ret_client = client;
        return 0;
    }
    if (rc == 0)
        rc = drain(client);
    link_client_close(client);
    return rc;
}

static int say(char *ret_why, size_t size, int rc, const char *why)
{
    if (ret_why && size > 0)
        snprintf(ret_why, size, "%s", why);
    return rc;
}

static int spawn(const struct paths *paths, int *ret_ready_fd)
{
    char log_path[PATH_MAX];
    struct process_spec spec = {
        .args = {"keeper", NULL}, .log_path = log_path, .own_session = true};
    int rc = paths_keeper_log(paths, log_path, sizeof(log_path));
    pid_t pid;

    return rc < 0 ? rc : process_spawn(&spec, &pid, ret_ready_fd);
}

/* 1: it is ready. 0: somebody else's holds the store. Negative errno, with why in ret_why. */
static int hear(const struct paths *paths, int ready_fd, int timeout_ms, char *ret_why, size_t size)
{
    char line[512] = "", log_path[PATH_MAX] = "", why[PATH_MAX + 64];
    int rc = process_wait_ready(ready_fd, timeout_ms, line, sizeof(line));

    if (rc == 0 && strcmp(line, "ready") == 0)
        return 1;
    if (rc == 0 && strcmp(line, "busy") == 0)
        return 0;
    if (rc == 0)
        return say(ret_why, size, -EIO, line);
    paths_keeper_log(paths, log_path, sizeof(log_path));
    snprintf(why, sizeof(why), "the keeper did not start; see %s", log_path);
    return say(ret_why, size, rc, why);
}

static int start_one(const struct paths *paths, char *ret_why, size_t size)
{
    int ready_fd, rc = spawn(paths, &ready_fd);

    return rc < 0 ? say(ret_why, size, rc, strerrordesc_np(-rc))
                  : hear(paths, ready_fd, READY_MS, ret_why, size);
}

/* Whoever met a keeper that is starting waits longer each time: a hundred programs that start one
 * at the same time would otherwise take from the one that can, and be told that it does not. */
static void pause_before(unsigned attempt)
{
    unsigned ms = PAUSE_MS << (attempt < PAUSE_DOUBLINGS ? attempt : PAUSE_DOUBLINGS);
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000l};

    nanosleep(&pause, NULL);
}

int keeper_open(const struct paths *paths, struct link_client **ret_client, char *ret_why,
                size_t size)
{
    const struct clock_port *clock = clock_real();
    uint64_t end = clock->now_ns(clock) + PATIENCE_NS;
    unsigned silent = 0;
    bool drained = false;
    char endpoint[PATH_MAX];
    int rc = paths_keeper_endpoint(paths, endpoint, sizeof(endpoint));

    if (rc < 0)
        return say(ret_why, size, rc, strerrordesc_np(-rc));
    for (unsigned i = 0; clock->now_ns(clock) < end; i++) {
        rc = probe(endpoint, ret_client);
        if (rc == 0)
            return 0;
        if (rc == -EBUSY)
            return say(ret_why, size, rc,
                       "one of another version runs, and does not come to its end");
        if (rc != -ECONNREFUSED && rc != -ERESTART) {
            if (silent++ == PATIENCE)
                return say(ret_why, size, rc, "it runs but does not answer");
            pause_before(i); /* a busy machine: it listens, and has not come round to us */
            continue;
        }
        if (rc == -ERESTART && !drained) /* that took its time */
            end = clock->now_ns(clock) + PATIENCE_NS;
        drained |= rc == -ERESTART;
        rc = start_one(paths, ret_why, size);
        if (rc < 0)
            return rc;
        if (rc == 0)
            pause_before(i); /* somebody else's is about to answer */
    }
    return say(ret_why, size, -EBUSY, "another process holds the store but does not answer");
}

int keeper_start(const struct paths *paths, char *ret_why, size_t size)
{
    struct link_client *client;
    int rc = keeper_open(paths, &client, ret_why, size);

    if (rc == 0)
        link_client_close(client);
    return rc;
}

int keeper_spawn(const struct paths *paths, int *ready_fd, char *ret_why, size_t size)
{
    struct pollfd starting = {.fd = *ready_fd, .events = POLLIN};
    char endpoint[PATH_MAX];
    int rc = 0;

    if (*ready_fd >= 0 && poll(&starting, 1, 0) == 0)
        return 0;
    if (*ready_fd >= 0) {
        rc = hear(paths, *ready_fd, 0, ret_why, size);
        *ready_fd = -1;
    }
    if (rc < 0) /* said now, tried again when looked next */
        return rc;
    rc = paths_keeper_endpoint(paths, endpoint, sizeof(endpoint));
    if (rc == 0 && (nobody_listens(endpoint) || access(SOCKETS, R_OK) != 0))
        rc = spawn(paths, ready_fd);
    return rc < 0 ? say(ret_why, size, rc, strerrordesc_np(-rc)) : 0;
}
