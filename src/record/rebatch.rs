//! What compaction leaves of a batch: some of its records, or only its header.
//!
//! Records are looked at as they lie in memory and copied without being taken apart: only the timestamp in front of a
//! record may have to change. Source: `MemoryRecords.filterTo` of Kafka 3.9, KIP-98 (empty batches), KIP-534 (horizon).

use bytes::BufMut;

use super::batch::{Attributes, BatchHeader, HEADER_BYTES};
use super::build::NO_TIMESTAMP;
use super::codec::{Codec, Compression};
use super::records::RecordError;
use super::varint::{VarintError, put_varint, put_varlong, varint, varlong, varlong_len};

/// A record in the uncompressed records of a batch. Its headers are not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// Absolute.
    pub offset: i64,
    /// Absolute; the time of the append for batches that are marked so.
    pub timestamp: i64,
    pub key: Option<&'a [u8]>,
    pub has_value: bool,
    /// From the offset delta to the end of the record.
    tail: &'a [u8],
}

/// The records of a batch; `plain` are its uncompressed records. After an error the iteration is over.
pub fn raw_records<'a>(header: &BatchHeader, plain: &'a [u8]) -> RawRecords<'a> {
    RawRecords { header: *header, rest: plain, left: header.records_count }
}

/// See [`raw_records`].
#[derive(Clone, Debug)]
pub struct RawRecords<'a> {
    header: BatchHeader,
    rest: &'a [u8],
    left: i32,
}

impl<'a> RawRecords<'a> {
    fn record(&mut self) -> Result<RawRecord<'a>, RecordError> {
        let length = take_varint(&mut self.rest)?;
        let length = usize::try_from(length).map_err(|_| RecordError::Invalid("a record's length is negative"))?;
        let mut body = take(&mut self.rest, length)?;
        take(&mut body, 1)?; // attributes: no bit has a meaning yet
        let timestamp_delta = varlong(|| take_byte(&mut body))?;
        let tail = body;
        let offset_delta = take_varint(&mut body)?;
        let key = take_sized(&mut body)?;
        let has_value = take_sized(&mut body)?.is_some();
        let header = &self.header;
        let timestamp = match header.attributes.log_append_time() {
            true => header.max_timestamp,
            false => header.base_timestamp.wrapping_add(timestamp_delta),
        };
        Ok(RawRecord {
            offset: header.base_offset.wrapping_add(i64::from(offset_delta)),
            timestamp,
            key,
            has_value,
            tail,
        })
    }
}

impl<'a> Iterator for RawRecords<'a> {
    type Item = Result<RawRecord<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            let leftover = !std::mem::take(&mut self.rest).is_empty();
            return leftover.then_some(Err(RecordError::Invalid("bytes follow the last record")));
        }
        self.left -= 1;
        let record = self.record();
        if record.is_err() {
            (self.left, self.rest) = (0, &[]);
        }
        Some(record)
    }
}

fn take_byte(bytes: &mut &[u8]) -> Result<u8, RecordError> {
    let (first, rest) = bytes.split_first().ok_or(VarintError::End)?;
    *bytes = rest;
    Ok(*first)
}

fn take_varint(bytes: &mut &[u8]) -> Result<i32, RecordError> {
    varint(|| take_byte(bytes))
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], RecordError> {
    let (taken, rest) = bytes.split_at_checked(len).ok_or(VarintError::End)?;
    *bytes = rest;
    Ok(taken)
}

fn take_sized<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordError> {
    match usize::try_from(take_varint(bytes)?) {
        Ok(len) => take(bytes, len).map(Some),
        Err(_) => Ok(None),
    }
}

/// Writes a batch that has only the given ones (at least one) of the records of another. Offsets, sequences, producer,
/// epoch and codec stay. With `delete_horizon` that time becomes the base timestamp; else the first record's does.
/// `scratch` is room for the uncompressed records. Returns the header that was written.
pub fn write_thinned<'a>(
    header: &BatchHeader,
    kept: impl Iterator<Item = RawRecord<'a>>,
    delete_horizon: Option<i64>,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> BatchHeader {
    let mut base_timestamp = delete_horizon;
    let (mut max_timestamp, mut count) = (NO_TIMESTAMP, 0);
    scratch.clear();
    for record in kept {
        let base = *base_timestamp.get_or_insert(record.timestamp);
        let delta = record.timestamp.wrapping_sub(base);
        put_varint(scratch, (1 + varlong_len(delta) + record.tail.len()) as i32);
        scratch.put_i8(0);
        put_varlong(scratch, delta);
        scratch.extend_from_slice(record.tail);
        max_timestamp = max_timestamp.max(record.timestamp);
        count += 1;
    }
    let codec = header.attributes.codec().unwrap_or(Codec::None);
    let compressed = (codec != Codec::None).then(|| Compression::from(codec).compress(scratch));
    let records = compressed.as_ref().unwrap_or(scratch);
    let horizon_bit = if delete_horizon.is_some() { Attributes::DELETE_HORIZON } else { 0 };
    let mut thinned = BatchHeader {
        batch_length: (HEADER_BYTES - 12 + records.len()) as i32,
        attributes: Attributes(attributes_kept(header) | codec.id() | horizon_bit),
        base_timestamp: base_timestamp.unwrap_or(NO_TIMESTAMP),
        max_timestamp: if header.attributes.log_append_time() { header.max_timestamp } else { max_timestamp },
        records_count: count,
        ..*header
    };
    thinned.crc = thinned.compute_crc(records);
    out.extend_from_slice(&thinned.encode());
    out.extend_from_slice(records);
    thinned
}

/// The header of a batch without records: keeps its producer's last sequence and epoch.
pub fn emptied(header: &BatchHeader) -> BatchHeader {
    let mut emptied = BatchHeader {
        batch_length: (HEADER_BYTES - 12) as i32,
        attributes: Attributes(attributes_kept(header)),
        base_timestamp: NO_TIMESTAMP,
        records_count: 0,
        ..*header
    };
    emptied.crc = emptied.compute_crc(&[]);
    emptied
}

fn attributes_kept(header: &BatchHeader) -> i16 {
    header.attributes.0 & (Attributes::LOG_APPEND_TIME | Attributes::TRANSACTIONAL | Attributes::CONTROL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Batch, BatchBuilder};

    fn batch(codec: Codec) -> Batch {
        let mut builder = BatchBuilder::new().base_offset(10).leader_epoch(3).producer(7, 1, 5).compression(codec);
        builder.push(1000, Some(b"a"), Some(b"1"), &[(b"h", Some(b"x"))]);
        builder.push(1700, Some(b"b"), None, &[]);
        builder.push(1500, Some(b"c"), Some(b"3"), &[(b"h", None)]);
        Batch::read(&builder.build()).unwrap().unwrap()
    }

    fn plain(batch: &Batch) -> bytes::Bytes {
        batch.header.attributes.codec().unwrap().decompress(&batch.payload(), 1000).unwrap()
    }

    #[test]
    fn thinned_batches_keep_offsets_sequences_and_times() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let whole = batch(codec);
            let plain = plain(&whole);
            for (horizon, base) in [(None, 1700), (Some(99_000), 99_000)] {
                let kept = raw_records(&whole.header, &plain).map(Result::unwrap).skip(1);
                let (mut scratch, mut out) = (Vec::new(), Vec::new());
                let header = write_thinned(&whole.header, kept, horizon, &mut scratch, &mut out);
                let thinned = Batch::read(&out.into()).unwrap().unwrap();
                assert_eq!(thinned.header, header);
                thinned.check_crc().unwrap();
                let before: Vec<_> = whole.records().unwrap().skip(1).map(Result::unwrap).collect();
                let after: Vec<_> = thinned.records().unwrap().map(Result::unwrap).collect();
                assert_eq!(before, after);
                assert_eq!((header.base_offset, header.last_offset(), header.records_count), (10, 12, 2));
                assert_eq!((header.base_sequence, header.last_sequence(), header.producer_id), (5, 7, 7));
                assert_eq!((header.base_timestamp, header.max_timestamp), (base, 1700));
                assert_eq!(header.attributes.delete_horizon(), horizon.is_some());
                assert_eq!(header.attributes.codec(), Some(codec));
            }
        }
    }

    #[test]
    fn emptied_batches_are_a_header() {
        let header = emptied(&batch(Codec::Zstd).header);
        let empty = Batch::read(&header.encode().to_vec().into()).unwrap().unwrap();
        empty.check_crc().unwrap();
        assert_eq!(empty.records().unwrap().count(), 0);
        assert_eq!((header.last_offset(), header.last_sequence(), header.size()), (12, 7, HEADER_BYTES));
    }

    #[test]
    fn hostile_records_are_errors() {
        let whole = batch(Codec::None);
        let plain = plain(&whole);
        for cut in 0..plain.len() {
            assert!(raw_records(&whole.header, &plain[..cut]).any(|record| record.is_err()), "{cut}");
        }
        let longer = [&plain[..], &[0]].concat();
        assert!(raw_records(&whole.header, &longer).any(|record| record.is_err()));
    }
}
