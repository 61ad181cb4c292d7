/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c: see command.h. A message that is not the protocol closes the client with 3501; a
 * command that can't be done is answered with its error and disturbs nothing else.
 */
#include "edge-node/command.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/utf8.h"

#include "edge-node/auth.h"
#include "edge-node/edge_metric.h"
#include "edge-node/history.h"
#include "edge-node/place.h"
#include "edge-node/sub.h"

static void answer_error(struct session *s, const struct command *cmd, int code)
{
    METRIC_ADD(command_errors, 1);
    s->proto->error(&s->out, cmd->id, code, NULL);
    session_dirty(s);
}

static void client_id(const struct session *s, char dst[37])
{
    static const char hex[] = "0123456789abcdef";
    char *p = dst;

    for (size_t i = 0; i < sizeof(s->id); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = hex[s->id[i] >> 4];
        *p++ = hex[s->id[i] & 15];
    }
    *p = '\0';
}

/* ---- connect ---- */

static void finish_connect(struct session *s)
{
    struct buf subs = BUF_INIT, data = BUF_INIT, backlog = s->backlog;
    char id[37];
    struct proto_connect r = {.client = id, .node = s->h->node};
    struct sub *sub;

    list_for_each(sub, &s->subs, in_session)
        sub_result(sub, &subs);
    client_id(s, id);
    r.ttl_s = s->user ? auth_ttl(s->user->exp_s) : -1;
    r.ping_s = s->h->conf->ping_interval / 1000;
    r.subs = buf_as_slice(&subs);
    place_tell(s, &data);
    r.data = buf_as_slice(&data);
    s->proto->connect(&s->out, s->connect_id, &r);
    session_dirty(s);
    buf_done(&subs);
    buf_done(&data);
    list_for_each(sub, &s->subs, in_session)
        buf_done(&sub->pull->first);
    s->first_bytes = 0;
    sub_release_held(s);
    s->state = SESSION_READY;
    s->backlog = BUF_INIT;
    if (backlog.n)
        command_run(s, buf_as_slice(&backlog));
    buf_done(&backlog);
}

void session_sub_answered(struct session *s)
{
    must(s->unanswered);
    if (--s->unanswered == 0 && s->state == SESSION_CONNECTING)
        finish_connect(s);
}

void session_sub_failed(struct session *s, int code)
{
    session_close(s,
                  code == ERROR_NOT_AVAILABLE ? DISCONNECT_NOT_AVAILABLE : DISCONNECT_SERVER_ERROR);
}

static int find_namespace(const struct session *s, struct slice channel,
                          const struct namespace **ret)
{
    struct slice key;

    switch (namespaces_of_channel(s->h->nss, channel, ret, &key)) {
    case 0:
        return 0;
    case -ENOENT:
        return ERROR_UNKNOWN_CHANNEL;
    default:
        return ERROR_BAD_REQUEST;
    }
}

/* The channels that the token grants at connect. Who may resume one of them may resume all: of a
 * connect that is refused for its last one, the next try has as many. */
static void subscribe_granted(struct session *s, const struct command *cmd)
{
    const struct user *u = s->user;
    bool admitted = false;

    for (size_t i = 0; u && i < u->channel_count; i++) {
        struct slice name = slice_of(u->channels[i]);
        const struct namespace *ns;
        struct cursor cursor = {0};
        if (find_namespace(s, name, &ns) || sub_find(s, name) ||
            s->sub_count >= (uint32_t)s->h->conf->channels_max)
            continue; /* a token's mistake: the others are served */
        if (!s->proto->connect_sub(cmd, name, &cursor))
            cursor = (struct cursor){0};
        if (cursor.recover && !hub_admit(s->h) && !admitted) {
            METRIC_ADD(recover_errors, 1);
            session_sub_failed(s, ERROR_TOO_MANY_REQUESTS);
            return;
        }
        admitted |= cursor.recover;
        s->unanswered++;
        sub_new(s, hub_channel(s->h, ns, name), 0, &cursor, 0, true);
    }
}

static int authenticate(struct session *s, const struct command *cmd)
{
    if (cmd->token.n)
        return auth_connect(s->h->conf, s->h->keys, cmd->token, &s->user);
    return s->h->conf->anonymous ? 0 : ERROR_UNAUTHORIZED;
}

static void do_connect(struct session *s, const struct command *cmd)
{
    uint64_t ping = (uint64_t)s->h->conf->ping_interval;
    uint16_t spread;
    int rc;

    if (s->state != SESSION_NEW || cmd->bad || !cmd->id) {
        session_close(s, DISCONNECT_BAD_REQUEST);
        return;
    }
    rc = authenticate(s, cmd);
    if (rc >= 3000) {
        session_close(s, (uint16_t)rc);
        return;
    }
    if (rc) {
        answer_error(s, cmd, rc);
        return;
    }
    s->state = SESSION_CONNECTING;
    s->connect_id = cmd->id;
    METRIC_ADD(sessions, 1);
    memcpy(&spread, s->id, sizeof(spread)); /* clients that came together are not pinged together */
    s->ping_ms = s->h->now_ms + ping / 2 + ping / 2 * spread / UINT16_MAX;
    session_set_timer(s);
    subscribe_granted(s, cmd);
    if (!s->unanswered && s->state == SESSION_CONNECTING)
        finish_connect(s);
}

/* ---- subscribe, unsubscribe ---- */

static int may_subscribe(struct session *s, const struct command *cmd, const struct namespace *ns,
                         int64_t *ret_exp_s)
{
    if (cmd->token.n)
        return auth_subscribe(s->h->conf, s->h->keys, s->user, cmd->channel, cmd->token, ret_exp_s);
    return auth_may(s->user, ns, cmd->channel) ? 0 : ERROR_PERMISSION_DENIED;
}

static void do_subscribe(struct session *s, const struct command *cmd)
{
    const struct namespace *ns;
    int64_t exp_s = 0;
    int rc;

    if (cmd->bad || !cmd->channel.p)
        rc = ERROR_BAD_REQUEST;
    else if (cmd->sub_type)
        rc = ERROR_NOT_AVAILABLE;
    else if (!(rc = find_namespace(s, cmd->channel, &ns)) && sub_find(s, cmd->channel))
        rc = ERROR_ALREADY_SUBSCRIBED;
    else if (!rc && s->sub_count >= (uint32_t)s->h->conf->channels_max)
        rc = ERROR_LIMIT_EXCEEDED;
    else if (!rc)
        rc = may_subscribe(s, cmd, ns, &exp_s);
    if (!rc && cmd->cursor.recover && !hub_admit(s->h)) {
        METRIC_ADD(recover_errors, 1);
        rc = ERROR_TOO_MANY_REQUESTS;
    }
    if (rc) {
        answer_error(s, cmd, rc);
        return;
    }
    sub_new(s, hub_channel(s->h, ns, cmd->channel), cmd->id, &cmd->cursor, exp_s, false);
    if (exp_s)
        session_set_timer(s);
}

static void do_unsubscribe(struct session *s, const struct command *cmd)
{
    struct sub *sub = cmd->channel.p ? sub_find(s, cmd->channel) : NULL;

    if (cmd->bad || !cmd->channel.p) {
        answer_error(s, cmd, ERROR_BAD_REQUEST);
        return;
    }
    if (sub)
        sub_free(sub);
    s->proto->unsubscribe(&s->out, cmd->id);
    session_dirty(s);
}

/* ---- refresh ---- */

static void do_refresh(struct session *s, const struct command *cmd)
{
    struct user *u = NULL;
    char id[37];
    int rc = cmd->bad || !cmd->token.n ? ERROR_BAD_REQUEST
                                       : auth_connect(s->h->conf, s->h->keys, cmd->token, &u);

    if (!rc && s->user && strcmp(u->id, s->user->id) != 0) { /* somebody else's */
        user_free(u);
        rc = DISCONNECT_INVALID_TOKEN;
    }
    if (rc >= 3000) {
        session_close(s, (uint16_t)rc);
        return;
    }
    if (rc) {
        answer_error(s, cmd, rc);
        return;
    }
    user_free(s->user);
    s->user = u;
    client_id(s, id);
    s->proto->refresh(&s->out, cmd->id, false, id, auth_ttl(u->exp_s));
    session_dirty(s);
    session_set_timer(s);
}

static void do_sub_refresh(struct session *s, const struct command *cmd)
{
    struct sub *sub = cmd->channel.p ? sub_find(s, cmd->channel) : NULL;
    int64_t exp_s;
    int rc;

    if (cmd->bad || !sub)
        rc = ERROR_BAD_REQUEST;
    else
        rc = auth_subscribe(s->h->conf, s->h->keys, s->user, cmd->channel, cmd->token, &exp_s);
    if (rc) {
        answer_error(s, cmd, rc);
        return;
    }
    sub->exp_s = exp_s;
    s->proto->refresh(&s->out, cmd->id, true, "", auth_ttl(exp_s));
    session_dirty(s);
    session_set_timer(s);
}

/* ---- history ---- */

static void do_history(struct session *s, const struct command *cmd)
{
    const struct namespace *ns;
    int64_t exp_s;
    int rc = cmd->bad || !cmd->channel.p ? ERROR_BAD_REQUEST : find_namespace(s, cmd->channel, &ns);

    if (!rc && ns->conf->history == NS_HISTORY_OFF)
        rc = ERROR_NOT_AVAILABLE;
    if (!rc && !sub_find(s, cmd->channel))
        rc = may_subscribe(s, cmd, ns, &exp_s);
    if (!rc && s->requests >= HISTORY_REQUESTS_MAX)
        rc = ERROR_TOO_MANY_REQUESTS;
    if (rc)
        answer_error(s, cmd, rc);
    else
        history_new(s, hub_channel(s->h, ns, cmd->channel), cmd);
}

/* ---- all of them ---- */

static void run_connected(struct session *s, const struct command *cmd)
{
    switch (cmd->type) {
    case COMMAND_SUBSCRIBE:
        do_subscribe(s, cmd);
        break;
    case COMMAND_UNSUBSCRIBE:
        do_unsubscribe(s, cmd);
        break;
    case COMMAND_HISTORY:
        do_history(s, cmd);
        break;
    case COMMAND_REFRESH:
        do_refresh(s, cmd);
        break;
    case COMMAND_SUB_REFRESH:
        do_sub_refresh(s, cmd);
        break;
    case COMMAND_PING:
        s->proto->pong(&s->out, cmd->id);
        session_dirty(s);
        break;
    case COMMAND_UNSUPPORTED:
        answer_error(s, cmd, ERROR_NOT_AVAILABLE);
        break;
    case COMMAND_UNKNOWN:
        answer_error(s, cmd, ERROR_METHOD_NOT_FOUND);
        break;
    case COMMAND_CONNECT: /* a second one */
        session_close(s, DISCONNECT_BAD_REQUEST);
        break;
    case COMMAND_SEND:
    case COMMAND_PONG:
        break;
    }
}

static void run_one(struct session *s, const struct command *cmd)
{
    if (cmd->type == COMMAND_PONG)
        return;
    METRIC_ADD(commands, 1);
    if (cmd->type == COMMAND_CONNECT)
        do_connect(s, cmd);
    else if (s->state == SESSION_NEW || (!cmd->id && cmd->type != COMMAND_SEND))
        session_close(s, DISCONNECT_BAD_REQUEST); /* the first command is connect; each has an id */
    else
        run_connected(s, cmd);
}

void command_keep(struct session *s, struct slice text)
{
    if (s->backlog.n)
        buf_byte(&s->backlog, '\n');
    buf_slice(&s->backlog, text);
}

void command_run(struct session *s, struct slice text)
{
    bool any = false;
    struct command cmd;
    int rc = 0;

    while (s->state < SESSION_CLOSING && (rc = s->proto->take(&text, &cmd)) == 1) {
        any = true;
        run_one(s, &cmd);
        s->proto->command_done(&cmd);
        if (s->state == SESSION_CONNECTING && text.n) {
            command_keep(s, text);
            break;
        }
    }
    if (s->state < SESSION_CLOSING && (rc < 0 || !any))
        session_close(s, DISCONNECT_BAD_REQUEST);
    s->h->again(s->h->again_arg);
}
