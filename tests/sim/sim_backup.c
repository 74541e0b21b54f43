/* SPDX-License-Identifier: Apache-2.0 */
/* What people do to the store as a whole, while no keeper runs on it.
 *
 *   backup        an older state of it is put back; nodes live that have seen later generations
 *   backup_alone  so, and no node lives: nobody remembers, as with the image of a whole machine
 *   moved         it is copied elsewhere, and that is the store from now on
 *   twin          a copy of it is started beside it (sim_twin.c)
 *
 * A backup forgets. What the provider handed out since is nowhere any more, and that n was sent
 * may not be known: so the checks are told which tokens came from a backup, and hold nothing
 * against the keeper that only a memory could have told it. What it can know it must heed: the
 * mark of a copy, and what a node says that it has seen (check_may_go_on). */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

void backup_take(struct sim *sim)
{
    memory_disk_free(sim->backup);
    sim->backup = memory_disk_copy(sim->disk);
}

/* `forgotten`: that it may have been spent. An intent that came back with it says so, unless a
 * whole answer came back, too: that settles the requests until then, and not the later ones. */
static void know(struct login *login, unsigned number, bool forgotten)
{
    login->refresh[number].durable = true;
    login->refresh[number].restored = forgotten;
}

/* What lies on the disk now is all that is left. */
static void on_found(struct sim *sim, void *arg, struct stored *stored)
{
    struct login *login;
    unsigned number;

    (void)arg;
    if (!find_refresh(sim, secret_data(stored->credential.refresh), &login, &number))
        return;
    know(login, number,
         !stored->has_intent || (stored->has_answer && stored->answer.complete));
    for (unsigned i = 0; i < sim->node_count; i++)
        sim->totals->restored_seen += sim->nodes[i].seen[login->number] >
                                      stored->credential.generation;
    login->restored_family = login->refresh[number].family;
    login->aliased = stored->credential.aliases[0] != '\0';
    if (stored->has_answer && stored->answer.complete && stored->answer.body != NULL &&
        find_refresh(sim, secret_data(stored->answer.body), &login, &number))
        know(login, number, true);
}

static void disk_replace(struct sim *sim, struct memory_disk *disk)
{
    sim->reader->close(sim->reader);
    memory_disk_free(sim->disk);
    sim->disk = disk;
    sim->reader = store_memory_new(disk);
    if (sim->reader == NULL)
        abort();
    for (unsigned i = 0; i < sim->login_count; i++) {
        struct login *login = sim->logins[i];

        login->unsaved_ns = 0;
        for (unsigned k = 1; k <= login->refresh_count; k++)
            login->refresh[k].durable = false;
    }
    sim->restored_boot = sim->boot + 1;
    store_each(sim, NULL, on_found);
}

static void mark_copied(struct sim *sim)
{
    memory_disk_mark_copied(sim->disk);
    sim->copied = true;
}

/* With another inode, as from an archive, it is known to be a copy; a file system that is rolled
 * back shows no such thing. */
void backup_put_back(struct sim *sim)
{
    disk_replace(sim, memory_disk_copy(sim->backup));
    sim->copied = false;
    if (sim_draw(sim, 3) == 0)
        mark_copied(sim);
    sim_note(sim, "backup put back%s", sim->copied ? ", as a copy" : "");
}

void backup_move(struct sim *sim)
{
    mark_copied(sim);
    sim_note(sim, "store moved");
}
