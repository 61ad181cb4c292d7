/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto.c: texts of the protocol's codes. @thread any
 */
#include "edge-node/proto.h"

#include "edge-node/feed.h"

const struct proto_gap proto_no_gap = {0, 0};

const char *proto_error_text(int code)
{
    switch ((enum proto_error)code) {
    case ERROR_UNAUTHORIZED:
        return "unauthorized";
    case ERROR_UNKNOWN_CHANNEL:
        return "unknown channel";
    case ERROR_PERMISSION_DENIED:
        return "permission denied";
    case ERROR_METHOD_NOT_FOUND:
        return "method not found";
    case ERROR_ALREADY_SUBSCRIBED:
        return "already subscribed";
    case ERROR_LIMIT_EXCEEDED:
        return "limit exceeded";
    case ERROR_BAD_REQUEST:
        return "bad request";
    case ERROR_NOT_AVAILABLE:
        return "not available";
    case ERROR_TOKEN_EXPIRED:
        return "token expired";
    case ERROR_TOO_MANY_REQUESTS:
        return "too many requests";
    case ERROR_UNRECOVERABLE_POSITION:
        return "unrecoverable position";
    case ERROR_INTERNAL:
        break;
    }
    return "internal server error";
}

const char *proto_unmapped_text(const struct topic_view *v)
{
    if (v->map == TOPIC_DIFFERS)
        return "not available: workers and edges must be given the same namespace (the edge's log "
               "says what differs)";
    if (v->map == TOPIC_COMPACTED)
        return "not available: the topic is compacted: the namespace needs history latest, in "
               "workers and edges";
    if (v->partitioner == PARTITIONER_CRC32)
        return "not available: producers must use partitioner=consistent_random (librdkafka's "
               "crc32)";
    return "not available: producers must use partitioner=murmur2_random (Java's murmur2)";
}

bool proto_error_is_temporary(int code)
{
    return code == ERROR_INTERNAL || code == ERROR_TOO_MANY_REQUESTS;
}

const char *proto_close_text(int code)
{
    switch (code) {
    case UNSUB_INSUFFICIENT:
    case DISCONNECT_INSUFFICIENT_STATE:
        return "insufficient state";
    case UNSUB_EXPIRED:
        return "subscription expired";
    case DISCONNECT_SHUTDOWN:
        return "shutdown";
    case DISCONNECT_SERVER_ERROR:
        return "internal server error";
    case DISCONNECT_EXPIRED:
        return "connection expired";
    case DISCONNECT_SLOW:
        return "slow";
    case DISCONNECT_RECONNECT:
        return "force reconnect";
    case DISCONNECT_NO_PONG:
        return "no pong";
    case DISCONNECT_INVALID_TOKEN:
        return "invalid token";
    case DISCONNECT_BAD_REQUEST:
        return "bad request";
    case DISCONNECT_STALE:
        return "stale";
    case DISCONNECT_NOT_AVAILABLE:
        return "not available";
    case DISCONNECT_TOO_BIG:
        return "message too big";
    default:
        return "";
    }
}
