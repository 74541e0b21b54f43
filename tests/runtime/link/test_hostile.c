/* SPDX-License-Identifier: Apache-2.0 */
/* What a bad peer may send: nothing of it is delivered, all of it is counted, the peer is told why
 * or cut, and nobody else notices. */
#include "link_fixture.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <zmq.h>

#include "link/frame.h"

extern char **environ;

/* What must come is waited for as long as a busy machine may take; that nothing comes is believed
 * after a moment. */
#define PATIENCE_MS 30000
#define MOMENT_MS 500

struct raw { /* a peer that says what the test wants */
    void *zmq, *dealer;
};

static void raw_patience(struct raw *raw, int timeout_ms)
{
    zmq_setsockopt(raw->dealer, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms);
}

static struct raw raw_new(void)
{
    struct raw raw = {.zmq = zmq_ctx_new()};
    int zero = 0, patience = PATIENCE_MS;
    raw.dealer = zmq_socket(raw.zmq, ZMQ_DEALER);
    zmq_setsockopt(raw.dealer, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(raw.dealer, ZMQ_SNDTIMEO, &patience, sizeof patience);
    raw_patience(&raw, patience);
    return raw;
}

static struct raw raw_connect(const char *endpoint)
{
    struct raw raw = raw_new();
    assert_int_equal(zmq_connect(raw.dealer, endpoint), 0);
    return raw;
}

static void raw_close(struct raw *raw)
{
    zmq_close(raw->dealer);
    zmq_ctx_term(raw->zmq);
}

static void raw_send(struct raw *raw, const void *bytes, size_t size)
{
    assert_int_equal(zmq_send(raw->dealer, bytes, size, 0), size);
}

static void raw_hello(struct raw *raw, const char *name, unsigned version)
{
    uint8_t bytes[FRAME_HANDSHAKE_SIZE];
    struct frame_hello hello = {.peer_kind = PEER_CLIENT, .pid = 1, .body_max = 1 << 20};
    snprintf(hello.name, sizeof hello.name, "%s", name);
    frame_put_hello(bytes, FRAME_HELLO, &hello);
    bytes[4] = (uint8_t)version;
    raw_send(raw, bytes, sizeof bytes);
}

/* The kind of the next frame; -1 when none comes. */
static int raw_receive(struct raw *raw, uint8_t *ret_bytes, size_t size,
                       struct frame_reader *ret_reader)
{
    int length = zmq_recv(raw->dealer, ret_bytes, size, 0);
    if (length < 0)
        return -1;
    assert_int_equal(frame_open(ret_reader, ret_bytes, (size_t)length, size), FRAME_FAULT_NONE);
    return ret_reader->kind;
}

static int raw_welcome(struct raw *raw, const char *name)
{
    uint8_t bytes[FRAME_HANDSHAKE_SIZE];
    struct frame_reader reader;
    raw_hello(raw, name, FRAME_VERSION);
    return raw_receive(raw, bytes, sizeof bytes, &reader);
}

static size_t batch_make(uint8_t *bytes, const struct frame_message *message, uint64_t sequence)
{
    size_t size = FRAME_HEADER_SIZE + frame_append(bytes + FRAME_HEADER_SIZE, message);
    frame_finish(bytes, 1, sequence);
    return size;
}

static const struct frame_message echo_request = {
    .type = TEST_ECHO, .flags = MESSAGE_REQUEST, .request = 1, .deadline_ms = 5000, .size = 2,
    .to_size = 4, .to = "echo", .body = (const uint8_t *)"hi"};

static uint64_t drops(struct runtime *runtime, enum runtime_status reason)
{
    struct drop_info rows[16];
    uint64_t cursor = 0, sum = 0;
    size_t found;
    while ((found = introspect_drops(runtime, &cursor, rows, 16)) > 0)
        for (size_t i = 0; i < found; i++)
            sum += rows[i].reason == reason ? rows[i].count : 0;
    return sum;
}

static void assert_gone(struct runtime *runtime, const char *peer)
{
    struct link_info info;
    uint64_t end_ns = now_ns() + PATIENCE_MS * MS;
    while (link_find(runtime, peer, &info)) {
        assert_true(now_ns() < end_ns);
        pause_ms(5);
    }
}

static void home_listens(struct fixture *fixture)
{
    fixture->home = link_test_runtime("home", PEER_NODE);
    assert_int_equal(link_listen(fixture->home, fixture->endpoint), 0);
}

/* ---- hello ------------------------------------------------------------------------------- */

static void assert_refused(struct fixture *fixture, const char *name, unsigned version,
                           enum runtime_status status, const char *text)
{
    struct raw raw = raw_connect(fixture->endpoint);
    uint8_t bytes[FRAME_HANDSHAKE_SIZE];
    struct frame_reader reader;
    struct frame_reason reason;
    raw_hello(&raw, name, version);
    assert_int_equal(raw_receive(&raw, bytes, sizeof bytes, &reader), FRAME_REFUSED);
    frame_get_reason(&reader, &reason);
    assert_int_equal(reason.status, status);
    assert_non_null(strstr(reason.text, text));
    raw_close(&raw);
}

static void a_hello_that_does_not_fit_is_refused_in_words(void **state)
{
    struct fixture *fixture = *state;
    connect_two(fixture);
    char taken[64];
    snprintf(taken, sizeof taken, "the name b is taken by process %d", (int)getpid());
    assert_refused(fixture, "atlas", 2, STATUS_VERSION, "speaks protocol version 1, not 2");
    assert_refused(fixture, "b", 1, STATUS_FORBIDDEN, taken);
    assert_refused(fixture, "home", 1, STATUS_FORBIDDEN, "own");
    assert_refused(fixture, "a b", 1, STATUS_MALFORMED, "name");
    struct raw raw = raw_connect(fixture->endpoint);
    assert_int_equal(raw_welcome(&raw, "atlas"), FRAME_WELCOME);
    raw_close(&raw);
    assert_gone(fixture->home, "atlas");
    assert_echo(fixture->b, "home");
}

static void who_says_no_hello_is_told_and_cut(void **state)
{
    struct fixture *fixture = *state;
    home_listens(fixture);
    struct raw silent = raw_new(), rude = raw_connect(fixture->endpoint);
    uint8_t bytes[256];
    struct frame_reader reader;
    void *monitor = zmq_socket(silent.zmq, ZMQ_PAIR); /* before it can be cut */
    int patience = PATIENCE_MS;
    zmq_socket_monitor(silent.dealer, "inproc://monitor", ZMQ_EVENT_DISCONNECTED);
    zmq_setsockopt(monitor, ZMQ_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(zmq_connect(monitor, "inproc://monitor"), 0);
    assert_int_equal(zmq_connect(silent.dealer, fixture->endpoint), 0);
    raw_send(&rude, bytes, batch_make(bytes, &echo_request, 1));
    assert_int_equal(raw_receive(&rude, bytes, FRAME_HANDSHAKE_SIZE, &reader), FRAME_REFUSED);
    assert_int_equal(zmq_recv(monitor, bytes, sizeof bytes, 0), 6);
    zmq_close(monitor);
    raw_close(&silent);
    raw_close(&rude);
}

/* What this program does when it is started with an endpoint. */
static int stranger(const char *endpoint)
{
    uint8_t bytes[256];
    if (setuid(65534) != 0)
        return 2;
    struct raw raw = raw_connect(endpoint);
    raw_patience(&raw, MOMENT_MS);
    raw_hello(&raw, "stranger", FRAME_VERSION);
    return zmq_recv(raw.dealer, bytes, sizeof bytes, 0) < 0 && errno == EAGAIN ? 0 : 1;
}

/* libzmq looks at the peer's uid; tried, for its option has been wrong before. */
static void another_user_gets_no_answer(void **state)
{
    struct fixture *fixture = *state;
    if (geteuid() != 0) {
        print_message("skipped: only root can start a process of another user\n");
        skip();
    }
    home_listens(fixture);
    assert_int_equal(chmod(fixture->directory, 0777), 0);
    assert_int_equal(chmod(fixture->endpoint + strlen("ipc://"), 0777), 0);
    pid_t pid;
    int status;
    char *argv[] = {(char *)(uintptr_t)"stranger", fixture->endpoint, NULL};
    for (int i = 0; i < 20 && drops(fixture->home, STATUS_FORBIDDEN) == 0; i++) {
        assert_int_equal(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    assert_true(drops(fixture->home, STATUS_FORBIDDEN) > 0);
    struct raw ours = raw_connect(fixture->endpoint);
    assert_int_equal(raw_welcome(&ours, "atlas"), FRAME_WELCOME);
    raw_close(&ours);
}

/* ---- frames ------------------------------------------------------------------------------ */

static void the_third_bad_frame_cuts_the_peer(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[256], answer[256];
    struct frame_reader reader;
    struct link_info info;
    home_listens(fixture);
    struct raw raw = raw_connect(fixture->endpoint);
    assert_int_equal(raw_welcome(&raw, "atlas"), FRAME_WELCOME);
    size_t size = batch_make(bytes, &echo_request, 1);
    raw_send(&raw, bytes, size - 1);
    bytes[6] = bytes[7] = 0xff;
    raw_send(&raw, bytes, size);
    size = batch_make(bytes, &echo_request, 1);
    raw_send(&raw, bytes, size);
    assert_int_equal(raw_receive(&raw, answer, sizeof answer, &reader), FRAME_BATCH);
    assert_true(link_find(fixture->home, "atlas", &info));
    assert_int_equal(info.drops, 2);
    raw_send(&raw, "x", 1);
    assert_gone(fixture->home, "atlas");
    assert_true(drops(fixture->home, STATUS_MALFORMED) >= 3);
    raw_close(&raw);
}

static void a_message_of_many_parts_is_dropped_and_counted(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[256], answer[256];
    struct frame_reader reader;
    home_listens(fixture);
    struct raw raw = raw_connect(fixture->endpoint);
    assert_int_equal(raw_welcome(&raw, "atlas"), FRAME_WELCOME);
    size_t size = batch_make(bytes, &echo_request, 1);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(zmq_send(raw.dealer, bytes, size, ZMQ_SNDMORE), size);
    raw_send(&raw, bytes, size);
    raw_send(&raw, bytes, size);
    assert_int_equal(raw_receive(&raw, answer, sizeof answer, &reader), FRAME_BATCH);
    assert_int_equal(reader.count, 1);
    raw_patience(&raw, MOMENT_MS);
    assert_int_equal(raw_receive(&raw, answer, sizeof answer, &reader), -1);
    assert_int_equal(drops(fixture->home, STATUS_MALFORMED), 1);
    raw_close(&raw);
}

/* libzmq keeps the parts and shows none; what is ours to promise is that nobody else notices, and
 * that the memory is free again when the sender has gone. */
static void a_message_that_never_ends_disturbs_nobody(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t part[1024];
    connect_two(fixture);
    struct raw raw = raw_connect(fixture->endpoint);
    assert_int_equal(raw_welcome(&raw, "atlas"), FRAME_WELCOME);
    for (int i = 0; i < 20000; i++) {
        assert_int_equal(zmq_send(raw.dealer, part, sizeof part, ZMQ_SNDMORE), sizeof part);
        if (i % 2000 == 0)
            assert_echo(fixture->b, "home");
    }
    raw_close(&raw);
    assert_gone(fixture->home, "atlas");
    assert_echo(fixture->b, "home");
    assert_int_equal(drops(fixture->home, STATUS_MALFORMED), 0);
}

static void a_gap_in_the_sequence_is_counted(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[256], answer[256];
    struct frame_reader reader;
    struct link_info info;
    home_listens(fixture);
    struct raw raw = raw_connect(fixture->endpoint);
    assert_int_equal(raw_welcome(&raw, "atlas"), FRAME_WELCOME);
    static const uint64_t sequences[] = {1, 2, 5, 6, 9};
    for (size_t i = 0; i < 5; i++) {
        raw_send(&raw, bytes, batch_make(bytes, &echo_request, sequences[i]));
        assert_int_equal(raw_receive(&raw, answer, sizeof answer, &reader), FRAME_BATCH);
        assert_int_equal(reader.sequence, i + 1);
    }
    assert_true(link_find(fixture->home, "atlas", &info));
    assert_int_equal(info.gaps, 2);
    assert_int_equal(info.messages_in, 5);
    raw_close(&raw);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 16;
}

/* Half noise, half a good frame with a few bytes changed. */
static size_t noise(uint8_t *bytes, size_t size, uint64_t *seed)
{
    uint64_t random = next_random(seed);
    if (random % 2 == 0) {
        size_t length = random / 2 % size;
        for (size_t i = 0; i < length; i++)
            bytes[i] = (uint8_t)next_random(seed);
        return length;
    }
    size_t length = batch_make(bytes, &echo_request, 1 + random % 4);
    for (unsigned i = 0; i < 1 + random / 4 % 4; i++)
        bytes[next_random(seed) % length] = (uint8_t)next_random(seed);
    return length;
}

static long resident_kb(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    if (file != NULL)
        fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void two_seconds_of_noise_disturb_nobody(void **state)
{
    struct fixture *fixture = *state;
    uint64_t seed = 20240229, end_ns = now_ns() + 2 * SECOND;
    unsigned frames = 0, peers = 0;
    connect_two(fixture);
    long before_kb = resident_kb();
    while (now_ns() < end_ns || drops(fixture->home, STATUS_MALFORMED) <= peers) {
        uint8_t bytes[400];
        char name[32];
        struct raw raw = raw_connect(fixture->endpoint);
        snprintf(name, sizeof name, "noise-%u", peers++);
        if (peers % 4 != 0)
            assert_int_equal(raw_welcome(&raw, name), FRAME_WELCOME);
        for (int i = 0; i < 50; i++, frames++) {
            size_t size = noise(bytes, sizeof bytes, &seed);
            zmq_send(raw.dealer, bytes, size, ZMQ_DONTWAIT);
        }
        raw_close(&raw);
        assert_echo(fixture->b, "home");
    }
    print_message("%u frames of %u peers, %llu refused, %ld kB more\n", frames, peers,
                  (unsigned long long)drops(fixture->home, STATUS_MALFORMED),
                  resident_kb() - before_kb);
#if !defined(__SANITIZE_ADDRESS__) /* which keeps what is freed */
    assert_true(resident_kb() - before_kb < 64 << 10);
#endif
    struct link_info info;
    assert_true(link_find(fixture->b, "home", &info));
    assert_int_equal(info.reconnects, 0);
    assert_int_equal(info.drops, 0);
}

int main(int argc, char **argv)
{
    if (argc == 2)
        return stranger(argv[1]);
    const struct CMUnitTest tests[] = {
        LINK_TEST(a_hello_that_does_not_fit_is_refused_in_words),
        LINK_TEST(who_says_no_hello_is_told_and_cut),
        LINK_TEST(another_user_gets_no_answer),
        LINK_TEST(the_third_bad_frame_cuts_the_peer),
        LINK_TEST(a_message_of_many_parts_is_dropped_and_counted),
        LINK_TEST(a_message_that_never_ends_disturbs_nobody),
        LINK_TEST(a_gap_in_the_sequence_is_counted),
        LINK_TEST(two_seconds_of_noise_disturb_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
