/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connect.c: see connect.h. No state.
 */
#include "edge-node/connect.h"

#include "common/base/clock.h"

#include "edge-node/cluster.h"
#include "edge-node/edge_metric.h"
#include "edge-node/place.h"

static void write_endpoint(struct buf *out, const struct cluster_endpoint *e, const char *path)
{
    struct buf url = BUF_INIT;

    buf_str(&url, e->url);
    buf_str(&url, path);
    buf_lit(out, "{\"transport\":\"websocket\",\"endpoint\":");
    buf_json_string(out, buf_as_slice(&url));
    buf_lit(out, ",\"node\":");
    buf_json_string(out, slice_of(e->node));
    buf_lit(out, ",\"region\":");
    buf_json_string(out, slice_of(e->region));
    buf_byte(out, '}');
    buf_done(&url);
}

static int refuse(struct buf *body, int status, const char *why)
{
    buf_lit(body, "{\"endpoints\":[],\"error\":");
    buf_json_string(body, slice_of(why));
    buf_lit(body, "}\n");
    return status;
}

int connect_answer(const struct connect_by *by, const struct connect_ask *ask, struct buf *body,
                   struct buf *location)
{
    struct cluster_endpoint at[CLUSTER_ENDPOINTS_MAX];
    struct place place;
    int placed = -1;
    size_t n;

    if (ask->transport.n && !slice_eq(ask->transport, SLICE("websocket")))
        return refuse(body, 400, "transport: only websocket is here");
    if (ask->channel.n) {
        placed = place_of(by->nss, by->feed, ask->channel, &place);
        place_count(placed);
    }
    n = cluster_place(by->cluster, placed == 0 ? slice_of(place.name) : SLICE(""), clock_mono_ms(),
                      at);
    if (!n)
        return refuse(body, 503, "no edge takes clients; ask again");
    METRIC_ADD(endpoints_told, 1);
    buf_lit(body, "{\"endpoints\":[");
    for (size_t i = 0; i < n; i++) {
        buf_str(body, i ? "," : "");
        write_endpoint(body, &at[i], by->path);
    }
    buf_byte(body, ']');
    if (placed == 0) {
        buf_lit(body, ",\"place\":");
        buf_json_string(body, slice_of(place.name));
    }
    buf_lit(body, "}\n");
    buf_str(location, at[0].url);
    buf_str(location, by->path);
    return 200;
}
