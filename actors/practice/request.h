/* SPDX-License-Identifier: Apache-2.0 */
/* What the server's loop needs of a request. */
#pragma once

#include <microhttpd.h>

#include "server.h"

/* libmicrohttpd's callbacks; `arg` is the struct practice. */
enum MHD_Result request_on_part(void *arg, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *upload_data,
                                size_t *upload_size, void **slot);
void request_on_end(void *arg, struct MHD_Connection *connection, void **slot,
                    enum MHD_RequestTerminationCode code);
/* Its time has come. */
void request_resume(struct request *request);
