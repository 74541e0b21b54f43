/* SPDX-License-Identifier: Apache-2.0 */
/* up: load, lock, make sure of a keeper, then be the process that supervises the nodes. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "control/control.h"
#include "queenright/commands/commands.h"
#include "queenright/commands/practice_swarm.h"
#include "queenright/config/accept.h"
#include "queenright/console/console.h"
#include "queenright/keeper/start.h"
#include "queenright/process/process.h"
#include "queenright/swarm/swarm.h"
#include "queenright/version.h"
#include "runtime/link.h"

#define DETACH_READY_MS 30000

struct up {
    struct command_call *call;
    struct config *config; /* NULL once the swarm actor has it */
    char swarm[64];
    char source[PATH_MAX];
    char accepted[PATH_MAX];
    struct practice *practice; /* or NULL */
    struct practice_options practice_options;
    uint64_t first_generation;
    struct runtime *runtime;
    struct console_totals totals;
    uint64_t for_ms;
    int ready_fd;
    int signal_fd;
    int lock_fd;
};

/* ---- what is to run -------------------------------------------------------------------------- */

static int load_file(struct up *up)
{
    struct config_errors errors;
    char found[PATH_MAX];
    int rc = config_find(up->call->args[0], found, sizeof(found));

    if (rc < 0) {
        command_error("queenright up --practice needs none", "no config: looked for %s", found);
        return EXIT_CODE_CONFIG;
    }
    rc = config_load(found, &up->config, &errors);
    if (rc < 0) {
        char *text = config_errors_text(&errors);

        fprintf(stderr, "%s\n", text ? text : strerror(-rc));
        command_error("mend the file; docs/CONFIG.md has every key", "%s is refused", found);
        free(text);
    } else if (!realpath(found, up->source)) {
        snprintf(up->source, sizeof(up->source), "%s", found);
    }
    config_errors_deinit(&errors);
    if (rc == 0)
        fprintf(stderr, "config: %s\n", up->source);
    return rc < 0 ? EXIT_CODE_CONFIG : 0;
}

static int load(struct up *up)
{
    if (!command_value(up->call, KEY_PRACTICE))
        return load_file(up);
    practice_options_init(&up->practice_options);
    up->practice_options.access_life_ms = 4000;
    up->practice_options.refresh_delay_ms = 300;
    up->practice_options.model_pace_ms = 40;
    return practice_swarm_start(&up->practice_options, &up->practice, &up->config);
}

static int lock(struct up *up)
{
    int holder;

    up->lock_fd = paths_lock_swarm(&up->call->paths, up->config->swarm, &holder);
    if (up->lock_fd >= 0)
        return 0;
    if (up->lock_fd == -EBUSY)
        command_error("queenright status, or queenright down first",
                      "swarm %s runs already (pid %d)", up->config->swarm, holder);
    else
        command_error(NULL, "swarm %s: its folder in %s: %s", up->config->swarm,
                      up->call->paths.state, strerror(-up->lock_fd));
    return EXIT_CODE_FAILED;
}

static int start_keeper(struct up *up)
{
    char why[PATH_MAX + 512] = "";

    if (keeper_start(&up->call->paths, why, sizeof(why)) == 0)
        return 0;
    command_error("queenright auth list asks it alone", "the keeper: %s", why);
    return EXIT_CODE_UNAVAILABLE;
}

static int accept(struct up *up)
{
    int rc = paths_accepted(&up->call->paths, up->swarm, up->accepted, sizeof(up->accepted));

    if (rc == 0)
        rc = accept_config(up->config, up->accepted);
    if (rc == 0)
        return 0;
    command_error("free some room, or set QUEENRIGHT_STATE", "writing %s: %s",
                  up->call->paths.state, strerror(-rc));
    return EXIT_CODE_FAILED;
}

/* ---- the process ----------------------------------------------------------------------------- */

static void on_ready(void *arg)
{
    struct up *up = arg;
    char line[256];

    process_say_ready(up->ready_fd, "ready");
    up->ready_fd = -1;
    snprintf(line, sizeof(line), "swarm %s is up", up->swarm);
    console_say(up->runtime, line);
}

static void on_event(void *arg, const char *line)
{
    const struct up *up = arg;

    console_say(up->runtime, line);
}

static void on_log(void *arg, int level, const char *line)
{
    const struct up *up = arg;

    (void)level;
    if (up->runtime)
        console_say(up->runtime, line);
    else
        fprintf(stderr, "%s\n", line);
}

static int block_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int start_links(struct up *up)
{
    struct link_options options = {.kind = PEER_NODE};
    char endpoint[256], keeper[256];
    int rc = link_start(up->runtime, &options);

    if (rc == 0)
        rc = paths_up_endpoint(&up->call->paths, up->config->swarm, endpoint, sizeof(endpoint));
    if (rc == 0)
        rc = link_listen(up->runtime, endpoint);
    if (rc == 0)
        rc = paths_keeper_endpoint(&up->call->paths, keeper, sizeof(keeper));
    if (rc == 0)
        rc = link_dial(up->runtime, "keeper", keeper);
    return rc;
}

/* In a practice swarm this process asks the agents itself, so it needs their addresses. */
static int name_agents(struct up *up)
{
    char peer[PATHS_PEER_MAX];
    int rc = 0;

    for (size_t i = 0; i < up->config->agent_count && i < CONSOLE_AGENTS_MAX && rc == 0; i++) {
        const struct config_agent *agent = &up->config->agents[i];

        rc = runtime_register(up->runtime, agent->id,
                              runtime_remote(up->runtime, paths_peer(up->swarm, agent->node, peer),
                                             agent->id));
    }
    return rc;
}

static int start_actors(struct up *up)
{
    struct console_config console = {
        .options = {.config = up->config,
                    .fd = STDERR_FILENO,
                    .screen = up->ready_fd < 0 && isatty(STDERR_FILENO),
                    .practice = up->practice != NULL,
                    .access_life_ms = up->practice_options.access_life_ms,
                    .for_ms = up->for_ms},
        .totals = &up->totals,
    };
    struct control_config control = {
        .kind = "up", .version = QUEENRIGHT_VERSION, .config = up->accepted};
    struct swarm_options swarm = {
        .config = up->config,
        .paths = &up->call->paths,
        .source = up->source,
        .signal_fd = up->signal_fd,
        .arg = up,
        .on_ready = on_ready,
        .on_event = on_event,
    };
    struct actor_id id;
    int rc = name_agents(up);

    if (rc == 0)
        rc = runtime_spawn(up->runtime, &console_actor_ops, &console,
                           &(struct spawn_options){.name = "console", .pinned = true}, &id);
    if (rc == 0)
        rc = runtime_spawn(up->runtime, &control_actor_ops, &control,
                           &(struct spawn_options){.name = "control"}, &id);
    if (rc == 0) {
        up->config = NULL; /* also when its start fails: its stop frees it */
        rc = runtime_spawn(up->runtime, &swarm_actor_ops, &swarm,
                           &(struct spawn_options){.name = "swarm", .pinned = true}, &id);
    }
    return rc;
}

static int serve(struct up *up)
{
    char peer[PATHS_PEER_MAX];
    struct runtime_options options = {.name = paths_peer(up->swarm, "up", peer),
                                      .workers = 1,
                                      .log = on_log,
                                      .log_arg = up};
    int rc = runtime_new(&options, &up->runtime);

    if (rc == 0)
        rc = start_links(up);
    if (rc == 0)
        rc = start_actors(up);
    if (rc == 0)
        runtime_wait(up->runtime);
    else
        command_error(NULL, "swarm %s did not start: %s", up->swarm, strerror(-rc));
    runtime_free(up->runtime);
    up->runtime = NULL;
    return rc < 0 ? EXIT_CODE_FAILED : 0;
}

static int practice_end(struct up *up)
{
    bool good = practice_swarm_report(up->call, up->practice, up->first_generation, stdout);

    printf("Asked %llu times, answered %llu, failed %llu; at most %llu requests waited for one "
           "refresh.\n",
           (unsigned long long)up->totals.asked, (unsigned long long)up->totals.answered,
           (unsigned long long)up->totals.failed, (unsigned long long)up->totals.waited_most);
    printf("%s\n\nNext: write queenright.json (README.md), queenright auth import PATH, "
           "queenright up.\n",
           good && up->totals.failed == 0 ? "One owner, nothing used twice."
                                          : "These do not agree; this is a fault.");
    return good && up->totals.failed == 0 ? 0 : EXIT_CODE_FAILED;
}

/* ---- detached -------------------------------------------------------------------------------- */

static int detach(struct up *up)
{
    char log[PATH_MAX], line[256], file[PATH_MAX];
    const char *duration = command_value(up->call, KEY_FOR);
    struct process_spec spec = {.args = {"up", file, duration ? "--for" : NULL, duration},
                                .log_path = log,
                                .own_session = true};
    int ready_fd, rc = paths_up_log(&up->call->paths, up->config->swarm, log, sizeof(log));
    pid_t pid;

    snprintf(file, sizeof(file), "%s", up->source);
    close(up->lock_fd); /* it takes it itself */
    if (rc == 0)
        rc = process_spawn(&spec, &pid, &ready_fd);
    if (rc == 0)
        rc = process_wait_ready(ready_fd, DETACH_READY_MS, line, sizeof(line));
    if (rc == 0) {
        if (up->call->json)
            printf("{\"swarm\": \"%s\", \"up\": true}\n", up->swarm);
        else
            printf("swarm %s is up; log: %s\n", up->swarm, log);
        return 0;
    }
    command_error(NULL, "swarm %s did not come up: %s; see %s", up->config->swarm, strerror(-rc),
                  log);
    return EXIT_CODE_FAILED;
}

int cmd_up(struct command_call *call)
{
    const char *duration = command_value(call, KEY_FOR), *fd = command_value(call, KEY_READY_FD);
    struct up up = {.call = call, .ready_fd = fd ? (int)strtol(fd, NULL, 10) : -1, .signal_fd = -1};
    bool detached = command_value(call, KEY_DETACH) != NULL;
    int code;

    if (duration && !command_duration(duration, &up.for_ms)) {
        command_error("--for 30s", "\"%s\" is not a time", duration);
        return EXIT_CODE_USAGE;
    }
    if (detached && command_value(call, KEY_PRACTICE)) {
        command_error("queenright practice in one place, and a config for it in another",
                      "the practice swarm lives and ends with its terminal");
        return EXIT_CODE_USAGE;
    }
    code = load(&up);
    if (code == 0) {
        snprintf(up.swarm, sizeof(up.swarm), "%s", up.config->swarm);
        code = lock(&up);
    }
    if (code == 0 && detached) {
        code = detach(&up);
        config_free(up.config);
        return code;
    }
    up.signal_fd = block_signals();
    if (code == 0)
        code = start_keeper(&up);
    if (code == 0)
        code = accept(&up);
    if (code == 0 && up.practice)
        code = practice_swarm_login(call, up.practice, up.accepted, &up.first_generation);
    if (code == 0)
        code = serve(&up);
    if (code == 0 && up.practice)
        code = practice_end(&up);
    practice_stop(up.practice);
    config_free(up.config);
    return code;
}
