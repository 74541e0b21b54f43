/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the example frames to the folder given as the one argument. */
#include "frame_vectors.h"

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 64;
    }
    struct frame_vector vector;
    for (size_t i = 0; frame_vector_make(i, &vector); i++) {
        char path[4096], text[2 * sizeof vector.bytes + 2];
        snprintf(path, sizeof path, "%s/%s.hex", argv[1], vector.name);
        FILE *file = fopen(path, "w");
        if (file == NULL) {
            perror(path);
            return 1;
        }
        frame_vector_print(&vector, text);
        fputs(text, file);
        if (fclose(file) != 0) {
            perror(path);
            return 1;
        }
    }
    return 0;
}
