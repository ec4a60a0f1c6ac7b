//! Making batches: for the broker's own records, for re-compression, and for tests.

use bytes::{BufMut, Bytes};

use super::batch::{Attributes, BatchHeader, HEADER_BYTES};
use super::codec::{Codec, Compression};
use super::varint::{put_varint, put_varlong, varint_len, varlong_len};

/// Timestamp of a record that has none.
pub const NO_TIMESTAMP: i64 = -1;

/// Collects records and writes them as one v2 batch.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    compression: Compression,
    base_offset: i64,
    leader_epoch: i32,
    attributes: i16,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    /// Maximum timestamp to write instead of the records' own: the time of the append.
    append_time: Option<i64>,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
    last_offset_delta: i32,
    count: i32,
    records: Vec<u8>,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty, uncompressed batch at offset 0, without a producer.
    pub fn new() -> Self {
        Self {
            compression: Codec::None.into(),
            base_offset: 0,
            leader_epoch: -1,
            attributes: 0,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            append_time: None,
            base_timestamp: None,
            max_timestamp: NO_TIMESTAMP,
            last_offset_delta: -1,
            count: 0,
            records: Vec::new(),
        }
    }

    pub fn compression(mut self, compression: impl Into<Compression>) -> Self {
        self.compression = compression.into();
        self
    }

    pub fn base_offset(mut self, offset: i64) -> Self {
        self.base_offset = offset;
        self
    }

    pub fn leader_epoch(mut self, epoch: i32) -> Self {
        self.leader_epoch = epoch;
        self
    }

    /// Further bits of [`Attributes`]; codec and timestamp type are set by their own methods.
    pub fn attributes(mut self, bits: i16) -> Self {
        self.attributes = bits & !7 & !Attributes::LOG_APPEND_TIME;
        self
    }

    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> Self {
        (self.producer_id, self.producer_epoch, self.base_sequence) = (id, epoch, base_sequence);
        self
    }

    /// Marks the batch as stamped by the log (`LogAppendTime`).
    pub fn log_append_time(mut self, time: i64) -> Self {
        self.append_time = Some(time);
        self
    }

    /// Adds a record after the ones before it.
    pub fn push(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        let delta = self.last_offset_delta + 1;
        self.push_at(delta, timestamp, key, value, headers);
    }

    /// Adds a record at an offset delta of its own choice; deltas must grow.
    pub fn push_at(
        &mut self,
        offset_delta: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&[u8], Option<&[u8]>)],
    ) {
        let base_timestamp = *self.base_timestamp.get_or_insert(timestamp);
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.last_offset_delta = offset_delta;
        self.count += 1;

        let timestamp_delta = timestamp.wrapping_sub(base_timestamp);
        let sized = |bytes: Option<&[u8]>| bytes.map_or(1, |bytes| varint_len(bytes.len() as i32) + bytes.len());
        let length = 1
            + varlong_len(timestamp_delta)
            + varint_len(offset_delta)
            + sized(key)
            + sized(value)
            + varint_len(headers.len() as i32)
            + headers.iter().map(|(key, value)| sized(Some(key)) + sized(*value)).sum::<usize>();

        let out = &mut self.records;
        out.reserve(length + 5);
        put_varint(out, length as i32);
        out.put_i8(0);
        put_varlong(out, timestamp_delta);
        put_varint(out, offset_delta);
        put_bytes(out, key);
        put_bytes(out, value);
        put_varint(out, headers.len() as i32);
        for (key, value) in headers {
            put_bytes(out, Some(key));
            put_bytes(out, *value);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Records so far.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Bytes of the batch if it were built now without compression.
    pub fn uncompressed_size(&self) -> usize {
        HEADER_BYTES + self.records.len()
    }

    /// The batch.
    pub fn build(self) -> Bytes {
        let records = match self.compression.codec {
            Codec::None => self.records,
            _ => self.compression.compress(&self.records),
        };
        let stamped = if self.append_time.is_some() { Attributes::LOG_APPEND_TIME } else { 0 };
        let mut header = BatchHeader {
            magic: 2,
            base_offset: self.base_offset,
            batch_length: (HEADER_BYTES - 12 + records.len()) as i32,
            partition_leader_epoch: self.leader_epoch,
            crc: 0,
            attributes: Attributes(self.attributes | self.compression.codec.id() | stamped),
            last_offset_delta: self.last_offset_delta,
            base_timestamp: self.base_timestamp.unwrap_or(NO_TIMESTAMP),
            max_timestamp: self.append_time.unwrap_or(self.max_timestamp),
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            records_count: self.count,
        };
        header.crc = header.compute_crc(&records);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + records.len());
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(&records);
        bytes.into()
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i32);
            out.extend_from_slice(bytes);
        }
    }
}
