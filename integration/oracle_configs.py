"""Cases of the comparison with real Kafka: AlterConfigs and IncrementalAlterConfigs, and what DescribeConfigs then says."""

from harness import wait_until
from oracle_topics import make

TOPIC, BROKER, LOGGER, METRICS = 2, 4, 8, 16
SET, DELETE, APPEND, SUBTRACT = range(4)


def show(s, label, kind, name, keys):
    """DescribeConfigs, when both brokers have heard of the last change."""
    s.ask("DescribeConfigs", 4, label, include_synonyms=True, resources=[
        {"resource_type": kind, "resource_name": name, "configuration_keys": keys}])


def settled(s, kind, name, key, value):
    """Waits until a broker's setting has this value; None: is not set for all brokers any more."""
    def seen():
        answer = s.quiet("DescribeConfigs", 4, resources=[{"resource_type": kind, "resource_name": name, "configuration_keys": [key]}])
        found = {c["name"]: c["value"] for c in answer["results"][0]["configs"]}
        return found.get(key) == value
    wait_until(seen, 10, f"{key}={value} of {kind} {name!r}")


def alter_configs(s):
    make(s, "alt")
    good = ("retention.ms", "1000")
    for v in s.versions("AlterConfigs"):
        def ask(label, *resources, **more):
            s.ask("AlterConfigs", v, label, resources=[
                {"resource_type": t, "resource_name": n, "configs": [{"name": k, "value": w} for k, w in c]}
                for t, n, c in resources], **{"validate_only": False, **more})
        for dry in (True, False):
            how = " (validate only)" if dry else ""
            ask("topic" + how, (TOPIC, "alt", [good, ("cleanup.policy", "compact,delete")]), validate_only=dry)
            show(s, f"after topic v{v}{how}", TOPIC, "alt", None)
            ask("replaces" + how, (TOPIC, "alt", [("segment.bytes", "2000000")]), validate_only=dry)
            show(s, f"after replacing v{v}{how}", TOPIC, "alt", ["retention.ms", "segment.bytes", "cleanup.policy"])
            ask("nothing" + how, (TOPIC, "alt", []), validate_only=dry)
            for name, value in [("nonsense", "1"), ("retention.ms", "x"), ("retention.ms", "-2"), ("retention.ms", None),
                                ("cleanup.policy", "shred"), ("min.insync.replicas", "0"), ("remote.storage.enable", "true"),
                                ("remote.log.copy.disable", "true"), ("max.compaction.lag.ms", "0"), ("", "x"),
                                ("leader.replication.throttled.replicas", "*"), ("leader.replication.throttled.replicas", "a"),
                                ("message.format.version", "9.9")]:
                ask(f"topic {name}={value}{how}", (TOPIC, "alt", [(name, value)]), validate_only=dry)
        ask("lags", (TOPIC, "alt", [("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")]))
        ask("unknown topic", (TOPIC, "alt-none", [good]))
        ask("unknown topic, nothing", (TOPIC, "alt-none", []))
        ask("unknown topic, bad", (TOPIC, "alt-none", [("nonsense", "1")]))
        ask("bad name", (TOPIC, "bad name", [good]))
        ask("no name", (TOPIC, "", [good]))
        # Left out: the same resource twice, which Kafka never answers.
        ask("twice the same key", (TOPIC, "alt", [good, good]))
        ask("nulls", (TOPIC, "alt", [("retention.ms", None), ("segment.ms", None)]))
        ask("logger", (LOGGER, "0", [("root", "INFO")]))
        for kind in (0, 1, 3, METRICS, 32, 99, -1):
            ask(f"type {kind}", (kind, "x", [good]))
        ask("good and bad", (TOPIC, "alt", [good]), (TOPIC, "alt-none", [good]), (BROKER, "7", []))
        ask("none")
        for dry in (True, False):
            how = " (validate only)" if dry else ""
            ask("broker" + how, (BROKER, "0", [("log.retention.ms", "60000"), ("custom", "mine")]), validate_only=dry)
            if not dry:
                settled(s, BROKER, "0", "log.retention.ms", "60000")
            show(s, f"after broker v{v}{how}", BROKER, "0", ["log.retention.ms", "log.retention.hours", "log.retention.minutes", "custom"])
            show(s, f"topic after broker v{v}{how}", TOPIC, "alt", ["retention.ms", "segment.ms"])
            ask("all brokers" + how, (BROKER, "", [("log.roll.ms", "18000000"), ("log.retention.ms", "70000")]), validate_only=dry)
            if not dry:
                settled(s, BROKER, "", "log.roll.ms", "18000000")
            show(s, f"after all brokers v{v}{how}", BROKER, "", None)
            show(s, f"broker after all brokers v{v}{how}", BROKER, "0", ["log.retention.ms", "log.roll.hours", "log.roll.ms"])
            show(s, f"topic after all brokers v{v}{how}", TOPIC, "alt", ["retention.ms", "segment.ms"])
        ask("other broker", (BROKER, "1", [("log.retention.ms", "60000")]))
        ask("no number", (BROKER, "x", [("log.retention.ms", "60000")]))
        for name in ("0", ""):
            for key, value in BROKER_VALUES:
                ask(f"broker {name!r} {key}={value}", (BROKER, name, [(key, value)]), validate_only=True)
        ask("broker, nothing", (BROKER, "0", []), (BROKER, "", []), (TOPIC, "alt", []))
        settled(s, BROKER, "", "log.roll.ms", None)
        settled(s, BROKER, "0", "log.retention.ms", None)


BROKER_VALUES = [
    ("broker.id", "1"), ("zookeeper.connect", "x"), ("log.dirs", "/x"), ("log.message.format.version", "2.0"),
    ("log.retention.hours", "1"), ("log.retention.ms", "x"), ("log.retention.ms", "0"), ("log.retention.ms", "-1"),
    ("log.roll.ms", "0"), ("message.max.bytes", "-1"), ("min.insync.replicas", "0"), ("min.insync.replicas", "2"),
    ("unclean.leader.election.enable", "maybe"), ("unclean.leader.election.enable", "false"), ("compression.type", "rar"),
    ("log.cleanup.policy", "shred"), ("log.cleaner.threads", "2"), ("log.cleaner.threads", "3"), ("log.cleaner.threads", "0"),
    ("log.cleaner.dedupe.buffer.size", "1000"), ("log.cleaner.io.buffer.load.factor", "x"),
    ("num.io.threads", "16"), ("num.io.threads", "17"), ("num.io.threads", "3"), ("num.io.threads", "0"),
    ("num.network.threads", "100"), ("num.replica.fetchers", "3"), ("background.threads", "4"), ("num.recovery.threads.per.data.dir", "9"),
    ("leader.replication.throttled.rate", "1000"), ("leader.replication.throttled.rate", "-1"), ("follower.replication.throttled.rate", "x"),
    ("replica.alter.log.dirs.io.max.bytes.per.second", "5"), ("ssl.keystore.type", "JKS"), ("ssl.keystore.password", "secret"),
    ("max.connections", "0"), ("max.connections.per.ip", "0"), ("max.connections", "x"), ("producer.id.expiration.ms", "0"),
    ("log.local.retention.ms", "999999999999"), ("log.local.retention.ms", "-1"), ("log.local.retention.bytes", "5"),
    ("remote.log.index.file.cache.total.size.bytes", "0"), ("custom.setting", "x"), ("", "x"),
    ("sasl.kerberos.kinit.cmd", "/usr/bin/kinit"),
]


def incremental_alter_configs(s):
    make(s, "inc")
    for v in s.versions("IncrementalAlterConfigs"):
        def ask(label, *resources, **more):
            s.ask("IncrementalAlterConfigs", v, label, resources=[
                {"resource_type": t, "resource_name": n, "configs": [{"name": k, "config_operation": o, "value": w} for k, o, w in c]}
                for t, n, c in resources], **{"validate_only": False, **more})
        def topic(label, *ops, **more):
            ask("topic " + label, (TOPIC, "inc", ops), **more)
            show(s, f"after {label} v{v}", TOPIC, "inc", ["retention.ms", "cleanup.policy", "leader.replication.throttled.replicas"])
        good = ("retention.ms", SET, "1000")
        topic("set, validate only", good, validate_only=True)
        topic("set", good)
        topic("set two", ("retention.ms", SET, "2000"), ("segment.bytes", SET, "3000000"))
        topic("append", ("cleanup.policy", APPEND, "compact"))
        topic("append what is there", ("cleanup.policy", APPEND, "delete,compact"))
        topic("subtract", ("cleanup.policy", SUBTRACT, "delete"))
        topic("subtract what is not there", ("cleanup.policy", SUBTRACT, "delete"))
        topic("append nonsense", ("cleanup.policy", APPEND, "shred"))
        topic("append throttled", ("leader.replication.throttled.replicas", APPEND, "0:0,1:0"))
        topic("subtract throttled", ("leader.replication.throttled.replicas", SUBTRACT, "1:0"))
        topic("append empty", ("leader.replication.throttled.replicas", APPEND, ""))
        topic("subtract the rest", ("leader.replication.throttled.replicas", SUBTRACT, "0:0"))
        topic("delete", ("retention.ms", DELETE, None))
        topic("delete with a value", ("retention.ms", DELETE, "7"))
        topic("delete what is not there", ("segment.ms", DELETE, ""))
        topic("delete unknown", ("nonsense", DELETE, None))
        topic("delete all", ("cleanup.policy", DELETE, None), ("segment.bytes", DELETE, None),
              ("leader.replication.throttled.replicas", DELETE, None))
        for label, ops in [("append to a number", [("retention.ms", APPEND, "1")]), ("subtract from a number", [("retention.ms", SUBTRACT, "1")]),
                           ("append to unknown", [("nonsense", APPEND, "1")]), ("subtract from unknown", [("nonsense", SUBTRACT, "1")]),
                           ("set unknown", [("nonsense", SET, "1")]), ("set bad", [("retention.ms", SET, "x")]),
                           ("operation 9", [("retention.ms", 9, "1")]), ("operation -1", [("retention.ms", -1, None)]),
                           ("null", [("retention.ms", SET, None)]), ("null append", [("cleanup.policy", APPEND, None)]),
                           ("twice", [good, good]), ("twice by other operations", [good, ("retention.ms", DELETE, None)]),
                           ("bad and worse", [("retention.ms", SET, "x"), ("nonsense", SET, "1")]), ("nothing", [])]:
            for name in ("inc", "inc-none"):
                ask(f"{name} {label}", (TOPIC, name, ops))
        ask("no topic", (TOPIC, "", [good]))
        ask("bad topic", (TOPIC, "bad name", [good]))
        # Left out: the same resource twice, which Kafka never answers.
        for kind in (0, 1, 3, METRICS, 32, 99, -1):
            ask(f"type {kind}", (kind, "x", [good]))
        ask("none")
        for name in ("0", ""):
            other = "9" if name else name
            ask(f"broker {name!r}", (BROKER, name, [("log.segment.bytes", SET, "5000000"), ("log.cleanup.policy", APPEND, "compact"),
                                                    ("leader.replication.throttled.rate", SET, "1000")]))
            settled(s, BROKER, name, "log.segment.bytes", "5000000")
            show(s, f"after broker {name!r} v{v}", BROKER, name, ["log.segment.bytes", "log.cleanup.policy", "leader.replication.throttled.rate"])
            show(s, f"broker 0 after broker {name!r} v{v}", BROKER, "0", ["log.segment.bytes", "log.cleanup.policy", "leader.replication.throttled.rate"])
            show(s, f"topic after broker {name!r} v{v}", TOPIC, "inc", ["segment.bytes", "cleanup.policy"])
            for label, ops in [("append to a number", [("log.segment.bytes", APPEND, "1")]), ("append to unknown", [("custom", APPEND, "1")]),
                               ("append to a throttle", [("leader.replication.throttled.rate", APPEND, "1")]),
                               ("operation 9", [("log.segment.bytes", 9, "1")]), ("set static", [("broker.id", SET, "1")]),
                               ("delete static", [("broker.id", DELETE, None)]), ("set bad", [("log.segment.bytes", SET, "x")]),
                               ("null", [("log.segment.bytes", SET, None)]), ("per broker", [("advertised.listeners", DELETE, None)]),
                               ("twice", [("log.segment.bytes", SET, "1"), ("log.segment.bytes", SET, "2")])]:
                ask(f"broker {name!r} {label}", (BROKER, name, ops), validate_only=True)
            ask(f"other than {name!r}", (BROKER, other, [("log.segment.bytes", SET, "5000000")])) if name else None
        ask("topic over brokers", (TOPIC, "inc", [("segment.bytes", SET, "7000000")]))
        show(s, f"topic over brokers v{v}", TOPIC, "inc", ["segment.bytes", "cleanup.policy", "min.insync.replicas"])
        ask("no number", (BROKER, "x", [("log.segment.bytes", SET, "5000000")]))
        ask("remove all", *[(BROKER, n, [(k, DELETE, None) for k in ("log.segment.bytes", "log.cleanup.policy", "leader.replication.throttled.rate")])
                            for n in ("0", "")], (TOPIC, "inc", [("segment.bytes", DELETE, None)]))
        settled(s, BROKER, "", "log.segment.bytes", None)
        settled(s, BROKER, "0", "leader.replication.throttled.rate", None)
        for label, ops in [("unknown", [("no.such", SET, "INFO")]), ("delete unknown", [("no.such", DELETE, None)]), ("append", [("root", APPEND, "INFO")]),
                           ("subtract", [("root", SUBTRACT, "INFO")]), ("operation 9", [("root", 9, "INFO")]), ("null", [("root", SET, None)]),
                           ("twice", [("root", SET, "INFO"), ("root", SET, "INFO")])]:
            ask("logger " + label, (LOGGER, "0", ops))
        ask("logger of another", (LOGGER, "1", [("root", SET, "INFO")]))
        ask("logger of none", (LOGGER, "", [("root", SET, "INFO")]))
