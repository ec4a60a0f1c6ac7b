//! The threads that clean: each takes the dirtiest log that is due, cleans it, and looks again; if there is none it
//! sleeps. After each look, segments that retention no longer needs are deleted in compacted logs.
//! Source: `LogCleaner.CleanerThread` and `LogCleanerManager.grabFilthiestCompactedLog` of Kafka 3.9.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::dirty::Dirty;
use super::gate::Cleaning;
use super::pass::{Limits, clean};
use super::throttle::Throttle;
use super::{CleanError, Stats};
use crate::config::{Settings, keys};
use crate::log::handle::LogHandle;
use crate::log::manager::Manager;
use crate::time::Clock;

/// A thread that waits for the throttle looks this often whether it should give up.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// More memory than this is of no use to one thread.
const MAX_MAP_BYTES: i64 = i32::MAX as i64;

/// Settings of the cleaner, `log.cleaner.*`; memory is that of all threads together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    pub threads: usize,
    pub dedupe_buffer_bytes: i64,
    pub load_factor: f64,
    pub io_buffer_bytes: i32,
    pub max_bytes_per_second: f64,
    pub backoff_ms: i64,
}

impl Options {
    /// No threads if `log.cleaner.enable` is false.
    pub fn from_settings(settings: &Settings) -> Self {
        let threads = settings.get(keys::LOG_CLEANER_THREADS).max(0) as usize;
        Self {
            threads: if settings.get(keys::LOG_CLEANER_ENABLE) { threads } else { 0 },
            dedupe_buffer_bytes: settings.get(keys::LOG_CLEANER_DEDUPE_BUFFER_SIZE),
            load_factor: settings.get(keys::LOG_CLEANER_IO_BUFFER_LOAD_FACTOR),
            io_buffer_bytes: settings.get(keys::LOG_CLEANER_IO_BUFFER_SIZE),
            max_bytes_per_second: settings.get(keys::LOG_CLEANER_IO_MAX_BYTES_PER_SECOND),
            backoff_ms: settings.get(keys::LOG_CLEANER_BACKOFF_MS),
        }
    }

    fn limits(&self) -> Limits {
        let threads = self.threads.max(1);
        Limits {
            map_bytes: (self.dedupe_buffer_bytes / threads as i64).clamp(0, MAX_MAP_BYTES) as usize,
            map_load_factor: self.load_factor,
            io_buffer_bytes: self.io_buffer_bytes.max(0) as usize / threads / 2,
        }
    }
}

/// What the metrics show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Bytes written by the last cleaning of each thread, in percent of those read.
    pub recopy_percent: i64,
    pub max_buffer_utilization_percent: i64,
    pub max_clean_time_secs: i64,
    pub max_compaction_delay_secs: i64,
    pub max_dirty_percent: i64,
    pub time_since_last_run_ms: i64,
    /// Read and written so far.
    pub io_bytes: u64,
}

/// See the head of the file.
pub struct Cleaner {
    logs: Arc<Manager>,
    clock: Clock,
    throttle: Throttle,
    threads: Mutex<Vec<JoinHandle<()>>>,
    stopping: Mutex<bool>,
    stop: Condvar,
    /// Held while a log is chosen.
    seen: Mutex<Seen>,
    /// Of the last cleaning of each thread, with the time it took.
    last: Mutex<Vec<Option<(Stats, Duration)>>>,
}

/// What the last look at the logs showed.
struct Seen {
    at_ms: i64,
    max_ratio: f64,
    overdue_ms: i64,
}

/// A log that was chosen.
struct Chosen<'a> {
    log: &'a Arc<LogHandle>,
    cleaning: Cleaning<'a>,
    dirty: Dirty,
}

impl Cleaner {
    /// Starts the threads.
    pub fn start(logs: Arc<Manager>, options: Options) -> Arc<Self> {
        let clock = Clock;
        let cleaner = Arc::new(Self {
            logs,
            clock,
            throttle: Throttle::new(options.max_bytes_per_second),
            threads: Mutex::default(),
            stopping: Mutex::new(false),
            stop: Condvar::new(),
            seen: Mutex::new(Seen { at_ms: clock.wall_ms(), max_ratio: 0.0, overdue_ms: 0 }),
            last: Mutex::default(),
        });
        cleaner.start_threads(&mut cleaner.threads.lock(), options);
        cleaner
    }

    fn start_threads(self: &Arc<Self>, threads: &mut Vec<JoinHandle<()>>, options: Options) {
        *self.last.lock() = vec![None; options.threads];
        for number in 0..options.threads {
            let cleaner = self.clone();
            let thread = std::thread::Builder::new().name(format!("kafka-log-cleaner-thread-{number}"));
            let run = move || cleaner.run(number, &options);
            threads.push(thread.spawn(run).expect("the system can start a thread"));
        }
    }

    fn stop_threads(&self, threads: &mut Vec<JoinHandle<()>>) {
        *self.stopping.lock() = true;
        self.stop.notify_all();
        for thread in threads.drain(..) {
            // A panic ends the process.
            let _ = thread.join();
        }
        *self.stopping.lock() = false;
    }

    /// Stops the threads and waits for them. A cleaning that runs is given up.
    pub fn stop(&self) {
        self.stop_threads(&mut self.threads.lock());
    }

    /// Goes on with other settings: the threads end and new ones begin, unless there are none because the cleaner was
    /// stopped or is not enabled. `options` is asked when it is this call's turn.
    pub fn reconfigure(self: &Arc<Self>, options: impl FnOnce() -> Options) {
        let mut threads = self.threads.lock();
        let options = options();
        self.throttle.set_limit(options.max_bytes_per_second);
        if !threads.is_empty() {
            self.stop_threads(&mut threads);
            self.start_threads(&mut threads, options);
        }
    }

    pub fn figures(&self) -> Figures {
        let last: Vec<_> = self.last.lock().iter().flatten().copied().collect();
        let sum = |of: fn(&Stats) -> u64| last.iter().map(|(stats, _)| of(stats)).sum::<u64>();
        let seen = self.seen.lock();
        Figures {
            recopy_percent: (100 * sum(|stats| stats.bytes_written) / sum(|stats| stats.bytes_read).max(1)) as i64,
            max_buffer_utilization_percent: last
                .iter()
                .map(|(stats, _)| (100.0 * stats.map_utilization) as i64)
                .max()
                .unwrap_or(0),
            max_clean_time_secs: last.iter().map(|(_, took)| took.as_secs() as i64).max().unwrap_or(0),
            max_compaction_delay_secs: seen.overdue_ms / 1000,
            max_dirty_percent: (100.0 * seen.max_ratio) as i64,
            time_since_last_run_ms: self.clock.wall_ms() - seen.at_ms,
            io_bytes: self.throttle.bytes(),
        }
    }

    /// Logs that cannot be cleaned, of each log dir: how many, and their dirty bytes.
    pub fn uncleanable(&self) -> Vec<(PathBuf, usize, u64)> {
        let logs: Vec<_> = self.logs.all().into_iter().filter(|log| log.is_uncleanable()).collect();
        let now_ms = self.clock.wall_ms();
        let of_dir = |path: PathBuf| {
            let here = || logs.iter().filter(|log| log.log_dir().path == path);
            let bytes = |log: &Arc<LogHandle>| Dirty::of(log, now_ms).map_or(0, |dirty| dirty.cleanable_bytes);
            (path.clone(), here().count(), here().map(bytes).sum())
        };
        self.logs.dirs().into_iter().map(|dir| of_dir(dir.path)).collect()
    }

    fn is_stopping(&self) -> bool {
        *self.stopping.lock()
    }

    /// Waits unless the cleaner stops.
    fn sleep(&self, time: Duration) {
        let mut stopping = self.stopping.lock();
        if !*stopping {
            self.stop.wait_for(&mut stopping, time);
        }
    }

    fn run(&self, number: usize, options: &Options) {
        while !self.is_stopping() {
            let cleaned = self.clean_dirtiest(number, options);
            self.delete_old_segments();
            if !cleaned {
                self.sleep(Duration::from_millis(options.backoff_ms.max(0) as u64));
            }
        }
    }

    fn clean_dirtiest(&self, number: usize, options: &Options) -> bool {
        let logs = self.compacted_logs();
        let Some(Chosen { log, cleaning, dirty }) = self.choose(&logs) else { return false };
        let tp = log.topic_partition();
        tracing::info!(%tp, from = dirty.pass.from, to = dirty.pass.to, ratio = dirty.ratio(), "cleaning log");
        let begun = Instant::now();
        let mut watch = |bytes| self.watch(bytes, &cleaning);
        match clean(log, &dirty.pass, &options.limits(), self.clock.wall_ms(), &mut watch) {
            Ok((to, stats)) => {
                self.logs.checkpoint_cleaner_offsets();
                let took = begun.elapsed();
                report(log, to, &stats, took);
                if let Some(last) = self.last.lock().get_mut(number) {
                    *last = Some((stats, took));
                }
                true
            }
            // What it was given up for is over soon, or the dir is offline and was told there.
            Err(CleanError::GivenUp | CleanError::Storage(_)) => true,
            Err(error) => {
                tracing::error!(%tp, %error, "log cannot be cleaned; it is left alone until the next start");
                log.mark_uncleanable();
                false
            }
        }
    }

    /// Waits as long as the throttle wants.
    fn watch(&self, bytes: usize, cleaning: &Cleaning<'_>) -> Result<(), CleanError> {
        let due = self.throttle.passed(bytes, Instant::now());
        loop {
            if cleaning.should_give_up() || self.is_stopping() {
                return Err(CleanError::GivenUp);
            }
            match due.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => self.sleep(left.min(LOOK_EVERY)),
                _ => return Ok(()),
            }
        }
    }

    fn compacted_logs(&self) -> Vec<Arc<LogHandle>> {
        let mut logs = self.logs.all();
        logs.retain(|log| log.config().cleanup_policy.compact && !log.log_dir().is_offline());
        logs
    }

    /// Claims the log with the largest part to clean, of those that are due.
    fn choose<'a>(&self, logs: &'a [Arc<LogHandle>]) -> Option<Chosen<'a>> {
        let mut seen = self.seen.lock();
        let now_ms = self.clock.wall_ms();
        *seen = Seen { at_ms: now_ms, max_ratio: 0.0, overdue_ms: 0 };
        let mut best: Option<Chosen<'a>> = None;
        let mut reset = false;
        for log in logs {
            let Some(cleaning) = log.begin_cleaning() else { continue };
            // The copy would keep what is removed here, and pass for clean.
            if self.logs.is_moving(log.topic_partition()) {
                continue;
            }
            let dirty = match log.log_dir().guard_read(Dirty::of(log, now_ms)) {
                Ok(dirty) => dirty,
                Err(error) => {
                    let tp = log.topic_partition();
                    tracing::error!(%tp, %error, "log cannot be cleaned; it is left alone until the next start");
                    log.mark_uncleanable();
                    continue;
                }
            };
            reset |= dirty.reset;
            seen.max_ratio = seen.max_ratio.max(dirty.ratio());
            seen.overdue_ms = seen.overdue_ms.max(dirty.overdue_ms);
            let dirtier = best.as_ref().is_none_or(|best| dirty.ratio() > best.dirty.ratio());
            if dirtier && dirty.is_due(log.config().min_cleanable_dirty_ratio) {
                best = Some(Chosen { log, cleaning, dirty });
            }
        }
        if reset {
            self.logs.checkpoint_cleaner_offsets();
        }
        best
    }

    /// Retention of compacted logs; the others' is the log manager's work.
    fn delete_old_segments(&self) {
        let mut deleted = 0;
        for log in self.compacted_logs() {
            if self.is_stopping() {
                return;
            }
            let Some(_cleaning) = log.begin_cleaning() else { continue };
            let high_watermark = log.high_watermark();
            // An error has taken the dir offline already.
            let gone = log.lock().delete_old_segments(high_watermark, self.clock.wall_ms());
            deleted += gone.unwrap_or(0);
        }
        if deleted > 0 {
            self.logs.checkpoint_log_starts();
        }
    }
}

fn report(log: &LogHandle, to: i64, stats: &Stats, took: Duration) {
    let megabytes = |bytes: u64| bytes as f64 / (1 << 20) as f64;
    tracing::info!(
        tp = %log.topic_partition(),
        to,
        mib_before = megabytes(stats.bytes_read),
        mib_after = megabytes(stats.bytes_written),
        records_before = stats.records_read,
        records_after = stats.records_written,
        mib_per_s = megabytes(stats.map_bytes_read + stats.bytes_read) / took.as_secs_f64().max(1e-9),
        map_percent = 100.0 * stats.map_utilization,
        "cleaned log"
    );
    if stats.records_without_key > 0 {
        let count = stats.records_without_key;
        tracing::warn!(tp = %log.topic_partition(), count, "records without a key in a compacted log were dropped");
    }
}
