//! Sends in-sync set changes to the controller (KIP-497): one request in flight per broker, all waiting changes in one.
//!
//! The queue holds at most one change per partition; a newer one replaces an older one, whose answer would be ignored
//! anyway. Studied: `AlterPartitionManager.scala`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;

use crate::error::ErrorCode;
use crate::ids::{BrokerId, LeaderEpoch, PartitionEpoch, TopicId, TopicName, TopicPartition};
use crate::time::Millis;
use crate::wait::{BoxFuture, Runtime, Signal};
use crate::wire::messages::alter_partition as wire;

use super::isr::{Accepted, Proposal};
use super::links::LinkError;

/// Pause after a request that failed as a whole.
const RETRY_AFTER_MS: Millis = 50;

/// A change on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrChange {
    /// Zero if the topic has none; then the request goes out in version 1.
    pub topic_id: TopicId,
    pub proposal: Proposal,
}

/// The way to the active controller.
pub trait ControllerLink: Send + 'static {
    /// Sends one request to whoever is controller now.
    fn alter_partition(
        &mut self,
        version: i16,
        request: wire::Request,
    ) -> BoxFuture<'_, Result<wire::Response, LinkError>>;
}

/// Who takes the answers.
pub trait IsrAnswers: Send + Sync + 'static {
    /// Applies one partition's answer; returns the change to send again, if it must be.
    fn isr_answered(&self, tp: &TopicPartition, ticket: u64, answer: Result<Accepted, ErrorCode>) -> Option<IsrChange>;
}

/// The queue of changes.
#[derive(Default)]
pub struct IsrUpdates {
    queue: Mutex<BTreeMap<TopicPartition, IsrChange>>,
    signal: Signal,
    stopped: AtomicBool,
}

impl IsrUpdates {
    /// Queues a change; the sender takes it with its next request.
    pub fn submit(&self, tp: TopicPartition, change: IsrChange) {
        self.queue.lock().insert(tp, change);
        self.signal.set();
    }

    /// Puts a change back unless a newer one is waiting.
    fn put_back(&self, tp: TopicPartition, change: IsrChange) {
        self.queue.lock().entry(tp).or_insert(change);
        self.signal.set();
    }

    /// Ends the sender; what is queued is dropped.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.signal.set();
    }

    /// The sender: runs until [`Self::stop`].
    pub async fn run(
        self: Arc<Self>,
        me: BrokerId,
        broker_epoch: Arc<AtomicI64>,
        mut link: Box<dyn ControllerLink>,
        answers: Arc<dyn IsrAnswers>,
        runtime: Arc<dyn Runtime>,
    ) {
        loop {
            let batch = std::mem::take(&mut *self.queue.lock());
            if self.stopped.load(Ordering::Acquire) {
                return;
            }
            if batch.is_empty() {
                self.signal.wait().await;
                continue;
            }
            let (version, request) = encode(me, broker_epoch.load(Ordering::Acquire), &batch);
            tracing::trace!(partitions = batch.len(), version, "Sending AlterPartition to the controller");
            let failed = match link.alter_partition(version, request).await {
                Ok(response) if response.error_code == 0 => {
                    self.settle(batch, version, &response, &*answers);
                    continue;
                }
                Ok(response) => {
                    let error = ErrorCode::from_code(response.error_code);
                    tracing::warn!(%error, partitions = batch.len(), "Controller refused AlterPartition, will retry");
                    batch
                }
                Err(error) => {
                    tracing::warn!(%error, partitions = batch.len(), "AlterPartition could not be sent, will retry");
                    batch
                }
            };
            failed.into_iter().for_each(|(tp, change)| self.put_back(tp, change));
            runtime.sleep(RETRY_AFTER_MS).await;
        }
    }

    fn settle(
        &self,
        batch: BTreeMap<TopicPartition, IsrChange>,
        version: i16,
        response: &wire::Response,
        answers: &dyn IsrAnswers,
    ) {
        let mut by_key = BTreeMap::new();
        for topic in &response.topics {
            for partition in &topic.partitions {
                by_key.insert((topic.topic_id, topic.topic_name.as_str(), partition.partition_index), partition);
            }
        }
        for (tp, change) in batch {
            let key = if version >= 2 {
                (change.topic_id, "", tp.partition)
            } else {
                (TopicId::ZERO, &*tp.topic, tp.partition)
            };
            // A partition that the answer does not name is sent again.
            let again = match by_key.get(&key) {
                Some(partition) => answers.isr_answered(&tp, change.proposal.ticket, outcome(partition)),
                None => Some(change),
            };
            if let Some(change) = again {
                self.put_back(tp, change);
            }
        }
    }
}

fn outcome(partition: &wire::ResponsePartitionData) -> Result<Accepted, ErrorCode> {
    match ErrorCode::from_code(partition.error_code) {
        ErrorCode::None => Ok(Accepted {
            leader_epoch: LeaderEpoch(partition.leader_epoch),
            partition_epoch: PartitionEpoch(partition.partition_epoch),
            isr: partition.isr.iter().copied().map(BrokerId).collect(),
        }),
        error => Err(error),
    }
}

/// The request for a batch: version 3 by topic id, version 1 by name if any topic has no id.
fn encode(me: BrokerId, broker_epoch: i64, batch: &BTreeMap<TopicPartition, IsrChange>) -> (i16, wire::Request) {
    let version = if batch.values().any(|change| change.topic_id.is_zero()) { 1 } else { 3 };
    let mut topics: Vec<wire::TopicData> = Vec::new();
    let mut last: Option<&TopicName> = None;
    for (tp, change) in batch {
        if last != Some(&tp.topic) {
            topics.push(wire::TopicData {
                topic_name: (&tp.topic).into(),
                topic_id: change.topic_id,
                ..Default::default()
            });
            last = Some(&tp.topic);
        }
        let Some(topic) = topics.last_mut() else { continue };
        let isr = change.proposal.isr.iter().map(|broker| broker.0);
        topic.partitions.push(wire::PartitionData {
            partition_index: tp.partition,
            leader_epoch: change.proposal.leader_epoch.0,
            new_isr: if version < 3 { isr.clone().collect() } else { Vec::new() },
            // Broker epochs of the members play no role in ZooKeeper mode.
            new_isr_with_epochs: if version < 3 {
                Vec::new()
            } else {
                isr.map(|broker_id| wire::BrokerState { broker_id, broker_epoch: -1 }).collect()
            },
            // A leader that alters the set has recovered.
            leader_recovery_state: 0,
            partition_epoch: change.proposal.partition_epoch.0,
        });
    }
    (version, wire::Request { broker_id: me.0, broker_epoch, topics })
}

#[cfg(test)]
#[path = "alter_partition_tests.rs"]
mod tests;
