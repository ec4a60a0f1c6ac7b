//! Lanes: the threads on which logs are appended to, so that a slow disk stops neither sockets nor other dirs.
//!
//! A key (a partition) always maps to the same thread, so its jobs run in the order they came. A hop to a thread costs
//! more than a quiet append, hence [`Lanes::is_idle`]: when a key's thread has nothing to do, the caller may as well try
//! the log's lock and append itself.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};

/// Work for a lane. It must not panic.
pub type Job = Box<dyn FnOnce() + Send>;

/// The queue is full, or the lanes were shut down: the job comes back.
pub struct Rejected(pub Job);

impl std::fmt::Debug for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rejected")
    }
}

struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

struct Lane {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Jobs queued or running.
    pending: AtomicUsize,
    capacity: usize,
}

/// A few threads, each with a bounded queue.
pub struct Lanes {
    lanes: Vec<Arc<Lane>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    hash: std::hash::RandomState,
}

impl Lanes {
    /// Starts `threads` threads; each queue takes `capacity` jobs.
    pub fn start(name: &str, threads: usize, capacity: usize) -> Self {
        let new_lane = || Lane {
            queue: Mutex::new(Queue { jobs: VecDeque::new(), closed: false }),
            wake: Condvar::new(),
            pending: AtomicUsize::new(0),
            capacity,
        };
        let lanes: Vec<_> = (0..threads.max(1)).map(|_| Arc::new(new_lane())).collect();
        let start = |(index, lane): (usize, &Arc<Lane>)| {
            let lane = lane.clone();
            let thread = std::thread::Builder::new().name(format!("{name}-{index}"));
            thread.spawn(move || lane.run()).expect("the system can start a thread")
        };
        let threads = lanes.iter().enumerate().map(start).collect();
        Self { lanes, threads: Mutex::new(threads), hash: std::hash::RandomState::new() }
    }

    fn lane(&self, key: &impl Hash) -> &Lane {
        &self.lanes[(self.hash.hash_one(key) % self.lanes.len() as u64) as usize]
    }

    /// Queues a job behind the earlier ones of the same key.
    pub fn submit(&self, key: &impl Hash, job: Job) -> Result<(), Rejected> {
        let lane = self.lane(key);
        let mut queue = lane.queue.lock();
        if queue.closed || queue.jobs.len() >= lane.capacity {
            return Err(Rejected(job));
        }
        lane.pending.fetch_add(1, Ordering::AcqRel);
        queue.jobs.push_back(job);
        drop(queue);
        lane.wake.notify_one();
        Ok(())
    }

    /// Has the thread of this key neither queued nor running jobs? Then a job run by the caller overtakes none of its own.
    pub fn is_idle(&self, key: &impl Hash) -> bool {
        self.lane(key).pending.load(Ordering::Acquire) == 0
    }

    /// Jobs queued or running, over all threads.
    pub fn pending(&self) -> usize {
        self.lanes.iter().map(|lane| lane.pending.load(Ordering::Relaxed)).sum()
    }

    /// Takes no more jobs, runs those that are queued, and waits for the threads to end.
    pub fn shutdown(&self) {
        for lane in &self.lanes {
            lane.queue.lock().closed = true;
            lane.wake.notify_all();
        }
        for thread in self.threads.lock().drain(..) {
            // A panicking job ends the process in release builds; in tests the others go on.
            let _ = thread.join();
        }
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Lane {
    fn run(&self) {
        loop {
            let batch = {
                let mut queue = self.queue.lock();
                while queue.jobs.is_empty() && !queue.closed {
                    self.wake.wait(&mut queue);
                }
                std::mem::take(&mut queue.jobs)
            };
            if batch.is_empty() {
                return;
            }
            for job in batch {
                job();
                self.pending.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_of_a_key_run_in_order_and_all_run() {
        let lanes = Lanes::start("test", 3, 10_000);
        let seen: Arc<Mutex<Vec<(u32, u32)>>> = Arc::default();
        for n in 0..1000u32 {
            let (key, seen) = (n % 7, seen.clone());
            lanes.submit(&key, Box::new(move || seen.lock().push((key, n)))).unwrap();
        }
        lanes.shutdown();
        assert!(lanes.is_idle(&3) && lanes.submit(&3, Box::new(|| {})).is_err());
        let seen = seen.lock();
        assert_eq!(seen.len(), 1000);
        for key in 0..7 {
            let mine: Vec<_> = seen.iter().filter(|(other, _)| *other == key).map(|(_, n)| *n).collect();
            assert!(mine.is_sorted());
        }
    }

    #[test]
    fn queues_are_bounded() {
        let lanes = Lanes::start("test", 1, 2);
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let (started, running) = std::sync::mpsc::channel::<()>();
        lanes
            .submit(
                &0,
                Box::new(move || {
                    started.send(()).unwrap();
                    gate.recv().unwrap()
                }),
            )
            .unwrap();
        running.recv().unwrap();
        assert!(!lanes.is_idle(&0));
        lanes.submit(&0, Box::new(|| {})).unwrap();
        lanes.submit(&0, Box::new(|| {})).unwrap();
        assert!(lanes.submit(&0, Box::new(|| {})).is_err());
        release.send(()).unwrap();
    }
}
