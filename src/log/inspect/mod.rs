//! Looking into log directories without a broker: nothing here takes part in serving.
//!
//! - [`dump`] prints files as Kafka's `kafka.tools.DumpLogSegments` does, to the byte.
//! - [`verify`] holds everything in a directory against the batches, [`rebuild`] replaces what does not agree.
//! - [`diff`] finds where two replicas of a partition part.

pub mod check;
pub mod diff;
pub mod dump;
mod frames;
pub mod partition;
pub mod rebuild;
mod text;
pub mod verify;

use std::io;
use std::path::{Path, PathBuf};

/// Why looking at a file had to stop.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// The file's bytes make no sense from some point on.
    #[error("{}: {what}", path.display())]
    Corrupt { path: PathBuf, what: String },
    /// What is asked for is not there to be had.
    #[error("{0}")]
    Refused(String),
    /// The report cannot be written.
    #[error(transparent)]
    Output(#[from] io::Error),
}

impl InspectError {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }

    fn corrupt(path: &Path, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), what: what.into() }
    }
}
