//! The header of a batch of any format, and the walk over the batches of a buffer.
//!
//! Before magic 2 there are only messages: each is seen as a batch of its own, a wrapper (a message whose value is a
//! compressed message set) as a batch of many. Their contents are read in [`super::legacy`].

use bytes::{BufMut, Bytes};

use super::codec::Codec;
use super::legacy;
use super::records::{RecordError, Records};
use crate::error::ErrorCode;

/// Bytes of a v2 batch's header: everything before its records.
pub const HEADER_BYTES: usize = 61;
/// Bytes that tell a batch's offset, size and format; the magic byte is the last, at the same place in every format.
pub const PREFIX_BYTES: usize = 17;
/// Offset and length: what the length does not count.
const OVERHEAD: usize = 12;
/// The CRC of a v2 batch covers the bytes from here on.
const CRC_FROM: usize = 21;
/// The CRC of an older message covers the bytes from here on.
const MESSAGE_CRC_FROM: usize = 16;
/// The smallest length that any format can have (a message of magic 0).
const MIN_LENGTH: i32 = 14;

/// Why bytes are not a batch that we can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("batch of {size} bytes is smaller than any batch can be")]
    TooSmall { size: i64 },
    #[error("unknown magic {0}")]
    UnknownMagic(i8),
    #[error("stored crc {stored:#010x}, computed {computed:#010x}")]
    Crc { stored: u32, computed: u32 },
}

impl From<&BatchError> for ErrorCode {
    fn from(_: &BatchError) -> ErrorCode {
        ErrorCode::CorruptMessage
    }
}

/// The attribute bits of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Attributes(pub i16);

impl Attributes {
    pub const LOG_APPEND_TIME: i16 = 1 << 3;
    pub const TRANSACTIONAL: i16 = 1 << 4;
    pub const CONTROL: i16 = 1 << 5;
    pub const DELETE_HORIZON: i16 = 1 << 6;

    /// The codec, or `None` for an id that nobody has defined.
    pub fn codec(self) -> Option<Codec> {
        Codec::from_id(self.0 & 7)
    }

    /// Do all records carry the time of the append?
    pub fn log_append_time(self) -> bool {
        self.0 & Self::LOG_APPEND_TIME != 0
    }

    pub fn transactional(self) -> bool {
        self.0 & Self::TRANSACTIONAL != 0
    }

    pub fn control(self) -> bool {
        self.0 & Self::CONTROL != 0
    }

    /// Is the base timestamp the time after which tombstones may go (KIP-534)?
    pub fn delete_horizon(self) -> bool {
        self.0 & Self::DELETE_HORIZON != 0
    }
}

/// The decoded header of a batch.
///
/// Of a message before magic 2 it tells what can be known without decompressing: `base_offset` and `last_offset` are
/// both the offset that is written there, which is the *last* one of a wrapper ([`Batch::first_offset`] looks inside);
/// both timestamps are the message's (-1 in magic 0); there is no epoch and no producer (-1); `records_count` is 1, or
/// -1 (unknown) for a wrapper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The format: 0, 1 or 2.
    pub magic: i8,
    pub base_offset: i64,
    /// Bytes after the length field.
    pub batch_length: i32,
    pub partition_leader_epoch: i32,
    pub crc: u32,
    pub attributes: Attributes,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub records_count: i32,
}

/// Size and format of the batch that begins with these bytes.
///
/// `None` if fewer than [`PREFIX_BYTES`] are there. Errors on sizes and formats that cannot be; says nothing about
/// whether the whole batch is there.
pub fn frame(bytes: &[u8]) -> Result<Option<(usize, i8)>, BatchError> {
    let Some(prefix) = bytes.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    let length = i32_at(prefix, 8);
    if length < MIN_LENGTH {
        return Err(BatchError::TooSmall { size: i64::from(length) + OVERHEAD as i64 });
    }
    match prefix[16] as i8 {
        magic @ 0..=2 => Ok(Some((length as usize + OVERHEAD, magic))),
        magic => Err(BatchError::UnknownMagic(magic)),
    }
}

impl BatchHeader {
    /// Decodes a header; `bytes` begin at the batch and hold at least its header. The CRC is not checked.
    pub fn read(bytes: &[u8]) -> Result<Self, BatchError> {
        let too_small = |size: usize| BatchError::TooSmall { size: size as i64 };
        let (size, magic) = frame(bytes)?.ok_or(too_small(bytes.len()))?;
        if magic < 2 {
            return match bytes.get(..legacy::header_bytes(magic)) {
                _ if size < legacy::min_bytes(magic) => Err(too_small(size)),
                None => Err(too_small(bytes.len())),
                Some(header) => Ok(Self::of_message(header, magic)),
            };
        }
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(too_small(bytes.len()))?;
        if size < HEADER_BYTES {
            return Err(too_small(size));
        }
        Ok(Self {
            magic,
            base_offset: i64_at(header, 0),
            batch_length: i32_at(header, 8),
            partition_leader_epoch: i32_at(header, 12),
            crc: i32_at(header, 17) as u32,
            attributes: Attributes(i16_at(header, 21)),
            last_offset_delta: i32_at(header, 23),
            base_timestamp: i64_at(header, 27),
            max_timestamp: i64_at(header, 35),
            producer_id: i64_at(header, 43),
            producer_epoch: i16_at(header, 51),
            base_sequence: i32_at(header, 53),
            records_count: i32_at(header, 57),
        })
    }

    fn of_message(header: &[u8], magic: i8) -> Self {
        let timestamp = if magic == 0 { -1 } else { i64_at(header, 18) };
        // Magic 0 has no timestamp type, and neither has producers, markers or horizons.
        let attributes = Attributes(i16::from(header[17]) & if magic == 0 { 7 } else { 15 });
        Self {
            magic,
            base_offset: i64_at(header, 0),
            batch_length: i32_at(header, 8),
            partition_leader_epoch: -1,
            crc: i32_at(header, 12) as u32,
            attributes,
            last_offset_delta: 0,
            base_timestamp: timestamp,
            max_timestamp: timestamp,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            records_count: if attributes.codec() == Some(Codec::None) { 1 } else { -1 },
        }
    }

    /// Is it a message before magic 2 that wraps others?
    pub fn is_wrapper(&self) -> bool {
        self.magic < 2 && self.attributes.codec() != Some(Codec::None)
    }

    /// The bytes of the header of a v2 batch.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut out = &mut bytes[..];
        out.put_i64(self.base_offset);
        out.put_i32(self.batch_length);
        out.put_i32(self.partition_leader_epoch);
        out.put_i8(2);
        out.put_u32(self.crc);
        out.put_i16(self.attributes.0);
        out.put_i32(self.last_offset_delta);
        out.put_i64(self.base_timestamp);
        out.put_i64(self.max_timestamp);
        out.put_i64(self.producer_id);
        out.put_i16(self.producer_epoch);
        out.put_i32(self.base_sequence);
        out.put_i32(self.records_count);
        bytes
    }

    /// Bytes of the whole batch.
    pub fn size(&self) -> usize {
        self.batch_length as usize + OVERHEAD
    }

    /// Offset of the last record, or of what compaction removed there.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.wrapping_add(i64::from(self.last_offset_delta))
    }

    /// The offset after this batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id >= 0
    }

    /// Sequence of the last record; sequences wrap from 2^31-1 to 0. -1 without sequences.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 { -1 } else { add_sequence(self.base_sequence, self.last_offset_delta) }
    }

    /// The CRC that this header of a v2 batch would have in front of these records.
    pub fn compute_crc(&self, records: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.encode()[CRC_FROM..]), records)
    }
}

/// Adds to a sequence number; wraps from 2^31-1 to 0.
pub(crate) fn add_sequence(sequence: i32, delta: i32) -> i32 {
    ((i64::from(sequence) + i64::from(delta)) & i64::from(i32::MAX)) as i32
}

/// A whole batch: its header and its bytes, which are shared with the buffer they came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    pub header: BatchHeader,
    /// Header and records.
    pub bytes: Bytes,
}

impl Batch {
    /// The first batch of `bytes`. `None` if it is not there as a whole. A length that cannot be is an error as soon as
    /// it is there, even if the format is not (`ByteBufferLogInputStream`; files are read more leniently).
    pub fn read(bytes: &Bytes) -> Result<Option<Self>, BatchError> {
        if bytes.len() >= OVERHEAD && i32_at(bytes, 8) < MIN_LENGTH {
            return Err(BatchError::TooSmall { size: i64::from(i32_at(bytes, 8)) + OVERHEAD as i64 });
        }
        let Some((size, _)) = frame(bytes)? else { return Ok(None) };
        if bytes.len() < size {
            return Ok(None);
        }
        Ok(Some(Self { header: BatchHeader::read(&bytes[..size])?, bytes: bytes.slice(..size) }))
    }

    /// The records of a v2 batch as they are stored, compressed or not; empty before magic 2.
    pub fn payload(&self) -> Bytes {
        if self.header.magic < 2 { Bytes::new() } else { self.bytes.slice(HEADER_BYTES..) }
    }

    /// Offset of the first record (or of what compaction removed there). Decompresses a magic 1 wrapper.
    pub fn first_offset(&self) -> Result<i64, RecordError> {
        if self.header.is_wrapper() {
            Ok(legacy::Messages::new(self)?.first_offset())
        } else {
            Ok(self.header.base_offset)
        }
    }

    /// Compares the stored CRC (CRC-32C; CRC-32 before magic 2) with the bytes.
    pub fn check_crc(&self) -> Result<(), BatchError> {
        check_crc(&self.header, &self.bytes)
    }

    /// The records, decompressed if need be. Their timestamps and offsets are absolute.
    pub fn records(&self) -> Result<Records, RecordError> {
        Records::new(self)
    }

    /// The messages of a batch before magic 2, with their own CRCs.
    pub fn messages(&self) -> Result<legacy::Messages, RecordError> {
        legacy::Messages::new(self)
    }
}

/// Compares a header's CRC with the bytes of its batch.
pub(crate) fn check_crc(header: &BatchHeader, batch: &[u8]) -> Result<(), BatchError> {
    let computed = match header.magic {
        2 => crc32c::crc32c(&batch[CRC_FROM..]),
        _ => crc32fast::hash(&batch[MESSAGE_CRC_FROM..]),
    };
    if computed == header.crc { Ok(()) } else { Err(BatchError::Crc { stored: header.crc, computed }) }
}

/// The batches of a buffer. A batch that is cut off at the end is left out silently, as in Kafka; after an error the
/// walk is over.
pub fn batches(bytes: Bytes) -> Batches {
    Batches { rest: bytes }
}

/// See [`batches`].
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
}

impl Iterator for Batches {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        match Batch::read(&self.rest) {
            Ok(Some(batch)) => {
                self.rest = self.rest.split_off(batch.bytes.len());
                Some(Ok(batch))
            }
            Ok(None) => None,
            Err(error) => {
                self.rest.clear();
                Some(Err(error))
            }
        }
    }
}

fn i16_at(bytes: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn i32_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
