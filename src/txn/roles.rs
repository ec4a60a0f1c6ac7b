//! Which partitions of `__transaction_state` this broker leads, and reading their ids back from the log.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::coordinator::{Coordinator, Shard, ShardState};
use super::machine::{Image, State, Txn};
use super::records;
use crate::error::ErrorCode;
use crate::ids::LeaderEpoch;
use crate::internal_log::for_each_batch;

impl Coordinator {
    /// This broker leads the partition from `epoch` on: its ids are read from the log in the background.
    pub fn elected(self: &Arc<Self>, partition: i32, epoch: LeaderEpoch) {
        let state = Mutex::new(ShardState { loading: true, ..ShardState::default() });
        let shard = Arc::new(Shard { partition, epoch, state, closed: AtomicBool::new(false) });
        {
            let mut shards = self.shards.write();
            if shards.get(&partition).is_some_and(|known| known.epoch >= epoch) {
                return;
            }
            if let Some(old) = shards.insert(partition, shard.clone()) {
                close(&old);
            }
        }
        let coordinator = self.clone();
        self.parts.runtime.spawn(Box::pin(async move { coordinator.load(&shard) }));
    }

    /// Another broker leads the partition from `epoch` on (`None`: it is gone).
    pub fn resigned(&self, partition: i32, epoch: Option<LeaderEpoch>) {
        let mut shards = self.shards.write();
        if let Some(shard) = shards.get(&partition)
            && epoch.is_none_or(|epoch| epoch > shard.epoch)
        {
            close(shard);
            shards.remove(&partition);
        }
    }

    fn load(self: &Arc<Self>, shard: &Arc<Shard>) {
        let started = self.parts.clock.now_ms();
        let mut images: HashMap<String, Image> = HashMap::new();
        if let Err(error) = self.read_log(shard, &mut images) {
            tracing::error!(target: "kafka.coordinator.transaction", partition = shard.partition, %error,
                "Error loading transactions from __transaction_state; what was read so far is used");
        }
        let count = images.len();
        let now = self.parts.clock.wall_ms();
        let mut decided = Vec::new();
        {
            let mut state = shard.state.lock();
            if shard.is_closed() {
                return;
            }
            for (id, image) in images {
                let mut txn = Txn::restore(image);
                if matches!(txn.state(), State::PrepareCommit | State::PrepareAbort) {
                    decided.push((id.clone(), txn.complete(now)));
                }
                state.txns.insert(id, txn);
            }
            state.loading = false;
        }
        tracing::info!(target: "kafka.coordinator.transaction", partition = shard.partition, epoch = %shard.epoch,
            transactions = count, unfinished = decided.len(), ms = self.parts.clock.now_ms() - started,
            "Finished loading transaction metadata from __transaction_state-{}", shard.partition);
        for (id, complete) in decided {
            self.send_markers(shard.clone(), &id, complete);
        }
    }

    fn read_log(&self, shard: &Shard, images: &mut HashMap<String, Image>) -> Result<(), ErrorCode> {
        for_each_batch(&*self.parts.log, shard.partition, self.config.load_buffer_bytes, |batch| {
            if batch.header.attributes.control() {
                return Ok(());
            }
            for record in batch.records().map_err(|_| ErrorCode::CorruptMessage)? {
                let record = record.map_err(|_| ErrorCode::CorruptMessage)?;
                let Some(key) = record.key else { continue };
                match records::parse(key, record.value) {
                    Ok((id, Some(image))) => _ = images.insert(id, image),
                    Ok((id, None)) => _ = images.remove(&id),
                    Err(error) => tracing::warn!(target: "kafka.coordinator.transaction", partition = shard.partition,
                        offset = record.offset, %error, "Skipping a record that cannot be read"),
                }
            }
            Ok(())
        })
    }
}

/// Whatever is still under way for the shard finds it closed.
fn close(shard: &Shard) {
    let mut state = shard.state.lock();
    shard.closed.store(true, Ordering::Release);
    state.txns.clear();
}
