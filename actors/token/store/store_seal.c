/* SPDX-License-Identifier: Apache-2.0 */
/* One sealed file.
 *
 *     at   size
 *      0      8  magic
 *      8      2  version, 1
 *     10      2  kind
 *     12      4  attempt
 *     16      8  generation
 *     24      4  length of the ciphertext
 *     28      4  state
 *     32    128  profile id
 *    160     24  nonce
 *    184     16  checksum of all before it and of the ciphertext
 *    200     56  zero
 *    256         ciphertext, XChaCha20-Poly1305; after it anything (the file was preallocated)
 *
 * The checksum needs no key: it tells a file torn by a crash from one that is whole and sealed for
 * somewhere else. The cipher authenticates store id, kind, attempt, generation and profile, so a
 * file put under another name or into another store does not open. A file of zeros is a
 * reservation that was never written. */
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "store_internal.h"

#define VERSION 1
#define AT_CHECKSUM 184
#define CHECKSUM_SIZE 16
#define AT_NONCE 160
#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_SIZE crypto_aead_xchacha20poly1305_ietf_ABYTES
#define ASSOCIATED_SIZE (16 + AT_NONCE)

_Static_assert(SEAL_OVERHEAD == SEAL_HEADER_SIZE + TAG_SIZE, "the tag is 16 bytes");
_Static_assert(AT_NONCE + NONCE_SIZE == AT_CHECKSUM, "the checksum follows the nonce");

static const uint8_t magic[8] = {'Q', 'R', 'I', 'G', 'H', 'T', '\r', '\n'};

static void put(uint8_t *at, uint64_t number, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        at[i] = (uint8_t)(number >> (8 * i));
    }
}

static uint64_t get(const uint8_t *at, size_t size)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++) {
        number |= (uint64_t)at[i] << (8 * i);
    }
    return number;
}

static void checksum(const uint8_t *bytes, size_t length, uint8_t ret_sum[CHECKSUM_SIZE])
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, CHECKSUM_SIZE);
    crypto_generichash_update(&state, bytes, AT_CHECKSUM);
    crypto_generichash_update(&state, bytes + SEAL_HEADER_SIZE, length);
    crypto_generichash_final(&state, ret_sum, CHECKSUM_SIZE);
}

static void associate(const struct store_file *store, const uint8_t *bytes,
                      uint8_t ret_data[ASSOCIATED_SIZE])
{
    memcpy(ret_data, store->store_id, sizeof(store->store_id));
    memcpy(ret_data + 16, bytes, AT_NONCE);
}

int store_seal(const struct store_file *store, const struct seal_header *header,
               const struct secret *plain, uint8_t **ret_bytes, size_t *ret_size)
{
    static const size_t limits[] = {
        [SEAL_RECORD] = RECORD_FILE_SIZE,
        [SEAL_INTENT] = INTENT_FILE_SIZE,
        [SEAL_ANSWER] = ANSWER_FILE_SIZE,
    };
    size_t length = secret_length(plain) + TAG_SIZE;
    size_t size = SEAL_HEADER_SIZE + length;
    if (size > limits[header->kind]) {
        return -EMSGSIZE;
    }
    uint8_t *bytes = calloc(1, size);
    if (bytes == NULL) {
        return -ENOMEM;
    }
    memcpy(bytes, magic, sizeof(magic));
    put(bytes + 8, VERSION, 2);
    put(bytes + 10, header->kind, 2);
    put(bytes + 12, header->attempt, 4);
    put(bytes + 16, header->generation, 8);
    put(bytes + 24, length, 4);
    put(bytes + 28, header->state, 4);
    memcpy(bytes + 32, header->profile, strnlen(header->profile, PROFILE_ID_MAX - 1));
    randombytes_buf(bytes + AT_NONCE, NONCE_SIZE);

    uint8_t associated[ASSOCIATED_SIZE];
    associate(store, bytes, associated);
    crypto_aead_xchacha20poly1305_ietf_encrypt(
        bytes + SEAL_HEADER_SIZE, NULL, (const uint8_t *)secret_data(plain), secret_length(plain),
        associated, sizeof(associated), NULL, bytes + AT_NONCE,
        (const uint8_t *)secret_data(store->seal_key));
    checksum(bytes, length, bytes + AT_CHECKSUM);
    *ret_bytes = bytes;
    *ret_size = size;
    return 0;
}

/* Reservations are large and no secret: no need for libsodium's constant time. */
static bool is_zero(const uint8_t *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* What can be known without the key. */
static int check_whole(const uint8_t *bytes, size_t size, enum seal_kind kind)
{
    if (size < SEAL_HEADER_SIZE || memcmp(bytes, magic, sizeof(magic)) != 0) {
        return is_zero(bytes, size) ? -ENODATA : -EBADMSG;
    }
    size_t length = get(bytes + 24, 4);
    uint8_t sum[CHECKSUM_SIZE];
    if (length < TAG_SIZE || length > size - SEAL_HEADER_SIZE) {
        return -EBADMSG;
    }
    checksum(bytes, length, sum);
    if (memcmp(sum, bytes + AT_CHECKSUM, sizeof(sum)) != 0 || bytes[32 + PROFILE_ID_MAX - 1] != 0) {
        return -EBADMSG;
    }
    if (get(bytes + 8, 2) != VERSION) {
        return -EPROTONOSUPPORT;
    }
    return get(bytes + 10, 2) == kind ? 0 : -EKEYREJECTED;
}

int store_unseal(const struct store_file *store, const uint8_t *bytes, size_t size,
                 enum seal_kind kind, struct seal_header *ret_header, struct secret **ret_plain)
{
    int error = check_whole(bytes, size, kind);
    if (error < 0) {
        return error;
    }
    size_t length = get(bytes + 24, 4);
    struct secret *plain = secret_new_sized_in(store->memory, length - TAG_SIZE);
    if (plain == NULL) {
        return -ENOMEM;
    }
    uint8_t associated[ASSOCIATED_SIZE];
    associate(store, bytes, associated);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            secret_edit(plain), NULL, NULL, bytes + SEAL_HEADER_SIZE, length, associated,
            sizeof(associated), bytes + AT_NONCE,
            (const uint8_t *)secret_data(store->seal_key)) != 0) {
        secret_free(plain);
        return -EKEYREJECTED;
    }
    *ret_header = (struct seal_header){
        .kind = kind,
        .attempt = (uint32_t)get(bytes + 12, 4),
        .generation = get(bytes + 16, 8),
        .state = (uint32_t)get(bytes + 28, 4),
    };
    memcpy(ret_header->profile, bytes + 32, PROFILE_ID_MAX);
    *ret_plain = plain;
    return 0;
}

const char *store_unseal_why(int error)
{
    switch (error) {
    case -ENODATA:
        return "is empty: reserved and never written";
    case -EBADMSG:
        return "is torn or damaged: its checksum does not match";
    case -EKEYREJECTED:
        return "does not authenticate: it was sealed with another key, in another store or under "
               "another name";
    case -EPROTONOSUPPORT:
        return "was written by a newer version; use that one";
    default:
        return "cannot be read";
    }
}
