/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c: fanfare-loadgen: `oracle` as first word is the oracle's process, else one run. @thread
 * main
 */
#include <errno.h>
#include <string.h>

#include "loadgen/oracle.h"
#include "loadgen/run.h"

/* --drop-one is short for --set drop_one=true. */
static bool take_drop_one(int *argc, char **argv)
{
    bool found = false;
    int n = 0;
    for (int i = 0; i < *argc; i++) {
        if (!strcmp(argv[i], "--drop-one"))
            found = true;
        else
            argv[n++] = argv[i];
    }
    argv[n] = NULL;
    *argc = n;
    return found;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "oracle"))
        return oracle_main();
    bool drop_one = take_drop_one(&argc, argv);
    struct settings st;
    int r = settings_load(&st, argc, argv);
    if (r)
        return r < 0 ? 2 : 0;
    st.conf.drop_one = st.conf.drop_one || drop_one;
    int status = run_main(&st);
    settings_done(&st);
    return status;
}
