//! Committed offsets of one group.

use std::collections::BTreeMap;

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

    pub fn remove(&mut self, partition: &TopicPartition) -> bool {
        self.committed.remove(partition).is_some()
    }

    pub fn get(&self, partition: &TopicPartition) -> Option<&Committed> {
        self.committed.get(partition).map(|(_, committed)| committed)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &Committed)> {
        self.committed.iter().map(|(partition, (_, committed))| (partition, committed))
    }

    pub fn is_empty(&self) -> bool {
        self.committed.is_empty()
    }
}
