//! What stays of each batch. Source: the record filter of `Cleaner.cleanInto`, KIP-98, KIP-534.

use std::collections::HashMap;
use std::ops::ControlFlow;

use bytes::Bytes;

use super::offset_map::OffsetMap;
use super::transactions::{Marker, Transactions};
use super::{CleanError, Stats};
use crate::log::index::TimestampOffset;
use crate::log::producers::Producers;
use crate::log::txn_index::AbortedTxn;
use crate::record::{
    Batch, BatchHeader, Codec, CodecError, DECOMPRESSED_LIMIT_BYTES, EndMarker, RawRecord, RecordError, check_crc,
    emptied, raw_records, write_thinned,
};

/// The last batch of each active producer: it must stay, if only as a header, so that the producer can go on.
#[derive(Default)]
pub struct LastBatches(HashMap<i64, LastBatch>);

struct LastBatch {
    /// Of its last data, if there was any in its epoch.
    last_offset: Option<i64>,
    epoch: i16,
}

impl LastBatches {
    pub fn of(producers: &Producers) -> Self {
        let last = |producer: &crate::log::producers::Producer| LastBatch {
            last_offset: producer.batches().last().map(|batch| batch.last_offset),
            epoch: producer.epoch,
        };
        Self(producers.iter().map(|(id, producer)| (id, last(producer))).collect())
    }

    fn has(&self, header: &BatchHeader) -> bool {
        let Some(last) = self.0.get(&header.producer_id).filter(|_| header.has_producer_id()) else { return false };
        match last.last_offset {
            Some(offset) => header.last_offset() == offset,
            None => header.attributes.control() && header.producer_epoch == last.epoch,
        }
    }
}

/// The uncompressed records of a batch, which may lie in `room`.
fn plain_records<'a>(header: &BatchHeader, batch: &'a [u8], room: &'a mut Vec<u8>) -> Result<&'a [u8], RecordError> {
    let payload = &batch[crate::record::HEADER_BYTES..];
    match header.attributes.codec().ok_or(CodecError::UnknownCodec(header.attributes.0 & 7))? {
        Codec::None => Ok(payload),
        codec => {
            codec.decompress_into(payload, room, DECOMPRESSED_LIMIT_BYTES)?;
            Ok(room)
        }
    }
}

/// Visits the records of a data batch that have a key, with their offsets, until told to stop.
pub fn each_key(
    header: &BatchHeader,
    batch: &[u8],
    room: &mut Vec<u8>,
    mut visit: impl FnMut(&[u8], i64) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, RecordError> {
    if header.magic < 2 {
        for message in whole(header, batch).messages()? {
            let message = message?;
            if message.key.is_some_and(|key| visit(&key, message.offset).is_break()) {
                return Ok(ControlFlow::Break(()));
            }
        }
        return Ok(ControlFlow::Continue(()));
    }
    for record in raw_records(header, plain_records(header, batch, room)?) {
        let record = record?;
        if record.key.is_some_and(|key| visit(key, record.offset).is_break()) {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// A copy that owns its bytes.
pub(super) fn whole(header: &BatchHeader, batch: &[u8]) -> Batch {
    Batch { header: *header, bytes: Bytes::copy_from_slice(batch) }
}

/// Reads a batch's header and compares its CRC: nothing is derived from bytes that rotted.
pub fn checked_header(batch: &[u8], position: u64) -> Result<BatchHeader, CleanError> {
    let bad = |source| CleanError::Batch { position, source };
    let header = BatchHeader::read(batch).map_err(bad)?;
    check_crc(&header, batch).map_err(bad)?;
    Ok(header)
}

/// The marker of a control batch.
pub fn marker_of(header: &BatchHeader, batch: &[u8]) -> Option<EndMarker> {
    EndMarker::of(&whole(header, batch))
}

/// What was kept of some batches that lie one after the other.
pub struct Kept {
    pub bytes: Vec<u8>,
    /// Of the records that were kept.
    pub last_offset: i64,
    pub largest: TimestampOffset,
    /// Aborted transactions of which data was seen, whose markers are among the batches.
    pub aborted: Vec<AbortedTxn>,
}

impl Kept {
    pub fn new() -> Self {
        Self { bytes: Vec::new(), last_offset: -1, largest: NOTHING, aborted: Vec::new() }
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.aborted.clear();
        (self.last_offset, self.largest) = (-1, NOTHING);
    }

    /// A batch was kept, its last record at `last_offset`.
    pub(super) fn note(&mut self, last_offset: i64, header: &BatchHeader) {
        let largest = TimestampOffset { timestamp: header.max_timestamp, offset: header.last_offset() };
        self.note_at(last_offset, largest);
    }

    pub(super) fn note_at(&mut self, last_offset: i64, largest: TimestampOffset) {
        self.last_offset = self.last_offset.max(last_offset);
        if largest.timestamp > self.largest.timestamp {
            self.largest = largest;
        }
    }
}

const NOTHING: TimestampOffset = TimestampOffset { timestamp: -1, offset: -1 };

/// The rules, and what they need to know of the log.
pub struct Filter<'a> {
    pub transactions: Transactions,
    pub last_batches: LastBatches,
    /// Is the segment young enough that its tombstones before magic 2 stay?
    pub keep_old_tombstones: bool,
    map: &'a OffsetMap,
    /// The map knows the log up to here, exclusive; what lies after it stays as it is.
    mapped_to: i64,
    now_ms: i64,
    delete_retention_ms: i64,
    rooms: Rooms,
}

/// Memory that is used again for every batch.
#[derive(Default)]
struct Rooms {
    /// Uncompressed records, of a compressed batch.
    plain: Vec<u8>,
    /// Records that are kept, before they are compressed.
    kept: Vec<u8>,
    /// Is a record kept?
    keep: Vec<bool>,
}

impl<'a> Filter<'a> {
    pub fn new(map: &'a OffsetMap, mapped_to: i64, now_ms: i64, delete_retention_ms: i64) -> Self {
        Self {
            transactions: Transactions::default(),
            last_batches: LastBatches::default(),
            keep_old_tombstones: true,
            map,
            mapped_to,
            now_ms,
            delete_retention_ms,
            rooms: Rooms::default(),
        }
    }

    /// Is the offset one that the map knows?
    pub(super) fn is_mapped(&self, offset: i64) -> bool {
        offset < self.mapped_to
    }

    /// Does no later record have the same key? What the map does not know is newest.
    pub(super) fn is_newest(&self, key: Option<&[u8]>, offset: i64, stats: &mut Stats) -> bool {
        newest(self.map, self.mapped_to, key, offset, stats)
    }

    /// Adds to `out` what stays of a batch.
    pub fn batch(&mut self, batch: &[u8], position: u64, out: &mut Kept, stats: &mut Stats) -> Result<(), CleanError> {
        let header = checked_header(batch, position)?;
        if header.magic < 2 {
            return self.messages(&header, batch, position, out, stats);
        }
        let horizon = header.attributes.delete_horizon().then_some(header.base_timestamp);
        let mut unneeded_marker = false;
        let discard = if !header.attributes.control() {
            self.transactions.data(&header)
        } else {
            match self.transactions.control(&header, marker_of(&header, batch).as_ref()) {
                Marker::Unneeded => unneeded_marker = true,
                Marker::Needed(aborted) => out.aborted.extend(aborted),
            }
            unneeded_marker && horizon.is_some_and(|horizon| horizon <= self.now_ms)
        };
        stats.records_read += u64::from(header.records_count.max(0) as u32);
        if discard {
            self.keep_header(&header, out);
            return Ok(());
        }
        let bad = |source| CleanError::Records { position, source };
        let Rooms { plain, kept: room, keep } = &mut self.rooms;
        let plain = plain_records(&header, batch, plain).map_err(bad)?;
        let rules = Rules { map: self.map, mapped_to: self.mapped_to, now_ms: self.now_ms, horizon };
        let kept = rules.decide(&header, plain, keep, stats).map_err(bad)?;
        stats.records_written += kept.records;
        let set_horizon = (unneeded_marker || kept.tombstones) && horizon.is_none();
        if kept.records == 0 {
            self.keep_header(&header, out);
        } else if kept.records == keep.len() as u64 && !set_horizon {
            out.bytes.extend_from_slice(batch);
            out.note(header.last_offset(), &header);
        } else {
            let horizon =
                if set_horizon { Some(self.now_ms.saturating_add(self.delete_retention_ms)) } else { horizon };
            let records = raw_records(&header, plain).flatten().zip(&*keep).filter(|(_, keep)| **keep);
            let records = records.map(|(record, _)| record);
            let thinned = write_thinned(&header, records, horizon, room, &mut out.bytes);
            out.note(kept.last_offset, &thinned);
        }
        Ok(())
    }

    /// Of a batch without records only the last of its producer is kept, without them.
    fn keep_header(&self, header: &BatchHeader, out: &mut Kept) {
        if self.last_batches.has(header) {
            out.bytes.extend_from_slice(&emptied(header).encode());
            out.note(header.last_offset(), header);
        }
    }
}

/// What decides on a record.
struct Rules<'a> {
    map: &'a OffsetMap,
    mapped_to: i64,
    now_ms: i64,
    /// The delete horizon of its batch.
    horizon: Option<i64>,
}

/// The decisions on a batch.
struct Decided {
    records: u64,
    last_offset: i64,
    /// Is one without a value among them?
    tombstones: bool,
}

impl Rules<'_> {
    /// Fills `keep` with one decision for each record.
    fn decide(
        &self,
        header: &BatchHeader,
        plain: &[u8],
        keep: &mut Vec<bool>,
        stats: &mut Stats,
    ) -> Result<Decided, RecordError> {
        let mut decided = Decided { records: 0, last_offset: -1, tombstones: false };
        keep.clear();
        for record in raw_records(header, plain) {
            let record = record?;
            let stays = header.attributes.control() || self.stays(&record, stats);
            if stays {
                decided.records += 1;
                decided.last_offset = decided.last_offset.max(record.offset);
                decided.tombstones |= !record.has_value;
            }
            keep.push(stays);
        }
        Ok(decided)
    }

    fn stays(&self, record: &RawRecord<'_>, stats: &mut Stats) -> bool {
        record.offset >= self.mapped_to
            || (newest(self.map, self.mapped_to, record.key, record.offset, stats)
                && (record.has_value || self.horizon.is_none_or(|horizon| self.now_ms < horizon)))
    }
}

fn newest(map: &OffsetMap, mapped_to: i64, key: Option<&[u8]>, offset: i64, stats: &mut Stats) -> bool {
    match key {
        _ if offset >= mapped_to => true,
        Some(key) => map.get(key).is_none_or(|last| offset >= last),
        None => {
            stats.records_without_key += 1;
            false
        }
    }
}
