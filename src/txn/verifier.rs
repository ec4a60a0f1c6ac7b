//! The question that a leader asks before a transaction begins in a partition: is the partition part of it (KIP-890)?
//! Asked with AddPartitionsToTxn, `verify_only`, of the broker that leads the transaction's partition of
//! `__transaction_state`. Source: `AddPartitionsToTxnManager`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use super::lanes::{Carrier, Lanes};
use super::peers::{PeerError, Peers};
use crate::cluster::metadata::MetadataCache;
use crate::error::ErrorCode;
use crate::ids::{BrokerId, TRANSACTION_STATE, TopicPartition, java_string_hash, kafka_abs};
use crate::metrics::names::{
    ADD_PARTITIONS_TO_TXN_MANAGER_VERIFICATION_FAILURE_RATE, ADD_PARTITIONS_TO_TXN_MANAGER_VERIFICATION_TIME_MS,
};
use crate::metrics::{Counter, Histogram, Metrics};
use crate::replica::txn::{TxnProducer, TxnVerifier};
use crate::time::{Clock, Millis};
use crate::wait::{BoxFuture, Fill, Runtime, slot};
use crate::wire::messages::add_partitions_to_txn::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction, Request, Response,
};

type Refused = BTreeMap<TopicPartition, ErrorCode>;

/// Somebody who wants to know.
pub struct Question {
    producer: TxnProducer,
    partitions: Vec<TopicPartition>,
    asked_ms: Millis,
    answer: Fill<Refused>,
}

/// Partitions of `__transaction_state`, as ZooKeeper or the settings said when the broker started.
#[derive(Debug)]
pub struct PartitionCount(pub AtomicI32);

impl PartitionCount {
    /// The partition that keeps a transactional id.
    pub fn partition_for(&self, transactional_id: &str) -> i32 {
        kafka_abs(java_string_hash(transactional_id)) % self.0.load(Ordering::Relaxed)
    }
}

/// See the head of the file.
pub struct Verifier {
    metadata: Arc<MetadataCache>,
    partitions: Arc<PartitionCount>,
    asker: Arc<Asker>,
    lanes: Lanes<Question>,
}

struct Asker {
    peers: Arc<dyn Peers>,
    clock: Clock,
    failures: Counter,
    times: Histogram,
}

impl Verifier {
    pub fn new(
        metadata: Arc<MetadataCache>,
        partitions: Arc<PartitionCount>,
        peers: Arc<dyn Peers>,
        runtime: Arc<dyn Runtime>,
        clock: Clock,
        metrics: &Metrics,
    ) -> Self {
        let failures = metrics.counter(&ADD_PARTITIONS_TO_TXN_MANAGER_VERIFICATION_FAILURE_RATE, &[]);
        let times = metrics.histogram(&ADD_PARTITIONS_TO_TXN_MANAGER_VERIFICATION_TIME_MS, &[]);
        let asker = Arc::new(Asker { peers, clock, failures, times });
        Self { metadata, partitions, asker, lanes: Lanes::new(runtime) }
    }

    /// Who leads the partition that keeps the transactional id, if anybody alive does.
    fn coordinator(&self, transactional_id: &str) -> Option<BrokerId> {
        let image = self.metadata.image();
        let partition = self.partitions.partition_for(transactional_id);
        let leader = image.partition(TRANSACTION_STATE, partition)?.leader;
        image.is_alive(leader).then_some(leader)
    }
}

impl TxnVerifier for Verifier {
    fn verify(&self, producer: TxnProducer, partitions: Vec<TopicPartition>) -> BoxFuture<'static, Refused> {
        let Some(coordinator) = self.coordinator(&producer.transactional_id) else {
            let refused = all(&partitions, ErrorCode::CoordinatorNotAvailable);
            return Box::pin(async move { refused });
        };
        let (answer, slot) = slot();
        let nothing = all(&partitions, ErrorCode::NetworkException);
        let question = Question { producer, partitions, asked_ms: self.asker.clock.now_ms(), answer };
        self.lanes.push(&self.asker, coordinator, question);
        Box::pin(async move { slot.await.unwrap_or(nothing) })
    }
}

impl Carrier<Question> for Asker {
    fn carry(self: Arc<Self>, broker: BrokerId, batch: Vec<Question>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let (asked, outdone) = merge(batch);
            for (question, error) in outdone {
                let refused = all(&question.partitions, error);
                self.answer(question, refused);
            }
            let answer = self.peers.add_partitions_to_txn(broker, request(&asked)).await;
            if let Err(error) = &answer {
                tracing::warn!(target: "kafka.server.AddPartitionsToTxnManager", %broker, %error, "AddPartitionsToTxnRequest failed");
            }
            for question in asked.into_values().flatten() {
                let refused = refused(&question, &answer);
                self.answer(question, refused);
            }
        })
    }
}

impl Asker {
    fn answer(&self, question: Question, refused: Refused) {
        self.failures.add(refused.len() as u64);
        self.times.record((self.clock.now_ms() - question.asked_ms) as f64);
        question.answer.fill(refused);
    }
}

fn all(partitions: &[TopicPartition], error: ErrorCode) -> Refused {
    partitions.iter().map(|tp| (tp.clone(), error)).collect()
}

/// Questions about one transactional id go together, if they are of the same producer and epoch. An older epoch is
/// fenced by a newer one; of two producers, one is told to try again.
fn merge(batch: Vec<Question>) -> (BTreeMap<String, Vec<Question>>, Vec<(Question, ErrorCode)>) {
    let mut asked: BTreeMap<String, Vec<Question>> = BTreeMap::new();
    let mut outdone = Vec::new();
    for question in batch {
        let known = asked.entry(question.producer.transactional_id.clone()).or_default();
        match known.first().map(|first| (first.producer.producer_id, first.producer.epoch)) {
            Some((_, epoch)) if question.producer.epoch < epoch => {
                outdone.push((question, ErrorCode::InvalidProducerEpoch));
            }
            Some((_, epoch)) if question.producer.epoch > epoch => {
                outdone.extend(known.drain(..).map(|old| (old, ErrorCode::InvalidProducerEpoch)));
                known.push(question);
            }
            Some((producer_id, _)) if producer_id != question.producer.producer_id => {
                outdone.push((question, ErrorCode::NetworkException));
            }
            _ => known.push(question),
        }
    }
    (asked, outdone)
}

fn request(asked: &BTreeMap<String, Vec<Question>>) -> Request {
    let transactions = asked.iter().map(|(transactional_id, questions)| {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for tp in questions.iter().flat_map(|question| &question.partitions) {
            let partitions = topics.entry(&tp.topic).or_default();
            if !partitions.contains(&tp.partition) {
                partitions.push(tp.partition);
            }
        }
        let producer = &questions[0].producer;
        AddPartitionsToTxnTransaction {
            transactional_id: transactional_id.as_str().into(),
            producer_id: producer.producer_id,
            producer_epoch: producer.epoch,
            verify_only: true,
            topics: topics
                .into_iter()
                .map(|(name, partitions)| AddPartitionsToTxnTopic { name: name.into(), partitions })
                .collect(),
        }
    });
    Request { transactions: transactions.collect(), ..Request::default() }
}

/// What the coordinator's answer means for a question.
fn refused(question: &Question, answer: &Result<Response, PeerError>) -> Refused {
    let response = match answer {
        Ok(response) => response,
        // It knows no verification: the batch is written as it was before KIP-890.
        Err(PeerError::TooOld(_)) => return Refused::new(),
        Err(_) => return all(&question.partitions, ErrorCode::NetworkException),
    };
    match ErrorCode::from_code(response.error_code) {
        ErrorCode::None => {}
        ErrorCode::ClusterAuthorizationFailed => return all(&question.partitions, ErrorCode::InvalidTxnState),
        error => return all(&question.partitions, error),
    }
    let result = |tp: &TopicPartition| {
        let same_txn = |txn: &&crate::wire::messages::add_partitions_to_txn::AddPartitionsToTxnResult| {
            *txn.transactional_id == *question.producer.transactional_id
        };
        let txn = response.results_by_transaction.iter().find(same_txn)?;
        let topic = txn.topic_results.iter().find(|topic| *topic.name == *tp.topic)?;
        let partition = topic.results_by_partition.iter().find(|result| result.partition_index == tp.partition)?;
        Some(ErrorCode::from_code(partition.partition_error_code))
    };
    let mut refused = Refused::new();
    for tp in &question.partitions {
        let error = match result(tp) {
            Some(ErrorCode::None) => continue,
            Some(ErrorCode::ProducerFenced) => ErrorCode::InvalidProducerEpoch,
            Some(ErrorCode::TransactionAbortable) if !question.producer.knows_abortable => ErrorCode::InvalidTxnState,
            Some(error) => error,
            None => ErrorCode::NetworkException,
        };
        refused.insert(tp.clone(), error);
    }
    refused
}
