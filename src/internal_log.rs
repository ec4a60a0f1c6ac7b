//! The internal topics as the coordinators of groups and of transactions need them: a log per partition that this broker
//! leads, appended to record by record and read from its start when the leadership comes.

use bytes::Bytes;

use crate::error::ErrorCode;
use crate::ids::Offset;
use crate::log::Guard;
use crate::record::{self, Batch};
use crate::replica::txn::TxnProducer;
use crate::wait::BoxFuture;

/// The partitions of one internal topic.
pub trait InternalLog: Send + Sync + 'static {
    /// Appends as leader of the partition, before it returns; resolves to the base offset once `required_acks` is
    /// satisfied. `guard` shows that a transaction that begins with the batch was verified.
    fn append_verified(
        &self,
        partition: i32,
        batch: Bytes,
        required_acks: i16,
        timeout_ms: i32,
        guard: Option<Guard>,
    ) -> BoxFuture<'static, Result<Offset, ErrorCode>>;

    /// [`append_verified`](Self::append_verified) of what belongs to no transaction.
    fn append(
        &self,
        partition: i32,
        batch: Bytes,
        required_acks: i16,
        timeout_ms: i32,
    ) -> BoxFuture<'static, Result<Offset, ErrorCode>> {
        self.append_verified(partition, batch, required_acks, timeout_ms, None)
    }

    /// Asks the transaction coordinator whether the partition is part of the producer's transaction (KIP-890).
    fn verify_txn(&self, partition: i32, producer: TxnProducer)
    -> BoxFuture<'static, Result<Option<Guard>, ErrorCode>>;

    /// Whole batches from `from` on, at most about `max_bytes` of them; `None` at the end of the log.
    fn read(&self, partition: i32, from: Offset, max_bytes: usize) -> Result<Option<Bytes>, ErrorCode>;

    /// First offset of the partition's log.
    fn start(&self, partition: i32) -> Result<Offset, ErrorCode>;
}

/// Reads a partition from its start to its end.
pub fn for_each_batch(
    log: &dyn InternalLog,
    partition: i32,
    buffer_bytes: usize,
    mut replay: impl FnMut(&Batch) -> Result<(), ErrorCode>,
) -> Result<(), ErrorCode> {
    let mut from = log.start(partition)?;
    while let Some(bytes) = log.read(partition, from, buffer_bytes)? {
        let before = from;
        for batch in record::batches(bytes) {
            let Ok(batch) = batch else { return Err(ErrorCode::CorruptMessage) };
            from = Offset(batch.header.next_offset());
            replay(&batch)?;
        }
        if from <= before {
            break; // A batch that does not end after its start would be read for ever.
        }
    }
    Ok(())
}
