//! What the coordinator does by the clock: it aborts transactions that are open for too long, and forgets transactional
//! ids that nobody uses. Studied: `TransactionCoordinator.abortTimedOutTransactions`,
//! `TransactionStateManager.removeExpiredTransactionalIds`.

use std::sync::Arc;

use bytes::Bytes;

use super::coordinator::{Coordinator, Shard};
use super::machine::State;
use super::records;

/// Bytes of keys in one batch of tombstones.
const TOMBSTONE_KEY_BYTES: usize = 64 << 10;

impl Coordinator {
    /// Aborts transactions whose time is over, under a higher epoch. Does not wait.
    pub fn abort_timed_out(self: &Arc<Self>) {
        let now = self.parts.clock.wall_ms();
        for shard in self.all_shards() {
            let aborts: Vec<_> = {
                let mut state = shard.state.lock();
                let late = state.txns.iter_mut().filter(|(_, txn)| txn.is_timed_out(now));
                late.map(|(id, txn)| (id.clone(), txn.fence(now))).collect()
            };
            for (id, image) in aborts {
                let (coordinator, shard) = (self.clone(), shard.clone());
                self.parts.runtime.spawn(Box::pin(async move {
                    match coordinator.decide(&shard, &id, image, true).await {
                        Ok(()) => tracing::info!(target: "kafka.coordinator.transaction", transactional_id = id,
                            "Completed rollback of ongoing transaction due to timeout"),
                        Err(error) => {
                            tracing::warn!(target: "kafka.coordinator.transaction", transactional_id = id, %error,
                            "Rollback of ongoing transaction failed")
                        }
                    }
                }));
            }
        }
    }

    /// Forgets ids that were not used for `transactional.id.expiration.ms`. Does not wait.
    pub fn expire_ids(self: &Arc<Self>) {
        let now = self.parts.clock.wall_ms();
        for shard in self.all_shards() {
            let mut expired = Vec::new();
            {
                let mut state = shard.state.lock();
                for (id, txn) in &mut state.txns {
                    if txn.is_expired(now, self.config.id_expiration_ms) {
                        txn.bury();
                        expired.push(id.clone());
                    }
                }
            }
            while !expired.is_empty() {
                let mut bytes = 0;
                let fits = |id: &&String| {
                    bytes += id.len();
                    bytes <= TOMBSTONE_KEY_BYTES
                };
                let count = expired.iter().take_while(fits).count().max(1);
                let ids: Vec<String> = expired.drain(..count).collect();
                self.forget(shard.clone(), ids);
            }
        }
    }

    /// Writes tombstones for ids that are marked as dead, and removes them.
    fn forget(self: &Arc<Self>, shard: Arc<Shard>, ids: Vec<String>) {
        let coordinator = self.clone();
        self.parts.runtime.spawn(Box::pin(async move {
            let lines: Vec<(Bytes, Option<Bytes>)> = ids.iter().map(|id| (records::key(id), None)).collect();
            let written = coordinator.append_records(&shard, &lines, coordinator.config.request_timeout_ms).await;
            let mut state = shard.state.lock();
            for id in &ids {
                match (written, state.txns.get_mut(id)) {
                    (Ok(()), Some(txn)) if txn.pending() == Some(State::Dead) => _ = state.txns.remove(id),
                    (Err(_), Some(txn)) => txn.not_written(false),
                    _ => {}
                }
            }
            match written {
                Ok(()) => tracing::info!(target: "kafka.coordinator.transaction", partition = shard.partition,
                    count = ids.len(), "Removed expired transactional ids"),
                Err(error) => tracing::warn!(target: "kafka.coordinator.transaction", partition = shard.partition,
                    count = ids.len(), %error, "Failed to remove expired transactional ids"),
            }
        }));
    }
}
