/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "crash_rig.h"

void crash_world_init(struct crash_world *world, enum rotation rule, struct model_names *names)
{
    memset(world, 0, sizeof(*world));
    world->disk = disk_model_new(names);
    world->now_ns = 1000000 * 1000000ull;
    world->wall_ms = 1700000000000;
    world->where = "the beginning";
    world->goal = 2;
    crash_server_init(&world->server, rule, world->wall_ms);
}

void crash_world_deinit(struct crash_world *world)
{
    disk_model_free(world->disk);
    world->disk = NULL;
}

void crash_world_crashed(struct crash_world *world)
{
    const struct crash_server *server = &world->server;
    world->crashes++;
    world->wall_ms += 1000;
    world->now_ns += 1000 * 1000000ull;
    for (unsigned i = 1; i <= server->count; i++) {
        if (server->tokens[i].spent && !server->tokens[i].kept) {
            world->answer_lost = true;
        }
    }
    if (server->late != 0) { /* if that is answered, nobody is there to hear it */
        world->answer_lost = true;
    }
}
