/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Set by the build from the project version; peers of another version are drained. */
#ifndef QUEENRIGHT_VERSION
#error "QUEENRIGHT_VERSION is not set by the build"
#endif
