"""Clients of the message formats before batches: the console tools of Kafka 0.8.2.2 (magic 0) and 0.10.2.2 (magic 1), old
and new producers and consumers, every codec; and topics that are kept in an old format."""

import os
import re

import pytest

from harness import Cluster, run, tool

CODECS = ["none", "gzip", "snappy", "lz4"]
# Release, and what makes its console producer of one kind or the other.
PRODUCERS = [("08", []), ("08", ["--new-producer"]), ("010", []), ("010", ["--old-producer"])]
TOPICS = "org.apache.kafka.tools.TopicCommand"
SETTINGS = {"offsets.topic.replication.factor": 1, "default.replication.factor": 1, "auto.create.topics.enable": "false"}
# `--kind kafka` would do: the tests hold for both.
KIND = os.environ.get("OLD_CLIENTS_KIND", "barnabas")


@pytest.fixture(scope="module")
def broker():
    with Cluster((KIND,), settings=SETTINGS) as cluster:
        yield cluster


def lines_of(name):
    return [f"{name}-{n}-{'x' * (n * 40)}" for n in range(5)]


def produce(cluster, release, options, codec, topic, lines):
    printed = tool(release, "kafka.tools.ConsoleProducer", "--broker-list", cluster.bootstrap, "--topic", topic,
                   "--compression-codec", codec, *options, stdin="".join(line + "\n" for line in lines))
    assert "ERROR" not in printed, printed


def consume(cluster, release, options, topic, count):
    printed = tool(release, "kafka.tools.ConsoleConsumer" if release != "39" else "org.apache.kafka.tools.consumer.ConsoleConsumer",
                   *options, "--topic", topic, "--from-beginning", "--max-messages", count, timeout_s=60)
    return [line for line in printed.splitlines() if re.fullmatch(r"[a-z0-9]+-[a-z0-9]+-\d-x*", line)]


def create(cluster, topic, *configs):
    tool("39", TOPICS, "--bootstrap-server", cluster.bootstrap, "--create", "--topic", topic,
         *[word for config in configs for word in ("--config", config)])


def consumers(cluster):
    through_zookeeper, direct = ["--zookeeper", cluster.connect], ["--bootstrap-server", cluster.bootstrap]
    return [("08", through_zookeeper), ("010", through_zookeeper), ("010", direct), ("39", direct)]


def test_every_old_producer_and_every_consumer(broker):
    create(broker, "old")
    expected = []
    for release, options in PRODUCERS:
        for codec in CODECS:
            lines = lines_of(f"{release}{len(options)}-{codec}")
            produce(broker, release, options, codec, "old", lines)
            expected += lines
    # Batches of today, which are converted for the consumers of then.
    for codec in CODECS:
        lines = lines_of(f"kcat-{codec}")
        run("kcat", "-b", broker.bootstrap, "-P", "-t", "old", "-p", "0", "-z", codec, "-H", "name=value",
            stdin="".join(line + "\n" for line in lines))
        expected += lines
    for release, options in consumers(broker):
        assert consume(broker, release, options, "old", len(expected)) == expected, (release, options)
    assert run("kcat", "-b", broker.bootstrap, "-C", "-t", "old", "-p", "0", "-e", "-q").splitlines() == expected


def test_topics_in_an_old_format():
    settings = {**SETTINGS, "inter.broker.protocol.version": "2.8"}
    with Cluster((KIND,), settings=settings) as cluster:
        for magic, version, producer in [(0, "0.9.0", PRODUCERS[0]), (1, "0.10.0", PRODUCERS[2])]:
            topic, expected = f"magic{magic}", []
            create(cluster, topic, f"message.format.version={version}")
            for codec in CODECS:
                lines = lines_of(f"old-{codec}")
                produce(cluster, *producer, codec, topic, lines)
                expected += lines
                lines = lines_of(f"kcat-{codec}")
                run("kcat", "-b", cluster.bootstrap, "-P", "-t", topic, "-p", "0", "-z", codec,
                    stdin="".join(line + "\n" for line in lines))
                expected += lines
            for release, options in [consumers(cluster)[0], consumers(cluster)[3]]:
                assert consume(cluster, release, options, topic, len(expected)) == expected, (release, options)
            directory = cluster.directory / "broker0" / "data" / f"{topic}-0"
            dumped = tool("39", "kafka.tools.DumpLogSegments", "--deep-iteration", "--files",
                          directory / "00000000000000000000.log")
            assert set(re.findall(r"magic: (\d)", dumped)) == {str(magic)}
            assert set(re.findall(r"compresscodec: (\w+)", dumped)) == set(CODECS)
            assert "isvalid: false" not in dumped.lower()
            assert not (directory / "leader-epoch-checkpoint").exists()
