"""Kafka's messages driven by schema/*.messages: encoder of requests, decoder of answers, and a plain connection.

Messages are dicts by field name. This is a second reader of the schema, independent of the generated Rust, so a slip in
the generator shows up as a difference from real Kafka."""

import socket
import struct
import uuid as uuids

from harness import ROOT

NUMBERS = {"bool": "?", "i8": "b", "i16": "h", "u16": "H", "i32": "i", "u32": "I", "i64": "q", "f64": "d"}
ZERO_ID = str(uuids.UUID(int=0))


def versions_of(text, last):
    if text.endswith("+"):
        return int(text[:-1]), last
    first, _, end = text.partition("-")
    return int(first), int(end or first)


class Field:
    def __init__(self, words, last):
        self.name, kind, *rest = words
        kind, _, _ = kind.partition("?")
        self.nullable = "?" in words[1]
        self.array = kind.startswith("[")
        self.base = kind.strip("[]")
        self.default, self.versions, self.tag = None, (0, last), None
        while rest:
            if rest[0] == "=":
                self.default, rest = rest[1], rest[2:]
            elif rest[0] == "tag":
                self.tag, rest = int(rest[1]), rest[2:]
            else:
                self.versions, rest = versions_of(rest[0], last), rest[1:]

    def within(self, version):
        return self.versions[0] <= version <= self.versions[1]

    def initial(self):
        if self.default is not None and not self.array and self.base in NUMBERS:
            return {"true": True, "false": False}.get(self.default) if self.base == "bool" else int(self.default, 0)
        if self.default == "null":
            return None
        if self.array:
            return []
        if self.base in NUMBERS:
            return False if self.base == "bool" else 0
        return {"string": self.default or "", "uuid": ZERO_ID, "bytes": b"", "records": None}.get(self.base, {})


class Api:
    """One API: `request` and `response` are struct names in `structs`."""

    def __init__(self, key, name, versions, flexible):
        self.key, self.name = int(key), name
        self.first, self.last = versions_of(versions, 0)
        self.flexible_from = 32767 if flexible == "never" else versions_of(flexible, self.last)[0]
        self.structs = {}

    def flexible(self, version):
        return version >= self.flexible_from


def load():
    apis = {}
    for path in sorted((ROOT / "schema").glob("[0-9]*.messages")):
        api, open_structs = None, []
        for line in path.read_text().splitlines():
            code = line.partition("#")[0]
            words = code.split()
            if not words:
                continue
            if words[0] == "api":
                api = Api(words[1], words[2], words[4], words[6])
                apis[api.name] = api
            elif words[0] in ("request", "response") and not code.startswith(" "):
                open_structs = [api.structs.setdefault(words[0], [])]
            else:
                level = (len(code) - len(code.lstrip(" "))) // 2
                field = Field(words, api.last)
                del open_structs[level:]
                open_structs[level - 1].append(field)
                if field.base not in NUMBERS and field.base[0].isupper() and field.base not in api.structs:
                    # A struct named by the request and by the response is described once.
                    open_structs.append(api.structs.setdefault(field.base, []))
        assert api
    return apis


def uvarint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


class Encoder:
    def __init__(self, api, version):
        self.api, self.version, self.flexible = api, version, api.flexible(version)

    def length(self, n, short=False):
        if self.flexible:
            return uvarint(0 if n is None else n + 1)
        return struct.pack(">h" if short else ">i", -1 if n is None else n)

    def value(self, field, value, array):
        if array:
            if value is None:
                return self.length(None)
            return self.length(len(value)) + b"".join(self.value(field, v, False) for v in value)
        if field.base in NUMBERS:
            return struct.pack(">" + NUMBERS[field.base], value)
        if field.base == "uuid":
            return uuids.UUID(value).bytes
        if field.base == "string":
            raw = None if value is None else value.encode()
            return self.length(None if raw is None else len(raw), True) + (raw or b"")
        if field.base in ("bytes", "records"):
            return self.length(None if value is None else len(value)) + (value or b"")
        prefix = b""
        if field.nullable and not field.array:
            if value is None:
                return b"\xff"
            prefix = b"\x01"
        return prefix + self.struct(field.base, value)

    def struct(self, name, values):
        fields = [f for f in self.api.structs[name] if f.within(self.version)]
        unknown = set(values) - {f.name for f in self.api.structs[name]}
        assert not unknown, f"{self.api.name}.{name} has no fields {unknown}"
        out = b"".join(self.value(f, values.get(f.name, f.initial()), f.array) for f in fields if f.tag is None)
        if self.flexible:
            tagged = [f for f in fields if f.tag is not None and f.name in values]
            out += uvarint(len(tagged))
            for f in sorted(tagged, key=lambda f: f.tag):
                raw = self.value(f, values[f.name], f.array)
                out += uvarint(f.tag) + uvarint(len(raw)) + raw
        return out


class Decoder:
    def __init__(self, api, version, raw):
        self.api, self.version, self.flexible, self.raw, self.at = api, version, api.flexible(version), raw, 0

    def take(self, n):
        assert n >= 0 and self.at + n <= len(self.raw), f"{self.api.name} v{self.version}: the answer is too short"
        self.at += n
        return self.raw[self.at - n:self.at]

    def unpack(self, code):
        return struct.unpack(">" + code, self.take(struct.calcsize(">" + code)))[0]

    def uvarint(self):
        n = shift = 0
        while True:
            b = self.take(1)[0]
            n, shift = n | (b & 127) << shift, shift + 7
            if b < 128:
                return n

    def length(self, short=False):
        if self.flexible:
            return self.uvarint() - 1
        return self.unpack("h" if short else "i")

    def value(self, field, array):
        if array:
            n = self.length()
            return None if n < 0 else [self.value(field, False) for _ in range(n)]
        if field.base in NUMBERS:
            return self.unpack(NUMBERS[field.base])
        if field.base == "uuid":
            return str(uuids.UUID(bytes=self.take(16)))
        if field.base in ("string", "bytes", "records"):
            n = self.length(field.base == "string")
            raw = None if n < 0 else self.take(n)
            return raw.decode() if raw is not None and field.base == "string" else raw
        if field.nullable and not field.array and self.unpack("b") < 0:
            return None
        return self.struct(field.base)

    def struct(self, name):
        fields = [f for f in self.api.structs[name] if f.within(self.version)]
        out = {f.name: self.value(f, f.array) for f in fields if f.tag is None}
        if self.flexible:
            tags = {f.tag: f for f in fields if f.tag is not None}
            for _ in range(self.uvarint()):
                tag, size = self.uvarint(), self.uvarint()
                end = self.at + size
                if tag in tags:
                    out[tags[tag].name] = self.value(tags[tag], tags[tag].array)
                else:
                    out[f"tag {tag}"] = self.take(size)
                assert self.at == end, f"tag {tag} of {self.api.name}.{name}"
        return out


APIS = load()


def encode(api, version, correlation, client_id, values, body=None):
    """A request without its length prefix; `body` in place of the encoded values."""
    head = struct.pack(">hhi", api.key, version, correlation)
    if not (api.name == "ControlledShutdown" and version == 0):
        raw = None if client_id is None else client_id.encode()
        head += struct.pack(">h", -1 if raw is None else len(raw)) + (raw or b"")
    if api.flexible(version):
        head += b"\0"
    return head + (Encoder(api, version).struct("request", values) if body is None else body)


def decode(api, version, frame):
    """Correlation id and message of an answer without its length prefix."""
    decoder = Decoder(api, version, frame)
    correlation = decoder.unpack("i")
    if api.flexible(version) and api.name != "ApiVersions":
        assert decoder.uvarint() == 0, "tags in a response header"
    message = decoder.struct("response")
    assert decoder.at == len(frame), f"{api.name} v{version}: {len(frame) - decoder.at} bytes after the answer"
    return correlation, message


class Closed(Exception):
    """The broker closed the connection instead of answering."""


class Socket:
    """A connection that sends and receives frames."""

    def __init__(self, port, timeout_s=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, frame):
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)

    def take(self, n):
        out = b""
        while len(out) < n:
            try:
                part = self.socket.recv(n - len(out))
            except ConnectionError:
                part = b""
            if not part:
                raise Closed()
            out += part
        return out

    def receive(self):
        return self.take(struct.unpack(">i", self.take(4))[0])

    def close(self):
        self.socket.close()


def crc32c(data, table=[]):
    if not table:
        for n in range(256):
            for _ in range(8):
                n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
            table.append(n)
    crc = 0xFFFFFFFF
    for b in data:
        crc = crc >> 8 ^ table[(crc ^ b) & 255]
    return crc ^ 0xFFFFFFFF


def zigzag(n):
    return uvarint((n << 1 ^ n >> 63) & (1 << 64) - 1)


def batch(*records, base=0, timestamp=1_700_000_000_000, producer=(-1, -1, -1), attributes=0, magic=2, epoch=-1,
          bad_crc=False, count=None, last_delta=None):
    """A record batch; a record is a value, or (key, value)."""
    body = b""
    for n, record in enumerate(records):
        key, value = record if isinstance(record, tuple) else (None, record)
        inner = b"\0" + zigzag(n) + zigzag(n)
        for part in (key, value):
            inner += zigzag(-1 if part is None else len(part)) + (part or b"")
        inner += zigzag(0)
        body += zigzag(len(inner)) + inner
    n = len(records)
    tail = struct.pack(">hiqqqhii", attributes, n - 1 if last_delta is None else last_delta, timestamp,
                       timestamp + max(n - 1, 0), *producer, n if count is None else count) + body
    crc = crc32c(tail) ^ (1 if bad_crc else 0)
    return struct.pack(">qiibI", base, len(tail) + 9, epoch, magic, crc) + tail


def message_set(value, magic=1, timestamp=1_700_000_000_000, bad_crc=False, offset=0, attributes=0, key=None):
    """One message of the formats before record batches (magic 0 and 1)."""
    import zlib
    inner = struct.pack(">bb", magic, attributes) + (struct.pack(">q", timestamp) if magic else b"")
    for part in (key, value):
        inner += struct.pack(">i", -1) if part is None else struct.pack(">i", len(part)) + part
    message = struct.pack(">I", zlib.crc32(inner) ^ (1 if bad_crc else 0)) + inner
    return struct.pack(">qi", offset, len(message)) + message


def wrapped(messages, magic=1, codec=1, **more):
    """A wrapper around messages; gzip is real, other codecs only claimed."""
    import gzip
    return message_set(gzip.compress(messages, mtime=0), magic, attributes=codec, **more)


