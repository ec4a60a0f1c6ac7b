"""Cases of the comparison with real Kafka: groups and their offsets."""

from oracle_topics import make

COORDINATOR = {"key": "group", "coordinator_keys": ["group"]}


def ready(s):
    """Waits for the topic of offsets to be led."""
    s.until(lambda m: m["coordinators"][0]["error_code"] == 0, "FindCoordinator", 4, coordinator_keys=["group"])
    for n in range(40):
        s.until(lambda m: m["error_code"] != 14, "Heartbeat", 3, group_id=f"probe{n}", generation_id=1, member_id="x")


def find_coordinator(s):
    ready(s)
    for v in s.versions("FindCoordinator"):
        for kind in (0, 2, 7, -1):
            if v >= 1 or kind == 0:
                s.ask("FindCoordinator", v, f"kind {kind}", key_type=kind, **COORDINATOR)
        s.ask("FindCoordinator", v, "empty", key="", coordinator_keys=[""])
        if v >= 4:
            s.ask("FindCoordinator", v, "several", coordinator_keys=["a", "b", "a"])
            s.ask("FindCoordinator", v, "none", coordinator_keys=[])


def protocols(*names):
    # A subscription to nothing; Kafka never answers a consumer whose metadata it cannot parse.
    return [{"name": n, "metadata": b"\0\0\0\0\0\0\xff\xff\xff\xff"} for n in names]


def groups(s):
    ready(s)
    make(s, "grouped")
    for v in s.versions("JoinGroup"):
        g = f"g{v}"
        join = {"group_id": g, "session_timeout_ms": 10000, "rebalance_timeout_ms": 10000, "member_id": "",
                "protocol_type": "consumer", "protocols": protocols("range", "sticky")}
        def ask(label, name="JoinGroup", version=v, **more):
            base = join if name == "JoinGroup" else {} if name == "DescribeGroups" else {"group_id": g}
            return s.ask(name, max(min(version, s.versions(name)[-1]), s.versions(name)[0]), f"{label} (join v{v})", **{**base, **more})
        ask("no group", group_id="")
        ask("short session", session_timeout_ms=1)
        ask("long session", session_timeout_ms=1 << 30)
        ask("unknown member", member_id="nobody")
        ask("no protocols", protocols=[])
        ask("no type", protocol_type="")
        ask("bad instance", group_id=g + "i", group_instance_id="") if v >= 5 else None
        a = ask("joins", reason="why")
        member = a["member_id"]
        if a["error_code"] == 79:
            a = ask("joins with its id", member_id=member)
        gen = a["generation_id"]
        ask("rebalancing", "Heartbeat", generation_id=gen, member_id=member)
        ask("commit before sync", "OffsetCommit", generation_id_or_member_epoch=gen, member_id=member,
            topics=[{"name": "grouped", "partitions": [{"partition_index": 0, "committed_offset": 3, "committed_metadata": ""}]}])
        ask("sync wrong type", "SyncGroup", generation_id=gen, member_id=member, protocol_type="x", protocol_name="range") if v >= 5 else None
        ask("sync wrong name", "SyncGroup", generation_id=gen, member_id=member, protocol_type="consumer", protocol_name="x") if v >= 5 else None
        ask("sync wrong generation", "SyncGroup", generation_id=gen + 5, member_id=member, protocol_type="consumer", protocol_name="range")
        ask("sync unknown member", "SyncGroup", generation_id=gen, member_id="nobody", protocol_type="consumer", protocol_name="range")
        ask("sync", "SyncGroup", generation_id=gen, member_id=member, protocol_type="consumer", protocol_name="range",
            assignments=[{"member_id": member, "assignment": b"mine"}])
        ask("sync again", "SyncGroup", generation_id=gen, member_id=member, protocol_type="consumer", protocol_name="range")
        for d in s.versions("DescribeGroups"):
            s.ask("DescribeGroups", d, f"stable (join v{v})", groups=[g], include_authorized_operations=v % 2 == 0)
        for label, values in [("good", {}), ("old", {"generation_id": gen - 1}), ("future", {"generation_id": gen + 1}),
                              ("unknown", {"member_id": "nobody"}), ("other group", {"group_id": "nothing"}), ("no group", {"group_id": ""}),
                              ("unknown instance", {"group_instance_id": "nothing"})]:
            if v >= 3 or "instance" not in label:
                ask("heartbeat " + label, "Heartbeat", **{"generation_id": gen, "member_id": member, **values})
        # From v4 on these would leave pending members behind, for which the next round waits.
        ask("other type", protocol_type="connect", member_id=member if v >= 4 else "")
        ask("other protocol", protocols=protocols("mine")) if v < 4 else None
        ask("other protocol of the same", member_id=member, protocols=protocols("mine"))
        for c in s.versions("OffsetCommit"):
            def commit(label, **more):
                partition = {"partition_index": 0, "committed_offset": 5, "committed_metadata": "note", "committed_leader_epoch": 0}
                partition.update(more.pop("partition", {}))
                s.ask("OffsetCommit", c, f"{label} (join v{v})", **{"group_id": g, "generation_id_or_member_epoch": gen, "member_id": member,
                      "topics": [{"name": "grouped", "partitions": [partition]}], **more})
            if v in (0, 5, 9):
                for label, more in [("good", {}), ("unknown member", {"member_id": "nobody"}), ("wrong generation", {"generation_id_or_member_epoch": gen + 3}),
                                    ("simple", {"generation_id_or_member_epoch": -1, "member_id": ""}), ("unknown partition", {"partition": {"partition_index": 9}}),
                                    ("unknown topic", {"topics": [{"name": "nothing", "partitions": [{"partition_index": 0, "committed_offset": 1, "committed_metadata": ""}]}]}),
                                    ("long note", {"partition": {"committed_metadata": "x" * 5000}}), ("null note", {"partition": {"committed_metadata": None}}),
                                    ("negative", {"partition": {"committed_offset": -7}}), ("no topics", {"topics": []}),
                                    ("new group", {"group_id": f"simple{c}", "generation_id_or_member_epoch": -1, "member_id": ""}),
                                    ("new group with generation", {"group_id": f"none{c}", "generation_id_or_member_epoch": 4, "member_id": "m"}),
                                    ("no group", {"group_id": ""})]:
                    commit(label, **more)
        named = [{"name": "grouped", "partition_indexes": [0, 1]}, {"name": "nothing", "partition_indexes": [0]}]
        for f in s.versions("OffsetFetch") if v in (0, 9) else ():
            for label, group, topics in [("named", g, named), ("all", g, None), ("none", g, []), ("unknown group", "nothing", named), ("no group", "", named)]:
                if topics is not None or f >= 2:
                    s.ask("OffsetFetch", f, f"{label} (join v{v})", group_id=group, topics=topics if f < 8 else [],
                          groups=[{"group_id": group, "topics": topics}], require_stable=True)
            if f >= 8:
                s.ask("OffsetFetch", f, "several", groups=[{"group_id": g, "topics": named}, {"group_id": "nothing", "topics": None}])
                # Left out: no groups at all, which Kafka never answers.
            if f >= 9:
                s.ask("OffsetFetch", f, "by epoch", groups=[{"group_id": g, "topics": named, "member_id": member, "member_epoch": 4}])
        ask("rejoins", member_id=member, protocols=protocols("range"))
        # A member with a name of its own.
        if v >= 5:
            static = {"group_id": g + "s", "group_instance_id": "inst", "protocols": protocols("range")}
            b = ask("static joins", **static)
            first = b["member_id"]
            ask("static syncs", "SyncGroup", version=5, group_id=g + "s", generation_id=b["generation_id"], member_id=first, group_instance_id="inst",
                protocol_type="consumer", protocol_name="range", assignments=[{"member_id": first, "assignment": b"s"}])
            b = ask("static joins again", **static)
            ask("static old id beats", "Heartbeat", version=4, group_id=g + "s", generation_id=b["generation_id"], member_id=first, group_instance_id="inst")
            ask("static beats", "Heartbeat", version=4, group_id=g + "s", generation_id=b["generation_id"], member_id=b["member_id"], group_instance_id="inst")
            ask("static described", "DescribeGroups", version=5, groups=[g + "s"])
            ask("static old id leaves", "LeaveGroup", version=4, group_id=g + "s", members=[{"member_id": first, "group_instance_id": "inst"}])
            ask("static leaves", "LeaveGroup", version=5, group_id=g + "s", members=[{"member_id": "", "group_instance_id": "inst", "reason": "r"}])
        leave = "LeaveGroup"
        ask("leaves unknown", leave, member_id="nobody", members=[{"member_id": "nobody"}, {"member_id": "", "group_instance_id": "x"}])
        ask("leaves other", leave, group_id="nothing", member_id=member, members=[{"member_id": member}])
        ask("leaves no group", leave, group_id="", member_id=member, members=[{"member_id": member}])
        ask("leaves", leave, member_id=member, members=[{"member_id": member}])
        ask("leaves again", leave, member_id=member, members=[{"member_id": member}])
        ask("leaves none", leave, member_id="", members=[])
        for d in s.versions("DescribeGroups"):
            s.ask("DescribeGroups", d, f"left (join v{v})", groups=[g, "nothing", ""])
    for v in s.versions("ListGroups"):
        s.ask("ListGroups", v, "all")
        for states in (["Stable"], ["empty"], ["Empty", "Dead"], ["nonsense"]) if v >= 4 else ():
            s.ask("ListGroups", v, f"{states}", states_filter=states)
        for types in (["classic"], ["consumer"], ["Classic"], ["nonsense"]) if v >= 5 else ():
            s.ask("ListGroups", v, f"types {types}", types_filter=types)
    s.ask("ConsumerGroupHeartbeat", 0, "", group_id="new", member_id="", member_epoch=0, rebalance_timeout_ms=1000,
          subscribed_topic_names=["grouped"], topic_partitions=[])
    s.ask("ConsumerGroupDescribe", 0, "", group_ids=["new", "g0"])
    s.ask("ConsumerGroupDescribe", 0, "none", group_ids=[])
