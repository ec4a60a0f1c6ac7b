"""Transactions by real clients: the Java client and librdkafka, through kills, and with coordinator and data on brokers of
either kind."""

import contextlib
import subprocess
import threading
import time

import pytest

from faults import live_ids
from harness import CACHE, ROOT, Cluster, libs, run, wait_until
from oracle_wire import APIS, Socket, decode, encode

SETTINGS = {"transaction.state.log.num.partitions": 4, "transaction.state.log.replication.factor": 3,
            "offsets.topic.replication.factor": 3, "transaction.abort.timed.out.transaction.cleanup.interval.ms": 500}
SINGLE = {**SETTINGS, "transaction.state.log.replication.factor": 1, "transaction.state.log.min.isr": 1,
          "offsets.topic.replication.factor": 1, "default.replication.factor": 1}


@pytest.fixture(scope="session")
def java():
    """The command of the Java client."""
    classes, jars = CACHE / "clients" / "java", f"{libs('39')}/*"
    classes.mkdir(parents=True, exist_ok=True)
    run("javac", "-cp", jars, "-d", classes, ROOT / "integration" / "clients" / "java" / "Transactions.java")
    return ["java", "-Xmx256m", "-cp", f"{classes}:{jars}", "Transactions"]


def ask(broker, name, version, **values):
    socket = Socket(broker.port)
    try:
        socket.send(encode(APIS[name], version, 1, "test", values))
        return decode(APIS[name], version, socket.receive())[1]
    finally:
        socket.close()


def create(cluster, name, *leaders, replicas=1):
    """A topic with a partition for each of `leaders`, at first led by it."""
    ids = [broker.id for broker in cluster.brokers]
    assignments = [{"partition_index": n, "broker_ids": [ids[(leader + r) % len(ids)] for r in range(replicas)]}
                   for n, leader in enumerate(leaders)]
    topic = {"name": name, "num_partitions": -1, "replication_factor": -1, "assignments": assignments, "configs": []}

    def created():
        controller = cluster.controller_id()
        if controller is None:
            return False
        answer = ask(cluster.brokers[controller], "CreateTopics", 4, topics=[topic], timeout_ms=10000)
        return answer["topics"][0]["error_code"] in (0, 36)
    wait_until(created, 30, f"topic {name}")


def coordinator(cluster, transactional_id):
    """The broker that coordinates the id."""
    def found():
        with contextlib.suppress(OSError):
            answer = ask(cluster.brokers[0], "FindCoordinator", 4, key_type=1, coordinator_keys=[transactional_id])
            one = answer["coordinators"][0]
            return one if one["error_code"] == 0 else None
    return wait_until(found, 60, f"the coordinator of {transactional_id}")["node_id"]


def test_basics(java):
    with Cluster(settings=SETTINGS) as cluster:
        create(cluster, "basics", 0, replicas=3)
        assert run(*java, "basics", cluster.bootstrap, "basics", "basics").splitlines()[-1] == "ok"


@pytest.mark.parametrize("coordinating", ["kafka", "barnabas"])
def test_coordinator_of_one_kind_and_data_on_the_other(java, coordinating):
    kinds = ("kafka", "barnabas")
    with Cluster(kinds, settings=SINGLE) as cluster:
        create(cluster, "data", 1 - kinds.index(coordinating))
        ids = (f"mixed-{n}" for n in range(100))
        id = next(i for i in ids if kinds[coordinator(cluster, i)] == coordinating
                  and kinds[coordinator(cluster, i + "-slow")] == coordinating)
        assert run(*java, "basics", cluster.bootstrap, "data", id).splitlines()[-1] == "ok"


def produce(cluster, topic, count):
    from confluent_kafka import Producer
    producer = Producer({"bootstrap.servers": cluster.bootstrap, "acks": "all", "enable.idempotence": True})
    for n in range(count):
        producer.produce(topic, value=str(n))
    assert producer.flush(60) == 0


def read_committed(cluster, topic, partitions):
    """All committed values up to the end of each partition."""
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "check", "isolation.level": "read_committed",
                         "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, n, 0) for n in range(partitions)])
    got, ended, limit = [], set(), time.monotonic() + 60
    while len(ended) < partitions:
        assert time.monotonic() < limit, f"no end of {topic}"
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            ended.add(message.partition())
        else:
            got.append(int(message.value()))
    consumer.close()
    return got


@pytest.mark.parametrize("kinds", [("barnabas",) * 3, ("barnabas", "kafka", "barnabas")], ids=["ours", "mixed"])
def test_exactly_once_while_every_broker_is_killed_in_turn(java, kinds):
    count = 20000
    with Cluster(kinds, settings=SETTINGS) as cluster:
        create(cluster, "from", 0, 1, 2, replicas=3)
        create(cluster, "to", 0, 1, 2, replicas=3)
        produce(cluster, "from", count)
        coordinator(cluster, "copy")
        copying = subprocess.Popen([*java, "copy", cluster.bootstrap, "from", "to", "copy", str(count)],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        printed = []
        reader = threading.Thread(target=lambda: printed.extend(copying.stdout))
        reader.start()
        try:
            first = coordinator(cluster, "copy")
            order = [first] + [n for n in range(3) if n != first]
            for n in order:
                broker = cluster.brokers[n]
                # Something must be copied between two kills.
                before = sum(read_ends(cluster, "to"))
                wait_until(lambda: copying.poll() is not None or sum(read_ends(cluster, "to")) > before, 60, "progress")
                broker.kill()
                if broker.kind == "kafka":  # It exits at once while its old registration is there; ours waits.
                    wait_until(lambda: str(n) not in live_ids(cluster), 60, f"broker {n} to expire")
                broker.start()
                wait_until(lambda: len(cluster.partition_state("to", 0)["isr"]) == 3, 60, "the broker to be in sync")
            assert copying.wait(240) == 0, "".join(printed)[-4000:]
        finally:
            copying.kill()
            reader.join()
        print("".join(printed)[-2000:])
        assert sorted(read_committed(cluster, "to", 3)) == list(range(count))


def read_ends(cluster, topic):
    """Log ends of a topic as the leaders that can be asked tell them."""
    from confluent_kafka import Consumer, KafkaException, TopicPartition
    consumer = Consumer({"bootstrap.servers": cluster.bootstrap, "group.id": "ends"})
    ends = []
    for n in range(3):
        with contextlib.suppress(KafkaException):
            ends.append(consumer.get_watermark_offsets(TopicPartition(topic, n), timeout=5)[1])
    consumer.close()
    return ends


def test_librdkafka():
    from confluent_kafka import KafkaException, Producer
    with Cluster(("barnabas",), settings=SINGLE) as cluster:
        create(cluster, "c", 0)
        settings = {"bootstrap.servers": cluster.bootstrap, "transactional.id": "c"}
        first = Producer(settings)
        first.init_transactions(30)
        for commit in (True, False, True):
            first.begin_transaction()
            for n in range(10):
                first.produce("c", value=str(n if commit else -1))
            first.commit_transaction(30) if commit else first.abort_transaction(30)
        wait_until(lambda: read_committed(cluster, "c", 1) == [*range(10)] * 2, 10, "what was committed")
        first.begin_transaction()
        first.produce("c", value="99")
        first.flush(10)
        second = Producer(settings)
        second.init_transactions(30)
        with pytest.raises(KafkaException) as refused:
            first.commit_transaction(30)
        assert refused.value.args[0].fatal()
        wait_until(lambda: read_committed(cluster, "c", 1) == [*range(10)] * 2, 10, "the zombie's transaction to be aborted")
