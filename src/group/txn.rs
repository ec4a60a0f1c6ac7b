//! Offsets that are committed as part of a transaction: written at once, in force when the transaction's marker comes.
//! Studied: `GroupMetadataManager.scheduleHandleTxnCompletion`, `GroupMetadata.completePendingTxnOffsetCommit` (KIP-98).

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::coordinator::{Coordinator, GroupConfig, Held, ShardState, commit_error};
use super::machine::Claim;
use super::offsets::Committed;
use super::records;
use crate::error::ErrorCode;
use crate::ids::{Offset, TopicPartition};
use crate::replica::txn::TxnProducer;

/// Which groups of a shard have offsets of a producer's open transaction; and the ends of transactions that came while
/// the shard was being loaded.
#[derive(Default)]
pub(super) struct OpenTxns {
    groups: HashMap<i64, HashSet<String>>,
    ended_while_loading: Vec<(i64, bool)>,
}

impl OpenTxns {
    pub fn note(&mut self, producer_id: i64, group_id: &str) {
        self.groups.entry(producer_id).or_default().insert(group_id.to_owned());
    }
}

impl ShardState {
    /// The groups have been read from the log.
    pub(super) fn loaded(&mut self) {
        for (group_id, held) in &self.groups {
            for producer_id in held.offsets.producers() {
                self.open_txns.note(producer_id, group_id);
            }
        }
        // A marker may have been written behind what was read. If it was read, nothing is left to end: no new
        // transactional commit was accepted since.
        for (producer_id, commit) in std::mem::take(&mut self.open_txns.ended_while_loading) {
            self.end_txn(producer_id, commit);
        }
    }

    fn end_txn(&mut self, producer_id: i64, commit: bool) {
        for group_id in self.open_txns.groups.remove(&producer_id).unwrap_or_default() {
            if let Some(held) = self.groups.get_mut(&group_id) {
                held.offsets.end(producer_id, commit);
            }
        }
    }
}

impl Coordinator {
    /// TxnOffsetCommit of partitions that were found good; one result for all of them.
    pub async fn commit_in_txn(
        &self,
        group_id: &str,
        claim: Claim<'_>,
        producer: TxnProducer,
        offsets: Vec<(TopicPartition, Committed)>,
    ) -> Result<(), ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let shard = self.shard(group_id)?;
        let (producer_id, epoch) = (producer.producer_id, producer.epoch);
        shard.state.lock().groups.entry(group_id.to_owned()).or_insert_with_key(|id| Held::new(id));
        let guard = self.log.verify_txn(shard.partition, producer).await.map_err(commit_error)?;
        let lines: Vec<(Bytes, Option<Bytes>)> = offsets
            .iter()
            .map(|(partition, committed)| {
                (records::offset_key(group_id, partition), Some(records::offset_value(committed)))
            })
            .collect();
        let appended = {
            let mut state = shard.state.lock();
            // Gone meanwhile, as a group of nobody or with the leadership.
            let held = state.groups.get_mut(group_id).ok_or(ErrorCode::NotCoordinator)?;
            held.machine.check_txn_commit(claim)?;
            if offsets.is_empty() {
                return Ok(());
            }
            for (partition, committed) in &offsets {
                held.offsets.begin(producer_id, partition.clone(), None, committed.clone());
            }
            state.open_txns.note(producer_id, group_id);
            let batch = records::txn_batch(&lines, self.clock.wall_ms(), producer_id, epoch);
            let GroupConfig { commit_required_acks, commit_timeout_ms, .. } = self.config;
            self.log.append_verified(shard.partition, batch, commit_required_acks, commit_timeout_ms, guard)
        };
        let appended = appended.await;
        let mut state = shard.state.lock();
        if let Some(held) = state.groups.get_mut(group_id) {
            for (n, (partition, committed)) in offsets.iter().enumerate() {
                match &appended {
                    Ok(base) => held.offsets.written(producer_id, partition, Offset(base.0 + n as i64), committed),
                    Err(_) => held.offsets.not_written(producer_id, partition),
                }
            }
        }
        appended.map(|_| ()).map_err(commit_error)
    }

    /// A marker of the producer has been written to the partition of `__consumer_offsets`.
    pub fn txn_ended(&self, partition: i32, producer_id: i64, commit: bool) {
        let Some(shard) = self.shards.read().get(&partition).cloned() else { return };
        let mut state = shard.state.lock();
        if state.loading {
            state.open_txns.ended_while_loading.push((producer_id, commit));
        } else {
            state.end_txn(producer_id, commit);
        }
    }
}
