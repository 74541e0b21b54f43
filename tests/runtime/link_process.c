/* SPDX-License-Identifier: Apache-2.0 */
/* A process at the other end of a link: link_process NAME listen|dial ENDPOINT [PEER]. Says one
 * line when it is ready and ends when it is told to, or with its parent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "link_actors.h"

int main(int argc, char **argv)
{
    prctl(PR_SET_PDEATHSIG, 9);
    if (argc < 4)
        return 64;
    struct runtime *runtime = link_test_runtime(argv[1], PEER_NODE);
    int error = strcmp(argv[2], "listen") == 0 ? link_listen(runtime, argv[3])
                                               : link_dial(runtime, argv[4], argv[3]);
    printf("%d\n", error);
    fflush(stdout);
    if (error == 0)
        runtime_wait(runtime);
    runtime_free(runtime);
    return error != 0;
}
