//! Batches for consumers that know only magic 0 or 1.
//!
//! The answer's length is promised before anything is converted, as in Kafka, where conversion happens while sending: it is
//! the length of what was read, or of the first converted batch if that is more. What is converted is cut there; what is
//! missing is filled with the head of a message that is longer than the rest, which old consumers take for a cut one.
//! Source: `RecordsUtil.downConvert` and `LazyDownConversionRecords` of Kafka 3.9.

use bytes::{BufMut, Bytes};

use super::batch::{Batch, batches};
use super::codec::Codec;
use super::message_set::MessageSetBuilder;
use super::records::RecordError;

/// Batches that are converted together; they fail together, too.
const CHUNK_BYTES: usize = 128 * 1024;
/// Offset and length of a message.
const OVERHEAD: usize = 12;
/// The smallest length that the filling announces: that of an empty v2 batch.
const MIN_FILLING_LENGTH: usize = 61;
static ZEROS: [u8; CHUNK_BYTES] = [0; CHUNK_BYTES];

/// Why nothing could be converted.
#[derive(Debug, thiserror::Error)]
pub enum DownConvertError {
    #[error("zstd batches are not converted")]
    Zstd,
    #[error(transparent)]
    Records(#[from] RecordError),
}

/// Converts the whole batches in `read` to magic 0 or 1; older messages stay as they are. Control batches and headers are
/// dropped, and uncompressed records below `fetch_offset`. Together the parts are never longer than `read` or the first
/// converted batch.
///
/// Errors only if not even the first batch could be converted.
pub fn down_convert(read: &Bytes, to_magic: i8, fetch_offset: i64) -> Result<Vec<Bytes>, DownConvertError> {
    let mut list = batches(read.clone()).map_while(Result::ok).peekable();
    if list.peek().is_none() {
        return Ok(Vec::new());
    }
    let mut first = Vec::new();
    while first.is_empty()
        && let Some(batch) = list.next()
    {
        convert(&batch, to_magic, fetch_offset, &mut first)?;
    }
    let mut left = if first.is_empty() { OVERHEAD } else { read.len().max(first.len()) };
    let mut parts = Vec::new();
    let mut chunk = first;
    loop {
        chunk.truncate(left);
        left -= chunk.len();
        if !chunk.is_empty() {
            parts.push(Bytes::from(std::mem::take(&mut chunk)));
        }
        if left == 0 || list.peek().is_none() {
            break;
        }
        let mut size = 0;
        let mut failed = false;
        while let Some(batch) = list.next_if(|next| size == 0 || size + next.header.size() <= CHUNK_BYTES) {
            size += batch.header.size();
            failed |= convert(&batch, to_magic, fetch_offset, &mut chunk).is_err();
        }
        if failed {
            // The consumer asks from here again, and is told then.
            break;
        }
    }
    fill(&mut parts, left);
    Ok(parts)
}

/// Appends one converted batch to `out`.
fn convert(batch: &Batch, to_magic: i8, fetch_offset: i64, out: &mut Vec<u8>) -> Result<(), DownConvertError> {
    let header = &batch.header;
    if header.attributes.control() {
        return Ok(());
    }
    let codec = header.attributes.codec();
    if codec == Some(Codec::Zstd) {
        return Err(DownConvertError::Zstd);
    }
    if header.magic <= to_magic {
        out.extend_from_slice(&batch.bytes);
        return Ok(());
    }
    let records = batch.records()?;
    let codec = codec.unwrap_or(Codec::None);
    let append_time = header.attributes.log_append_time().then_some(header.max_timestamp);
    let mut builder = MessageSetBuilder::new(to_magic, codec.into(), append_time);
    for record in records {
        let record = record?;
        // Old messages are not batched: a client that begins in the middle of a batch must not get what is before.
        if codec != Codec::None || record.offset >= fetch_offset {
            builder.push(record.offset, record.timestamp, record.key.as_deref(), record.value.as_deref());
        }
    }
    out.extend_from_slice(&builder.build());
    Ok(())
}

/// Fills `left` bytes with messages that say they are longer than what follows.
fn fill(parts: &mut Vec<Bytes>, mut left: usize) {
    while left > 0 {
        let size = (left + 1).clamp(OVERHEAD, CHUNK_BYTES).min(left);
        let mut head = Vec::with_capacity(OVERHEAD);
        head.put_i64(-1);
        head.put_i32((left + 1).max(MIN_FILLING_LENGTH) as i32);
        head.truncate(size);
        let zeros = size - head.len();
        parts.push(head.into());
        if zeros > 0 {
            parts.push(Bytes::from_static(&ZEROS[..zeros]));
        }
        left -= size;
    }
}
