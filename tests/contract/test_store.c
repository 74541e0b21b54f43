/* SPDX-License-Identifier: Apache-2.0 */
/* The store port's contract, held against both engines. Each test opens a store, works, closes it
 * and opens it again, which is a restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/temp_dir.h"
#include "token/credential.h"
#include "token/store_file.h"
#include "support/store_memory.h"

#define LOADED_MAX 16

/* One place where a store may lie, the store open there, and what it loaded last. */
struct place {
    struct memory_disk *disk; /* NULL: a directory */
    char directory[TEMP_DIR_MAX];
    struct store_port *store;
    int notes;
    struct stored loaded[LOADED_MAX];
    size_t loaded_count;
    size_t bad_count;
};

static struct store_port *new_store(struct place *place)
{
    if (place->disk != NULL) {
        return store_memory_new(place->disk);
    }
    return store_file_new(&(struct store_file_options){.state_dir = place->directory});
}

static void expect_0(struct place *place, int error)
{
    if (error != 0) {
        fail_msg("%d: %s", error, place->store->why(place->store));
    }
}

static void open_store(struct place *place)
{
    place->store = new_store(place);
    assert_non_null(place->store);
    place->notes = place->store->open(place->store);
    if (place->notes < 0) {
        fail_msg("%s", place->store->why(place->store));
    }
}

static void forget_loaded(struct place *place)
{
    for (size_t i = 0; i < place->loaded_count; i++) {
        stored_deinit(&place->loaded[i]);
    }
    place->loaded_count = 0;
    place->bad_count = 0;
}

static void keep_loaded(void *arg, struct stored *stored)
{
    struct place *place = arg;
    assert_true(place->loaded_count < LOADED_MAX);
    place->loaded[place->loaded_count++] = *stored;
}

static void count_bad(void *arg, const char *file, const char *why)
{
    struct place *place = arg;
    assert_non_null(file);
    assert_true(why[0] != '\0');
    place->bad_count++;
}

static void load(struct place *place)
{
    forget_loaded(place);
    expect_0(place, place->store->load(place->store, place, keep_loaded, count_bad));
}

static void restart(struct place *place)
{
    place->store->close(place->store);
    open_store(place);
    load(place);
}

static struct stored *find_loaded(struct place *place, const char *profile)
{
    for (size_t i = 0; i < place->loaded_count; i++) {
        if (strcmp(place->loaded[i].credential.profile, profile) == 0) {
            return &place->loaded[i];
        }
    }
    return NULL;
}

static int setup_memory(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    place->disk = memory_disk_new();
    *state = place;
    open_store(place);
    return 0;
}

static int setup_file(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    *state = place;
    if (temp_dir_make(place->directory) < 0) {
        return -1;
    }
    open_store(place);
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    forget_loaded(place);
    place->store->close(place->store);
    memory_disk_free(place->disk);
    if (place->directory[0] != '\0') {
        temp_dir_remove(place->directory);
    }
    free(place);
    return 0;
}

static struct secret *text_secret(const char *text)
{
    return secret_new(text, strlen(text));
}

static struct credential make_credential(const char *profile, uint64_t generation)
{
    struct credential credential;
    char text[64];
    credential_init(&credential);
    snprintf(credential.profile, sizeof(credential.profile), "%s", profile);
    snprintf(credential.provider, sizeof(credential.provider), "lab");
    snprintf(credential.mode, sizeof(credential.mode), "oauth");
    credential.generation = generation;
    snprintf(text, sizeof(text), "refresh-%d", (int)generation);
    credential.refresh = text_secret(text);
    return credential;
}

static void save(struct place *place, const char *profile, uint64_t generation)
{
    struct credential credential = make_credential(profile, generation);
    expect_0(place, place->store->write_record(place->store, &credential));
    credential_deinit(&credential);
}

/* Reserves and, as far as asked, writes the intent and the answer of an attempt. */
static void spend(struct place *place, const char *profile, uint64_t generation, uint32_t attempt,
                  bool with_intent, const char *answer, bool complete)
{
    struct store_port *store = place->store;
    struct credential credential = make_credential(profile, generation);
    expect_0(place, store->reserve(store, &credential, attempt));
    struct intent intent = {.generation = generation, .attempt = attempt, .wall_ms = -5,
                            .nonce = {9, 8}, .boot_ns = 1ULL << 60, .boot_id = {7},
                            .first_wall_ms = 3, .first_boot_ns = 4, .first_boot_id = {5}};
    if (with_intent) {
        expect_0(place, store->write_intent(store, &credential, &intent));
    }
    if (answer != NULL) {
        struct answer raw = {.generation = generation, .attempt = attempt, .complete = complete,
                             .http_status = 200, .body = text_secret(answer)};
        expect_0(place, store->write_answer(store, &credential, &raw));
        secret_free(raw.body);
    }
    credential_deinit(&credential);
}

/* ---- tests ---- */

static void a_fresh_store_says_so_once_and_is_empty(void **state)
{
    struct place *place = *state;
    assert_int_equal(place->notes, STORE_FRESH);
    load(place);
    assert_int_equal(place->loaded_count, 0);
    restart(place);
    assert_int_equal(place->notes, 0);
    assert_int_equal(place->loaded_count, 0);
}

static void a_look_finds_the_record_as_it_stands(void **state)
{
    struct place *place = *state;
    struct credential found = {0};
    save(place, "lab:me", 4);
    load(place);
    assert_int_equal(place->store->look(place->store, "lab:you", &found), -ENOENT);
    save(place, "lab:me", 5);
    expect_0(place, place->store->look(place->store, "lab:me", &found));
    assert_string_equal(found.profile, "lab:me");
    assert_int_equal(found.generation, 5);
    credential_deinit(&found);
}

/* One profile is looked at while another is between its reservation and its intent, and again
 * between intent and answer: none of its files may go, for they are all that a crash leaves. */
static void a_look_leaves_the_attempt_of_another_profile(void **state)
{
    struct place *place = *state;
    struct store_port *store = place->store;
    struct credential other = make_credential("lab:other", 7), found = {0};
    struct intent intent = {.generation = 7, .attempt = 1};
    struct answer answer = {.generation = 7, .attempt = 1, .complete = true, .http_status = 200,
                            .body = text_secret("n+1")};
    save(place, "lab:me", 1);
    save(place, "lab:other", 7);
    load(place);
    expect_0(place, store->reserve(store, &other, 1));
    expect_0(place, store->look(store, "lab:me", &found));
    credential_deinit(&found);
    expect_0(place, store->write_intent(store, &other, &intent));
    expect_0(place, store->look(store, "lab:me", &found));
    credential_deinit(&found);
    expect_0(place, store->write_answer(store, &other, &answer));
    secret_free(answer.body);
    credential_deinit(&other);
    restart(place);
    struct stored *stored = find_loaded(place, "lab:other");
    assert_non_null(stored);
    assert_true(stored->has_intent && stored->has_answer);
    save(place, "lab:other", 8);
}

static void all_of_a_credential_comes_back(void **state)
{
    struct place *place = *state;
    struct credential saved = make_credential("openai-codex:nova@example.test", 41);
    saved.access = text_secret("access");
    saved.id_token = text_secret("id");
    snprintf(saved.account, sizeof(saved.account), "acct-1");
    saved.expires_at_ms = INT64_C(1) << 50;
    saved.obtained_at_ms = -1;
    saved.earliest_refresh_at_ms = 2;
    saved.refresh_expires_at_ms = 3;
    snprintf(saved.needs_login, sizeof(saved.needs_login), "invalid_grant");
    snprintf(saved.aliases, sizeof(saved.aliases), "a,b");
    saved.rule = strdup("{\"id\":\"lab\"}");
    uint8_t digest[16] = {1, 2, 3};
    credential_add_digest(&saved, digest);
    digest[0] = 9;
    credential_add_digest(&saved, digest);
    expect_0(place, place->store->write_record(place->store, &saved));
    restart(place);
    assert_int_equal(place->loaded_count, 1);
    const struct credential *loaded = &place->loaded[0].credential;
    assert_false(place->loaded[0].has_intent);
    assert_false(place->loaded[0].has_answer);
    assert_string_equal(loaded->profile, saved.profile);
    assert_string_equal(loaded->provider, "lab");
    assert_string_equal(loaded->mode, "oauth");
    assert_string_equal(loaded->account, "acct-1");
    assert_int_equal(loaded->generation, 41);
    assert_true(secret_equal(loaded->access, saved.access));
    assert_true(secret_equal(loaded->refresh, saved.refresh));
    assert_true(secret_equal(loaded->id_token, saved.id_token));
    assert_int_equal(loaded->expires_at_ms, saved.expires_at_ms);
    assert_int_equal(loaded->obtained_at_ms, -1);
    assert_int_equal(loaded->earliest_refresh_at_ms, 2);
    assert_int_equal(loaded->refresh_expires_at_ms, 3);
    assert_string_equal(loaded->needs_login, "invalid_grant");
    assert_string_equal(loaded->aliases, "a,b");
    assert_string_equal(loaded->rule, saved.rule);
    assert_int_equal(loaded->digest_count, 2);
    assert_memory_equal(loaded->digests, saved.digests, 32);
    credential_deinit(&saved);
}

static void what_a_credential_lacks_stays_lacking(void **state)
{
    struct place *place = *state;
    struct credential saved = make_credential("openai:key", 1);
    credential_set(&saved.refresh, NULL);
    expect_0(place, place->store->write_record(place->store, &saved));
    restart(place);
    assert_null(place->loaded[0].credential.refresh);
    assert_null(place->loaded[0].credential.access);
    assert_null(place->loaded[0].credential.rule);
    credential_deinit(&saved);
}

static void a_second_opener_is_refused_and_harms_nothing(void **state)
{
    struct place *place = *state;
    struct store_port *second = new_store(place);
    assert_int_equal(second->open(second), -EBUSY);
    assert_true(second->why(second)[0] != '\0');
    second->close(second);
    save(place, "lab:me", 1);
    second = new_store(place); /* the refused one has not freed the lock */
    assert_int_equal(second->open(second), -EBUSY);
    second->close(second);
    restart(place);
    assert_int_equal(place->loaded_count, 1);
}

static void a_reservation_without_intent_is_gone_after_a_restart(void **state)
{
    struct place *place = *state;
    save(place, "lab:me", 7);
    spend(place, "lab:me", 7, 1, false, NULL, false);
    restart(place);
    assert_int_equal(place->loaded_count, 1);
    assert_false(place->loaded[0].has_intent);
    assert_int_equal(place->bad_count, 0);
    spend(place, "lab:me", 7, 1, false, NULL, false); /* and can be made again */
}

static void an_intent_survives_with_all_it_says(void **state)
{
    struct place *place = *state;
    save(place, "lab:me", 7);
    spend(place, "lab:me", 7, 1, true, NULL, false);
    for (int i = 0; i < 2; i++) { /* also the second restart */
        restart(place);
        const struct stored *stored = find_loaded(place, "lab:me");
        assert_true(stored->has_intent);
        assert_false(stored->has_answer);
        assert_int_equal(stored->intent.generation, 7);
        assert_int_equal(stored->intent.attempt, 1);
        assert_int_equal(stored->intent.wall_ms, -5);
        assert_int_equal(stored->intent.boot_ns, 1ULL << 60);
        assert_memory_equal(stored->intent.nonce, ((uint8_t[16]){9, 8}), 16);
        assert_memory_equal(stored->intent.boot_id, ((uint8_t[16]){7}), 16);
        assert_int_equal(stored->intent.first_wall_ms, 3);
        assert_int_equal(stored->intent.first_boot_ns, 4);
        assert_memory_equal(stored->intent.first_boot_id, ((uint8_t[16]){5}), 16);
    }
}

static void an_answer_survives_byte_for_byte(void **state)
{
    struct place *place = *state;
    save(place, "lab:me", 7);
    spend(place, "lab:me", 7, 1, true, "{\"refresh_token\":\"r8\"}", true);
    restart(place);
    const struct stored *stored = find_loaded(place, "lab:me");
    assert_true(stored->has_answer);
    assert_true(stored->answer.complete);
    assert_int_equal(stored->answer.http_status, 200);
    assert_int_equal(stored->answer.generation, 7);
    assert_string_equal(secret_data(stored->answer.body), "{\"refresh_token\":\"r8\"}");
}

static void the_best_answer_is_the_newest_complete_one(void **state)
{
    struct place *place = *state;
    save(place, "lab:me", 7);
    spend(place, "lab:me", 7, 1, true, "first", true);
    spend(place, "lab:me", 7, 2, true, "second", true);
    spend(place, "lab:me", 7, 3, true, "cut", false);
    spend(place, "lab:me", 7, 4, true, NULL, false);
    restart(place);
    const struct stored *stored = find_loaded(place, "lab:me");
    assert_int_equal(stored->intent.attempt, 4);
    assert_string_equal(secret_data(stored->answer.body), "second");
    assert_int_equal(stored->answer.attempt, 2);
}

static void a_newer_record_ends_every_attempt_before_it(void **state)
{
    struct place *place = *state;
    save(place, "lab:me", 7);
    spend(place, "lab:me", 7, 1, true, "lost", false);
    restart(place); /* attempt 1 is of an earlier run */
    spend(place, "lab:me", 7, 2, true, "got it", true);
    save(place, "lab:me", 8);
    restart(place);
    const struct stored *stored = find_loaded(place, "lab:me");
    assert_int_equal(stored->credential.generation, 8);
    assert_string_equal(secret_data(stored->credential.refresh), "refresh-8");
    assert_false(stored->has_intent);
    assert_false(stored->has_answer);
    spend(place, "lab:me", 8, 1, false, NULL, false);
}

static void a_record_of_the_same_generation_leaves_a_spend_alone(void **state)
{
    struct place *place = *state;
    save(place, "lab:me", 7);
    spend(place, "lab:me", 7, 1, true, NULL, false);
    struct credential marked = make_credential("lab:me", 7);
    snprintf(marked.aliases, sizeof(marked.aliases), "other");
    expect_0(place, place->store->write_record(place->store, &marked));
    credential_deinit(&marked);
    restart(place);
    assert_true(find_loaded(place, "lab:me")->has_intent);
    assert_string_equal(find_loaded(place, "lab:me")->credential.aliases, "other");
}

static void an_older_generation_is_refused(void **state)
{
    struct place *place = *state;
    save(place, "lab:me", 7);
    restart(place);
    struct credential old = make_credential("lab:me", 6);
    assert_int_equal(place->store->write_record(place->store, &old), -ESTALE);
    credential_deinit(&old);
    restart(place);
    assert_int_equal(place->loaded[0].credential.generation, 7);
}

static void release_takes_back_one_attempt_only(void **state)
{
    struct place *place = *state;
    save(place, "lab:me", 7);
    spend(place, "lab:me", 7, 1, true, NULL, false);
    spend(place, "lab:me", 7, 2, true, "refused", true);
    struct credential credential = make_credential("lab:me", 7);
    expect_0(place, place->store->release(place->store, &credential, 2));
    restart(place);
    assert_int_equal(find_loaded(place, "lab:me")->intent.attempt, 1);
    assert_false(find_loaded(place, "lab:me")->has_answer);
    expect_0(place, place->store->release(place->store, &credential, 1)); /* of an earlier run */
    restart(place);
    assert_false(find_loaded(place, "lab:me")->has_intent);
    credential_deinit(&credential);
}

static void an_attempt_is_reserved_once(void **state)
{
    struct place *place = *state;
    save(place, "lab:me", 7);
    spend(place, "lab:me", 7, 1, true, NULL, false);
    struct credential credential = make_credential("lab:me", 7);
    assert_int_equal(place->store->reserve(place->store, &credential, 1), -EEXIST);
    restart(place);
    assert_true(find_loaded(place, "lab:me")->has_intent); /* and was not spoilt by the try */
    assert_int_equal(place->store->reserve(place->store, &credential, 1), -EEXIST);
    credential_deinit(&credential);
}

static void a_removed_profile_stays_away(void **state)
{
    struct place *place = *state;
    save(place, "lab:me", 7);
    save(place, "lab:you", 1);
    spend(place, "lab:me", 7, 1, true, "x", true);
    assert_int_equal(place->store->remove(place->store, "lab:nobody"), -ENOENT);
    expect_0(place, place->store->remove(place->store, "lab:me"));
    assert_int_equal(place->store->remove(place->store, "lab:me"), -ENOENT);
    restart(place);
    assert_int_equal(place->loaded_count, 1);
    save(place, "lab:me", 1); /* may begin anew, below the old generation */
    restart(place);
    assert_false(find_loaded(place, "lab:me")->has_intent);
}

static void profiles_with_similar_names_are_apart(void **state)
{
    struct place *place = *state;
    static const char *const names[] = {"a:b", "a_b", "a/b", "a.b", "A:b", "..", "a b", "\xc3\xa4"};
    for (uint64_t i = 0; i < 8; i++) {
        save(place, names[i], i + 1);
    }
    restart(place);
    assert_int_equal(place->loaded_count, 8);
    for (uint64_t i = 0; i < 8; i++) {
        assert_non_null(find_loaded(place, names[i]));
        assert_int_equal(find_loaded(place, names[i])->credential.generation, i + 1);
    }
}

static void digests_are_the_same_after_a_restart(void **state)
{
    struct place *place = *state;
    struct secret *one = text_secret("one"), *two = text_secret("two");
    uint8_t before[16], after[16], other[16];
    place->store->digest(place->store, one, before);
    restart(place);
    place->store->digest(place->store, one, after);
    place->store->digest(place->store, two, other);
    assert_memory_equal(before, after, 16);
    assert_memory_not_equal(before, other, 16);
    secret_free(one);
    secret_free(two);
}

#define BOTH(test)                                                                                 \
    {#test " (memory)", test, setup_memory, teardown, NULL},                                       \
        {#test " (file)", test, setup_file, teardown, NULL}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_fresh_store_says_so_once_and_is_empty),
        BOTH(a_look_finds_the_record_as_it_stands),
        BOTH(a_look_leaves_the_attempt_of_another_profile),
        BOTH(all_of_a_credential_comes_back),
        BOTH(what_a_credential_lacks_stays_lacking),
        BOTH(a_second_opener_is_refused_and_harms_nothing),
        BOTH(a_reservation_without_intent_is_gone_after_a_restart),
        BOTH(an_intent_survives_with_all_it_says),
        BOTH(an_answer_survives_byte_for_byte),
        BOTH(the_best_answer_is_the_newest_complete_one),
        BOTH(a_newer_record_ends_every_attempt_before_it),
        BOTH(a_record_of_the_same_generation_leaves_a_spend_alone),
        BOTH(an_older_generation_is_refused),
        BOTH(release_takes_back_one_attempt_only),
        BOTH(an_attempt_is_reserved_once),
        BOTH(a_removed_profile_stays_away),
        BOTH(profiles_with_similar_names_are_apart),
        BOTH(digests_are_the_same_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
