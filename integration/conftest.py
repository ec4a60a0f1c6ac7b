"""Fixtures. `--kinds kafka,kafka,kafka` runs the same tests against real Kafka: the oracle of the tests themselves."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from harness import Cluster  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--kinds", default="barnabas,barnabas,barnabas")


@pytest.fixture(scope="session")
def kinds(request):
    return request.config.getoption("--kinds").split(",")


@pytest.fixture(scope="session")
def cluster(kinds):
    """Three brokers beside a real three-node ZooKeeper ensemble, shared by the tests that break nothing."""
    with Cluster(kinds, zookeepers=3, settings={"min.insync.replicas": 2, "barnabas.metrics.listener": ":0"}) as cluster:
        yield cluster
