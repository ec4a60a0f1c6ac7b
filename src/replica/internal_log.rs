//! Internal topics as their coordinators see them: appends that wait for replicas, and reads for loading.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::ErrorCode;
use crate::group::coordinator::OffsetsLog;
use crate::ids::{CONSUMER_OFFSETS, Offset, TopicName};
use crate::record::AppendOrigin;
use crate::wait::BoxFuture;

use super::manager::{CommitWait, Manager};

/// One internal topic on this broker.
#[derive(Clone)]
pub struct InternalLog {
    manager: Arc<Manager>,
    topic: TopicName,
}

impl InternalLog {
    pub fn new(manager: Arc<Manager>, topic: &str) -> Self {
        Self { manager, topic: topic.into() }
    }

    /// The log of `__consumer_offsets`.
    pub fn offsets(manager: Arc<Manager>) -> Self {
        Self::new(manager, CONSUMER_OFFSETS)
    }
}

impl OffsetsLog for InternalLog {
    /// The append itself happens before the future is polled.
    fn append(
        &self,
        partition: i32,
        batch: Bytes,
        required_acks: i16,
        timeout_ms: i32,
    ) -> BoxFuture<'static, Result<Offset, ErrorCode>> {
        let all = required_acks == -1;
        let appended = self.manager.append(&self.topic, partition, &batch, AppendOrigin::Coordinator, all);
        let manager = self.manager.clone();
        let (hosted, info) = match appended {
            Ok(appended) => appended,
            Err(error) => {
                let error = ErrorCode::from(&error);
                return Box::pin(async move { Err(error) });
            }
        };
        if !all {
            return Box::pin(async move { Ok(info.first_offset) });
        }
        let wait = CommitWait::new(vec![(hosted, Offset(info.last_offset.0 + 1))]);
        Box::pin(async move {
            match wait.outcomes(&manager, timeout_ms.into()).await.pop() {
                Some(ErrorCode::None) => Ok(info.first_offset),
                Some(error) => Err(error),
                None => Err(ErrorCode::UnknownServerError),
            }
        })
    }

    fn read(&self, partition: i32, from: Offset, max_bytes: usize) -> Result<Option<Bytes>, ErrorCode> {
        let view = self.manager.partition(&self.topic, partition)?.view();
        let read = view.read(from, max_bytes, view.end_offset(), true).map_err(|error| ErrorCode::from(&error))?;
        match read.slice {
            None => Ok(None),
            Some(slice) => slice.read().map(Some).map_err(|_| ErrorCode::KafkaStorageError),
        }
    }

    fn start(&self, partition: i32) -> Result<Offset, ErrorCode> {
        Ok(self.manager.partition(&self.topic, partition)?.log_start())
    }
}
