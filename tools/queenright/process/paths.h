/* SPDX-License-Identifier: Apache-2.0 */
/* Where things lie. State (credentials, transcripts, logs) is in one directory; sockets are in a
 * run directory, in a folder named by a short hash of the state directory, so that several states
 * of one user do not collide. Every directory is made 0700 and refused when it is anybody else's,
 * open to others, or a symbolic link. */
#pragma once

#include <limits.h>
#include <stddef.h>

struct paths {
    char state[PATH_MAX]; /* $QUEENRIGHT_STATE, else $XDG_STATE_HOME/queenright, else
                           * ~/.local/state/queenright; absolute */
    char run[PATH_MAX];   /* $XDG_RUNTIME_DIR/queenright/HASH, where that is short enough for
                           * sockets, else /tmp/queenright-UID/HASH */
};

/* 0, or negative errno with a sentence (what, where, what to do) in ret_why. */
int paths_init(struct paths *ret_paths, char *ret_why, size_t size);

#define PATHS_PEER_MAX 64

/* What a process is called on links: SWARM.NODE, "up" being the node of `up`. Several swarms share
 * a keeper, so a node's own name would not be enough. Too long a name ends in its hash. */
const char *paths_peer(const char *swarm, const char *node, char ret_name[PATHS_PEER_MAX]);

/* Each makes the folders it needs and writes a path or "ipc://PATH"; -ENAMETOOLONG. */
int paths_keeper_endpoint(const struct paths *paths, char *ret_text, size_t size);
int paths_keeper_log(const struct paths *paths, char *ret_text, size_t size);
int paths_node_endpoint(const struct paths *paths, const char *swarm, const char *node,
                        char *ret_text, size_t size);
int paths_node_log(const struct paths *paths, const char *swarm, const char *node, char *ret_text,
                   size_t size);
int paths_up_endpoint(const struct paths *paths, const char *swarm, char *ret_text, size_t size);
int paths_up_log(const struct paths *paths, const char *swarm, char *ret_text, size_t size);
int paths_accepted(const struct paths *paths, const char *swarm, char *ret_text, size_t size);
/* The copy of a config that an import reads a provider's rule from. */
int paths_import_config(const struct paths *paths, char *ret_text, size_t size);
/* Where a swarm's journals and logs are: <state>/swarms/<swarm>. */
int paths_swarm(const struct paths *paths, const char *swarm, char *ret_text, size_t size);
/* Takes the swarm's lock for the life of this process. The descriptor; -EBUSY with the holder's
 * pid in *ret_holder (0: unknown). */
int paths_lock_swarm(const struct paths *paths, const char *swarm, int *ret_holder);

/* Calls `each` with the name of every swarm that has a socket, alphabetically. */
int paths_swarms(const struct paths *paths, void *arg, void (*each)(void *arg, const char *swarm));
