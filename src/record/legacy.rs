//! Messages of magic 0 and 1: what came before record batches.
//!
//! ```text
//! offset i64 | size i32 | crc u32 | magic i8 | attributes i8 | timestamp i64 (magic 1) | key length i32, key | value length i32, value
//! ```
//!
//! A wrapper's value is a compressed set of such messages. It carries the offset of its last message; the offsets
//! inside are absolute in magic 0, and relative in magic 1 (KIP-31). Source: `LegacyRecord` and
//! `AbstractLegacyRecordBatch` of Kafka 3.9.

use bytes::{Buf, Bytes};

use super::batch::Batch;
use super::codec::{Codec, DECOMPRESSED_LIMIT_BYTES, lz4_frame_of_magic_0};
use super::records::{Record, RecordError, codec_of};

/// Offset and size, in front of every message.
const OVERHEAD: usize = 12;
/// Where a message's attributes are.
const ATTRIBUTES_AT: usize = 17;

/// Bytes up to the key's length.
pub(super) fn header_bytes(magic: i8) -> usize {
    if magic == 0 { 18 } else { 26 }
}

/// Bytes of the smallest message: neither key nor value.
pub(super) fn min_bytes(magic: i8) -> usize {
    header_bytes(magic) + 8
}

/// A message of magic 0 or 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Absolute, if it came out of [`Messages`].
    pub offset: i64,
    pub magic: i8,
    /// `None` for an id that nobody has defined.
    pub codec: Option<Codec>,
    /// -1 in magic 0; the time of the append if its wrapper says so.
    pub timestamp: i64,
    /// Does it say itself that the log stamped it?
    pub stamped: bool,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    /// From the offset on.
    bytes: Bytes,
}

impl Message {
    /// Reads a message that is there as a whole; the CRC is not checked.
    fn read(bytes: Bytes) -> Result<Self, RecordError> {
        let magic = *bytes.get(16).ok_or(RecordError::Corrupt("a message is cut off"))? as i8;
        if !matches!(magic, 0 | 1) {
            return Err(RecordError::Invalid("a message in a wrapper is of another magic"));
        }
        if bytes.len() < min_bytes(magic) {
            return Err(RecordError::Corrupt("a message is smaller than any can be"));
        }
        let mut rest = bytes.clone();
        let offset = rest.get_i64();
        rest.advance(ATTRIBUTES_AT - 8);
        let attributes = rest.get_u8();
        let codec = Codec::from_id(i16::from(attributes & 7));
        let stamped = magic > 0 && attributes & 8 != 0;
        let timestamp = if magic == 0 { -1 } else { rest.get_i64() };
        let (key, value) = (take_sized(&mut rest)?, take_sized(&mut rest)?);
        Ok(Self { offset, magic, codec, timestamp, stamped, key, value, bytes })
    }

    /// The CRC-32 that is written.
    pub fn crc(&self) -> u32 {
        u32::from_be_bytes([self.bytes[12], self.bytes[13], self.bytes[14], self.bytes[15]])
    }

    /// Is the CRC that of the bytes?
    pub fn crc_holds(&self) -> bool {
        self.crc() == crc32fast::hash(&self.bytes[16..])
    }

    /// Key and value with offset and timestamp.
    pub fn into_record(self) -> Record {
        let Self { offset, timestamp, key, value, .. } = self;
        Record { offset, timestamp, key, value, headers: Vec::new() }
    }
}

/// Takes an i32 length (negative: null) and that many bytes.
fn take_sized(bytes: &mut Bytes) -> Result<Option<Bytes>, RecordError> {
    let cut = RecordError::Invalid("a message ends inside its key or value");
    if bytes.len() < 4 {
        return Err(cut);
    }
    match usize::try_from(bytes.get_i32()) {
        Err(_) => Ok(None),
        Ok(len) if len > bytes.len() => Err(cut),
        Ok(len) => Ok(Some(bytes.split_to(len))),
    }
}

/// The messages of a batch before magic 2: those inside a wrapper, else itself. After an error the iteration is over.
#[derive(Clone, Debug)]
pub struct Messages {
    rest: Bytes,
    /// What is added to the offsets.
    base: i64,
    first_offset: i64,
    /// The time of the append, which then holds for all of them.
    append_time: Option<i64>,
}

impl Messages {
    /// Decompresses a wrapper; its messages' offsets are known afterwards.
    pub(super) fn new(batch: &Batch) -> Result<Self, RecordError> {
        let header = &batch.header;
        if !header.is_wrapper() {
            return Ok(Self { first_offset: header.base_offset, ..Self::of_set(batch.bytes.clone()) });
        }
        let value = Message::read(batch.bytes.clone())?.value.ok_or(RecordError::Invalid("a wrapper has no value"))?;
        let set = match codec_of(batch)? {
            Codec::Zstd => return Err(RecordError::Invalid("zstd before magic 2")),
            Codec::Lz4 if header.magic == 0 => {
                Codec::Lz4.decompress(&lz4_frame_of_magic_0(&value), DECOMPRESSED_LIMIT_BYTES)?
            }
            codec => codec.decompress(&value, DECOMPRESSED_LIMIT_BYTES)?,
        };
        let mut bounds = None;
        let mut rest = set.clone();
        while let Some(mut message) = next_message(&mut rest)? {
            let offset = message.get_i64();
            bounds = Some((bounds.map_or(offset, |(first, _)| first), offset));
        }
        let (first, last) = bounds.ok_or(RecordError::Invalid("a wrapper is empty"))?;
        let base = match header.base_offset {
            // Some producers left the wrapper's offset at 0.
            outer if header.magic == 0 || outer == 0 => 0,
            outer if outer < last => return Err(RecordError::Invalid("a wrapper's offset is below those inside")),
            outer => outer.wrapping_sub(last),
        };
        let append_time = header.attributes.log_append_time().then_some(header.max_timestamp);
        Ok(Self { rest: set, base, first_offset: base.wrapping_add(first), append_time })
    }

    /// The messages of a set that is not compressed.
    pub(super) fn of_set(set: Bytes) -> Self {
        Self { rest: set, base: 0, first_offset: 0, append_time: None }
    }

    /// The offset of the first message.
    pub fn first_offset(&self) -> i64 {
        self.first_offset
    }

    fn next_read(&mut self) -> Result<Option<Message>, RecordError> {
        let Some(bytes) = next_message(&mut self.rest)? else { return Ok(None) };
        let mut message = Message::read(bytes)?;
        message.offset = self.base.wrapping_add(message.offset);
        if let (Some(time), 1) = (self.append_time, message.magic) {
            message.timestamp = time;
        }
        Ok(Some(message))
    }
}

/// The next message of a set; `None` at its end, or where it is cut off.
fn next_message(rest: &mut Bytes) -> Result<Option<Bytes>, RecordError> {
    let Some(prefix) = rest.first_chunk::<OVERHEAD>() else { return Ok(None) };
    let size = i32::from_be_bytes([prefix[8], prefix[9], prefix[10], prefix[11]]);
    if size < (min_bytes(0) - OVERHEAD) as i32 {
        return Err(RecordError::Corrupt("a message is smaller than any can be"));
    }
    let size = size as usize + OVERHEAD;
    Ok((rest.len() >= size).then(|| rest.split_to(size)))
}

impl Iterator for Messages {
    type Item = Result<Message, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_read();
        if next.is_err() {
            self.rest.clear();
        }
        next.transpose()
    }
}
