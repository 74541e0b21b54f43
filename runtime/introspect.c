/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

void inspection_free(struct inspection *inspection)
{
    (void)inspection;
}
