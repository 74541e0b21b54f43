/* SPDX-License-Identifier: Apache-2.0 */
/* Reading credentials of other programs: which file it is, where a directory keeps them, and which
 * of them are the same login.
 *
 * OpenClaw copied one login into a store for each agent, so five files may hold five states of one
 * refresh token, of which at most one is good: the one that lives longest, for each refresh moves
 * the end. Entries are clones when they hold the same secret, or, from different files, name the
 * same account (else the same email). Two logins of one account in one file are two logins. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import_internal.h"
#include "token/disk.h"

#define FILE_MAX_BYTES (4 << 20)
#define AGENTS_MAX 1024

/* ---- entries ---- */

/* Text out of a file that will be printed. */
static void make_printable(char *text)
{
    for (; *text != '\0'; text++) {
        *text = (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text;
    }
}

struct import_entry *import_add(struct import_list *list, const char *source, const char *profile)
{
    struct import_entry *grown = reallocarray(list->entries, list->count + 1, sizeof(*grown));
    if (grown == NULL) {
        return NULL;
    }
    list->entries = grown;
    struct import_entry *entry = &grown[list->count++];
    *entry = (struct import_entry){.verdict = IMPORT_TAKE};
    snprintf(entry->source, sizeof(entry->source), "%s", source);
    snprintf(entry->profile, sizeof(entry->profile), "%s", profile);
    make_printable(entry->profile);
    return entry;
}

void import_refuse(struct import_entry *entry, const char *code, const char *format, ...)
{
    va_list arguments;
    entry->verdict = IMPORT_REFUSED;
    snprintf(entry->code, sizeof(entry->code), "%s", code);
    va_start(arguments, format);
    vsnprintf(entry->why, sizeof(entry->why), format, arguments);
    va_end(arguments);
    make_printable(entry->why); /* it may quote a key */
}

void import_text(const json_t *object, const char *key, char *ret_text, size_t size)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (text == NULL || strlen(text) >= size) {
        return;
    }
    for (const char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7f) {
            return;
        }
    }
    memcpy(ret_text, text, strlen(text) + 1);
}

struct secret *import_secret(const json_t *object, const char *key, int *ret_error)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value) ||
        !token_text_valid(json_string_value(value), json_string_length(value))) {
        return NULL;
    }
    struct secret *secret = secret_new(json_string_value(value), json_string_length(value));
    if (secret == NULL) {
        *ret_error = -ENOMEM;
    }
    return secret;
}

void import_list_deinit(struct import_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        secret_free(list->entries[i].access);
        secret_free(list->entries[i].refresh);
        secret_free(list->entries[i].id_token);
    }
    free(list->entries);
    *list = (struct import_list){0};
}

/* ---- one file ---- */

static int read_open(int fd, char **ret_text, size_t *ret_size)
{
    struct stat stat;
    if (fstat(fd, &stat) < 0) {
        return -errno;
    }
    if (!S_ISREG(stat.st_mode) || stat.st_size > FILE_MAX_BYTES) {
        return -EINVAL;
    }
    char *text = malloc((size_t)stat.st_size + 1);
    if (text == NULL) {
        return -ENOMEM;
    }
    int error = disk_read_all(disk_real(), fd, text, (size_t)stat.st_size, ret_size);
    if (error < 0) {
        free(text);
        return error;
    }
    *ret_text = text;
    return 0;
}

static int read_whole(const char *path, char **ret_text, size_t *ret_size, char *ret_why,
                      size_t why_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int error = -errno;
    if (fd >= 0) {
        error = read_open(fd, ret_text, ret_size);
        close(fd);
    }
    if (error == -EINVAL) {
        snprintf(ret_why, why_size, "%s is not a regular file of at most %d bytes", path,
                 FILE_MAX_BYTES);
    } else if (error < 0) {
        snprintf(ret_why, why_size, "cannot read %s: %s", path, strerrordesc_np(-error));
    }
    return error;
}

static int read_root(const json_t *root, const char *path, struct import_list *list, char *ret_why,
                     size_t why_size)
{
    static const char *const codex_keys[] = {"tokens", "OPENAI_API_KEY", "auth_mode",
                                             "personal_access_token", "agent_identity"};
    if (json_object_get(root, "profiles") != NULL) {
        return import_openclaw(root, path, list, ret_why, why_size);
    }
    for (size_t i = 0; i < sizeof(codex_keys) / sizeof(*codex_keys); i++) {
        if (json_object_get(root, codex_keys[i]) != NULL) {
            return import_codex(root, path, list);
        }
    }
    snprintf(ret_why, why_size, "%s is neither OpenClaw's auth-profiles.json (it has no profiles) "
             "nor Codex's auth.json (it has no tokens)", path);
    return -EINVAL;
}

static int read_file(const char *path, struct import_list *list, char *ret_why, size_t why_size)
{
    char *text = NULL;
    size_t size = 0;
    int error = read_whole(path, &text, &size, ret_why, why_size);
    if (error < 0) {
        return error;
    }
    json_error_t where;
    json_t *root = bounded_json_load(text, size, &where);
    explicit_bzero(text, size);
    free(text);
    if (root == NULL) {
        /* jansson quotes what it stopped at, which may be a token: say where, not what. */
        char *quote = strstr(where.text, " near '");
        if (quote != NULL) {
            *quote = '\0';
        }
        snprintf(ret_why, why_size, "%s, line %d, column %d: %s%s", path, where.line, where.column,
                 where.text, size == 0 ? " (the file is empty)" : "; is the file torn?");
        return -EINVAL;
    }
    size_t before = list->count;
    struct import_list one = {0};
    error = read_root(root, path, &one, ret_why, why_size);
    json_decref(root);
    if (error < 0 || one.count == 0) {
        import_list_deinit(&one);
        return error;
    }
    struct import_entry *grown = reallocarray(list->entries, before + one.count, sizeof(*grown));
    if (grown == NULL) {
        import_list_deinit(&one);
        return -ENOMEM;
    }
    memcpy(grown + before, one.entries, one.count * sizeof(*grown));
    list->entries = grown;
    list->count = before + one.count;
    free(one.entries);
    return 0;
}

/* ---- a directory ---- */

static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* main first. */
static int compare_names(const struct dirent **a, const struct dirent **b)
{
    const char *left = (*a)->d_name, *right = (*b)->d_name;
    bool left_main = strcmp(left, "main") == 0, right_main = strcmp(right, "main") == 0;
    return left_main != right_main ? (left_main ? -1 : 1) : strcmp(left, right);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* A fault of one agent's file is an entry; the others are read all the same. */
static int read_agent(const char *path, const char *agent, struct import_list *list)
{
    char why[512] = "";
    if (!exists(path)) {
        return 0;
    }
    int error = read_file(path, list, why, sizeof(why));
    if (error < 0 && error != -ENOMEM) {
        struct import_entry *entry = import_add(list, path, agent);
        if (entry == NULL) {
            return -ENOMEM;
        }
        import_refuse(entry, "bad_file", "%.250s", why);
        error = 0;
    }
    return error;
}

static int read_agents(const char *directory, struct import_list *list, char *ret_why,
                       size_t why_size)
{
    char path[4096];
    struct dirent **names = NULL;
    snprintf(path, sizeof(path), "%s/agents", directory);
    int count = scandir(path, &names, is_shown, compare_names);
    int error = count < 0 ? -errno : count > AGENTS_MAX ? -E2BIG : 0;
    for (int i = 0; i < count; i++) {
        const char *name = names[i]->d_name;
        snprintf(path, sizeof(path), "%s/agents/%s/agent/auth-profiles.json", directory, name);
        error = error < 0 ? error : read_agent(path, name, list);
        free(names[i]);
    }
    free(names);
    if (error < 0) {
        snprintf(ret_why, why_size, "cannot read %s/agents: %s", directory,
                 strerrordesc_np(-error));
    } else if (list->count == 0) {
        error = -ENOENT;
        snprintf(ret_why, why_size, "no agent in %s/agents has an auth-profiles.json: newer "
                 "versions of OpenClaw keep logins in a database; log in with Codex, import that",
                 directory);
    }
    return error;
}

static int read_directory(const char *directory, struct import_list *list, char *ret_why,
                          size_t why_size)
{
    static const char *const files[] = {"auth-profiles.json", "auth.json"};
    char path[4096];
    snprintf(path, sizeof(path), "%s/agents", directory);
    if (exists(path)) {
        return read_agents(directory, list, ret_why, why_size);
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
        snprintf(path, sizeof(path), "%s/%s", directory, files[i]);
        if (exists(path)) {
            return read_file(path, list, ret_why, why_size);
        }
    }
    snprintf(ret_why, why_size, "%s has neither agents/ nor auth-profiles.json (OpenClaw) nor "
             "auth.json (Codex)", directory);
    return -ENOENT;
}

/* ---- clones ---- */

static bool same_text(const char *a, const char *b)
{
    return a[0] != '\0' && strcmp(a, b) == 0;
}

static bool is_same_login(const struct import_entry *a, const struct import_entry *b)
{
    if (strcmp(a->provider, b->provider) != 0 || strcmp(a->mode, b->mode) != 0) {
        return false;
    }
    if (a->refresh == NULL) { /* so has the other, being of the same mode */
        return secret_equal(a->access, b->access);
    }
    if (secret_equal(a->refresh, b->refresh)) {
        return true;
    }
    if (strcmp(a->source, b->source) == 0) {
        return false;
    }
    if (a->email[0] != '\0' && b->email[0] != '\0' && strcmp(a->email, b->email) != 0) {
        return false; /* two people may share an account id, as in a team */
    }
    return same_text(a->account, b->account) || same_text(a->email, b->email);
}

static void mark_clone(struct import_list *list, size_t clone, size_t kept)
{
    struct import_entry *entry = &list->entries[clone];
    entry->verdict = IMPORT_CLONE;
    entry->clone_of = kept;
    snprintf(entry->why, sizeof(entry->why), "the same login as %.60s in %.120s, which is %s",
             list->entries[kept].profile, list->entries[kept].source,
             list->entries[kept].expires_at_ms > entry->expires_at_ms ? "fresher" : "as fresh");
}

/* For each login the entry that ends latest stays; on a tie the first, and main comes first. */
static void find_clones(struct import_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->entries[i].verdict != IMPORT_TAKE) {
            continue;
        }
        size_t best = i;
        for (size_t j = i + 1; j < list->count; j++) {
            const struct import_entry *other = &list->entries[j];
            if (other->verdict == IMPORT_TAKE && is_same_login(&list->entries[i], other) &&
                other->expires_at_ms > list->entries[best].expires_at_ms) {
                best = j;
            }
        }
        for (size_t j = i; j < list->count; j++) {
            if (j != best && list->entries[j].verdict == IMPORT_TAKE &&
                (j == i || is_same_login(&list->entries[i], &list->entries[j]))) {
                mark_clone(list, j, best);
            }
        }
    }
}

int import_read(const char *path, struct import_list *ret_list, char *ret_why, size_t why_size)
{
    struct import_list list = {0};
    struct stat status;
    int error;
    ret_why[0] = '\0';
    if (stat(path, &status) < 0) {
        error = -errno;
        snprintf(ret_why, why_size, "cannot read %s: %s", path, strerrordesc_np(-error));
    } else if (S_ISDIR(status.st_mode)) {
        error = read_directory(path, &list, ret_why, why_size);
    } else {
        error = read_file(path, &list, ret_why, why_size);
    }
    if (error < 0) {
        if (ret_why[0] == '\0') {
            snprintf(ret_why, why_size, "%s", strerrordesc_np(-error));
        }
        import_list_deinit(&list);
        return error;
    }
    find_clones(&list);
    *ret_list = list;
    return 0;
}
