//! Moving a partition to another log dir: a copy grows in `<topic>-<partition>.<id>-future` there, and takes the place of
//! the log when it holds as much.
//!
//! A copy is a follower of the log in the same process: it takes the log's batches as they are, and is cut where the log
//! was cut. What was cut is noted in the log itself ([`Log::lowest_cut`]), under its lock, so no cut is missed, and a batch
//! that was read before a cut and copied after it goes again. After a restart, when the note is lost, the leader epochs
//! tell where the histories part. For the exchange the log's lock is held: the [`LogHandle`] stays the same, its contents
//! change, so nobody else needs to know. Source: `Partition.maybeReplaceCurrentWithFutureReplica`,
//! `LogManager.replaceCurrentWithFutureLog`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::dir::LogDir;
use super::disk;
use super::error::{FollowerAppendError, OpenError, ReadError, StorageError};
use super::handle::LogHandle;
use super::log::Log;
use super::manager::{Manager, discard};
use super::mover::{Mover, MoverOptions};
use super::names::future_dir;
use super::start::DirState;
use super::view::LogView;
use crate::error::ErrorCode;
use crate::ids::{Offset, TopicPartition, Uuid};
use crate::time::Clock;

/// Why a replica is not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error("{0} is none of this broker's log dirs")]
    UnknownDir(String),
    #[error("the topic's name is too long for a copy")]
    NameTooLong,
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl From<&MoveError> for ErrorCode {
    fn from(error: &MoveError) -> ErrorCode {
        match error {
            MoveError::UnknownDir(_) => ErrorCode::LogDirNotFound,
            MoveError::NameTooLong => ErrorCode::InvalidTopicException,
            MoveError::Storage(error) => error.into(),
            MoveError::Open(error) => error.into(),
        }
    }
}

/// Why a copy does not go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("cannot read: {0}")]
    Read(#[from] ReadError),
    #[error("cannot append: {0}")]
    Append(#[from] FollowerAppendError),
}

/// What a step of a copy did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copied {
    Bytes(usize),
    /// The copy holds what the log holds.
    Everything,
}

impl Manager {
    /// The live log dir of this path.
    pub(super) fn live_dir(&self, path: &str) -> Result<&Arc<LogDir>, MoveError> {
        let state = self.dirs.iter().find(|state| state.dir.path == Path::new(path));
        let dir = &state.ok_or_else(|| MoveError::UnknownDir(path.to_owned()))?.dir;
        dir.check()?;
        Ok(dir)
    }

    /// Can a copy of the partition be made in this dir at all? It must be alive.
    pub fn check_move(&self, tp: &TopicPartition, to: &str) -> Result<(), MoveError> {
        future_dir(tp, Uuid(0)).ok_or(MoveError::NameTooLong)?;
        self.live_dir(to).map(|_| ())
    }

    /// The copy of a partition that is in progress.
    pub fn future(&self, tp: &TopicPartition) -> Option<Arc<LogHandle>> {
        self.futures.read().get(tp).cloned()
    }

    /// Is the partition being moved to another dir? Then it must not be compacted.
    pub fn is_moving(&self, tp: &TopicPartition) -> bool {
        self.futures.read().contains_key(tp)
    }

    /// Are the log and its copy both there, on dirs that are alive?
    pub(super) fn can_move(&self, tp: &TopicPartition) -> bool {
        [self.get(tp), self.future(tp)].iter().all(|log| log.as_ref().is_some_and(|log| !log.view().is_offline()))
    }

    /// Starts the threads that copy, once.
    pub fn start_mover(self: &Arc<Self>, options: MoverOptions) {
        self.mover.get_or_init(|| Mover::start(self, options));
    }

    /// The threads that copy, once they were started.
    pub fn mover(&self) -> Option<&Arc<Mover>> {
        self.mover.get()
    }

    /// Goes on copying the partition, if it has a copy; found in the log dirs at the start, or just begun.
    pub fn go_on_moving(&self, tp: &TopicPartition) {
        if let Some(mover) = self.mover().filter(|_| self.is_moving(tp)) {
            mover.go_on(tp);
        }
    }

    /// There is no copy of the log any more.
    pub(super) fn copy_ended(&self, tp: &TopicPartition) {
        if let Some(log) = self.get(tp) {
            log.lock().being_copied = false;
        }
    }

    /// Notes where a partition shall be created that is not here yet.
    pub fn prefer_dir(&self, tp: &TopicPartition, to: &str) {
        let is_there = |log: Option<Arc<LogHandle>>| log.is_some_and(|log| log.log_dir().path == Path::new(to));
        if !is_there(self.get(tp)) && !is_there(self.future(tp)) {
            self.preferred_dirs.lock().insert(tp.clone(), to.into());
        }
    }

    /// Gives up a copy unless it grows in this dir.
    pub fn cancel_move_elsewhere(&self, tp: &TopicPartition, to: &str) -> Result<(), MoveError> {
        let _changing = self.changes.lock();
        if self.future(tp).is_none_or(|future| future.log_dir().path == Path::new(to)) {
            return Ok(());
        }
        let future = self.futures.write().remove(tp);
        if let Some(future) = future {
            self.copy_ended(tp);
            tracing::info!(%tp, dir = %future.log_dir().path.display(), "gave up moving the log");
            discard(&mut future.lock(), Clock.wall_ms())?;
        }
        Ok(())
    }

    /// Begins an empty copy in another dir. False: the log is in this dir already, or is being copied there.
    pub fn begin_move(&self, tp: &TopicPartition, to: &str) -> Result<bool, MoveError> {
        let _changing = self.changes.lock();
        let dir = self.live_dir(to)?;
        let current = self.get(tp).ok_or(StorageError::Deleted)?;
        if Arc::ptr_eq(&current.log_dir(), dir) || self.is_moving(tp) {
            self.preferred_dirs.lock().remove(tp);
            return Ok(false);
        }
        // There may be a copy on the dir that is offline.
        if self.any_dir_offline() {
            return Err(OpenError::MayBeOffline.into());
        }
        let name = future_dir(tp, Uuid::random()).ok_or(MoveError::NameTooLong)?;
        let future = self.create_in(tp, dir, name)?;
        let topic_id = current.view().topic_id();
        if !topic_id.is_zero() {
            future.lock().assign_topic_id(topic_id)?;
        }
        self.preferred_dirs.lock().remove(tp);
        current.lock().being_copied = true;
        self.futures.write().insert(tp.clone(), future);
        // A cleaning that runs ends now, and none begins while there is a copy.
        drop(current.pause_cleaning());
        tracing::info!(%tp, from = %current.log_dir().path.display(), to = %dir.path.display(), "moving the log");
        self.go_on_moving(tp);
        Ok(true)
    }

    /// Copies the next batches, about `max_bytes`.
    pub(super) fn copy_some(
        &self,
        current: &LogHandle,
        future: &LogHandle,
        max_bytes: usize,
    ) -> Result<Copied, CopyError> {
        let (cut, view) = {
            let mut log = current.lock();
            (log.lowest_cut.take(), log.view())
        };
        let mut future = future.lock();
        if let Some(cut) = cut {
            cut_copy(&mut future, Offset(cut), &view)?;
        }
        follow(&mut future, &view, current.high_watermark(), max_bytes)
    }

    /// Puts the copy in the log's place, if there are at most `max_bytes` left to copy. False: there are more.
    pub(super) fn finish_move(&self, tp: &TopicPartition, max_bytes: usize) -> Result<bool, CopyError> {
        let _changing = self.changes.lock();
        let (Some(current), Some(future)) = (self.get(tp), self.future(tp)) else { return Ok(false) };
        let (mut log, mut copy) = (current.lock(), future.lock());
        log.check()?;
        let high_watermark = current.high_watermark();
        if let Some(cut) = log.lowest_cut.take() {
            cut_copy(&mut copy, Offset(cut), &log.view())?;
        }
        let mut left = max_bytes;
        while let Copied::Bytes(bytes) = follow(&mut copy, &log.view(), high_watermark, left)? {
            match left.checked_sub(bytes) {
                Some(rest) if rest > 0 => left = rest,
                _ => return Ok(false),
            }
        }
        // What is on the disk there must be on the disk here.
        if copy.recovery_point() < log.recovery_point() {
            copy.flush()?;
        }
        // From the first rename on a failure is one of the dir that it happened in. The old directory goes last: a crash in
        // between leaves two, which stops the next start, and never none.
        copy.rename_to_current()?;
        log.exchange(&mut copy, high_watermark);
        let (to, from) = (log.log_dir().clone(), copy.log_dir().clone());
        // Now `copy` is the old log.
        let discarded = discard(&mut copy, Clock.wall_ms());
        // Only now, so that whoever sees the move ended sees one directory.
        self.futures.write().remove(tp);
        drop((log, copy));
        tracing::info!(%tp, from = %from.path.display(), to = %to.path.display(), "moved the log");
        for dir in [&to, &from] {
            if let Some(state) = self.state_of(dir) {
                let _told_by_the_dir = self.checkpoint_dir(state);
            }
        }
        discarded?;
        Ok(true)
    }

    fn state_of(&self, dir: &Arc<LogDir>) -> Option<&DirState> {
        self.dirs.iter().find(|state| Arc::ptr_eq(&state.dir, dir))
    }
}

/// Cuts a copy because the log was cut to `cut`; the smallest offset stands for all of it.
fn cut_copy(copy: &mut Log, cut: Offset, log: &LogView) -> Result<(), StorageError> {
    if cut < copy.start_offset() {
        copy.truncate_fully_and_start_at(log.start_offset())
    } else if cut < copy.end_offset() {
        copy.truncate_to(cut).map(|_| ())
    } else {
        Ok(())
    }
}

/// Brings a copy nearer to the log: cuts what the log does not have, or appends what it has.
fn follow(copy: &mut Log, log: &LogView, high_watermark: Offset, max_bytes: usize) -> Result<Copied, CopyError> {
    if let Some(to) = divergence(copy, log) {
        tracing::info!(tp = %copy.topic_partition(), offset = %to, "the copy has another history than the log, cutting it");
        copy.truncate_to(to)?;
    }
    if copy.end_offset() < log.start_offset() {
        copy.truncate_fully_and_start_at(log.start_offset())?;
    }
    let copied = if copy.end_offset() >= log.end_offset() {
        Copied::Everything
    } else {
        let read = log.read(copy.end_offset(), max_bytes, log.end_offset(), true)?;
        let mut records = vec![0; read.len()];
        if let Some(slice) = &read.slice {
            let got = disk::read_at(&slice.file, &mut records, slice.position);
            let got = log.log_dir().guard_read(got)?;
            // Cut meanwhile: the next step knows.
            records.truncate(got);
        }
        let before = copy.end_offset();
        let appended = copy.append_as_follower(&Bytes::from(records))?;
        if copy.end_offset() == before {
            // Only when the log was cut under us, or its bytes make no sense.
            let torn = io::Error::new(io::ErrorKind::InvalidData, "no whole batch where one must be");
            return Err(StorageError::Failed { dir: log.log_dir().path.clone(), source: torn }.into());
        }
        Copied::Bytes(appended.bytes)
    };
    let committed = high_watermark.min(copy.end_offset());
    copy.shared().set_high_watermark(committed);
    copy.increment_start_offset(log.start_offset().min(copy.end_offset()))?;
    Ok(copied)
}

/// Where the copy must end to have the log's history; `None` if it has.
fn divergence(copy: &Log, log: &LogView) -> Option<Offset> {
    let (own, others) = (copy.epochs().entries(), log.epochs().entries());
    let end_in = |entries: &[(i32, i64)], epoch: i32, end: Offset| {
        let next = entries.iter().find(|(other, _)| *other > epoch);
        next.map_or(end, |(_, start)| Offset(*start))
    };
    let in_both =
        own.iter().rev().map(|(epoch, _)| *epoch).find(|epoch| others.iter().any(|(other, _)| other == epoch));
    let common = match (in_both, others.first()) {
        (Some(epoch), _) => end_in(own, epoch, copy.end_offset()).min(end_in(others, epoch, log.end_offset())),
        (None, Some((_, start))) if !own.is_empty() => Offset(*start),
        // Without epochs nothing is known but the lengths.
        _ => log.end_offset(),
    };
    (common < copy.end_offset()).then_some(common)
}

impl Log {
    /// The directory of a copy gets the plain name.
    fn rename_to_current(&mut self) -> Result<(), StorageError> {
        self.check()?;
        let renamed = self.dir.rename(&self.tp.to_string()).map(|_| ());
        self.log_dir.guard(renamed)
    }

    /// Exchanges two logs of the same contents behind their handles, and shows this one's readers the new one.
    fn exchange(&mut self, other: &mut Log, high_watermark: Offset) {
        std::mem::swap(self, other);
        // What readers hold stays where it was.
        std::mem::swap(&mut self.shared, &mut other.shared);
        // A flush that was planned for the other log says nothing about this one.
        self.truncations = self.truncations.max(other.truncations) + 1;
        if self.producers.replicated_to(high_watermark.0) {
            self.unstable = self.producers.unstable();
        }
        self.publish();
    }
}
