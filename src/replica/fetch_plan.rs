//! What a Fetch may return and when a waiting one is done: limits as plain arithmetic over offsets and positions. Pure.
//!
//! Studied: `ReplicaManager.readFromLog`, `DelayedFetch.tryComplete`, `LogOffsetMetadata`.

use crate::ids::{BrokerId, LeaderEpoch, Offset};
use crate::log::LogPosition;

/// Who fetches; decides how far it may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// A consumer: up to the high watermark, or to the last stable offset with read_committed.
    Consumer { read_committed: bool },
    /// A follower: up to the log's end; its fetch tells the leader how far it is.
    Replica(BrokerId),
    /// Replica id -2, a debugging consumer: up to the log's end, anywhere.
    Debug,
}

impl Reader {
    /// The reader behind a wire replica id and isolation level.
    pub fn from_wire(replica_id: i32, isolation_level: i8) -> Self {
        match replica_id {
            id if id >= 0 => Reader::Replica(BrokerId(id)),
            -2 => Reader::Debug,
            _ => Reader::Consumer { read_committed: isolation_level == 1 },
        }
    }

    /// A broker that fetches as a follower.
    pub fn replica(self) -> Option<BrokerId> {
        match self {
            Reader::Replica(broker) => Some(broker),
            _ => None,
        }
    }

    /// Does it read beyond the high watermark?
    pub fn reads_to_log_end(self) -> bool {
        !matches!(self, Reader::Consumer { .. })
    }
}

/// The byte budget of one request, spent partition by partition in order.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    left: usize,
    /// Nothing was returned yet: the next partition gives one whole batch, however large.
    first: bool,
}

/// How much one partition may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub max_bytes: usize,
    /// The first batch is returned whole even if it is larger than `max_bytes`. Otherwise a first batch that does not
    /// fit gives nothing.
    pub at_least_one_batch: bool,
}

impl Budget {
    /// A budget of `max_bytes`. `hard`: not even the first batch may go over a limit (Fetch before v3).
    pub fn new(max_bytes: usize, hard: bool) -> Self {
        Self { left: max_bytes, first: !hard }
    }

    /// What a partition with its own limit may give now.
    pub fn allowance(&self, partition_max_bytes: usize) -> Allowance {
        Allowance { max_bytes: partition_max_bytes.min(self.left), at_least_one_batch: self.first }
    }

    /// A partition gave `bytes`.
    pub fn took(&mut self, bytes: usize) {
        self.first &= bytes == 0;
        self.left = self.left.saturating_sub(bytes);
    }
}

/// What a partition contributes to a waiting fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contribution {
    /// Answer now: the situation changed in a way that counting bytes does not show.
    AnswerNow,
    /// This many bytes are there.
    Bytes(usize),
}

/// Compares the place fetched from with the place that may be read up to.
pub fn contribution(fetch: LogPosition, limit: LogPosition, partition_max_bytes: usize) -> Contribution {
    match fetch.offset.cmp(&limit.offset) {
        // Truncated behind the reader's back.
        std::cmp::Ordering::Greater => Contribution::AnswerNow,
        // Equal offsets may lie on different segments just after a roll; that is no data.
        std::cmp::Ordering::Equal => Contribution::Bytes(0),
        // A segment lies between: positions cannot be subtracted, and there is data for sure.
        std::cmp::Ordering::Less if fetch.segment_base < limit.segment_base => Contribution::AnswerNow,
        std::cmp::Ordering::Less => {
            let bytes = limit.position.saturating_sub(fetch.position);
            Contribution::Bytes(partition_max_bytes.min(usize::try_from(bytes).unwrap_or(usize::MAX)))
        }
    }
}

/// The leader's view of a follower's history: where the epoch of its last record ended here.
///
/// Returns (epoch, end offset) to truncate to, if the histories differ (KIP-595). `ended` is the largest epoch not
/// above `last_fetched` with its end offset in the leader's log.
pub fn diverging(
    fetch_offset: Offset,
    last_fetched: LeaderEpoch,
    ended: (LeaderEpoch, Offset),
) -> Option<(LeaderEpoch, Offset)> {
    let (epoch, end) = ended;
    (epoch < last_fetched || end < fetch_offset).then_some(ended)
}

/// What a follower truncates to after its leader told where `leader.0` ended, and whether that settles it.
///
/// `own` is the follower's own answer for the leader's epoch: the largest epoch not above it and its end; none if it
/// knows no such epoch. Rules of KIP-101 and KIP-279. Studied: `AbstractFetcherThread.getOffsetTruncationState`.
pub fn truncation(
    leader: (LeaderEpoch, Offset),
    own: Option<(LeaderEpoch, Offset)>,
    log_end: Offset,
    high_watermark: Offset,
) -> (Offset, bool) {
    let (leader_epoch, leader_end) = leader;
    if leader_end.is_none() {
        return (high_watermark, true);
    }
    if leader_epoch.is_none() {
        return (leader_end.min(log_end), true);
    }
    match own {
        Some((epoch, end)) if epoch == leader_epoch => (end.min(leader_end).min(log_end), true),
        // The leader's epoch is unknown here: go back to the end of the one before it and ask again.
        Some((_, end)) => (end.min(log_end), false),
        None => (leader_end.min(log_end), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64, segment: i64, position: u64) -> LogPosition {
        LogPosition { offset: Offset(offset), segment_base: Offset(segment), position }
    }

    #[test]
    fn first_partition_with_data_gives_a_batch_over_the_limits() {
        let mut budget = Budget::new(100, false);
        assert_eq!(budget.allowance(30), Allowance { max_bytes: 30, at_least_one_batch: true });
        budget.took(0);
        assert!(budget.allowance(30).at_least_one_batch, "an empty partition does not count");
        budget.took(80);
        assert_eq!(budget.allowance(30), Allowance { max_bytes: 20, at_least_one_batch: false });
        budget.took(500);
        assert_eq!(budget.allowance(30).max_bytes, 0);
    }

    #[test]
    fn waiting_counts_bytes_by_position() {
        let rows = [
            (at(5, 0, 50), at(9, 0, 90), 100, Contribution::Bytes(40)),
            (at(5, 0, 50), at(9, 0, 90), 10, Contribution::Bytes(10)),
            (at(9, 0, 90), at(9, 9, 0), 100, Contribution::Bytes(0)),
            (at(5, 0, 50), at(12, 9, 20), 100, Contribution::AnswerNow),
            (at(9, 0, 90), at(5, 0, 50), 100, Contribution::AnswerNow),
        ];
        for (fetch, limit, max, want) in rows {
            assert_eq!(contribution(fetch, limit, max), want);
        }
    }

    #[test]
    fn histories_that_agree_do_not_diverge() {
        let e = LeaderEpoch;
        assert_eq!(diverging(Offset(8), e(2), (e(2), Offset(8))), None);
        assert_eq!(diverging(Offset(5), e(2), (e(2), Offset(8))), None);
        assert_eq!(diverging(Offset(8), e(0), (e(0), Offset(3))), Some((e(0), Offset(3))), "own records of epoch 0");
        assert_eq!(diverging(Offset(8), e(2), (e(1), Offset(9))), Some((e(1), Offset(9))), "epoch 2 never was here");
    }

    #[test]
    fn truncation_rules() {
        let e = LeaderEpoch;
        let rows = [
            ((e(3), Offset::NONE), Some((e(3), Offset(8))), (3, true)),
            ((e(-1), Offset(6)), Some((e(3), Offset(8))), (6, true)),
            ((e(3), Offset(5)), Some((e(3), Offset(8))), (5, true)),
            ((e(3), Offset(9)), Some((e(3), Offset(7))), (7, true)),
            ((e(3), Offset(9)), Some((e(1), Offset(4))), (4, false)),
            ((e(3), Offset(20)), None, (8, true)),
        ];
        for (leader, own, (offset, done)) in rows {
            assert_eq!(truncation(leader, own, Offset(8), Offset(3)), (Offset(offset), done), "{leader:?} {own:?}");
        }
    }

    #[test]
    fn readers() {
        assert_eq!(Reader::from_wire(-1, 1), Reader::Consumer { read_committed: true });
        assert_eq!(Reader::from_wire(3, 1), Reader::Replica(BrokerId(3)));
        assert_eq!(Reader::from_wire(-2, 0), Reader::Debug);
    }
}
