"""Log directories of Kafka 0.8.2.2, 0.10.2.2 and 3.9.1, written by those brokers, served by ours to consumers of that era
and of today; then appended to, and checked by `barnabas verify`."""

import json
import os
import re
import shutil
import time

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition

from harness import BINARY, ROOT, Cluster, Broker, run, tool

GOLDEN = ROOT / "tests" / "golden" / "log"
ROW = re.compile(r"^\| offset: (\d+) .*?keySize: (-?\d+) valueSize: (-?\d+)(.*)$", re.MULTILINE)
# Directory, the release whose consumers must read it too, and their topics.
DIRECTORIES = [("broker-0.8.2.2", "08", "b08.*"), ("broker-0.10.2.2", "010", "b010.*"), ("v0v1-on-3.9.1", "010", "fmt0.*"),
               ("v2-3.9.1", None, None), ("compacted-twice-3.9.1", None, None)]
# `GOLDEN_KIND=kafka` tries the expectations on Kafka itself.
KIND = os.environ.get("GOLDEN_KIND", "barnabas")
SETTINGS = {"offsets.topic.replication.factor": 1, "default.replication.factor": 1, "log.retention.ms": -1,
            "log.cleaner.enable": "false", "auto.create.topics.enable": "false"}


def read(bootstrap, topic):
    """[(offset, size of the key, size of the value)] of partition 0; -1 for null."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "golden", "enable.partition.eof": True, "check.crcs": True,
                         "isolation.level": "read_uncommitted", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    size, rows, end = (lambda part: -1 if part is None else len(part)), [], time.monotonic() + 30
    while True:
        assert time.monotonic() < end, f"{topic}: no end after {len(rows)} records"
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            if message.error().name() == "_PARTITION_EOF":
                consumer.close()
                return rows
            raise KafkaException(message.error())
        rows.append((message.offset(), size(message.key()), size(message.value())))


def expected(directory, topic):
    """The same from what Kafka's own DumpLogSegments printed; without control records, from the log start on."""
    text = (directory / f"{topic}-0.dump.txt").read_bytes().decode(errors="replace")
    starts = (directory / "log-start-offset-checkpoint")
    start = re.search(rf"^{re.escape(topic)} 0 (\d+)$", starts.read_text(), re.MULTILINE) if starts.exists() else None
    first = int(start[1]) if start else 0
    rows = [(int(o), int(k), int(v)) for o, k, v, rest in ROW.findall(text) if "endTxnMarker" not in rest]
    return [row for row in rows if row[0] >= first]


@pytest.mark.parametrize("name, era, pattern", DIRECTORIES, ids=lambda value: str(value))
def test_golden_directories_are_served(name, era, pattern):
    source = GOLDEN / name
    meta = dict(re.findall(r"^([\w.]+)=(.*)$", (source / "meta.properties").read_text(), re.MULTILINE)) if (source / "meta.properties").exists() else {}
    id, topics = int(meta.get("broker.id", 1)), sorted(d.name[:-2] for d in source.iterdir() if d.is_dir())
    with Cluster([]) as cluster:
        data = cluster.directory / "broker" / "data"
        data.mkdir(parents=True)
        for entry in source.iterdir():
            if entry.is_dir():
                shutil.copytree(entry, data / entry.name)
            elif not re.search(r"\.(txt|md)$", entry.name):
                shutil.copy(entry, data)
        # What the cluster of that broker had in ZooKeeper.
        client = cluster.zk()
        if "cluster.id" in meta:
            client.create("/cluster/id", json.dumps({"version": "1", "id": meta["cluster.id"]}).encode(), makepath=True)
        for topic in topics:
            node = {"version": 1, "partitions": {"0": [id]}}
            known = data / f"{topic}-0" / "partition.metadata"
            if known.exists():
                topic_id = re.search(r"topic_id: (\S+)", known.read_text())[1]
                node = {"version": 3, "topic_id": topic_id, "adding_replicas": {}, "removing_replicas": {}, "partitions": {"0": [id]}}
            client.create(f"/brokers/topics/{topic}", json.dumps(node).encode(), makepath=True)
        client.stop()
        client.close()
        broker = Broker(KIND, id, cluster.connect, cluster.directory / "broker", SETTINGS)
        cluster.brokers.append(broker)
        broker.start()
        if era:
            # librdkafka does not understand wrappers of magic 0; Kafka's own consumers do.
            old = [t for t in topics if re.fullmatch(pattern, t)]
            consume(cluster, era, ["--zookeeper", cluster.connect, "--whitelist", pattern], old, source)
            consume(cluster, "39", ["--bootstrap-server", cluster.bootstrap, "--include", pattern], old, source)
        else:
            for topic in topics:
                assert read(broker.address, topic) == expected(source, topic), topic
        append(broker, [t for t in topics if not t.startswith("__")])
        assert broker.stop() == 0
        run(BINARY, "verify", data)


def consume(cluster, release, options, topics, source):
    """A console consumer of that release sees the values that the dump shows."""
    rows = [row for topic in topics for row in ROW.findall((source / f"{topic}-0.dump.txt").read_text(errors="replace"))]
    wanted = sorted("null" if size == "-1" else rest.partition(" payload: ")[2] for _, _, size, rest in rows)
    assert len(wanted) >= 20
    main = "kafka.tools.ConsoleConsumer" if release != "39" else "org.apache.kafka.tools.consumer.ConsoleConsumer"
    printed = tool(release, main, *options, "--from-beginning", "--max-messages", len(wanted), timeout_s=60)
    lines = sorted(line for line in printed.splitlines() if re.match(r"line-|value-|nokey$|null$", line))
    assert lines == wanted, printed[-2000:]


def append(broker, topics):
    """New records go behind the old ones."""
    def end(topic):
        consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "golden"})
        end = consumer.get_watermark_offsets(TopicPartition(topic, 0), 30)[1]
        consumer.close()
        return end

    ends, placed, failures = {topic: end(topic) for topic in topics}, {}, []

    def delivered(error, message):
        failures.extend([error] if error else [])
        placed[message.topic()] = message.offset()
    producer = Producer({"bootstrap.servers": broker.address, "acks": "all"})
    for topic in topics:
        producer.produce(topic, b"new", b"key", 0, on_delivery=delivered)
    assert producer.flush(30) == 0 and not failures, failures
    assert placed == ends and all(end > 0 for end in ends.values())
