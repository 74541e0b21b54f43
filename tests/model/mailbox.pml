/* SPDX-License-Identifier: Apache-2.0 */
/* The mailbox word of runtime/mailbox.c and the parking of workers in runtime/scheduler.c, cut
 * down to what matters: SENDERS push EACH messages to one actor, WORKERS run it, and it may end.
 * One step of the model is one atomic access of the code.
 *
 * In every interleaving:
 *   - two workers never run the actor at a time, and it never stands in the run queue twice;
 *   - when nobody can go on, no message lies in the mailbox and the actor is not in the run queue
 *     (no lost wake-up), and each message was handled, answered at the end, or refused.
 *
 * Each -DMUTANT_... takes one thing away that the code relies on; the tests see that every one
 * of them is caught. */

#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef EACH
#define EACH 2
#endif
#define WORKERS 2

#define IDLE 0    /* nothing pushed, nobody runs the actor */
#define RUNNING 1 /* nothing pushed since the last take */
#define PUSHED 2  /* a chain of messages */
#define CLOSED 3

byte word = IDLE, chain; /* the word: its state, the chain's length */
byte kept;               /* messages in the reader's own queues */
byte queued;             /* the actor stands in the run queue so often */
byte running;            /* workers that run it */
bool parked[WORKERS], woken[WORKERS];
byte handled, answered, refused;

inline schedule()
{
    atomic { queued++; assert(queued == 1) }
    /* scheduler_wake_one: claim a parked worker's bit, then wake it */
    atomic {
        if
        :: parked[0] -> parked[0] = false; claimed = 0
        :: !parked[0] && parked[1] -> parked[1] = false; claimed = 1
        :: else -> claimed = WORKERS
        fi
    }
    if
    :: claimed < WORKERS -> woken[claimed] = true
    :: else
    fi
    claimed = 0
}

active [SENDERS] proctype sender()
{
    byte sent, claimed, old, old_chain;

    do
    :: sent == EACH -> break
    :: sent < EACH ->
        atomic { old = word; old_chain = chain }
        if
        :: old == CLOSED -> atomic { refused++; sent++ }
        :: else ->
            atomic {
                if
#ifdef MUTANT_PUSH_WITHOUT_COMPARE
                :: true ->
#else
                :: word == old && chain == old_chain ->
#endif
                    word = PUSHED; chain = old_chain + 1; sent++
                :: else -> old = PUSHED; goto again
                fi
            }
            if
#if defined(MUTANT_PUSH_NEVER_SCHEDULES)
            :: true
#elif defined(MUTANT_PUSH_ALWAYS_SCHEDULES)
            :: true -> schedule()
#else
            :: old == IDLE -> schedule()
            :: else
#endif
            fi
        fi
again:
        atomic { old = 0; old_chain = 0 } /* fewer states */
    od
}

inline find_work()
{
    atomic {
        got = queued > 0;
        if
        :: got -> queued--
        :: else
        fi
    }
}

inline turn()
{
    atomic { running++; assert(running == 1) }
    atomic { /* take: exchange */
        if
        :: word == PUSHED -> kept = kept + chain; chain = 0; word = RUNNING
        :: else
        fi
    }
    if
    :: kept > 0 -> atomic { kept--; handled++ }
    :: else
    fi
    if
    :: true -> /* rest: only with empty queues, compare-and-swap RUNNING to IDLE */
#ifdef MUTANT_REST_BY_STORE
        got = kept == 0;
        if
        :: got -> running--; word = IDLE
        :: else
        fi
#else
        atomic {
            got = kept == 0 && word == RUNNING;
            if
            :: got -> word = IDLE; running--
            :: else
            fi
        }
#endif
        if
        :: got
        :: else -> running--; schedule()
        fi
    :: true -> /* the actor ends: exchange with CLOSED, answer what was there */
#ifdef MUTANT_CLOSE_FORGETS_THE_CHAIN
        atomic { answered = answered + kept; kept = 0; chain = 0; word = CLOSED; running-- }
#else
        atomic { answered = answered + kept + chain; kept = 0; chain = 0; word = CLOSED; running-- }
#endif
    fi
}

active [WORKERS] proctype worker()
{
    byte me = _pid - SENDERS, claimed;
    bool got;

end_idle:
    do
    :: true ->
        find_work();
        if
        :: got
        :: else -> /* park: set the bit, look once more, sleep */
            woken[me] = false;
#ifdef MUTANT_PARK_WITHOUT_LOOKING
            parked[me] = true;
#else
            parked[me] = true;
            find_work();
#endif
            if
            :: got
            :: else ->
end_parked:
                woken[me]
            fi
            parked[me] = false
        fi
        if
        :: got -> turn(); got = false
        :: else
        fi
    od
}

/* Nobody can go on. */
active proctype quiescence()
{
    timeout;
    assert(queued == 0 && running == 0);
    assert(word == IDLE || word == CLOSED);
    assert(kept == 0 && chain == 0);
    assert(handled + answered + refused == SENDERS * EACH)
}
