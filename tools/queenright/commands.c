/* SPDX-License-Identifier: Apache-2.0 */
/* The command table. */
#include "queenright/commands/commands.h"
#include "queenright/keeper/keeper.h"
#include "queenright/node/node.h"

static const struct argp_option up_options[] = {
    {"detach", KEY_DETACH, NULL, 0, "Return when the swarm answers; it goes on by itself", 0},
    {"practice", KEY_PRACTICE, NULL, 0, "Five agents on the practice provider; no file needed", 0},
    {"for", KEY_FOR, "TIME", 0, "Stop after so long, e.g. 30s", 0},
    {0},
};
static const struct argp_option down_options[] = {
    {"drain", KEY_DRAIN, "TIME", 0, "How long turns in work may take to finish (10s)", 0},
    {0},
};
static const struct argp_option session_options[] = {
    {"session", KEY_SESSION, "KEY", 0, "Which conversation (main)", 0},
    {0},
};
static const struct argp_option import_options[] = {
    {"take-over", KEY_TAKE_OVER, NULL, 0,
     "Own it: refresh it from now on. The other program must not refresh it any more", 0},
    {"profile", KEY_PROFILE, "ID", 0, "Only this profile of the file", 0},
    {"provider", KEY_PROVIDER, "ID", 0, "The provider, where the file does not say", 0},
    {"config", KEY_CONFIG, "FILE", 0, "Config with the provider's rule", 0},
    {0},
};
static const struct argp_option token_options[] = {
    {"min-valid", KEY_MIN_VALID, "TIME", 0, "It must live at least so long, e.g. 10m", 0},
    {"rejected-sha256", KEY_REJECTED, "HASH", 0,
     "SHA-256 of a token that got a 401; another one is wanted", 0},
    {"force", KEY_FORCE, NULL, 0, "Refresh even if the token would do", 0},
    {0},
};
static const struct argp_option tap_options[] = {
    {"limit", KEY_LIMIT, "N", 0, "End after N messages", 0},
    {"bodies", KEY_BODIES, NULL, 0, "Show bodies, secrets redacted", 0},
    {"type", KEY_TYPE, "MESSAGE", 0, "Only this message", 0},
    {0},
};
static const struct argp_option node_options[] = {
    {"node", KEY_NODE, "NAME", 0, "Which node this is", 0},
    {"config", KEY_CONFIG, "FILE", 0, "The accepted config", 0},
    {0},
};

static const struct argp_option keeper_options[] = {
    {"linger", KEY_LINGER, NULL, 0, "Stay, though no swarm needs it", 0},
    {0},
};

void command_common_options(const struct command *command, struct argp_option *ret_options)
{
    size_t n = 0;

    if (!command->no_json)
        ret_options[n++] = (struct argp_option){"json", KEY_JSON, NULL, 0, "Print JSON", -2};
    if (command->swarm)
        ret_options[n++] = (struct argp_option){"swarm", KEY_SWARM, "NAME", 0,
                                                "Which swarm, when several run", -2};
    ret_options[n++] = (struct argp_option){"ready-fd", KEY_READY_FD, "FD", OPTION_HIDDEN, "", -2};
    ret_options[n] = (struct argp_option){0};
}

const struct command command_table[] = {
    {.name = "up", .args = "[FILE]", .args_min = 0, .args_max = 1,
     .help = "Launch the swarm of a config and stay with it",
     .text = "FILE, else ./queenright.json, else ~/.config/queenright/queenright.json. "
             "Ctrl-C drains and stops; a second one stops at once. SIGHUP reloads.",
     .options = up_options,
     .run = cmd_up},
    {.name = "down", .args = "",
     .help = "Drain and stop the swarm",
     .options = down_options,
     .run = cmd_down, .swarm = true},
    {.name = "reload", .args = "[FILE]", .args_min = 0, .args_max = 1,
     .help = "Apply a changed config; only what changed restarts",
     .text = "A file with a fault changes nothing. No token is refreshed by a reload.",
     .run = cmd_reload, .swarm = true},
    {.name = "status", .args = "",
     .help = "Processes, agents, logins: what is well and what is not",
     .text = "Exits 0 when all is well, 1 when something is broken, 2 when something soon "
             "will be.",
     .run = cmd_status, .swarm = true},
    {.name = "agents", .args = "",
     .help = "The agents, where they live, what they do",
     .run = cmd_agents, .swarm = true},
    {.name = "ask", .args = "AGENT TEXT", .args_min = 2, .args_max = 2,
     .help = "One turn; the answer on stdout as it comes",
     .text = "TEXT \"-\" reads it from stdin.",
     .options = session_options,
     .run = cmd_ask, .swarm = true},
    {.name = "chat", .args = "AGENT", .args_min = 1, .args_max = 1,
     .help = "A conversation, a line a turn",
     .options = session_options,
     .run = cmd_chat, .swarm = true},
    {.name = "auth import", .args = "PATH", .args_min = 1, .args_max = 1,
     .help = "Take over logins from OpenClaw's or Codex's files",
     .text = "PATH is an auth-profiles.json, a Codex auth.json, or an OpenClaw state "
             "directory. Without --take-over the access token is used until it ends and "
             "never refreshed: two owners of one login are what breaks it. A fresh login "
             "is better than a copy.",
     .options = import_options,
     .run = cmd_auth_import},
    {.name = "auth list", .args = "[PROFILE]", .args_min = 0, .args_max = 1,
     .help = "Each login: generation, expiry, state, cause and remedy",
     .text = "Exits 1 when one needs a login, 2 when one is not well.",
     .run = cmd_auth_list},
    {.name = "auth token", .args = "PROFILE", .args_min = 1, .args_max = 1,
     .help = "Print an access token for another program",
     .text = "The token alone on stdout. Starts the keeper when none runs.",
     .options = token_options,
     .run = cmd_auth_token},
    {.name = "auth adopt", .args = "[PROFILE]", .args_min = 0, .args_max = 1,
     .help = "Go on with a store that looks like a copy or a backup",
     .text = "Only when the store it was copied from is not used any more.",
     .run = cmd_auth_adopt},
    {.name = "config check", .args = "[FILE]", .args_min = 0, .args_max = 1,
     .help = "Say what is wrong with a config",
     .run = cmd_config_check, .no_paths = true},
    {.name = "config diff", .args = "OLD NEW", .args_min = 2, .args_max = 2,
     .help = "Say what a reload would change",
     .run = cmd_config_diff, .no_paths = true},
    {.name = "zmq ls", .args = "[PATTERN]", .args_min = 0, .args_max = 1,
     .help = "Every actor of every process",
     .run = cmd_zmq_ls, .swarm = true},
    {.name = "zmq show", .args = "ACTOR", .args_min = 1, .args_max = 1,
     .help = "One actor in depth",
     .text = "ACTOR is a name, or PROCESS/NAME, e.g. b/model.",
     .run = cmd_zmq_show, .swarm = true},
    {.name = "zmq tap", .args = "ACTOR", .args_min = 1, .args_max = 1,
     .help = "An actor's messages as they pass",
     .options = tap_options,
     .run = cmd_zmq_tap, .swarm = true},
    {.name = "zmq drops", .args = "[REASON]", .args_min = 0, .args_max = 1,
     .help = "Every message that did not arrive, by reason",
     .run = cmd_zmq_drops, .swarm = true},
    {.name = "zmq links", .args = "[PEER]", .args_min = 0, .args_max = 1,
     .help = "The links between the processes",
     .run = cmd_zmq_links, .swarm = true},
    {.name = "practice", .args = "",
     .help = "A practice provider on loopback: strict rotation, a scripted model",
     .text = "It serves until Ctrl-C; /stats has its counters.",
     .more_options = cmd_practice_options,
     .run = cmd_practice, .no_paths = true},
    {.name = "completion", .args = "SHELL", .args_min = 1, .args_max = 1,
     .help = "Print the completion script for bash, zsh or fish",
     .text = "For bash: source <(queenright completion bash)",
     .run = cmd_completion, .no_paths = true, .no_json = true},
    {.name = "help", .args = "[COMMAND]", .args_min = 0, .args_max = 2,
     .help = "This list, or one command",
     .run = cmd_help, .no_paths = true, .no_json = true},
    {.name = "manual", .args = "FORMAT", .args_min = 1, .args_max = 1,
     .help = "This reference as a man page (man) or for docs/COMMANDS.md (markdown)",
     .run = cmd_manual, .hidden = true, .no_paths = true, .no_json = true},
    {.name = "keeper", .args = "",
     .help = "The process that owns the logins",
     .options = keeper_options,
     .run = cmd_keeper, .hidden = true, .no_json = true},
    {.name = "node", .args = "",
     .help = "The process that hosts agents",
     .options = node_options,
     .run = cmd_node, .hidden = true, .swarm = true, .no_json = true},
    {0},
};
