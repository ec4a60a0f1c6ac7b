//! `__consumer_offsets` as the group coordinator sees it, and the news of who leads it.

use std::sync::{Arc, Weak};

use bytes::Bytes;

use crate::error::ErrorCode;
use crate::group::{Coordinator, OffsetsLog};
use crate::ids::{CONSUMER_OFFSETS, LeaderEpoch, Offset, TopicPartition};
use crate::record::AppendOrigin;
use crate::replica::{self, CommitWait, RoleListener};
use crate::wait::BoxFuture;

/// The partitions of `__consumer_offsets` that this broker leads.
pub struct GroupLog(pub Arc<replica::Manager>);

impl OffsetsLog for GroupLog {
    fn append(
        &self,
        partition: i32,
        batch: Bytes,
        required_acks: i16,
        timeout_ms: i32,
    ) -> BoxFuture<'static, Result<Offset, ErrorCode>> {
        let acks_all = required_acks == -1;
        let appended = self.0.append(CONSUMER_OFFSETS, partition, &batch, AppendOrigin::Coordinator, acks_all);
        let replicas = self.0.clone();
        Box::pin(async move {
            let (partition, info) = appended.map_err(|error| ErrorCode::from(&error))?;
            if acks_all {
                let wait = CommitWait::new(vec![(partition, Offset(info.last_offset.0 + 1))]);
                match wait.outcomes(&replicas, i64::from(timeout_ms)).await[..] {
                    [ErrorCode::None] => {}
                    [error, ..] => return Err(error),
                    [] => return Err(ErrorCode::UnknownServerError),
                }
            }
            Ok(info.first_offset)
        })
    }

    fn read(&self, partition: i32, from: Offset, max_bytes: usize) -> Result<Option<Bytes>, ErrorCode> {
        let view = self.0.partition(CONSUMER_OFFSETS, partition)?.view();
        let read = view.read(from, max_bytes, view.end_offset(), true).map_err(|_| ErrorCode::KafkaStorageError)?;
        match read.slice {
            Some(slice) => slice.read().map(Some).map_err(|_| ErrorCode::KafkaStorageError),
            None => Ok(None),
        }
    }

    fn start(&self, partition: i32) -> Result<Offset, ErrorCode> {
        Ok(self.0.partition(CONSUMER_OFFSETS, partition)?.log_start())
    }
}

/// Tells the coordinator which partitions of its topic this broker leads.
pub struct Roles(pub Weak<Coordinator>);

impl Roles {
    fn groups(&self, tp: &TopicPartition) -> Option<Arc<Coordinator>> {
        (&*tp.topic == CONSUMER_OFFSETS).then(|| self.0.upgrade()).flatten()
    }
}

impl RoleListener for Roles {
    fn elected(&self, tp: &TopicPartition, epoch: LeaderEpoch) {
        if let Some(groups) = self.groups(tp) {
            groups.elected(tp.partition, epoch);
        }
    }

    fn resigned(&self, tp: &TopicPartition, epoch: Option<LeaderEpoch>) {
        if let Some(groups) = self.groups(tp) {
            groups.resigned(tp.partition, epoch);
        }
    }

    fn deleted(&self, partitions: &[TopicPartition]) {
        for tp in partitions {
            self.resigned(tp, None);
        }
        if let Some(groups) = self.0.upgrade() {
            groups.partitions_deleted(partitions.to_vec());
        }
    }
}
