/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Makes libcurl and jansson wipe what they free, for tokens pass through both. Once, when the
 * process starts, before either is used by a second thread; harmless later. 0 or -ENOMEM. */
int wipe_install(void);
