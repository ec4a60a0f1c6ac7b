"""Several log dirs, with Kafka's own tools: what is where, moving a replica under load, and a dir that fails."""

import json
import pathlib
import re
import shutil
import threading

from harness import Cluster, tool, wait_until
from history import create_topic

RECORDS = 60_000


def two_dirs(cluster):
    for broker in cluster.brokers:
        dirs = [broker.directory / "d1", broker.directory / "d2"]
        broker.settings["log.dirs"] = ",".join(map(str, dirs))
        (broker.directory / "server.properties").write_text("".join(f"{k}={v}\n" for k, v in broker.settings.items()))
        broker.dirs = dirs
    return cluster


def place(broker, name):
    """The log dir that holds a directory of this name."""
    return next((d for d in broker.dirs if (d / name).is_dir()), None)


def describe(cluster, topic=None):
    """{broker: {log dir: {partition: is it a copy}}} as kafka-log-dirs.sh prints it."""
    wanted = ["--topic-list", topic] if topic else []
    printed = tool("39", "org.apache.kafka.tools.LogDirsCommand", "--bootstrap-server", cluster.bootstrap, "--describe", *wanted)
    answer = json.loads(next(line for line in printed.splitlines() if line.startswith("{")))
    return {b["broker"]: {d["logDir"]: d for d in b["logDirs"]} for b in answer["brokers"]}


def produce(cluster, topic, records):
    done = tool("39", "org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", records,
                "--record-size", 200, "--throughput", 20000, "--producer-props", "acks=all",
                f"bootstrap.servers={cluster.bootstrap}")
    assert f"{records} records sent" in done, done[-2000:]


def consumed(cluster, topic, records):
    printed = tool("39", "org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", cluster.bootstrap,
                   "--topic", topic, "--messages", records, "--timeout", 30000)
    rows = [line.split(", ") for line in printed.splitlines() if re.match(r"\d{4}-\d\d-\d\d ", line)]
    return int(rows[-1][4]) if rows else 0


def test_a_replica_moves_to_another_dir_under_load():
    settings = {"default.replication.factor": 1, "offsets.topic.replication.factor": 1, "log.segment.bytes": 1 << 20}
    with two_dirs(Cluster(["barnabas"], embedded=True, settings=settings)) as cluster:
        broker = cluster.brokers[0]
        create_topic(cluster.bootstrap, "moved", 1, 1)
        wait_until(lambda: place(broker, "moved-0"), 10, "the partition")
        here = place(broker, "moved-0")
        there = next(d for d in broker.dirs if d != here)
        load = threading.Thread(target=produce, args=(cluster, "moved", RECORDS))
        load.start()
        plan = cluster.directory / "plan.json"
        plan.write_text(json.dumps({"version": 1, "partitions": [
            {"topic": "moved", "partition": 0, "replicas": [0], "log_dirs": [str(there)]}]}))
        reassign = ["org.apache.kafka.tools.reassign.ReassignPartitionsCommand", "--bootstrap-server", cluster.bootstrap,
                    "--reassignment-json-file", plan]
        printed = tool("39", *reassign, "--execute", "--replica-alter-log-dirs-throttle", 50_000_000)
        assert "Successfully started moving log directory to" in printed, printed
        wait_until(lambda: (there / "moved-0").is_dir() and not (here / "moved-0").is_dir(), 60, "the move")
        printed = tool("39", *reassign, "--verify")
        assert "Reassignment of replica moved-0-0 completed successfully" in printed, printed
        load.join()
        dirs = describe(cluster, "moved")[0]
        assert dirs[str(there)]["error"] is None
        assert [(p["partition"], p["isFuture"], p["offsetLag"]) for p in dirs[str(there)]["partitions"]] == [
            ("moved-0", False, 0)]
        assert dirs[str(here)]["partitions"] == []
        assert consumed(cluster, "moved", RECORDS) == RECORDS
        assert broker.stop() == 0
        broker.start()
        assert consumed(cluster, "moved", RECORDS) == RECORDS


def test_a_dir_that_fails_takes_only_its_replicas_along():
    settings = {"default.replication.factor": 2, "offsets.topic.replication.factor": 2,
                "min.insync.replicas": 1, "log.segment.bytes": 1 << 20}
    with two_dirs(Cluster(["barnabas"] * 2, embedded=True, settings=settings)) as cluster:
        create_topic(cluster.bootstrap, "jbod", 6, 2)
        names = [f"jbod-{n}" for n in range(6)]
        wait_until(lambda: all(place(b, n) for b in cluster.brokers for n in names), 10, "the partitions")
        produce(cluster, "jbod", 1000)
        broker, other = cluster.brokers
        failing = broker.dirs[0]
        lost = [name for name in names if place(broker, name) == failing]
        kept = [name for name in names if name not in lost]
        assert len(lost) == 3
        # The next roll there finds no directory.
        for name in lost:
            shutil.rmtree(failing / name)
        produce(cluster, "jbod", 30_000)
        broker.wait_for("Stopping serving logs in this dir", 30)

        def led_elsewhere():
            states = [cluster.partition_state("jbod", int(name.rpartition("-")[2])) for name in lost]
            return all(s["leader"] == other.id and s["isr"] == [other.id] for s in states)
        wait_until(led_elsewhere, 30, "the other broker to lead")
        assert broker.alive()
        produce(cluster, "jbod", 1000)
        assert consumed(cluster, "jbod", 32_000) == 32_000
        dirs = describe(cluster)[broker.id]
        assert "KafkaStorageException" in dirs[str(failing)]["error"]
        there = {p["partition"] for p in dirs[str(broker.dirs[1])]["partitions"]}
        assert set(kept) <= there and not there & set(lost)
        # Without a dir left the broker ends.
        for path in pathlib.Path(broker.dirs[1]).glob("jbod-*"):
            shutil.rmtree(path)
        other.pause()
        wait_until(lambda: cluster.partition_state("jbod", int(kept[0][-1]))["leader"] == broker.id, 30, "the broker to lead")
        tool("39", "org.apache.kafka.tools.ProducerPerformance", "--topic", "jbod", "--num-records", 30_000,
             "--record-size", 200, "--throughput", -1, "--producer-props", "acks=1", "delivery.timeout.ms=10000",
             "request.timeout.ms=5000", "linger.ms=5", f"bootstrap.servers={broker.address}", check=False)
        wait_until(lambda: not broker.alive(), 30, "the broker to end")
        assert broker.child.poll() == 1
        other.resume()
