"""A data directory handed over: Apache Kafka 3.9.1 writes it, Barnabas serves it and appends, Kafka serves all of it
again; or the other way round. `takeover.py [--first KIND --second KIND]`; kafka and kafka tries the test itself.

Each life of the broker uses the same server.properties, the same ports and the same log.dirs. After each hand-over every
record, transaction and committed offset must be as before; Kafka's log may not complain about recovery, and its own
DumpLogSegments must find every index sane."""

import argparse
import pathlib
import re
import sys
import tempfile
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from harness import Broker, ZooKeeper, tool, wait_until
from history import create_topic

SETTINGS = {
    "offsets.topic.replication.factor": 1, "transaction.state.log.replication.factor": 1, "default.replication.factor": 1,
    "transaction.state.log.min.isr": 1, "transaction.state.log.num.partitions": 2, "offsets.topic.num.partitions": 2,
    "log.cleaner.backoff.ms": 500, "log.retention.ms": -1, "log.index.interval.bytes": 500, "delete.topic.enable": "true",
    "log.cleaner.dedupe.buffer.size": 8_000_000, "log.segment.delete.delay.ms": 1000,
}
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
COMPLAINTS = re.compile(r"Recovering unflushed|Found invalid messages|corrupt|Corrupt|Rebuilding producer state|Could not find offset index"
                        r"|unclean|Unclean|Failed to|Error while|Truncating|ERROR|Unexpected")


class Directory:
    """One broker identity and its directory, in whichever hands it is."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.zookeeper = ZooKeeper(self.root / "zk").start()
        self.lives = {kind: Broker(kind, 0, self.zookeeper.connect, self.root / kind,
                                   {**SETTINGS, "log.dirs": self.root / "data"}) for kind in ("kafka", "barnabas")}
        # The same file for both: same port, same dirs.
        first, second = self.lives.values()
        second.port = first.port
        text = (first.directory / "server.properties").read_text()
        (second.directory / "server.properties").write_text(text)
        self.data = self.root / "data"
        self.bootstrap = first.address
        self.expected = {}          # topic -> {partition: [(key, value)]}, committed records in order
        self.aborted = set()        # values that only read_uncommitted may see
        self.committed = {}         # group -> {partition: offset}
        self.complaints = []

    def start(self, kind):
        self.kind, self.broker = kind, self.lives[kind]
        self.broker.start()

    def stop(self):
        status = self.broker.stop()
        assert status in (0, 143), f"{self.kind} ended with {status}"
        for line in self.broker.log().splitlines():
            if COMPLAINTS.search(line) and not harmless(line):
                self.complaints.append(f"{self.kind}: {line}")

    def close(self):
        for life in self.lives.values():
            life.kill()
        self.zookeeper.stop()

    # Writing

    def create(self, name, config=None, partitions=1):
        create_topic(self.bootstrap, name, partitions, 1, config)
        self.expected[name] = {p: [] for p in range(partitions)}

    def produce(self, topic, values, keys=None, **config):
        producer = Producer({"bootstrap.servers": self.bootstrap, "acks": "all", "linger.ms": 20, "log_level": 2, **config})
        failures = []
        for n, value in enumerate(values):
            key = keys[n] if keys else None
            partition = n % len(self.expected[topic])
            producer.produce(topic, value, key, partition, on_delivery=lambda e, _: e and failures.append(e))
            self.expected[topic][partition].append((key, value))
            if n % 50 == 49:
                producer.flush(30)
        assert producer.flush(60) == 0 and not failures, failures

    def transactions(self, topic, tag, count=6):
        """Commits and aborts in turn; the aborted values are only for readers of everything."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "transactional.id": f"takeover-{topic}", "log_level": 2})
        producer.init_transactions(60)
        for n in range(count):
            values = [f"{tag}-txn{n}-{i}".encode() for i in range(5)]
            producer.begin_transaction()
            for value in values:
                producer.produce(topic, value, partition=0)
            producer.flush(30)
            if n % 3 == 2:
                producer.abort_transaction(30)
                self.aborted |= set(values)
            else:
                producer.commit_transaction(30)
                self.expected[topic][0] += [(None, value) for value in values]

    def commit_offsets(self, group, topic):
        offsets = {p: len(rows) // 2 for p, rows in self.expected[topic].items()}
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group, "enable.auto.commit": False})
        consumer.commit(offsets=[TopicPartition(topic, p, o) for p, o in offsets.items()], asynchronous=False)
        consumer.close()
        self.committed[group, topic] = offsets

    def compacted(self):
        """Writes the same keys again and again, until the cleaner has been there."""
        values = [(f"k{n % 7}".encode(), None if n % 31 == 30 else f"{self.kind}-{n}-{'x' * 60}".encode()) for n in range(600)]
        self.produce("compacted", [v for _, v in values], [k for k, _ in values])

    def wait_for_cleaner(self, minimum):
        """Until the checkpoint of the cleaner has passed an offset."""
        def cleaned():
            text = (self.data / "cleaner-offset-checkpoint").read_text()
            found = re.search(r"^compacted 0 (\d+)$", text, re.MULTILINE)
            return found and int(found[1]) >= minimum
        wait_until(cleaned, 60, f"the cleaner of {self.kind} to pass offset {minimum} of compacted-0")

    # Checking

    def read(self, topic, isolation="read_committed"):
        """{partition: [(key, value)]}, from the beginning to the end."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader", "enable.auto.commit": False,
                             "isolation.level": isolation, "enable.partition.eof": True, "check.crcs": True})
        partitions = list(self.expected[topic])
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        rows, done, end = {p: [] for p in partitions}, set(), time.monotonic() + 60
        while len(done) < len(partitions):
            assert time.monotonic() < end, f"{topic}: no end of partitions {set(partitions) - done}"
            for message in consumer.consume(500, 1):
                if message.error():
                    if message.error().name() == "_PARTITION_EOF":
                        done.add(message.partition())
                    else:
                        raise KafkaException(message.error())
                else:
                    rows[message.partition()].append((message.key(), message.value()))
        consumer.close()
        return rows

    def check(self):
        for topic, expected in self.expected.items():
            found = self.read(topic)
            if topic == "compacted":
                latest = lambda rows: {k: v for k, v in rows}
                live = {k: v for k, v in latest(expected[0]).items() if v is not None}
                assert {k: v for k, v in latest(found[0]).items() if v is not None} == live, f"{topic} in the hands of {self.kind}"
            else:
                for p in expected:
                    assert found[p] == expected[p], (f"{topic}-{p} in the hands of {self.kind}: {len(found[p])} records, "
                                                     f"{len(expected[p])} expected")
        if self.aborted:
            everything = {value for _, value in self.read("transactional", "read_uncommitted")[0]}
            assert self.aborted <= everything, f"aborted records lost in the hands of {self.kind}"
        for (group, topic), offsets in self.committed.items():
            consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group})
            found = consumer.committed([TopicPartition(topic, p) for p in offsets], 30)
            consumer.close()
            assert {t.partition: t.offset for t in found} == offsets, f"offsets of {group} in the hands of {self.kind}: {found}"
        gone = set(AdminClient({"bootstrap.servers": self.bootstrap}).list_topics(timeout=30).topics) & {"deleted-kafka", "deleted-barnabas"}
        assert not gone, f"deleted topics are back in the hands of {self.kind}: {gone}"

    def write(self):
        """One life's work: all codecs, transactions, compaction, offsets, a deleted topic."""
        kind = self.kind
        for codec in CODECS:
            self.produce(codec, [f"{kind}-{codec}-{n}-".encode() + bytes(n % 200) for n in range(150)], **{"compression.type": codec})
        self.produce("idempotent", [f"{kind}-{n}".encode() for n in range(200)], **{"enable.idempotence": True})
        self.produce("rolled", [f"{kind}-{n}-{'r' * 100}".encode() for n in range(300)])
        self.transactions("transactional", f"{kind}{len(self.expected['transactional'][0])}")
        self.compacted()
        self.commit_offsets(f"group-of-{kind}", "rolled")
        self.expected[f"deleted-{kind}"] = None
        self.create(f"deleted-{kind}")
        self.produce(f"deleted-{kind}", [b"gone"] * 10)
        del self.expected[f"deleted-{kind}"]
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.delete_topics([f"deleted-{kind}"])[f"deleted-{kind}"].result(30)

    def create_topics(self):
        for codec in CODECS:
            self.create(codec, partitions=2)
        self.create("idempotent")
        self.create("transactional")
        self.create("rolled", {"segment.bytes": "4000"}, partitions=2)
        self.create("compacted", {"cleanup.policy": "compact", "segment.bytes": "9000", "min.cleanable.dirty.ratio": "0.01"})

    def dump(self):
        """Kafka's own tool over every index and log."""
        files = [f for d in self.data.iterdir() if d.is_dir() and not d.name.endswith("-delete")
                 for f in d.iterdir() if f.suffix in (".log", ".index", ".timeindex")]
        assert files
        for option in ([], ["--index-sanity-check"]):
            chosen = [f for f in files if not option or f.suffix != ".log"]
            printed = tool("39", "kafka.tools.DumpLogSegments", *option, "--files", ",".join(map(str, chosen)), timeout_s=300)
            bad = [line for line in printed.splitlines()
                   if re.search(r"mismatch|Mismatch|isvalid: false|Exception|Corrupt|out of order|Found timestamp", line)]
            assert not bad, "DumpLogSegments: " + "\n".join(bad[:20])
        return len(files)


def harmless(line):
    """Lines of Kafka that say nothing about data."""
    return bool(re.search(r"kafka\.utils\.CoreUtils|unclean\.leader|Error while fetching metadata|KafkaConfig|INFO .*values:"
                          # A cleaner that meets its own output of the pass before.
                          r"|Failed to delete .* because it does not exist", line))


def run(first="kafka", second="barnabas"):
    with tempfile.TemporaryDirectory(prefix="barnabas-") as root:
        directory = Directory(root)
        try:
            for life, kind in enumerate([first, second, first]):
                directory.start(kind)
                if life == 0:
                    directory.create_topics()
                directory.check()
                directory.write()
                # Each life's cleaner has something to do, and does it.
                directory.wait_for_cleaner(300 + 600 * life)
                directory.check()
                directory.stop()
                print(f"{kind}: served and wrote; {directory.dump()} files are sane", flush=True)
            directory.start(second)
            directory.check()
            directory.stop()
            assert not directory.complaints, "complaints in the brokers' logs:\n" + "\n".join(directory.complaints)
            return sum(len(rows) for topic in directory.expected.values() for rows in topic.values())
        except BaseException:
            for life in directory.lives.values():
                if life.log_path.exists():
                    print(f"--- {life.name}\n" + life.log_path.read_text(errors="replace")[-3000:], file=sys.stderr)
            raise
        finally:
            directory.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = ["kafka", "barnabas"]
    parser.add_argument("--first", choices=kinds, default="kafka")
    parser.add_argument("--second", choices=kinds, default="barnabas")
    options = parser.parse_args()
    print(f"{run(options.first, options.second)} records handed over and back")
