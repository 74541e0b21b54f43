/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log: one line for each grant, spend, save, probe, login and refusal.
 *
 *     NUMBER TIME TEXT HASH
 *
 * HASH is a keyed hash of the hash before it and of this line, so a line that is changed, left out
 * or put elsewhere breaks the chain from there on. It does not stop who has the key; it shows that
 * a log was cut by someone who has not. What is older than AUDIT_FILES files is gone; the chain is
 * checked from the oldest line that is left.
 *
 * The hash stands last, so that a line torn by a crash is known by not having one: it is ended
 * where it stands, and the next one follows on the last whole one. Lines are synced at once but for
 * grants, which are many and spend nothing. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store_internal.h"

#define AUDIT_FILES 5 /* audit.log, audit.log.1 ... */
#define AUDIT_LINE_MAX 1024
#define AUDIT_ROTATE_BYTES (8 << 20)
#define AUDIT_READ_MAX (64 << 20)
#define HASH_SIZE 16
#define HASH_HEX (2 * HASH_SIZE)

static void audit_name(int age, char ret_name[32])
{
    if (age == 0) {
        snprintf(ret_name, 32, "audit.log");
    } else {
        snprintf(ret_name, 32, "audit.log.%d", age);
    }
}

static void chain(const struct store_file *store, const uint8_t before[HASH_SIZE], uint64_t number,
                  const char *time, const char *text, uint8_t ret_hash[HASH_SIZE])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, (const uint8_t *)secret_data(store->audit_key), STORE_KEY_SIZE,
                            HASH_SIZE);
    crypto_generichash_update(&state, before, HASH_SIZE);
    crypto_generichash_update(&state, (const uint8_t *)&number, sizeof(number));
    crypto_generichash_update(&state, (const uint8_t *)time, strlen(time) + 1);
    crypto_generichash_update(&state, (const uint8_t *)text, strlen(text));
    crypto_generichash_final(&state, ret_hash, HASH_SIZE);
}

/* Parts of one line, which is cut up for it. */
struct audit_line {
    uint64_t number;
    char time[32];
    uint8_t hash[HASH_SIZE];
    const char *text;
};

/* False: it is torn. */
static bool parse_line(char *line, struct audit_line *ret_line)
{
    int used = 0;
    char *hex = strrchr(line, ' ');
    if (hex == NULL || strlen(hex + 1) != HASH_HEX ||
        sodium_hex2bin(ret_line->hash, HASH_SIZE, hex + 1, HASH_HEX, NULL, NULL, NULL) != 0) {
        return false;
    }
    *hex = '\0';
    if (sscanf(line, "%" SCNu64 " %31s%n", &ret_line->number, ret_line->time, &used) != 2 ||
        line[used] != ' ') {
        return false;
    }
    ret_line->text = line + used + 1;
    return true;
}

/* Calls `each` for every line that ends in a newline, until it returns false. 0, 1 when more stands
 * after the last line, or negative errno; where there is no file there are no lines. */
static int read_lines(struct store_file *store, const char *name, void *arg,
                      bool (*each)(void *arg, char *line), size_t *ret_size)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    int error = store_read_file(store, name, AUDIT_READ_MAX, &bytes, &size);
    if (error == -ENOENT) {
        *ret_size = 0;
        return 0;
    }
    if (error < 0) {
        return error;
    }
    char *at = (char *)bytes, *end = at + size;
    for (char *newline; (newline = memchr(at, '\n', (size_t)(end - at))) != NULL;
         at = newline + 1) {
        *newline = '\0';
        if (!each(arg, at)) {
            break;
        }
    }
    *ret_size = size;
    free(bytes);
    return at != end ? 1 : 0;
}

static bool keep_last(void *arg, char *line)
{
    struct store_file *store = arg;
    struct audit_line parts;
    if (parse_line(line, &parts)) {
        store->audit_count = parts.number;
        memcpy(store->audit_hash, parts.hash, HASH_SIZE);
    }
    return true;
}

static int open_log(struct store_file *store)
{
    int fd = store_open_file(store, "audit.log", O_WRONLY | O_CREAT | O_APPEND);
    if (fd < 0) {
        return fd;
    }
    store->audit_fd = fd;
    return 0;
}

int store_audit_open(struct store_file *store)
{
    if (store->audit_rotate_bytes == 0) {
        store->audit_rotate_bytes = AUDIT_ROTATE_BYTES;
    }
    assert(store->audit_rotate_bytes <= AUDIT_READ_MAX / 2); /* it is read whole at the start */
    store->audit_count = 0;
    memset(store->audit_hash, 0, sizeof(store->audit_hash));
    size_t size = 0;
    int torn = 0;
    for (int age = 1; age >= 0; age--) { /* the last line may be the last of the file before */
        char name[32];
        audit_name(age, name);
        torn = read_lines(store, name, store, keep_last, &size);
        if (torn < 0) {
            return torn;
        }
    }
    store->audit_size = size;
    int error = open_log(store);
    if (error < 0 || torn == 0) {
        return error;
    }
    error = disk_write_all(store->disk, store->audit_fd, "\n", 1, (off_t)store->audit_size);
    store->audit_size++;
    if (error < 0) { /* nothing is appended to a line that has no end */
        store->disk->close(store->disk, store->audit_fd);
        store->audit_fd = -1;
    }
    return error;
}

static int rotate(struct store_file *store)
{
    char from[32], to[32];
    store->disk->close(store->disk, store->audit_fd);
    store->audit_fd = -1;
    for (int age = AUDIT_FILES - 1; age > 0; age--) {
        audit_name(age - 1, from);
        audit_name(age, to);
        int error = store->disk->rename(store->disk, store->dir_fd, from, to);
        if (error < 0 && error != -ENOENT) {
            return store_fail(store, error, "cannot rename %s to %s", from, to);
        }
    }
    store->audit_size = 0;
    int error = open_log(store);
    return error < 0 ? error : store_sync_dir(store);
}

/* One line: control characters would let a text look like two. */
static void clean_text(const char *text, char ret_text[AUDIT_LINE_MAX])
{
    size_t length = 0;
    for (; text[length] != '\0' && length < AUDIT_LINE_MAX - 1; length++) {
        unsigned char c = (unsigned char)text[length];
        ret_text[length] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    ret_text[length] = '\0';
}

static void print_time(int64_t wall_ms, char *ret_text, size_t size)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    char date[24];
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(ret_text, size, "%s.%03dZ", date, (int)(wall_ms % 1000));
}

int store_audit(struct store_port *port, const char *line)
{
    struct store_file *store = (struct store_file *)port;
    int error = 0;
    store->why[0] = '\0';
    if (store->audit_fd < 0) {
        error = store_audit_open(store);
    } else if (store->audit_size >= store->audit_rotate_bytes) {
        error = rotate(store);
    }
    if (error < 0) {
        return error;
    }
    char text[AUDIT_LINE_MAX], time[32], hex[HASH_HEX + 1], full[AUDIT_LINE_MAX + 128];
    uint8_t hash[HASH_SIZE];
    clean_text(line, text);
    print_time(store->disk->wall_ms(store->disk), time, sizeof(time));
    chain(store, store->audit_hash, store->audit_count + 1, time, text, hash);
    sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
    int length = snprintf(full, sizeof(full), "%" PRIu64 " %s %s %s\n", store->audit_count + 1,
                          time, text, hex);
    error = disk_write_all(store->disk, store->audit_fd, full, (size_t)length,
                           (off_t)store->audit_size);
    if (error == 0 && strncmp(text, "grant ", 6) != 0) {
        error = store->disk->sync(store->disk, store->audit_fd);
    }
    if (error < 0) { /* what stands there is unknown: a new descriptor, and end the line */
        store->disk->close(store->disk, store->audit_fd);
        store->audit_fd = -1;
        int again = store_audit_open(store);
        return store_fail(store, error, "cannot write the audit log%s",
                          again < 0 ? ", nor open it again" : "");
    }
    store->audit_size += (size_t)length;
    store->audit_count++;
    memcpy(store->audit_hash, hash, sizeof(hash));
    return 0;
}

/* ---- checking ---- */

struct verification {
    struct store_file *store;
    const char *file;
    bool started;
    uint8_t hash[HASH_SIZE];
    uint64_t number;
    int lines;
    int error;
};

static bool verify_line(void *arg, char *line)
{
    struct verification *verification = arg;
    struct audit_line parts;
    if (!parse_line(line, &parts)) {
        return true; /* torn by a crash; a torn line that was whole once breaks the next one */
    }
    if (!verification->started) { /* what came before is gone, so the first one is believed */
        verification->started = parts.number != 1;
        if (verification->started) {
            memcpy(verification->hash, parts.hash, HASH_SIZE);
            verification->number = parts.number;
            verification->lines = 1;
            return true;
        }
        verification->started = true;
    }
    uint8_t hash[HASH_SIZE];
    chain(verification->store, verification->hash, parts.number, parts.time, parts.text, hash);
    if (parts.number != verification->number + 1 ||
        sodium_memcmp(hash, parts.hash, HASH_SIZE) != 0) {
        verification->error = store_fail(verification->store, -EBADMSG,
                                         "%s: line number %" PRIu64 " does not follow the one "
                                         "before it: the log was changed", verification->file,
                                         parts.number);
        return false;
    }
    memcpy(verification->hash, parts.hash, HASH_SIZE);
    verification->number = parts.number;
    verification->lines++;
    return true;
}

int store_file_audit_verify(struct store_port *port)
{
    struct store_file *store = (struct store_file *)port;
    struct verification verification = {.store = store};
    store->why[0] = '\0';
    for (int age = AUDIT_FILES - 1; age >= 0; age--) {
        char name[32];
        size_t size = 0;
        audit_name(age, name);
        verification.file = name;
        int error = read_lines(store, name, &verification, verify_line, &size);
        if (verification.error < 0) {
            return verification.error;
        }
        if (error < 0) {
            return error;
        }
    }
    return verification.lines;
}
