"""Cases of the comparison with real Kafka: writing, reading and looking up records."""

from oracle_topics import UNKNOWN_ID, make, topic
from oracle_wire import batch, message_set, wrapped

NOW = 1_700_000_000_000


def produce(s):
    make(s, "prod", topic("prod-small", 1, 1, (), [("max.message.bytes", "200")]),
         topic("prod-compact", 1, 1, (), [("cleanup.policy", "compact")]),
         topic("prod-append", 1, 1, (), [("message.timestamp.type", "LogAppendTime")]),
         topic("prod-skew", 1, 1, (), [("message.timestamp.before.max.ms", "1000")]),
         topic("prod-insync", 1, 1, (), [("min.insync.replicas", "2")]))
    for v in s.versions("Produce"):
        def ask(label, *parts, acks=-1, **more):
            by_topic = {}
            for name, partition, records in parts:
                by_topic.setdefault(name, []).append({"index": partition, "records": records})
            s.ask("Produce", v, f"{label} acks={acks}", acks=acks, timeout_ms=5000,
                  topic_data=[{"name": n, "partition_data": p} for n, p in by_topic.items()], **more)
        for acks in (1, -1):
            ask("good", ("prod", 0, batch(b"one", b"two")), acks=acks)
        for acks in (5, -2, 2):
            ask("good", ("prod", 0, batch(b"one")), acks=acks)
        good = batch(b"a")
        # Left out: null in place of records, which Kafka never answers.
        for label, records in [
                ("bad crc", batch(b"x", bad_crc=True)), ("magic 3", batch(b"x", magic=3)), ("empty", b""),
                ("cut", good[:-3]), ("cut header", good[:40]), ("two batches", good + good), ("no records", batch(last_delta=0)),
                ("count too high", batch(b"x", count=3)), ("count zero", batch(b"x", count=0)), ("delta", batch(b"x", last_delta=9)),
                ("base offset", batch(b"x", base=77)), ("negative timestamp", batch(b"x", timestamp=-1)),
                ("control", batch((b"\0\0\0\0", b""), attributes=0x20)), ("transactional", batch(b"x", attributes=0x10)),
                ("codec 7", batch(b"x", attributes=7)), ("codec 1 with junk", batch(b"x", attributes=1)),
                ("append time bit", batch(b"x", attributes=8)), ("garbage", b"\0" * 70), ("short garbage", b"\1" * 5),
                ("future", batch(b"x", timestamp=NOW * 3)), ("magic 1", message_set(b"old", 1)), ("magic 0", message_set(b"old", 0)),
                ("epoch set", batch(b"x", epoch=9))]:
            ask(label, ("prod", 0, records))
        ask("unknown topic", ("prod-none", 0, good))
        ask("unknown partition", ("prod", 7, good))
        ask("negative partition", ("prod", -1, good))
        ask("bad name", ("bad name", 0, good))
        ask("twice", ("prod", 0, good), ("prod", 0, batch(b"b", b"c")))
        ask("some", ("prod", 0, good), ("prod", 1, good), ("prod-none", 0, good))
        ask("none")
        ask("too large", ("prod-small", 0, batch(b"x" * 500)))
        ask("no key", ("prod-compact", 0, batch((b"k", b"v"), b"v", b"w")))
        ask("key", ("prod-compact", 0, batch((b"k", b"v"))))
        ask("append time", ("prod-append", 0, batch(b"a", b"b")))
        ask("too old", ("prod-skew", 0, batch(b"a", b"b")))
        ask("few in sync", ("prod-insync", 0, good))
        ask("few in sync", ("prod-insync", 0, good), acks=1)
        # Idempotent producers.
        p = 1000 + v
        for label, producer, n in [("first", (p, 0, 0), 3), ("duplicate", (p, 0, 0), 3), ("next", (p, 0, 3), 2), ("gap", (p, 0, 9), 1),
                                   ("older duplicate", (p, 0, 0), 3), ("part of it", (p, 0, 0), 2), ("new epoch", (p, 1, 0), 1),
                                   ("old epoch", (p, 0, 5), 1), ("new epoch, not from 0", (p, 2, 4), 1),
                                   ("unknown, not from 0", (p + 500, 0, 7), 1), ("no sequence", (p + 600, 0, -1), 1),
                                   ("no epoch", (p + 700, -1, 0), 1), ("negative id", (-5, 0, 0), 1)]:
            ask(f"idempotent {label}", ("prod", 0, batch(*[b"i"] * n, producer=producer)))
        ask("idempotent two batches", ("prod", 0, batch(b"a", producer=(p, 3, 0)) + batch(b"b", producer=(p, 3, 1))))
        # Without an answer: seen by the next request of the connection.
        s.send("Produce", v, acks=0, timeout_ms=1000, topic_data=[{"name": "prod", "partition_data": [{"index": 0, "records": good}]}])
        s.ask("ListOffsets", 1, f"after acks=0 of v{v}", replica_id=-1,
              topics=[{"name": "prod", "partitions": [{"partition_index": 0, "timestamp": -1}]}])
        s.send("Produce", v, on="fails", acks=0, timeout_ms=1000,
               topic_data=[{"name": "prod-none", "partition_data": [{"index": 0, "records": good}]}])
        s.ask("Metadata", 1, f"after a bad acks=0 of v{v}", on="fails", topics=[])


def read(s, v, label, parts, ids, on="main", max_bytes=1 << 20, **more):
    """Fetch of (topic, partition, offset, partition bytes, current epoch, last fetched epoch)."""
    topics = {}
    for name, partition, offset, size, *epochs in parts:
        values = {"partition": partition, "fetch_offset": offset, "partition_max_bytes": size}
        values.update(zip(("current_leader_epoch", "last_fetched_epoch"), epochs))
        topics.setdefault(name, []).append(values)
    return s.ask("Fetch", v, label, on=on, topics=[{"topic": n, "topic_id": ids.get(n, UNKNOWN_ID), "partitions": p} for n, p in topics.items()],
                 **{"max_wait_ms": 0, "min_bytes": 0, "max_bytes": max_bytes, **more})


def fetch(s):
    ids = make(s, topic("fetch", 3), "fetch-empty")
    for n in range(6):
        for p in (0, 1):
            s.quiet("Produce", 8, acks=-1, timeout_ms=5000, topic_data=[{"name": "fetch", "partition_data": [
                {"index": p, "records": batch(*[bytes([65 + n]) * 50] * (n + 1), timestamp=NOW + 1000 * n)}]}])
    for v in s.versions("Fetch"):
        def ask(label, *parts, **more):
            return read(s, v, label, parts, ids, **more)
        big = 1 << 20
        for offset in (0, 1, 5, 20, 21, 22, -1, -5, 1 << 40):
            ask(f"from {offset}", ("fetch", 0, offset, big))
        for limit in (0, 1, 100, 300, 700):
            ask(f"partition bytes {limit}", ("fetch", 0, 2, limit), ("fetch", 1, 2, limit))
            ask(f"bytes {limit}", ("fetch", 0, 2, big), ("fetch", 1, 2, big), max_bytes=limit)
        ask("empty", ("fetch-empty", 0, 0, big))
        ask("waits", ("fetch", 2, 0, big), min_bytes=1, max_wait_ms=30)
        ask("wants much", ("fetch", 0, 0, big), min_bytes=1 << 19, max_wait_ms=30)
        ask("unknown topic", ("fetch-none", 0, 0, big))
        ask("unknown partition", ("fetch", 9, 0, big), ("fetch", 0, 0, 10))
        ask("error does not wait", ("fetch", 9, 0, big), min_bytes=1, max_wait_ms=10_000)
        ask("committed", ("fetch", 0, 0, 200), isolation_level=1)
        ask("isolation 2", ("fetch", 0, 0, 200), isolation_level=2)
        ask("nothing")
        # Left out: the same partition twice in one request.
        ask("rack", ("fetch", 0, 0, 100), rack_id="r")
        if v >= 9:
            for epoch in (-1, 0, 1, 7):
                ask(f"epoch {epoch}", ("fetch", 0, 20, big, epoch))
        if v >= 12:
            for epoch in (-1, 0, 1):
                ask(f"last epoch {epoch}", ("fetch", 0, 20, big, -1, epoch))
        if v < 15:
            ask("as replica 7", ("fetch", 0, 20, big), replica_id=7)
            ask("as debugger", ("fetch", 0, 20, big), replica_id=-2)
        else:
            ask("as replica 7", ("fetch", 0, 20, big), replica_state={"replica_id": 7, "replica_epoch": -1})
        if v >= 7:
            a = ask("session begins", ("fetch", 0, 20, big), ("fetch", 1, 20, big), session_epoch=0)
            i = a["session_id"]
            ask("session goes on", session_id=i, session_epoch=1)
            ask("session changes", ("fetch", 0, 0, 100), session_id=i, session_epoch=2)
            ask("session adds unknown", ("fetch-none", 0, 0, 100), session_id=i, session_epoch=3)
            ask("session goes on with unknown", session_id=i, session_epoch=4)
            ask("session forgets", session_id=i, session_epoch=5,
                forgotten_topics_data=[{"topic": "fetch", "topic_id": ids["fetch"], "partitions": [0]}])
            ask("session epoch wrong", session_id=i, session_epoch=9)
            ask("session again", session_id=i, session_epoch=6)
            ask("session unknown", session_id=123456, session_epoch=1)
            ask("session ends", session_id=i, session_epoch=-1)
            ask("session ended", session_id=i, session_epoch=7)
            ask("session made of nothing", session_epoch=0)
            ask("session negative", session_id=-3, session_epoch=3)


def message_sets(s):
    """What producers before 0.11 send, sound and not; each answer, and in the end all that was stored, in every form."""
    ids = make(s, "sets", topic("sets-gzip", 1, 1, (), [("compression.type", "gzip")]),
               topic("sets-append", 1, 1, (), [("message.timestamp.type", "LogAppendTime")]),
               topic("sets-compact", 1, 1, (), [("cleanup.policy", "compact")]),
               topic("sets-small", 1, 1, (), [("max.message.bytes", "100")]),
               topic("sets-skew", 1, 1, (), [("message.timestamp.before.max.ms", "1000")]),
               topic("sets-no", 1, 1, (), [("message.downconversion.enable", "false")]),
               topic("sets-zstd", 1, 1, (), [("compression.type", "zstd")]))
    for v in s.versions("Produce", last=2):
        def ask(label, name, records, acks=-1):
            s.ask("Produce", v, f"{label} {name}", acks=acks, timeout_ms=5000,
                  topic_data=[{"name": name, "partition_data": [{"index": 0, "records": records}]}])
        for magic in (0, 1):
            def one(value=b"v", offset=0, **more):
                return message_set(value, magic, offset=offset, **more)
            three = one(b"a", 0) + one(b"b", 1, timestamp=NOW + 5) + one(b"c", 2, key=b"k")
            relative = lambda *offsets: b"".join(one(b"%d" % n, o) for n, o in enumerate(offsets))
            gzipped = wrapped(three, magic, offset=2)
            cases = [
                ("one", one()), ("three", three), ("null value", one(None, key=b"k")), ("null both", one(None)), ("empty", one(b"", key=b"")),
                ("cut", three[:-1]), ("cut to nothing", one()[:-1]), ("cut header", three + three[:10]), ("nothing", b""),
                ("bad crc", one(bad_crc=True)), ("second crc bad", one() + one(bad_crc=True)), ("offsets", one(offset=77)),
                ("time -1", one(timestamp=-1)), ("time -5", one(timestamp=-5)), ("append time bit", one(attributes=8)),
                ("mixed magic", one() + message_set(b"o", 1 - magic)), ("then a batch", one() + batch(b"n")),
                ("batch first", batch(b"n") + one()), ("a batch", batch(b"n", b"m")), ("two batches", batch(b"n") + batch(b"m")),
                ("size 13", b"\0" * 8 + b"\0\0\0\x0d" + b"\0" * 13), ("size 20", b"\0" * 8 + b"\0\0\0\x14" + b"\0" * 20),
                ("negative size", b"\0" * 8 + b"\xff" * 4 + b"\0" * 30), ("magic 3", one()[:16] + b"\3" + one()[17:]),
                ("gzip", gzipped), ("gzip offset 0", wrapped(three, magic)), ("gzip offset 9", wrapped(three, magic, offset=9)),
                ("gzip offset 1", wrapped(three, magic, offset=1)), ("gzip twice", gzipped + gzipped), ("gzip and plain", gzipped + one()),
                ("gzip in gzip", wrapped(gzipped, magic)), ("gzip of nothing", wrapped(b"", magic)), ("gzip of zeros", wrapped(bytes(36), magic)),
                ("gzip of other magic", wrapped(message_set(b"o", 1 - magic), magic)), ("gzip of batch", wrapped(batch(b"n"), magic)),
                ("gzip bad crc inside", wrapped(one() + one(bad_crc=True, offset=1), magic, offset=1)),
                ("gzip cut inside", wrapped(three[:-2], magic, offset=1)), ("gzip from 5", wrapped(relative(5, 6, 7), magic, offset=7)),
                ("gzip gaps", wrapped(relative(0, 2, 5), magic, offset=5)), ("gzip same offsets", wrapped(relative(0, 0, 0), magic)),
                ("gzip key", wrapped(three, magic, offset=2, key=b"k")), ("gzip append time", wrapped(three, magic, codec=9, offset=2)),
                ("gzip null", one(None, attributes=1)), ("gzip not", one(b"junk", attributes=1)), ("snappy not", one(b"\xff" * 9, attributes=2)),
                ("lz4 not", one(b"junk", attributes=3)), ("zstd", one(b"junk", attributes=4)), ("codec 5", one(b"junk", attributes=5)),
                ("high bits", one(attributes=0xf0 - 256)),
            ]
            for label, records in cases:
                ask(f"magic {magic} {label}", "sets", records)
            for name in ("sets-gzip", "sets-append", "sets-compact", "sets-small", "sets-skew", "sets-no", "sets-zstd"):
                for label, records in [("three", three), ("gzip", gzipped), ("key", one(key=b"k")), ("big", one(b"x" * 90)),
                                       ("gzip big", wrapped(one(b"x" * 90), magic)), ("gzip append time", wrapped(three, magic, codec=9, offset=2))]:
                    ask(f"magic {magic} {label}", name, records)
            ask(f"magic {magic} acks 1", "sets", three, acks=1)
    for name in ids:
        # Kafka's zstd writes other bytes.
        for v in (0, 1, 2, 3, 4) if name == "sets-zstd" else (0, 1, 2, 3, 4, 11):
            for offset in (0, 1, 7, 40):
                read(s, v, f"{name} from {offset}", [(name, 0, offset, 1 << 20)], ids, max_wait_ms=10)


def offsets(s):
    make(s, "offs", "offs-empty", topic("offs-append", 1, 1, (), [("message.timestamp.type", "LogAppendTime")]))
    for n in (0, 3, 1, 2):
        s.quiet("Produce", 8, acks=-1, timeout_ms=5000, topic_data=[{"name": "offs", "partition_data": [
            {"index": 0, "records": batch(b"a", b"b", timestamp=NOW + 1000 * n)}]}])
    for v in s.versions("ListOffsets"):
        def ask(label, *parts, **more):
            s.ask("ListOffsets", v, label, **{"replica_id": -1, "topics": [
                {"name": n, "partitions": [{"partition_index": p, "timestamp": t, **e}]} for n, p, t, e in parts], **more})
        for t in (-1, -2, -3, -4, -5, -6, -99, 0, NOW, NOW + 1, NOW + 1000, NOW + 3000, NOW + 3001, NOW + 9000):
            ask(f"at {t}", ("offs", 0, t, {}))
            ask(f"at {t}, empty", ("offs-empty", 0, t, {}))
            ask(f"at {t}, committed", ("offs", 0, t, {}), isolation_level=1)
        for replica in (-2, 7):
            ask(f"replica {replica}", ("offs", 0, -1, {}), replica_id=replica)
        ask("unknown", ("offs-none", 0, -1, {}), ("offs", 5, -1, {}), ("offs", -1, -1, {}))
        ask("twice", ("offs", 0, -1, {}), ("offs", 0, -2, {}))
        s.ask("ListOffsets", v, "twice in one", replica_id=-1, topics=[{"name": "offs", "partitions": [
            {"partition_index": 0, "timestamp": -1}, {"partition_index": 0, "timestamp": -2}]}])
        ask("none")
        for epoch in (-1, 0, 1, 7) if v >= 4 else ():
            ask(f"epoch {epoch}", ("offs", 0, -1, {"current_leader_epoch": epoch}))
    for v in s.versions("OffsetForLeaderEpoch"):
        def ask(label, *parts, **more):
            s.ask("OffsetForLeaderEpoch", v, label, **{"replica_id": -1, "topics": [
                {"topic": n, "partitions": [{"partition": p, "leader_epoch": e, "current_leader_epoch": c}]} for n, p, e, c in parts], **more})
        for epoch in (-2, -1, 0, 1, 99):
            for current in (-1, 0, 1):
                ask(f"epoch {epoch} of {current}", ("offs", 0, epoch, current), ("offs-empty", 0, epoch, current))
        ask("unknown", ("offs-none", 0, 0, -1), ("offs", 9, 0, -1))
        ask("replica 7", ("offs", 0, 0, -1), replica_id=7)
        ask("none")
