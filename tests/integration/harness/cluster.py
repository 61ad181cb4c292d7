# SPDX-License-Identifier: Apache-2.0
"""Three brokers of one Kafka cluster on loopback, each of them a voter too: what a production cluster does
when some of them die. Replication factor 3, min.insync.replicas 2, a broker is missed after 3 s."""

import pathlib
import re
import subprocess

from confluent_kafka.admin import AdminClient

from .kafka import Broker, cluster_id, java
from .util import free_port, scaled, wait_until

MORE = """\
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
num.network.threads=1
num.io.threads=2
"""


class Member(Broker):
    """One of them. Its number is its node.id."""

    def __init__(self, directory, cluster, number):
        super().__init__(directory)
        self.cluster, self.number, self.ctl = cluster, number, free_port()

    def settings(self):
        text = super().settings()
        text = re.sub(r"node.id=1\n", f"node.id={self.number}\n", text)
        text = re.sub(r"CONTROLLER://127.0.0.1:\d+", f"CONTROLLER://127.0.0.1:{self.ctl}", text)
        drop = [line.partition("=")[0] for line in MORE.splitlines()]
        drop.append("controller.quorum.bootstrap.servers")
        kept = [line for line in text.splitlines() if line.partition("=")[0] not in drop]
        voters = ",".join(f"{m.number}@127.0.0.1:{m.ctl}" for m in self.cluster.members)
        return "\n".join([*kept, f"controller.quorum.voters={voters}"]) + "\n" + MORE

    def format_args(self):
        return [f"--cluster-id={self.cluster.id}"]


class Cluster:
    """start() returns when all answer and a topic could be created."""

    def __init__(self, directory, members):
        self.id = cluster_id()
        self.members = []
        for number in range(1, members + 1):
            self.members.append(Member(pathlib.Path(directory) / str(number), self, number))
        self.bootstrap = ",".join(m.bootstrap for m in self.members)
        self._admin = None

    @property
    def admin(self):
        if self._admin is None:
            self._admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 2})
        return self._admin

    def start(self):
        for member in self.members:
            if not (member.process and member.process.is_running()):
                member.spawn()
        for member in self.members:
            member.wait_open(90)
        wait_until(lambda: self.alive() == len(self.members), "all brokers are in the metadata", 60)
        return self

    def alive(self):
        return len(self.admin.list_topics(timeout=scaled(10)).brokers)

    def leaders(self, topic):
        """Per partition, the number of the broker that leads it (-1: none)."""
        parts = self.admin.list_topics(topic, timeout=scaled(10)).topics[topic].partitions
        return [parts[p].leader for p in sorted(parts)]

    def in_sync(self, topic):
        """The smallest number of replicas in sync among the topic's partitions."""
        parts = self.admin.list_topics(topic, timeout=scaled(10)).topics[topic].partitions
        return min((len(p.isrs) for p in parts.values()), default=0)

    def controller(self):
        """The member that is the controllers' leader now."""
        asked = ",".join(f"127.0.0.1:{m.ctl}" for m in self.members if m.process.is_running())
        args = ["--bootstrap-controller", asked, "describe", "--status"]
        tool = "org.apache.kafka.tools.MetadataQuorumCommand"
        argv = java(self.members[0].home, tool, *args, opts=["-Xmx96m"])
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=scaled(30), check=True
        )
        leader = int(re.search(r"^LeaderId:\s+(\d+)", done.stdout, re.M)[1])
        return self.members[leader - 1]

    def kill(self):
        for member in self.members:
            member.kill()
