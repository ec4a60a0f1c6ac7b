//! Transactions as partitions see them: verified before they begin in a log (KIP-890), ended by markers, described.
//! Studied: `ReplicaManager.maybeStartTransactionVerificationForPartitions`, `Partition.activeProducerState`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::ErrorCode;
use crate::ids::TopicPartition;
use crate::log::Guard;
use crate::log::producers::Producer;
use crate::wait::BoxFuture;

use super::hosted::{LeaderAppendError, Partition};
use super::manager::Manager;

/// Whose transaction it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnProducer {
    pub transactional_id: String,
    pub producer_id: i64,
    pub epoch: i16,
    /// The client understands TRANSACTION_ABORTABLE (Produce v11, TxnOffsetCommit v4).
    pub knows_abortable: bool,
}

/// The way to the transaction coordinator.
pub trait TxnVerifier: Send + Sync + 'static {
    /// Asks whether the partitions are part of the producer's transaction; gives those that are not, with the reason.
    fn verify(
        &self,
        producer: TxnProducer,
        partitions: Vec<TopicPartition>,
    ) -> BoxFuture<'static, BTreeMap<TopicPartition, ErrorCode>>;
}

impl Manager {
    /// Names who is asked about transactions; once, before the first produce.
    pub fn set_txn_verifier(&self, verifier: Arc<dyn TxnVerifier>) {
        let _ = self.verifier.set(verifier);
    }

    /// Verifies the transaction for partitions to which transactional batches are about to be appended, given with the
    /// sequence of their first record (-1 if they have none). Gives each, in order, the guard for its append, or why
    /// it must not be written.
    pub async fn verify_txn(
        &self,
        producer: &TxnProducer,
        partitions: &[(TopicPartition, i32)],
    ) -> Vec<Result<Option<Guard>, ErrorCode>> {
        if !self.env.verifies_txns() {
            return vec![Ok(None); partitions.len()];
        }
        let begin = |(tp, sequence): &(TopicPartition, i32)| {
            let partition = self.partition(&tp.topic, tp.partition)?;
            partition.begin_verification(producer.producer_id, producer.epoch, *sequence)
        };
        let mut results: Vec<Result<Option<Guard>, ErrorCode>> = partitions.iter().map(begin).collect();
        let unknown = partitions.iter().zip(&results).filter(|(_, guard)| matches!(guard, Ok(Some(_))));
        let unknown: Vec<TopicPartition> = unknown.map(|((tp, _), _)| tp.clone()).collect();
        if unknown.is_empty() {
            return results;
        }
        let Some(verifier) = self.verifier.get() else {
            return vec![Err(ErrorCode::CoordinatorNotAvailable); partitions.len()];
        };
        let refused = verifier.verify(producer.clone(), unknown).await;
        for ((tp, _), result) in partitions.iter().zip(&mut results) {
            if let (Ok(_), Some(error)) = (&result, refused.get(tp)) {
                *result = Err(*error);
            }
        }
        results
    }
}

impl Partition {
    /// See `Log::begin_verification`; only at the leader.
    fn begin_verification(&self, producer_id: i64, epoch: i16, sequence: i32) -> Result<Option<Guard>, ErrorCode> {
        let mut log = self.log().lock();
        self.leader_epoch_to_append().map_err(|error: LeaderAppendError| ErrorCode::from(&error))?;
        Ok(log.begin_verification(producer_id, epoch, sequence))
    }

    /// The producers that the log knows, by id; only at the leader.
    pub fn producers(&self) -> Result<BTreeMap<i64, Producer>, ErrorCode> {
        let log = self.log().lock();
        self.leader_epoch_to_append().map_err(|error: LeaderAppendError| ErrorCode::from(&error))?;
        Ok(log.producers().iter().map(|(id, producer)| (id, producer.clone())).collect())
    }
}
