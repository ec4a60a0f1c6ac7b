//! All partitions of a broker, over its log dirs.
//!
//! Nothing here runs by itself except the flush of closed segments: the [`super::Housekeeper`] calls the rest at the
//! intervals that the settings name.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};

use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};

use super::dir::{Errand, LogDir};
use super::disk;
use super::error::{OpenError, StorageError};
use super::handle::LogHandle;
use super::load::{self, OpenOptions};
use super::log::Log;
use super::mover::Mover;
use super::names::{CLEAN_SHUTDOWN, deleted_dir};
use super::progress::LoadProgress;
use super::start::{DirState, Loaded, ManagerOptions, StartError, load_all, open_dirs};
use crate::config::LogConfig;
use crate::ids::{TopicId, TopicName, TopicPartition, Uuid};
use crate::time::Clock;

/// What the marker of a clean shutdown says in a ZooKeeper cluster.
const CLEAN_SHUTDOWN_TEXT: &[u8] = br#"{"version":0,"brokerEpoch":-1}"#;

/// See the head of the file.
pub struct Manager {
    pub(super) dirs: Vec<DirState>,
    pub(super) logs: RwLock<HashMap<TopicPartition, Arc<LogHandle>>>,
    /// Copies in progress; see `moves`.
    pub(super) futures: RwLock<HashMap<TopicPartition, Arc<LogHandle>>>,
    pub(super) mover: OnceLock<Arc<Mover>>,
    /// Where partitions shall be created that are not here yet.
    pub(super) preferred_dirs: Mutex<HashMap<TopicPartition, PathBuf>>,
    /// Held while partitions are created, moved or deleted.
    pub(super) changes: Mutex<()>,
    default_config: ArcSwap<LogConfig>,
    topic_configs: RwLock<HashMap<TopicName, Arc<LogConfig>>>,
    producer_expiration_ms: AtomicI64,
}

impl std::fmt::Debug for Manager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Manager").field("dirs", &self.dirs).field("logs", &self.logs.read().len()).finish()
    }
}

impl Manager {
    /// Locks the log dirs, checks that they are this broker's, and loads all partitions; returns when that is done.
    pub fn start(options: ManagerOptions) -> Result<Arc<Self>, StartError> {
        Self::start_watched(options, &LoadProgress::default())
    }

    /// As [`Self::start`]; `progress` shows how far it is.
    pub fn start_watched(options: ManagerOptions, progress: &LoadProgress) -> Result<Arc<Self>, StartError> {
        let (rolled, flushes) = mpsc::channel::<TopicPartition>();
        let (noted, notes) = mpsc::channel::<TopicPartition>();
        let on_errand = move |tp: &TopicPartition, errand| {
            let queue = if errand == Errand::FlushClosed { &rolled } else { &noted };
            let _ = queue.send(tp.clone());
        };
        let dirs = open_dirs(&options, Arc::new(on_errand))?;
        let Loaded { logs, futures } = load_all(&dirs, &options, progress)?;
        futures.keys().filter_map(|tp| logs.get(tp)).for_each(|log| log.lock().being_copied = true);
        let manager = Arc::new(Self {
            dirs,
            logs: RwLock::new(logs),
            futures: RwLock::new(futures),
            mover: OnceLock::new(),
            preferred_dirs: Mutex::default(),
            changes: Mutex::new(()),
            default_config: ArcSwap::new(options.default_config),
            topic_configs: RwLock::new(options.topic_configs),
            producer_expiration_ms: AtomicI64::new(options.producer_expiration_ms),
        });
        // A failure has taken the dir offline and was told there.
        manager.run_errands("log-flusher", flushes, |log| _ = log.flush(true));
        manager.run_errands("log-notes", notes, |log| _ = log.lock().write_notes());
        Ok(manager)
    }

    /// A thread that does something for each partition that comes along, as long as the manager lives.
    fn run_errands(self: &Arc<Self>, name: &str, partitions: mpsc::Receiver<TopicPartition>, run: fn(&LogHandle)) {
        let weak = Arc::downgrade(self);
        let thread = move || {
            for tp in partitions {
                let Some(manager) = weak.upgrade() else { return };
                for log in [manager.get(&tp), manager.future(&tp)].iter().flatten() {
                    run(log);
                }
            }
        };
        std::thread::Builder::new().name(name.into()).spawn(thread).expect("the system can start a thread");
    }

    /// The log of a partition, if it is here and its dir is alive.
    pub fn get(&self, tp: &TopicPartition) -> Option<Arc<LogHandle>> {
        self.logs.read().get(tp).cloned()
    }

    /// All logs, in no order.
    pub fn all(&self) -> Vec<Arc<LogHandle>> {
        self.logs.read().values().cloned().collect()
    }

    /// The logs in a dir, also copies in progress.
    pub(super) fn in_dir(&self, dir: &Arc<LogDir>) -> Vec<Arc<LogHandle>> {
        let here = |log: &&Arc<LogHandle>| Arc::ptr_eq(&log.log_dir(), dir);
        let mut logs: Vec<_> = self.logs.read().values().filter(here).cloned().collect();
        logs.extend(self.futures.read().values().filter(here).cloned());
        logs
    }

    /// Is any dir offline?
    pub fn any_dir_offline(&self) -> bool {
        self.dirs.iter().any(|state| state.dir.is_offline())
    }

    /// Settings of a topic as last told.
    pub fn config_of(&self, topic: &str) -> Arc<LogConfig> {
        self.topic_configs.read().get(topic).cloned().unwrap_or_else(|| self.default_config.load_full())
    }

    /// Changes a topic's settings; `None`: it has no overrides any more.
    pub fn set_topic_config(&self, topic: &TopicName, config: Option<Arc<LogConfig>>) {
        {
            let mut configs = self.topic_configs.write();
            match config {
                Some(config) => _ = configs.insert(topic.clone(), config),
                None => _ = configs.remove(topic),
            }
        }
        let config = self.config_of(topic);
        for log in self.with_futures().iter().filter(|log| log.topic_partition().topic == *topic) {
            log.set_config(config.clone());
        }
    }

    /// All logs and the copies in progress.
    fn with_futures(&self) -> Vec<Arc<LogHandle>> {
        let mut logs = self.all();
        logs.extend(self.futures.read().values().cloned());
        logs
    }

    /// Changes the settings of all topics: the broker's defaults, and those of topics that have overrides.
    pub fn set_configs(&self, default: Arc<LogConfig>, topics: HashMap<TopicName, Arc<LogConfig>>) {
        {
            // Held together, so that a new log finds both old or both new.
            let mut configs = self.topic_configs.write();
            self.default_config.store(default);
            *configs = topics;
        }
        for log in self.with_futures() {
            log.set_config(self.config_of(&log.topic_partition().topic));
        }
    }

    /// The log of a partition; an empty one is made if there is none. `topic_id` zero: not known. `is_new`: the
    /// controller says that no replica existed here before, so an empty log is right even if a dir is offline.
    pub fn get_or_create(
        &self,
        tp: &TopicPartition,
        topic_id: TopicId,
        is_new: bool,
    ) -> Result<Arc<LogHandle>, OpenError> {
        let existing = self.get(tp);
        let log = match existing {
            Some(log) => log,
            None => self.create(tp, is_new)?,
        };
        if !topic_id.is_zero() && log.view().topic_id() != topic_id {
            log.lock().assign_topic_id(topic_id)?;
        }
        Ok(log)
    }

    fn create(&self, tp: &TopicPartition, is_new: bool) -> Result<Arc<LogHandle>, OpenError> {
        let _changing = self.changes.lock();
        if let Some(log) = self.get(tp) {
            return Ok(log);
        }
        if !is_new && self.any_dir_offline() {
            return Err(OpenError::MayBeOffline);
        }
        let mut failed = OpenError::MayBeOffline;
        for dir in self.dirs_for(tp) {
            match self.create_in(tp, dir, tp.to_string()) {
                Ok(log) => {
                    self.logs.write().insert(tp.clone(), log.clone());
                    self.preferred_dirs.lock().remove(tp);
                    tracing::info!(%tp, dir = %dir.path.display(), "created log");
                    return Ok(log);
                }
                Err(error) => failed = error.into(),
            }
        }
        Err(failed)
    }

    /// An empty log in a dir, in a directory of this name.
    pub(super) fn create_in(
        &self,
        tp: &TopicPartition,
        dir: &Arc<LogDir>,
        name: String,
    ) -> Result<Arc<LogHandle>, StorageError> {
        let opened = load::open(OpenOptions {
            tp: tp.clone(),
            log_dir: dir.clone(),
            path: dir.path.join(name),
            config: self.config_of(&tp.topic),
            clean: true,
            recovery_point: 0,
            log_start: 0,
            producer_expiration_ms: self.producer_expiration_ms.load(Ordering::Relaxed),
        });
        let log = dir.guard(opened)?;
        dir.count(1);
        Ok(Arc::new(LogHandle::new(log)))
    }

    /// Where a new partition may go, best first: the dir that was asked for, else those with the fewest partitions.
    fn dirs_for(&self, tp: &TopicPartition) -> Vec<&Arc<LogDir>> {
        let live = self.dirs.iter().map(|state| &state.dir).filter(|dir| !dir.is_offline());
        if let Some(preferred) = self.preferred_dirs.lock().get(tp) {
            return live.filter(|dir| dir.path == *preferred).collect();
        }
        let mut live: Vec<_> = live.collect();
        live.sort_by_key(|dir| dir.log_count());
        live
    }

    /// Deletes partitions: their dirs are renamed now and removed after `file.delete.delay.ms`.
    pub fn delete(&self, partitions: &[TopicPartition]) -> Result<(), StorageError> {
        let _changing = self.changes.lock();
        let now_ms = Clock.wall_ms();
        let mut result = Ok(());
        let mut touched = Vec::new();
        for tp in partitions {
            let logs = [self.futures.write().remove(tp), self.logs.write().remove(tp)];
            for log in logs.iter().flatten() {
                // No cleaner may write into a directory that is about to be removed.
                let _paused = log.pause_cleaning();
                match discard(&mut log.lock(), now_ms) {
                    Ok(dir) => touched.push(dir),
                    Err(error) => result = Err(error),
                }
            }
            tracing::info!(%tp, "scheduled log for deletion");
        }
        // A partition of the same name must not inherit these offsets.
        for state in self.dirs.iter().filter(|state| touched.iter().any(|dir| Arc::ptr_eq(dir, &state.dir))) {
            self.checkpoint_dir_offsets(state)?;
        }
        result
    }

    /// Forgets the logs of a dir that failed, and lets go of its lock. Returns the partitions that were there.
    pub fn drop_failed_dir(&self, path: &Path) -> Vec<TopicPartition> {
        let copies: Vec<_> = self.futures.write().extract_if(|_, log| log.log_dir().path == path).collect();
        copies.iter().for_each(|(tp, _)| self.copy_ended(tp));
        let mut lost = Vec::new();
        self.logs.write().retain(|tp, log| {
            let keep = log.log_dir().path != path;
            if !keep {
                lost.push(tp.clone());
            }
            keep
        });
        for state in self.dirs.iter().filter(|state| state.dir.path == path) {
            state.lock.lock().take();
        }
        lost
    }

    /// Writes a checkpoint of each live dir from one number per log.
    fn checkpoint(
        &self,
        state: &DirState,
        file: impl Fn(&DirState) -> &super::start::Checkpointed,
        value: impl Fn(&LogHandle) -> Option<i64>,
    ) -> Result<(), StorageError> {
        if state.dir.is_offline() {
            return Ok(());
        }
        let logs = self.in_dir(&state.dir);
        let offsets: BTreeMap<_, _> =
            logs.iter().filter_map(|log| Some((log.topic_partition().clone(), value(log)?))).collect();
        state.dir.guard(file(state).write(offsets))
    }

    pub(super) fn checkpoint_dir_offsets(&self, state: &DirState) -> Result<(), StorageError> {
        self.checkpoint(state, |state| &state.recovery_points, |log| Some(log.lock().recovery_point().0))?;
        self.checkpoint(
            state,
            |state| &state.log_starts,
            |log| {
                let view = log.view();
                (view.start_offset() > view.first_segment_base()).then_some(view.start_offset().0)
            },
        )?;
        self.checkpoint_cleaner_offsets_of(state)
    }

    fn checkpoint_cleaner_offsets_of(&self, state: &DirState) -> Result<(), StorageError> {
        self.checkpoint(state, |state| &state.cleaner_offsets, |log| log.first_dirty_offset().map(|offset| offset.0))
    }

    /// After a cleaning.
    pub fn checkpoint_cleaner_offsets(&self) {
        self.each_dir(|state| self.checkpoint_cleaner_offsets_of(state));
    }

    /// Writes all checkpoints of a dir.
    pub(super) fn checkpoint_dir(&self, state: &DirState) -> Result<(), StorageError> {
        self.checkpoint_dir_offsets(state)?;
        self.checkpoint(state, |state| &state.high_watermarks, |log| Some(log.high_watermark().0))
    }

    fn each_dir(&self, write: impl Fn(&DirState) -> Result<(), StorageError>) {
        for state in &self.dirs {
            // A failure has taken the dir offline and was told there; the other dirs go on.
            let _ = write(state);
        }
    }

    /// `log.flush.offset.checkpoint.interval.ms`, and after truncations, which also make clean logs dirty.
    pub fn checkpoint_recovery_points(&self) {
        self.each_dir(|state| {
            self.checkpoint(state, |state| &state.recovery_points, |log| Some(log.lock().recovery_point().0))?;
            self.checkpoint_cleaner_offsets_of(state)
        });
    }

    /// `log.flush.start.offset.checkpoint.interval.ms`.
    pub fn checkpoint_log_starts(&self) {
        self.each_dir(|state| self.checkpoint_dir_offsets(state));
    }

    /// `replica.high.watermark.checkpoint.interval.ms`.
    pub fn checkpoint_high_watermarks(&self) {
        self.each_dir(|state| {
            self.checkpoint(state, |state| &state.high_watermarks, |log| Some(log.high_watermark().0))
        });
    }

    /// Retention, for the logs that are not compacted; those are the cleaner's. Notes the new log starts.
    pub fn delete_old_segments(&self) {
        let now_ms = Clock.wall_ms();
        let mut deleted = 0;
        for log in self.all().iter().filter(|log| !log.config().cleanup_policy.compact) {
            // An error has taken the log's dir offline and was told there.
            deleted += log.lock().delete_old_segments(log.high_watermark(), now_ms).unwrap_or(0);
        }
        if deleted > 0 {
            self.checkpoint_log_starts();
        }
    }

    /// Flushes the logs whose `flush.ms` is over.
    pub fn flush_due(&self) {
        let now_ms = Clock.now_ms();
        for log in self.all() {
            let flush_ms = log.config().flush_ms;
            let last_flush_ms = log.lock().last_flush_ms();
            if now_ms - last_flush_ms >= flush_ms {
                // An error has taken the log's dir offline and was told there.
                let _ = log.flush(false);
            }
        }
    }

    /// Removes files and directories whose `file.delete.delay.ms` is over.
    pub fn delete_due_files(&self) {
        let now_ms = Clock.wall_ms();
        self.each_dir(|state| state.dir.take_out_trash(now_ms));
    }

    /// Changes how long producers may be silent (`producer.id.expiration.ms`).
    pub fn set_producer_expiration_ms(&self, ms: i64) {
        self.producer_expiration_ms.store(ms, Ordering::Relaxed);
        self.with_futures().iter().for_each(|log| log.lock().producer_expiration_ms = ms);
    }

    /// `producer.id.expiration.check.interval.ms`.
    pub fn expire_producers(&self) {
        let now_ms = Clock.wall_ms();
        self.all().iter().for_each(|log| log.lock().expire_producers(now_ms));
    }

    /// Closes and flushes all logs, writes all checkpoints, and marks the dirs where all of that worked as cleanly shut
    /// down. Nothing may be appended any more.
    pub fn shutdown(&self) {
        if let Some(mover) = self.mover() {
            mover.stop();
        }
        let _changing = self.changes.lock();
        std::thread::scope(|scope| {
            for state in &self.dirs {
                scope.spawn(|| {
                    if let Err(error) = self.shutdown_dir(state) {
                        tracing::error!(dir = %state.dir.path.display(), %error, "log dir was not shut down cleanly");
                    }
                    state.lock.lock().take();
                });
            }
        });
    }

    fn shutdown_dir(&self, state: &DirState) -> Result<(), StorageError> {
        state.dir.check()?;
        for log in self.in_dir(&state.dir) {
            log.lock().close()?;
        }
        self.checkpoint_dir(state)?;
        state.dir.guard(disk::replace(&state.dir.path.join(CLEAN_SHUTDOWN), CLEAN_SHUTDOWN_TEXT))
    }
}

/// Renames a log's directory so that it is removed after `file.delete.delay.ms`; returns the dir it was in.
pub(super) fn discard(log: &mut Log, now_ms: i64) -> Result<Arc<LogDir>, StorageError> {
    let dir = log.log_dir().clone();
    let path = log.rename_deleted(&deleted_dir(log.topic_partition(), Uuid::random()))?;
    dir.discard_dir(path, now_ms.saturating_add(log.config().file_delete_delay_ms));
    dir.count(-1);
    Ok(dir)
}
