"""Throughput and CPU of three brokers: Kafka's own perf tools, 1 KiB records, acks=all, three replicas."""

import re

from harness import Cluster, tool
from history import create_topic
from measure import Cpu

PARTITIONS = 3
RECORD_BYTES = 1024


def run(kind, records):
    """One cluster of this kind, from an empty directory to its end: {measure: value}."""
    with Cluster([kind] * 3, settings={"min.insync.replicas": 2}) as cluster:
        create_topic(cluster.bootstrap, "bench", PARTITIONS)
        # The first records pay for connections, and in a JVM for compiling: neither is measured.
        produce(cluster, max(records // 4, 1))
        rate, latency_ms, produce_cpu = produce(cluster, records)
        consumed_rate, consume_cpu = consume(cluster, records)
    return {
        "produce, records/s": rate,
        "produce, median ms": latency_ms,
        "produce, broker CPU s": produce_cpu.total,
        "  of it user": produce_cpu.user,
        "  of it system": produce_cpu.system,
        "consume, records/s": consumed_rate,
        "consume, broker CPU s": consume_cpu.total,
    }


def produce(cluster, records):
    (printed, cpu) = with_cpu(
        cluster, "org.apache.kafka.tools.ProducerPerformance", "--topic", "bench", "--num-records", records,
        "--record-size", RECORD_BYTES, "--throughput", -1, "--producer-props", "acks=all",
        f"bootstrap.servers={cluster.bootstrap}")
    # The last line that names percentiles is the summary.
    summary = re.findall(rf"^{records} records sent, ([\d.]+) records/sec .*?(\d+) ms 50th", printed, re.MULTILINE)
    if not summary:
        raise RuntimeError(f"no summary in what the producer printed:\n{printed[-2000:]}")
    return float(summary[-1][0]), float(summary[-1][1]), cpu


def consume(cluster, records):
    printed, cpu = with_cpu(
        cluster, "org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", cluster.bootstrap,
        "--topic", "bench", "--messages", records, "--timeout", 60000)
    # start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s
    rows = [line.split(", ") for line in printed.splitlines() if re.match(r"\d{4}-\d\d-\d\d ", line)]
    if not rows or int(rows[-1][4]) < records:
        raise RuntimeError(f"not all records were consumed:\n{printed[-2000:]}")
    return float(rows[-1][9]), cpu


def with_cpu(cluster, *command):
    pids = [broker.pid for broker in cluster.brokers]
    before = Cpu.of(pids)
    printed = tool("39", *command, timeout_s=900)
    return printed, Cpu.of(pids) - before
