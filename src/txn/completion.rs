//! After the decision: markers go to the leaders of all partitions of a transaction, again and again until each has its
//! own; then the end is logged. Studied: `TransactionMarkerChannelManager`, `TransactionMarkerRequestCompletionHandler`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::coordinator::{Coordinator, Shard, settle};
use super::lanes::Carrier;
use super::machine::{Image, State};
use super::peers::Peers;
use crate::error::ErrorCode;
use crate::ids::{BrokerId, TRANSACTION_STATE, TopicPartition};
use crate::time::Millis;
use crate::wait::{BoxFuture, Fill, slot};
use crate::wire::messages::write_txn_markers::{Request, Response, WritableTxnMarker, WritableTxnMarkerTopic};

/// Pause before markers or the end of a transaction are tried again.
const RETRY_BACKOFF_MS: Millis = 100;

type Results = Vec<(TopicPartition, ErrorCode)>;

/// The markers of one transaction for one broker.
pub struct Marker {
    producer_id: i64,
    epoch: i16,
    commit: bool,
    coordinator_epoch: i32,
    partitions: Vec<TopicPartition>,
    /// `None` if the broker could not be asked.
    answer: Fill<Option<Results>>,
}

/// What is to be done after a round of markers.
enum Round {
    AllWritten,
    TryAgain,
    /// Another coordinator, or another producer, has taken over.
    GiveUp,
}

impl Coordinator {
    /// Sends the markers of a transaction that is decided, and then writes `complete`. Does not wait.
    pub(super) fn send_markers(self: &Arc<Self>, shard: Arc<Shard>, transactional_id: &str, complete: Image) {
        let (coordinator, id) = (self.clone(), transactional_id.to_owned());
        self.parts.runtime.spawn(Box::pin(async move {
            loop {
                match coordinator.round(&shard, &id, &complete).await {
                    Round::AllWritten => break,
                    Round::GiveUp => return,
                    Round::TryAgain => coordinator.parts.runtime.sleep(RETRY_BACKOFF_MS).await,
                }
            }
            coordinator.log_end(&shard, &id, complete).await;
        }));
    }

    /// Sends the markers that are still missing, once.
    async fn round(&self, shard: &Arc<Shard>, transactional_id: &str, complete: &Image) -> Round {
        let missing: Vec<TopicPartition> = {
            let state = shard.state.lock();
            match state.txns.get(transactional_id) {
                Some(txn) if !shard.is_closed() => txn.image().partitions.iter().cloned().collect(),
                _ => return Round::GiveUp,
            }
        };
        let (by_leader, gone, leaderless) = self.leaders(missing);
        self.leaderless.add(leaderless as i64);
        let answers: Vec<_> = by_leader
            .into_iter()
            .map(|(leader, partitions)| {
                let (answer, slot) = slot();
                let marker = Marker {
                    producer_id: complete.producer_id,
                    epoch: complete.epoch,
                    commit: complete.state == State::CompleteCommit,
                    coordinator_epoch: shard.epoch.0,
                    partitions,
                    answer,
                };
                self.lanes.push(&self.sender, leader, marker);
                slot
            })
            .collect();
        let mut results: Results = gone.into_iter().map(|tp| (tp, ErrorCode::None)).collect();
        for answer in answers {
            results.extend(answer.await.flatten().unwrap_or_default());
        }
        self.leaderless.add(-(leaderless as i64));
        judge(shard, transactional_id, results)
    }

    /// The partitions by leader; those that do not exist any more; and how many have no leader that can be reached.
    fn leaders(
        &self,
        partitions: Vec<TopicPartition>,
    ) -> (BTreeMap<BrokerId, Vec<TopicPartition>>, Vec<TopicPartition>, usize) {
        let image = self.parts.metadata.image();
        let (mut by_leader, mut gone, mut leaderless) = (BTreeMap::<_, Vec<_>>::new(), Vec::new(), 0);
        // A broker that knows not even the topic it coordinates by has heard of no topic yet.
        let knows_topics = image.topic(TRANSACTION_STATE).is_some();
        for tp in partitions {
            match image.partition(&tp.topic, tp.partition) {
                Some(info) if image.is_alive(info.leader) => by_leader.entry(info.leader).or_default().push(tp),
                None if knows_topics => gone.push(tp),
                _ => leaderless += 1,
            }
        }
        (by_leader, gone, leaderless)
    }

    /// All markers are written: the transaction is over.
    async fn log_end(&self, shard: &Shard, transactional_id: &str, complete: Image) {
        let mut retrying = false;
        let result = loop {
            let result = self.append(shard, transactional_id, &complete).await;
            if result != Err(ErrorCode::CoordinatorNotAvailable) || shard.is_closed() {
                break result;
            }
            if !std::mem::replace(&mut retrying, true) {
                self.unlogged.add(1);
            }
            self.parts.runtime.sleep(RETRY_BACKOFF_MS).await;
        };
        self.unlogged.add(-i64::from(retrying));
        // If it is not known to be written, the next coordinator sends the markers once more.
        let _ = settle(shard, transactional_id, result, |txn, result| {
            if result.is_ok() {
                txn.written(complete);
            }
        });
    }
}

/// Notes the markers that are written.
fn judge(shard: &Shard, transactional_id: &str, results: Results) -> Round {
    let mut state = shard.state.lock();
    let Some(txn) = state.txns.get_mut(transactional_id).filter(|_| !shard.is_closed()) else { return Round::GiveUp };
    for (tp, error) in results {
        match error {
            // Of what cannot be read by transactions nothing was written.
            ErrorCode::None | ErrorCode::UnsupportedForMessageFormat | ErrorCode::UnsupportedVersion => txn.marked(&tp),
            ErrorCode::UnknownTopicOrPartition
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::NotEnoughReplicasAfterAppend
            | ErrorCode::RequestTimedOut
            | ErrorCode::KafkaStorageError => {
                tracing::info!(target: "kafka.coordinator.transaction", transactional_id, partition = %tp, %error,
                    "Sending the transaction marker has failed, retrying");
            }
            ErrorCode::InvalidProducerEpoch | ErrorCode::TransactionCoordinatorFenced => {
                tracing::info!(target: "kafka.coordinator.transaction", transactional_id, partition = %tp, %error,
                    "Sending the transaction marker has permanently failed; the transaction belongs to another");
                return Round::GiveUp;
            }
            error => {
                tracing::error!(target: "kafka.coordinator.transaction", transactional_id, partition = %tp, %error,
                    "Unexpected error while sending the transaction marker; the next coordinator tries again");
                return Round::GiveUp;
            }
        }
    }
    if txn.image().partitions.is_empty() { Round::AllWritten } else { Round::TryAgain }
}

/// Sends markers to a broker, those of several transactions in one request.
pub struct MarkerSender {
    pub peers: Arc<dyn Peers>,
}

impl Carrier<Marker> for MarkerSender {
    fn carry(self: Arc<Self>, broker: BrokerId, batch: Vec<Marker>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let request = Request { markers: batch.iter().map(Marker::to_wire).collect() };
            let response = self.peers.write_txn_markers(broker, request).await;
            if let Err(error) = &response {
                tracing::info!(target: "kafka.coordinator.transaction", %broker, %error, "Transaction markers could not be sent");
            }
            for marker in batch {
                let results = response.as_ref().ok().map(|response| marker.results(response));
                marker.answer.fill(results);
            }
        })
    }
}

impl Marker {
    fn to_wire(&self) -> WritableTxnMarker {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for tp in &self.partitions {
            topics.entry(&tp.topic).or_default().push(tp.partition);
        }
        let topic = |(name, partition_indexes): (&str, Vec<i32>)| WritableTxnMarkerTopic {
            name: name.into(),
            partition_indexes,
        };
        WritableTxnMarker {
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            transaction_result: self.commit,
            topics: topics.into_iter().map(topic).collect(),
            coordinator_epoch: self.coordinator_epoch,
        }
    }

    /// What the answer says of this marker's partitions; what it does not name has to be tried again.
    fn results(&self, response: &Response) -> Results {
        let mine = response.markers.iter().filter(|marker| marker.producer_id == self.producer_id);
        let mut results = Results::new();
        for topic in mine.flat_map(|marker| &marker.topics) {
            for partition in &topic.partitions {
                let tp = TopicPartition::new(&*topic.name, partition.partition_index);
                if self.partitions.contains(&tp) {
                    results.push((tp, ErrorCode::from_code(partition.error_code)));
                }
            }
        }
        results
    }
}
