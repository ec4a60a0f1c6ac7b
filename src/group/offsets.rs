//! Committed offsets of one group.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{LeaderEpoch, Offset, TopicPartition};
use crate::time::Millis;

/// What OffsetCommit stored for a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub offset: Offset,
    /// -1 if the client did not say.
    pub leader_epoch: LeaderEpoch,
    pub metadata: String,
    /// Wall clock of the commit, ms.
    pub commit_timestamp: Millis,
    /// Explicit expiry of OffsetCommit v2 to v4, wall clock ms.
    pub expire_timestamp: Option<Millis>,
}

/// Offsets of a group. Each entry remembers where in `__consumer_offsets` it stands, so that a commit that was
/// overtaken while it waited for replication does not replace a newer one.
#[derive(Debug, Default)]
pub struct Offsets {
    committed: BTreeMap<TopicPartition, (Offset, Committed)>,
    /// The newest plain commit of a partition that is being written.
    writing: BTreeMap<TopicPartition, Committed>,
    /// Offsets that belong to open transactions, by producer id; without a place while they are being written.
    pending: BTreeMap<i64, BTreeMap<TopicPartition, (Option<Offset>, Committed)>>,
}

impl Offsets {
    /// Applies the record at `log_offset`, unless a later one has been applied.
    pub fn apply(&mut self, partition: TopicPartition, log_offset: Offset, committed: Committed) {
        match self.committed.get(&partition) {
            Some((newer, _)) if *newer > log_offset => {}
            _ => {
                self.committed.insert(partition, (log_offset, committed));
            }
        }
    }

    /// A plain commit is about to be written.
    pub fn begin_write(&mut self, partition: TopicPartition, committed: Committed) {
        self.writing.insert(partition, committed);
    }

    /// It has been written, or could not be; no matter if another began after it.
    pub fn end_write(&mut self, partition: &TopicPartition, committed: &Committed) {
        if self.writing.get(partition) == Some(committed) {
            self.writing.remove(partition);
        }
    }

    /// An offset of a transaction is about to be written, or was read at `log_offset`.
    pub fn begin(
        &mut self,
        producer_id: i64,
        partition: TopicPartition,
        log_offset: Option<Offset>,
        committed: Committed,
    ) {
        self.pending.entry(producer_id).or_default().insert(partition, (log_offset, committed));
    }

    /// An offset of a transaction has been written at `log_offset`; no matter if another came after it.
    pub fn written(&mut self, producer_id: i64, partition: &TopicPartition, log_offset: Offset, written: &Committed) {
        let pending = self.pending.get_mut(&producer_id).and_then(|pending| pending.get_mut(partition));
        if let Some((at, committed)) = pending
            && committed == written
        {
            *at = Some(log_offset);
        }
    }

    /// An offset of a transaction could not be written.
    pub fn not_written(&mut self, producer_id: i64, partition: &TopicPartition) {
        if let Some(pending) = self.pending.get_mut(&producer_id) {
            pending.remove(partition);
            if pending.is_empty() {
                self.pending.remove(&producer_id);
            }
        }
    }

    /// The producer's transaction has ended: its offsets hold from now on, or are forgotten.
    pub fn end(&mut self, producer_id: i64, commit: bool) {
        let pending = self.pending.remove(&producer_id).unwrap_or_default();
        for (partition, (at, committed)) in pending.into_iter().filter(|_| commit) {
            match at {
                Some(at) => self.apply(partition, at, committed),
                None => tracing::error!(target: "kafka.coordinator.group", producer_id, %partition,
                    "A transaction was committed before its offset was known to be written; the offset is left out"),
            }
        }
    }

    /// Is a commit under way, or an open transaction, going to change the partition's offset, perhaps?
    pub fn is_unstable(&self, partition: &TopicPartition) -> bool {
        self.writing.contains_key(partition) || self.pending.values().any(|pending| pending.contains_key(partition))
    }

    /// Producers whose transactions hold offsets here.
    pub fn producers(&self) -> BTreeSet<i64> {
        self.pending.keys().copied().collect()
    }

    pub fn remove(&mut self, partition: &TopicPartition) -> bool {
        self.writing.remove(partition);
        self.pending.retain(|_, pending| {
            pending.remove(partition);
            !pending.is_empty()
        });
        self.committed.remove(partition).is_some()
    }

    pub fn get(&self, partition: &TopicPartition) -> Option<&Committed> {
        self.committed.get(partition).map(|(_, committed)| committed)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &Committed)> {
        self.committed.iter().map(|(partition, (_, committed))| (partition, committed))
    }

    pub fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.writing.is_empty() && self.pending.is_empty()
    }
}
