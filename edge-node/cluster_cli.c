/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster_cli.c: see cluster_cli.h.
 */
#include "edge-node/cluster_cli.h"

#include <getopt.h>
#include <stdio.h>

#include "common/io/admin_ask.h"
#include "common/io/listen.h"

#define ADMIN_DEFAULT "127.0.0.1:9100"

static const char usage[] =
    "Usage: fanfare-edge cluster [--admin HOST:PORT] [--json]\n\n"
    "Prints the cluster as a running edge sees it: its nodes, their state and load.\n\n"
    "  --admin HOST:PORT  the edge's admin listener (default: " ADMIN_DEFAULT ")\n"
    "  --json             for programs, instead of a table\n\n"
    "Exit status: 0; 1 if the edge doesn't answer; 2 if the arguments are wrong.\n";

static int ask(const char *admin, bool json)
{
    struct buf body = BUF_INIT;
    char why[300];
    int status = 0, rc = 1;

    if (admin_ask(admin, json ? "/cluster" : "/cluster?format=text", &status, &body, why,
                  sizeof(why))) {
        fprintf(stderr,
                "fanfare-edge cluster: no answer: %s; is --admin the edge's admin_listen?\n", why);
    } else if (status != 200) {
        fprintf(stderr, "fanfare-edge cluster: it answered %d\n", status);
    } else {
        (void)fwrite(body.p ? body.p : "", 1, body.n, stdout);
        rc = 0;
    }
    buf_done(&body);
    return rc;
}

int cluster_cli(int argc, char **argv)
{
    static const struct option options[] = {{"admin", required_argument, NULL, 'a'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *admin = ADMIN_DEFAULT;
    bool json = false;
    char why[300];

    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'h') {
            fputs(usage, stdout);
            return 0;
        }
        if (c == '?') {
            fputs(usage, stderr);
            return 2;
        }
        admin = c == 'a' ? optarg : admin;
        json = json || c == 'j';
    }
    if (optind < argc || listen_check(admin, why, sizeof(why))) {
        fputs(usage, stderr);
        return 2;
    }
    return ask(admin, json);
}
