//! Making messages of magic 0 and 1: for old consumers, and for topics kept in an old format.

use bytes::BufMut;

use super::codec::{Codec, Compression, lz4_frame_with_checksum_of_magic_0};

/// Offset and size, in front of every message.
const OVERHEAD: usize = 12;
/// The attribute bit that says that the log stamped a message.
const LOG_APPEND_TIME: u8 = 1 << 3;

/// Collects records and writes them as a message set: one message each, or one wrapper around all.
///
/// Source: `MemoryRecordsBuilder` of Kafka 3.9, for magic below 2.
#[derive(Clone, Debug)]
pub struct MessageSetBuilder {
    magic: i8,
    compression: Compression,
    append_time: Option<i64>,
    first_offset: Option<i64>,
    last_offset: i64,
    /// Largest timestamp and the offset that has it first.
    max_timestamp: (i64, i64),
    set: Vec<u8>,
    count: i32,
}

impl MessageSetBuilder {
    /// An empty set. `append_time`: the time that the log stamps on all of them. There is no zstd before magic 2.
    pub fn new(magic: i8, compression: Compression, append_time: Option<i64>) -> Self {
        Self {
            magic,
            compression,
            append_time,
            first_offset: None,
            last_offset: -1,
            max_timestamp: (-1, -1),
            set: Vec::new(),
            count: 0,
        }
    }

    fn wraps(&self) -> bool {
        self.compression.codec != Codec::None
    }

    /// Adds a record; offsets must grow. Magic 0 has no place for the timestamp.
    pub fn push(&mut self, offset: i64, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        let first = *self.first_offset.get_or_insert(offset);
        let timestamp = self.append_time.unwrap_or(timestamp);
        if self.magic > 0 && timestamp > self.max_timestamp.0 {
            self.max_timestamp = (timestamp, offset);
        }
        self.last_offset = offset;
        self.count += 1;
        let relative = self.wraps() && self.magic > 0;
        let head = Head { magic: self.magic, codec: Codec::None, stamped: self.append_time.is_some(), timestamp };
        head.put_message(&mut self.set, if relative { offset - first } else { offset }, key, value);
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Records so far.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    pub fn last_offset(&self) -> i64 {
        self.last_offset
    }

    /// The largest timestamp and the offset of its batch, which is the last one of a wrapper; (-1, -1) in magic 0.
    pub fn max_timestamp(&self) -> (i64, i64) {
        match self.max_timestamp {
            (timestamp, _) if timestamp >= 0 && self.wraps() => (timestamp, self.last_offset),
            found => found,
        }
    }

    /// Moves all offsets up.
    pub(super) fn shift(&mut self, by: i64) {
        self.first_offset = self.first_offset.map(|first| first + by);
        self.last_offset += by;
        if self.max_timestamp.1 >= 0 {
            self.max_timestamp.1 += by;
        }
        if !self.wraps() || self.magic == 0 {
            shift_offsets(&mut self.set, by);
        }
    }

    /// The set.
    pub fn build(self) -> Vec<u8> {
        if !self.wraps() || self.is_empty() {
            return self.set;
        }
        let mut value = self.compression.compress(&self.set);
        if self.magic == 0 && self.compression.codec == Codec::Lz4 {
            lz4_frame_with_checksum_of_magic_0(&mut value);
        }
        let timestamp = self.max_timestamp.0;
        let head =
            Head { magic: self.magic, codec: self.compression.codec, stamped: self.append_time.is_some(), timestamp };
        let mut out = Vec::with_capacity(value.len() + 34);
        head.put_message(&mut out, self.last_offset, None, Some(&value));
        out
    }
}

/// Adds to the offset of each message of a sound set that is not compressed.
pub(super) fn shift_offsets(set: &mut [u8], by: i64) {
    for_each_message(set, |message| {
        let offset = i64::from_be_bytes(message[..8].try_into().expect("eight bytes"));
        message[..8].copy_from_slice(&(offset + by).to_be_bytes());
    });
}

/// Visits the bytes of each message of a sound set.
pub(super) fn for_each_message(mut set: &mut [u8], mut visit: impl FnMut(&mut [u8])) {
    while set.len() >= OVERHEAD {
        let size = i32::from_be_bytes(set[8..OVERHEAD].try_into().expect("four bytes")) as usize + OVERHEAD;
        let (message, rest) = set.split_at_mut(size);
        visit(message);
        set = rest;
    }
}

/// Gives a magic 1 message its timestamp and timestamp type; the CRC is computed only if they differ.
pub(super) fn restamp(message: &mut [u8], stamped: bool, timestamp: i64) {
    let attributes = message[17] & !LOG_APPEND_TIME | if stamped { LOG_APPEND_TIME } else { 0 };
    if message[17] != attributes || message[18..26] != timestamp.to_be_bytes() {
        message[17] = attributes;
        message[18..26].copy_from_slice(&timestamp.to_be_bytes());
        let crc = crc32fast::hash(&message[16..]);
        message[12..16].copy_from_slice(&crc.to_be_bytes());
    }
}

/// What stands before a message's key.
struct Head {
    magic: i8,
    codec: Codec,
    stamped: bool,
    timestamp: i64,
}

impl Head {
    fn put_message(&self, out: &mut Vec<u8>, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) {
        let start = out.len();
        out.put_i64(offset);
        out.put_i64(0); // size and CRC, below
        out.put_i8(self.magic);
        let stamped = if self.stamped && self.magic > 0 { LOG_APPEND_TIME } else { 0 };
        out.put_u8(self.codec.id() as u8 | stamped);
        if self.magic > 0 {
            out.put_i64(self.timestamp);
        }
        for bytes in [key, value] {
            out.put_i32(bytes.map_or(-1, |bytes| bytes.len() as i32));
            out.extend_from_slice(bytes.unwrap_or_default());
        }
        let size = (out.len() - start - OVERHEAD) as i32;
        out[start + 8..start + 12].copy_from_slice(&size.to_be_bytes());
        let crc = crc32fast::hash(&out[start + 16..]);
        out[start + 12..start + 16].copy_from_slice(&crc.to_be_bytes());
    }
}
