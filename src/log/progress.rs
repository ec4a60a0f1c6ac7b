//! How far the loading of logs is: for log lines and metrics while a broker starts.
//! Studied: `LogManager`'s metrics remainingLogsToRecover and remainingSegmentsToRecover (KIP-831).

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};

/// How often a line is logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);

/// One thread's work.
#[derive(Debug, Default)]
pub struct ThreadProgress {
    /// Of the log that it has in hand.
    segments_left: AtomicUsize,
    /// Checked so far, of all its logs.
    bytes_done: AtomicU64,
}

impl ThreadProgress {
    /// So many segments of a log are to be checked.
    pub fn segments(&self, left: usize) {
        self.segments_left.store(left, Ordering::Relaxed);
    }

    /// A segment was checked.
    pub fn segment_done(&self, left: usize, bytes: u64) {
        self.segments(left);
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Segments of its log that are still to be checked.
    pub fn segments_left(&self) -> usize {
        self.segments_left.load(Ordering::Relaxed)
    }
}

/// One log dir.
#[derive(Debug)]
pub struct DirProgress {
    pub path: PathBuf,
    logs: usize,
    logs_done: AtomicUsize,
    /// Of the segments that must be checked.
    bytes: u64,
    pub threads: Vec<ThreadProgress>,
}

impl DirProgress {
    /// A log was loaded, or cannot be.
    pub fn log_done(&self) {
        self.logs_done.fetch_add(1, Ordering::Relaxed);
    }

    pub fn logs_left(&self) -> usize {
        self.logs.saturating_sub(self.logs_done.load(Ordering::Relaxed))
    }
}

/// All dirs of a broker that is starting. Empty before and after.
#[derive(Debug, Default)]
pub struct LoadProgress {
    dirs: RwLock<Vec<Arc<DirProgress>>>,
    over: Mutex<bool>,
    wake: Condvar,
}

impl LoadProgress {
    /// A dir with so many logs, in which so many bytes must be checked, by so many threads.
    pub fn begin(&self, path: PathBuf, logs: usize, bytes: u64, threads: usize) -> Arc<DirProgress> {
        let threads = (0..threads).map(|_| ThreadProgress::default()).collect();
        let dir = Arc::new(DirProgress { path, logs, logs_done: AtomicUsize::new(0), bytes, threads });
        self.dirs.write().push(dir.clone());
        dir
    }

    /// The dirs that are being loaded.
    pub fn dirs(&self) -> Vec<Arc<DirProgress>> {
        self.dirs.read().clone()
    }

    /// Logs how far loading is, now and then, until [`Self::end`].
    pub fn report(&self) {
        let began = Instant::now();
        let mut over = self.over.lock();
        while !*over {
            if self.wake.wait_for(&mut over, REPORT_INTERVAL).timed_out() {
                tracing::info!(target: "kafka.log.LogManager", "{}", self.state(began.elapsed()));
            }
        }
    }

    /// Loading is over, well or not.
    pub fn end(&self) {
        *self.over.lock() = true;
        self.wake.notify_all();
        self.dirs.write().clear();
    }

    fn state(&self, elapsed: Duration) -> State {
        let mut state = State { elapsed, ..State::default() };
        for dir in self.dirs.read().iter() {
            let done: u64 = dir.threads.iter().map(|thread| thread.bytes_done.load(Ordering::Relaxed)).sum();
            state.logs += dir.logs;
            state.logs_done += dir.logs - dir.logs_left();
            state.bytes += dir.bytes;
            // More is checked than was planned where indexes are missing.
            state.bytes_done += done.min(dir.bytes);
        }
        state
    }
}

/// How far all dirs are together.
#[derive(Debug, Default)]
struct State {
    logs: usize,
    logs_done: usize,
    bytes: u64,
    bytes_done: u64,
    elapsed: Duration,
}

impl State {
    /// Time still needed at the speed so far; `None` if nothing was done yet.
    fn left(&self) -> Option<Duration> {
        let share = if self.bytes > 0 {
            self.bytes_done as f64 / self.bytes as f64
        } else {
            self.logs_done as f64 / self.logs.max(1) as f64
        };
        (share > 0.0).then(|| self.elapsed.mul_f64((1.0 / share - 1.0).clamp(0.0, 1e6)))
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes >> 20;
        write!(f, "Loading logs: {} of {} partitions", self.logs_done, self.logs)?;
        if self.bytes > 0 {
            write!(f, ", {} of {} MiB recovered", mib(self.bytes_done), mib(self.bytes))?;
        }
        match self.left() {
            Some(left) => write!(f, ", about {} s left", left.as_secs()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_far_it_is() {
        let progress = LoadProgress::default();
        let first = progress.begin("/a".into(), 10, 400 << 20, 2);
        let second = progress.begin("/b".into(), 2, 0, 1);
        first.threads[0].segments(3);
        first.threads[1].segment_done(0, 100 << 20);
        first.log_done();
        second.log_done();
        assert_eq!((first.threads[0].segments_left(), first.logs_left(), second.logs_left()), (3, 9, 1));
        let line = progress.state(Duration::from_secs(10)).to_string();
        assert_eq!(line, "Loading logs: 2 of 12 partitions, 100 of 400 MiB recovered, about 30 s left");
        progress.end();
        progress.report();
        assert!(progress.dirs().is_empty());
        assert_eq!(progress.state(Duration::ZERO).to_string(), "Loading logs: 0 of 0 partitions");
    }
}
