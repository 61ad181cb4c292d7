# SPDX-License-Identifier: Apache-2.0
"""TLS of the client port: who comes back resumes its session, at whichever shard it arrives."""

import socket
import ssl

from harness.certificate import make_certificate
from harness.util import scaled

UPGRADE = (
    b"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def come(context, edge, session=None):
    """(was it resumed?, the session that came with the answer)"""
    with (
        socket.create_connection(("127.0.0.1", edge.port), timeout=scaled(10)) as plain,
        context.wrap_socket(plain, server_hostname="localhost", session=session) as sock,
    ):
        sock.sendall(UPGRADE)
        answer = b""
        while b"\r\n\r\n" not in answer:  # the ticket is read on the way
            piece = sock.recv(512)
            assert piece, "the edge closed"
            answer += piece
        assert answer.startswith(b"HTTP/1.1 101"), answer
        return sock.session_reused, sock.session


def test_a_session_is_resumed_at_any_shard(edges, tmp_path):
    certificate, key = make_certificate(tmp_path)
    edge = edges(shards=4, tls_certificate=str(certificate), tls_key=str(key))
    context = ssl.create_default_context(cafile=certificate)
    resumed, session = come(context, edge)
    assert not resumed
    # The kernel spreads connections: 20 at the first one's shard would be one in 10^12.
    for _ in range(20):
        resumed, session = come(context, edge, session)
        assert resumed
