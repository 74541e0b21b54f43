/* SPDX-License-Identifier: Apache-2.0 */
/* The credential store on a real file system: crashes, broken disks, full disks, planted bugs.
 *
 *     crash_filesystem ext4                        the short form
 *     crash_filesystem ext4 --only crashes --all   every image
 *
 * Four campaigns, each with the store as it ships and the kernel's own file system:
 *
 *     crashes    a keeper's life is recorded block by block, and crash images are made of it
 *     errors     one write or flush of it fails with EIO, or all from one on; then the power goes
 *     full       the disk fills at bad moments; crash images of that, too
 *     planted    a bug is put into the disk port, and must be caught
 *
 * Exit: 0, 1 if something was lost or a planted bug was not caught, 77 if this machine does not let
 * us make and mount such a file system. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crash.h"

#define EXIT_SKIPPED 77
#define PASS_IMAGES 10 /* between two looks at the clock */
#define SUBSETS 3
#define AGAIN 6

struct options {
    const struct filesystem *filesystem;
    const char *only; /* one campaign; NULL: all of them */
    const char *save;
    uint64_t seed;
    double seconds;
    bool all;
};

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void add_figures(struct crash_figures *sum, const struct crash_figures *figures)
{
    sum->images += figures->images;
    sum->again += figures->again;
    sum->lost += figures->lost;
    sum->flushes = figures->flushes;
    sum->writes = figures->writes;
    sum->possible = figures->possible;
    if (sum->why[0] == '\0') {
        memcpy(sum->why, figures->why, sizeof(sum->why));
    }
}

/* Images of the recorded history until the time is up; at least one pass. */
static int try_until(struct crash *crash, const struct options *options, double end,
                     struct crash_figures *sum)
{
    const struct crash_options wanted = {.images = options->all ? 0 : PASS_IMAGES,
                                         .subsets = SUBSETS, .again = AGAIN,
                                         .save = options->save};
    int error;
    do {
        struct crash_figures figures;
        error = crash_try_images(crash, &wanted, &figures);
        add_figures(sum, &figures);
    } while (error == 0 && sum->lost == 0 && !options->all && now_s() < end);
    return error;
}

/* A fresh file system for each history; what the one before it left in the arena is given back. */
static int record(struct crash *crash, size_t mark, enum planted planted, unsigned retries,
                  char *ret_why)
{
    crash->mounts->disk->arena_used = mark;
    block_disk_show(crash->mounts->disk, crash->blank);
    return crash_record(crash, planted, retries, ret_why);
}

static int report(const struct crash *crash, const char *what, int error, const char *why,
                  const struct crash_figures *figures, double started)
{
    const char *name = crash->mounts->filesystem->name;
    printf("%s, %s: %zu crash images, %zu more in recovery, %zu lost (%.1f s)\n", name, what,
           figures->images, figures->again, figures->lost, now_s() - started);
    if (error < 0) {
        printf("%s, %s: FAILED: %s\n", name, what, why);
    }
    if (figures->lost > 0) {
        printf("%s, %s: LOST: %s\n", name, what, figures->why);
    }
    fflush(stdout);
    return error < 0 || figures->lost > 0 ? 1 : 0;
}

/* ---- the campaigns ---- */

static int crashes(struct crash *crash, const struct options *options, size_t mark, double seconds)
{
    struct crash_figures sum = {0};
    char why[HISTORY_TEXT_MAX] = "";
    double started = now_s();
    history_make(&crash->history);
    int error = record(crash, mark, PLANTED_NOTHING, 0, why);
    if (error == 0) {
        error = try_until(crash, options, started + seconds, &sum);
        printf("%s: %zu calls, %zu writes, %zu flushes; %zu images can be made of them\n",
               crash->mounts->filesystem->name, crash->done, sum.writes, sum.flushes,
               sum.possible);
    }
    return report(crash, "crashes", error, why, &sum, started);
}

static int full(struct crash *crash, const struct options *options, size_t mark, double seconds)
{
    int failed = 0;
    char why[HISTORY_TEXT_MAX] = "";
    const char *name;
    bool is_mixed = crash->mounts->filesystem->is_mixed;
    for (unsigned i = 0; (name = history_make_full(&crash->history, i, is_mixed)) != NULL; i++) {
        struct crash_figures sum = {0};
        char what[120];
        double started = now_s();
        int error = record(crash, mark, PLANTED_NOTHING, 0, why);
        if (error == 0) {
            error = try_until(crash, options, started + seconds / 5, &sum);
        }
        snprintf(what, sizeof(what), "%s (%zu calls refused, with a reason)", name,
                 crash->refused);
        failed |= report(crash, what, error, why, &sum, started);
    }
    return failed;
}

/* The k-th write or flush fails, once or with all that follow. */
static int errors(struct crash *crash, const struct options *options, size_t mark, double seconds)
{
    struct crash_figures sum = {0};
    struct block_disk *disk = crash->mounts->disk;
    char why[HISTORY_TEXT_MAX] = "", what[120];
    double started = now_s();
    size_t runs = 0, failed = 0, from, count;
    history_make(&crash->history);
    int error = record(crash, mark, PLANTED_NOTHING, 0, why);
    from = crash->begin[1];
    count = crash->op_count - from;
    const struct crash_options wanted = {.at_the_end = true, .save = options->save,
                                         .kinds = 1u << IMAGE_NOTHING | 1u << IMAGE_PREFIX};
    while (error == 0 && sum.lost == 0 && runs < 2 * count &&
           (options->all || runs < 2 || now_s() < started + seconds)) {
        struct crash_figures figures;
        disk->fail_count = runs % 2 == 0 ? 1 : SIZE_MAX;
        disk->fail_from = from + (options->all ? runs / 2 : crash_random(crash, count));
        failed += record(crash, mark, PLANTED_NOTHING, 2, why) < 0 ? 1 : 0;
        error = crash_try_images(crash, &wanted, &figures);
        add_figures(&sum, &figures);
        runs++;
    }
    snprintf(what, sizeof(what), "errors (%zu broken disks, %zu of them ended the keeper's life)",
             runs, failed);
    return report(crash, what, error, why, &sum, started);
}

/* ---- planted bugs ---- */

static const struct planted_case {
    enum planted planted;
    unsigned kinds, calls; /* where its harm shows; 0: anywhere */
    bool on_full_disk;
    const char *safe_on;   /* type of file system that hides it; NULL: none */
} planted_cases[] = {
    {PLANTED_NO_FILE_SYNC, 1u << IMAGE_NOTHING, 0, false, NULL},
    {PLANTED_NO_RECORD_SYNC, 1u << IMAGE_NOTHING, 0, false, NULL},
    {PLANTED_NO_DIR_SYNC, 1u << IMAGE_NOTHING, 0, false, NULL},
    {PLANTED_MADE_LATE, 0, 0, true, NULL},
    /* Copied blocks are whole or not there. */
    {PLANTED_IN_PLACE, 1u << IMAGE_TORN, 1u << CALL_RECORD | 1u << CALL_MARK, false, "btrfs"},
};

/* Whether it was caught; how, in ret_how. On a full disk by a call that must not fail. */
static bool is_caught(struct crash *crash, const struct planted_case *planted, size_t mark,
                      char *ret_how, size_t size)
{
    struct crash_figures figures = {0};
    char why[HISTORY_TEXT_MAX] = "";
    if (planted->on_full_disk) {
        history_make_full(&crash->history, 1, false);
    } else {
        history_make(&crash->history);
    }
    int error = record(crash, mark, planted->planted, 0, why);
    if (error == 0) {
        const struct crash_options wanted = {.subsets = 1, .kinds = planted->kinds,
                                             .calls = planted->calls};
        error = crash_try_images(crash, &wanted, &figures);
    }
    snprintf(ret_how, size, "%s", error < 0 ? why : figures.why);
    return figures.lost > 0 || (planted->on_full_disk && error == -ENOSPC);
}

static int planted(struct crash *crash, const struct options *options, size_t mark, double seconds)
{
    (void)options; /* as many images as it takes to catch it */
    (void)seconds;
    const struct filesystem *filesystem = crash->mounts->filesystem;
    int failed = 0;
    for (size_t i = 0; i < sizeof(planted_cases) / sizeof(*planted_cases); i++) {
        const struct planted_case *at = &planted_cases[i];
        char how[HISTORY_TEXT_MAX + 200];
        bool caught = is_caught(crash, at, mark, how, sizeof(how));
        bool is_safe = at->safe_on != NULL && strcmp(at->safe_on, filesystem->type) == 0;
        printf("%s, planted: %s: %s%s\n", filesystem->name, planted_name(at->planted),
               caught ? "caught: " : is_safe ? "does no harm here" : "NOT CAUGHT", how);
        fflush(stdout);
        failed |= caught || is_safe ? 0 : 1;
    }
    return failed;
}

static const struct campaign {
    const char *name;
    int (*run)(struct crash *crash, const struct options *options, size_t mark, double seconds);
    double share; /* of the time */
} campaigns[] = {{"crashes", crashes, 0.5}, {"errors", errors, 0.25}, {"full", full, 0.25},
                 {"planted", planted, 0}};

#define CAMPAIGN_COUNT (sizeof(campaigns) / sizeof(*campaigns))

static int run_campaigns(struct crash *crash, const struct options *options)
{
    size_t mark = crash->mounts->disk->arena_used;
    int failed = 0;
    for (size_t i = 0; i < CAMPAIGN_COUNT; i++) {
        if (options->only == NULL) {
            failed |= campaigns[i].run(crash, options, mark,
                                       options->seconds * campaigns[i].share);
        } else if (strcmp(options->only, campaigns[i].name) == 0) {
            failed |= campaigns[i].run(crash, options, mark, options->seconds);
        }
    }
    return failed;
}

static bool is_campaign(const char *name)
{
    for (size_t i = 0; i < CAMPAIGN_COUNT; i++) {
        if (strcmp(campaigns[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- the command line ---- */

static const struct argp_option argp_options[] = {
    {"seconds", 't', "N", 0, "Time for the images of all campaigns but planted (8)", 0},
    {"only", 'c', "NAME", 0, "One campaign: crashes, errors, full or planted", 0},
    {"all", 'a', NULL, 0, "Every image that can be made, and every broken disk, once", 0},
    {"seed", 's', "N", 0, "What is drawn by lot (1)", 0},
    {"save", 'o', "FILE", 0, "Where to put the image of the first loss", 0},
    {0}};

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct options *options = state->input;
    switch (key) {
    case 't':
        options->seconds = strtod(argument, NULL);
        return 0;
    case 'a':
        options->all = true;
        return 0;
    case 'c':
        options->only = argument;
        if (!is_campaign(argument)) {
            argp_error(state, "no campaign %s", argument);
        }
        return 0;
    case 's':
        options->seed = strtoull(argument, NULL, 0);
        return 0;
    case 'o':
        options->save = argument;
        return 0;
    case ARGP_KEY_ARG:
        options->filesystem = filesystem_find(argument);
        if (options->filesystem == NULL) {
            argp_error(state, "no file system %s; there are ext4, xfs, btrfs, ext4-writeback, "
                       "btrfs-mixed", argument);
        }
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp argp = {argp_options, parse, "FILESYSTEM",
        "The credential store on a real file system: crashes, broken disks, full disks and "
        "planted bugs.\vFILESYSTEM is ext4, xfs, btrfs, ext4-writeback or btrfs-mixed.",
        NULL, NULL, NULL};
    struct options options = {.seconds = 8, .seed = 1};
    struct mounts mounts;
    struct crash crash;
    argp_parse(&argp, argc, argv, 0, NULL, &options);
    if (mounts_open(&mounts, options.filesystem) < 0) {
        printf("skipped: %s: %s\n", options.filesystem->name, mounts.reason);
        mounts_close(&mounts);
        return EXIT_SKIPPED;
    }
    crash_init(&crash, &mounts, options.seed);
    int failed = run_campaigns(&crash, &options);
    crash_deinit(&crash);
    mounts_close(&mounts);
    return failed;
}
