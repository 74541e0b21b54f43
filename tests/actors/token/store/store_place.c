/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store_place.h"
#include "token/credential.h"

static size_t open_files(void)
{
    DIR *list = opendir("/proc/self/fd");
    size_t count = 0;
    while (list != NULL && readdir(list) != NULL) {
        count++;
    }
    if (list != NULL) {
        closedir(list);
    }
    return count;
}

static int setup(void **state, int (*make)(char ret_path[TEMP_DIR_MAX]))
{
    struct store_place *place = calloc(1, sizeof(*place));
    *state = place;
    place->open_files = open_files();
    if (make(place->directory) < 0) {
        return -1;
    }
    snprintf(place->credentials, sizeof(place->credentials), "%s/credentials", place->directory);
    return 0;
}

int store_place_setup(void **state)
{
    return setup(state, temp_dir_make);
}

int store_place_setup_in_memory(void **state)
{
    return setup(state, temp_dir_make_in_memory);
}

int store_place_teardown(void **state)
{
    struct store_place *place = *state;
    store_place_close(place);
    stored_deinit(&place->loaded);
    temp_dir_remove(place->directory);
    size_t left_open = open_files() - place->open_files;
    free(place);
    if (left_open != 0) {
        print_error("%zu files are left open\n", left_open);
    }
    return left_open == 0 ? 0 : -1;
}

int store_place_open(struct store_place *place)
{
    store_place_close(place);
    place->store = store_file_new(&(struct store_file_options){.state_dir = place->directory,
                                                               .disk = place->disk});
    assert_non_null(place->store);
    place->notes = place->store->open(place->store);
    return place->notes;
}

void store_place_close(struct store_place *place)
{
    if (place->store != NULL) {
        place->store->close(place->store);
        place->store = NULL;
    }
}

static void keep_loaded(void *arg, struct stored *stored)
{
    struct store_place *place = arg;
    stored_deinit(&place->loaded);
    place->loaded = *stored;
    place->loaded_count++;
}

static void note_bad(void *arg, const char *file, const char *why)
{
    struct store_place *place = arg;
    place->bad_count++;
    snprintf(place->bad_file, sizeof(place->bad_file), "%s", file);
    snprintf(place->bad_why, sizeof(place->bad_why), "%s", why);
}

void store_place_load(struct store_place *place)
{
    place->loaded_count = place->bad_count = 0;
    stored_deinit(&place->loaded);
    if (place->store->load(place->store, place, keep_loaded, note_bad) != 0) {
        fail_msg("load: %s", place->store->why(place->store));
    }
}

void store_place_restart(struct store_place *place)
{
    place->disk = NULL;
    if (store_place_open(place) < 0) {
        fail_msg("open: %s", place->store->why(place->store));
    }
    store_place_load(place);
}

void store_place_fill(struct store_place *place)
{
    assert_int_equal(store_place_open(place), STORE_FRESH);
    assert_int_equal(store_save(place, 7), 0);
    store_place_close(place);
}

void store_place_expect_refused(struct store_place *place, int error, const char *says)
{
    int got = store_place_open(place);
    const char *why = got < 0 ? place->store->why(place->store) : "it opened";
    if (got != error || strstr(why, says) == NULL) {
        fail_msg("%d: %s", got, why);
    }
    store_place_close(place);
}

struct credential store_credential(uint64_t generation)
{
    struct credential credential;
    char text[64];
    credential_init(&credential);
    snprintf(credential.profile, sizeof(credential.profile), "lab:me");
    snprintf(credential.provider, sizeof(credential.provider), "lab");
    snprintf(credential.mode, sizeof(credential.mode), "oauth");
    credential.generation = generation;
    snprintf(text, sizeof(text), "refresh-%d", (int)generation);
    credential.refresh = secret_new(text, strlen(text));
    return credential;
}

int store_save(struct store_place *place, uint64_t generation)
{
    struct credential credential = store_credential(generation);
    int error = place->store->write_record(place->store, &credential);
    credential_deinit(&credential);
    return error;
}

int store_reserve(struct store_place *place, uint64_t generation, uint32_t attempt)
{
    struct credential credential = store_credential(generation);
    int error = place->store->reserve(place->store, &credential, attempt);
    credential_deinit(&credential);
    return error;
}

int store_intent(struct store_place *place, uint64_t generation, uint32_t attempt)
{
    struct credential credential = store_credential(generation);
    struct intent intent = {.generation = generation, .attempt = attempt, .nonce = {1}};
    int error = place->store->write_intent(place->store, &credential, &intent);
    credential_deinit(&credential);
    return error;
}

int store_answer(struct store_place *place, uint64_t generation, uint32_t attempt)
{
    struct credential credential = store_credential(generation);
    struct answer answer = {.generation = generation, .attempt = attempt, .complete = true,
                            .http_status = 200, .body = secret_new("answer", 6)};
    int error = place->store->write_answer(place->store, &credential, &answer);
    secret_free(answer.body);
    credential_deinit(&credential);
    return error;
}

int store_release(struct store_place *place, uint64_t generation, uint32_t attempt)
{
    struct credential credential = store_credential(generation);
    int error = place->store->release(place->store, &credential, attempt);
    credential_deinit(&credential);
    return error;
}

void store_attempt(struct store_place *place, uint64_t generation, uint32_t attempt)
{
    assert_int_equal(store_reserve(place, generation, attempt), 0);
    assert_int_equal(store_intent(place, generation, attempt), 0);
    assert_int_equal(store_answer(place, generation, attempt), 0);
}

void store_leave_attempt(struct store_port *store, const struct credential *credential,
                         const char *body)
{
    struct intent intent = {.generation = credential->generation, .attempt = 1};
    struct answer answer = {.generation = credential->generation, .attempt = 1, .complete = true,
                            .http_status = 200, .body = secret_new(body, strlen(body))};
    assert_int_equal(store->open(store), STORE_FRESH);
    assert_int_equal(store->write_record(store, credential), 0);
    assert_int_equal(store->reserve(store, credential, 1), 0);
    assert_int_equal(store->write_intent(store, credential, &intent), 0);
    assert_int_equal(store->write_answer(store, credential, &answer), 0);
    store->close(store);
    secret_free(answer.body);
}

void store_ignore_bad(void *arg, const char *file, const char *why)
{
    (void)arg;
    (void)file;
    (void)why;
}

static size_t scan(const struct store_place *place, const char *end, char *ret_name, size_t size)
{
    DIR *stream = opendir(place->credentials);
    size_t count = 0;
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        size_t length = strlen(entry->d_name);
        if (length >= strlen(end) && strcmp(entry->d_name + length - strlen(end), end) == 0) {
            snprintf(ret_name, size, "%s", entry->d_name);
            count++;
        }
    }
    closedir(stream);
    return count;
}

size_t store_count(const struct store_place *place, const char *end)
{
    char name[256];
    return scan(place, end, name, sizeof(name));
}

void store_find(const struct store_place *place, const char *end, char *ret_path, size_t size)
{
    char name[256];
    assert_true(scan(place, end, name, sizeof(name)) > 0);
    snprintf(ret_path, size, "%s/%s", place->credentials, name);
}

void store_path(const struct store_place *place, const char *name, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/%s", place->credentials, name);
}

void store_write_bytes(const char *path, const void *bytes, size_t size, off_t at)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, size, at), size);
    close(fd);
}

size_t store_read_bytes(const char *path, char *ret_bytes, size_t size)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    ssize_t got = read(fd, ret_bytes, size);
    close(fd);
    assert_true(got >= 0);
    return (size_t)got;
}
