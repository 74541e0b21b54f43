/* SPDX-License-Identifier: Apache-2.0 */
#include "queenright/process/paths.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define UP_SUFFIX ".up.sock"
#define SOCKET_PATH_MAX sizeof(((struct sockaddr_un *)0)->sun_path) /* bytes, with the NUL */

static int format(char *ret_text, size_t size, const char *text, ...)
    __attribute__((format(printf, 3, 4)));

static int format(char *ret_text, size_t size, const char *text, ...)
{
    va_list args;
    int n;

    va_start(args, text);
    n = vsnprintf(ret_text, size, text, args);
    va_end(args);
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* A directory of ours that nobody else can look into. Its parents are made with the same mode. */
static int private_directory(const char *path, char *ret_why, size_t size)
{
    char parent[PATH_MAX];
    struct stat info;
    char *slash;

    if (mkdir(path, 0700) < 0 && errno == ENOENT && strlen(path) < sizeof(parent)) {
        strncpy(parent, path, sizeof(parent) - 1);
        parent[sizeof(parent) - 1] = '\0';
        slash = strrchr(parent, '/');
        if (slash && slash != parent) {
            *slash = '\0';
            if (private_directory(parent, ret_why, size) == -EACCES)
                return -EACCES;
        }
        (void)!mkdir(path, 0700); /* judged by lstat */
    }
    if (lstat(path, &info) < 0) {
        int error = errno;

        snprintf(ret_why, size, "%s cannot be made: %s", path, strerror(error));
        return -error;
    }
    if (!S_ISDIR(info.st_mode))
        snprintf(ret_why, size, "%s is not a directory; move it away", path);
    else if (info.st_uid != geteuid())
        snprintf(ret_why, size, "%s belongs to user %u, not to you", path, info.st_uid);
    else
        return 0;
    return -EACCES;
}

static int closed_directory(const char *path, char *ret_why, size_t size)
{
    struct stat info;
    int rc = private_directory(path, ret_why, size);

    if (rc < 0)
        return rc;
    if (lstat(path, &info) < 0)
        return -errno;
    if ((info.st_mode & 077) == 0)
        return 0;
    snprintf(ret_why, size, "%s is open to others (mode %o); chmod 700 %s", path,
             info.st_mode & 0777, path);
    return -EACCES;
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] ? value : NULL;
}

static int choose_state(char *ret_path, size_t size)
{
    const char *value;

    if ((value = environment("QUEENRIGHT_STATE")))
        return format(ret_path, size, "%s", value);
    if ((value = environment("XDG_STATE_HOME")))
        return format(ret_path, size, "%s/queenright", value);
    if ((value = environment("HOME")))
        return format(ret_path, size, "%s/.local/state/queenright", value);
    return -ENOENT;
}

/* FNV-1a, 32 bits: short, and only to tell states of one user apart. */
static uint32_t short_hash(const char *text)
{
    uint32_t hash = 2166136261u;

    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * 16777619u;
    return hash;
}

/* Below $XDG_RUNTIME_DIR, but only where a socket still fits. */
static int choose_run(const char *state, char *ret_path, size_t size, char *ret_why,
                      size_t why_size)
{
    const char *value = environment("XDG_RUNTIME_DIR");
    bool fits = value && strlen(value) + strlen("/queenright/01234567/01234567.01234567.sock") <
                             SOCKET_PATH_MAX;
    char base[PATH_MAX];
    int rc = fits ? format(base, sizeof(base), "%s/queenright", value)
                  : format(base, sizeof(base), "/tmp/queenright-%u", geteuid());

    if (rc == 0)
        rc = closed_directory(base, ret_why, why_size);
    if (rc == 0)
        rc = format(ret_path, size, "%s/%08x", base, short_hash(state));
    return rc < 0 ? rc : closed_directory(ret_path, ret_why, why_size);
}

int paths_init(struct paths *ret_paths, char *ret_why, size_t size)
{
    char wanted[PATH_MAX];
    struct paths paths;
    int rc = choose_state(wanted, sizeof(wanted));

    if (rc < 0) {
        snprintf(ret_why, size, rc == -ENAMETOOLONG
                                    ? "no place for state: the path is too long"
                                    : "no place for state: set QUEENRIGHT_STATE or HOME");
        return rc;
    }
    rc = closed_directory(wanted, ret_why, size);
    if (rc < 0)
        return rc;
    if (!realpath(wanted, paths.state)) {
        rc = -errno;
        snprintf(ret_why, size, "%s: %s", wanted, strerror(errno));
        return rc;
    }
    rc = choose_run(paths.state, paths.run, sizeof(paths.run), ret_why, size);
    if (rc == 0)
        *ret_paths = paths;
    return rc;
}

/* sun_path has room for 107 bytes; a longer socket path would fail at bind with less to say. */
static int endpoint(const struct paths *paths, char *ret_text, size_t size, const char *name)
{
    if (strlen(paths->run) + 1 + strlen(name) >= SOCKET_PATH_MAX)
        return -ENAMETOOLONG;
    return format(ret_text, size, "ipc://%s/%s", paths->run, name);
}

const char *paths_peer(const char *swarm, const char *node, char ret_name[PATHS_PEER_MAX])
{
    char whole[256];

    if (format(ret_name, PATHS_PEER_MAX, "%s.%s", swarm, node) < 0) {
        snprintf(whole, sizeof(whole), "%s.%s", swarm, node);
        snprintf(ret_name, PATHS_PEER_MAX, "%.24s.%.24s-%08x", swarm, node, short_hash(whole));
    }
    return ret_name;
}

int paths_keeper_endpoint(const struct paths *paths, char *ret_text, size_t size)
{
    return endpoint(paths, ret_text, size, "keeper.sock");
}

int paths_keeper_log(const struct paths *paths, char *ret_text, size_t size)
{
    return format(ret_text, size, "%s/keeper.log", paths->state);
}

int paths_node_endpoint(const struct paths *paths, const char *swarm, const char *node,
                        char *ret_text, size_t size)
{
    char name[160];
    int rc = format(name, sizeof(name), "%s.%s.sock", swarm, node);

    if (rc == 0)
        rc = endpoint(paths, ret_text, size, name);
    if (rc != -ENAMETOOLONG)
        return rc;
    /* Names too long for a socket are replaced by their hashes. */
    rc = format(name, sizeof(name), "%08x.%08x.sock", short_hash(swarm), short_hash(node));
    return rc < 0 ? rc : endpoint(paths, ret_text, size, name);
}

int paths_up_endpoint(const struct paths *paths, const char *swarm, char *ret_text, size_t size)
{
    char name[160];
    int rc = format(name, sizeof(name), "%s" UP_SUFFIX, swarm);

    if (rc == 0)
        rc = endpoint(paths, ret_text, size, name);
    if (rc != -ENAMETOOLONG)
        return rc;
    rc = format(name, sizeof(name), "%08x" UP_SUFFIX, short_hash(swarm));
    return rc < 0 ? rc : endpoint(paths, ret_text, size, name);
}

int paths_swarm(const struct paths *paths, const char *swarm, char *ret_text, size_t size)
{
    char why[256];
    int rc = format(ret_text, size, "%s/swarms/%s", paths->state, swarm);

    return rc < 0 ? rc : private_directory(ret_text, why, sizeof(why));
}

static int swarm_file(const struct paths *paths, const char *swarm, const char *name,
                      char *ret_text, size_t size)
{
    char folder[PATH_MAX];
    int rc = paths_swarm(paths, swarm, folder, sizeof(folder));

    return rc < 0 ? rc : format(ret_text, size, "%s/%s", folder, name);
}

int paths_node_log(const struct paths *paths, const char *swarm, const char *node, char *ret_text,
                   size_t size)
{
    char name[160];
    int rc = format(name, sizeof(name), "node-%s.log", node);

    return rc < 0 ? rc : swarm_file(paths, swarm, name, ret_text, size);
}

int paths_up_log(const struct paths *paths, const char *swarm, char *ret_text, size_t size)
{
    return swarm_file(paths, swarm, "up.log", ret_text, size);
}

int paths_accepted(const struct paths *paths, const char *swarm, char *ret_text, size_t size)
{
    return swarm_file(paths, swarm, "accepted.json", ret_text, size);
}

int paths_import_config(const struct paths *paths, char *ret_text, size_t size)
{
    return format(ret_text, size, "%s/import.json", paths->state);
}

int paths_lock_swarm(const struct paths *paths, const char *swarm, int *ret_holder)
{
    char path[PATH_MAX], text[32] = "";
    int rc = swarm_file(paths, swarm, "lock", path, sizeof(path)), fd;

    *ret_holder = 0;
    if (rc < 0)
        return rc;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (pread(fd, text, sizeof(text) - 1, 0) > 0)
            *ret_holder = (int)strtol(text, NULL, 10);
        close(fd);
        return -EBUSY;
    }
    snprintf(text, sizeof(text), "%d\n", getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, strlen(text), 0) < 0) {
        rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

static int is_swarm_socket(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name), suffix = strlen(UP_SUFFIX);

    return length > suffix && strcmp(entry->d_name + length - suffix, UP_SUFFIX) == 0;
}

int paths_swarms(const struct paths *paths, void *arg, void (*each)(void *arg, const char *swarm))
{
    struct dirent **entries;
    int n = scandir(paths->run, &entries, is_swarm_socket, alphasort);

    if (n < 0)
        return -errno;
    for (int i = 0; i < n; i++) {
        entries[i]->d_name[strlen(entries[i]->d_name) - strlen(UP_SUFFIX)] = '\0';
        each(arg, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return 0;
}
