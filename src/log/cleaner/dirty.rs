//! How dirty a log is: where its dirty part begins, how far it may be cleaned, and whether it is time to.
//! Source: `LogCleanerManager.{cleanableOffsets, calculateCleanableBytes, maxCompactionDelay}` of Kafka 3.9.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::pass::Pass;
use crate::ids::Offset;
use crate::log::handle::LogHandle;
use crate::log::log::Log;
use crate::log::segment::Segment;

/// See the head of the file.
#[derive(Clone, Debug)]
pub struct Dirty {
    pub pass: Pass,
    /// Bytes of segments that were cleaned before, and of those that could be cleaned now.
    pub clean_bytes: u64,
    pub cleanable_bytes: u64,
    /// How long the oldest dirty data should have been compacted already (`max.compaction.lag.ms`).
    pub overdue_ms: i64,
    /// The checkpoint was of another life of the log; the log start takes its place.
    pub reset: bool,
}

impl Dirty {
    /// Looks at a log.
    pub fn of(log: &LogHandle, now_ms: i64) -> io::Result<Self> {
        let (truncations, view, from, reset) = {
            let locked = log.lock();
            let (view, known) = (locked.view(), log.first_dirty_offset());
            // Below the start after a deletion; above the end if the end was lost.
            let valid = known.filter(|known| (view.start_offset()..=view.end_offset()).contains(known));
            let reset = known.is_some() && valid.is_none();
            if reset {
                log.set_first_dirty_offset(Some(view.start_offset()));
            }
            (locked.truncations, view.clone(), valid.unwrap_or(view.start_offset()).0, reset)
        };
        let (config, segments) = (log.config(), view.segments.clone());

        let (active, closed) = segments.split_last().expect("a log has a segment");
        let holding = |offset: i64| closed.partition_point(|segment| segment.base_offset <= offset).saturating_sub(1);
        let dirty = if from > active.base_offset { &[] } else { &closed[holding(from).min(closed.len())..] };
        let mut limit = log.last_stable_offset().0.min(active.base_offset);
        if config.min_compaction_lag_ms > 0 {
            let newest_ms = now_ms.saturating_sub(config.min_compaction_lag_ms);
            for segment in dirty {
                if largest_time_ms(segment)? > newest_ms {
                    limit = limit.min(segment.base_offset);
                    break;
                }
            }
        }
        // Whole segments only.
        let limit = limit.max(from);
        let to = match closed.get(holding(limit)).filter(|_| limit < active.base_offset) {
            Some(segment) => segment.base_offset,
            None => active.base_offset,
        };
        let bytes = |segments: &[Arc<Segment>]| segments.iter().map(|segment| segment.size()).sum::<u64>();
        let clean = segments.partition_point(|segment| segment.base_offset < from);
        let cleanable = closed.partition_point(|segment| segment.base_offset < to);
        let first = holding(from.min(to));
        Ok(Self {
            clean_bytes: bytes(&segments[..clean]),
            cleanable_bytes: if from < to { bytes(closed.get(first..cleanable).unwrap_or_default()) } else { 0 },
            overdue_ms: overdue_ms(dirty, now_ms, config.max_compaction_lag_ms)?,
            pass: Pass { segments, from, to, truncations },
            reset,
        })
    }

    /// Cleanable bytes as a part of those looked at, 0 to 1.
    pub fn ratio(&self) -> f64 {
        let all = self.clean_bytes + self.cleanable_bytes;
        if all == 0 { 0.0 } else { self.cleanable_bytes as f64 / all as f64 }
    }

    /// Is it time to clean the log?
    pub fn is_due(&self, min_ratio: f64) -> bool {
        self.cleanable_bytes > 0 && (self.overdue_ms > 0 || self.ratio() > min_ratio)
    }
}

/// The largest message time of a segment; that of its last write if no message has one.
fn largest_time_ms(segment: &Segment) -> io::Result<i64> {
    match segment.largest_timestamp()?.timestamp {
        time if time >= 0 => Ok(time),
        _ => segment.modified_ms(),
    }
}

fn overdue_ms(dirty: &[Arc<Segment>], now_ms: i64, max_lag_ms: i64) -> io::Result<i64> {
    let clean_until_ms = now_ms.saturating_sub(max_lag_ms.max(0));
    if clean_until_ms <= 0 {
        return Ok(0);
    }
    let mut oldest = i64::MAX;
    for segment in dirty {
        oldest = oldest.min(segment.first_timestamp()?.filter(|time| *time > 0).unwrap_or(i64::MAX));
    }
    Ok(clean_until_ms.saturating_sub(oldest).max(0))
}

impl Log {
    /// Was the log truncated or deleted since its truncations were counted?
    pub(super) fn changed_since(&self, truncations: u64) -> bool {
        self.deleted || self.truncations != truncations
    }

    /// A cleaning has come to `offset`. Nothing is noted if the log was truncated meanwhile.
    pub(super) fn cleaned_to(&self, offset: i64, truncations: u64) {
        if !self.changed_since(truncations) {
            self.shared.first_dirty.store(offset, Ordering::Release);
        }
    }

    /// After a truncation: what is written from here on is new, whatever was cleaned there before.
    pub(in crate::log) fn lower_first_dirty(&self) {
        self.shared.first_dirty.fetch_min(self.active_segment().base_offset, Ordering::AcqRel);
    }
}

impl LogHandle {
    /// Everything below was cleaned; `None` if the log never was. Kept in `cleaner-offset-checkpoint`.
    pub fn first_dirty_offset(&self) -> Option<Offset> {
        Some(Offset(self.shared().first_dirty.load(Ordering::Acquire))).filter(|offset| offset.0 >= 0)
    }

    /// Sets what the checkpoint says.
    pub fn set_first_dirty_offset(&self, offset: Option<Offset>) {
        self.shared().first_dirty.store(offset.map_or(-1, |offset| offset.0), Ordering::Release);
    }
}
