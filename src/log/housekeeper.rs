//! The log manager's regular work, on threads of its own: retention, checkpoints, flushes by time, removal of deleted
//! files, expiry of producers. A disk that hangs there stops no socket. Source: `LogManager.startup` of Kafka 3.9.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::manager::Manager;

/// When the work is done, all in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// `log.initial.task.delay.ms`
    pub initial_delay_ms: i64,
    /// `log.retention.check.interval.ms`
    pub retention_ms: i64,
    /// `log.flush.scheduler.interval.ms`
    pub flush_ms: i64,
    /// `log.flush.offset.checkpoint.interval.ms`
    pub recovery_points_ms: i64,
    /// `log.flush.start.offset.checkpoint.interval.ms`
    pub log_starts_ms: i64,
    /// `producer.id.expiration.check.interval.ms`
    pub producers_ms: i64,
}

/// How often deleted files are looked at. Kafka sleeps until the next one is due; this is as fine as its shortest delay.
const TRASH_INTERVAL: Duration = Duration::from_secs(1);

/// A piece of regular work.
struct Task {
    next: Instant,
    every: Duration,
    work: fn(&Manager),
}

impl Task {
    fn new(now: Instant, delay: Duration, every: Duration, work: fn(&Manager)) -> Self {
        // An interval beyond all time is never, as in Kafka's defaults.
        let next = now.checked_add(delay).unwrap_or(now + FAR);
        Self { next, every: every.clamp(Duration::from_millis(1), FAR), work }
    }
}

/// Longer than any broker runs, and still a time that can be computed with.
const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The running threads; they end when this is dropped.
#[derive(Debug)]
pub struct Housekeeper {
    stop: Vec<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Housekeeper {
    /// Begins the regular work on a manager's logs. Flushes have a thread to themselves: with many partitions they take
    /// long, and checkpoints must not wait for them.
    pub fn start(manager: &Arc<Manager>, schedule: Schedule) -> Self {
        let now = Instant::now();
        let ms = |ms: i64| Duration::from_millis(ms.max(0) as u64);
        let task = |every_ms, work| Task::new(now, ms(schedule.initial_delay_ms), ms(every_ms), work);
        let mut house = vec![
            task(schedule.retention_ms, Manager::delete_old_segments as fn(&Manager)),
            task(schedule.recovery_points_ms, Manager::checkpoint_recovery_points),
            task(schedule.log_starts_ms, Manager::checkpoint_log_starts),
        ];
        house.push(Task::new(now, ms(schedule.producers_ms), ms(schedule.producers_ms), Manager::expire_producers));
        house.push(Task::new(now, TRASH_INTERVAL, TRASH_INTERVAL, Manager::delete_due_files));
        let flush = vec![task(schedule.flush_ms, Manager::flush_due as fn(&Manager))];

        let (mut stop, mut threads) = (Vec::new(), Vec::new());
        for (name, tasks) in [("log-housekeeping", house), ("log-flush-by-time", flush)] {
            let (stopper, stopped) = mpsc::channel::<()>();
            let manager = manager.clone();
            let run = move || run(&manager, tasks, &stopped);
            threads
                .push(std::thread::Builder::new().name(name.into()).spawn(run).expect("the system can start a thread"));
            stop.push(stopper);
        }
        Self { stop, threads }
    }
}

impl Drop for Housekeeper {
    /// Waits until what is being done is done.
    fn drop(&mut self) {
        self.stop.clear();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a housekeeping thread of the logs panicked");
            }
        }
    }
}

fn run(manager: &Manager, mut tasks: Vec<Task>, stopped: &mpsc::Receiver<()>) {
    while let Some(task) = tasks.iter_mut().min_by_key(|task| task.next) {
        match stopped.recv_timeout(task.next.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => (task.work)(manager),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
        task.next = Instant::now() + task.every;
    }
}
