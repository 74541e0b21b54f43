/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "import_place.h"

int import_place_setup(void **state)
{
    struct import_place *place = calloc(1, sizeof(*place));
    *state = place;
    return temp_dir_make(place->directory);
}

int import_place_teardown(void **state)
{
    struct import_place *place = *state;
    import_list_deinit(&place->list);
    temp_dir_remove(place->directory);
    free(place);
    return 0;
}

void import_place_write(const struct import_place *place, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", place->directory, name);
    for (char *at = path + strlen(place->directory) + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

int import_place_read(struct import_place *place, const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s%s%s", place->directory, name[0] == '\0' ? "" : "/", name);
    import_list_deinit(&place->list);
    return import_read(path, &place->list, place->why, sizeof(place->why));
}

void import_place_read_ok(struct import_place *place, const char *name, size_t count)
{
    if (import_place_read(place, name) != 0) {
        fail_msg("%s", place->why);
    }
    assert_string_equal(place->why, "");
    assert_int_equal(place->list.count, count);
}
