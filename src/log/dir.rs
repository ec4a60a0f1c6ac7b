//! A log dir: its health, and the files that wait in it to be deleted.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::disk;
use super::error::StorageError;
use super::open_files::OPEN_FILES;
use crate::ids::TopicPartition;

/// What a log dir tells the broker; called from whatever thread notices.
pub type OnFailure = dyn Fn(&Path, &io::Error) + Send + Sync;
/// Called when a partition has something to be done soon; must not block.
pub type OnErrand = dyn Fn(&TopicPartition, Errand) + Send + Sync;

/// What a log leaves to a thread of the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// It rolled: its closed segments wait for a flush.
    FlushClosed,
    /// Its topic id or its epochs are not written down.
    WriteNotes,
}

/// One entry of `log.dirs`. Shared by the logs in it.
pub struct LogDir {
    pub path: PathBuf,
    offline: AtomicBool,
    on_failure: Arc<OnFailure>,
    on_errand: Arc<OnErrand>,
    trash: Mutex<Vec<Trash>>,
    logs: AtomicIsize,
    /// Open since the start, so that it hears of every failed write to the file system.
    handle: Option<File>,
    /// [`OpenFiles::closed_unflushed`](super::open_files::OpenFiles::closed_unflushed) when the file system was last asked.
    asked_at: AtomicU64,
}

#[derive(Debug)]
struct Trash {
    due_ms: i64,
    path: PathBuf,
    directory: bool,
}

impl std::fmt::Debug for LogDir {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogDir").field("path", &self.path).field("offline", &self.is_offline()).finish()
    }
}

impl LogDir {
    pub fn new(path: PathBuf, on_failure: Arc<OnFailure>, on_errand: Arc<OnErrand>) -> Arc<Self> {
        let handle = disk::open_to_read(&path).ok();
        Arc::new(Self {
            path,
            offline: AtomicBool::new(false),
            on_failure,
            on_errand,
            trash: Mutex::default(),
            logs: AtomicIsize::new(0),
            handle,
            asked_at: AtomicU64::new(0),
        })
    }

    /// A dir of its own, for tools and tests.
    pub fn standalone(path: PathBuf) -> Arc<Self> {
        Self::new(path, Arc::new(|_, _| {}), Arc::new(|_, _| {}))
    }

    pub(super) fn ask_for(&self, tp: &TopicPartition, errand: Errand) {
        (self.on_errand)(tp, errand);
    }

    pub fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }

    /// Errors if the dir is offline.
    pub fn check(&self) -> Result<(), StorageError> {
        if self.is_offline() { Err(StorageError::Offline { dir: self.path.clone() }) } else { Ok(()) }
    }

    /// Takes the dir offline, for good; says so once.
    pub fn fail(&self, error: &io::Error) {
        if !self.offline.swap(true, Ordering::AcqRel) {
            tracing::error!(dir = %self.path.display(), %error, "log dir failed, taking it offline");
            (self.on_failure)(&self.path, error);
        }
    }

    /// Part of a flush: if files were closed between a write and their flush, a failed write-back may be known to nobody
    /// but the file system, which is asked then.
    pub(super) fn hear_of_lost_writes(&self) -> io::Result<()> {
        let closed = OPEN_FILES.closed_unflushed();
        if let Some(handle) = &self.handle
            && closed > self.asked_at.load(Ordering::Acquire)
        {
            disk::sync_file_system(handle)?;
            self.asked_at.fetch_max(closed, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Turns a disk error into the dir's failure.
    pub fn guard<T>(&self, result: io::Result<T>) -> Result<T, StorageError> {
        result.map_err(|source| {
            self.fail(&source);
            StorageError::Failed { dir: self.path.clone(), source }
        })
    }

    /// As [`Self::guard`] for readers: a file that a deletion took away or a truncation cut under an old view, or a batch
    /// that makes no sense, is that reader's misfortune and no fault of the disk.
    pub fn guard_read<T>(&self, result: io::Result<T>) -> Result<T, StorageError> {
        use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
        match result {
            Err(source) if matches!(source.kind(), NotFound | UnexpectedEof | InvalidData) => {
                Err(StorageError::Failed { dir: self.path.clone(), source })
            }
            other => self.guard(other),
        }
    }

    /// Notes that so many logs more are in the dir.
    pub(super) fn count(&self, more: isize) {
        self.logs.fetch_add(more, Ordering::Relaxed);
    }

    /// Logs in the dir, also copies in progress.
    pub fn log_count(&self) -> isize {
        self.logs.load(Ordering::Relaxed)
    }

    /// Deletes files when `due_ms` (wall clock) has come; they are renamed already.
    pub fn discard(&self, paths: impl IntoIterator<Item = PathBuf>, due_ms: i64) {
        self.trash.lock().extend(paths.into_iter().map(|path| Trash { due_ms, path, directory: false }));
    }

    /// Deletes a directory when `due_ms` has come.
    pub fn discard_dir(&self, path: PathBuf, due_ms: i64) {
        self.trash.lock().push(Trash { due_ms, path, directory: true });
    }

    /// Deletes what is due.
    pub fn take_out_trash(&self, now_ms: i64) -> Result<(), StorageError> {
        self.check()?;
        let due: Vec<_> = self.trash.lock().extract_if(.., |trash| trash.due_ms <= now_ms).collect();
        for trash in due {
            self.guard(if trash.directory { disk::remove_dir(&trash.path) } else { disk::remove(&trash.path) })?;
        }
        Ok(())
    }
}
