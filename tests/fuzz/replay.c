/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over the files of folders, once each, in a block of exactly their size.
 * `fuzz_x FOLDER...`; a folder without files is a failure, for then nothing was tried. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>

#include "fuzz.h"

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) < 0)
        return -errno;
    long size = ftell(file);
    uint8_t *bytes = malloc(size > 0 ? (size_t)size : 1);
    assert(size >= 0 && bytes);
    rewind(file);
    size_t got = fread(bytes, 1, (size_t)size, file);
    fclose(file);
    assert(got == (size_t)size);
    LLVMFuzzerTestOneInput(bytes, got);
    free(bytes);
    return 0;
}

/* Files of the folder, or negative errno. */
static int replay_folder(const char *folder)
{
    struct dirent **names;
    int found = scandir(folder, &names, NULL, alphasort), done = 0;

    for (int i = 0; i < found; i++) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
        bool hidden = names[i]->d_name[0] == '.';
        free(names[i]);
        if (hidden)
            continue;
        fprintf(stderr, "%s\n", path); /* the last line tells which one failed */
        int error = replay_file(path);
        if (error < 0)
            fprintf(stderr, "%s\n", strerror(-error));
        assert(error == 0);
        done++;
    }
    if (found >= 0)
        free(names);
    return found < 0 ? -errno : done;
}

int main(int count, char **arguments)
{
    for (int i = 1; i < count; i++) {
        int done = replay_folder(arguments[i]);
        if (done <= 0) {
            fprintf(stderr, "%s: no inputs\n", arguments[i]);
            return 1;
        }
        printf("%s: %d inputs\n", arguments[i], done);
    }
    return count > 1 ? 0 : 64;
}
