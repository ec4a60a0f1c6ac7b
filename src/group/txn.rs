//! Offsets that are committed as part of a transaction: written at once, in force when the transaction's marker comes.
//! Studied: `GroupMetadataManager.scheduleHandleTxnCompletion`, `GroupMetadata.completePendingTxnOffsetCommit` (KIP-98).

use std::collections::{HashMap, HashSet};

use super::coordinator::{Coordinator, ShardState};

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
