/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cluster_cli.h: `fanfare-edge cluster`: asks a running edge for its view of the cluster, and
 * prints it. @thread boot
 */
#pragma once

/* argv[0] is "cluster". The exit status: 0; 1: no answer; 2: wrong arguments. */
int cluster_cli(int argc, char **argv);
