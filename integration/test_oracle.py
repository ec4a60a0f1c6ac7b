"""Same request, same answer: real Kafka 3.9.1 with ZooKeeper is the oracle.

Both brokers get the same steps over plain sockets; every answer is compared field by field. What may differ is listed
in ALLOWED, with the reason."""

import concurrent.futures
import re

import pytest

import oracle_configs
import oracle_groups
import oracle_logs
import oracle_records
import oracle_topics
import oracle_transactions
from harness import Cluster
from oracle_side import Side, differences
from oracle_wire import APIS, Socket, decode, encode

SETTINGS = {"offsets.topic.replication.factor": 1, "default.replication.factor": 1,
            "transaction.state.log.replication.factor": 1, "transaction.state.log.min.isr": 1,
            "transaction.state.log.num.partitions": 1, "group.initial.rebalance.delay.ms": 20,
            # The records are old: no retention before the tests are over.
            "log.initial.task.delay.ms": 3_600_000}

# (request, field, reason): regular expressions.
ALLOWED = [
    # Deliberate: see docs/differences.md.
    ("^ApiVersions", r"api_keys\.(29|30|31|38|39|40|41|48|49|50|51|57)$",
     "not offered yet"),
    ("^ApiVersions", r"api_keys\.[89]\.min_version$", "the oldest versions of OffsetCommit and OffsetFetch"),
    ("^Produce v.* no key ", r"message$", "our text does not name the partition"),
    ("^Produce v.* (magic 3|garbage) ", r"error_message$", "no text for what cannot be parsed at all"),
    ("^AlterConfigs v.* log.cleaner.threads=0$", r"error_message$", "Kafka says `/ by zero`"),
    ("^IncrementalAlterConfigs v.* logger of another$", r"error_message$", "Kafka names its own id twice"),
    ("^DescribeConfigs v4 documentation", r"documentation$", "the texts are our own"),
]

AREAS = [oracle_topics.metadata, oracle_topics.create_topics, oracle_topics.delete_topics, oracle_topics.create_partitions,
         oracle_topics.describe_configs, oracle_configs.alter_configs, oracle_configs.incremental_alter_configs, oracle_topics.cluster, oracle_records.produce, oracle_records.message_sets, oracle_records.fetch,
         oracle_records.offsets, oracle_logs.delete_records, oracle_logs.log_dirs, oracle_groups.find_coordinator, oracle_groups.groups, oracle_transactions.transactions]


def offered(port):
    """Versions by API name."""
    socket = Socket(port)
    socket.send(encode(APIS["ApiVersions"], 0, 1, "oracle", {}))
    keys = {k["api_key"]: (k["min_version"], k["max_version"]) for k in decode(APIS["ApiVersions"], 0, socket.receive())[1]["api_keys"]}
    socket.close()
    return {api.name: keys[api.key] for api in APIS.values() if api.key in keys}


@pytest.fixture(scope="module")
def sides():
    with concurrent.futures.ThreadPoolExecutor(2) as pool, Cluster(("barnabas",), settings=SETTINGS) as ours:
        with Cluster(("kafka",), settings=SETTINGS) as kafka:
            versions = offered(ours.brokers[0].port)
            sides = Side(kafka, versions), Side(ours, versions)
            for side in sides:
                side.until(lambda m: m["brokers"] and m["controller_id"] == 0, "Metadata", 1, topics=[])
            yield pool, *sides


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.__name__)
def test_same_request_same_answer(sides, area):
    pool, kafka, ours = sides
    both = [kafka, ours]
    list(pool.map(lambda side: area(side.reset()), both))
    for side in both:
        side.close()
    assert [label for label, _ in kafka.transcript] == [label for label, _ in ours.transcript]
    found = []
    for (label, theirs), (_, mine) in zip(kafka.transcript, ours.transcript):
        for path, k, o in differences(theirs, mine):
            if not any(re.search(request, label) and re.search(field, path) for request, field, _ in ALLOWED):
                found.append(f"{label}: {path}\n    kafka: {k!r}\n    ours:  {o!r}")
    print(len(kafka.transcript), "answers compared")
    assert not found, f"{len(found)} differences in {len(kafka.transcript)} answers\n" + "\n".join(found)
