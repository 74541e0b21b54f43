/* SPDX-License-Identifier: Apache-2.0 */
/* Claim, spend, save, take-over: who may send the one-time refresh token of generation n, and when.
 *
 * OWNERS owners share one record (the store; with more than one owner: etcd). A record is READY(n)
 * or INFLIGHT(n, owner, attempt) or NEEDS_LOGIN. The network is asynchronous: a request outlives the
 * owner that sent it, an answer to a crashed owner is lost. The server is strict (a used token ends
 * the login) or gives grace (the token before the current one is answered again).
 *
 * Step here   functions of the program, in their files below actors/token (table.py sees to it)
 * claim       step/step_refresh.c: refresh_start_if_due on_gate; store/store_file.c: file_write_intent
 * send        step/step_refresh.c: on_intent_saved; exchange/exchange_curl.c: pass_gate
 * receive     step/step_refresh.c: on_exchanged; store/store_file.c: file_write_answer
 * save        step/step_refresh.c: on_answer_saved on_rotated; store/store_file.c: file_write_record
 * publish     step/step_refresh.c: on_record_saved; step/step_waiters.c: waiters_settle
 * unknown     step/step_refresh.c: end_unknown; step/step_policy.c: policy_resend_at
 * resend      step/step_policy.c: policy_allowed_at policy_may_open; step/step_refresh.c: on_gate
 * dead        step/step_refresh.c: on_parsed on_looked; store/store_recover.c: store_look
 * take over   store/store_recover.c: store_load; step/step_refresh.c: refresh_recover (one owner;
 *             with several: the same, by compare-and-swap)
 *
 * Safety, asserted where it could break:
 *   S1 promise 1: no request for n is sent while another for n may be in flight, or while anyone
 *      may hold n+1 (in memory, on disk, or on its way to an owner that lives).
 *   S2 a reuse that the server punishes never costs a token that somebody still holds.
 *   S3 needs-login only after the server said so for the record's generation.
 * Liveness (-DLIVENESS): when crashes and losses stop, the record ends READY(GENERATIONS) or
 * NEEDS_LOGIN.
 *
 * Mutants, each of which must fail: -DMUTANT_LEASE (no claim), -DMUTANT_SAVE_ONLY (compare only when
 * saving), -DMUTANT_TAKEOVER (from an owner that lives), -DMUTANT_INFLIGHT (re-send or take-over
 * while the old request may still travel), -DMUTANT_GIVE_UP (needs-login after one unknown outcome). */

#ifndef OWNERS
#define OWNERS 1
#endif
#ifndef GENERATIONS
#define GENERATIONS 3
#endif
#ifndef CRASHES
#define CRASHES 2
#endif
#ifndef LOSSES
#define LOSSES 2
#endif

#define NONE 255
#define READY 0
#define INFLIGHT 1
#define NEEDS_LOGIN 2

#define NO_ANSWER 0
#define ANSWER_OK 1
#define ANSWER_DEAD 2

/* the record */
byte rec_state = READY;
byte rec_gen = 1;
byte rec_owner = NONE;
byte rec_attempt = 0;

/* the server: the generation whose token is current; dead: the login has ended */
byte current = 1;
bool dead = false;

/* the network, a slot an owner: the request (0: none) and who sent it when */
byte request[OWNERS];
byte answer[OWNERS];
byte answer_gen[OWNERS];
bool stale[OWNERS]; /* the sender of what is in the slot has crashed since */

/* what lives in an owner's memory */
bool alive[OWNERS];
byte held[OWNERS]; /* a token of this generation that is not in the record yet; 0: none */

byte crashes = CRASHES;
byte losses = LOSSES;
bool punished = false; /* the server ended the login because of a reuse */

#ifdef MUTANT_TAKEOVER
#define owner_gone(me) true
#else
#define owner_gone(me) (rec_owner == me || !alive[rec_owner])
#endif
#ifdef MUTANT_INFLIGHT
#define drained true
#else
#define drained (request[rec_owner] == 0)
#endif

inline travels(n, result)
{
    result = false;
    byte t = 0;
    do
    :: t < OWNERS -> if :: request[t] == n -> result = true :: else fi; t++
    :: else -> break
    od;
    t = 0
}

/* anyone who may hold n: in memory, or as an answer on its way to a living owner */
inline somebody_holds(n, result)
{
    result = false;
    byte s = 0;
    do
    :: s < OWNERS ->
        if
        :: held[s] == n && alive[s] -> result = true
        :: answer[s] == ANSWER_OK && answer_gen[s] == n && alive[s] && !stale[s] -> result = true
        :: else
        fi;
        s++
    :: else -> break
    od;
    s = 0;
    if :: rec_gen >= n && rec_state != NEEDS_LOGIN -> result = true :: else fi
}

inline send(me, n)
{
    atomic {
        bool t1; bool t2;
        travels(n, t1);
        somebody_holds(n + 1, t2);
        assert(!t1); /* S1 */
        assert(!t2); /* S1 */
        t1 = false; t2 = false;
        request[me] = n;
        stale[me] = false;
        answer[me] = NO_ANSWER
    }
}

proctype owner(byte me)
{
    byte n = 0;
    bool travelling = false;

start:
    atomic { alive[me] = true; held[me] = 0; n = 0 }
    do
    :: rec_gen >= GENERATIONS && rec_state == READY -> goto done
    :: rec_state == NEEDS_LOGIN -> goto done

    /* claim, by compare-and-swap on the record */
    :: atomic { rec_state == READY && rec_gen < GENERATIONS && request[me] == 0 ->
        n = rec_gen;
#if !defined(MUTANT_LEASE) && !defined(MUTANT_SAVE_ONLY)
        rec_state = INFLIGHT; rec_owner = me; rec_attempt = 1
#endif
       }
       send(me, n);
       goto wait

    /* an intent without a result: ours from before a crash, or another's. Only when its owner is
     * gone (or it is ours) and nothing for n travels any more. */
    :: atomic { rec_state == INFLIGHT && request[me] == 0 && owner_gone(me) && drained ->
        n = rec_gen; rec_owner = me; rec_attempt = (rec_attempt < 3 -> rec_attempt + 1 : 3)
       }
       send(me, n);
       goto wait
    :: atomic { crashes > 0 -> crashes--; goto crash }
    od;

wait:
    do
    :: atomic { answer[me] == ANSWER_OK && !stale[me] -> held[me] = answer_gen[me]; answer[me] = NO_ANSWER }
       /* save: compare-and-swap against our own claim, then publish */
       if
       :: atomic { crashes > 0 -> crashes--; goto crash }
       :: atomic { true ->
#if defined(MUTANT_LEASE)
            rec_gen = held[me]; rec_state = READY;
#else
            if
#if defined(MUTANT_SAVE_ONLY)
            :: rec_gen == n -> rec_gen = held[me]; rec_state = READY
#else
            :: rec_state == INFLIGHT && rec_owner == me && rec_gen == n ->
                rec_gen = held[me]; rec_state = READY; rec_owner = NONE
#endif
            :: else
            fi;
#endif
            held[me] = 0
          }
       fi;
       goto start
    :: atomic { answer[me] == ANSWER_DEAD && !stale[me] ->
        answer[me] = NO_ANSWER;
        if
        :: rec_gen == n -> assert(dead); rec_state = NEEDS_LOGIN /* S3 */
        :: else /* the record has moved on: look again */
        fi
       }
       goto start
    /* the answer was lost, or a timeout: the outcome is unknown. Drain, then again. */
    :: atomic { request[me] == 0 && answer[me] == NO_ANSWER ->
#ifdef MUTANT_GIVE_UP
        assert(dead); rec_state = NEEDS_LOGIN;
#endif
        skip
       }
       goto start
#ifdef MUTANT_INFLIGHT
    :: atomic { request[me] == n -> skip }
       send(me, n)
#endif
    :: atomic { crashes > 0 -> crashes--; goto crash }
    od;

crash:
    atomic {
        alive[me] = false; held[me] = 0; n = 0; travelling = false;
        stale[me] = true;
        if :: answer[me] != NO_ANSWER -> answer[me] = NO_ANSWER :: else fi
    }
    goto start;

done:
    skip
}

/* Takes a request from the network, or loses it, or loses its answer. */
active proctype server()
{
    byte o = 0;
    bool lives = false;

end:
    do
    :: atomic {
        if
        :: request[0] > 0 -> o = 0
#if OWNERS > 1
        :: request[1] > 0 -> o = 1
#endif
#if OWNERS > 2
        :: request[2] > 0 -> o = 2
#endif
        fi;
        if
        :: losses > 0 -> losses--; request[o] = 0 /* never arrived */
        :: dead -> answer[o] = (stale[o] -> NO_ANSWER : ANSWER_DEAD); request[o] = 0
        :: !dead && request[o] == current ->
            current++;
            answer_gen[o] = current;
            answer[o] = (stale[o] -> NO_ANSWER : ANSWER_OK);
            request[o] = 0;
            if :: losses > 0 -> losses--; answer[o] = NO_ANSWER :: true fi
#ifdef GRACE
        :: !dead && request[o] == current - 1 ->
            answer_gen[o] = current;
            answer[o] = (stale[o] -> NO_ANSWER : ANSWER_OK);
            request[o] = 0
        :: !dead && request[o] < current - 1 ->
#else
        :: !dead && request[o] < current ->
#endif
            somebody_holds(current, lives);
            assert(!lives); /* S2 */
            lives = false;
            dead = true; punished = true;
            answer[o] = (stale[o] -> NO_ANSWER : ANSWER_DEAD);
            request[o] = 0
        fi;
        o = 0
       }
    od
}

init {
    atomic {
        byte i = 0;
        do
        :: i < OWNERS -> run owner(i); i++
        :: else -> break
        od
    }
}

#ifdef GRACE
/* With grace, the login is never lost. */
#define settled (rec_state == READY && rec_gen == GENERATIONS)
#else
#define settled ((rec_state == READY && rec_gen == GENERATIONS) || rec_state == NEEDS_LOGIN)
#endif
#ifdef LIVENESS
ltl eventually { <> settled }
#endif
