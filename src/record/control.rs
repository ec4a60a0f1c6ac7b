//! Control records: the markers that end a transaction.

use bytes::{BufMut, Bytes};

use super::batch::{Attributes, Batch};
use super::build::BatchBuilder;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndTxn {
    Abort,
    Commit,
}

/// The one record of a control batch that ends a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndMarker {
    pub end: EndTxn,
    /// Epoch of the transaction coordinator that wrote it.
    pub coordinator_epoch: i32,
    /// Timestamp of the record.
    pub timestamp: i64,
}

impl EndMarker {
    /// The marker of a control batch. `None` if the batch is empty (compacted away), of another type, or unreadable:
    /// such batches are skipped. Newer versions are read by their known prefix.
    pub fn of(batch: &Batch) -> Option<Self> {
        let record = batch.records().ok()?.next()?.ok()?;
        let key = record.key.as_ref()?;
        let end = match i16::from_be_bytes([*key.get(2)?, *key.get(3)?]) {
            0 => EndTxn::Abort,
            1 => EndTxn::Commit,
            _ => return None,
        };
        let value = record.value.as_ref()?;
        let coordinator_epoch = i32::from_be_bytes(value.get(2..6)?.try_into().ok()?);
        Some(Self { end, coordinator_epoch, timestamp: record.timestamp })
    }
}

/// A control batch that ends a transaction; offset 0, ready for an append by the coordinator.
pub fn end_txn_batch(
    end: EndTxn,
    producer_id: i64,
    producer_epoch: i16,
    coordinator_epoch: i32,
    timestamp: i64,
) -> Bytes {
    let mut key = Vec::with_capacity(4);
    key.put_i16(0);
    key.put_i16(if end == EndTxn::Commit { 1 } else { 0 });
    let mut value = Vec::with_capacity(6);
    value.put_i16(0);
    value.put_i32(coordinator_epoch);
    let mut batch = BatchBuilder::new()
        .producer(producer_id, producer_epoch, -1)
        .attributes(Attributes::TRANSACTIONAL | Attributes::CONTROL);
    batch.push(timestamp, Some(&key), Some(&value), &[]);
    batch.build()
}
