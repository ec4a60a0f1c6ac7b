//! The threads that copy partitions to other log dirs (`num.replica.alter.log.dirs.threads`), one partition at a time
//! each, below `replica.alter.log.dirs.io.max.bytes.per.second` together. Source: `ReplicaAlterLogDirsThread`.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::error::{FollowerAppendError, StorageError};
use super::manager::Manager;
use super::moves::{Copied, CopyError};
use crate::ids::TopicPartition;
use crate::time::{Clock, Millis};

/// Settings of the mover.
#[derive(Clone, Copy, Debug)]
pub struct MoverOptions {
    pub threads: usize,
    /// Bytes of one read: `replica.fetch.max.bytes`.
    pub read_bytes: usize,
    /// `replica.fetch.backoff.ms`
    pub backoff_ms: Millis,
}

/// See the head of the file.
pub struct Mover {
    logs: Weak<Manager>,
    options: MoverOptions,
    work: Mutex<Work>,
    changed: Condvar,
    /// Bytes a second; `i64::MAX` for no limit.
    rate: AtomicI64,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Work {
    waiting: VecDeque<TopicPartition>,
    /// Waiting or being copied.
    known: HashSet<TopicPartition>,
    /// Given up until the move is asked for again.
    failed: HashSet<TopicPartition>,
    /// The throttle lets the next byte through at this time of the monotonic clock.
    next_ms: Millis,
    stopped: bool,
}

/// What becomes of a copy after a step.
enum Next {
    Again,
    After(Millis),
    Done,
    Failed,
}

impl Mover {
    /// Starts the threads; copies that were found in the log dirs wait for [`Self::go_on`].
    pub fn start(logs: &Arc<Manager>, options: MoverOptions) -> Arc<Self> {
        let mover = Arc::new(Self {
            logs: Arc::downgrade(logs),
            options,
            work: Mutex::default(),
            changed: Condvar::new(),
            rate: AtomicI64::new(i64::MAX),
            threads: Mutex::default(),
        });
        for index in 0..options.threads.max(1) {
            let thread = std::thread::Builder::new().name(format!("log-mover-{index}"));
            let run = mover.clone();
            let thread = thread.spawn(move || run.run()).expect("the system can start a thread");
            mover.threads.lock().push(thread);
        }
        mover
    }

    /// Copies a partition that has a copy in progress, unless it is being copied already.
    pub fn go_on(&self, tp: &TopicPartition) {
        let mut work = self.work.lock();
        work.failed.remove(tp);
        if work.known.insert(tp.clone()) {
            work.waiting.push_back(tp.clone());
            self.changed.notify_one();
        }
    }

    /// Sets the bytes a second that all copies together may read.
    pub fn set_rate(&self, bytes_per_s: i64) {
        if self.rate.swap(bytes_per_s.max(0), Ordering::Relaxed) == bytes_per_s.max(0) {
            return;
        }
        self.work.lock().next_ms = 0;
        self.changed.notify_all();
    }

    /// Partitions whose copies were given up.
    pub fn failed_count(&self) -> usize {
        self.work.lock().failed.len()
    }

    /// The largest number of offsets that a copy lacks.
    pub fn max_lag(&self) -> i64 {
        let Some(logs) = self.logs.upgrade() else { return 0 };
        let known: Vec<_> = self.work.lock().known.iter().cloned().collect();
        let lag = |tp: &TopicPartition| {
            let (log, copy) = (logs.get(tp)?, logs.future(tp)?);
            Some(log.view().end_offset().0 - copy.view().end_offset().0)
        };
        known.iter().filter_map(lag).max().unwrap_or(0).max(0)
    }

    /// Ends the threads; copies stay and go on after the next start.
    pub fn stop(&self) {
        self.work.lock().stopped = true;
        self.changed.notify_all();
        for thread in self.threads.lock().drain(..) {
            // A panic ends the process in release builds.
            let _ = thread.join();
        }
    }

    fn run(&self) {
        while let Some(tp) = self.next() {
            loop {
                match self.step(&tp) {
                    Next::Again => {}
                    Next::After(ms) => self.sleep(ms),
                    Next::Failed => {
                        let mut work = self.work.lock();
                        work.known.remove(&tp);
                        work.failed.insert(tp);
                        break;
                    }
                    Next::Done => {
                        let mut work = self.work.lock();
                        // A move that began meanwhile found the partition known, so it is ours as well.
                        if self.logs.upgrade().is_none_or(|logs| work.stopped || !logs.can_move(&tp)) {
                            work.known.remove(&tp);
                            break;
                        }
                    }
                }
            }
        }
    }

    fn next(&self) -> Option<TopicPartition> {
        let mut work = self.work.lock();
        loop {
            if work.stopped {
                return None;
            }
            match work.waiting.pop_front() {
                Some(tp) => return Some(tp),
                None => self.changed.wait(&mut work),
            }
        }
    }

    fn sleep(&self, ms: Millis) {
        let until = Clock.now_ms() + ms;
        let mut work = self.work.lock();
        loop {
            let left = until - Clock.now_ms();
            if left <= 0 || work.stopped {
                return;
            }
            self.changed.wait_for(&mut work, Duration::from_millis(left as u64));
        }
    }

    /// Waits until the throttle lets `bytes` more through that were read before. False: stopped.
    fn throttle(&self, bytes: usize) -> bool {
        let mut charged = false;
        let mut work = self.work.lock();
        loop {
            if work.stopped {
                return false;
            }
            let now = Clock.now_ms();
            let rate = self.rate.load(Ordering::Relaxed);
            if !charged && rate < i64::MAX {
                let cost_ms = (bytes as i64).saturating_mul(1000) / rate.max(1);
                work.next_ms = work.next_ms.max(now).saturating_add(cost_ms);
            }
            charged = true;
            // A new rate forgives what was read before it.
            let left = work.next_ms - now;
            if left <= 0 {
                return true;
            }
            self.changed.wait_for(&mut work, Duration::from_millis(left.min(3_600_000) as u64));
        }
    }

    fn step(&self, tp: &TopicPartition) -> Next {
        if self.work.lock().stopped {
            return Next::Done;
        }
        let Some(logs) = self.logs.upgrade() else { return Next::Done };
        let (Some(log), Some(copy)) = (logs.get(tp), logs.future(tp)) else { return Next::Done };
        let read_bytes = self.options.read_bytes;
        let done = logs.copy_some(&log, &copy, read_bytes).and_then(|copied| match copied {
            Copied::Bytes(bytes) => Ok(if self.throttle(bytes) { Next::Again } else { Next::Done }),
            Copied::Everything => {
                // Most of it before the log is locked for the exchange.
                copy.flush(false)?;
                Ok(if logs.finish_move(tp, read_bytes)? { Next::Done } else { Next::Again })
            }
        });
        match done {
            Ok(next) => next,
            // One of both was deleted, or the copy was given up.
            Err(CopyError::Storage(StorageError::Deleted)) => Next::Done,
            Err(CopyError::Append(FollowerAppendError::Storage(StorageError::Deleted))) => Next::Done,
            Err(error) if log.log_dir().is_offline() || copy.log_dir().is_offline() => {
                tracing::warn!(%tp, %error, "stopped moving the log, a dir is offline");
                Next::Done
            }
            Err(
                error @ (CopyError::Read(_) | CopyError::Storage(_) | CopyError::Append(FollowerAppendError::Batch(_))),
            ) => {
                tracing::warn!(%tp, %error, "cannot copy the log now, will retry");
                Next::After(self.options.backoff_ms)
            }
            Err(error) => {
                tracing::error!(%tp, %error, "gave up copying the log");
                Next::Failed
            }
        }
    }
}
