# Planted bugs: each is the simulator with one file of the product changed, and a check that must see
# it. `ninja sim_mutants` builds them; ctest -R sim_mutant does so first.
#
#   sim_mutant(NAME SEES regex FILE file FROM text TO text [FROM2 text TO2 text] [SEEDS n])
#
# SEEDS: where the default is too few for what seldom happens.

set(sim_mutants)
function(sim_mutant name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "SEES;FILE;FROM;TO;FROM2;TO2;SEEDS" "")
  if(NOT arg_SEEDS)
    set(arg_SEEDS 2000)
  endif()
  file(READ "${PROJECT_SOURCE_DIR}/${arg_FILE}" text)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
    "${PROJECT_SOURCE_DIR}/${arg_FILE}")
  set(program sim_mutant_${name})
  foreach(n "" 2)
    if(DEFINED arg_FROM${n})
      string(FIND "${text}" "${arg_FROM${n}}" at)
      if(at EQUAL -1)
        message(SEND_ERROR "${program}: ${arg_FILE} has no such text: ${arg_FROM${n}}")
      endif()
      string(REPLACE "${arg_FROM${n}}" "${arg_TO${n}}" text "${text}")
    endif()
  endforeach()
  get_filename_component(folder "${PROJECT_SOURCE_DIR}/${arg_FILE}" DIRECTORY)
  file(CONFIGURE OUTPUT ${program}.c CONTENT "${text}" @ONLY)
  # The changed file comes before the library, whose own is then not taken.
  queenright_program(${program}
    SOURCES $<TARGET_OBJECTS:sim_world> "${CMAKE_CURRENT_BINARY_DIR}/${program}.c"
    MAY_USE test_store_in_memory actors_proxy
    WRAPS PkgConfig::jansson)
  target_include_directories(${program} PRIVATE "${folder}")
  target_compile_options(${program} PRIVATE -w)
  target_link_options(${program} PRIVATE -Wl,--wrap=sodium_malloc -Wl,--wrap=sodium_free)
  set_target_properties(${program} PROPERTIES EXCLUDE_FROM_ALL TRUE)
  add_test(NAME ${program} COMMAND ${program} --seeds ${arg_SEEDS} --quick)
  set_tests_properties(${program} PROPERTIES TIMEOUT 300 LABELS "slow;mutant"
    FIXTURES_REQUIRED sim_mutants PASS_REGULAR_EXPRESSION "seed [0-9]+: (${arg_SEES})")
  set(sim_mutants ${sim_mutants} ${program} PARENT_SCOPE)
endfunction()

sim_mutant(resend_in_flight SEES "promise 1" FILE actors/token/step/step_policy.c
  FROM "drained = profile->ended_ns + drain_ns;" TO "drained = 0;")
sim_mutant(resend_at_once SEES "promise [16]" FILE actors/token/step/step_policy.c
  FROM "if (rotation == ROTATION_NONE ||" TO "if (true ||")
sim_mutant(two_phase_at_once SEES "promise 1" FILE actors/token/step/step_policy.c
  FROM "if (rotation == ROTATION_TWO_PHASE)\n        return drained;"
  TO "if (rotation == ROTATION_TWO_PHASE)\n        return 0;")
sim_mutant(publish_before_save SEES "promise 3" FILE actors/token/step/step_refresh.c
  FROM "profile->phase = PHASE_ANSWER;\n    act(step, profile, ACTION_WRITE_ANSWER);"
  TO "profile->phase = PHASE_PARSE;\n    act(step, profile, ACTION_PARSE);"
  FROM2 "profile->phase = PHASE_RECORD;\n    act(step, profile, ACTION_WRITE_RECORD);\n}\n\nstatic"
  TO2 "take_next(step, profile);\n    profile->phase = PHASE_NONE;\n    profile->unsaved = true;\n\
    profile->retry_at_ns = step_after(step, 500);\n}\n\nstatic")
sim_mutant(gate_before_intent SEES "promise 3" FILE actors/token/step/step_refresh.c
  FROM "static void on_gate("
  TO "static void on_intent_saved(struct token_step *, struct profile *, int);\n\
static void on_gate("
  FROM2 "profile->phase = PHASE_INTENT;\n    act(step, profile, ACTION_WRITE_INTENT);"
  TO2 "profile->phase = PHASE_INTENT;\n    on_intent_saved(step, profile, 0);")
sim_mutant(unsaved_is_spent SEES "promise [35]" FILE actors/token/step/step_refresh.c
  FROM "profile->unsaved = true;\n    profile->failures++;"
  TO "profile->unsaved = false;\n    profile->failures++;")
sim_mutant(restart_forgets SEES "promise [136]" FILE actors/token/step/step_refresh.c
  FROM "profile->intent = stored->intent;\n    profile->maybe_spent = true;"
  TO "profile->intent = stored->intent;\n    profile->maybe_spent = false;")
sim_mutant(adoption_forgets SEES "promise [36]" FILE actors/token/step/step_import.c
  FROM "if (profile->maybe_spent) {" TO "if (false) {")
sim_mutant(alias_digest_forgotten SEES "promise [13]|import|generation" FILE actors/token/step/step_import.c
  FROM "if (job->has_digest && credential_add_digest(result, job->digest) != 0)" TO "if (false)")
sim_mutant(loop_on_401 SEES "loop" FILE actors/token/step/step_waiters.c
  FROM "(can_refresh && profile->rejections == 1)" TO "can_refresh")
sim_mutant(waiter_dropped SEES "answers|service|promise [29]" FILE actors/token/step/step_waiters.c
  FROM "else\n            profile->waiters[kept++] = *waiter;"
  TO "else if (kept == 0)\n            profile->waiters[kept++] = *waiter;")
sim_mutant(html_is_terminal SEES "needs_login" FILE actors/token/provider/answer.c
  FROM "return OUTCOME_CONFIG;\n    }\n    return OUTCOME_UNKNOWN;"
  TO "return OUTCOME_CONFIG;\n    }\n    return refused ? OUTCOME_TERMINAL : OUTCOME_UNKNOWN;")
sim_mutant(secret_in_audit SEES "secret" FILE actors/token/step/step_waiters.c
  FROM "(unsigned long long)profile->credential.generation, waiter->who,"
  TO "(unsigned long long)profile->credential.generation, secret_data(profile->credential.access),")
sim_mutant(drained_too_early SEES "promise 4" FILE actors/token/step/step.c
  FROM "if (profile->unsaved ? !profile->answer_sealed : profile->phase != PHASE_NONE)"
  TO "if (profile->phase == PHASE_RESERVE)")
sim_mutant(rejected_past_the_lease SEES "generation" FILE actors/proxy/proxy_actor.c
  FROM "return wait_for_grant(state, context, message->profile, message->who, waiter);"
  TO "return context_forward(context, proxy_keeper(state, context));")
sim_mutant(origin_forgotten SEES "pinned" FILE actors/token/step/step.c
  FROM "*profile->rule = *event->rule;\n}"
  TO "*profile->rule = *event->rule;\n    profile->origin[0] = 0;\n}")
sim_mutant(copy_is_spent SEES "copied" FILE actors/token/step/step_policy.c
  FROM "if (step->copied || policy_restored(profile))" TO "if (policy_restored(profile))")
sim_mutant(backup_is_spent SEES "restored" FILE actors/token/step/step_policy.c
  FROM "if (step->copied || policy_restored(profile))" TO "if (step->copied)")
sim_mutant(keeper_not_told SEES "restored" FILE actors/proxy/proxy_actor.c
  FROM "        tell_seen(state, state->leases[i], context);"
  TO "        state->leases[i]->away_ns = 0;")
sim_mutant(asked_before_told SEES "restored" FILE actors/proxy/proxy_actor.c
  FROM "        tell_seen(state, state->leases[i], context);"
  TO "        state->leases[i]->away_ns = 0;"
  FROM2 "    if (lease->used && lease->generation_seen != 0)\n        watch(state, lease, context);\n"
  TO2 "")
sim_mutant(seen_under_one_name SEES "restored|generation" FILE actors/proxy/proxy_actor.c
  FROM "        if (strcmp(state->leases[i]->profile, profile) == 0)\n\
            state->leases[i]->generation_seen = seen;" TO "        (void)seen;")
sim_mutant(earliest_ignored SEES "earliest" FILE actors/token/step/step_policy.c
  FROM "    profile->earliest_ns = boot_time(step, earliest);" TO "    profile->earliest_ns = 0;")
sim_mutant(earliest_by_our_clock SEES "earliest" FILE actors/token/provider/answer.c
  FROM "    told_ms += now_ms - issued_ms;" TO "")
sim_mutant(forced_one_by_one SEES "promise 2" FILE actors/token/step/step_waiters.c
  FROM "event->force && (profile->refreshes == 0 ||" TO "event->force && (true ||")
sim_mutant(any_life_is_granted SEES "promise 2|loop" FILE actors/token/step/step_waiters.c
  FROM "return min_valid_ms > most ? most : min_valid_ms;"
  TO "return most != 0 ? min_valid_ms : most;")
sim_mutant(valid_token_withheld SEES "promise 2" FILE actors/token/step/step_waiters.c
  FROM "if (good && (profile->credential.generation > waiter->generation ||"
  TO "if (good && profile->phase != PHASE_SENT &&\n\
        (profile->credential.generation > waiter->generation ||")
sim_mutant(failed_save_is_quiet SEES "promise 5" SEEDS 10000 FILE actors/token/step/step_state.c
  FROM "fault != FAULT_NONE && fault != profile->fault;"
  TO "fault != FAULT_NONE && fault != FAULT_STORE && fault != profile->fault;")
sim_mutant(failed_save_is_final SEES "promise 5|service" FILE actors/token/step/step_refresh.c
  FROM "profile->phase == PHASE_NONE && profile->unsaved && !profile->importing" TO "false")
sim_mutant(cooling_is_ignored SEES "promise 7" FILE actors/token/step/step_waiters.c
  FROM "*cooling = profile_cooling(profile, now);" TO "*cooling = NULL;")
sim_mutant(no_remedy SEES "promise 7" FILE actors/token/step/step_state.c
  FROM "        return \"log in again with the program it came from, then queenright auth import \""
  TO "        return \"\";\n        return \"\"")
sim_mutant(refresh_token_granted SEES "promise 8|grant" FILE actors/token/token_actions.c
  FROM "(struct proto_text){secret_data(credential->access),"
  TO "(struct proto_text){secret_data(credential->refresh != NULL ? credential->refresh\n\
                                                                 : credential->access),")

add_custom_target(sim_mutants DEPENDS ${sim_mutants})
add_test(NAME sim_mutants COMMAND ${CMAKE_COMMAND} --build "${CMAKE_BINARY_DIR}"
  --target sim_mutants)
set_tests_properties(sim_mutants PROPERTIES FIXTURES_SETUP sim_mutants LABELS "slow;mutant"
  TIMEOUT 600)
