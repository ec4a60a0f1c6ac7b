"""What the log costs: throughput and latency through Kafka's own perf tools, recovery, start, compaction, plain reading.

One broker, replication factor 1, so that the log and the sockets are measured and not replication."""

import os
import re
import shutil
import socket
import struct
import tempfile
import threading
import time
from pathlib import Path

from kazoo.client import KazooClient

from harness import Broker, Cluster, ZooKeeper, tool, wait_until
from history import create_topic
from measure import Cpu, brokers_listed, receive

SETTINGS = {"offsets.topic.replication.factor": 1, "default.replication.factor": 1, "log.retention.ms": -1,
            "log.cleaner.enable": "false"}
GIB = 1 << 30
PARTITIONS = 4


def perf_produce(broker, topic, records, size, codec="none", throughput=-1, more=()):
    """The summary of kafka-producer-perf-test: records/s, MB/s, percentiles in ms."""
    printed = tool("39", "org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", records, "--record-size", size,
                   "--throughput", throughput, "--producer-props", "acks=all", f"compression.type={codec}",
                   f"bootstrap.servers={broker.address}", *more, timeout_s=900)
    found = re.findall(rf"^{records} records sent, ([\d.]+) records/sec \(([\d.]+) MB/sec\).*?(\d+) ms 50th, (\d+) ms 95th, "
                       r"(\d+) ms 99th, (\d+) ms 99.9th", printed, re.MULTILINE)
    if not found:
        raise RuntimeError(f"no summary in what the producer printed:\n{printed[-2000:]}")
    rate, mb, p50, _, p99, p999 = map(float, found[-1])
    return {"rate": rate, "MB/s": mb, "p50": p50, "p99": p99, "p99.9": p999}


def perf_consume(broker, topic, records):
    """MB/s of kafka-consumer-perf-test while it fetched."""
    printed = tool("39", "org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", broker.address, "--topic", topic,
                   "--messages", records, "--timeout", 60000, timeout_s=900)
    rows = [line.split(", ") for line in printed.splitlines() if re.match(r"\d{4}-\d\d-\d\d ", line)]
    if not rows or int(rows[-1][4]) < records:
        raise RuntimeError(f"not all records were consumed:\n{printed[-2000:]}")
    return float(rows[-1][8])


def throughput(kind, mib):
    """Produce and consume, 100 B and 1 KiB, plain and lz4; CPU seconds of the broker per GiB of records."""
    out = {}
    for size, codec in [(100, "none"), (1024, "none"), (100, "lz4"), (1024, "lz4")]:
        records = mib * (1 << 20) // size
        with Cluster((kind,), settings=SETTINGS) as cluster:
            broker = cluster.brokers[0]
            create_topic(cluster.bootstrap, "bench", PARTITIONS, 1)
            perf_produce(broker, "bench", max(records // 4, 1), size, codec)
            before = Cpu.of([broker.pid])
            produced = perf_produce(broker, "bench", records, size, codec)
            produce_cpu = Cpu.of([broker.pid]) - before
            before = Cpu.of([broker.pid])
            consumed = perf_consume(broker, "bench", records)
            consume_cpu = Cpu.of([broker.pid]) - before
        gib = records * size / GIB
        name = f"{size} B {codec}"
        out |= {f"produce {name}, MB/s": produced["MB/s"], f"  CPU s/GiB in ({name})": produce_cpu.total / gib,
                f"consume {name}, MB/s": consumed, f"  CPU s/GiB out ({name})": consume_cpu.total / gib}
    return out


def latency(kind, per_second, seconds):
    """Produce latency at a fixed rate of 1 KiB records."""
    with Cluster((kind,), settings=SETTINGS) as cluster:
        create_topic(cluster.bootstrap, "bench", PARTITIONS, 1)
        perf_produce(cluster.brokers[0], "bench", per_second * 10, 1024, throughput=per_second)
        found = perf_produce(cluster.brokers[0], "bench", per_second * seconds, 1024, throughput=per_second)
    return {f"latency at {per_second}/s, {p} ms": found[p] for p in ("p50", "p99", "p99.9")}


class Filled:
    """A data directory filled once by our broker, then given to each kind: both read the same bytes."""

    def __init__(self, gib, partitions=PARTITIONS, fill=None, config=None):
        self.root = Path(tempfile.mkdtemp(prefix="barnabas-"))
        self.zookeeper = ZooKeeper(self.root / "zk").start()
        self.broker = self.life("barnabas", "fill", SETTINGS)
        self.broker.start()
        create_topic(self.broker.address, "bench", partitions, 1, config)
        if fill:
            fill(self.broker)
        else:
            perf_produce(self.broker, "bench", int(gib * GIB) // 1024, 1024, more=("batch.size=131072", "linger.ms=5"))
        self.bytes = sum(f.stat().st_size for f in (self.broker.directory / "data").rglob("*.log"))

    def life(self, kind, name, settings):
        return Broker(kind, 0, self.zookeeper.connect, self.root / name, settings)

    def copy(self, kind, name, settings):
        """A broker on a copy of the data."""
        broker = self.life(kind, name, {**SETTINGS, **settings})
        shutil.copytree(self.broker.directory / "data", broker.directory / "data")
        os.sync()
        return broker

    def forget(self):
        """Waits until ZooKeeper has forgotten a broker that was killed."""
        client = KazooClient(hosts=self.zookeeper.connect)
        client.start(30)
        wait_until(lambda: not client.exists("/brokers/ids/0"), 60, "the session of the killed broker to expire")
        client.stop()
        client.close()

    def close(self):
        self.zookeeper.stop()
        shutil.rmtree(self.root, ignore_errors=True)


def ready_s(broker):
    """Seconds from exec to the first Metadata answer that lists the broker."""
    def listed():
        try:
            return broker.id in brokers_listed(broker.port)
        except OSError:
            return False
    start = time.monotonic()
    broker.start(wait=False)
    wait_until(listed, 900, f"{broker.name} to serve")
    return time.monotonic() - start


def recovery(kinds, gib):
    """Start after kill -9 with nothing flushed: every segment is read and checked."""
    filled = Filled(gib)
    try:
        filled.broker.kill()
        out = {}
        for kind in kinds:
            broker = filled.copy(kind, kind, {})
            filled.forget()
            seconds, cpu = ready_s(broker), Cpu.of([broker.pid])
            broker.kill()
            shutil.rmtree(broker.directory)
            out[kind] = {"recovery, s/GiB": seconds / (filled.bytes / GIB), "  CPU s/GiB": cpu.total / (filled.bytes / GIB)}
        return out
    finally:
        filled.broker.kill()
        filled.close()


def clean_start(kinds, gib):
    """Start on data that was closed cleanly: nothing is read again. Each kind takes the directory over from the one before."""
    filled = Filled(gib)
    try:
        filled.broker.stop(300)
        out = {}
        for kind in kinds:
            broker = filled.life(kind, kind, {**SETTINGS, "log.dirs": filled.broker.directory / "data"})
            out[kind] = {f"ready with {filled.bytes / GIB:.1f} GiB, s": ready_s(broker)}
            broker.stop(300)
        return out
    finally:
        filled.close()


def compaction(kinds, mib):
    """From ready to the checkpoint behind the last closed segment; 100,000 keys, 1 KiB values."""
    def fill(broker):
        from confluent_kafka import Producer
        producer = Producer({"bootstrap.servers": broker.address, "linger.ms": 20, "batch.size": 262144, "queue.buffering.max.messages": 500000})
        value = os.urandom(512) + b"v" * 512
        for n in range(mib * 1024):
            while True:
                try:
                    producer.produce("bench", value, str(n * 7919 % 100_000), 0)
                    break
                except BufferError:
                    producer.poll(0.05)
        producer.flush(120)

    filled = Filled(0, 1, fill, {"cleanup.policy": "compact", "segment.bytes": str(64 << 20)})
    try:
        filled.broker.stop(300)
        # What can be cleaned ends where the active segment begins.
        end = max(int(f.stem) for f in (filled.broker.directory / "data" / "bench-0").glob("*.log"))
        cleaned = sum(f.stat().st_size for f in (filled.broker.directory / "data" / "bench-0").glob("*.log") if int(f.stem) < end)
        out = {}
        for kind in kinds:
            broker = filled.copy(kind, kind, {"log.cleaner.enable": "true", "log.cleaner.backoff.ms": 100})
            filled.forget()
            checkpoint = broker.directory / "data" / "cleaner-offset-checkpoint"
            ready_s(broker)
            start, before = time.monotonic(), Cpu.of([broker.pid])
            wait_until(lambda: f"bench 0 {end}\n" in checkpoint.read_text(), 600, f"{kind} to clean up to {end}")
            seconds, cpu = time.monotonic() - start, Cpu.of([broker.pid]) - before
            broker.kill()
            shutil.rmtree(broker.directory)
            out[kind] = {"compaction, MB/s": cleaned / 1e6 / seconds, "  CPU s/GiB (compaction)": cpu.total / (cleaned / GIB)}
        return out
    finally:
        filled.close()


def fetch_all(port, topic, length):
    """Reads partition 0 from the beginning with Fetch v4, whole answers into one buffer; returns bytes and seconds."""
    buffer = bytearray(64 << 20)
    view, got, offset = memoryview(buffer), 0, 0
    name = topic.encode()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        start = time.monotonic()
        while got < length:
            body = struct.pack(">hhih", 1, 4, 1, -1) + struct.pack(">iiiibi", -1, 500, 1, 32 << 20, 0, 1)
            body += struct.pack(">h", len(name)) + name + struct.pack(">iiqi", 1, 0, offset, 32 << 20)
            connection.sendall(struct.pack(">i", len(body)) + body)
            size, at = struct.unpack(">i", receive(connection, 4))[0], 0
            while at < size:
                at += connection.recv_into(view[at:size])
            # correlation, throttle, 1 topic, its name, 1 partition: index, error, high watermark, LSO, aborted (null)
            records = 4 + 4 + 4 + 2 + len(name) + 4 + 4 + 2 + 8 + 8 + 4
            error = struct.unpack_from(">h", buffer, records - 22)[0]
            total = struct.unpack_from(">i", buffer, records)[0]
            assert error == 0 and total > 0, (error, total)
            at, end = records + 4, records + 4 + total
            while at + 61 <= end:
                base, batch = struct.unpack_from(">qi", buffer, at)
                if at + 12 + batch > end:
                    break
                offset = base + struct.unpack_from(">i", buffer, at + 23)[0] + 1
                at += 12 + batch
            got += at - records - 4
        return got, time.monotonic() - start


def sendfile_all(path):
    """The same bytes by a bare sendfile loop over loopback into the same kind of receiver."""
    size = path.stat().st_size
    with socket.create_server(("127.0.0.1", 0)) as server, open(path, "rb") as file:
        def send():
            connection, _ = server.accept()
            with connection:
                at = 0
                while at < size:
                    at += os.sendfile(connection.fileno(), file.fileno(), at, size - at)
        sender = threading.Thread(target=send)
        sender.start()
        buffer, got = memoryview(bytearray(64 << 20)), 0
        with socket.create_connection(server.getsockname()) as connection:
            start = time.monotonic()
            while got < size:
                got += connection.recv_into(buffer[:32 << 20])
            seconds = time.monotonic() - start
        sender.join()
    return got, seconds


def plain_fetch(kinds, gib):
    """Fetch of a warm segment by a client that does nothing else, beside a bare sendfile loop."""
    filled = Filled(gib, 1, config={"segment.bytes": str(1 << 30)})
    try:
        data = filled.broker.directory / "data"
        filled.broker.stop(300)
        segment = max(data.glob("bench-0/*.log"), key=lambda f: f.stat().st_size)
        out = {}
        for kind in kinds:
            broker = filled.life(kind, kind, {**SETTINGS, "log.dirs": data})
            ready_s(broker)
            length = min(filled.bytes, segment.stat().st_size)
            runs = [fetch_all(broker.port, "bench", length) for _ in range(4)][1:]
            before = Cpu.of([broker.pid])
            runs.append(fetch_all(broker.port, "bench", length))
            cpu = Cpu.of([broker.pid]) - before
            broker.stop(300)
            bare = [sendfile_all(segment) for _ in range(4)][1:]
            fetched, sent = (max(got / seconds for got, seconds in some) / 1e6 for some in (runs, bare))
            out[kind] = {"plain fetch, MB/s": fetched, "  bare sendfile, MB/s": sent, "  fetch / sendfile": fetched / sent,
                         "  CPU s/GiB (fetch)": cpu.total / (length / GIB)}
        return out
    finally:
        filled.close()
