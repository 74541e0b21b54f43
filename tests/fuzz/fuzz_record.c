/* SPDX-License-Identifier: Apache-2.0 */
/* What the store finds on disk. Input: a byte that chooses what, then bytes.
 *
 *     0, 1, 2   the inside of a record, an intent, an answer, as they are when unsealed
 *     3         a record file as it lies on disk: nothing of it is to be believed
 *     4         the inside of a record, sealed as it should be
 *     5         a record file beside an intent with this inside
 *     6         a record file beside an answer with this inside
 *
 * What unpacks packs again to the same bytes. Whatever lies there, the store opens and loads, a
 * record that cannot be read is reported and left as it is, and one that can be is all there. */
#include <errno.h>

#include "fuzz.h"
#include "memory_files.h"
#include "secrets.h"
#include "store/store_codec.h"
#include "store/store_internal.h"
#include "token/credential.h"

#define PROFILE "lab:me"

struct found {
    unsigned loaded, bad;
};

static void each(void *arg, struct stored *stored)
{
    struct found *found = arg;

    found->loaded++;
    assert(strlen(stored->credential.profile) < PROFILE_ID_MAX);
    assert(!stored->has_intent || stored->intent.generation == stored->credential.generation);
    assert(!stored->has_answer || stored->has_intent);
    stored_deinit(stored);
}

static void bad(void *arg, const char *file, const char *why)
{
    assert(file[0] != '\0' && why[0] != '\0');
    ((struct found *)arg)->bad++;
}

static struct store_file *open_store(struct memory_files *files)
{
    static const uint8_t identity[16] = "sixteen bytes id";
    struct secret *key = fuzz_secret("0123456789abcdef0123456789abcdef", STORE_KEY_SIZE);
    struct store_port *port = store_file_new(&(struct store_file_options){
        .state_dir = "state",
        .key = key,
        .disk = &files->disk,
        .memory = fuzz_secret_memory(),
    });

    assert(port && port->open(port) >= 0);
    secret_free(key);
    struct store_file *store = (struct store_file *)port;
    memcpy(store->store_id, identity, sizeof(identity)); /* the same in every run */
    return store;
}

static struct found load(struct store_file *store)
{
    struct found found = {0};

    assert(store_load(&store->port, &found, each, bad) == 0);
    return found;
}

/* A sealed file with this inside, under this name. */
static void put_sealed(struct memory_files *files, const struct store_file *store,
                       const char *name, enum seal_kind kind, const struct secret *plain)
{
    struct seal_header header = {
        .kind = kind, .attempt = 1, .generation = 3, .state = 1, .profile = PROFILE};
    uint8_t *bytes;
    size_t size;

    if (store_seal(store, &header, plain, &bytes, &size) < 0)
        return; /* larger than such a file may be */
    memory_files_put(files, name, bytes, size);
    free(bytes);
}

static void put_credential(struct memory_files *files, const struct store_file *store,
                           const char *name)
{
    struct credential credential;

    credential_init(&credential);
    memcpy(credential.profile, PROFILE, sizeof(PROFILE));
    credential.generation = 3;
    credential.refresh = fuzz_secret("rt-3", 4);
    struct secret *plain = codec_pack(&credential_codec, &credential, fuzz_secret_memory());
    assert(plain);
    put_sealed(files, store, name, SEAL_RECORD, plain);
    secret_free(plain);
    credential_deinit(&credential);
}

static void load_raw(struct memory_files *files, struct store_file *store, const char *name,
                     const uint8_t *bytes, size_t size)
{
    memory_files_put(files, name, bytes, size);
    struct found found = load(store);
    const struct memory_file *file = memory_files_find(files, name);

    assert(found.loaded == 0 && found.bad == 1); /* nobody but the key's owner makes one */
    assert(file && file->size == size && (size == 0 || memcmp(file->bytes, bytes, size) == 0));
}

static void load_files(unsigned choice, const uint8_t *bytes, size_t size)
{
    struct memory_files files;
    char base[STORE_NAME_MAX / 2], record[STORE_NAME_MAX], other[STORE_NAME_MAX];

    memory_files_init(&files);
    struct store_file *store = open_store(&files);
    struct secret *plain = fuzz_secret(bytes, size);
    profile_base(PROFILE, base);
    record_name(base, record);
    attempt_name(base, 3, 1, choice == 5 ? FILE_INTENT : FILE_ANSWER, other);
    if (choice == 3) {
        load_raw(&files, store, record, bytes, size);
    } else if (choice == 4) {
        put_sealed(&files, store, record, SEAL_RECORD, plain);
        struct found found = load(store);
        assert(found.loaded + found.bad <= 1);
    } else {
        put_credential(&files, store, record);
        put_sealed(&files, store, other, choice == 5 ? SEAL_INTENT : SEAL_ANSWER, plain);
        struct found found = load(store);
        assert(found.loaded == 1);
        assert(choice == 5 || !memory_files_find(&files, other)); /* an answer needs its intent */
    }
    secret_free(plain);
    store->port.close(&store->port);
    memory_files_deinit(&files);
}

/* ---- without the store --------------------------------------------------------------------- */

union unpacked {
    struct credential credential;
    struct intent intent;
    struct answer answer;
};

static void deinit(unsigned choice, union unpacked *object)
{
    if (choice == 0)
        credential_deinit(&object->credential);
    else if (choice == 2)
        secret_free(object->answer.body);
}

static void unpack(unsigned choice, const uint8_t *bytes, size_t size)
{
    static const struct codec_table *const tables[] = {&credential_codec, &intent_codec,
                                                       &answer_codec};
    union unpacked object, again;
    struct secret *plain = fuzz_secret(bytes, size);

    if (codec_unpack(tables[choice], plain, &object) == 0) {
        struct secret *packed = codec_pack(tables[choice], &object, fuzz_secret_memory());
        assert(packed && codec_unpack(tables[choice], packed, &again) == 0);
        struct secret *twice = codec_pack(tables[choice], &again, fuzz_secret_memory());
        assert(twice && secret_equal(packed, twice));
        secret_free(packed);
        secret_free(twice);
        deinit(choice, &again);
    }
    deinit(choice, &object);
    secret_free(plain);
}

static void one(const uint8_t *bytes, size_t size)
{
    unsigned choice = fuzz_take(&bytes, &size) % 7;

    if (choice < 3)
        unpack(choice, bytes, size);
    else
        load_files(choice, bytes, size);
}

FUZZ_TARGET(one, 65536, 64)
