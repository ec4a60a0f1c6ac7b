//! A limit on the bytes that all cleaner threads together read and write in a second.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What may be saved up while less is read and written than allowed.
const BURST: Duration = Duration::from_millis(300);

/// See the head of the file.
pub struct Throttle {
    limit: Mutex<Limit>,
    bytes: AtomicU64,
}

struct Limit {
    bytes_per_second: f64,
    /// When all bytes so far are allowed.
    due: Instant,
}

impl Throttle {
    pub fn new(bytes_per_second: f64) -> Self {
        let limit = Limit { bytes_per_second, due: Instant::now() };
        Self { limit: Mutex::new(limit), bytes: AtomicU64::new(0) }
    }

    pub fn set_limit(&self, bytes_per_second: f64) {
        self.limit.lock().bytes_per_second = bytes_per_second;
    }

    /// Bytes that were told so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Tells of bytes that were read or written at `now`. Returns when the next may be.
    pub fn passed(&self, bytes: usize, now: Instant) -> Instant {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut limit = self.limit.lock();
        // A day at most: a limit of next to nothing must not overflow.
        let seconds = (bytes as f64 / limit.bytes_per_second).clamp(0.0, 86_400.0);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        limit.due = limit.due.max(earliest) + Duration::from_secs_f64(seconds);
        limit.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time() {
        let throttle = Throttle::new(1000.0);
        let start = Instant::now() + Duration::from_secs(10);
        let mut due = start;
        for _ in 0..20 {
            due = throttle.passed(100, due.max(start));
        }
        let took = due - start;
        assert!((1.6..=1.8).contains(&took.as_secs_f64()), "{took:?}");
        assert_eq!(throttle.bytes(), 2000);
        throttle.set_limit(f64::MAX);
        assert!(throttle.passed(usize::MAX, due) <= due);
    }
}
