//! A log as the rest of the broker holds it: the view for readers, a lock for writers.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::cleaner::Gate;
use super::dir::LogDir;
use super::error::{AppendError, FollowerAppendError, StorageError};
use super::log::{AppendInfo, LeaderAppend, Log, Shared};
use super::view::LogView;
use crate::config::LogConfig;
use crate::ids::{Offset, TopicPartition};

impl Shared {
    /// The view that was published last.
    pub fn view(&self) -> Arc<LogView> {
        self.view.load_full()
    }

    /// The high watermark as last set; at first that of the checkpoint.
    pub fn high_watermark(&self) -> Offset {
        Offset(self.high_watermark.load(Ordering::Acquire))
    }

    /// Moves the high watermark. The caller keeps the rules (not above the end, not below the start).
    pub fn set_high_watermark(&self, offset: Offset) {
        self.high_watermark.store(offset.0, Ordering::Release);
    }
}

/// See the head of the file.
#[derive(Debug)]
pub struct LogHandle {
    tp: TopicPartition,
    shared: Arc<Shared>,
    config: arc_swap::ArcSwap<LogConfig>,
    log: Mutex<Log>,
    gate: Gate,
}

impl LogHandle {
    pub fn new(log: Log) -> Self {
        Self {
            tp: log.topic_partition().clone(),
            shared: log.shared().clone(),
            config: arc_swap::ArcSwap::new(log.config().clone()),
            log: Mutex::new(log),
            gate: Gate::default(),
        }
    }

    pub fn topic_partition(&self) -> &TopicPartition {
        &self.tp
    }

    /// The dir that the log is in now; a move to another one changes it.
    pub fn log_dir(&self) -> Arc<LogDir> {
        self.shared.view.load().dir.clone()
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The log as it was last published; never waits.
    pub fn view(&self) -> Arc<LogView> {
        self.shared.view()
    }

    pub fn high_watermark(&self) -> Offset {
        self.shared.high_watermark()
    }

    /// See [`Shared::set_high_watermark`].
    pub fn set_high_watermark(&self, offset: Offset) {
        self.shared.set_high_watermark(offset);
    }

    /// The last stable offset under the handle's high watermark.
    pub fn last_stable_offset(&self) -> Offset {
        self.view().last_stable_offset(self.high_watermark())
    }

    /// The log itself. Held across disk writes: never take it on a thread that serves sockets.
    pub fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }

    /// The log if nobody has it now.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, Log>> {
        self.log.try_lock()
    }

    pub fn config(&self) -> Arc<LogConfig> {
        self.config.load_full()
    }

    /// Changes the topic's settings.
    pub fn set_config(&self, config: Arc<LogConfig>) {
        self.lock().set_config(config.clone());
        self.config.store(config);
    }

    /// Checks the records, then takes the lock and appends. `under_lock` is asked with the lock held, before anything is
    /// written: the place to check that this broker still leads.
    pub fn append_as_leader<E: From<AppendError>>(
        &self,
        records: &Bytes,
        append: &LeaderAppend,
        under_lock: impl FnOnce(&Log) -> Result<(), E>,
    ) -> Result<AppendInfo, E> {
        let prepared = Log::prepare(records, append, &self.config.load())?;
        let mut log = self.lock();
        under_lock(&log)?;
        Ok(log.append_prepared(prepared, append)?)
    }

    /// Appends what a leader sent.
    pub fn append_as_follower(&self, records: &Bytes) -> Result<AppendInfo, FollowerAppendError> {
        self.lock().append_as_follower(records)
    }

    /// Syncs the closed segments (or everything), without holding the lock meanwhile, and moves the recovery point.
    pub fn flush(&self, closed_only: bool) -> Result<(), StorageError> {
        let (dir, plan) = {
            let log = self.lock();
            log.check()?;
            (log.log_dir().clone(), log.plan_flush(closed_only))
        };
        if let Some(plan) = plan {
            dir.guard(plan.run())?;
            self.lock().flushed(&plan);
        }
        Ok(())
    }
}
