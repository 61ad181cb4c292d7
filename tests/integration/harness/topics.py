# SPDX-License-Identifier: Apache-2.0
"""Topics and records through confluent-kafka, as a service that isn't C would make them.

Keys go to partitions by murmur2_random, Java's rule and the one Fanfare's documentation asks for.
"""

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from .util import scaled, wait_until


class Topics:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})
        self._producers = {}

    def create(self, name, partitions=4, **config):
        config = {k.replace("_", "."): str(v) for k, v in config.items()}
        topic = NewTopic(name, partitions, -1, config=config)  # -1: as the brokers say
        for future in self.admin.create_topics([topic], operation_timeout=scaled(20)).values():
            future.result(scaled(30))
        self._wait_leaders(name, partitions)
        return name

    def _wait_leaders(self, name, partitions):
        """An answer to the admin is not yet what every client is told: wait for the metadata."""

        def probe():
            meta = self.admin.list_topics(name, timeout=scaled(10)).topics[name]
            return sum(p.leader >= 0 for p in meta.partitions.values()) >= partitions

        wait_until(probe, f"{name} has {partitions} partitions with a leader", 20)

    def delete(self, name):
        for future in self.admin.delete_topics([name], operation_timeout=scaled(20)).values():
            future.result(scaled(30))

    def grow(self, name, partitions):
        asked = [NewPartitions(name, partitions)]
        for future in self.admin.create_partitions(asked, operation_timeout=scaled(20)).values():
            future.result(scaled(30))
        self._wait_leaders(name, partitions)
        self._producers.clear()  # the old ones would use the old count for a while

    def delete_records(self, name, partition, before):
        """Retention at will: moves the partition's low watermark to the offset `before`."""
        at = [TopicPartition(name, partition, before)]
        for future in self.admin.delete_records(at).values():
            future.result(scaled(30))

    def configure(self, name, **config):
        """Changes some of the topic's own settings."""
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        for key, value in config.items():
            entry = ConfigEntry(key.replace("_", "."), str(value))
            entry.incremental_operation = AlterConfigOpType.SET
            resource.add_incremental_config(entry)
        for future in self.admin.incremental_alter_configs([resource]).values():
            future.result(scaled(30))

    def producer(self, partitioner="murmur2_random"):
        if partitioner not in self._producers:
            conf = {"bootstrap.servers": self.bootstrap, "acks": "all", "linger.ms": 0, "log_level": 2}
            self._producers[partitioner] = Producer(conf | {"partitioner": partitioner})
        return self._producers[partitioner]

    def produce(self, topic, records, partitioner="murmur2_random", partition=None):
        """Produces (key, value) or (key, value, headers) in order, waits for all acknowledgements,
        and returns a list of (partition, offset) in the same order."""
        producer = self.producer(partitioner)
        placed, errors = {}, []

        def delivered(i):
            def callback(error, message):
                if error:
                    errors.append(error)
                else:
                    placed[i] = (message.partition(), message.offset())

            return callback

        count = 0
        for i, (key, value, *headers) in enumerate(records):
            more = {} if partition is None else {"partition": partition}
            if headers and headers[0]:
                more["headers"] = headers[0]
            while True:
                try:
                    producer.produce(topic, value, key, on_delivery=delivered(i), **more)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
            count = i + 1
        left = producer.flush(scaled(30))
        assert not errors and not left, f"{topic}: {left} records not acknowledged; {errors[:3]}"
        return [placed[i] for i in range(count)]
