/* SPDX-License-Identifier: Apache-2.0 */
/* The random port's contract, held against the kernel's source, the simulator's and the one of the
 * TokenActor's bench. Bounds are six standard deviations wide. */
#include "sim.h"
#include "support/token_rig.h"

#define BYTES 65536

struct place {
    const struct random_port *random;
    struct sim_random sim;
    struct rig_random rig;
};

static void fill(const struct place *place, void *bytes, size_t size)
{
    place->random->fill(place->random, bytes, size);
}

static void it_fills_what_it_is_given_and_no_more(void **state)
{
    const struct place *place = *state;
    for (size_t size = 0; size <= 64; size++) {
        uint8_t bytes[66];
        bool changed[64] = {false};
        memset(bytes, 0x5a, sizeof(bytes));
        for (unsigned i = 0; i < 20; i++) { /* a byte may come out as it was */
            fill(place, bytes + 1, size);
            for (size_t at = 0; at < size; at++) {
                changed[at] = changed[at] || bytes[1 + at] != 0x5a;
            }
        }
        assert_int_equal(bytes[0], 0x5a);
        for (size_t at = size; at < 65; at++) {
            assert_int_equal(bytes[1 + at], 0x5a);
        }
        for (size_t at = 0; at < size; at++) {
            assert_true(changed[at]);
        }
    }
}

static void no_two_nonces_are_alike(void **state)
{
    const struct place *place = *state;
    static uint8_t nonces[1000][16];
    for (size_t i = 0; i < 1000; i++) {
        fill(place, nonces[i], sizeof(nonces[i]));
        for (size_t before = 0; before < i; before++) {
            assert_true(memcmp(nonces[i], nonces[before], sizeof(nonces[i])) != 0);
        }
    }
}

static void every_byte_and_every_bit_comes_as_often(void **state)
{
    const struct place *place = *state;
    static uint8_t bytes[BYTES];
    unsigned values[256] = {0}, bits[8] = {0};
    fill(place, bytes, sizeof(bytes));
    for (size_t i = 0; i < BYTES; i++) {
        values[bytes[i]]++;
        for (unsigned bit = 0; bit < 8; bit++) {
            bits[bit] += bytes[i] >> bit & 1;
        }
    }
    for (size_t i = 0; i < 256; i++) {
        assert_in_range(values[i], 256 - 96, 256 + 96);
    }
    for (unsigned bit = 0; bit < 8; bit++) {
        assert_in_range(bits[bit], BYTES / 2 - 768, BYTES / 2 + 768);
    }
}

static void a_seed_gives_the_same_again(void **state)
{
    struct sim_random one, two;
    uint8_t a[64], b[64];
    (void)state;
    sim_random_init(&one, 5);
    sim_random_init(&two, 5);
    one.port.fill(&one.port, a, sizeof(a));
    for (size_t i = 0; i < sizeof(b); i++) { /* in whatever pieces */
        two.port.fill(&two.port, b + i, 1);
    }
    assert_memory_equal(a, b, sizeof(a));
}

static int setup_real(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    place->random = random_real();
    *state = place;
    return 0;
}

static int setup_sim(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    sim_random_init(&place->sim, 1);
    place->random = &place->sim.port;
    *state = place;
    return 0;
}

static int setup_rig(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    place->rig = (struct rig_random){{rig_fill}, 1};
    place->random = &place->rig.port;
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

#define ALL(test)                                                                                  \
    {#test ", real", test, setup_real, teardown, NULL},                                            \
    {#test ", simulator", test, setup_sim, teardown, NULL},                                        \
    {#test ", bench", test, setup_rig, teardown, NULL}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALL(it_fills_what_it_is_given_and_no_more),
        ALL(no_two_nonces_are_alike),
        ALL(every_byte_and_every_bit_comes_as_often),
        cmocka_unit_test(a_seed_gives_the_same_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
