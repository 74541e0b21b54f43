/* SPDX-License-Identifier: Apache-2.0 */
/* A process at the other end of a link: link_process NAME dial ENDPOINT PEER, or
 * link_process NAME listen ENDPOINT [ALIAS PEER ACTOR]..., where ALIAS then stands for ACTOR in the
 * process PEER. Says one line when it is ready and ends when it is told to, or with its parent. */
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
    for (int i = 4; argv[2][0] == 'l' && i + 2 < argc && error == 0; i += 3)
        error = runtime_register(runtime, argv[i],
                                 runtime_remote(runtime, argv[i + 1], argv[i + 2]));
    printf("%d\n", error);
    fflush(stdout);
    if (error == 0)
        runtime_wait(runtime);
    runtime_free(runtime);
    return error != 0;
}
