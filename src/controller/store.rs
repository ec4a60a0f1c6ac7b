//! The controller's reads and writes of znodes. All writes but the election's own and the producer ids are fenced: a
//! multi of a check of `/controller_epoch` and one write, so that a controller that has been replaced changes nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use tracing::warn;

use crate::controller::context::{Broker, LeaderAndIsr, Leadership, ReplicaAssignment};
use crate::controller::io::Fail;
use crate::controller::machine::Controller;
use crate::ids::{BrokerEpoch, BrokerId, PartitionEpoch, TopicId, TopicName, TopicPartition, ZkVersion};
use crate::zk::data::{BrokerRegistration, Data, PartitionState, TopicAssignment, TopicPartitionReplicas};
use crate::zk::op::{CreateMode, Op, Outcome, Reply, Stat, Write, ZkError};
use crate::zk::path;

/// The data of a node and its Stat.
pub(super) type Node = (Option<Bytes>, Stat);

/// What became of a conditional write of a state node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum StateWrite {
    /// Written; the state carries the new partition epoch.
    Done(LeaderAndIsr),
    /// Somebody else wrote in between.
    BadVersion,
    Failed(ZkError),
}

/// A topic as read.
pub(super) struct TopicNode {
    pub name: TopicName,
    /// Zero: none.
    pub id: TopicId,
    pub partitions: BTreeMap<i32, ReplicaAssignment>,
}

pub(super) fn get(path: impl Into<String>, watch: bool) -> Op {
    Op::GetData { path: path.into(), watch }
}

pub(super) fn exists(path: impl Into<String>, watch: bool) -> Op {
    Op::Exists { path: path.into(), watch }
}

pub(super) fn set(path: impl Into<String>, data: Bytes, version: ZkVersion) -> Write {
    Write::SetData { path: path.into(), data: Some(data), version }
}

/// Deletes whatever the version.
pub(super) fn delete(path: impl Into<String>) -> Write {
    Write::Delete { path: path.into(), version: ZkVersion::NONE }
}

/// The node of an answer to a GetData; `None` if it does not exist.
pub(super) fn node(path: &str, outcome: Outcome) -> Result<Option<Node>, Fail> {
    match outcome {
        Ok(Reply::Data { data, stat }) => Ok(Some((data, stat))),
        Err(ZkError::NoNode) => Ok(None),
        Err(error) => Err(Fail::Zk { path: path.into(), error }),
        Ok(other) => Err(Fail::Other(format!("{path}: {other:?} is no data"))),
    }
}

impl Controller {
    pub fn create(&self, path: impl Into<String>, data: Option<Bytes>, mode: CreateMode) -> Write {
        Write::Create { path: path.into(), data, mode, acl: self.options.acl.clone() }
    }

    /// Data and Stat of a node, `None` if there is none.
    pub async fn read(&self, path: &str, watch: bool) -> Result<Option<Node>, Fail> {
        node(path, self.io.zk(get(path, watch)).await?)
    }

    /// Is there such a node?
    pub async fn is_there(&self, path: &str, watch: bool) -> Result<bool, Fail> {
        match self.io.zk(exists(path, watch)).await? {
            Ok(_) => Ok(true),
            Err(ZkError::NoNode) => Ok(false),
            Err(error) => Err(Fail::Zk { path: path.into(), error }),
        }
    }

    /// Names of the children, sorted; none if the node does not exist.
    pub async fn children(&self, path: &str, watch: bool) -> Result<Vec<String>, Fail> {
        match self.io.zk(Op::GetChildren { path: path.into(), watch }).await? {
            Ok(Reply::Children { mut names, .. }) => {
                names.sort();
                Ok(names)
            }
            Err(ZkError::NoNode) => Ok(Vec::new()),
            Err(error) => Err(Fail::Zk { path: path.into(), error }),
            Ok(other) => Err(Fail::Other(format!("{path}: {other:?} are no children"))),
        }
    }

    /// Runs each write in a multi behind the fence. `Err(Fail::Moved)` if any fence did not hold, although other writes
    /// may have been done; else the outcome of each write.
    pub async fn fenced(&self, writes: Vec<Write>) -> Result<Vec<Outcome>, Fail> {
        let fence = |write| {
            let version = self.context.epoch_zk_version;
            Op::Multi(vec![Write::Check { path: path::CONTROLLER_EPOCH.into(), version }, write])
        };
        let outcomes = self.io.zk_all(writes.into_iter().map(fence).collect()).await?;
        outcomes.into_iter().map(unfence).collect()
    }

    /// Deletes these nodes behind the fence; one that is not there is fine.
    pub async fn fenced_delete(&self, paths: impl IntoIterator<Item = String>) -> Result<(), Fail> {
        let paths: Vec<String> = paths.into_iter().collect();
        let outcomes = self.fenced(paths.iter().map(delete).collect()).await?;
        for (path, outcome) in paths.into_iter().zip(outcomes) {
            match outcome {
                Ok(_) | Err(ZkError::NoNode) => {}
                Err(error) => return Err(Fail::Zk { path, error }),
            }
        }
        Ok(())
    }

    /// The registered brokers. A registration that does not read is left out, as is a name that is no broker id.
    pub async fn read_brokers(&self) -> Result<BTreeMap<BrokerId, Broker>, Fail> {
        let names = self.children(path::BROKER_IDS, true).await?;
        let mut ids: Vec<BrokerId> = names.iter().filter_map(|name| name.parse().ok().map(BrokerId)).collect();
        ids.sort();
        let reads = ids.iter().map(|id| get(path::broker(*id), self.watched_brokers.contains(id))).collect();
        let mut brokers = BTreeMap::new();
        for (id, outcome) in ids.into_iter().zip(self.io.zk_all(reads).await?) {
            if let Some(read) = node(&path::broker(id), outcome)? {
                brokers.extend(decode_broker(id, read).map(|broker| (id, broker)));
            }
        }
        Ok(brokers)
    }

    /// Reads the topics and arms their watches. One that is gone meanwhile is left out; one that does not read has no
    /// partitions, as in Kafka.
    pub async fn read_topics(&self, names: &[TopicName]) -> Result<Vec<TopicNode>, Fail> {
        let reads = names.iter().map(|name| get(path::topic(name), true)).collect();
        let mut topics = Vec::new();
        for (name, outcome) in names.iter().zip(self.io.zk_all(reads).await?) {
            let Some((data, _)) = node(&path::topic(name), outcome)? else { continue };
            let assignment = TopicAssignment::decode(&data.unwrap_or_default()).unwrap_or_else(|error| {
                warn!(target: "kafka.controller", topic = &**name, "The topic's assignment does not read: {error}");
                TopicAssignment::default()
            });
            let id = if self.options.inter_broker_protocol_version.has_topic_ids() {
                assignment.topic_id.unwrap_or_default()
            } else {
                TopicId::ZERO
            };
            let partitions = assignment.partitions.into_iter().map(|(index, replicas)| {
                let TopicPartitionReplicas { replicas, adding, removing } = replicas;
                (index, ReplicaAssignment { replicas, adding, removing })
            });
            topics.push(TopicNode { name: name.clone(), id, partitions: partitions.collect() });
        }
        Ok(topics)
    }

    /// Writes the topic's node from these partitions, whatever its version: as CreatePartitions and reassignments do.
    pub fn write_topic(&self, name: &str, id: TopicId, partitions: &BTreeMap<i32, ReplicaAssignment>) -> Write {
        let partitions = partitions.iter().map(|(index, assignment)| {
            let ReplicaAssignment { replicas, adding, removing } = assignment.clone();
            (*index, TopicPartitionReplicas { replicas, adding, removing })
        });
        let assignment = TopicAssignment { topic_id: (!id.is_zero()).then_some(id), partitions: partitions.collect() };
        set(path::topic(name), assignment.encode(), ZkVersion::NONE)
    }

    /// Reads the states of the partitions: `Ok(None)` if there is none or it does not read.
    pub async fn read_states(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Result<Option<Leadership>, ZkError>>, Fail> {
        let reads = partitions.iter().map(|partition| get(path::state(partition), false)).collect();
        let outcomes = self.io.zk_all(reads).await?;
        let decode = |(partition, outcome): (&TopicPartition, Outcome)| match outcome {
            Ok(Reply::Data { data, stat }) => Ok(decode_state(partition, data, stat)),
            Ok(_) | Err(ZkError::NoNode) => Ok(None),
            Err(error) => Err(error),
        };
        Ok(partitions.iter().zip(outcomes).map(decode).collect())
    }

    /// Writes each state, provided that the node still has the state's partition epoch.
    pub async fn write_states(&self, states: &[(TopicPartition, LeaderAndIsr)]) -> Result<Vec<StateWrite>, Fail> {
        let writes = states.iter().map(|(partition, state)| {
            let version = ZkVersion(state.partition_epoch.0);
            set(path::state(partition), self.encode_state(state), version)
        });
        let outcomes = self.fenced(writes.collect()).await?;
        let result = |((_, state), outcome): (&(_, LeaderAndIsr), Outcome)| match outcome {
            Ok(Reply::Set { stat }) => {
                StateWrite::Done(LeaderAndIsr { partition_epoch: PartitionEpoch(stat.version), ..state.clone() })
            }
            Ok(_) => StateWrite::Failed(ZkError::MarshallingError),
            Err(ZkError::BadVersion) => StateWrite::BadVersion,
            Err(error) => StateWrite::Failed(error),
        };
        Ok(states.iter().zip(outcomes).map(result).collect())
    }

    /// The JSON of a state written by this controller.
    pub fn encode_state(&self, state: &LeaderAndIsr) -> Bytes {
        PartitionState {
            controller_epoch: self.context.epoch,
            leader: state.leader,
            leader_epoch: state.leader_epoch,
            isr: state.isr.clone(),
            recovering: state.recovering,
        }
        .encode()
    }

    /// Deletes a node and everything below it behind the fence, children first, one at a time.
    pub async fn fenced_delete_tree(&self, root: String) -> Result<(), Fail> {
        // Depth first without recursion: a node is pushed back, marked, behind its children.
        let mut stack = vec![(root, false)];
        while let Some((path, children_done)) = stack.pop() {
            if children_done {
                self.fenced_delete([path]).await?;
                continue;
            }
            let children = self.children(&path, false).await?;
            stack.push((path.clone(), true));
            stack.extend(children.into_iter().rev().map(|name| (path::join(&path, &name), false)));
        }
        Ok(())
    }
}

/// The broker of a registration; `None`, with a line in the log, if the data does not read.
pub(super) fn decode_broker(id: BrokerId, (data, stat): Node) -> Option<Broker> {
    match BrokerRegistration::decode(&data.unwrap_or_default()) {
        Ok(registration) => Some(Broker {
            id,
            epoch: BrokerEpoch(stat.czxid),
            endpoints: registration.endpoints,
            rack: registration.rack,
        }),
        Err(error) => {
            warn!(target: "kafka.controller", broker = id.0, "Ignoring a broker whose registration does not read: {error}");
            None
        }
    }
}

fn decode_state(partition: &TopicPartition, data: Option<Bytes>, stat: Stat) -> Option<Leadership> {
    match PartitionState::decode(&data.unwrap_or_default()) {
        Ok(read) => Some(Leadership {
            state: LeaderAndIsr {
                leader: read.leader,
                leader_epoch: read.leader_epoch,
                isr: read.isr,
                recovering: read.recovering,
                partition_epoch: PartitionEpoch(stat.version),
            },
            controller_epoch: read.controller_epoch,
        }),
        Err(error) => {
            warn!(target: "kafka.controller", %partition, "The partition's state does not read: {error}");
            None
        }
    }
}

/// The outcome of the write behind a fence.
fn unfence(outcome: Outcome) -> Result<Outcome, Fail> {
    let fence = || path::CONTROLLER_EPOCH.to_owned();
    let results = match outcome {
        Ok(Reply::Multi(results)) => results,
        Ok(other) => return Err(Fail::Other(format!("{other:?} answers no multi"))),
        Err(error) => return Ok(Err(error)),
    };
    let mut results = results.into_iter();
    match results.next() {
        Some(Ok(_)) => {}
        Some(Err(ZkError::BadVersion)) => return Err(Fail::Moved),
        Some(Err(error)) => return Err(Fail::Zk { path: fence(), error }),
        None => return Err(Fail::Other("an empty answer to a multi".into())),
    }
    results.next().ok_or_else(|| Fail::Other("a multi lacks its second answer".into()))
}
