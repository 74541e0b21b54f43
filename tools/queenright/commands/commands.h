/* SPDX-License-Identifier: Apache-2.0 */
/* The functions behind the table, one file a group. */
#pragma once

#include "queenright/cli/command.h"

int cmd_up(struct command_call *call);
int cmd_down(struct command_call *call);
int cmd_reload(struct command_call *call);
int cmd_status(struct command_call *call);
int cmd_agents(struct command_call *call);
int cmd_ask(struct command_call *call);
int cmd_chat(struct command_call *call);
int cmd_auth_import(struct command_call *call);
int cmd_auth_list(struct command_call *call);
int cmd_auth_token(struct command_call *call);
int cmd_auth_adopt(struct command_call *call);
int cmd_config_check(struct command_call *call);
int cmd_config_diff(struct command_call *call);
int cmd_zmq_ls(struct command_call *call);
int cmd_zmq_show(struct command_call *call);
int cmd_zmq_tap(struct command_call *call);
int cmd_zmq_drops(struct command_call *call);
int cmd_zmq_links(struct command_call *call);
int cmd_practice(struct command_call *call);
size_t cmd_practice_options(struct argp_option *ret_options, size_t max);
int cmd_help(struct command_call *call);
int cmd_completion(struct command_call *call);
int cmd_manual(struct command_call *call);
