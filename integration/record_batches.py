"""Record batches of every codec, made and read here, so that tests need not trust the brokers' own code.

Formats: KIP-98 (batches), KIP-57 (lz4 frames), the xerial framing of snappy; codecs come from the package cramjam."""

import struct
import zlib

import cramjam

from oracle_wire import crc32c, uvarint, zigzag

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
XERIAL = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
LZ4_HEAD = bytes.fromhex("04224d18604082")


def compress(codec, raw):
    if codec == GZIP:
        stream = zlib.compressobj(6, zlib.DEFLATED, 31)
        return stream.compress(raw) + stream.flush()
    if codec == SNAPPY:
        out = XERIAL
        for at in range(0, len(raw), 32768) or [0]:
            block = bytes(cramjam.snappy.compress_raw(raw[at:at + 32768]))
            out += struct.pack(">i", len(block)) + block
        return out
    if codec == LZ4:
        out = LZ4_HEAD
        for at in range(0, len(raw), 65536):
            block = bytes(cramjam.lz4.compress_block(raw[at:at + 65536], store_size=False))
            out += struct.pack("<I", len(block)) + block
        return out + bytes(4)
    if codec == ZSTD:
        return bytes(cramjam.zstd.compress(raw))
    return raw


def decompress(codec, data):
    if codec == GZIP:
        return zlib.decompress(data, 31)
    if codec == SNAPPY:
        if not data.startswith(XERIAL[:8]):
            return bytes(cramjam.snappy.decompress_raw(data))
        out, at = b"", 16
        while at < len(data):
            size = struct.unpack_from(">i", data, at)[0]
            out += bytes(cramjam.snappy.decompress_raw(data[at + 4:at + 4 + size]))
            at += 4 + size
        return out
    if codec == LZ4:
        return bytes(cramjam.lz4.decompress(data))
    if codec == ZSTD:
        return bytes(cramjam.zstd.decompress(data))
    return data


def batch(records, codec=NONE, base=0, timestamps=None, producer=(-1, -1, -1), attributes=0, epoch=-1, bad_crc=False,
          count=None, last_delta=None, magic=2):
    """A batch of (key, value, headers); a header is (name, value). `producer`: id, epoch, base sequence."""
    timestamps = timestamps or [1_700_000_000_000 + n for n in range(len(records))]
    first = timestamps[0] if timestamps else -1
    body = b""
    for n, (key, value, headers) in enumerate(records):
        inner = b"\0" + zigzag(timestamps[n] - first) + zigzag(n) + sized(key) + sized(value) + zigzag(len(headers))
        for name, content in headers:
            inner += sized(name.encode()) + sized(content)
        body += zigzag(len(inner)) + inner
    n = len(records)
    tail = struct.pack(">hiqqqhii", attributes | codec, n - 1 if last_delta is None else last_delta, first,
                       max(timestamps, default=-1), *producer, n if count is None else count) + compress(codec, body)
    return struct.pack(">qiibI", base, len(tail) + 9, epoch, magic, crc32c(tail) ^ bad_crc) + tail


def sized(part):
    return zigzag(-1) if part is None else zigzag(len(part)) + part


def unzigzag(data, at):
    n = shift = 0
    while True:
        n |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return n >> 1 ^ -(n & 1), at


def slices(log):
    """(position, bytes) of each batch or old message of a segment."""
    at = 0
    while at + 12 <= len(log):
        size = 12 + struct.unpack_from(">i", log, at + 8)[0]
        yield at, log[at:at + size]
        at += size


HEADER = ["base_offset", "length", "leader_epoch", "magic", "crc", "attributes", "last_offset_delta", "base_timestamp",
          "max_timestamp", "producer_id", "producer_epoch", "base_sequence", "count"]


def header(raw):
    return dict(zip(HEADER, struct.unpack_from(">qiibIhiqqqhii", raw)))


def records(raw):
    """[(offset, timestamp, key, value, headers)] of a batch of magic 2."""
    head = header(raw)
    data, at, out = decompress(head["attributes"] & 7, raw[61:]), 0, []
    for _ in range(head["count"]):
        size, at = unzigzag(data, at)
        end = at + size
        delta_ms, at = unzigzag(data, at + 1)
        delta, at = unzigzag(data, at)
        key, at = part(data, at)
        value, at = part(data, at)
        count, at = unzigzag(data, at)
        headers = []
        for _ in range(count):
            name, at = part(data, at)
            content, at = part(data, at)
            headers.append((name, content))
        assert at == end, "a record is longer than it says"
        stamp = head["max_timestamp"] if head["attributes"] & 8 else head["base_timestamp"] + delta_ms
        out.append((head["base_offset"] + delta, stamp, key, value, headers))
    return out


def part(data, at):
    size, at = unzigzag(data, at)
    return (None, at) if size < 0 else (data[at:at + size], at + size)


__all__ = ["batch", "records", "header", "slices", "compress", "decompress", "uvarint"]
