//! Compaction: of the records of a key only the last stays.
//!
//! A cleaning looks at the log twice. First it notes the last offset of every key of the dirty part, which nobody has
//! looked at before, in a map of bounded size. Then it copies all segments up to where the map was full, leaving out
//! records that a later one of the same key replaces, and puts the copies in the place of the segments. Offsets never
//! change; a batch that loses records keeps its offsets and sequences.
//!
//! All reading and writing is done without the log's lock; it is taken to put a finished segment in place. If the log
//! was truncated or deleted meanwhile the cleaning is given up, and its output deleted.
//! Source: `LogCleaner`, `LogCleanerManager`, `Cleaner` of Kafka 3.9.

mod dirty;
mod filter;
mod gate;
mod legacy;
mod offset_map;
mod pass;
mod threads;
mod throttle;
mod transactions;

#[cfg(test)]
mod tests;

use std::io;

pub use dirty::Dirty;
pub use gate::{CleaningPaused, Gate};
pub use pass::{Limits, Pass, clean};
pub use threads::{Cleaner, Figures, Options};

use super::error::StorageError;
use crate::record::{BatchError, RecordError};

/// Why a cleaning did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// The log was truncated, deleted or moved, or the broker stops. It is tried again later.
    #[error("cleaning was given up")]
    GivenUp,
    /// The disk; its dir is offline now.
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("at position {position}: {source}")]
    Batch { position: u64, source: BatchError },
    #[error("at position {position}: {source}")]
    Records { position: u64, source: RecordError },
    /// What was kept, written anew, is larger than a segment can be.
    #[error("the cleaned segment would be larger than 2 GiB")]
    TooLarge,
    /// The segment does not end with a whole batch.
    #[error("at position {position}: {left} bytes are no whole batch")]
    Cut { position: u64, left: u64 },
}

/// What a cleaning did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    pub map_bytes_read: u64,
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub records_read: u64,
    pub records_written: u64,
    /// They do not belong in a compacted log and are dropped.
    pub records_without_key: u64,
    /// Taken part of the offset map, 0 to 1.
    pub map_utilization: f64,
}
