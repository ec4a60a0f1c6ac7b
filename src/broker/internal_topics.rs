//! `__consumer_offsets` and `__transaction_state` as the coordinators see them, and the news of who leads them.

use std::sync::{Arc, Weak};

use bytes::Bytes;

use crate::error::ErrorCode;
use crate::group;
use crate::ids::{CONSUMER_OFFSETS, LeaderEpoch, Offset, TRANSACTION_STATE, TopicPartition};
use crate::internal_log::InternalLog;
use crate::log::Guard;
use crate::record::AppendOrigin;
use crate::replica::txn::TxnProducer;
use crate::replica::{self, CommitWait, RoleListener};
use crate::txn;
use crate::wait::BoxFuture;

/// The partitions of an internal topic that this broker leads.
pub struct InternalTopic {
    pub replicas: Arc<replica::Manager>,
    pub name: &'static str,
}

impl InternalLog for InternalTopic {
    fn append_verified(
        &self,
        partition: i32,
        batch: Bytes,
        required_acks: i16,
        timeout_ms: i32,
        guard: Option<Guard>,
    ) -> BoxFuture<'static, Result<Offset, ErrorCode>> {
        let acks_all = required_acks == -1;
        let replicas = self.replicas.clone();
        let appended =
            replicas.append_verified(self.name, partition, &batch, AppendOrigin::Coordinator, acks_all, guard);
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

    fn verify_txn(
        &self,
        partition: i32,
        producer: TxnProducer,
    ) -> BoxFuture<'static, Result<Option<Guard>, ErrorCode>> {
        let (replicas, tp) = (self.replicas.clone(), TopicPartition::new(self.name, partition));
        Box::pin(async move {
            let results = replicas.verify_txn(&producer, &[(tp, -1)]).await;
            results.into_iter().next().unwrap_or(Err(ErrorCode::UnknownServerError))
        })
    }

    fn read(&self, partition: i32, from: Offset, max_bytes: usize) -> Result<Option<Bytes>, ErrorCode> {
        let view = self.replicas.partition(self.name, partition)?.view();
        let read = view.read(from, max_bytes, view.end_offset(), true).map_err(|_| ErrorCode::KafkaStorageError)?;
        match read.slice {
            Some(slice) => slice.read().map(Some).map_err(|_| ErrorCode::KafkaStorageError),
            None => Ok(None),
        }
    }

    fn start(&self, partition: i32) -> Result<Offset, ErrorCode> {
        Ok(self.replicas.partition(self.name, partition)?.log_start())
    }
}

/// Tells the coordinators which partitions of their topics this broker leads.
pub struct Roles {
    pub groups: Weak<group::Coordinator>,
    pub transactions: Weak<txn::Coordinator>,
}

impl RoleListener for Roles {
    fn elected(&self, tp: &TopicPartition, epoch: LeaderEpoch) {
        match (&*tp.topic, self.groups.upgrade(), self.transactions.upgrade()) {
            (CONSUMER_OFFSETS, Some(groups), _) => groups.elected(tp.partition, epoch),
            (TRANSACTION_STATE, _, Some(transactions)) => transactions.elected(tp.partition, epoch),
            _ => {}
        }
    }

    fn resigned(&self, tp: &TopicPartition, epoch: Option<LeaderEpoch>) {
        match (&*tp.topic, self.groups.upgrade(), self.transactions.upgrade()) {
            (CONSUMER_OFFSETS, Some(groups), _) => groups.resigned(tp.partition, epoch),
            (TRANSACTION_STATE, _, Some(transactions)) => transactions.resigned(tp.partition, epoch),
            _ => {}
        }
    }

    fn deleted(&self, partitions: &[TopicPartition]) {
        for tp in partitions {
            self.resigned(tp, None);
        }
        if let Some(groups) = self.groups.upgrade() {
            groups.partitions_deleted(partitions.to_vec());
        }
    }
}
