/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this actor share. */
#pragma once

#include "actors/handler.h"
#include "actors/listing.h"
#include "control/control.h"
#include "proto/control.h"
#include "proto/system.h"

/* One running tap: who watches. */
struct control_watch {
    struct request_id request;
    uint64_t left; /* events until it ends by itself */
    bool bodies;
    bool in_use;
};

struct control_state {
    char kind[16];
    char version[32];
    char config[512];
    int64_t started_ms;
    struct listings listings;
    /* One tap at a time in a process: the second is refused, not mixed in. */
    struct control_watch watch;
    uint64_t lost;
};

int control_list_actors(struct control_state *state, struct context *context,
                        const struct control_ls *message);
int control_list_drops(struct control_state *state, struct context *context,
                       const struct control_drops *message);
int control_list_links(struct control_state *state, struct context *context,
                       const struct control_links *message);
int control_show_actor(struct control_state *state, struct context *context,
                       const struct control_show *message);

int control_tap_start(struct control_state *state, struct context *context,
                      const struct control_tap *message);
int control_tap_cancel(struct control_state *state, struct context *context,
                       struct request_id request);
int control_tap_event(struct control_state *state, struct context *context);

/* The name of a message type, "0x...." when unknown; `text` holds 16 bytes. */
const char *control_type_name(uint32_t type, char *ret_text);
