"""The tools people point at a Kafka cluster: kcat, the tools of Kafka 3.9.1, and the 2.8.2 ones with --zookeeper."""

import re
import time

from harness import run, tool, wait_until

TOPICS = "org.apache.kafka.tools.TopicCommand"


def test_topics_are_created_listed_described_and_deleted(cluster):
    b = ["--bootstrap-server", cluster.bootstrap]
    created = tool("39", TOPICS, *b, "--create", "--topic", "tools", "--partitions", 3, "--replication-factor", 3,
                   "--config", "max.message.bytes=2000000")
    assert "Created topic tools." in created
    assert "tools" in tool("39", TOPICS, *b, "--list").split()
    described = tool("39", TOPICS, *b, "--describe", "--topic", "tools")
    assert re.search(r"PartitionCount: 3\s+ReplicationFactor: 3\s+Configs: .*max.message.bytes=2000000", described), described
    assert len(re.findall(r"Leader: [012]\s+Replicas: [012],[012],[012]\s+Isr: [012],[012],[012]", described)) == 3, described
    assert "Topic 'tools' already exists" in tool("39", TOPICS, *b, "--create", "--topic", "tools", check=False)
    tool("39", TOPICS, *b, "--alter", "--topic", "tools", "--partitions", 4)
    wait_until(lambda: "PartitionCount: 4" in tool("39", TOPICS, *b, "--describe", "--topic", "tools"), 30, "4 partitions")
    tool("39", TOPICS, *b, "--delete", "--topic", "tools")
    wait_until(lambda: "tools" not in tool("39", TOPICS, *b, "--list").split(), 30, "the topic to go")


def test_topics_through_zookeeper(cluster):
    z = ["--zookeeper", cluster.connect]
    assert "Created topic viazk." in tool("28", "kafka.admin.TopicCommand", *z, "--create", "--topic", "viazk",
                                          "--partitions", 2, "--replication-factor", 3)
    described = wait_until(lambda: (d := tool("28", "kafka.admin.TopicCommand", *z, "--describe", "--topic", "viazk"))
                           .count("Leader: none") == 0 and d, 30, "leaders")
    assert len(re.findall(r"Partition: [01]\s+Leader: [012]\s+Replicas: [012],[012],[012]\s+Isr: ", described)) == 2, described
    run("kcat", "-b", cluster.bootstrap, "-P", "-t", "viazk", "-p", "1", stdin="by zookeeper\n")
    assert run("kcat", "-b", cluster.bootstrap, "-C", "-t", "viazk", "-p", "1", "-e", "-q") == "by zookeeper\n"


def test_console_producer_and_consumer(cluster):
    lines = "".join(f"line {n}\n" for n in range(200))
    tool("39", TOPICS, "--bootstrap-server", cluster.bootstrap, "--create", "--topic", "console", "--replication-factor", 3)
    tool("39", "kafka.tools.ConsoleProducer",
         "--bootstrap-server", cluster.bootstrap, "--topic", "console", stdin=lines)
    printed = tool("39", "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", cluster.bootstrap,
                   "--topic", "console", "--from-beginning", "--max-messages", 200, "--timeout-ms", 60000)
    assert lines in printed, printed[-2000:]
    offsets = tool("39", "org.apache.kafka.tools.GetOffsetShell", "--bootstrap-server", cluster.bootstrap,
                   "--topic", "console")
    assert "console:0:200" in offsets, offsets
    offsets = tool("39", "org.apache.kafka.tools.GetOffsetShell", "--bootstrap-server", cluster.bootstrap,
                   "--topic", "console", "--time", "earliest")
    assert "console:0:0" in offsets, offsets


def test_kcat_group(cluster):
    lines = "".join(f"{n}\n" for n in range(300))
    run("kcat", "-b", cluster.bootstrap, "-P", "-t", "kcat", "-X", "allow.auto.create.topics=true", stdin=lines)
    assert " topic \"kcat\" with 1 partitions" in run("kcat", "-b", cluster.bootstrap, "-L", "-t", "kcat")
    printed = run("kcat", "-b", cluster.bootstrap, "-G", "kcat-group", "-e", "-q", "-X", "auto.offset.reset=earliest", "kcat")
    assert lines == "".join(l + "\n" for l in printed.splitlines() if l.isdigit()), printed
    # The group has committed: it does not see the records again.
    printed = run("kcat", "-b", cluster.bootstrap, "-G", "kcat-group", "-e", "-q", "-X", "auto.offset.reset=earliest", "kcat")
    assert not [l for l in printed.splitlines() if l.isdigit()], printed


def test_versions_and_perf(cluster):
    versions = tool("39", "kafka.admin.BrokerApiVersionsCommand",
                    "--bootstrap-server", cluster.bootstrap)
    assert versions.count("Produce(0): ") == 3 and "[usable: 11]" in versions, versions
    tool("39", TOPICS, "--bootstrap-server", cluster.bootstrap, "--create", "--topic", "perf", "--partitions", 3,
         "--replication-factor", 3)
    start = time.monotonic()
    printed = tool("39", "org.apache.kafka.tools.ProducerPerformance", "--topic", "perf", "--num-records", 50000,
                   "--record-size", 1024, "--throughput", -1, "--producer-props", "acks=all",
                   f"bootstrap.servers={cluster.bootstrap}")
    assert "50000 records sent" in printed, printed
    printed = tool("39", "org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", cluster.bootstrap,
                   "--topic", "perf", "--messages", 50000, "--timeout", 60000)
    assert ", 50000, " in printed, printed
    print(f"produced and consumed in {time.monotonic() - start:.1f} s")
