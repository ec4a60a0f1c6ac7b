"""Cases of the comparison with real Kafka: DeleteRecords and what a broker's log dirs hold."""

from oracle_groups import ready
from oracle_topics import make, topic
from oracle_wire import batch

HIGH_WATERMARK = -1


def produced(s, name, partition, batches):
    for n in range(batches):
        s.quiet("Produce", 8, acks=-1, timeout_ms=5000, topic_data=[
            {"name": name, "partition_data": [{"index": partition, "records": batch(*[b"%d" % n] * 5)}]}])


def delete_records(s):
    ready(s)
    for v in s.versions("DeleteRecords"):
        name, compacted, both = (f"trim{v}{kind}" for kind in ("", "-compact", "-both"))
        make(s, topic(name, 2), topic(compacted, configs=[("cleanup.policy", "compact")]),
             topic(both, configs=[("cleanup.policy", "compact,delete")]))
        for partition in (0, 1):
            produced(s, name, partition, 4)

        def ask(label, *parts, **more):
            topics = {}
            for n, partition, offset in parts:
                topics.setdefault(n, []).append({"partition_index": partition, "offset": offset})
            s.ask("DeleteRecords", v, label, **{"timeout_ms": 5000, "topics": [
                {"name": n, "partitions": p} for n, p in topics.items()], **more})
            for partition in (0, 1):
                s.ask("ListOffsets", 1, f"after {label} of v{v}", replica_id=-1, topics=[
                    {"name": name, "partitions": [{"partition_index": partition, "timestamp": -2}]}])
        ask("nothing to do", (name, 0, 0))
        ask("within a batch", (name, 0, 7))
        ask("the same again", (name, 0, 7))
        ask("below the start", (name, 0, 3))
        for offset in (-2, -99, -1 << 63, 21, 1 << 40, (1 << 63) - 1):
            ask(f"at {offset}", (name, 0, offset))
        ask("both", (name, 0, 10), (name, 1, 5))
        ask("good and bad", (name, 0, 11), (name, 1, 99), (name, 2, 0), (name, -1, 0), ("trim-none", 0, 0), ("", 0, 0), ("bad name", 0, 0))
        ask("twice", (name, 0, 12), (name, 0, 13))
        ask("twice, the smaller one last", (name, 0, 15), (name, 0, 14))
        s.ask("DeleteRecords", v, "a topic twice", timeout_ms=5000, topics=[
            {"name": name, "partitions": [{"partition_index": 0, "offset": offset}]} for offset in (16, 17)])
        ask("without time", (name, 0, 18), timeout_ms=0)
        ask("negative time", (name, 0, 19), timeout_ms=-1)
        ask("to the end", (name, 0, 20), (name, 1, HIGH_WATERMARK))
        ask("to the end again", (name, 0, HIGH_WATERMARK))
        produced(s, name, 0, 1)
        ask("after more", (name, 0, HIGH_WATERMARK))
        for offset in (0, HIGH_WATERMARK, 5):
            ask(f"compacted at {offset}", (compacted, 0, offset))
            ask(f"compacted and deleted at {offset}", (both, 0, offset))
            ask(f"internal at {offset}", ("__consumer_offsets", 0, offset), ("__consumer_offsets", 99, offset))
        ask("none")
        s.ask("DeleteRecords", v, "no partitions", timeout_ms=5000, topics=[{"name": name, "partitions": []}])
        for offset in (0, 19, 24, 25, 26):
            s.ask("Fetch", 11, f"from {offset} after v{v}", max_wait_ms=0, min_bytes=0, max_bytes=1 << 20, topics=[
                {"topic": name, "partitions": [{"partition": 0, "fetch_offset": offset, "partition_max_bytes": 1 << 20}]}])


def log_dirs(s):
    here = str(s.broker.settings["log.dirs"])
    make(s, topic("dirs", 2), "dirs-other")
    produced(s, "dirs", 0, 3)
    for v in s.versions("DescribeLogDirs"):
        def ask(label, topics):
            answer = s.quiet("DescribeLogDirs", v, topics=topics)
            for result in answer["results"]:
                # Other areas have left topics that are being deleted.
                result["topics"] = sorted((t for t in result["topics"] if t["name"].startswith("dirs")), key=lambda t: t["name"])
                for t in result["topics"]:
                    t["partitions"].sort(key=lambda p: p["partition_index"])
                for size in ("total_bytes", "usable_bytes") if v >= 4 else ():
                    result[size] = result[size] > 0
            s.note(f"DescribeLogDirs v{v} {label}", answer, "DescribeLogDirs")
        ask("all", None)
        ask("none", [])
        ask("some", [{"topic": "dirs", "partitions": [0]}])
        ask("unknown", [{"topic": "dirs", "partitions": [1, 7, -1]}, {"topic": "dirs-none", "partitions": [0]}, {"topic": "", "partitions": []}])
        ask("twice", [{"topic": "dirs", "partitions": [0, 0]}, {"topic": "dirs", "partitions": [1]}])
    for v in s.versions("AlterReplicaLogDirs"):
        def move(label, *moves):
            s.ask("AlterReplicaLogDirs", v, label, dirs=[
                {"path": path, "topics": [{"name": n, "partitions": p} for n, p in topics]} for path, topics in moves])
        move("where it is", (here, [("dirs", [0, 1])]))
        move("no such dir", ("/no/such/dir", [("dirs", [0])]))
        move("no path", ("", [("dirs", [0])]))
        move("relative", ("data", [("dirs", [0])]))
        move("unknown", (here, [("dirs", [7, -1]), ("dirs-none", [0])]))
        move("unknown in no dir", ("/no/such/dir", [("dirs-none", [0])]))
        move("bad name", (here, [("bad name", [0])]))
        move("twice", (here, [("dirs", [0])]), ("/no/such/dir", [("dirs", [0])]))
        move("none")
