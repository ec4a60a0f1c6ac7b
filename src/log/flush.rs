//! Flushes: fsync of what was appended, and the recovery point that it allows to move.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::dir::LogDir;
use super::error::StorageError;
use super::log::Log;
use super::segment::Segment;
use super::{disk, snapshot};

impl Log {
    /// What must be synced so that everything up to the log end (or, for `closed_only`, the active segment's base) is on
    /// the disk. The plan runs without the log's lock.
    pub(super) fn plan_flush(&self, closed_only: bool) -> Option<FlushPlan> {
        let to = if closed_only { self.active_segment().base_offset } else { self.end };
        if to <= self.recovery_point {
            return None;
        }
        let from =
            self.segments.partition_point(|segment| segment.base_offset <= self.recovery_point).saturating_sub(1);
        let segments: Vec<_> =
            self.segments[from..].iter().filter(|segment| segment.base_offset < to).cloned().collect();
        let active = self.active_segment();
        let closed = segments.iter().filter(|segment| !Arc::ptr_eq(segment, active)).cloned().collect();
        let new_segment = segments.iter().any(|segment| segment.base_offset >= self.recovery_point);
        let dir = self.dir.path();
        let snapshots = segments.iter().map(|segment| snapshot::path(&dir, segment.base_offset)).collect();
        Some(FlushPlan {
            log_dir: self.log_dir.clone(),
            segments,
            closed,
            snapshots,
            dir: new_segment.then_some(dir),
            to,
            truncations: self.truncations,
        })
    }

    /// A flush plan has run.
    pub(super) fn flushed(&mut self, plan: &FlushPlan) {
        if plan.truncations == self.truncations {
            self.last_flush_ms = self.clock.now_ms();
            self.recovery_point = self.recovery_point.max(plan.to.min(self.end));
            plan.closed.iter().for_each(|segment| segment.release());
        }
    }

    /// When something was last flushed, or the log was opened; monotonic milliseconds.
    pub fn last_flush_ms(&self) -> i64 {
        self.last_flush_ms
    }

    pub(super) fn flush_now(&mut self) -> io::Result<()> {
        if let Some(plan) = self.plan_flush(false) {
            plan.run()?;
            self.flushed(&plan);
        }
        Ok(())
    }

    /// Brings everything to the disk, under the log's lock.
    pub fn flush(&mut self) -> Result<(), StorageError> {
        self.check()?;
        let flushed = self.flush_now();
        self.log_dir.guard(flushed)
    }

    /// Closes the log for a clean shutdown: last index entries, a producer snapshot, everything flushed.
    pub fn close(&mut self) -> Result<(), StorageError> {
        self.check()?;
        let closed = self.try_close();
        self.log_dir.guard(closed)
    }

    fn try_close(&mut self) -> io::Result<()> {
        let active = self.active_segment().clone();
        active.close()?;
        // Epochs without records need not be written: the next load forgets them.
        if self.notes.topic_id_waits {
            self.try_write_notes()?;
        }
        if self.config.preallocate {
            active.trim()?;
        }
        self.producers.set_end(self.end);
        snapshot::write_if_new(&self.dir.path(), &self.producers, self.start)?;
        // With nothing new an fsync would only make thousands of idle partitions slow to stop.
        if self.end > self.recovery_point {
            active.flush()?;
        }
        self.flush_now()
    }
}

/// What a flush will sync; see [`Log::plan_flush`].
#[derive(Debug)]
pub struct FlushPlan {
    log_dir: Arc<LogDir>,
    segments: Vec<Arc<Segment>>,
    /// Those that take no more appends.
    closed: Vec<Arc<Segment>>,
    snapshots: Vec<PathBuf>,
    /// Synced last if segments are new.
    dir: Option<PathBuf>,
    to: i64,
    truncations: u64,
}

impl FlushPlan {
    pub fn run(&self) -> io::Result<()> {
        for segment in &self.segments {
            segment.flush()?;
        }
        for path in &self.snapshots {
            disk::sync(path)?;
        }
        self.log_dir.hear_of_lost_writes()?;
        match self.dir.as_deref().map_or(Ok(()), disk::sync_dir) {
            // Deleted or moved meanwhile: nothing there needs to survive.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            synced => synced,
        }
    }
}
