"""The same Produce requests to Apache Kafka 3.9.1 and to Barnabas: the same answers, and the same bytes on disk.

`same_bytes.py --seed 1 --requests 400` makes one run. Where the broker stamps or recompresses records, the decoded
records and the header fields are compared, without sizes, checksums and the time of the append."""

import argparse
import collections
import concurrent.futures
import random

import record_batches as rb
from harness import Cluster
from oracle_side import Side, differences
from oracle_topics import make, topic
from oracle_wire import message_set

SETTINGS = {
    "offsets.topic.replication.factor": 1, "default.replication.factor": 1, "log.retention.ms": -1,
    "log.cleaner.enable": "false", "log.index.interval.bytes": 300, "log.retention.check.interval.ms": 3600000,
}
SMALL = ("segment.bytes", "6000")
EXACT = {
    "plain": [SMALL], "big": [("segment.bytes", "1048576")], "full": [("segment.index.bytes", "96"), ("index.interval.bytes", "100")],
    "timed": [("segment.ms", "60000"), SMALL], "limited": [("max.message.bytes", "700"), SMALL],
    "compact": [("cleanup.policy", "compact"), SMALL], "skew": [("message.timestamp.before.max.ms", "1000"), SMALL],
}
DECODED = {
    "stamped": [("message.timestamp.type", "LogAppendTime"), SMALL],
    "to-none": [("compression.type", "uncompressed"), SMALL], "to-gzip": [("compression.type", "gzip"), SMALL],
    "to-snappy": [("compression.type", "snappy"), SMALL], "to-lz4": [("compression.type", "lz4"), SMALL],
    "to-zstd": [("compression.type", "zstd"), SMALL],
}
# (request, field, reason): what may differ in answers; the reasons stand in docs/differences.md.
ALLOWED = ["error_message", "batch_index_error_message"]


class Requests:
    """A seeded stream of Produce requests, the same for both brokers."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.clock_ms = 1_700_000_000_000
        self.producers = [[1000 + n, 0, collections.Counter()] for n in range(4)]

    def next(self):
        """(topic, what it is, records)."""
        r = self.random
        name = r.choice([*EXACT, *EXACT, *DECODED])
        kind = r.choices(["good", "idempotent", "bad", "old"], [60, 20, 14, 6])[0]
        return name, *getattr(self, kind)(name)

    def content(self, most=8):
        r = self.random
        count = r.choice([1, 1, 2, 3, r.randint(1, most)])
        blob = lambda n: bytes(r.choices(b"abcdefgh \xff\0", k=r.randint(0, n)))
        def one():
            key = r.choice([None, blob(6), f"k{r.randint(0, 5)}".encode()])
            value = r.choice([None, blob(30), blob(200), blob(200) * r.randint(1, 4)])
            headers = [(f"h{n}", r.choice([None, blob(9)])) for n in range(r.choice([0, 0, 0, 1, 2]))]
            return key, value, headers
        records = [one() for _ in range(count)]
        self.clock_ms += r.choice([0, 1, 5, 100, 5000, 40000])
        early = r.choice([0, 0, 0, 100_000])
        return records, [self.clock_ms - early + r.choice([0, n, -n, 10 * n]) for n in range(count)]

    def codec(self):
        return self.random.choice([rb.NONE, rb.NONE, rb.GZIP, rb.SNAPPY, rb.LZ4, rb.ZSTD])

    def good(self, _):
        records, stamps = self.content()
        return "good", rb.batch(records, self.codec(), timestamps=stamps)

    def idempotent(self, name):
        r = self.random
        producer = r.choice(self.producers)
        id, epoch, sequences = producer
        records, stamps = self.content(4)
        sequence = sequences[name]
        how = r.choices(["next", "again", "gap", "new epoch", "old epoch"], [70, 12, 8, 6, 4])[0]
        if how == "again":
            sequence = max(0, sequence - len(records))
        elif how == "gap":
            sequence += 7
        elif how == "new epoch":
            producer[1], producer[2] = epoch + 1, collections.Counter()
            epoch, sequence, sequences = epoch + 1, 0, producer[2]
        elif how == "old epoch":
            epoch -= 1
        made = rb.batch(records, self.codec(), timestamps=stamps, producer=(id, epoch, sequence))
        if how in ("next", "new epoch") and name not in ("limited", "compact", "skew"):
            sequences[name] += len(records)
        return f"idempotent {how}", made

    def bad(self, _):
        r = self.random
        records, stamps = self.content(3)
        n, codec = len(records), r.choice([rb.NONE, rb.GZIP, rb.LZ4])
        good = rb.batch(records, codec, timestamps=stamps)
        cut = r.randint(1, len(good) - 1)
        flipped = bytearray(good)
        flipped[r.randint(21, len(good) - 1)] ^= 1 << r.randint(0, 7)
        return r.choice([
            ("bad crc", rb.batch(records, codec, timestamps=stamps, bad_crc=True)), ("cut", good[:cut]),
            ("two batches", good + good), ("trailing bytes", good + b"\0" * r.randint(1, 20)), ("flipped bit", bytes(flipped)),
            ("count", rb.batch(records, timestamps=stamps, count=n + r.choice([-1, 1]))),
            ("delta", rb.batch(records, timestamps=stamps, last_delta=n)), ("base offset", rb.batch(records, base=5, timestamps=stamps)),
            ("control", rb.batch(records, timestamps=stamps, attributes=0x20)), ("magic 3", rb.batch(records, timestamps=stamps, magic=3)),
            ("codec 6", rb.batch(records, timestamps=stamps, attributes=6)), ("empty", b""),
            ("junk in a codec", rb.batch(records, timestamps=stamps, attributes=r.choice([1, 2, 3, 4]))),
            ("epoch set", rb.batch(records, timestamps=stamps, epoch=7)),
        ])

    def old(self, _):
        magic = self.random.choice([0, 1])
        return f"magic {magic}", message_set(b"old value", magic)


def drive(side, seed, count):
    """Sends the whole stream to one broker; the answers are in its transcript."""
    requests = Requests(seed)
    make(side, *[topic(name, configs=configs) for name, configs in {**EXACT, **DECODED}.items()])
    versions = list(side.versions("Produce"))
    pick = random.Random(seed + 1)
    for n in range(count):
        name, what, records = requests.next()
        version = pick.choice([v for v in versions if v < 3] or versions) if what.startswith("magic") else pick.choice(versions[-9:])
        if what.startswith("magic") and version < 3:
            # Each old version belongs to one format.
            version = 2 if what == "magic 1" else pick.choice([0, 1])
        side.ask("Produce", version, f"{n} {what} to {name}", acks=1, timeout_ms=5000,
                 topic_data=[{"name": name, "partition_data": [{"index": 0, "records": records}]}])
    side.close()


def files(broker, name):
    directory = broker.directory / "data" / f"{name}-0"
    return {f.name: f.read_bytes() for f in directory.iterdir() if f.suffix in (".log", ".index", ".timeindex", ".txnindex")}


def decoded(segments):
    """All batches of a topic whose sizes may differ: header fields and records, without sizes, sums and append times."""
    out = []
    for name in sorted(segments):
        if not name.endswith(".log"):
            continue
        for _, raw in rb.slices(segments[name]):
            head, records = rb.header(raw), rb.records(raw)
            head.pop("length"), head.pop("crc")
            if head["attributes"] & 8:
                head["max_timestamp"] = "NOW"
                records = [(offset, "NOW", *rest) for offset, _, *rest in records]
            out.append((head, records))
    return out


def compare(kafka, ours):
    """What differs on disk, as text."""
    found = []
    for name in EXACT:
        theirs, mine = files(kafka, name), files(ours, name)
        if sorted(theirs) != sorted(mine):
            found.append(f"{name}: files {sorted(theirs)}\n    ours {sorted(mine)}")
        for file in sorted(set(theirs) & set(mine)):
            if theirs[file] != mine[file]:
                at = next((n for n, (a, b) in enumerate(zip(theirs[file], mine[file])) if a != b), min(len(theirs[file]), len(mine[file])))
                found.append(f"{name}/{file}: {len(theirs[file])} and {len(mine[file])} bytes, first difference at {at}: "
                             f"{theirs[file][at:at + 24].hex()} and {mine[file][at:at + 24].hex()}")
    for name in DECODED:
        theirs, mine = decoded(files(kafka, name)), decoded(files(ours, name))
        for n, (a, b) in enumerate(zip(theirs, mine)):
            if a != b:
                found.append(f"{name}: batch {n}\n    kafka {a}\n    ours  {b}")
                break
        if len(theirs) != len(mine):
            found.append(f"{name}: {len(theirs)} and {len(mine)} batches")
    return found


def run(seed, count, offered):
    """One comparison; returns what differs, and figures."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool, Cluster(("barnabas",), settings=SETTINGS) as ours:
        with Cluster(("kafka",), settings=SETTINGS) as kafka:
            versions = offered(ours.brokers[0].port)
            sides = Side(kafka, versions), Side(ours, versions)
            for side in sides:
                side.until(lambda m: m["brokers"] and m["controller_id"] == 0, "Metadata", 1, topics=[])
            list(pool.map(lambda side: drive(side, seed, count), sides))
            for cluster in (kafka, ours):
                cluster.brokers[0].stop()
            found = []
            outcomes = collections.Counter()
            for (label, theirs), (_, mine) in zip(sides[0].transcript, sides[1].transcript):
                outcomes["closed" if theirs == "closed" else theirs["responses"][0]["partition_responses"][0]["error_code"]] += 1
                found += [f"{label}: {path}\n    kafka: {k!r}\n    ours:  {o!r}" for path, k, o in differences(theirs, mine)
                          if not path.endswith(tuple(ALLOWED))]
            found += compare(kafka.brokers[0], ours.brokers[0])
            size = sum(len(b) for name in {**EXACT, **DECODED} for b in files(ours.brokers[0], name).values())
    return found, {"requests": count, "bytes on disk": size, "answers by error code": dict(outcomes)}


if __name__ == "__main__":
    import sys

    from test_oracle import offered

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--requests", type=int, default=400)
    options = parser.parse_args()
    failed = False
    for seed in range(options.seed, options.seed + options.runs):
        found, figures = run(seed, options.requests, offered)
        print(f"seed {seed}: {len(found)} differences, {figures}", flush=True)
        print("\n".join(found))
        failed |= bool(found)
    sys.exit(failed)
