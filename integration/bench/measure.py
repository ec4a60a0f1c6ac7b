"""What a broker process costs, read from /proc, and the smallest client that can ask it for Metadata."""

import os
import pathlib
import socket
import struct
from typing import NamedTuple

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Cpu(NamedTuple):
    """CPU seconds of one process or several."""

    user: float
    system: float

    @property
    def total(self):
        return self.user + self.system

    def __sub__(self, earlier):
        return Cpu(self.user - earlier.user, self.system - earlier.system)

    @staticmethod
    def of(pids):
        fields = [pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
        return Cpu(sum(int(f[11]) for f in fields) / TICKS_PER_S, sum(int(f[12]) for f in fields) / TICKS_PER_S)


def resident_mib(pid):
    """(now, peak) resident memory."""
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return tuple(int(status[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))


def receive(connection, length):
    parts = b""
    while len(parts) < length:
        part = connection.recv(length - len(parts))
        if not part:
            raise ConnectionError("closed")
        parts += part
    return parts


def brokers_listed(port):
    """Ids in the answer to one Metadata request (version 1, no topics) on a connection of its own."""
    request = struct.pack(">hhih", 3, 1, 1, -1) + struct.pack(">i", 0)
    with socket.create_connection(("127.0.0.1", port), 2) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        answer = receive(connection, struct.unpack(">i", receive(connection, 4))[0])
    at, ids = 8, []
    for _ in range(struct.unpack_from(">i", answer, 4)[0]):
        id, host_length = struct.unpack_from(">ih", answer, at)
        at += 6 + host_length + 4
        rack_length = struct.unpack_from(">h", answer, at)[0]
        at += 2 + max(rack_length, 0)
        ids.append(id)
    return ids
