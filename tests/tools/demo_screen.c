/* SPDX-License-Identifier: Apache-2.0 */
/* The screen with made-up facts, to look at: demo_screen [SECONDS]. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "queenright/screen/screen.h"

static const char *const ids[] = {"atlas", "axon", "nova", "nexis", "lumi"};
static const char *const answers[] = {
    "A map is never the land, but a good one tells you where it stopped looking.",
    "Signals travel fast here: two relays, one answer, and nobody shouted.",
    "Ein neuer Stern, h\303\266flich vorgestellt. \344\275\240\345\245\275, Atlas.",
    "Every thread I follow leads to the same knot, so I have labelled it and moved on.",
    "Light takes its time; I used mine to check the sums twice and found them equal.",
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Each agent answers for 3 s of every 8 s, a letter every 40 ms. */
static void agents_step(struct screen *screen, int64_t ms)
{
    for (size_t i = 0; i < 5; i++) {
        int64_t phase = (ms + (int64_t)i * 1700) % 8000, turn = (ms + (int64_t)i * 1700) / 8000;
        size_t size = strlen(answers[i]), said = (size_t)(phase / 40);
        char text[256];
        snprintf(text, sizeof text, "%.*s", (int)(said < size ? said : size), answers[i]);
        screen_set_agent(screen, ids[i], i == 4 ? "b" : "home", "practice/scripted",
                         phase < 400 ? "token" : said < size ? "answering" : "idle",
                         (uint64_t)turn + (said >= size), text);
    }
}

static void login_step(struct screen *screen, int64_t start, int64_t ms)
{
    static const int64_t life_ms = 6000;
    uint64_t generation = 1 + (uint64_t)(ms / life_ms);
    int64_t into = ms % life_ms;
    struct screen_login login = {
        .profile = "practice:default", .account = "acct-practice", .reason = "",
        .state = into > life_ms - 500 ? "refreshing" : "valid", .generation = generation,
        .expires_at_ms = start + ms - into + life_ms, .refreshes = generation - 1, .waited = 5,
        .waiters = into > life_ms - 500 ? 5 : 0};
    screen_set_login(screen, &login);
    login = (struct screen_login){
        .profile = "openai:default", .account = "", .state = "needs_login", .generation = 3,
        .reason = "invalid_grant; log in again", .expires_at_ms = start - 1000};
    screen_set_login(screen, &login);
}

int main(int argc, char **argv)
{
    int64_t length = 1000 * (argc > 1 ? strtoll(argv[1], NULL, 10) : 20), start = now_ms();
    struct screen *screen = screen_new(1, "five", true);
    screen_set_process(screen, "keeper", "up", 4711);
    screen_set_process(screen, "home", "up", 4712);
    screen_set_process(screen, "b", "up", 4713);
    screen_event(screen, "swarm five is up: 5 agents on 2 nodes");
    int64_t generation = 0;
    for (int64_t ms = 0; ms < length; ms = now_ms() - start) {
        agents_step(screen, ms);
        login_step(screen, start, ms);
        if (ms / 6000 != generation) {
            char line[96];
            generation = ms / 6000;
            snprintf(line, sizeof line, "practice:default rotated: gen %lld -> %lld, 5 waited",
                     (long long)generation, (long long)generation + 1);
            screen_event(screen, line);
        }
        screen_draw(screen, now_ms());
        nanosleep(&(struct timespec){.tv_nsec = 40000000}, NULL);
    }
    screen_free(screen);
    puts("that was the demo");
    return 0;
}
