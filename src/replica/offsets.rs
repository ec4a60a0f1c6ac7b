//! ListOffsets and OffsetForLeaderEpoch on one partition. Studied: `Partition.fetchOffsetForTimestamp`.

use crate::error::ErrorCode;
use crate::ids::{LeaderEpoch, Offset};

use super::hosted::Partition;

/// Timestamps with a meaning of their own.
pub const LATEST: i64 = -1;
pub const EARLIEST: i64 = -2;
pub const MAX_TIMESTAMP: i64 = -3;
pub const EARLIEST_LOCAL: i64 = -4;
pub const LATEST_TIERED: i64 = -5;

/// Who asks for an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReader {
    Consumer {
        read_committed: bool,
    },
    /// A follower: sees the log's end.
    Replica,
    /// Replica id -2: as a replica, but at any broker.
    Debug,
}

/// An answer to ListOffsets; -1 each where nothing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    pub timestamp: i64,
    pub offset: Offset,
    pub leader_epoch: LeaderEpoch,
}

impl ListedOffset {
    const NOTHING: Self = Self { timestamp: -1, offset: Offset::NONE, leader_epoch: LeaderEpoch::NONE };
}

impl Partition {
    /// The segment starts that ListOffsets v0 asks for, newest first; consumers see nothing above the high watermark.
    ///
    /// Errors: 6 if not leader; 56.
    pub fn list_segment_starts(
        &self,
        reader: OffsetReader,
        timestamp: i64,
        max: usize,
        now_ms: i64,
    ) -> Result<Vec<Offset>, ErrorCode> {
        let high_watermark = self.with_state(|state| {
            if self.is_stopped() || (reader != OffsetReader::Debug && !state.is_leader()) {
                return Err(ErrorCode::NotLeaderOrFollower);
            }
            Ok(state.high_watermark())
        })?;
        let view = self.view();
        let starts = match timestamp {
            LATEST => view.segment_starts(None, now_ms, max),
            // The oldest alone.
            EARLIEST => {
                let first = view.first_segment_base().max(view.start_offset());
                Ok(std::iter::once(first).take(max).collect())
            }
            _ => view.segment_starts(Some(timestamp), now_ms, max),
        };
        let mut starts = starts.map_err(|error| ErrorCode::from(&error))?;
        let above = starts.iter().take_while(|start| **start > high_watermark).count();
        if matches!(reader, OffsetReader::Consumer { .. }) && above > 0 {
            starts.splice(..above, [high_watermark]);
        }
        Ok(starts)
    }

    /// The offset for `timestamp`, real or special.
    ///
    /// Errors: 74, 75 by epoch; 6 if not leader; 78 if a new leader cannot know yet what consumers may see; 56.
    pub fn list_offset(
        &self,
        reader: OffsetReader,
        current_epoch: LeaderEpoch,
        timestamp: i64,
    ) -> Result<ListedOffset, ErrorCode> {
        let (high_watermark, leader_epoch, latest_is_known) = self.with_state(|state| {
            state.check_epoch(current_epoch)?;
            if self.is_stopped() || (reader != OffsetReader::Debug && !state.is_leader()) {
                return Err(ErrorCode::NotLeaderOrFollower);
            }
            Ok((state.high_watermark(), state.leader_epoch(), state.latest_is_known()))
        })?;
        let view = self.view();
        let (limit, is_client) = match reader {
            OffsetReader::Consumer { read_committed: true } => (view.last_stable_offset(high_watermark), true),
            OffsetReader::Consumer { read_committed: false } => (high_watermark, true),
            OffsetReader::Replica | OffsetReader::Debug => (view.end_offset(), false),
        };
        let lags = is_client && !latest_is_known;
        let found = match timestamp {
            LATEST if lags => return Err(ErrorCode::OffsetNotAvailable),
            LATEST => return Ok(ListedOffset { timestamp: -1, offset: limit, leader_epoch }),
            EARLIEST | EARLIEST_LOCAL => {
                let start = view.start_offset();
                // Records older than epochs have none.
                let first = view.epochs().earliest().filter(|(_, from)| *from <= start);
                let leader_epoch = first.map_or(LeaderEpoch::NONE, |(epoch, _)| epoch);
                return Ok(ListedOffset { timestamp: -1, offset: start, leader_epoch });
            }
            // Nothing is tiered here.
            LATEST_TIERED => return Ok(ListedOffset::NOTHING),
            MAX_TIMESTAMP => view.max_timestamp(),
            _ => view.offset_for_timestamp(timestamp),
        };
        let found = found.map_err(|error| ErrorCode::from(&error))?;
        match found.filter(|found| found.offset < limit) {
            Some(found) => {
                Ok(ListedOffset { timestamp: found.timestamp, offset: found.offset, leader_epoch: found.leader_epoch })
            }
            None if lags => Err(ErrorCode::OffsetNotAvailable),
            None => Ok(ListedOffset::NOTHING),
        }
    }

    /// Where the largest epoch not after `epoch` ends; (-1, -1) if none is known. Only at the leader.
    pub fn leader_end_offset(
        &self,
        current_epoch: LeaderEpoch,
        epoch: LeaderEpoch,
    ) -> Result<(LeaderEpoch, Offset), ErrorCode> {
        self.with_state(|state| state.check_leader(current_epoch))?;
        if self.is_stopped() {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        Ok(self.view().end_offset_for_epoch(epoch))
    }
}
