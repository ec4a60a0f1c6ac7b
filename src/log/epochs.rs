//! Leader epochs of a partition: which epoch began at which offset (KIP-101).
//!
//! An immutable value: readers share it through the log's view, the log replaces it. Source: `LeaderEpochFileCache`.

use crate::ids::{LeaderEpoch, Offset};

/// (epoch, start offset) pairs; both grow strictly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Epochs {
    entries: Vec<(i32, i64)>,
}

impl Epochs {
    /// From a checkpoint file, in any order.
    pub fn from_entries(entries: impl IntoIterator<Item = (i32, i64)>) -> Self {
        let mut sorted: Vec<_> = entries.into_iter().collect();
        sorted.sort_unstable();
        let mut epochs = Self::default();
        for (epoch, start) in sorted {
            epochs.assign(epoch, start);
        }
        epochs
    }

    pub fn entries(&self) -> &[(i32, i64)] {
        &self.entries
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|(epoch, _)| LeaderEpoch(*epoch))
    }

    /// The oldest known epoch and its start.
    pub fn earliest(&self) -> Option<(LeaderEpoch, Offset)> {
        self.entries.first().map(|(epoch, start)| (LeaderEpoch(*epoch), Offset(*start)))
    }

    /// Epoch of the record at `offset`, as far as known.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.entries.iter().rev().find(|(_, start)| *start <= offset.0).map(|(epoch, _)| LeaderEpoch(*epoch))
    }

    /// Would [`Self::assign`] change anything?
    pub(super) fn would_change(&self, epoch: i32, start: i64) -> bool {
        self.entries.last().is_none_or(|(latest, from)| epoch != *latest || start < *from)
    }

    /// Notes that `epoch` begins at `start`; entries that contradict it go. Returns whether anything changed.
    pub(super) fn assign(&mut self, epoch: i32, start: i64) -> bool {
        let change = epoch >= 0 && start >= 0 && self.would_change(epoch, start);
        if change {
            self.entries.retain(|(other, from)| *other < epoch && *from < start);
            self.entries.push((epoch, start));
        }
        change
    }

    /// The log now ends at `end`: epochs that begin there or later go.
    pub(super) fn truncate_from_end(&mut self, end: i64) -> bool {
        let before = self.entries.len();
        self.entries.retain(|(_, start)| *start < end);
        before != self.entries.len()
    }

    /// The log now begins at `start`: the epoch in force there begins there.
    pub(super) fn truncate_from_start(&mut self, start: i64) -> bool {
        let older = self.entries.partition_point(|(_, from)| *from <= start);
        let Some(last) = older.checked_sub(1) else { return false };
        if last == 0 && self.entries[0].1 == start {
            return false;
        }
        self.entries.drain(..last);
        self.entries[0].1 = start;
        true
    }

    /// The answer to OffsetForLeaderEpoch: the largest known epoch not after `epoch`, and the offset where it ends.
    /// (-1, -1) if nothing is known.
    pub fn end_offset_for(&self, epoch: LeaderEpoch, log_end: Offset) -> (LeaderEpoch, Offset) {
        let undefined = (LeaderEpoch::NONE, Offset::NONE);
        let Some((latest, _)) = self.entries.last() else { return undefined };
        if epoch == LeaderEpoch::NONE || epoch.0 > *latest {
            return undefined;
        }
        if epoch.0 == *latest {
            return (epoch, log_end);
        }
        let higher = self.entries.partition_point(|(other, _)| *other <= epoch.0);
        let end = Offset(self.entries[higher].1);
        match higher.checked_sub(1) {
            None => (epoch, end),
            Some(floor) => (LeaderEpoch(self.entries[floor].0), end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(epochs: &Epochs, epoch: i32) -> (i32, i64) {
        let (epoch, offset) = epochs.end_offset_for(LeaderEpoch(epoch), Offset(100));
        (epoch.0, offset.0)
    }

    #[test]
    fn rules_of_assignment_and_lookup() {
        let mut epochs = Epochs::default();
        assert_eq!(end(&epochs, 0), (-1, -1));
        assert!(epochs.assign(2, 10) && epochs.assign(4, 20) && epochs.assign(7, 30));
        assert!(!epochs.assign(7, 35));
        assert_eq!(end(&epochs, -1), (-1, -1));
        assert_eq!(end(&epochs, 1), (1, 10));
        assert_eq!(end(&epochs, 2), (2, 20));
        assert_eq!(end(&epochs, 3), (2, 20));
        assert_eq!(end(&epochs, 6), (4, 30));
        assert_eq!(end(&epochs, 7), (7, 100));
        assert_eq!(end(&epochs, 8), (-1, -1));
        assert!(epochs.assign(5, 15));
        assert_eq!(epochs.entries(), [(2, 10), (5, 15)]);
        assert_eq!(epochs.epoch_at(Offset(14)), Some(LeaderEpoch(2)));
    }

    #[test]
    fn truncation() {
        let mut epochs = Epochs::from_entries([(0, 0), (3, 10), (4, 20)]);
        assert!(epochs.truncate_from_end(20));
        assert!(!epochs.truncate_from_end(20));
        assert_eq!(epochs.entries(), [(0, 0), (3, 10)]);
        assert!(epochs.truncate_from_start(17));
        assert_eq!(epochs.entries(), [(3, 17)]);
        assert!(!epochs.truncate_from_start(17));
        assert!(!epochs.truncate_from_start(5));
    }
}
