//! Retention: the oldest segments go when nobody may read them any more, when the log is too large, or when they are too
//! old. Source: `UnifiedLog.deleteOldSegments` of Kafka 3.9.

use std::io;

use super::error::StorageError;
use super::log::Log;
use super::segment::Segment;
use crate::ids::Offset;

/// Why segments are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breach {
    /// The log start offset is above all that they hold.
    LogStart,
    /// `retention.bytes`
    Size,
    /// `retention.ms`
    Time,
}

impl Log {
    /// Deletes old segments by the rules of the topic: log start always, size and time only if `cleanup.policy` has
    /// `delete`. Never what is not below the high watermark. If everything goes, a new empty segment is begun first.
    /// The log start moves to the first segment that is left; files are renamed now and removed after
    /// `file.delete.delay.ms`, so readers that hold a view go on. Returns the number of segments deleted.
    ///
    /// Message times count, not those of the append: `now_ms` is wall clock.
    pub fn delete_old_segments(&mut self, high_watermark: Offset, now_ms: i64) -> Result<usize, StorageError> {
        self.check()?;
        let mut deleted = self.delete_breaching(Breach::LogStart, high_watermark, now_ms)?;
        if self.config.cleanup_policy.delete {
            deleted += self.delete_breaching(Breach::Size, high_watermark, now_ms)?;
            deleted += self.delete_breaching(Breach::Time, high_watermark, now_ms)?;
        }
        Ok(deleted)
    }

    fn delete_breaching(&mut self, breach: Breach, high_watermark: Offset, now_ms: i64) -> Result<usize, StorageError> {
        let count = self.breaching(breach, high_watermark, now_ms);
        let count = self.log_dir.guard(count)?;
        if count > 0 {
            let (tp, size, start) = (&self.tp, self.view().size(), self.start);
            tracing::info!(%tp, ?breach, segments = count, start, size, "deleting old segments");
            self.delete_first_segments(count)?;
        }
        Ok(count)
    }

    /// How many segments at the front breach the rule.
    fn breaching(&self, breach: Breach, high_watermark: Offset, now_ms: i64) -> io::Result<usize> {
        let (retention_bytes, retention_ms) = (self.config.retention_bytes, self.config.retention_ms);
        let mut excess_bytes = match u64::try_from(retention_bytes) {
            Ok(limit) => self.segments.iter().map(|segment| segment.size()).sum::<u64>().saturating_sub(limit),
            Err(_) => 0,
        };
        let mut count = 0;
        for (index, segment) in self.segments.iter().enumerate() {
            let next_base = self.segments.get(index + 1).map(|next| next.base_offset);
            let breaches = high_watermark.0 >= next_base.unwrap_or(self.end)
                && match breach {
                    Breach::LogStart => next_base.is_some_and(|base| base <= self.start),
                    Breach::Size => retention_bytes >= 0 && segment.size() <= excess_bytes,
                    Breach::Time => retention_ms >= 0 && age_ms(segment, now_ms)? > retention_ms,
                };
            let empty_active = next_base.is_none() && segment.size() == 0;
            if !breaches || empty_active {
                break;
            }
            excess_bytes = excess_bytes.saturating_sub(segment.size());
            count += 1;
        }
        Ok(count)
    }

    fn delete_first_segments(&mut self, count: usize) -> Result<(), StorageError> {
        if count == self.segments.len() {
            self.roll()?;
        }
        self.increment_start_offset(Offset(self.segments[count].base_offset))?;
        let gone: Vec<_> = self.segments.drain(..count).collect();
        self.segments_changed();
        self.publish();
        for segment in gone {
            let discarded = self.discard_segment(&segment);
            self.log_dir.guard(discarded)?;
        }
        Ok(())
    }
}

/// Time since the segment's largest message time; since its last write if no message has a time.
fn age_ms(segment: &Segment, now_ms: i64) -> io::Result<i64> {
    let largest = segment.largest_timestamp()?.timestamp;
    let newest_ms = if largest >= 0 { largest } else { segment.modified_ms()? };
    Ok(now_ms.saturating_sub(newest_ms))
}
