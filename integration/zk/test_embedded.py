"""Real clients against the embedded ZooKeeper: kazoo, ZooKeeper's own shell, a real Kafka broker and the 2.8 tool."""

import os
import pathlib
import subprocess
import sys

import pytest

from harness import BINARY, libs

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of an embedded server on a port that the system chose."""
    log = tmp_path_factory.mktemp("zookeeper") / "log"
    with open(log, "wb") as stderr:
        process = subprocess.Popen([BINARY, "zookeeper", "--port", "0"], stdout=subprocess.PIPE, stderr=stderr, text=True)
    try:
        address = process.stdout.readline().strip()
        assert address, f"the embedded ZooKeeper did not start: {log.read_text()}"
        assert "neither replicated nor durable" in log.read_text()
        yield address
    finally:
        process.terminate()
        assert process.wait(10) == 0


def run(*command):
    jars = {"BARNABAS_KAFKA_LIBS": str(libs("39")), "BARNABAS_KAFKA28_LIBS": str(libs("28"))}
    done = subprocess.run(command, env={**os.environ, **jars}, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr


def test_kazoo(server):
    run(sys.executable, HERE / "kazoo_check.py", server)


def test_shell_of_zookeeper(server):
    run(HERE / "zkcli_check", server)


def test_real_kafka_broker(server):
    run(HERE / "kafka_check", server)
