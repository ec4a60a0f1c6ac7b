"""`barnabas quickstart`: with each kind of ZooKeeper, and what becomes of its processes."""

import os
import pathlib
import re
import signal

import pytest

from harness import BINARY, Process, ZooKeeper, libs, run, wait_until

COUNT = 300  # 100 for each of 3 partitions


@pytest.fixture
def start(tmp_path):
    """Starts `quickstart ARGUMENTS` with its files below `tmp_path/files`; what is left over at the end is killed."""
    started = []

    def start(*arguments):
        files = tmp_path / "files"
        files.mkdir(exist_ok=True)
        environment = {"TMPDIR": str(files), "BARNABAS_KAFKA_LIBS": str(libs("39"))}
        process = Process("quickstart", [BINARY, "quickstart", *arguments], tmp_path / "out", environment)
        started.append(process.start())
        return process

    yield start
    for process in started:
        pids = pids_of(process)
        process.kill()
        for pid in filter(lives, pids):
            os.kill(pid, signal.SIGKILL)


def pids_of(process):
    return [int(pid) for pid, _ in table(process.log()).values()]


def table(printed):
    """The printed table: name -> (pid, address)."""
    rows = re.findall(r"^((?:zookeeper|broker) \S+) +(\d+)  (\S+)$", printed, re.MULTILINE)
    return {name: (int(pid), address) for name, pid, address in rows}


def lives(pid):
    status = pathlib.Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def shown(process, zookeepers):
    """Checks the printed table and the count of records; returns the brokers' pids and addresses."""
    printed = process.log()
    rows = table(printed)
    assert [name for name in rows if name.startswith("broker")] == ["broker 0", "broker 1", "broker 2"], printed
    assert [name for name in rows if name.startswith("zookeeper")] == zookeepers, printed
    assert f"{COUNT} records produced with acks=all, {COUNT} consumed, in order." in printed, printed
    return [rows[f"broker {n}"] for n in range(3)]


def nothing_is_left(process, files):
    assert [pid for pid in pids_of(process) if lives(pid)] == []
    assert list(files.iterdir()) == [], "the directory was not removed"


def test_once_with_the_embedded_zookeeper(start, tmp_path):
    process = start("--once")
    assert process.child.wait(60) == 0, process.log()
    shown(process, ["zookeeper (embedded)"])
    nothing_is_left(process, tmp_path / "files")


def test_once_below_a_chroot_of_a_running_zookeeper(start, tmp_path):
    zookeeper = ZooKeeper(tmp_path).start()
    try:
        connect = f"{zookeeper.connect}/quick/start"
        process = start("--once", "--zookeeper", connect)
        assert process.child.wait(60) == 0, process.log()
        shown(process, [])
        nothing_is_left(process, tmp_path / "files")
        inspected = run(BINARY, "zk", "inspect", "--zookeeper", zookeeper.connect)
        paths = [line.split()[0] for line in inspected.splitlines()]
        assert "/quick/start/brokers/topics/quickstart" in paths, inspected
        assert all(path.startswith("/quick") for path in paths), inspected
        # A second cluster finds the topic of the first, without its data, and works all the same.
        process = start("--once", "--zookeeper", connect)
        assert process.child.wait(60) == 0, process.log()
        shown(process, [])
    finally:
        zookeeper.stop()


def test_once_with_an_ensemble(start, tmp_path):
    process = start("--once", "--ensemble")
    assert process.child.wait(120) == 0, process.log()
    shown(process, ["zookeeper 1", "zookeeper 2", "zookeeper 3"])
    assert len({address for _, address in table(process.log()).values()}) == 6, process.log()
    nothing_is_left(process, tmp_path / "files")


def test_a_killed_broker_costs_nothing_and_ctrl_c_stops_the_rest(start, tmp_path):
    process = start().wait_for("stays up until Ctrl-C")
    brokers = shown(process, ["zookeeper (embedded)"])
    victim = int(re.search(r"kill -9 (\d+);", process.log())[1])
    assert victim in [pid for pid, _ in brokers]
    os.kill(victim, signal.SIGKILL)
    bootstrap = ",".join(address for _, address in brokers)
    read = ["kcat", "-b", bootstrap, "-C", "-t", "quickstart", "-o", "beginning", "-e", "-q"]
    # kcat gives up on a partition whose leader has just died.
    wait_until(lambda: len(run(*read, check=False).splitlines()) == COUNT, 30, "every record to be read")
    run("kcat", "-b", bootstrap, "-P", "-t", "quickstart", "-p", 0, "-X", "acks=all", stdin="after the kill\n")
    assert "after the kill" in run(*read, "-p", 0).splitlines()
    process.signal(signal.SIGINT)
    assert process.child.wait(40) == 0, process.log()
    nothing_is_left(process, tmp_path / "files")


def test_an_end_before_the_demonstration_is_over_leaves_nothing(start, tmp_path):
    # Nothing listens there: the brokers wait.
    process = start("--zookeeper", "127.0.0.1:1", "--directory", tmp_path / "kept").wait_for("Data and logs")
    wait_until(lambda: len(list((tmp_path / "kept").glob("broker-*.log"))) == 3, 20, "the brokers to be started")
    process.signal(signal.SIGTERM)
    assert process.child.wait(40) == 1, process.log()
    assert "ended before the demonstration was over" in process.log()
    left = [p for p in pathlib.Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in read(p)]
    assert left == [], left


def read(path):
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
