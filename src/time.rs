//! Clocks: the only place that reads one, and the only source of randomness.
//!
//! Two kinds of time, never mixed: [`Clock::now_ms`] is monotonic, for time-outs, lag and expiry;
//! [`Clock::wall_ms`] is the calendar, for record timestamps, retention and JSON.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds of a clock, or a span of them.
pub type Millis = i64;

/// The process's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// Milliseconds of the monotonic clock, counted from the first use in this process.
    pub fn now_ms(&self) -> Millis {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_millis() as Millis
    }

    /// Milliseconds since 1970 of the wall clock; may jump.
    pub fn wall_ms(&self) -> Millis {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_millis() as Millis,
            Err(before) => -(before.duration().as_millis() as Millis),
        }
    }
}

/// Random bytes of the operating system.
pub fn os_random<const N: usize>() -> [u8; N] {
    use std::io::Read;
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .expect("the operating system gives random bytes");
    bytes
}
