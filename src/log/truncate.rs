//! Making a log shorter, at either end.

use std::io;
use std::sync::Arc;

use super::epochs::Epochs;
use super::error::StorageError;
use super::log::{Active, Log};
use super::segment::Segment;
use super::view::TAIL_BATCHES;
use super::{load, snapshot};
use crate::ids::Offset;

impl Log {
    /// Cuts the log so that it ends at `offset`: batches that hold it or later ones go. A log that ends earlier keeps its
    /// batches and loses only epochs that begin at its end. Returns whether batches may have gone.
    ///
    /// The caller's recovery point checkpoint should be written at once, and its high watermark must not stay above.
    pub fn truncate_to(&mut self, offset: Offset) -> Result<bool, StorageError> {
        self.check()?;
        let truncated = self.try_truncate_to(offset.0.max(0));
        let truncated = self.log_dir.guard(truncated)?;
        self.publish();
        Ok(truncated)
    }

    fn try_truncate_to(&mut self, offset: i64) -> io::Result<bool> {
        if offset >= self.end {
            self.truncate_epochs(self.end)?;
            return Ok(false);
        }
        if offset < self.segments[0].base_offset {
            self.restart_at(offset)?;
            return Ok(true);
        }
        self.note_cut(offset);
        let keep = self.segments.partition_point(|segment| segment.base_offset <= offset);
        for segment in self.segments.split_off(keep) {
            self.discard_segment(&segment)?;
        }
        self.segments_changed();
        let active = self.active_segment().clone();
        active.activate()?;
        let size = active.truncate_to(offset)?;
        self.tail = [(i64::MAX, 0); TAIL_BATCHES];
        let created_ms = if size == 0 { self.clock.wall_ms() } else { self.active.created_ms };
        self.active = Active { created_ms, ..Active::new(created_ms, &self.config) };
        self.active.first_timestamp = active.first_timestamp()?;
        self.end = offset;
        self.start = self.start.min(offset);
        self.recovery_point = self.recovery_point.min(offset);
        self.truncate_epochs(offset)?;
        self.rebuild_producers()?;
        self.lower_first_dirty();
        Ok(true)
    }

    fn note_cut(&mut self, offset: i64) {
        self.truncations += 1;
        self.lowest_cut = Some(self.lowest_cut.map_or(offset, |lowest| lowest.min(offset)));
    }

    fn truncate_epochs(&mut self, end: i64) -> io::Result<()> {
        let mut epochs = Epochs::clone(&self.epochs);
        if epochs.truncate_from_end(end) { self.replace_epochs(epochs) } else { Ok(()) }
    }

    fn rebuild_producers(&mut self) -> io::Result<()> {
        let path = self.dir.path();
        let mut producers = load::rebuild_producers(
            &path,
            &self.segments,
            self.start,
            self.end,
            self.end,
            self.clock.wall_ms(),
            self.producer_expiration_ms,
        )?;
        producers.recall(&self.producers);
        self.producers = producers;
        snapshot::write(&path, &self.producers)?;
        self.unstable = self.producers.unstable();
        Ok(())
    }

    /// Drops everything; the log begins and ends at `offset`.
    pub fn truncate_fully_and_start_at(&mut self, offset: Offset) -> Result<(), StorageError> {
        self.check()?;
        let restarted = self.restart_at(offset.0);
        self.log_dir.guard(restarted)?;
        self.publish();
        Ok(())
    }

    fn restart_at(&mut self, offset: i64) -> io::Result<()> {
        self.note_cut(i64::MIN);
        for segment in std::mem::take(&mut self.segments) {
            self.discard_segment(&segment)?;
        }
        for snapshot in snapshot::list(&self.dir.path())? {
            super::disk::remove(&snapshot::path(&self.dir.path(), snapshot))?;
        }
        self.add_segment(offset)?;
        if !self.epochs.is_empty() {
            self.replace_epochs(Epochs::default())?;
        }
        (self.start, self.end) = (offset, offset);
        self.recovery_point = self.recovery_point.min(offset);
        self.producers.clear(offset);
        self.lower_first_dirty();
        self.unstable = self.producers.unstable();
        Ok(())
    }

    /// Renames a segment's files and has them deleted after `file.delete.delay.ms`.
    pub(super) fn discard_segment(&self, segment: &Arc<Segment>) -> io::Result<()> {
        let paths = segment.mark_deleted(true)?;
        self.log_dir.discard(paths, self.clock.wall_ms().saturating_add(self.config.file_delete_delay_ms));
        Ok(())
    }

    /// Moves the log start up to `offset` (DeleteRecords, or a follower that hears of it). The caller has checked that it
    /// is not above the high watermark. Segments go with the next retention pass. Returns whether it moved.
    pub fn increment_start_offset(&mut self, offset: Offset) -> Result<bool, StorageError> {
        if offset.0 <= self.start {
            return Ok(false);
        }
        self.check()?;
        self.start = offset.0;
        let mut epochs = Epochs::clone(&self.epochs);
        if epochs.truncate_from_start(offset.0) {
            let replaced = self.replace_epochs(epochs);
            self.log_dir.guard(replaced)?;
        }
        if self.producers.replicated_to(offset.0) {
            self.unstable = self.producers.unstable();
        }
        self.publish();
        Ok(true)
    }
}
