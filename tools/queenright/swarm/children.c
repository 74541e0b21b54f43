/* SPDX-License-Identifier: Apache-2.0 */
/* The node processes: started, watched by pidfd, started again with backoff when they end, stopped
 * by message first and by signal only when that does not help. A node that fails again and again
 * is never given up: an operator who mends the cause should not have to start everything anew. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "queenright/process/process.h"
#include "queenright/swarm/internal.h"

struct swarm_child *swarm_child_find(struct swarm_state *state, const char *name)
{
    for (int i = 0; i < CHILDREN_MAX; i++)
        if (state->children[i].state != CHILD_FREE && strcmp(state->children[i].name, name) == 0)
            return &state->children[i];
    return NULL;
}

bool swarm_all_up(const struct swarm_state *state)
{
    for (int i = 0; i < CHILDREN_MAX; i++)
        if (state->children[i].state != CHILD_FREE && state->children[i].state != CHILD_UP)
            return false;
    return true;
}

bool swarm_all_gone(const struct swarm_state *state)
{
    for (int i = 0; i < CHILDREN_MAX; i++)
        if (state->children[i].pid > 0)
            return false;
    return true;
}

static void child_later(struct swarm_state *state, struct context *context,
                        struct swarm_child *child)
{
    uint64_t jitter = context_random(context) % (child->backoff_ms / 2 + 1);

    child->state = CHILD_WAITING;
    context_timer(context, (child->backoff_ms + jitter) * 1000000,
                  SWARM_TAG(TAG_RESTART, child - state->children));
    child->backoff_ms = child->backoff_ms * 2 > BACKOFF_MS_MAX ? BACKOFF_MS_MAX
                                                               : child->backoff_ms * 2;
}

void swarm_child_start(struct swarm_state *state, struct context *context,
                       struct swarm_child *child)
{
    char log_path[PATH_MAX];
    struct process_spec spec = {
        .args = {"node", "--swarm", state->config->swarm, "--node", child->name, "--config",
                 state->accepted, NULL},
        .log_path = log_path,
    };
    int ready_fd, rc;

    paths_node_log(state->options.paths, state->config->swarm, child->name, log_path,
                   sizeof(log_path));
    rc = process_spawn(&spec, &child->pid, &ready_fd);
    if (rc == 0) {
        close(ready_fd); /* its link says more than a line would */
        child->pid_fd = process_pidfd(child->pid);
        child->state = CHILD_STARTING;
        return;
    }
    swarm_event(state, "node %s: could not be started: %s", child->name, strerror(-rc));
    child->pid = 0;
    child_later(state, context, child);
}

int swarm_child_add(struct swarm_state *state, struct context *context, const char *name)
{
    for (int i = 0; i < CHILDREN_MAX; i++) {
        struct swarm_child *child = &state->children[i];

        if (child->state != CHILD_FREE)
            continue;
        *child = (struct swarm_child){.pid_fd = -1, .backoff_ms = BACKOFF_MS_FIRST};
        snprintf(child->name, sizeof(child->name), "%s", name);
        paths_peer(state->config->swarm, name, child->peer);
        swarm_child_start(state, context, child);
        return 0;
    }
    return -ENOSPC;
}

void swarm_child_stop(struct swarm_state *state, struct context *context,
                      struct swarm_child *child, uint64_t drain_ms)
{
    struct swarm_down down = {.drain_ms = drain_ms};
    struct request_options options = {
        .deadline_ns = context_now_ns(context) + (drain_ms + 2000) * 1000000,
        .tag = SWARM_TAG(TAG_DOWN, child - state->children),
    };

    if (child->pid <= 0) {
        child->state = child->remove ? CHILD_FREE : CHILD_STOPPING;
        return;
    }
    child->state = CHILD_STOPPING;
    context_request(context, context_remote(context, child->peer, "node"),
                    actor_pack(swarm_down, &down), &options);
    context_timer(context, (drain_ms + 3000) * 1000000,
                  SWARM_TAG(TAG_KILL, child - state->children));
}

static void describe_exit(int status, char *ret_text, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(ret_text, size, "killed by SIG%s", sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(ret_text, size, "exit code %d", WEXITSTATUS(status));
}

static void child_ended(struct swarm_state *state, struct context *context,
                        struct swarm_child *child)
{
    char how[64];
    int status = 0;

    if (waitpid(child->pid, &status, WNOHANG) != child->pid)
        return;
    close(child->pid_fd);
    child->pid_fd = -1;
    child->pid = 0;
    if (child->state == CHILD_STOPPING || state->ending) {
        child->state = child->remove ? CHILD_FREE : CHILD_STOPPING;
        if (state->ending && swarm_all_gone(state))
            runtime_stop(context_runtime(context));
        return;
    }
    describe_exit(status, how, sizeof(how));
    swarm_event(state, "node %s ended (%s); starting it again in %llu ms", child->name, how,
                (unsigned long long)child->backoff_ms);
    child->restarts++;
    child_later(state, context, child);
}

static void on_signal(struct swarm_state *state, struct context *context)
{
    struct signalfd_siginfo info;

    if (read(state->options.signal_fd, &info, sizeof(info)) != sizeof(info))
        return;
    if (info.ssi_signo == SIGHUP)
        swarm_reload_begin(state, context, state->source, (struct request_id){0});
    else if (state->ending) /* the second one: now */
        runtime_stop(context_runtime(context));
    else
        swarm_end(state, context, DRAIN_MS_DEFAULT);
}

int swarm_wait(void *memory, struct context *context, uint64_t timeout_ns)
{
    struct swarm_state *state = memory;
    struct pollfd fds[CHILDREN_MAX + 2];
    struct swarm_child *owners[CHILDREN_MAX + 2] = {NULL};
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / 1000000000),
                               .tv_nsec = (long)(timeout_ns % 1000000000)};
    nfds_t n = 2;

    fds[0] = (struct pollfd){.fd = state->wake_fd, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = state->options.signal_fd, .events = POLLIN};
    for (int i = 0; i < CHILDREN_MAX; i++)
        if (state->children[i].pid > 0 && state->children[i].pid_fd >= 0) {
            owners[n] = &state->children[i];
            fds[n++] = (struct pollfd){.fd = state->children[i].pid_fd, .events = POLLIN};
        }
    if (ppoll(fds, n, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL) <= 0)
        return 0;
    if (fds[0].revents) {
        eventfd_t count;

        eventfd_read(state->wake_fd, &count);
    }
    if (fds[1].revents)
        on_signal(state, context);
    for (nfds_t i = 2; i < n; i++)
        if (fds[i].revents)
            child_ended(state, context, owners[i]);
    return 0;
}

void swarm_wake(void *memory)
{
    struct swarm_state *state = memory;

    eventfd_write(state->wake_fd, 1);
}
