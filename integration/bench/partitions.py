"""What many partitions cost one broker that nobody uses: memory, open files, CPU, and the time to stop and to start again."""

import os
import pathlib
import socket
import struct
import time

from harness import Broker, Cluster, wait_until
from measure import Cpu, brokers_listed, receive, resident_mib

PER_TOPIC = 1000
IDLE_S = 20
PATIENCE_S = 1800


def run(kind, count):
    """One broker with its own ZooKeeper, `count` partitions in topics of a thousand: {measure: value}."""
    settings = {"default.replication.factor": 1, "offsets.topic.num.partitions": 1, "controlled.shutdown.enable": "false",
                "zookeeper.session.timeout.ms": 18000}
    with Cluster([], embedded=kind == "barnabas") as cluster:
        broker = Broker(kind, 0, cluster.connect, cluster.directory / "broker", settings)
        try:
            broker.start()
            wait_until(lambda: broker.id in brokers_listed(broker.port), 60, "the broker to list itself")
            before = resident_mib(broker.pid)[0]
            created = seconds(lambda: create(broker, count))
            memory, files = resident_mib(broker.pid)[0], open_files(broker)
            stopped = seconds(lambda: broker.stop(PATIENCE_S))
            started = seconds(lambda: serve_again(broker, count))
            idle_cpu = cpu_of_idling(broker)
            memory_again, files_again = resident_mib(broker.pid)[0], open_files(broker)
            broker.kill()
            # A matter of zookeeper.session.timeout.ms, not of the partitions.
            wait_until(lambda: not registered(cluster), 60, "the killed broker's session to expire")
            recovered = seconds(lambda: serve_again(broker, count))
        finally:
            broker.kill()
    return {
        f"{count} partitions, creation s": created,
        "  resident MiB": memory,
        "  KiB for each partition": (memory - before) * 1024 / count,
        "  open files": files,
        "  clean stop s": stopped,
        "  start until all are led, s": started,
        "  resident MiB then": memory_again,
        "  open files then": files_again,
        "  idle then, CPU s in 60 s": idle_cpu * 60 / IDLE_S,
        "  the same after kill -9, s": recovered,
    }


def seconds(act):
    start = time.monotonic()
    act()
    return time.monotonic() - start


def cpu_of_idling(broker):
    time.sleep(IDLE_S)  # what follows from the start
    before = Cpu.of([broker.pid])
    time.sleep(IDLE_S)
    return (Cpu.of([broker.pid]) - before).total


def open_files(broker):
    return len(os.listdir(f"/proc/{broker.pid}/fd"))


def registered(cluster):
    zk = cluster.zk()
    try:
        return zk.get_children("/brokers/ids")
    finally:
        zk.stop()
        zk.close()


def serve_again(broker, count):
    broker.start(wait=False)
    wait_led(broker, count)


def create(broker, count):
    for first in range(0, count, PER_TOPIC):
        create_topic(broker.port, f"many-{first // PER_TOPIC:03}", min(PER_TOPIC, count - first))
    data = pathlib.Path(broker.settings["log.dirs"])
    wait_until(lambda: sum(name.startswith("many-") for name in os.listdir(data)) >= count, PATIENCE_S, "all directories")
    wait_led(broker, count)


def call(port, api, version, body):
    request = struct.pack(">hhih", api, version, 1, -1) + body
    with socket.create_connection(("127.0.0.1", port), 120) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        return receive(connection, struct.unpack(">i", receive(connection, 4))[0])[4:]


def create_topic(port, name, partitions):
    """CreateTopics, version 0; a time-out is no error, the topic comes later."""
    name = name.encode()
    topic = struct.pack(">ih", 1, len(name)) + name + struct.pack(">ihii", partitions, 1, 0, 0)
    answer = call(port, 19, 0, topic + struct.pack(">i", 60000))
    error = struct.unpack(">h", answer[-2:])[0]
    if error not in (0, 7):
        raise RuntimeError(f"CreateTopics answered {error}")


def wait_led(broker, count):
    def led():
        if not broker.alive():
            raise RuntimeError(f"{broker.name} ended:\n{broker.log()[-2000:]}")
        try:
            return leaders(broker.port) >= count
        except OSError:
            return False
    end = time.monotonic() + PATIENCE_S
    while not led():
        if time.monotonic() > end:
            raise TimeoutError("not all partitions have leaders")
        time.sleep(0.2)  # an answer of megabytes: asking costs the broker time


def leaders(port):
    """Partitions with a leader in the answer to Metadata, version 1, about all topics."""
    answer = call(port, 3, 1, struct.pack(">i", -1))
    at, found = 4, 0
    for _ in range(struct.unpack_from(">i", answer, 0)[0]):
        at += 4 + 2 + struct.unpack_from(">h", answer, at + 4)[0] + 4
        at += 2 + max(struct.unpack_from(">h", answer, at)[0], 0)
    at += 4
    topics = struct.unpack_from(">i", answer, at)[0]
    at += 4
    for _ in range(topics):
        at += 2 + 2 + struct.unpack_from(">h", answer, at + 2)[0] + 1
        partitions = struct.unpack_from(">i", answer, at)[0]
        at += 4
        for _ in range(partitions):
            found += struct.unpack_from(">i", answer, at + 6)[0] >= 0
            at += 10
            at += 4 + 4 * struct.unpack_from(">i", answer, at)[0]
            at += 4 + 4 * struct.unpack_from(">i", answer, at)[0]
    return found
