/* SPDX-License-Identifier: Apache-2.0 */
/*
 * coord_conf.c: the checks across coordination's knobs. @thread boot
 */
#include "common/io/coord_conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/io/coord_kube.h"
#include "common/io/http.h"

static void check_file(const char *knob, const char *path, struct buf *errors)
{
    if (path[0] && access(path, R_OK) != 0)
        buf_printf(errors, "%s: can't read %s\n", knob, path);
}

static const char *variable(const char *name)
{
    return getenv(name); // NOLINT(concurrency-mt-unsafe): nobody sets any
}

static void end_text(struct buf *b)
{
    buf_byte(b, '\0');
    b->n--;
}

void coord_conf_kubernetes(const struct coord_conf *c, struct buf *url, struct buf *space,
                           struct buf *errors)
{
    char path[512], why[128];

    buf_str(url, c->kubernetes_url);
    end_text(url);
    if (url->n && http_url_check(url->p, why, sizeof(why)))
        buf_printf(errors, "kubernetes_url: %s\n", why);
    if (!url->n && !kube_server_url(url, variable("KUBERNETES_SERVICE_HOST"),
                                    variable("KUBERNETES_SERVICE_PORT")))
        buf_lit(errors,
                "kubernetes_url: needed where there is no KUBERNETES_SERVICE_HOST, as every "
                "pod has\n");
    snprintf(path, sizeof(path), "%s/namespace", c->kubernetes_account);
    if (conf_file_text(path, "kubernetes_account", space, errors))
        buf_clear(space);
    end_text(space);
}

/* The token is read by whoever asks, and only looked for here. */
static void check_kubernetes(const struct coord_conf *c, struct buf *errors)
{
    struct buf url = BUF_INIT, space = BUF_INIT;
    char path[512];

    coord_conf_kubernetes(c, &url, &space, errors);
    snprintf(path, sizeof(path), "%s/token", c->kubernetes_account);
    check_file("kubernetes_account", path, errors);
    snprintf(path, sizeof(path), "%s/ca.crt", c->kubernetes_account);
    if (!strncmp(url.p, "https:", 6))
        check_file("kubernetes_account", path, errors);
    if (!c->kubernetes_service[0])
        buf_lit(errors, "kubernetes_service: expected the name of the edges' headless Service\n");
    buf_done(&url);
    buf_done(&space);
}

void coord_conf_check(const struct coord_conf *c, struct buf *errors)
{
    char why[128];

    if (c->coordination == COORDINATION_KUBERNETES)
        check_kubernetes(c, errors);
    if (c->coordination != COORDINATION_CONSUL)
        return;
    if (http_url_check(c->consul_url, why, sizeof(why)))
        buf_printf(errors, "consul_url: %s\n", why);
    check_file("consul_ca", c->consul_ca, errors);
    check_file("consul_cert", c->consul_cert, errors);
    check_file("consul_key", c->consul_key, errors);
    if (!c->consul_cert[0] != !c->consul_key[0])
        buf_lit(errors, "consul_key: consul_cert and consul_key go together\n");
}
