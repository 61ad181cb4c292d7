# SPDX-License-Identifier: Apache-2.0
"""A second Kafka in the far region, and what copies a topic there as those mirrors do that keep offsets: each
partition's records in order, each at the offset that it has at home."""

import contextlib
import threading

from confluent_kafka import Consumer, Producer, TopicPartition
from regions import PORT

from harness.kafka import Broker
from harness.topics import Topics
from harness.util import scaled


@contextlib.contextmanager
def second_kafka(ground, directory):
    broker = Broker(directory, PORT, host=ground.sites["far"].host("kafka"))
    try:
        yield broker.start()
    finally:
        broker.kill()


class Mirror:
    """Reads home's Kafka over the link. copied: records. wrong: what didn't get its offset."""

    def __init__(self, source, broker, topic, partitions=8):
        self.topic, self.partitions = topic, partitions
        self.copied, self.wrong = 0, []
        Topics(broker.bootstrap).create(topic, partitions)
        settings = {"group.id": "mirror", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
        self.consumer = Consumer(settings | {"bootstrap.servers": source, "log_level": 2})
        self.producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True})
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._copy)

    def __enter__(self):
        self.consumer.assign([TopicPartition(self.topic, p, 0) for p in range(self.partitions)])
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(scaled(20))
        self.consumer.close()

    def _copy(self):
        while not self._over.is_set():
            record = self.consumer.poll(0.05)
            if record is not None and not record.error():
                self._put(record)
            self.producer.poll(0)
        self.producer.flush(scaled(10))

    def _put(self, record):
        def check(error, made):
            if error or made.offset() != record.offset():
                self.wrong.append((record.partition(), record.offset(), str(error or made.offset())))
            self.copied += 1

        where = {"partition": record.partition(), "headers": record.headers()}
        self.producer.produce(self.topic, record.value(), record.key(), on_delivery=check, **where)
