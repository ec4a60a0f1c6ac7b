"""Cases of the comparison with real Kafka: transactions and the producers in a log."""

from oracle_topics import make, topic
from oracle_wire import batch

TRANSACTIONAL = 0x10


def ready(s, *ids):
    """Waits for the coordinator of these ids, and for a block of producer ids."""
    for id in ids:
        s.until(lambda m: m["coordinators"][0]["error_code"] == 0, "FindCoordinator", 4, key_type=1, coordinator_keys=[id])
        s.until(lambda m: m["error_code"] != 14, "EndTxn", 3, transactional_id=id, producer_id=1, producer_epoch=0, committed=True)
    s.until(lambda m: m["error_code"] == 0, "InitProducerId", 4, transactional_id=None, transaction_timeout_ms=1000)


def settled(s, id):
    """Waits until no transaction of the id is being ended."""
    s.until(lambda m: "Prepare" not in m["transaction_states"][0]["transaction_state"], "DescribeTransactions", 0, transactional_ids=[id])


def transactions(s):
    make(s, topic("txn", 2), "txn-more")
    ready(s, "probe")
    for v in s.versions("FindCoordinator", 1):
        s.ask("FindCoordinator", v, "transaction", key_type=1, key="probe", coordinator_keys=["probe", ""])
    for v in s.versions("InitProducerId"):
        def init(label, id, timeout=60000, **more):
            return s.ask("InitProducerId", v, label, transactional_id=id, transaction_timeout_ms=timeout, **more)
        id = f"init-{v}"
        ready(s, id)
        init("empty", "")
        init("no time", id, 0)
        init("too much time", id, 900001)
        one = init("first", id)
        init("second", id)
        if v >= 3:
            pid = one["producer_id"]
            init("own epoch", id, producer_id=pid, producer_epoch=1)
            init("own epoch again", id, producer_id=pid, producer_epoch=1)
            init("fenced epoch", id, producer_id=pid, producer_epoch=0)
            init("other producer", id, producer_id=pid + 100000, producer_epoch=1)
            init("half", id, producer_id=pid)
            init("for idempotence", None, producer_id=pid, producer_epoch=0)

    for v in s.versions("EndTxn"):
        id = f"end-{v}"
        ready(s, id)
        given = s.quiet("InitProducerId", 4, transactional_id=id, transaction_timeout_ms=60000)
        pid, at = given["producer_id"], {"epoch": given["producer_epoch"]}

        def end(label, committed, **more):
            s.ask("EndTxn", v, label, **{"transactional_id": id, "producer_id": pid, "producer_epoch": at["epoch"],
                                         "committed": committed, **more})

        def add(label, version, *parts, **more):
            version = min(version, 3)
            by = {}
            for name, partition in parts:
                by.setdefault(name, []).append(partition)
            s.ask("AddPartitionsToTxn", version, f"{label} (end v{v})", **{
                "v3_and_below_transactional_id": id, "v3_and_below_producer_id": pid, "v3_and_below_producer_epoch": at["epoch"],
                "v3_and_below_topics": [{"name": n, "partitions": p} for n, p in by.items()], **more})

        def verify(label, *parts, verify_only=True, **more):
            for version in s.versions("AddPartitionsToTxn", 4):
                one = {"transactional_id": id, "producer_id": pid, "producer_epoch": at["epoch"], "verify_only": verify_only,
                       "topics": [{"name": n, "partitions": [p]} for n, p in parts], **more}
                s.ask("AddPartitionsToTxn", version, f"{label} (end v{v})", transactions=[one])

        def write(label, name, partition, sequence, **more):
            for version in (10, 11):
                records = batch(b"v", attributes=TRANSACTIONAL, producer=(more.get("producer", pid), more.get("epoch", at["epoch"]), sequence))
                s.ask("Produce", version, f"{label} (end v{v})", acks=-1, timeout_ms=5000, transactional_id=more.get("id", id),
                      topic_data=[{"name": name, "partition_data": [{"index": partition, "records": records}]}])

        def describe(label):
            message = s.exchange("DescribeTransactions", 0, transactional_ids=[id])
            for state in message["transaction_states"]:
                state["transaction_start_time_ms"] = min(0, state["transaction_start_time_ms"])
                state["topics"] = sorted(({**t, "partitions": sorted(t["partitions"])} for t in state["topics"]), key=lambda t: t["topic"])
            s.note(f"DescribeTransactions {label} (end v{v})", message, "DescribeTransactions")

        end("nothing begun", True)
        end("nothing begun", False)
        describe("empty")
        write("not added", "txn", 0, 0)
        add("no such topic", v, ("txn", 0), ("txn-none", 0))
        add("internal", v, ("txn", 0), ("__consumer_offsets", 0))
        add("other producer", v, ("txn", 0), v3_and_below_producer_id=pid + 100000)
        add("other epoch", v, ("txn", 0), v3_and_below_producer_epoch=at["epoch"] + 1)
        add("unknown id", v, ("txn", 0), v3_and_below_transactional_id="nobody")
        add("no id", v, ("txn", 0), v3_and_below_transactional_id="")
        add("first", v, ("txn", 0))
        add("again", v, ("txn", 0))
        describe("ongoing")
        verify("part of it", ("txn", 0))
        verify("not part of it", ("txn", 1))
        verify("no such topic", ("txn", 0), ("txn-none", 0))
        verify("other producer", ("txn", 0), producer_id=pid + 100000)
        verify("other epoch", ("txn", 0), producer_epoch=at["epoch"] + 1)
        verify("unknown id", ("txn", 0), transactional_id="nobody")
        verify("no id", ("txn", 0), transactional_id="")
        verify("added", ("txn-more", 0), verify_only=False)
        write("first", "txn", 0, 0)
        write("next", "txn", 0, 1)
        write("gap", "txn", 0, 9)
        write("not added", "txn", 1, 0)
        write("other epoch", "txn-more", 0, 0, epoch=at["epoch"] + 1)
        write("unknown id", "txn-more", 0, 0, id="nobody")
        write("no id", "txn", 0, 2, id=None)
        for level in (0, 1):
            s.ask("ListOffsets", 5, f"isolation {level} (end v{v})", replica_id=-1, isolation_level=level,
                  topics=[{"name": "txn", "partitions": [{"partition_index": 0, "current_leader_epoch": -1, "timestamp": -1}]}])
        end("other producer", True, producer_id=pid + 100000)
        end("other epoch", True, producer_epoch=at["epoch"] + 1)
        end("unknown id", True, transactional_id="nobody")
        end("no id", True, transactional_id="")
        commit = v % 2 == 0
        end("ends", commit)
        settled(s, id)
        describe("complete")
        end("again", commit)
        end("the other way", not commit)
        write("after the end", "txn", 0, 2)
        for level in (0, 1):
            s.ask("Fetch", 11, f"isolation {level} (end v{v})", replica_id=-1, max_wait_ms=100, min_bytes=1, max_bytes=1 << 20, isolation_level=level,
                  topics=[{"topic": "txn", "partitions": [{"partition": 0, "current_leader_epoch": -1, "fetch_offset": o, "partition_max_bytes": 1 << 20}
                                                          ]} for o in (0,)])
        # A producer that leaves its transaction open is fenced by the next.
        add("once more", v, ("txn", 1))
        write("left open", "txn", 1, 0)
        s.ask("InitProducerId", 4, f"while a transaction is open (end v{v})", transactional_id=id, transaction_timeout_ms=60000)
        settled(s, id)
        next_one = s.ask("InitProducerId", 4, f"after it was aborted (end v{v})", transactional_id=id, transaction_timeout_ms=60000)
        end("the zombie", True)
        add("the zombie", v, ("txn", 1))
        write("the zombie", "txn", 1, 1)
        at["epoch"] = next_one["producer_epoch"]
        offsets(s, v, id, pid, at["epoch"], end)
    lists(s)
    markers(s)


def offsets(s, v, id, pid, epoch, end):
    group = f"txn-group-{v}"
    s.until(lambda m: m["coordinators"][0]["error_code"] == 0, "FindCoordinator", 4, coordinator_keys=[group])
    s.until(lambda m: m["error_code"] != 14, "Heartbeat", 3, group_id=group, generation_id=1, member_id="x")

    def commit(label, committed_offset, name="txn", partition=0, metadata="", **more):
        s.ask("TxnOffsetCommit", min(v, s.versions("TxnOffsetCommit")[-1]), f"{label} (end v{v})", **{
            "transactional_id": id, "group_id": group, "producer_id": pid, "producer_epoch": epoch,
            "topics": [{"name": name, "partitions": [{"partition_index": partition, "committed_offset": committed_offset,
                                                      "committed_metadata": metadata}]}], **more})

    def fetch(label):
        for stable in (False, True):
            for asked in ([{"name": "txn", "partition_indexes": [0, 1]}], None):
                s.ask("OffsetFetch", 7, f"{label} stable={stable} all={asked is None} (end v{v})", group_id=group, topics=asked, require_stable=stable)

    def add(label, **more):
        s.ask("AddOffsetsToTxn", min(v, s.versions("AddOffsetsToTxn")[-1]), f"{label} (end v{v})",
              **{"transactional_id": id, "group_id": group, "producer_id": pid, "producer_epoch": epoch, **more})

    commit("not added", 3)
    add("other producer", producer_id=pid + 100000)
    add("other epoch", producer_epoch=epoch + 1)
    add("no id", transactional_id="")
    add("first")
    add("again")
    for result, offset in ((True, 3), (False, 7)):
        add("before")
        commit("good", offset)
        commit("unknown topic", 1, name="txn-none")
        commit("unknown partition", 1, partition=9)
        commit("long metadata", 1, partition=1, metadata="x" * 5000)
        commit("no group", 1, group_id="")
        commit("other producer", 1, producer_id=pid + 100000)
        if v >= 3:
            commit("a member that is not there", 1, generation_id=3, member_id="nobody")
        fetch(f"open {result}")
        end(f"offsets {result}", result)
        settled(s, id)
        s.until(lambda m: m["error_code"] == 0 and all(p["error_code"] == 0 for t in m["topics"] for p in t["partitions"]),
                "OffsetFetch", 7, group_id=group, topics=[{"name": "txn", "partition_indexes": [0]}], require_stable=True)
        fetch(f"ended {result}")


def lists(s):
    for v in s.versions("ListTransactions"):
        for label, filters in [("all", {}), ("state", {"state_filters": ["CompleteAbort"]}), ("unknown state", {"state_filters": ["Gone", "Empty"]}),
                               ("producer", {"producer_id_filters": [123456789]})] + ([("duration", {"duration_filter": 1 << 40})] if v else []):
            message = s.exchange("ListTransactions", v, **filters)
            message["transaction_states"].sort(key=lambda t: t["transactional_id"])
            s.note(f"ListTransactions v{v} {label}", message, "ListTransactions")
    s.ask("DescribeTransactions", 0, "unknown and none", transactional_ids=["nobody", ""])
    for name in ("txn", "txn-none", "bad name"):
        message = s.exchange("DescribeProducers", 0, topics=[{"name": name, "partition_indexes": [0, 1, 7]}])
        for partition in message["topics"][0]["partitions"]:
            for producer in partition["active_producers"]:
                producer["last_timestamp"] = 0
            partition["active_producers"].sort(key=lambda p: p["producer_id"])
        s.note(f"DescribeProducers {name}", message, "DescribeProducers")


def markers(s):
    for v in s.versions("WriteTxnMarkers"):
        def write(label, *markers):
            fields = ("producer_id", "producer_epoch", "transaction_result", "coordinator_epoch", "topics")
            s.ask("WriteTxnMarkers", v, label, markers=[dict(zip(fields, marker)) for marker in markers])
        pid = 500000 + v
        txn = [{"name": "txn", "partition_indexes": [0, 1]}]
        write("none")
        write("unknown producer", (pid, 3, True, 5, txn))
        write("older coordinator", (pid, 3, True, 4, txn))
        write("older epoch", (pid, 2, True, 5, txn))
        write("newer epoch", (pid, 9, False, 6, txn))
        write("unknown topic", (pid, 9, False, 6, txn + [{"name": "txn-none", "partition_indexes": [0]}]))
        write("unknown partition", (pid, 9, False, 6, [{"name": "txn", "partition_indexes": [9]}]))
        write("two", (pid, 9, False, 6, txn[:1]), (pid + 100, 0, True, 0, [{"name": "txn-more", "partition_indexes": [0]}]))
        write("no partitions", (pid, 9, False, 6, []))
