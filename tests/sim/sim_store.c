/* SPDX-License-Identifier: Apache-2.0 */
/* The store port around store_memory: a disk that fills up, turns read-only, fails a call (which
 * may have had its effect all the same), and a machine that dies in a call, before or after it had
 * effect. A write that returned 0 is on the disk for good. What lies below that promise, blocks and
 * directory entries, has an enumeration of its own. */
#include "sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum effect { EFFECT_DONE, EFFECT_FAILED, EFFECT_FAILED_DONE };

/* What this call is to be. `reserved`: its space lies ready, a full disk does not matter. */
static enum effect draw_effect(struct sim *sim, bool reserved, int *ret_error)
{
    struct sim_store *store = sim->store;

    *ret_error = 0;
    if (store == NULL || store->dead) {
        *ret_error = -EIO;
        return EFFECT_FAILED;
    }
    if (sim_fault(sim, SIM_STORE_CRASH)) {
        sim->keeper_dying = store->dead = true;
        *ret_error = -EIO;
        return sim_draw(sim, 2) != 0 ? EFFECT_FAILED_DONE : EFFECT_FAILED;
    }
    if (sim->read_only_until_ns > sim->now_ns)
        *ret_error = -EROFS;
    else if (!reserved && sim->full_until_ns > sim->now_ns)
        *ret_error = -ENOSPC;
    if (*ret_error != 0)
        return EFFECT_FAILED;
    if (!sim_fault(sim, SIM_STORE_FAIL))
        return EFFECT_DONE;
    *ret_error = -EIO;
    return sim_draw(sim, 2) != 0 ? EFFECT_FAILED_DONE : EFFECT_FAILED;
}

static int end(struct sim *sim, const char *call, int result, int error)
{
    sim->disk_changed = true;
    sim->totals->failed_saves += error != 0;
    if (error != 0)
        sim_note(sim, "store %s error=%d", call, error);
    return error != 0 ? error : result;
}

static struct sim_store *of(struct store_port *port)
{
    return (struct sim_store *)port;
}

#define CALL(sim, name, reserved, call)                                                            \
    do {                                                                                           \
        int error_, result_ = 0;                                                                   \
                                                                                                   \
        if (draw_effect((sim), (reserved), &error_) != EFFECT_FAILED)                              \
            result_ = (call);                                                                      \
        return end((sim), (name), result_, error_);                                                \
    } while (0)

static void mark_durable(struct sim *sim, const char *text, int error)
{
    struct login *login;
    unsigned number;

    if (!find_refresh(sim, text, &login, &number))
        return;
    if (error == 0)
        login->refresh[number].durable = login->refresh[number].saved = true;
    else
        login->refresh[number].save_failed = true;
}

static int store_open(struct store_port *port)
{
    return of(port)->inner->open(of(port)->inner);
}

static int store_load(struct store_port *port, void *arg,
                      void (*each)(void *arg, struct stored *stored),
                      void (*bad)(void *arg, const char *file, const char *why))
{
    return of(port)->inner->load(of(port)->inner, arg, each, bad);
}

static int store_look(struct store_port *port, const char *profile,
                      struct credential *ret_credential)
{
    return of(port)->inner->look(of(port)->inner, profile, ret_credential);
}

static int store_reserve(struct store_port *port, const struct credential *credential,
                         uint32_t attempt)
{
    struct store_port *inner = of(port)->inner;

    CALL(of(port)->sim, "reserve", false, inner->reserve(inner, credential, attempt));
}

static int store_write_intent(struct store_port *port, const struct credential *credential,
                              const struct intent *intent)
{
    struct store_port *inner = of(port)->inner;

    CALL(of(port)->sim, "write_intent", true, inner->write_intent(inner, credential, intent));
}

static int write_answer(struct store_port *port, const struct credential *credential,
                        const struct answer *answer)
{
    struct store_port *inner = of(port)->inner;

    CALL(of(port)->sim, "write_answer", true, inner->write_answer(inner, credential, answer));
}

static int store_write_answer(struct store_port *port, const struct credential *credential,
                              const struct answer *answer)
{
    int error = write_answer(port, credential, answer);

    if (answer->complete)
        mark_durable(of(port)->sim, secret_data(answer->body), error);
    return error;
}

/* Only n+1 was reserved; a mark, an alias or an import needs new space. */
struct wanted {
    const struct credential *credential;
    bool reserved;
    bool newer; /* than what is on the disk */
};

static void is_reserved(struct sim *sim, void *arg, struct stored *stored)
{
    struct wanted *wanted = arg;

    (void)sim;
    if (strcmp(stored->credential.profile, wanted->credential->profile) != 0)
        return;
    wanted->newer = wanted->credential->generation > stored->credential.generation;
    wanted->reserved = stored->has_intent &&
                       wanted->credential->generation == stored->credential.generation + 1;
}

static int write_record(struct store_port *port, const struct wanted *wanted)
{
    struct store_port *inner = of(port)->inner;

    CALL(of(port)->sim, "write_record", wanted->reserved,
         inner->write_record(inner, wanted->credential));
}

/* n+1 of an exchange could not be saved; or now it could. */
static void mark_unsaved(struct sim *sim, const struct wanted *wanted, int error)
{
    struct login *login;
    unsigned number;

    if (!find_refresh(sim, secret_data(wanted->credential->refresh), &login, &number))
        return;
    if (error == 0) {
        login->unsaved_ns = 0;
        return;
    }
    login->tried_ns = sim->now_ns; /* again, also when it lies there: it was said to have failed */
    if (login->unsaved_ns != 0 || !wanted->newer || login->refresh[number].in_memory != sim->boot)
        return;
    sim->totals->unsaved++;
    login->unsaved_ns = sim->now_ns;
    login->unsaved_generation = wanted->credential->generation;
    login->alarmed = false;
}

static int store_write_record(struct store_port *port, const struct credential *credential)
{
    struct wanted wanted = {.credential = credential};
    int error;

    check_needs_login(of(port)->sim, credential);
    store_each(of(port)->sim, &wanted, is_reserved);
    error = write_record(port, &wanted);
    mark_unsaved(of(port)->sim, &wanted, error);
    mark_durable(of(port)->sim, secret_data(credential->refresh), error);
    return error;
}

static int store_release(struct store_port *port, const struct credential *credential,
                         uint32_t attempt)
{
    struct store_port *inner = of(port)->inner;

    CALL(of(port)->sim, "release", true, inner->release(inner, credential, attempt));
}

static int store_remove(struct store_port *port, const char *profile)
{
    struct store_port *inner = of(port)->inner;

    CALL(of(port)->sim, "remove", true, inner->remove(inner, profile));
}

static void store_digest(struct store_port *port, const struct secret *token,
                         uint8_t ret_digest[16])
{
    of(port)->inner->digest(of(port)->inner, token, ret_digest);
}

static int adopt(struct sim *sim, struct store_port *inner)
{
    sim->copied = false; /* a person said so, also when the keeper is told that it failed */
    return inner->adopt(inner);
}

static int store_adopt(struct store_port *port)
{
    struct sim *sim = of(port)->sim;

    CALL(sim, "adopt", true, adopt(sim, of(port)->inner));
}

static int store_audit(struct store_port *port, const char *line)
{
    struct sim *sim = of(port)->sim;

    size_t size = strlen(line);

    sim_inspect(sim, "the audit", line, size);
    if (size > 8 && strcmp(line + size - 8, " origin=") == 0)
        sim_fail(sim, "pinned: a token was sent, and its origin is forgotten");
    sim_note(sim, "audit %s", line);
    return 0;
}

static const char *store_why(const struct store_port *port)
{
    (void)port;
    return "the simulated disk failed";
}

static void store_close(struct store_port *port)
{
    struct sim_store *store = of(port);

    if (store->sim->store == store)
        store->sim->store = NULL;
    store->inner->close(store->inner);
    free(store);
}

struct store_port *sim_store_new(struct sim *sim)
{
    struct sim_store *store = calloc(1, sizeof(*store));

    if (store == NULL || (store->inner = store_memory_new(sim->disk)) == NULL)
        abort();
    store->sim = sim;
    store->port = (struct store_port){
        .open = store_open,
        .load = store_load,
        .look = store_look,
        .reserve = store_reserve,
        .write_intent = store_write_intent,
        .write_answer = store_write_answer,
        .write_record = store_write_record,
        .release = store_release,
        .remove = store_remove,
        .digest = store_digest,
        .adopt = store_adopt,
        .audit = store_audit,
        .why = store_why,
        .close = store_close,
    };
    sim->store = store;
    return &store->port;
}

/* ---- looking at the disk -------------------------------------------------------------------- */

struct look {
    struct sim *sim;
    void *arg;
    void (*each)(struct sim *sim, void *arg, struct stored *stored);
};

static void on_stored(void *arg, struct stored *stored)
{
    struct look *look = arg;

    look->each(look->sim, look->arg, stored);
    stored_deinit(stored);
}

static void on_bad(void *arg, const char *file, const char *why)
{
    struct look *look = arg;

    sim_fail(look->sim, "store: %s: %s", file, why);
}

void store_each(struct sim *sim, void *arg,
                void (*each)(struct sim *sim, void *arg, struct stored *stored))
{
    struct look look = {sim, arg, each};

    sim->reader->load(sim->reader, &look, on_stored, on_bad);
}
