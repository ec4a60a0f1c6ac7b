"""`barnabas zk check` on trees of running clusters, ours and real Kafka's: nothing wrong, and planted damage is found."""

import contextlib
import json
import re

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from confluent_kafka.admin import NewPartitions

from harness import BINARY, Broker, run, wait_until
from history import create_topic


def check(connect):
    return run(BINARY, "zk", "check", "--zookeeper", connect, check=False)


def all_is_well(connect):
    """Waits for a cluster at rest: a topic under deletion is no damage, but looks like it."""
    wait_until(lambda: re.fullmatch(r"\d+ znodes, all as they should be\n", check(connect)), 20,
               f"a sound tree; it is:\n{check(connect)}")


def live_through_topics(bootstrap, replication):
    """Creates topics, grows one, deletes one."""
    for name in ["kept", "grown", "gone"]:
        create_topic(bootstrap, f"znodes-{name}", partitions=2, replication=replication,
                     config={"retention.ms": "100000"})
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_partitions([NewPartitions("znodes-grown", 3)], operation_timeout=30)["znodes-grown"].result(60)
    admin.delete_topics(["znodes-gone"], operation_timeout=30)["znodes-gone"].result(60)
    return admin


@contextlib.contextmanager
def chroot(cluster, name):
    """A client and a connect string for another tree on the same ensemble; removed afterwards."""
    client = cluster.zk()
    client.ensure_path(f"/{name}")
    try:
        yield client, cluster.zookeeper.connect + f"/{name}"
    finally:
        client.delete(f"/{name}", recursive=True)
        client.stop()
        client.close()


def gone(client, path):
    return wait_until(lambda: client.exists(path) is None, 30, f"{path} to go")


def test_a_running_cluster_has_a_sound_tree(cluster):
    live_through_topics(cluster.bootstrap, replication=3)
    client = cluster.zk()
    gone(client, "/brokers/topics/znodes-gone")
    gone(client, "/config/topics/znodes-gone")
    assert sorted(client.get_children("/brokers/topics/znodes-grown/partitions")) == ["0", "1", "2"]
    client.stop()
    client.close()
    all_is_well(cluster.connect)


def test_real_kafka_has_a_sound_tree(cluster):
    with chroot(cluster, "real-kafka") as (client, connect):
        settings = {"offsets.topic.replication.factor": 1, "default.replication.factor": 1}
        broker = Broker("kafka", 0, connect, cluster.directory / "real-kafka", settings)
        try:
            broker.start()
            admin = live_through_topics(broker.address, replication=1)
            change = ConfigEntry("retention.bytes", "1000", incremental_operation=AlterConfigOpType.SET)
            resource = ConfigResource(ResourceType.TOPIC, "znodes-kept", incremental_configs=[change])
            admin.incremental_alter_configs([resource])[resource].result(30)
            gone(client, "/real-kafka/brokers/topics/znodes-gone")
            gone(client, "/real-kafka/admin/delete_topics/znodes-gone")
            all_is_well(connect)
        finally:
            broker.kill()
            # Its ephemeral znodes go with its session.
            gone(client, "/real-kafka/brokers/ids/0")


STATE = "/brokers/topics/znodes-damaged/partitions/0/state"


def damage_state(client, root):
    state = json.loads(client.get(root + STATE)[0])
    client.set(root + STATE, json.dumps({**state, "leader": 99}).encode())


DAMAGES = {
    "a leader out of sync": (damage_state, rf"{STATE}: the leader, 99, is not in sync"),
    "data that does not parse": (lambda c, r: c.set(r + STATE, b"{"), rf"{STATE}: "),
    "a topic without configuration": (lambda c, r: c.delete(r + "/config/topics/znodes-damaged"),
                                      "/brokers/topics/znodes-damaged: the topic has no configuration"),
    "a foreign znode": (lambda c, r: c.create(r + "/brokers/foreign"), "/brokers/foreign: no znode of Kafka"),
    "a persistent registration": (lambda c, r: (c.delete(r + "/brokers/ids/0"), c.create(
        r + "/brokers/ids/0", c.get("/brokers/ids/0")[0])), "/brokers/ids/0: should be ephemeral"),
    "no controller's epoch": (lambda c, r: c.set(r + "/controller_epoch", b"0"),
                              rf"{STATE}: written by controller epoch \d+, which has not begun"),
    "a controller that is not there": (lambda c, r: [c.delete(f"{r}/brokers/ids/{n}") for n in range(3)],
                                       r"/controller: the controller, broker \d, is not registered"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found(cluster, damage):
    plant, finding = DAMAGES[damage]
    with chroot(cluster, "damaged") as (client, connect):
        if client.exists("/brokers/topics/znodes-damaged") is None:
            create_topic(cluster.bootstrap, "znodes-damaged", replication=3)
            wait_until(lambda: client.exists(STATE), 20, STATE)
        for path in ["/brokers/ids/0", "/brokers/ids/1", "/brokers/ids/2", "/brokers/topics/znodes-damaged",
                     "/brokers/topics/znodes-damaged/partitions/0", STATE, "/config/topics/znodes-damaged",
                     "/controller", "/controller_epoch"]:
            data, stat = client.get(path)
            client.create("/damaged" + path, data, ephemeral=stat.ephemeralOwner != 0, makepath=True)
        assert "all as they should be" in check(connect), check(connect)
        plant(client, "/damaged")
        printed = check(connect)
        assert re.search(f"^{finding}", printed, re.MULTILINE), printed
        assert "not as they should be" in printed, printed
