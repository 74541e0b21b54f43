/* SPDX-License-Identifier: Apache-2.0 */
/* A blocking question to a practice provider on loopback, for who starts one. */
#pragma once

#include <stdint.h>

/* GET, or POST with `body` when it is not NULL. *ret_body is malloc'd text. 0; -EBADMSG when the
 * answer is not 200; another negative errno. */
int practice_fetch(uint16_t port, const char *path, const char *body, char **ret_body);
