//! What a partition knows about idempotent and transactional producers.
//!
//! Per producer id: its epoch, its last five batches, its open transaction. A leader asks [`Producers::check`] before
//! it writes, and everybody tells [`Producers::apply`] what was written, so that the state is a function of the log.
//! Source: `ProducerStateManager`, `ProducerAppendInfo` and `ProducerStateEntry` of Kafka 3.9.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::snapshot::SnapshotEntry;
use super::txn_index::AbortedTxn;
use super::verification::{Guard, TxnCheck, Verifications};
use crate::error::ErrorCode;
use crate::record::{AppendOrigin, BatchHeader, EndMarker, EndTxn, add_sequence};

/// Batches that are remembered per producer: as many as a client may have in flight.
const REMEMBERED_BATCHES: usize = 5;

/// Why a producer's batch is refused. Source of the rules: storage of idempotence, KIP-98, KIP-360.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    #[error("epoch {epoch} of producer {producer_id} is smaller than the last seen epoch {known}")]
    InvalidEpoch { producer_id: i64, epoch: i16, known: i16 },
    #[error("out of order sequence number for producer {producer_id}: {sequence} (incoming), {last} (last seen)")]
    OutOfOrderSequence { producer_id: i64, sequence: i32, last: i32 },
    #[error("producer {producer_id}: batch is not part of a transaction that is open here")]
    InvalidTxnState { producer_id: i64 },
    #[error("coordinator epoch {epoch} for producer {producer_id} is smaller than the last seen epoch {known}")]
    CoordinatorFenced { producer_id: i64, epoch: i32, known: i32 },
}

impl From<&ProducerError> for ErrorCode {
    fn from(error: &ProducerError) -> ErrorCode {
        match error {
            ProducerError::InvalidEpoch { .. } => ErrorCode::InvalidProducerEpoch,
            ProducerError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
            ProducerError::InvalidTxnState { .. } => ErrorCode::InvalidTxnState,
            ProducerError::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        }
    }
}

/// A batch that a producer wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RememberedBatch {
    pub last_sequence: i32,
    pub last_offset: i64,
    /// Last minus first offset.
    pub offset_delta: i32,
    pub timestamp: i64,
}

impl RememberedBatch {
    pub fn first_sequence(&self) -> i32 {
        // Going back wraps as going forward does: modulo 2^31. (A snapshot may tell any delta.)
        add_sequence(self.last_sequence, self.offset_delta.wrapping_neg())
    }

    pub fn first_offset(&self) -> i64 {
        self.last_offset.saturating_sub(i64::from(self.offset_delta))
    }
}

/// The state of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Producer {
    pub epoch: i16,
    pub coordinator_epoch: i32,
    /// Largest message time of its last batch, or its last marker's; expiry counts from here.
    pub last_timestamp: i64,
    /// First offset of its open transaction.
    pub txn_first_offset: Option<i64>,
    batches: VecDeque<RememberedBatch>,
}

impl Producer {
    fn new(epoch: i16) -> Self {
        Self { epoch, coordinator_epoch: -1, last_timestamp: -1, txn_first_offset: None, batches: VecDeque::new() }
    }

    /// The remembered batches, oldest first.
    pub fn batches(&self) -> impl Iterator<Item = &RememberedBatch> {
        self.batches.iter()
    }

    /// Sequence of the last record, -1 if none is known.
    pub fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(-1, |batch| batch.last_sequence)
    }

    fn duplicate_of(&self, header: &BatchHeader) -> Option<RememberedBatch> {
        let same = |batch: &&RememberedBatch| {
            batch.first_sequence() == header.base_sequence && batch.last_sequence == header.last_sequence()
        };
        if self.epoch == header.producer_epoch { self.batches.iter().find(same).copied() } else { None }
    }

    fn set_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.batches.clear();
            self.epoch = epoch;
        }
    }
}

/// A transaction that a marker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletedTxn {
    pub producer_id: i64,
    pub first_offset: i64,
    /// Offset of the marker.
    pub last_offset: i64,
    pub aborted: bool,
}

/// The transactions that hold back readers of committed data. A value for the log's view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unstable {
    /// First offset of the oldest open transaction.
    first_open: Option<i64>,
    /// Ended transactions, (first, last) offset, whose marker may not be replicated yet.
    unreplicated: Arc<[(i64, i64)]>,
    /// Last timestamp of the producer of the oldest open transaction, -1 if none is open.
    oldest_timestamp: i64,
}

impl Default for Unstable {
    fn default() -> Self {
        Self { first_open: None, unreplicated: Arc::default(), oldest_timestamp: -1 }
    }
}

/// A transaction is late when it is open for this much longer than the largest time-out allowed.
const LATE_TRANSACTION_MS: i64 = 5 * 60 * 1000;

impl Unstable {
    /// Is a transaction open for so long that its coordinator must have lost it?
    pub fn has_late_transaction(&self, now_ms: i64, max_timeout_ms: i64) -> bool {
        self.oldest_timestamp > 0 && now_ms - self.oldest_timestamp > max_timeout_ms + LATE_TRANSACTION_MS
    }

    /// The last stable offset under a high watermark: what readers of committed data may see.
    pub fn last_stable_offset(&self, high_watermark: i64, log_start: i64) -> i64 {
        let pending = self.unreplicated.iter().find(|(_, last)| *last >= high_watermark).map(|(first, _)| *first);
        let first_unstable = self.first_open.into_iter().chain(pending).min();
        first_unstable.map_or(high_watermark, |first| first.max(log_start).min(high_watermark))
    }
}

/// All producers of a partition.
#[derive(Clone, Debug, Default)]
pub struct Producers {
    map: HashMap<i64, Producer>,
    /// Open transactions: first offset to producer.
    open: BTreeMap<i64, i64>,
    /// Ended transactions, first offset to last, until the high watermark passes their markers.
    unreplicated: BTreeMap<i64, i64>,
    verifications: Verifications,
    /// The state covers the log up to here.
    end: i64,
}

impl Producers {
    /// The offset after the last one that the state knows.
    pub fn end(&self) -> i64 {
        self.end
    }

    pub fn set_end(&mut self, end: i64) {
        self.end = end;
    }

    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub fn get(&self, producer_id: i64) -> Option<&Producer> {
        self.map.get(&producer_id)
    }

    /// All producers, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &Producer)> {
        self.map.iter().map(|(id, producer)| (*id, producer))
    }

    pub fn unstable(&self) -> Unstable {
        Unstable {
            first_open: self.open.keys().next().copied(),
            unreplicated: self.unreplicated.iter().map(|(first, last)| (*first, *last)).collect(),
            oldest_timestamp: self
                .open
                .values()
                .next()
                .and_then(|id| self.map.get(id))
                .map_or(-1, |producer| producer.last_timestamp),
        }
    }

    /// A leader is about to ask whether the partition is part of the producer's transaction. `None`: the transaction is
    /// open here, nothing needs to be asked.
    pub fn begin_verification(&mut self, producer_id: i64, epoch: i16, sequence: i32, now_ms: i64) -> Option<Guard> {
        let open = self.map.get(&producer_id).is_some_and(|producer| producer.txn_first_offset.is_some());
        (!open).then(|| self.verifications.begin(producer_id, epoch, sequence, now_ms))
    }

    /// May this batch be written? `Ok(Some)` means that it already was, and where. `marker` is that of a control batch;
    /// `txn` is asked of a transactional batch that does not find its transaction open here (KIP-890).
    pub fn check(
        &self,
        header: &BatchHeader,
        marker: Option<&EndMarker>,
        origin: AppendOrigin,
        txn: TxnCheck,
    ) -> Result<Option<RememberedBatch>, ProducerError> {
        if !header.has_producer_id() || origin == AppendOrigin::Replication {
            return Ok(None);
        }
        let (producer_id, epoch) = (header.producer_id, header.producer_epoch);
        let producer = self.map.get(&producer_id);
        if origin == AppendOrigin::Client
            && let Some(duplicate) = producer.and_then(|producer| producer.duplicate_of(header))
        {
            return Ok(Some(duplicate));
        }
        let open = producer.is_some_and(|producer| producer.txn_first_offset.is_some());
        let data = !header.attributes.control();
        if data && header.attributes.transactional() && !open && !self.verifications.allows(producer_id, txn) {
            return Err(ProducerError::InvalidTxnState { producer_id });
        }
        if let Some(producer) = producer.filter(|producer| epoch < producer.epoch) {
            return Err(ProducerError::InvalidEpoch { producer_id, epoch, known: producer.epoch });
        }
        if data
            && origin == AppendOrigin::Client
            && let Some(last) = self.verifications.lowest_sequence(producer_id)
            && header.base_sequence > last
        {
            return Err(ProducerError::OutOfOrderSequence { producer_id, sequence: header.base_sequence, last });
        }
        let Some(producer) = producer else { return Ok(None) };
        if let Some(marker) = marker
            && marker.coordinator_epoch < producer.coordinator_epoch
        {
            let (epoch, known) = (marker.coordinator_epoch, producer.coordinator_epoch);
            return Err(ProducerError::CoordinatorFenced { producer_id, epoch, known });
        }
        // A producer known without an epoch may go on anywhere.
        if data && origin == AppendOrigin::Client && producer.epoch >= 0 {
            let last = if epoch == producer.epoch { producer.last_sequence() } else { -1 };
            let expected = add_sequence(last, 1);
            if header.base_sequence != expected {
                return Err(ProducerError::OutOfOrderSequence { producer_id, sequence: header.base_sequence, last });
            }
        }
        if data && open && !header.attributes.transactional() {
            return Err(ProducerError::InvalidTxnState { producer_id });
        }
        Ok(None)
    }

    /// Notes a batch that is in the log. Returns the transaction that it ended, if it did.
    pub fn apply(&mut self, header: &BatchHeader, marker: Option<&EndMarker>) -> Option<CompletedTxn> {
        if !header.has_producer_id() {
            return None;
        }
        if header.attributes.transactional() {
            self.verifications.end(header.producer_id);
        }
        if !header.attributes.control() {
            self.apply_data(header);
            return None;
        }
        let marker = marker?;
        let producer = self.map.entry(header.producer_id).or_insert_with(|| Producer::new(header.producer_epoch));
        producer.set_epoch(header.producer_epoch);
        producer.coordinator_epoch = marker.coordinator_epoch;
        producer.last_timestamp = marker.timestamp;
        let first_offset = producer.txn_first_offset.take()?;
        self.open.remove(&first_offset);
        let last_offset = header.base_offset;
        self.unreplicated.insert(first_offset, last_offset);
        let aborted = marker.end == EndTxn::Abort;
        Some(CompletedTxn { producer_id: header.producer_id, first_offset, last_offset, aborted })
    }

    fn apply_data(&mut self, header: &BatchHeader) {
        let producer = self.map.entry(header.producer_id).or_insert_with(|| Producer::new(header.producer_epoch));
        producer.set_epoch(header.producer_epoch);
        producer.last_timestamp = header.max_timestamp;
        if producer.batches.len() == REMEMBERED_BATCHES {
            producer.batches.pop_front();
        }
        producer.batches.push_back(RememberedBatch {
            last_sequence: header.last_sequence(),
            last_offset: header.last_offset(),
            offset_delta: header.last_offset_delta,
            timestamp: header.max_timestamp,
        });
        if header.attributes.transactional() && producer.txn_first_offset.is_none() {
            producer.txn_first_offset = Some(header.base_offset);
            self.open.insert(header.base_offset, header.producer_id);
        }
    }

    /// The entry of the transaction index for a transaction that was aborted.
    pub fn aborted(&self, txn: &CompletedTxn) -> AbortedTxn {
        let last_stable_offset = self.open.keys().next().copied().unwrap_or(txn.last_offset + 1);
        let CompletedTxn { producer_id, first_offset, last_offset, .. } = *txn;
        AbortedTxn { producer_id, first_offset, last_offset, last_stable_offset }
    }

    /// Forgets ended transactions whose markers are below `offset`. Returns whether there were any.
    pub fn replicated_to(&mut self, offset: i64) -> bool {
        let before = self.unreplicated.len();
        self.unreplicated.retain(|_, last| *last >= offset);
        before != self.unreplicated.len()
    }

    /// Forgets producers that were silent for `expiration_ms`, unless a transaction is open, and verifications that old.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.map.retain(|_, producer| {
            producer.txn_first_offset.is_some() || now_ms.saturating_sub(producer.last_timestamp) < expiration_ms
        });
        self.verifications.expire(now_ms, expiration_ms);
    }

    /// Forgets everything; the log now begins and ends at `offset`.
    pub fn clear(&mut self, offset: i64) {
        *self = Self { end: offset, ..Self::default() };
    }

    /// Takes over what `before`, the state before a truncation, remembers of batches that are still in the log: a
    /// snapshot tells only the last of each producer, but a retry may be of any of the last five.
    pub fn recall(&mut self, before: &Self) {
        for (id, producer) in &mut self.map {
            let Some(known) = before.map.get(id).filter(|known| known.epoch == producer.epoch) else { continue };
            let Some(first) = producer.batches.front().map(RememberedBatch::first_offset) else { continue };
            for batch in known.batches.iter().rev().filter(|batch| batch.last_offset < first) {
                if producer.batches.len() < REMEMBERED_BATCHES {
                    producer.batches.push_front(*batch);
                }
            }
        }
    }

    /// The entries of a snapshot file, by producer id. Only the newest batch of each is kept in it.
    pub fn to_snapshot(&self) -> Vec<SnapshotEntry> {
        let mut entries: Vec<_> = self
            .iter()
            .map(|(id, producer)| {
                let last = producer.batches.back();
                SnapshotEntry {
                    producer_id: id,
                    epoch: producer.epoch,
                    last_sequence: last.map_or(-1, |batch| batch.last_sequence),
                    last_offset: last.map_or(-1, |batch| batch.last_offset),
                    offset_delta: last.map_or(0, |batch| batch.offset_delta),
                    timestamp: producer.last_timestamp,
                    coordinator_epoch: producer.coordinator_epoch,
                    txn_first_offset: producer.txn_first_offset.unwrap_or(-1),
                }
            })
            .collect();
        entries.sort_unstable_by_key(|entry| entry.producer_id);
        entries
    }

    /// The state that a snapshot of the log up to `end` holds; expired producers are left out.
    pub fn from_snapshot(entries: &[SnapshotEntry], end: i64, now_ms: i64, expiration_ms: i64) -> Self {
        let mut producers = Self { end, ..Self::default() };
        for entry in entries {
            let txn_first_offset = (entry.txn_first_offset >= 0).then_some(entry.txn_first_offset);
            if txn_first_offset.is_none() && now_ms.saturating_sub(entry.timestamp) >= expiration_ms {
                continue;
            }
            let batch = RememberedBatch {
                last_sequence: entry.last_sequence,
                last_offset: entry.last_offset,
                offset_delta: entry.offset_delta,
                timestamp: entry.timestamp,
            };
            let producer = Producer {
                epoch: entry.epoch,
                coordinator_epoch: entry.coordinator_epoch,
                last_timestamp: entry.timestamp,
                txn_first_offset,
                batches: (entry.last_offset >= 0).then_some(batch).into_iter().collect(),
            };
            producers.open.extend(txn_first_offset.map(|first| (first, entry.producer_id)));
            producers.map.insert(entry.producer_id, producer);
        }
        producers
    }
}
