//! The records inside a batch: a walk that holds nothing, and an iterator of slices.

use std::io::{self, BufRead};

use bytes::{Buf, Bytes};

use super::batch::Batch;
use super::codec::{Codec, CodecError, DECOMPRESSED_LIMIT_BYTES};
use super::legacy::Messages;
use super::varint::{VarintError, varint, varlong};
use crate::error::ErrorCode;

/// Bytes of a decompressed stream looked at together.
const WALK_BUFFER_BYTES: usize = 16 * 1024;

/// Why the records of a batch could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("invalid record: {0}")]
    Invalid(&'static str),
    #[error("corrupt message: {0}")]
    Corrupt(&'static str),
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("records cannot be decompressed: {0}")]
    Stream(#[from] io::Error),
}

impl From<VarintError> for RecordError {
    fn from(error: VarintError) -> Self {
        RecordError::Invalid(match error {
            VarintError::End => "the batch ends inside a record",
            VarintError::TooLong => "a variable-length integer is too long",
        })
    }
}

impl From<&RecordError> for ErrorCode {
    fn from(error: &RecordError) -> ErrorCode {
        match error {
            RecordError::Invalid(_) => ErrorCode::InvalidRecord,
            RecordError::Corrupt(_) => ErrorCode::CorruptMessage,
            RecordError::Codec(_) | RecordError::Stream(_) => ErrorCode::UnknownServerError,
        }
    }
}

/// A header of a record: a name and a value that may be null.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub key: Bytes,
    pub value: Option<Bytes>,
}

/// A record with absolute offset and timestamp; its bytes are slices of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

/// What [`walk`] tells about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSummary {
    /// Position in the batch, from 0.
    pub index: i32,
    pub offset_delta: i32,
    /// The time of the append for batches that are marked so.
    pub timestamp: i64,
    pub has_key: bool,
    pub has_value: bool,
}

/// Visits each record of a v2 batch without keeping any byte of it: compressed batches are streamed, so memory stays
/// bounded whatever they decompress to. Errors unless exactly the declared number of records fills the batch exactly.
pub fn walk(batch: &Batch, visit: impl FnMut(RecordSummary)) -> Result<(), RecordError> {
    let payload = batch.payload();
    match codec_of(batch)? {
        Codec::None => walk_stream(batch, &payload[..], visit),
        codec => walk_stream(batch, io::BufReader::with_capacity(WALK_BUFFER_BYTES, codec.reader(&payload)?), visit),
    }
}

pub(super) fn codec_of(batch: &Batch) -> Result<Codec, RecordError> {
    let attributes = batch.header.attributes;
    Ok(attributes.codec().ok_or(CodecError::UnknownCodec(attributes.0 & 7))?)
}

fn walk_stream(batch: &Batch, source: impl BufRead, mut visit: impl FnMut(RecordSummary)) -> Result<(), RecordError> {
    let header = &batch.header;
    if header.records_count < 0 {
        return Err(RecordError::Invalid("the record count is negative"));
    }
    let mut source = Counted { source, read: 0 };
    for index in 0..header.records_count {
        let length = source.varint()?;
        let start = source.read;
        source.byte()?; // attributes: no bit has a meaning yet
        let timestamp_delta = varlong(|| source.byte())?;
        let offset_delta = source.varint()?;
        let has_key = source.skip_sized()?;
        let has_value = source.skip_sized()?;
        let headers = source.varint()?;
        if headers < 0 {
            return Err(RecordError::Invalid("the number of headers is negative"));
        }
        for _ in 0..headers {
            if !source.skip_sized()? {
                return Err(RecordError::Invalid("a header has no key"));
            }
            source.skip_sized()?;
        }
        if i64::from(length) != (source.read - start) as i64 {
            return Err(RecordError::Invalid("a record does not fill its length"));
        }
        let timestamp = absolute_timestamp(batch, timestamp_delta);
        visit(RecordSummary { index, offset_delta, timestamp, has_key, has_value });
    }
    if source.source.fill_buf()?.is_empty() {
        Ok(())
    } else {
        Err(RecordError::Invalid("bytes follow the last record"))
    }
}

fn absolute_timestamp(batch: &Batch, delta: i64) -> i64 {
    let header = &batch.header;
    if header.attributes.log_append_time() { header.max_timestamp } else { header.base_timestamp.wrapping_add(delta) }
}

/// A source that counts what was read.
struct Counted<R> {
    source: R,
    read: u64,
}

impl<R: BufRead> Counted<R> {
    fn byte(&mut self) -> Result<u8, RecordError> {
        let byte = *self.source.fill_buf()?.first().ok_or(VarintError::End)?;
        self.source.consume(1);
        self.read += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<i32, RecordError> {
        varint(|| self.byte())
    }

    /// Skips a length and that many bytes; false if the length says null.
    fn skip_sized(&mut self) -> Result<bool, RecordError> {
        let Ok(len) = usize::try_from(self.varint()?) else { return Ok(false) };
        let mut left = len;
        while left > 0 {
            let there = self.source.fill_buf()?.len().min(left);
            if there == 0 {
                return Err(VarintError::End.into());
            }
            self.source.consume(there);
            left -= there;
        }
        self.read += len as u64;
        Ok(true)
    }
}

/// The records of a batch of any format as slices of its (decompressed) bytes. After an error the iteration is over.
#[derive(Clone, Debug)]
pub struct Records(Source);

#[derive(Clone, Debug)]
enum Source {
    Current(Current),
    /// Of a wrapper or of a plain message.
    Messages {
        messages: Messages,
        wrapped: bool,
    },
}

impl Records {
    pub(super) fn new(batch: &Batch) -> Result<Self, RecordError> {
        Ok(Self(match batch.header.magic {
            2 => Source::Current(Current::new(batch)?),
            _ => Source::Messages { messages: Messages::new(batch)?, wrapped: batch.header.is_wrapper() },
        }))
    }

    pub(super) fn of_messages(messages: Messages, wrapped: bool) -> Self {
        Self(Source::Messages { messages, wrapped })
    }
}

impl Iterator for Records {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::Current(records) => records.next(),
            Source::Messages { messages, wrapped } => Some(messages.next()?.and_then(|message| {
                if *wrapped && message.codec != Some(Codec::None) {
                    return Err(RecordError::Invalid("a message in a wrapper is compressed"));
                }
                Ok(message.into_record())
            })),
        }
    }
}

/// The records of a v2 batch.
#[derive(Clone, Debug)]
struct Current {
    batch: Batch,
    rest: Bytes,
    left: i32,
}

impl Current {
    fn new(batch: &Batch) -> Result<Self, RecordError> {
        let rest = codec_of(batch)?.decompress(&batch.payload(), DECOMPRESSED_LIMIT_BYTES)?;
        Ok(Self { batch: batch.clone(), rest, left: batch.header.records_count.max(0) })
    }

    fn record(&mut self) -> Result<Record, RecordError> {
        let length = take_varint(&mut self.rest)?;
        let length = usize::try_from(length).map_err(|_| RecordError::Invalid("a record's length is negative"))?;
        let mut body = take(&mut self.rest, length)?;
        take(&mut body, 1)?; // attributes
        let timestamp_delta = varlong(|| take_byte(&mut body))?;
        let offset_delta = take_varint(&mut body)?;
        let key = take_sized(&mut body)?;
        let value = take_sized(&mut body)?;
        let headers = take_varint(&mut body)?;
        if headers < 0 || headers as usize > body.len() {
            return Err(RecordError::Invalid("the number of headers is not possible"));
        }
        let mut list = Vec::with_capacity(headers as usize);
        for _ in 0..headers {
            let key = take_sized(&mut body)?.ok_or(RecordError::Invalid("a header has no key"))?;
            list.push(Header { key, value: take_sized(&mut body)? });
        }
        if !body.is_empty() {
            return Err(RecordError::Invalid("a record does not fill its length"));
        }
        Ok(Record {
            offset: self.batch.header.base_offset.wrapping_add(i64::from(offset_delta)),
            timestamp: absolute_timestamp(&self.batch, timestamp_delta),
            key,
            value,
            headers: list,
        })
    }
}

impl Iterator for Current {
    type Item = Result<Record, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            let leftover = !std::mem::take(&mut self.rest).is_empty();
            return leftover.then_some(Err(RecordError::Invalid("bytes follow the last record")));
        }
        self.left -= 1;
        let record = self.record();
        if record.is_err() {
            self.left = 0;
            self.rest.clear();
        }
        Some(record)
    }
}

fn take_byte(bytes: &mut Bytes) -> Result<u8, RecordError> {
    let byte = *bytes.first().ok_or(VarintError::End)?;
    bytes.advance(1);
    Ok(byte)
}

fn take_varint(bytes: &mut Bytes) -> Result<i32, RecordError> {
    varint(|| take_byte(bytes))
}

fn take(bytes: &mut Bytes, len: usize) -> Result<Bytes, RecordError> {
    if len > bytes.len() { Err(VarintError::End.into()) } else { Ok(bytes.split_to(len)) }
}

fn take_sized(bytes: &mut Bytes) -> Result<Option<Bytes>, RecordError> {
    match usize::try_from(take_varint(bytes)?) {
        Ok(len) => take(bytes, len).map(Some),
        Err(_) => Ok(None),
    }
}
