"""A client of each language produces with acks=all and reads everything back, in order, through a group."""

import pathlib
import sys

from harness import CACHE, libs, run
from history import create_topic

CLIENTS = pathlib.Path(__file__).parent / "clients"
COUNT = 1000


def round_trip(cluster, topic, *command, records=COUNT):
    create_topic(cluster.bootstrap, topic)
    printed = run(*command, cluster.bootstrap, topic, COUNT)
    assert printed.splitlines()[-1] == f"ok {records}", printed


def build(name):
    directory = CACHE / "clients" / name
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def test_java(cluster):
    classes = build("java")
    jars = f"{libs('39')}/*"
    run("javac", "-cp", jars, "-d", classes, CLIENTS / "java" / "RoundTrip.java")
    round_trip(cluster, "java", "java", "-Xmx256m", "-cp", f"{classes}:{jars}", "RoundTrip", records=5 * COUNT)


def test_go(cluster):
    target = build("go") / "roundtrip"
    run("go", "build", "-o", target, ".", cwd=CLIENTS / "go", timeout_s=600)
    round_trip(cluster, "go", target)


def test_python(cluster):
    round_trip(cluster, "python", sys.executable, CLIENTS / "python" / "roundtrip.py")


def test_node(cluster):
    directory = build("node")
    for file in ["package.json", "roundtrip.js"]:
        (directory / file).write_bytes((CLIENTS / "node" / file).read_bytes())
    run("npm", "install", "--silent", "--no-audit", "--no-fund", cwd=directory, timeout_s=300)
    round_trip(cluster, "node", "node", directory / "roundtrip.js")


def test_c(cluster):
    target = build("c") / "roundtrip"
    run("gcc", "-Wall", "-Werror", "-O1", "-o", target, CLIENTS / "c" / "roundtrip.c", "-lrdkafka")
    round_trip(cluster, "c", target)
