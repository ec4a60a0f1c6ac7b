"""One of the two brokers under comparison: asks it, and writes down what it answers in a form free of chance."""

import base64
import gzip
import re
import uuid

from harness import wait_until
from oracle_wire import APIS, ZERO_ID, Closed, Socket, decode, encode

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

# Answers in which real Kafka gives the order of a hash map: compared as sets.
UNORDERED = {
    ("Metadata", "topics"), ("CreateTopics", "topics"), ("CreateTopics", "configs"), ("DeleteTopics", "responses"),
    ("CreatePartitions", "results"), ("DescribeConfigs", "configs"), ("DescribeConfigs", "results"),
    ("ListGroups", "groups"), ("OffsetFetch", "topics"), ("OffsetFetch", "partitions"), ("DescribeGroups", "members"),
    ("JoinGroup", "members"), ("Fetch", "responses"), ("Fetch", "partitions"), ("Produce", "responses"), ("Produce", "partition_responses"),
    ("ListOffsets", "topics"), ("ListOffsets", "partitions"), ("OffsetForLeaderEpoch", "topics"),
    ("OffsetCommit", "topics"), ("OffsetForLeaderEpoch", "partitions"), ("StopReplica", "partition_errors"),
    ("AddPartitionsToTxn", "results_by_topic_v3_and_below"), ("AddPartitionsToTxn", "topic_results"),
    ("AddPartitionsToTxn", "results_by_partition"), ("TxnOffsetCommit", "topics"), ("WriteTxnMarkers", "markers"),
    ("WriteTxnMarkers", "topics"), ("WriteTxnMarkers", "partitions"), ("ListTransactions", "unknown_state_filters"),
    ("LeaderAndIsr", "partition_errors"), ("LeaderAndIsr", "topics"), ("Metadata", "partitions"),
    ("DeleteRecords", "topics"), ("DeleteRecords", "partitions"), ("AlterReplicaLogDirs", "results"),
    ("AlterReplicaLogDirs", "partitions"),
}


class Side:
    def __init__(self, cluster, offered):
        self.broker = cluster.brokers[0]
        self.port, self.offered = self.broker.port, offered
        self.texts = {str(cluster.connect): "ZOOKEEPER", str(self.broker.settings["log.dirs"]): "DIR",
                      str(self.port): "PORT"}
        self.reset()

    def reset(self):
        """Begins a new transcript."""
        self.transcript, self.aliases, self.sockets, self.correlation = [], {}, {}, 0
        return self

    def versions(self, name, first=0, last=99):
        low, high = self.offered[name]
        return range(max(low, first), min(high, last) + 1)

    def socket(self, name):
        if name not in self.sockets:
            self.sockets[name] = Socket(self.port)
        return self.sockets[name]

    def close(self):
        for open_socket in self.sockets.values():
            open_socket.close()
        self.sockets = {}

    # Asking

    def send(self, name, version, on="main", client="oracle", body=None, **values):
        self.correlation += 1
        self.socket(on).send(encode(APIS[name], version, self.correlation, client, values, body))
        return self.correlation

    def receive(self, name, version, on="main"):
        correlation, message = decode(APIS[name], version, self.socket(on).receive())
        return correlation, message

    def quiet(self, name, version, **values):
        """An answer that is not compared."""
        return self.exchange(name, version, **values)

    def exchange(self, name, version, on="main", **values):
        try:
            sent = self.send(name, version, on=on, **values)
            correlation, message = self.receive(name, version, on=on)
        except Closed:
            self.sockets.pop(on).close()
            return None
        assert correlation == sent
        return message

    def ask(self, name, version, label="", **values):
        """An answer that is compared; None if the connection was closed."""
        message = self.exchange(name, version, **values)
        self.note(f"{name} v{version} {label}", message, name)
        return message

    def note(self, label, message, name=""):
        self.transcript.append((label, "closed" if message is None else self.plain(message, name)))

    def until(self, condition, name, version, **values):
        """Repeats a request until the answer meets the condition."""
        def attempt():
            message = self.exchange(name, version, **values)
            return message if message is not None and condition(message) else None
        return wait_until(attempt, 30, f"{name} {values} on port {self.port}")

    # What is written down

    def alias(self, kind, value):
        key = (kind, value)
        if key not in self.aliases:
            self.aliases[key] = f"{kind}#{sum(k == kind for k, _ in self.aliases)}"
        return self.aliases[key]

    def text(self, value):
        value = re.sub(r"should be within \[.*\]", "should be within []", value)
        for found, stands_for in self.texts.items():
            # A port may stand within an id.
            value = re.sub(rf"(?<![0-9A-Za-z-]){re.escape(found)}(?![0-9A-Za-z-])" if found.isdigit() else re.escape(found), stands_for, value)
        for (kind, known), stands_for in self.aliases.items():
            if kind == "id" and UUID.fullmatch(known):
                value = value.replace(base64.urlsafe_b64encode(uuid.UUID(known).bytes).decode().rstrip("="), stands_for)
        return UUID.sub(lambda m: self.alias("id", m[0]), value)

    def plain(self, value, api, field=""):
        if isinstance(value, dict):
            return {k: self.plain(v, api, k) for k, v in value.items()}
        if isinstance(value, list):
            items = [self.plain(v, api, field) for v in value]
            return sorted(items, key=repr) if (api, field) in UNORDERED else items
        if isinstance(value, bytes):
            return self.records(value) if field == "records" else value.hex()
        if isinstance(value, str):
            if field == "cluster_id":
                return "CLUSTER"
            return value if value == ZERO_ID else self.text(value)
        if field == "port" and value == self.port:
            return "PORT"
        if field == "log_append_time_ms" and value != -1:
            return "NOW"
        if field == "session_id" and value:
            return self.alias("session", value)
        if field == "producer_id" and value != -1:
            return self.alias("producer", value)
        return value

    @staticmethod
    def records(raw):
        """Record batches and messages in hexadecimal; the time of the append and the checksum over it are left out. What is
        compressed with gzip depends on the library: its contents are compared, and not what follows from its size."""
        out, at, compressed = [], 0, False
        while at + 17 <= len(raw):
            size = 12 + int.from_bytes(raw[at + 8:at + 12], "big")
            part = bytearray(raw[at:at + size])
            if part[16] == 2 and len(part) > 43 and part[22] & 8:
                part[17:21], part[35:43] = bytes(4), bytes(8)
            old = part[16] < 2 and len(part) == size
            if old and part[16] == 1 and part[17] & 8:
                part[12:16], part[18:26] = bytes(4), bytes(8)
            if len(part) == size and part[22 if part[16] == 2 else 17] & 7 == 1:
                compressed = True
                crc = slice(12, 16) if old else slice(17, 21)
                part[8:12], part[crc] = bytes(4), bytes(4)
                begin = {0: 26, 1: 34, 2: 61}[part[16]]
                if old:
                    part[begin - 4:begin] = bytes(4)
                inside = gzip.decompress(part[begin:])
                part[begin:] = b"" if old else inside
                if old:
                    out.append({"wrapper": part.hex(), "inside": Side.records(inside)})
                    at += size
                    continue
            out.append(part.hex())
            at += size
        if compressed and out and at > len(raw):
            out.pop()
        return out + ([raw[at:].hex()] if at < len(raw) and not compressed else [])


def differences(kafka, ours, path=""):
    """(path, Kafka's value, our value) of all that differs."""
    if isinstance(kafka, dict) and isinstance(ours, dict):
        out = []
        for key in sorted({**kafka, **ours}):
            out += differences(kafka.get(key, "absent"), ours.get(key, "absent"), f"{path}.{key}")
        return out
    if isinstance(kafka, list) and isinstance(ours, list):
        keys = [next((k for k in ("name", "topic", "group_id", "api_key", "partition_index") if isinstance(v, dict) and k in v), None)
                for v in kafka + ours]
        if keys and keys[0] and len(set(keys)) == 1 and len({str(v[keys[0]]) for v in kafka}) == len(kafka):
            key = keys[0]
            if [v[key] for v in kafka] != [v[key] for v in ours]:
                by = [{str(v[key]): v for v in side} for side in (kafka, ours)]
                order = [] if set(by[0]) != set(by[1]) else [(path, f"order {list(by[0])}", f"order {list(by[1])}")]
                return order + differences(*by, path)
        elif len(kafka) != len(ours):
            return [(path, kafka, ours)]
        if len(kafka) == len(ours):
            return [d for n, (k, o) in enumerate(zip(kafka, ours)) for d in differences(k, o, f"{path}[{n}]")]
    return [] if kafka == ours and type(kafka) is type(ours) else [(path, kafka, ours)]
