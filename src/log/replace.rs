//! Putting a compacted segment in the place of those that it was made from.
//!
//! Names tell a loader how far it came (see `load::tidy`): output ends in `.cleaned` until it is complete and synced,
//! in `.swap` while the old files go, and then in nothing. Source: `LocalLog.replaceSegments` of Kafka 3.9.

use std::io;
use std::sync::Arc;

use super::error::StorageError;
use super::log::Log;
use super::names::Suffix;
use super::segment::Segment;

impl Log {
    /// Replaces segments, which must follow each other, by a complete `.cleaned` one that begins where they do. Returns
    /// false, and does nothing, if one of them is no longer a closed segment of the log, the log was truncated since
    /// `truncations` was read, or it is being copied to another log dir. Readers of an older view go on until the old files are removed.
    pub(super) fn replace_segments(
        &mut self,
        new: &Arc<Segment>,
        old: &[Arc<Segment>],
        truncations: u64,
    ) -> Result<bool, StorageError> {
        self.check()?;
        let closed = &self.segments[..self.segments.len() - 1];
        let first = closed.partition_point(|segment| segment.base_offset < new.base_offset);
        let there = closed.get(first..first + old.len()).unwrap_or_default();
        let same = there.len() == old.len() && there.iter().zip(old).all(|(a, b)| Arc::ptr_eq(a, b));
        if !same || old.is_empty() || truncations != self.truncations || self.being_copied {
            return Ok(false);
        }
        let replaced = self.try_replace(new, first, old.len());
        self.log_dir.guard(replaced)?;
        Ok(true)
    }

    fn try_replace(&mut self, new: &Arc<Segment>, first: usize, count: usize) -> io::Result<()> {
        new.rename(Suffix::Swap)?;
        let due_ms = self.clock.wall_ms().saturating_add(self.config.file_delete_delay_ms);
        for segment in &self.segments[first..first + count] {
            // The producers at the new segment's base are those of the old one.
            let with_snapshot = segment.base_offset != new.base_offset;
            self.log_dir.discard(segment.mark_deleted(with_snapshot)?, due_ms);
        }
        new.rename(Suffix::Live)?;
        self.segments.splice(first..first + count, [new.clone()]);
        self.segments_changed();
        self.publish();
        Ok(())
    }
}
