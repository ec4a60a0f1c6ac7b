"""Settings that change while brokers run: by the tools of Kafka 3.9.1 and 2.8.2, by requests, through ZooKeeper; seen and
applied by every broker, ours and Kafka's."""

import json
import re
import types

import pytest

from harness import Cluster, tool, wait_until
from oracle_side import Side
from oracle_topics import make, topic
from oracle_wire import batch
from test_oracle import offered

CONFIGS = "kafka.admin.ConfigCommand"
SETTINGS = {"offsets.topic.replication.factor": 1, "default.replication.factor": 1, "zookeeper.session.timeout.ms": 2000}
TOPIC, BROKER = 2, 4
TOO_LARGE, NOT_ENOUGH_REPLICAS = 10, 19


def side(cluster, n):
    """Talks to one broker only."""
    broker = cluster.brokers[n]
    return Side(types.SimpleNamespace(brokers=[broker], connect=cluster.connect), offered(broker.port))


@pytest.fixture(scope="module")
def pair():
    with Cluster(("barnabas", "barnabas"), settings=SETTINGS) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def mixed():
    with Cluster(("barnabas", "kafka"), settings=SETTINGS) as cluster:
        yield cluster


def alter(s, kind, name, set=(), delete=(), code=0):
    configs = [{"name": k, "config_operation": 0, "value": v} for k, v in dict(set).items()]
    configs += [{"name": k, "config_operation": 1, "value": None} for k in delete]
    answer = s.quiet("IncrementalAlterConfigs", 1, validate_only=False,
                     resources=[{"resource_type": kind, "resource_name": name, "configs": configs}])
    assert answer["responses"][0]["error_code"] == code, answer
    return answer["responses"][0]["error_message"]


def value(s, kind, name, key):
    """The value and the number of its source, as a broker tells it."""
    answer = s.quiet("DescribeConfigs", 4, resources=[{"resource_type": kind, "resource_name": name, "configuration_keys": [key]}])
    return next(((c["value"], c["config_source"]) for c in answer["results"][0]["configs"]), None)


def produced(s, name, records, acks=-1):
    """The error of a write to partition 0."""
    answer = s.quiet("Produce", 8, acks=acks, timeout_ms=5000, topic_data=[
        {"name": name, "partition_data": [{"index": 0, "records": records}]}])
    return answer["responses"][0]["partition_responses"][0]["error_code"]


def led_by(s, name, brokers, **configs):
    """A topic of one partition on these brokers, the first of them leading."""
    controller = s.until(lambda m: m["controller_id"] >= 0, "Metadata", 12, topics=[])["controller_id"]
    def create(s):
        make(s, topic(name, -1, -1, [(0, brokers)], [(k.replace("_", "."), v) for k, v in configs.items()]))
    return controller, create


def create(cluster, name, brokers, **configs):
    controller, make_it = led_by(side(cluster, 0), name, brokers, **configs)
    make_it(side(cluster, controller))
    for n in brokers:
        side(cluster, n).until(lambda m: m["topics"][0]["error_code"] == 0 and m["topics"][0]["partitions"][0]["leader_id"] == brokers[0],
                               "Metadata", 12, topics=[{"name": name}], allow_auto_topic_creation=False)


def configs_tool(release, where, kind, *args, check=True):
    return tool(release, CONFIGS, *where, "--entity-type", kind, *args, check=check)


def test_tools_of_3_9(pair):
    create(pair, "tools", [0, 1])
    b = ["--bootstrap-server", pair.bootstrap]
    done = configs_tool("39", b, "topics", "--entity-name", "tools", "--alter", "--add-config", "retention.ms=7200000,cleanup.policy=[compact,delete]")
    assert "Completed updating config for topic tools." in done
    shown = configs_tool("39", b, "topics", "--entity-name", "tools", "--describe")
    assert "retention.ms=7200000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=7200000}" in shown, shown
    assert re.search(r"cleanup.policy=compact,delete .*DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete, DEFAULT_CONFIG:log.cleanup.policy=delete", shown), shown
    configs_tool("39", b, "topics", "--entity-name", "tools", "--alter", "--delete-config", "cleanup.policy")
    refused = configs_tool("39", b, "topics", "--entity-name", "tools", "--alter", "--add-config", "retention.ms=x", check=False)
    assert "Invalid value x for configuration retention.ms: Not a number of type LONG" in refused, refused
    # Brokers: one, and all.
    configs_tool("39", b, "brokers", "--entity-name", "0", "--alter", "--add-config", "log.cleaner.threads=2")
    configs_tool("39", b, "brokers", "--entity-default", "--alter", "--add-config", "message.max.bytes=1500000")
    def dynamic():
        shown = configs_tool("39", b, "brokers", "--entity-name", "0", "--describe", "--all")
        return shown if "log.cleaner.threads=2" in shown and "message.max.bytes=1500000" in shown else None
    shown = wait_until(dynamic, 30, "the broker's settings")
    assert "log.cleaner.threads=2 sensitive=false synonyms={DYNAMIC_BROKER_CONFIG:log.cleaner.threads=2, DEFAULT_CONFIG:log.cleaner.threads=1}" in shown, shown
    assert "message.max.bytes=1500000 sensitive=false synonyms={DYNAMIC_DEFAULT_BROKER_CONFIG:message.max.bytes=1500000, DEFAULT_CONFIG:message.max.bytes=1048588}" in shown, shown
    shown = configs_tool("39", b, "brokers", "--entity-default", "--describe")
    assert "message.max.bytes=1500000 sensitive=false synonyms={DYNAMIC_DEFAULT_BROKER_CONFIG:message.max.bytes=1500000}" in shown, shown
    refused = configs_tool("39", b, "brokers", "--entity-name", "0", "--alter", "--add-config", "log.dirs=/x", check=False)
    assert "Cannot update these configs dynamically: Set(log.dirs)" in refused, refused
    configs_tool("39", b, "brokers", "--entity-name", "0", "--alter", "--delete-config", "log.cleaner.threads")
    configs_tool("39", b, "brokers", "--entity-default", "--alter", "--delete-config", "message.max.bytes")
    zk = pair.zk()
    assert zk.get("/config/brokers/0")[0] == b'{"version":1,"config":{}}'
    assert zk.get("/config/brokers/<default>")[0] == b'{"version":1,"config":{}}'
    assert zk.get("/config/topics/tools")[0] == b'{"version":1,"config":{"retention.ms":"7200000"}}'
    zk.stop()
    zk.close()


def test_tools_of_2_8(pair):
    create(pair, "old", [0, 1])
    z, b = ["--zookeeper", pair.connect], ["--bootstrap-server", pair.bootstrap]
    sides = [side(pair, n) for n in (0, 1)]
    small = batch(b"x" * 3000)
    configs_tool("28", z, "topics", "--entity-name", "old", "--alter", "--add-config", "max.message.bytes=1000")
    wait_until(lambda: produced(sides[0], "old", small) == TOO_LARGE, 10, "the limit to hold")
    assert "max.message.bytes=1000" in configs_tool("28", z, "topics", "--entity-name", "old", "--describe")
    tool("28", "kafka.admin.TopicCommand", *z, "--alter", "--topic", "old", "--config", "max.message.bytes=5000")
    wait_until(lambda: produced(sides[0], "old", small) == 0, 10, "the limit to be raised")
    configs_tool("28", b, "topics", "--entity-name", "old", "--alter", "--delete-config", "max.message.bytes")
    configs_tool("28", z, "brokers", "--entity-name", "1", "--alter", "--add-config", "leader.replication.throttled.rate=5000")
    wait_until(lambda: value(sides[1], BROKER, "1", "leader.replication.throttled.rate") == ("5000", 2), 10, "the throttle")
    shown = configs_tool("28", b, "brokers", "--entity-name", "1", "--describe")
    assert "leader.replication.throttled.rate=5000 sensitive=false" in shown, shown
    configs_tool("28", b, "brokers", "--entity-name", "1", "--alter", "--delete-config", "leader.replication.throttled.rate")
    wait_until(lambda: value(sides[1], BROKER, "1", "leader.replication.throttled.rate") is None, 10, "no throttle")


def test_changes_reach_running_logs_at_once(pair):
    create(pair, "now", [1, 0])
    here, there = side(pair, 1), side(pair, 0)
    directory = pair.directory / "broker1" / "data" / "now-0"
    segments = lambda: len(list(directory.glob("*.log")))
    assert produced(here, "now", batch(b"x" * 900)) == 0 and segments() == 1
    alter(there, TOPIC, "now", {"segment.bytes": "1000"})
    wait_until(lambda: produced(here, "now", batch(b"x" * 900)) == 0 and segments() > 1, 10, "smaller segments")
    # Defaults of brokers: of all, then of one; the topic's own value wins.
    alter(there, BROKER, "", {"log.segment.bytes": "300000", "message.max.bytes": "2000"})
    wait_until(lambda: produced(here, "now", batch(b"x" * 3000)) == TOO_LARGE, 10, "the smaller default")
    assert value(here, TOPIC, "now", "segment.bytes") == ("1000", 1)
    alter(there, TOPIC, "now", delete=["segment.bytes"])
    wait_until(lambda: value(here, TOPIC, "now", "segment.bytes") == ("300000", 3), 10, "the default of all brokers")
    alter(here, BROKER, "1", {"message.max.bytes": "9000"})
    wait_until(lambda: produced(here, "now", batch(b"x" * 3000)) == 0, 10, "the broker's own limit")
    alter(there, TOPIC, "now", {"max.message.bytes": "2500"})
    wait_until(lambda: produced(here, "now", batch(b"x" * 3000)) == TOO_LARGE, 10, "the topic's limit to win")
    # A broker that starts has them from the beginning.
    pair.brokers[1].stop()
    pair.brokers[1].start()
    here = side(pair, 1)
    assert value(here, BROKER, "1", "message.max.bytes") == ("9000", 2)
    assert value(here, BROKER, "1", "log.segment.bytes") == ("300000", 3)
    assert value(here, TOPIC, "now", "max.message.bytes") == ("2500", 1)
    alter(there, BROKER, "", delete=["log.segment.bytes", "message.max.bytes"])
    alter(here, BROKER, "1", delete=["message.max.bytes"])
    wait_until(lambda: value(here, BROKER, "1", "message.max.bytes") == ("1048588", 5), 10, "the defaults")


def test_connections_are_limited_at_once(pair):
    s = side(pair, 0)
    alter(s, BROKER, "0", {"max.connections.per.ip": "1000", "producer.id.expiration.ms": "1000"})
    wait_until(lambda: value(s, BROKER, "0", "max.connections.per.ip") == ("1000", 2), 10, "the limit")
    assert "Cannot update these configs dynamically: Set(num.replica.fetchers)" in alter(s, BROKER, "0", {"num.replica.fetchers": "2"}, code=42)
    alter(s, BROKER, "0", {"max.connections.per.ip": "1"})
    def refused():
        try:
            offered(pair.brokers[0].port)
        except Exception:
            return True
    wait_until(refused, 10, "a second connection to be turned away")
    alter(s, BROKER, "0", delete=["max.connections.per.ip", "producer.id.expiration.ms"])
    wait_until(lambda: value(s, BROKER, "0", "max.connections.per.ip") == ("2147483647", 5), 10, "no limit")


def test_defaults_of_all_brokers_about_replicas(pair):
    create(pair, "unclean", [1, 0])
    pair.brokers[0].kill()
    s = side(pair, 1)
    def state(s):
        return s.quiet("Metadata", 12, topics=[{"name": "unclean"}], allow_auto_topic_creation=False)["topics"][0]["partitions"][0]
    wait_until(lambda: state(s)["isr_nodes"] == [1], 30, "the other to leave the ISR")
    alter(s, BROKER, "", {"min.insync.replicas": "2"})
    wait_until(lambda: produced(s, "unclean", batch(b"x")) == NOT_ENOUGH_REPLICAS, 10, "too few replicas")
    alter(s, BROKER, "", delete=["min.insync.replicas"])
    wait_until(lambda: produced(s, "unclean", batch(b"x")) == 0, 10, "enough replicas")
    pair.brokers[1].kill()
    pair.brokers[0].start()
    s = side(pair, 0)
    s.until(lambda m: m["controller_id"] == 0 and m["topics"][0]["partitions"] and m["topics"][0]["partitions"][0]["leader_id"] == -1,
            "Metadata", 12, topics=[{"name": "unclean"}], allow_auto_topic_creation=False)
    alter(s, BROKER, "", {"unclean.leader.election.enable": "true"})
    wait_until(lambda: state(s)["leader_id"] == 0, 10, "an unclean leader")
    alter(s, BROKER, "", delete=["unclean.leader.election.enable"])
    pair.brokers[1].start()


@pytest.mark.parametrize("by,at", [(0, 1), (1, 0)], ids=["ours-to-kafka", "kafka-to-ours"])
def test_mixed(mixed, by, at):
    """A change through one kind of broker holds on the other, and stands in ZooKeeper in the same bytes."""
    name = f"mixed{by}"
    create(mixed, name, [at])
    one, other = side(mixed, by), side(mixed, at)
    large = batch(b"x" * 3000)
    assert produced(other, name, large) == 0
    alter(one, TOPIC, name, {"max.message.bytes": "1000", "retention.ms": "50000", "leader.replication.throttled.replicas": "0:0",
                             "follower.replication.throttled.replicas": "0:1"})
    wait_until(lambda: produced(other, name, large) == TOO_LARGE, 10, "the topic's limit")
    assert value(other, TOPIC, name, "max.message.bytes") == ("1000", 1)
    alter(one, TOPIC, name, delete=["max.message.bytes"])
    wait_until(lambda: produced(other, name, large) == 0, 10, "no limit")
    alter(one, BROKER, "", {"message.max.bytes": "1500", "log.segment.bytes": "100000", "follower.replication.throttled.rate": "77"})
    wait_until(lambda: produced(other, name, large) == TOO_LARGE, 10, "the brokers' limit")
    assert value(other, BROKER, str(at), "message.max.bytes") == ("1500", 3)
    zk = mixed.zk()
    stored = {path: zk.get(path)[0] for path in (f"/config/topics/{name}", "/config/brokers/<default>")}
    changes = sorted(zk.get_children("/config/changes"))
    stored["changes"] = [zk.get(f"/config/changes/{change}")[0].replace(name.encode(), b"T") for change in changes[-3:]]
    alter(one, BROKER, "", delete=["message.max.bytes", "log.segment.bytes", "follower.replication.throttled.rate"])
    wait_until(lambda: produced(other, name, large) == 0, 10, "no limit of the brokers")
    stored["emptied"] = zk.get("/config/brokers/<default>")[0]
    zk.stop()
    zk.close()
    assert stored == {
        f"/config/topics/{name}": b'{"version":1,"config":{"leader.replication.throttled.replicas":"0:0",'
                                  b'"follower.replication.throttled.replicas":"0:1","retention.ms":"50000"}}',
        "/config/brokers/<default>": stored["/config/brokers/<default>"],
        "changes": [b'{"version":2,"entity_path":"topics/T"}'] * 2 + [b'{"version":2,"entity_path":"brokers/<default>"}'],
        "emptied": b'{"version":1,"config":{}}',
    }
    # The same on both sides: the second to run finds what the first wrote.
    seen = mixed.directory / "default-znode"
    if seen.exists():
        assert stored["/config/brokers/<default>"] == seen.read_bytes()
    seen.write_bytes(stored["/config/brokers/<default>"])
    assert json.loads(seen.read_bytes())["config"]["log.segment.bytes"] == "100000"
