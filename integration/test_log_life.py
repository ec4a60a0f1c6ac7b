"""The life of a log on three brokers, by the tools of Kafka 3.9.1: records deleted on request, by age and by size, compacted,
flushed, rolled; settings changed under running logs. `--kinds kafka,kafka,kafka` shows that the expectations are Kafka's."""

import json
import re
import threading
import time

import pytest

from harness import Cluster, run, tool, wait_until
from oracle_wire import batch
from test_configs import TOPIC, alter, create, side

SETTINGS = {
    "log.retention.check.interval.ms": 500, "log.initial.task.delay.ms": 100, "log.segment.delete.delay.ms": 100,
    "log.flush.offset.checkpoint.interval.ms": 300, "log.flush.start.offset.checkpoint.interval.ms": 300,
    "log.flush.scheduler.interval.ms": 100, "log.flush.interval.ms": 1 << 62, "log.cleaner.backoff.ms": 100, "log.cleaner.dedupe.buffer.size": 4 << 20,
    "log.cleaner.io.buffer.size": 1 << 17, "offsets.topic.num.partitions": 1,
}
EARLIEST, LATEST = -2, -1
OFFSET_OUT_OF_RANGE = 1
DEBUGGER = -2


@pytest.fixture(scope="module")
def life(kinds):
    """Three brokers, and a connection to each."""
    with Cluster(kinds, settings=SETTINGS) as cluster:
        cluster.sides = [side(cluster, n) for n in range(3)]
        cluster.sides[0].until(lambda m: len(m["brokers"]) == 3, "Metadata", 12, topics=[])
        yield cluster


def now_ms():
    return int(time.time() * 1000)


def produce(s, name, *batches):
    """One request for each batch, acknowledged by all replicas; the last answer."""
    for records in batches:
        answer = s.quiet("Produce", 8, acks=-1, timeout_ms=10_000, topic_data=[
            {"name": name, "partition_data": [{"index": 0, "records": records}]}])["responses"][0]["partition_responses"][0]
        assert answer["error_code"] == 0, answer
    return answer


def ten(n, timestamp=None, size=80):
    """A batch of ten records; more than one does not fit in a segment of 1000 bytes."""
    return batch(*[(b"%d" % k, b"%d-" % n + b"x" * size) for k in range(10)], timestamp=timestamp or now_ms())


def offset(s, name, timestamp):
    """What this broker says, leader or not."""
    answer = s.quiet("ListOffsets", 5, replica_id=DEBUGGER, topics=[
        {"name": name, "partitions": [{"partition_index": 0, "timestamp": timestamp, "current_leader_epoch": -1}]}])
    return answer["topics"][0]["partitions"][0]["offset"]


def fetch(s, name, at):
    answer = s.quiet("Fetch", 11, max_wait_ms=0, min_bytes=0, max_bytes=1 << 20, topics=[
        {"topic": name, "partitions": [{"partition": 0, "fetch_offset": at, "partition_max_bytes": 1 << 20}]}])
    return answer["responses"][0]["partitions"][0]


def directory(broker, name):
    return broker.directory / "data" / f"{name}-0"


def segments(broker, name):
    """Base offset and size of every segment, the active one last."""
    return sorted((int(path.stem), path.stat().st_size) for path in directory(broker, name).glob("*.log"))


def checkpoint(broker, file, name):
    """The partition's number in a checkpoint; None if it is not there."""
    path = broker.directory / "data" / file
    lines = path.read_text().splitlines() if path.exists() else []
    return next((int(line.split()[2]) for line in lines if line.startswith(f"{name} 0 ")), None)


def records(broker, name):
    """How many records lie in the log of this broker."""
    count = 0
    for path in sorted(directory(broker, name).glob("*.log")):
        raw, at = path.read_bytes(), 0
        while at + 61 <= len(raw) and raw[at + 16] == 2:
            count += int.from_bytes(raw[at + 57:at + 61], "big")
            at += 12 + int.from_bytes(raw[at + 8:at + 12], "big")
    return count


def read(cluster, name):
    """(offset, key, value) of all that a consumer gets, from the beginning."""
    printed = run("kcat", "-b", cluster.bootstrap, "-C", "-t", name, "-p", "0", "-o", "beginning", "-e", "-q", "-f", "%o %k %s\n")
    return [(int(at), key, value) for at, key, value in (line.split(" ") for line in printed.splitlines())]


def configure(cluster, name, settings):
    done = tool("39", "kafka.admin.ConfigCommand", "--bootstrap-server", cluster.bootstrap, "--entity-type", "topics",
                "--entity-name", name, "--alter", "--add-config", settings)
    assert f"Completed updating config for topic {name}." in done, done


def everywhere(cluster, condition, what, timeout_s=20):
    for n, broker in enumerate(cluster.brokers):
        wait_until(lambda: condition(broker, cluster.sides[n]), timeout_s, f"{what} on {broker.name}")


def test_delete_records(life):
    for name, brokers in (("trim", [0, 1, 2]), ("trimall", [1, 2, 0])):
        create(life, name, brokers, segment_bytes="1000")
        produce(life.sides[brokers[0]], name, *[ten(n) for n in range(10)])
    create(life, "keyed", [2, 0, 1], cleanup_policy="compact")

    def delete(*parts):
        plan = life.directory / "delete.json"
        plan.write_text(json.dumps({"version": 1, "partitions": [
            {"topic": name, "partition": 0, "offset": at} for name, at in parts]}))
        printed = tool("39", "org.apache.kafka.tools.DeleteRecordsCommand", "--bootstrap-server", life.bootstrap,
                       "--offset-json-file", plan)
        return dict(re.findall(r"partition: (\S+)\t(.*)", printed))
    assert delete(("trim", 35), ("trimall", -1)) == {"trim-0": "low_watermark: 35", "trimall-0": "low_watermark: 100"}
    for name, start in (("trim", 35), ("trimall", 100)):
        everywhere(life, lambda broker, s: offset(s, name, EARLIEST) == start, f"the log start {start}")
        everywhere(life, lambda broker, s: segments(broker, name)[0][0] == start - start % 10 - (10 if start == 100 else 0),
                   f"the old segments of {name} to go")
        everywhere(life, lambda broker, s: not list(directory(broker, name).glob("*.deleted")), "the files to go")
        everywhere(life, lambda broker, s: checkpoint(broker, "log-start-offset-checkpoint", name) == start, "the checkpoint")
    refused = delete(("trim", 101), ("keyed", 0))
    assert re.search("OffsetOutOfRangeException", refused["trim-0"]), refused
    assert re.search("PolicyViolationException", refused["keyed-0"]), refused
    # Smaller than the start: nothing happens.
    assert delete(("trim", 5)) == {"trim-0": "low_watermark: 35"}
    told = tool("39", "org.apache.kafka.tools.GetOffsetShell", "--bootstrap-server", life.bootstrap, "--topic-partitions",
                "trim:0,trimall:0", "--time", "earliest")
    assert {"trim:0:35", "trimall:0:100"} <= set(told.split()), told
    assert fetch(life.sides[0], "trim", 34)["error_code"] == OFFSET_OUT_OF_RANGE
    assert fetch(life.sides[0], "trim", 35)["log_start_offset"] == 35
    # Consumers that stood before the start begin again there.
    printed = tool("39", "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", life.bootstrap,
                   "--topic", "trim", "--partition", 0, "--offset", 7, "--max-messages", 65, "--timeout-ms", 20000,
                   "--property", "print.offset=true", "--consumer-property", "auto.offset.reset=earliest")
    assert re.findall(r"Offset:(\d+)", printed) == [str(n) for n in range(35, 100)], printed
    assert [at for at, _, _ in read(life, "trim")] == list(range(35, 100))


def test_retention_by_size_and_by_age(life):
    create(life, "aged", [1, 2, 0], segment_bytes="1000", file_delete_delay_ms="100")
    leader = life.sides[1]
    produce(leader, "aged", *[ten(n) for n in range(10)])
    before = segments(life.brokers[1], "aged")
    everywhere(life, lambda broker, s: segments(broker, "aged") == before, "ten segments")
    limit = before[0][1] * 3 + 10
    configure(life, "aged", f"retention.bytes={limit}")
    # A segment goes if what stays is not less than the limit.
    everywhere(life, lambda broker, s: segments(broker, "aged") == before[6:], "six segments to go")
    everywhere(life, lambda broker, s: offset(s, "aged", EARLIEST) == 60, "the log start")
    assert fetch(leader, "aged", 59)["error_code"] == OFFSET_OUT_OF_RANGE
    # By age: what is old goes, what is new stays.
    configure(life, "aged", "retention.bytes=-1,retention.ms=3600000")
    produce(leader, "aged", ten(10, now_ms() - 7_200_000), ten(11))
    assert offset(leader, "aged", LATEST) == 120
    configure(life, "aged", "retention.ms=100")
    everywhere(life, lambda broker, s: offset(s, "aged", EARLIEST) == 120, "all to go")
    everywhere(life, lambda broker, s: segments(broker, "aged") == [(120, 0)], "an empty segment")
    everywhere(life, lambda broker, s: not list(directory(broker, "aged").glob("*.deleted")), "the files to go")
    alter(leader, TOPIC, "aged", delete=["retention.ms"])
    produce(leader, "aged", ten(12))
    assert fetch(leader, "aged", 0)["error_code"] == OFFSET_OUT_OF_RANGE
    assert [at for at, _, _ in read(life, "aged")] == list(range(120, 130))


def test_policies_change_under_a_running_log(life):
    create(life, "policy", [2, 0, 1], segment_bytes="1000", min_cleanable_dirty_ratio="0.01", retention_ms="-1")
    leader = life.sides[2]
    produce(leader, "policy", *[ten(n) for n in range(20)])
    assert records(life.brokers[2], "policy") == 200
    configure(life, "policy", "cleanup.policy=compact")
    # Twenty batches of the same ten keys: the last cleaned one and the active segment stay.
    everywhere(life, lambda broker, s: records(broker, "policy") == 20, "the log to be cleaned")
    everywhere(life, lambda broker, s: checkpoint(broker, "cleaner-offset-checkpoint", "policy") == 190, "the cleaner's checkpoint")
    assert offset(leader, "policy", EARLIEST) == 0
    assert [(at, value[:3]) for at, _, value in read(life, "policy")] == [
        (at, f"{at // 10}-"[:3]) for at in range(180, 200)]
    # Compact and delete: age takes what compaction leaves.
    configure(life, "policy", "cleanup.policy=[compact,delete],retention.ms=3600000")
    old = now_ms() - 7_200_000
    produce(leader, "policy", ten(20, old), ten(21, old), ten(22))
    assert offset(leader, "policy", LATEST) == 230
    alter(leader, TOPIC, "policy", {"retention.ms": "1000"})
    everywhere(life, lambda broker, s: offset(s, "policy", EARLIEST) == 230, "all to go")
    alter(leader, TOPIC, "policy", {"cleanup.policy": "delete"}, delete=["retention.ms"])
    produce(leader, "policy", ten(23))
    assert [at for at, _, _ in read(life, "policy")] == list(range(230, 240))


def test_flushes_by_count_and_by_time(life):
    recovery_point = lambda name: lambda broker, s: checkpoint(broker, "recovery-point-offset-checkpoint", name)
    reaches = lambda name, at: everywhere(life, lambda broker, s: recovery_point(name)(broker, s) == at, f"{name} flushed up to {at}")
    create(life, "counted", [0, 1, 2])
    create(life, "timed", [1, 2, 0], flush_ms="200")
    create(life, "never", [0, 1, 2])
    reaches("counted", 0)
    produce(life.sides[0], "counted", ten(0))
    configure(life, "counted", "flush.messages=15")
    produce(life.sides[0], "never", ten(0))
    produce(life.sides[1], "timed", ten(0))
    reaches("timed", 10)
    produce(life.sides[0], "counted", ten(1))
    reaches("counted", 20)
    produce(life.sides[0], "counted", ten(2))
    produce(life.sides[1], "timed", ten(1))
    reaches("timed", 20)
    reaches("counted", 20)
    reaches("never", 0)


def test_rolls_by_time_and_preallocates(life):
    create(life, "rolled", [2, 0, 1], segment_ms="60000", segment_bytes="100000", preallocate="true")
    leader, start = life.sides[2], now_ms()
    produce(leader, "rolled", ten(0, start), ten(1, start + 30_000), ten(2, start + 61_000), ten(3, start + 62_000))
    bases = lambda broker: [base for base, _ in segments(broker, "rolled")]
    everywhere(life, lambda broker, s: bases(broker) == [0, 20], "a roll by time")
    # What was closed has no room left over.
    size = len(ten(0)) + len(ten(1))
    everywhere(life, lambda broker, s: segments(broker, "rolled")[0][1] == size, "the size of the closed segment")
    configure(life, "rolled", "segment.ms=1000,preallocate=false")
    produce(leader, "rolled", ten(4, start + 65_000))
    everywhere(life, lambda broker, s: bases(broker) == [0, 20, 40], "a sooner roll")
    everywhere(life, lambda broker, s: segments(broker, "rolled")[2][1] == len(ten(4)), "no room in advance")
    assert [at for at, _, _ in read(life, "rolled")] == list(range(50))


def test_timestamp_type_changes_under_a_running_log(life):
    create(life, "stamped", [0, 1, 2])
    leader, then = life.sides[0], now_ms() - 1_000_000
    assert produce(leader, "stamped", ten(0, then))["log_append_time_ms"] == -1
    configure(life, "stamped", "message.timestamp.type=LogAppendTime")
    answer = wait_until(lambda: (a := produce(leader, "stamped", ten(1, then)))["log_append_time_ms"] != -1 and a, 10, "append time")
    assert answer["log_append_time_ms"] > then + 900_000
    stamped = fetch(leader, "stamped", answer["base_offset"])["records"]
    assert stamped[22] & 8 and int.from_bytes(stamped[35:43], "big") == answer["log_append_time_ms"]
    configure(life, "stamped", "message.timestamp.type=CreateTime")
    answer = wait_until(lambda: (a := produce(leader, "stamped", ten(2, then)))["log_append_time_ms"] == -1 and a, 10, "create time")
    stamped = fetch(leader, "stamped", answer["base_offset"])["records"]
    assert not stamped[22] & 8 and int.from_bytes(stamped[27:35], "big") == then


def test_compaction_under_load_and_a_killed_leader(life):
    """Every key's last value is there after the leader was killed. The last test: a broker is gone afterwards."""
    create(life, "load", [1, 2, 0], cleanup_policy="compact", segment_bytes="4000", min_cleanable_dirty_ratio="0.01")
    last, unsure, stop = {}, {}, threading.Event()

    def write(s):
        n = 0
        while not stop.is_set():
            sent = {f"k{(n * 7 + k) % 50}": f"{n}" for k in range(10)}
            unsure.update(sent)
            answer = s.exchange("Produce", 8, acks=-1, timeout_ms=5000, topic_data=[{"name": "load", "partition_data": [
                {"index": 0, "records": batch(*[(k.encode(), v.encode()) for k, v in sent.items()], timestamp=now_ms())}]}])
            if answer is None or answer["responses"][0]["partition_responses"][0]["error_code"] != 0:
                return
            last.update(sent)
            n += 1
    writer = threading.Thread(target=write, args=(side(life, 1),))
    writer.start()
    try:
        cleaned = lambda broker: checkpoint(broker, "cleaner-offset-checkpoint", "load") or 0
        # Twice: what was cleaned is cleaned again.
        for broker in life.brokers:
            first = wait_until(lambda: cleaned(broker), 20, f"{broker.name} to clean")
            wait_until(lambda: cleaned(broker) > first, 20, f"{broker.name} to clean again")
        life.brokers[1].kill()
    finally:
        stop.set()
        writer.join()
    wait_until(lambda: life.partition_state("load", 0)["leader"] in (0, 2), 30, "a new leader")
    got = read(life, "load")
    assert len(got) < int(max(last.values(), key=int)) * 10, "nothing was compacted"
    assert [at for at, _, _ in got] == sorted({at for at, _, _ in got})
    values = {key: value for _, key, value in got}
    assert values.keys() == unsure.keys()
    wrong = {key: (values[key], last.get(key)) for key in last if values[key] not in (last[key], unsure[key])}
    assert not wrong, wrong
    # What was deleted stays deleted under the new leader.
    assert fetch(life.sides[life.partition_state("trim", 0)["leader"]], "trim", 34)["error_code"] == OFFSET_OUT_OF_RANGE
