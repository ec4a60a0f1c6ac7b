//! What can go wrong in a log.

use std::io;
use std::path::PathBuf;

use super::producers::ProducerError;
use crate::error::ErrorCode;
use crate::ids::{Offset, TopicId};
use crate::record::{BatchError, ValidateError};

/// The disk failed, now or earlier: the log dir is offline until the broker restarts (KIP-112).
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error("log dir {} failed: {source}", dir.display())]
    Failed { dir: PathBuf, source: io::Error },
    #[error("log dir {} is offline", dir.display())]
    Offline { dir: PathBuf },
    #[error("the log was deleted")]
    Deleted,
}

impl From<&StorageError> for ErrorCode {
    fn from(_: &StorageError) -> ErrorCode {
        ErrorCode::KafkaStorageError
    }
}

/// Why an append was refused. The log is unchanged, except after a storage error.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error(transparent)]
    Invalid(#[from] ValidateError),
    #[error(transparent)]
    Producer(#[from] ProducerError),
    #[error("{size} bytes exceed segment.bytes, {limit}")]
    LargerThanSegment { size: usize, limit: usize },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<&AppendError> for ErrorCode {
    fn from(error: &AppendError) -> ErrorCode {
        match error {
            AppendError::Invalid(error) => error.into(),
            AppendError::Producer(error) => error.into(),
            AppendError::LargerThanSegment { .. } => ErrorCode::RecordListTooLarge,
            AppendError::Storage(error) => error.into(),
        }
    }
}

/// Why a follower's append was refused.
#[derive(Debug, thiserror::Error)]
pub enum FollowerAppendError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// The partition must be marked failed: the leader's bytes make no sense.
    #[error("offsets are out of order: {next} after {last}")]
    OffsetsOutOfOrder { last: Offset, next: Offset },
    /// The batch begins before the log's end.
    #[error("unexpected offset {first}, the log ends at {log_end}")]
    UnexpectedOffset { first: Offset, log_end: Offset },
    #[error("{size} bytes exceed segment.bytes, {limit}")]
    LargerThanSegment { size: usize, limit: usize },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("offset {offset} is not in [{start}, {end}]")]
    OffsetOutOfRange { offset: Offset, start: Offset, end: Offset },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<&ReadError> for ErrorCode {
    fn from(error: &ReadError) -> ErrorCode {
        match error {
            ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            ReadError::Storage(error) => error.into(),
        }
    }
}

/// Why a partition cannot be had here.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("topic id {requested} is not the log's, {stored}")]
    InconsistentTopicId { stored: TopicId, requested: TopicId },
    /// It may lie on the dir that is offline, so an empty one must not be made.
    #[error("a log dir is offline, and the partition is not new")]
    MayBeOffline,
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<&OpenError> for ErrorCode {
    fn from(error: &OpenError) -> ErrorCode {
        match error {
            OpenError::InconsistentTopicId { .. } => ErrorCode::InconsistentTopicId,
            OpenError::MayBeOffline => ErrorCode::KafkaStorageError,
            OpenError::Storage(error) => error.into(),
        }
    }
}
