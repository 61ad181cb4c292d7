/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fleet.c: see fleet.h.
 */
#include "loadgen/fleet.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loadgen/crew.h"
#include "loadgen/plan.h"

int run_complain(const char *what, const char *why)
{
    (void)fprintf(stderr, "fanfare-loadgen: %s: %s\n", what, why);
    return -ECANCELED;
}

char *fleet_path(const struct fleet *fl, const char *name, uint32_t n)
{
    struct buf b = BUF_INIT;
    buf_printf(&b, "%s/%s%u", fl->dir, name, n);
    buf_byte(&b, 0);
    return b.p;
}

int fleet_init(struct fleet *fl, const struct settings *st)
{
    *fl = (struct fleet){.st = st};
    fl->shared_size = sizeof *fl->sh + fl->st->processes * sizeof fl->sh->crews[0];
    void *mem =
        mmap(NULL, fl->shared_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mem == MAP_FAILED)
        return run_complain("shared memory", strerror(errno));
    fl->sh = mem;
    for (uint32_t i = 0; i < fl->st->processes; i++) {
        hist_init(&fl->sh->crews[i].connect_ns);
        hist_init(&fl->sh->crews[i].latency_ns);
        hist_init(&fl->sh->crews[i].resume_ns);
    }
    fl->crews = mem_zalloc(fl->st->processes * sizeof *fl->crews);
    fl->own_dir = !fl->st->conf.dir[0];
    const char *tmp = getenv("TMPDIR");
    struct buf dir = BUF_INIT;
    if (fl->own_dir)
        buf_printf(&dir, "%s/fanfare-loadgen.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    else
        buf_str(&dir, fl->st->conf.dir);
    buf_byte(&dir, 0);
    fl->dir = dir.p;
    if (fl->own_dir && !mkdtemp(fl->dir)) {
        fl->own_dir = false;
        return run_complain(fl->dir, strerror(errno));
    }
    fl->ends_path = fleet_path(fl, "ends", 0);
    (void)unlink(fl->ends_path);
    return 0;
}

/* A child: which < 0 is the producer. */
static pid_t start_child(struct fleet *fl, int which)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGINT, SIG_IGN); /* the main process leads to the end */
    (void)signal(SIGTERM, SIG_IGN);
    int status;
    if (which < 0) {
        status = plan_main(fl->st, fl->sh);
    } else {
        char *log = fleet_path(fl, "log", (uint32_t)which);
        status = crew_main(fl->st, fl->sh, (uint32_t)which, log, fl->ends_path);
        free(log);
    }
    (void)fflush(NULL);
    _exit(status);
}

int fleet_start(struct fleet *fl)
{
    for (uint32_t i = 0; i < fl->st->processes; i++) {
        fl->crews[i] = start_child(fl, (int)i);
        if (fl->crews[i] < 0)
            return run_complain("fork", strerror(errno));
    }
    if (fl->st->conf.rate > 0) {
        fl->plan = start_child(fl, -1);
        if (fl->plan < 0)
            return run_complain("fork", strerror(errno));
    }
    return 0;
}

int fleet_alive(struct fleet *fl)
{
    int status;
    for (uint32_t i = 0; i < fl->st->processes; i++) {
        if (fl->crews[i] > 0 && waitpid(fl->crews[i], &status, WNOHANG) > 0) {
            fl->crews[i] = 0;
            return run_complain("clients", "a process ended early");
        }
    }
    if (fl->plan > 0 && waitpid(fl->plan, &status, WNOHANG) > 0) {
        fl->plan = 0;
        if (status != 0 || !stat_get(&fl->sh->plan.done))
            return run_complain("producer", "it ended early");
    }
    return 0;
}

int fleet_join(struct fleet *fl)
{
    int err = 0;
    fl->sh->phase = PHASE_STOP;
    for (uint32_t i = 0; i < fl->st->processes; i++) {
        int status = 0;
        while (waitpid(fl->crews[i], &status, 0) < 0 && errno == EINTR)
            ;
        fl->crews[i] = 0;
        if (status)
            err = run_complain("clients", "a process failed");
    }
    return err;
}

static void end_child(pid_t *pid)
{
    if (*pid <= 0)
        return;
    (void)kill(*pid, SIGKILL);
    while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
        ;
    *pid = 0;
}

void fleet_done(struct fleet *fl)
{
    for (uint32_t i = 0; fl->crews && i < fl->st->processes; i++) {
        end_child(&fl->crews[i]);
        char *log = fleet_path(fl, "log", i);
        if (fl->own_dir)
            (void)unlink(log);
        free(log);
    }
    end_child(&fl->plan);
    if (fl->ends_path)
        (void)unlink(fl->ends_path);
    if (fl->own_dir)
        (void)rmdir(fl->dir);
    if (fl->sh)
        (void)munmap(fl->sh, fl->shared_size);
    free(fl->crews);
    free(fl->ends_path);
    free(fl->dir);
}
