//! What readers see of a log: an immutable value, published after every change.
//!
//! A read takes no lock of the log, so a disk that hangs in an append does not stop readers. Whoever holds a view keeps
//! its segments' files from going away; only a follower's truncation can shorten them under a reader, which then finds
//! fewer bytes than announced.

use std::io;
use std::sync::Arc;

use super::dir::LogDir;
use super::epochs::Epochs;
use super::error::{ReadError, StorageError};
use super::index::TimestampOffset;
use super::producers::Unstable;
use super::segment::Segment;
use super::txn_index::AbortedTxn;
use crate::ids::{LeaderEpoch, Offset, TopicId};
use crate::wire::FileSlice;

/// Recent batches whose positions a view remembers, so that readers at the tail need no index.
pub(super) const TAIL_BATCHES: usize = 8;

/// An offset and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPosition {
    pub offset: Offset,
    pub segment_base: Offset,
    /// Bytes from the beginning of the segment.
    pub position: u64,
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct Read {
    /// Whole batches, perhaps with a cut one at the end; `None` if nothing may be read yet.
    pub slice: Option<FileSlice>,
    /// The offset that was asked for, and where its batch begins.
    pub position: LogPosition,
    /// Is the first batch cut off?
    pub first_batch_incomplete: bool,
}

impl Read {
    /// Bytes found.
    pub fn len(&self) -> usize {
        self.slice.as_ref().map_or(0, |slice| slice.len)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A timestamp that was found, with the offset and epoch of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundTimestamp {
    pub timestamp: i64,
    pub offset: Offset,
    /// `NONE` if not known.
    pub leader_epoch: LeaderEpoch,
}

/// The first and last offsets of a log, its segments, its epochs, at one moment.
#[derive(Clone, Debug)]
pub struct LogView {
    pub(super) dir: Arc<LogDir>,
    pub(super) topic_id: TopicId,
    pub(super) start: i64,
    pub(super) end: i64,
    /// Never empty; the last one is active and ends at `end_position`.
    pub(super) segments: Arc<[Arc<Segment>]>,
    pub(super) end_position: u64,
    pub(super) epochs: Arc<Epochs>,
    pub(super) unstable: Unstable,
    /// (base offset, position) of the last appends to the active segment, ascending, then unused slots of (MAX, 0).
    pub(super) tail: [(i64, u64); TAIL_BATCHES],
}

impl LogView {
    /// The log start offset: the first that may be read.
    pub fn start_offset(&self) -> Offset {
        Offset(self.start)
    }

    /// The log end offset: the next to be written.
    pub fn end_offset(&self) -> Offset {
        Offset(self.end)
    }

    /// The log end offset and where the next batch will lie.
    pub fn end_position(&self) -> LogPosition {
        let segment_base = Offset(self.active().base_offset);
        LogPosition { offset: Offset(self.end), segment_base, position: self.end_position }
    }

    /// The topic's id; zero if none was ever given.
    pub fn topic_id(&self) -> TopicId {
        self.topic_id
    }

    pub fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// The answer to OffsetForLeaderEpoch; (-1, -1) if nothing is known.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> (LeaderEpoch, Offset) {
        self.epochs.end_offset_for(epoch, self.end_offset())
    }

    /// What readers of committed data may see under this high watermark.
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        Offset(self.unstable.last_stable_offset(high_watermark.0, self.start))
    }

    /// Is a transaction open for longer than any may be?
    pub fn has_late_transaction(&self, now_ms: i64, max_timeout_ms: i64) -> bool {
        self.unstable.has_late_transaction(now_ms, max_timeout_ms)
    }

    /// Bytes of all segments.
    pub fn size(&self) -> u64 {
        let (_, closed) = self.segments.split_last().expect("a log has a segment");
        closed.iter().map(|segment| segment.size()).sum::<u64>() + self.end_position
    }

    /// Number of segments.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Is the log's dir offline? Then nothing can be read.
    pub fn is_offline(&self) -> bool {
        self.dir.is_offline()
    }

    /// The dir that the log is in.
    pub fn log_dir(&self) -> &Arc<LogDir> {
        &self.dir
    }

    /// Base offset of the first segment.
    pub fn first_segment_base(&self) -> Offset {
        Offset(self.segments[0].base_offset)
    }

    fn active(&self) -> &Arc<Segment> {
        self.segments.last().expect("a log has a segment")
    }

    /// The segment that holds `offset`, if there is one.
    fn floor(&self, offset: i64) -> Option<usize> {
        self.segments.partition_point(|segment| segment.base_offset <= offset).checked_sub(1)
    }

    /// Where a segment ends in this view.
    fn end_of(&self, index: usize) -> u64 {
        if index + 1 == self.segments.len() { self.end_position } else { self.segments[index].size() }
    }

    /// Position of the last remembered batch that is not after `target`.
    fn hint(&self, index: usize, target: i64) -> Option<u64> {
        if index + 1 != self.segments.len() {
            return None;
        }
        self.tail.iter().rev().find(|(base, _)| *base <= target).map(|(_, position)| *position)
    }

    /// Where the batch of `offset`, or the next one after it, begins. `None` below the first segment.
    pub fn position_of(&self, offset: Offset) -> Result<Option<LogPosition>, StorageError> {
        self.dir.check()?;
        self.dir.guard_read(self.try_position_of(offset))
    }

    fn try_position_of(&self, offset: Offset) -> io::Result<Option<LogPosition>> {
        if offset.0 >= self.end {
            return Ok(Some(LogPosition { offset, ..self.end_position() }));
        }
        let Some(first) = self.floor(offset.0) else { return Ok(None) };
        for index in first..self.segments.len() {
            let segment = &self.segments[index];
            let found = segment.find(&*segment.file()?, offset.0, self.hint(index, offset.0), self.end_of(index))?;
            if let Some(found) = found {
                let segment_base = Offset(segment.base_offset);
                return Ok(Some(LogPosition { offset, segment_base, position: found.position }));
            }
        }
        Ok(Some(LogPosition { offset, ..self.end_position() }))
    }

    /// Reads from the batch that holds `start` (or the next one), at most `max_bytes` and only batches that begin
    /// before `upper` (exclusive: the high watermark, say). Never spans two segments. With `at_least_one_batch` the
    /// first batch is whole even if it is larger than `max_bytes`; else the last may be cut.
    ///
    /// Errors: `start` is below the log start or above the log end.
    pub fn read(
        &self,
        start: Offset,
        max_bytes: usize,
        upper: Offset,
        at_least_one_batch: bool,
    ) -> Result<Read, ReadError> {
        self.dir.check()?;
        if start.0 < self.start || start.0 > self.end {
            let (from, to) = (self.start_offset(), self.end_offset());
            return Err(ReadError::OffsetOutOfRange { offset: start, start: from, end: to });
        }
        Ok(self.dir.guard_read(self.try_read(start, max_bytes, upper, at_least_one_batch))?)
    }

    fn try_read(&self, start: Offset, max_bytes: usize, upper: Offset, at_least_one: bool) -> io::Result<Read> {
        let nothing = |position| Read { slice: None, position, first_batch_incomplete: false };
        let upper = upper.0.min(self.end);
        if start.0 >= upper {
            let position = self.try_position_of(start)?;
            return Ok(nothing(position.unwrap_or(LogPosition { offset: start, ..self.end_position() })));
        }
        let first = self.floor(start.0).unwrap_or(0);
        for index in first..self.segments.len() {
            let segment = &self.segments[index];
            let end = self.end_of(index);
            let file = segment.file()?;
            let Some(found) = segment.find(&file, start.0, self.hint(index, start.0), end)? else { continue };
            let position =
                LogPosition { offset: start, segment_base: Offset(segment.base_offset), position: found.position };
            let next_base = self.segments.get(index + 1).map(|next| next.base_offset);
            let limit = if upper >= self.end || next_base.is_some_and(|base| base <= upper) {
                end
            } else {
                segment.find(&file, upper, self.hint(index, upper), end)?.map_or(end, |found| found.position)
            };
            let size = found.header.size();
            let wanted = if at_least_one { max_bytes.max(size) } else { max_bytes };
            let len = wanted.min(limit.saturating_sub(found.position) as usize);
            return Ok(Read {
                slice: (len > 0).then_some(FileSlice { file, position: found.position, len }),
                position,
                first_batch_incomplete: len < size,
            });
        }
        Ok(nothing(LogPosition { offset: start, ..self.end_position() }))
    }

    /// The transactions that were aborted among the records of a read. May list more than needed, never fewer.
    pub fn aborted_transactions(&self, read: &Read) -> Result<Vec<AbortedTxn>, StorageError> {
        self.dir.check()?;
        self.dir.guard_read(self.try_aborted(read))
    }

    fn try_aborted(&self, read: &Read) -> io::Result<Vec<AbortedTxn>> {
        let from = read.position.offset.0;
        let Some(index) = self.floor(read.position.segment_base.0) else { return Ok(Vec::new()) };
        let bound = self.segments[index].offset_bound(read.position.position + read.len() as u64)?;
        let next_base = self.segments.get(index + 1).map(|next| next.base_offset);
        let upper = bound.or(next_base).unwrap_or(self.end);
        let mut aborted = Vec::new();
        for segment in &self.segments[index..] {
            for txn in segment.aborted_txns()? {
                if txn.last_offset >= from && txn.first_offset < upper {
                    aborted.push(txn);
                }
                if txn.last_stable_offset >= upper {
                    return Ok(aborted);
                }
            }
        }
        Ok(aborted)
    }

    /// The first record whose timestamp is at least `target`, as ListOffsets asks for.
    pub fn offset_for_timestamp(&self, target: i64) -> Result<Option<FoundTimestamp>, StorageError> {
        self.dir.check()?;
        self.dir.guard_read(self.try_offset_for_timestamp(target))
    }

    fn try_offset_for_timestamp(&self, target: i64) -> io::Result<Option<FoundTimestamp>> {
        for (index, segment) in self.segments.iter().enumerate() {
            if segment.largest_timestamp()?.timestamp >= target {
                return Ok(segment.find_timestamp(target, self.start, self.end_of(index))?.map(found_timestamp));
            }
        }
        Ok(None)
    }

    /// Where segments begin that were last written up to `until_ms` (`None`: all), and the log end, which counts as written
    /// now; newest first, at most `max`. What ListOffsets meant before records had timestamps.
    pub fn segment_starts(&self, until_ms: Option<i64>, now_ms: i64, max: usize) -> Result<Vec<Offset>, StorageError> {
        self.dir.check()?;
        self.dir.guard_read(self.try_segment_starts(until_ms, now_ms, max))
    }

    fn try_segment_starts(&self, until_ms: Option<i64>, now_ms: i64, max: usize) -> io::Result<Vec<Offset>> {
        let mut starts: Vec<(i64, i64)> = Vec::with_capacity(self.segments.len() + 1);
        for segment in self.segments.iter() {
            starts.push((segment.base_offset.max(self.start), segment.modified_ms()?));
        }
        if self.end_position > 0 {
            starts.push((self.end, now_ms));
        }
        let count = match until_ms {
            None => starts.len(),
            Some(until) => starts.iter().rposition(|(_, modified)| *modified <= until).map_or(0, |last| last + 1),
        };
        Ok(starts[..count].iter().rev().take(max).map(|(start, _)| Offset(*start)).collect())
    }

    /// The record with the largest timestamp, the first of them if there are several.
    pub fn max_timestamp(&self) -> Result<Option<FoundTimestamp>, StorageError> {
        self.dir.check()?;
        self.dir.guard_read(self.try_max_timestamp())
    }

    fn try_max_timestamp(&self) -> io::Result<Option<FoundTimestamp>> {
        let mut best: Option<(usize, TimestampOffset)> = None;
        for (index, segment) in self.segments.iter().enumerate() {
            let largest = segment.largest_timestamp()?;
            if largest.timestamp >= 0 && best.is_none_or(|(_, known)| largest.timestamp > known.timestamp) {
                best = Some((index, largest));
            }
        }
        let Some((index, _)) = best else { return Ok(None) };
        Ok(self.segments[index].find_largest_timestamp(self.end_of(index))?.map(found_timestamp))
    }
}

fn found_timestamp((found, epoch): (TimestampOffset, i32)) -> FoundTimestamp {
    let TimestampOffset { timestamp, offset } = found;
    FoundTimestamp { timestamp, offset: Offset(offset), leader_epoch: LeaderEpoch(epoch) }
}
