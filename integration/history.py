"""A load with a memory, and the judgement on it: what was acknowledged must be there, once, in order."""

import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic


def create_topic(bootstrap, name, partitions=1, replication=3, config=None):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topic = NewTopic(name, num_partitions=partitions, replication_factor=replication, config=config or {})
    admin.create_topics([topic], operation_timeout=30)[name].result(60)


class Load:
    """An idempotent acks=all producer in a thread: numbers, in order, spread round robin over the partitions."""

    def __init__(self, bootstrap, topic, partitions, per_second=500):
        self.bootstrap, self.topic, self.partitions, self.per_second = bootstrap, topic, partitions, per_second
        self.sent = [0] * partitions
        self.acknowledged = [set() for _ in range(partitions)]
        self.failed, self.errors = 0, []
        self.acknowledged_count = 0
        self.longest_silence_s, self.last_ack = 0.0, time.monotonic()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.produce, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.stopping.set()
        self.thread.join(180)
        if kind is None:
            assert not self.thread.is_alive(), "the producer did not finish"

    def delivered(self, error, message):
        now = time.monotonic()
        self.longest_silence_s = max(self.longest_silence_s, now - self.last_ack)
        self.last_ack = now
        if error is None:
            self.acknowledged[message.partition()].add(int(message.value()))
            self.acknowledged_count += 1
        else:
            self.failed += 1
            self.errors.append(str(error))

    def produce(self):
        producer = Producer({
            "bootstrap.servers": self.bootstrap, "enable.idempotence": True, "acks": "all", "linger.ms": 5,
            "delivery.timeout.ms": 150000, "socket.timeout.ms": 10000, "retry.backoff.ms": 50,
            "reconnect.backoff.max.ms": 500, "topic.metadata.refresh.interval.ms": 2000, "log_level": 3,
        })
        self.last_ack, n = time.monotonic(), 0
        start = time.monotonic()
        while not self.stopping.is_set():
            partition = n % self.partitions
            try:
                producer.produce(self.topic, str(self.sent[partition]).encode(), partition=partition,
                                 on_delivery=self.delivered)
                self.sent[partition] += 1
                n += 1
            except BufferError:
                pass
            producer.poll(0)
            ahead = n / self.per_second - (time.monotonic() - start)
            if ahead > 0:
                producer.poll(ahead)
        self.unflushed = producer.flush(170)

    def wait_acknowledged(self, more, timeout_s=90):
        """Waits until so many more records are acknowledged: the cluster works again."""
        target, end = self.acknowledged_count + more, time.monotonic() + timeout_s
        while self.acknowledged_count < target:
            assert time.monotonic() < end, \
                f"only {self.acknowledged_count - target + more} of {more} acknowledged in {timeout_s} s; {self.errors[-3:]}"
            time.sleep(0.02)


def read_all(bootstrap, topic, partitions, timeout_s=90):
    """Every record of the topic by partition, as (offset, number)."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "check", "enable.auto.commit": False,
                         "auto.offset.reset": "earliest", "log_level": 3, "enable.partition.eof": False})
    ends = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=60)[1] for p in range(partitions)}
    consumer.assign([TopicPartition(topic, p, 0) for p in range(partitions)])
    records, deadline = {p: [] for p in range(partitions)}, time.monotonic() + timeout_s
    position = {p: 0 for p in range(partitions)}
    while any(position[p] < ends[p] for p in range(partitions)):
        assert time.monotonic() < deadline, f"read to {position} of {ends}"
        for message in consumer.consume(5000, 0.5):
            if message.error():
                continue
            records[message.partition()].append((message.offset(), int(message.value())))
            position[message.partition()] = message.offset() + 1
    consumer.close()
    return records


def check(load, records):
    """Returns the faults found, as text; an empty list is a clean bill."""
    faults = []
    for p in range(load.partitions):
        numbers = [n for _, n in records[p]]
        lost = load.acknowledged[p] - set(numbers)
        if lost:
            faults.append(f"partition {p}: {len(lost)} acknowledged records lost, first {sorted(lost)[:5]}")
        if len(numbers) != len(set(numbers)):
            faults.append(f"partition {p}: {len(numbers) - len(set(numbers))} records twice")
        if numbers != sorted(numbers):
            faults.append(f"partition {p}: order broken")
        offsets = [o for o, _ in records[p]]
        if offsets != sorted(set(offsets)):
            faults.append(f"partition {p}: offsets not increasing")
    if load.failed:
        faults.append(f"{load.failed} records refused: {sorted(set(load.errors))[:3]}")
    if load.unflushed:
        faults.append(f"{load.unflushed} records never answered")
    return faults
