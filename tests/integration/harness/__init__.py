# SPDX-License-Identifier: Apache-2.0
"""The integration tests' own tools: servers, nodes, a protocol client and an oracle.

util     free ports, the cache, one scaled time-out, polling, processes
kafka    a real Apache Kafka broker (KRaft), fetched from Maven; also a command of its own
redis    a real redis-server
node     fanfare-worker and fanfare-edge as processes whose logs are read for accidents
client   FanClient: the client protocol in JSON over a WebSocket
oracle   what Kafka holds against what a client got

The fixtures that join them are in ../conftest.py.
"""
