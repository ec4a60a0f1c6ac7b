"""Cases of the comparison with real Kafka: topics, metadata, settings and the cluster."""

from oracle_wire import APIS, ZERO_ID, decode

UNKNOWN_ID = "11111111-2222-3333-4444-555555555555"
LONG = "x" * 250


def topic(name, partitions=1, rf=1, assignments=(), configs=()):
    return {"name": name, "num_partitions": partitions, "replication_factor": rf,
            "assignments": [{"partition_index": p, "broker_ids": b} for p, b in assignments],
            "configs": [{"name": k, "value": v} for k, v in configs]}


def make(s, *topics):
    """Creates topics that other cases need."""
    answer = s.quiet("CreateTopics", 7, topics=[t if isinstance(t, dict) else topic(t) for t in topics], timeout_ms=15000)
    assert all(t["error_code"] == 0 for t in answer["topics"]), answer
    s.until(lambda m: all(t["error_code"] == 0 and all(p["leader_id"] >= 0 for p in t["partitions"]) for t in m["topics"]),
            "Metadata", 12, topics=[{"name": t["name"]} for t in answer["topics"]], allow_auto_topic_creation=False)
    return {t["name"]: t["topic_id"] for t in answer["topics"]}


def metadata(s):
    ids = make(s, topic("meta-a", 3), topic("meta-b"))
    for v in s.versions("Metadata"):
        named = lambda *names: [{"name": n, "topic_id": ZERO_ID} for n in names]
        off = {"allow_auto_topic_creation": False}
        s.ask("Metadata", v, "two topics", topics=named("meta-a", "meta-b"), **off)
        s.ask("Metadata", v, "twice the same", topics=named("meta-a", "meta-a"), **off)
        s.ask("Metadata", v, "empty list is all before v1", topics=[], **off) if v > 0 else None
        if v >= 4:
            s.ask("Metadata", v, "unknown", topics=named("meta-none", "meta-a"), **off)
        s.ask("Metadata", v, "invalid names", topics=named("meta bad", ".", "..", LONG, ""), **off)
        s.ask("Metadata", v, "collision, without creating", topics=named("meta_a"), **off) if v >= 4 else None
        s.ask("Metadata", v, "operations", topics=named("meta-a"), include_cluster_authorized_operations=True,
              include_topic_authorized_operations=True, **off)
        if v >= 10:
            s.ask("Metadata", v, "by id", topics=[{"name": None, "topic_id": ids["meta-a"]}], **off)
            s.ask("Metadata", v, "by unknown id", topics=[{"name": None, "topic_id": UNKNOWN_ID}], **off)
            s.ask("Metadata", v, "by id and name", topics=[{"name": "meta-a", "topic_id": ids["meta-a"]}], **off)
            s.ask("Metadata", v, "by zero id", topics=[{"name": None, "topic_id": ZERO_ID}], **off)
        # One that is created on first use.
        new = f"meta-auto-{v}"
        s.ask("Metadata", v, "creates", topics=named(new))
        s.until(lambda m: m["topics"][0]["error_code"] == 0, "Metadata", 4, topics=named(new), **off)
        s.ask("Metadata", v, "created", topics=named(new))
    s.quiet("DeleteTopics", 5, topic_names=[f"meta-auto-{v}" for v in s.versions("Metadata")], timeout_ms=15000)


def create_topics(s):
    for v in s.versions("CreateTopics"):
        n = f"new{v}"
        def ask(label, *topics, **more):
            s.ask("CreateTopics", v, label, topics=list(topics), **{"timeout_ms": 15000, **more})
        for dry in (True, False) if v >= 1 else (False,):
            how = " (validate only)" if dry else ""
            ask("plain" + how, topic(n, 2), validate_only=dry)
            ask("again" + how, topic(n, 2), validate_only=dry)
            ask("settings" + how, topic(n + "s", 1, 1, (), [("retention.ms", "1000"), ("cleanup.policy", "compact,delete"),
                ("segment.bytes", "1048576"), ("compression.type", "gzip")]), validate_only=dry)
            ask("assigned" + how, topic(n + "m", -1, -1, [(0, [0]), (1, [0])]), validate_only=dry)
            ask("defaults" + how, topic(n + "d", -1, -1), validate_only=dry)
            # Left out: a partition without replicas, which Kafka makes and we refuse.
            bad = [
                topic(n + "-zero", 0), topic(n + "-neg", -2), topic(n + "-rf0", 1, 0), topic(n + "-rf2", 1, 2),
                topic(n + "-rf-2", 1, -2), topic("bad name"), topic(""), topic("."), topic(".."), topic(LONG),
                topic(n + "-as1", 2, -1, [(0, [0]), (1, [0])]), topic(n + "-as2", -1, 1, [(0, [0])]),
                topic(n + "-as4", -1, -1, [(0, [0, 0])]),
                topic(n + "-as5", -1, -1, [(1, [0])]),
                topic(n + "-as7", -1, -1, [(0, [0]), (2, [0])]), topic(n + "-as8", -1, -1, [(0, [0]), (0, [0])]),
                topic(n + "-as9", -1, -1, [(0, [0, 1]), (1, [0])]),
            ]
            ask("bad ones" + how, *bad, validate_only=dry)
            configs = [("nonsense", "1"), ("retention.ms", "x"), ("retention.ms", "-2"), ("retention.ms", None),
                       ("cleanup.policy", "shred"), ("cleanup.policy", ""), ("compression.type", "rar"),
                       ("segment.bytes", "3"), ("segment.bytes", "99999999999"), ("min.insync.replicas", "0"),
                       ("min.cleanable.dirty.ratio", "1.5"), ("min.cleanable.dirty.ratio", "x"),
                       ("unclean.leader.election.enable", "maybe"), ("message.timestamp.type", "never"),
                       ("max.message.bytes", "-1"), ("leader.replication.throttled.replicas", "x"),
                       ("message.format.version", "9.9"), ("message.format.version", "2.0"),
                       ("max.compaction.lag.ms", "0"), ("min.compaction.lag.ms", "-5"), ("compression.gzip.level", "12"),
                       ("remote.storage.enable", "true"), ("local.retention.ms", "-3"), ("index.interval.bytes", "-1"),
                       ("file.delete.delay.ms", ""), ("preallocate", "1"), ("flush.ms", "-1")]
            ask("settings, good and bad" + how, *[topic(f"{n}-c{i}{'d' if dry else ''}", 1, 1, (), [one])
                                                  for i, one in enumerate(configs)], validate_only=dry)
            ask("lag" + how, topic(f"{n}-lag{dry}", 1, 1, (), [("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")]),
                validate_only=dry)
            ask("local" + how, topic(f"{n}-local{dry}", 1, 1, (), [("local.retention.ms", "10"), ("retention.ms", "5")]),
                validate_only=dry)
            ask("twice" + how, topic(n + "-twice"), topic(n + "-twice", 2), validate_only=dry)
            ask("good and bad" + how, topic(f"{n}-good{dry}"), topic(n + "-bad", 0), validate_only=dry)
            ask("none" + how, validate_only=dry)
        # Taken as they are; nobody leads them, so the answer is a timeout.
        ask("unknown broker", topic(n + "-as10", -1, -1, [(0, [7])]), timeout_ms=100)
        ask("without waiting", topic(n + "-now"), timeout_ms=0)
        ask("colliding", topic("new.col"))
        ask("colliding with", topic("new_col"))
        ask("internal", topic("__transaction_state", 1, 1)) if v == 0 else None


def delete_topics(s):
    for v in s.versions("DeleteTopics"):
        names = [f"del{v}{c}" for c in "abc"]
        ids = make(s, *names)
        if v < 6:
            s.ask("DeleteTopics", v, "good and unknown", topic_names=names[:2] + ["del-none", "", "bad name"], timeout_ms=15000)
            s.ask("DeleteTopics", v, "again", topic_names=names[:1], timeout_ms=15000)
            s.ask("DeleteTopics", v, "twice in one", topic_names=[names[2], names[2]], timeout_ms=15000)
            s.ask("DeleteTopics", v, "none", topic_names=[], timeout_ms=15000)
        else:
            by = lambda *pairs: [{"name": n, "topic_id": i} for n, i in pairs]
            s.ask("DeleteTopics", v, "by name", topics=by((names[0], ZERO_ID)), timeout_ms=15000)
            s.ask("DeleteTopics", v, "by id", topics=by((None, ids[names[1]])), timeout_ms=15000)
            s.ask("DeleteTopics", v, "by both", topics=by((names[2], ids[names[2]])), timeout_ms=15000)
            s.ask("DeleteTopics", v, "by neither", topics=by((None, ZERO_ID)), timeout_ms=15000)
            s.ask("DeleteTopics", v, "unknown id", topics=by((None, UNKNOWN_ID)), timeout_ms=15000)
            s.ask("DeleteTopics", v, "name and its id", topics=by((names[2], ZERO_ID), (None, ids[names[2]])), timeout_ms=15000)
            s.ask("DeleteTopics", v, "unknown name", topics=by(("del-none", ZERO_ID)), timeout_ms=15000)
            s.ask("DeleteTopics", v, "twice", topics=by((names[2], ZERO_ID), (names[2], ZERO_ID)), timeout_ms=15000)


def create_partitions(s):
    make(s, "parts", topic("parts2", 2))
    for v in s.versions("CreatePartitions"):
        def ask(label, *topics, **more):
            s.ask("CreatePartitions", v, label, topics=[
                {"name": n, "count": c, "assignments": None if a is None else [{"broker_ids": b} for b in a]}
                for n, c, a in topics], **{"timeout_ms": 15000, **more})
        for label, *one in [("same", "parts2", 2, None), ("fewer", "parts2", 1, None), ("zero", "parts2", 0, None),
                            ("negative", "parts2", -1, None), ("unknown", "parts-none", 3, None), ("bad", "bad name", 3, None),
                            ("no brokers", "parts2", 3, [[]]), ("unknown broker", "parts2", 3, [[9]]),
                            ("too many", "parts2", 3, [[0], [0]]), ("too few", "parts2", 5, [[0]]),
                            ("repeated", "parts2", 3, [[0, 0]]), ("other factor", "parts2", 3, [[0, 1]]),
                            ("empty", "parts2", 3, []), ("negative broker", "parts2", 3, [[-1]])]:
            for dry in (True, False):
                ask(f"{label} dry={dry}", tuple(one), validate_only=dry)
        ask("dry", ("parts", 9, None), validate_only=True)
        ask("more", ("parts", 2 + 2 * v, None))
        ask("more assigned", ("parts", 3 + 2 * v, [[0]]))
        ask("twice", ("parts", 50, None), ("parts", 60, None))
        ask("none")
        s.until(lambda m: len(m["topics"][0]["partitions"]) == 3 + 2 * v and all(p["leader_id"] == 0 for p in m["topics"][0]["partitions"]),
                "Metadata", 4, topics=[{"name": "parts"}])


def describe_configs(s):
    make(s, topic("conf", 1, 1, (), [("retention.ms", "12345"), ("cleanup.policy", "compact")]))
    for v in s.versions("DescribeConfigs"):
        def ask(label, *resources, **more):
            s.ask("DescribeConfigs", v, label, resources=[
                {"resource_type": t, "resource_name": n, "configuration_keys": k} for t, n, k in resources], **more)
        for synonyms in (False, True):
            ask(f"topic synonyms={synonyms}", (2, "conf", None), include_synonyms=synonyms)
            ask(f"broker synonyms={synonyms}", (4, "0", None), include_synonyms=synonyms)
            ask(f"all brokers synonyms={synonyms}", (4, "", None), include_synonyms=synonyms)
        ask("some", (2, "conf", ["retention.ms", "nonsense"]), (4, "0", ["broker.id", "zookeeper.connect"]))
        ask("empty filter", (2, "conf", []), (4, "0", []))
        ask("unknown topic", (2, "conf-none", None))
        ask("bad topic", (2, "bad name", None))
        ask("empty topic", (2, "", None))
        ask("other broker", (4, "1", None))
        ask("no number", (4, "x", None))
        ask("logger of another", (8, "1", None))
        ask("unknown type", (3, "x", None))
        ask("type 0", (0, "x", None))
        ask("type 99", (99, "x", None))
        ask("metrics", (16, "x", None))
        ask("twice", (2, "conf", ["retention.ms"]), (2, "conf", ["cleanup.policy"]))
        ask("none")
    s.ask("DescribeConfigs", 4, "documentation of a topic", resources=[
        {"resource_type": 2, "resource_name": "conf", "configuration_keys": None}], include_documentation=True)
    s.ask("DescribeConfigs", 4, "documentation of a broker", resources=[
        {"resource_type": 4, "resource_name": "0", "configuration_keys": None}], include_documentation=True)


def cluster(s):
    for v in s.versions("ApiVersions"):
        s.ask("ApiVersions", v, "good", client_software_name="oracle", client_software_version="1.0")
        s.ask("ApiVersions", v, "bad software", client_software_name="-", client_software_version="")
        s.ask("ApiVersions", v, "no software")
    for v in s.versions("DescribeCluster"):
        for operations in (False, True):
            s.ask("DescribeCluster", v, f"operations={operations}", include_cluster_authorized_operations=operations)
        for kind in (0, 2, 3) if v else ():
            s.ask("DescribeCluster", v, f"endpoint type {kind}", endpoint_type=kind)
    for v in s.versions("SaslHandshake"):
        s.ask("SaslHandshake", v, "plain", mechanism="PLAIN")
        s.ask("SaslHandshake", v, "nothing", mechanism="")
    for v in s.versions("SaslAuthenticate"):
        s.ask("SaslAuthenticate", v, "", auth_bytes=b"\0user\0password")
    s.ask("Envelope", 0, "", request_data=b"\0\x12\0\0\0\0\0\1\0\0", client_host_address=b"\x7f\0\0\1")
    s.until(lambda m: m["error_code"] == 0, "InitProducerId", 4, transactional_id=None, transaction_timeout_ms=1000)
    for v in s.versions("InitProducerId"):
        s.ask("InitProducerId", v, "new", transactional_id=None, transaction_timeout_ms=1000)
        s.ask("InitProducerId", v, "timeout -1", transactional_id=None, transaction_timeout_ms=-1)
        s.ask("InitProducerId", v, "empty id", transactional_id="", transaction_timeout_ms=1000)
        if v >= 3:
            for producer, epoch in ((5, -1), (-1, 5), (5, 5), (5, 32767), (-5, 0)):
                s.ask("InitProducerId", v, f"again {producer} {epoch}", transactional_id=None, transaction_timeout_ms=1000,
                      producer_id=producer, producer_epoch=epoch)
    for v in s.versions("ControlledShutdown"):
        s.ask("ControlledShutdown", v, "unknown broker", broker_id=9, broker_epoch=-1)
    for v in s.versions("AlterPartition"):
        s.ask("AlterPartition", v, "stale", broker_id=0, broker_epoch=1, topics=[])
        s.ask("AlterPartition", v, "unknown broker", broker_id=9, broker_epoch=-1, topics=[])
    s.ask("AllocateProducerIds", 0, "stale", broker_id=0, broker_epoch=1)
    s.ask("AllocateProducerIds", 0, "unknown broker", broker_id=9, broker_epoch=5)
    old = {"controller_id": 0, "controller_epoch": 0, "broker_epoch": 1, "type": 1, "is_k_raft_controller": False}
    for name in ("LeaderAndIsr", "UpdateMetadata", "StopReplica"):
        for v in s.versions(name):
            values = {k: n for k, n in old.items() if k in {f.name for f in APIS[name].structs["request"]}}
            s.ask(name, v, "old controller", **values)
    # What no version of the table covers.
    for label, key, v in [("version too high", 3, 13), ("version too low", 3, -1), ("unknown api", 77, 0), ("raft", 52, 0),
                          ("negative api", -3, 0), ("share", 76, 0), ("push telemetry", 72, 0), ("version 99", 0, 99)]:
        correlation = b"\0\0\0\7"
        try:
            s.socket("odd").send(key.to_bytes(2, "big", signed=True) + v.to_bytes(2, "big", signed=True) + correlation + b"\xff\xff" + b"\0" * 20)
            s.note(f"odd: {label}", s.socket("odd").receive().hex())
        except Exception as e:
            s.note(f"odd: {label}", type(e).__name__)
            s.sockets.pop("odd").close()
    for v in (5, 99, -1):
        s.socket("versions").send(b"\0\x12" + v.to_bytes(2, "big", signed=True) + b"\0\0\0\7\xff\xff\0")
        s.note(f"ApiVersions v{v}", decode(APIS["ApiVersions"], 0, s.socket("versions").receive())[1], "ApiVersions")
