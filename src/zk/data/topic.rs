//! `/brokers/topics/T` and `/brokers/topics/T/partitions/P/state`.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Data, DataError, from_json, to_json};
use crate::ids::{BrokerId, ControllerEpoch, LeaderEpoch, TopicId};
use crate::zk::path::parse_partition;

/// The replicas of one partition, and what a reassignment under way does to them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TopicPartitionReplicas {
    /// All replicas, the preferred leader first; during a reassignment the union of old and new.
    pub replicas: Vec<BrokerId>,
    pub adding: Vec<BrokerId>,
    pub removing: Vec<BrokerId>,
}

impl TopicPartitionReplicas {
    pub fn new(replicas: Vec<BrokerId>) -> Self {
        Self { replicas, ..Self::default() }
    }
}

/// `/brokers/topics/T`: assignment and id. Versions 1 (partitions only), 2 (reassignment) and 3 (id) read; 3 is
/// written, without the id if there is none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TopicAssignment {
    /// `None` for a topic made by a tool older than KIP-516; the controller gives it one.
    pub topic_id: Option<TopicId>,
    pub partitions: BTreeMap<i32, TopicPartitionReplicas>,
}

impl TopicAssignment {
    /// A new topic: partition -> replicas.
    pub fn new(topic_id: Option<TopicId>, assignment: &BTreeMap<i32, Vec<BrokerId>>) -> Self {
        let partitions = assignment.iter().map(|(&p, replicas)| (p, TopicPartitionReplicas::new(replicas.clone())));
        Self { topic_id, partitions: partitions.collect() }
    }
}

type ReplicaMap = BTreeMap<PartitionKey, Vec<BrokerId>>;

/// A partition number as a JSON key; ordered as a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PartitionKey(i32);

impl Serialize for PartitionKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PartitionKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_partition(&text)
            .map(PartitionKey)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no partition")))
    }
}

#[derive(Serialize, Deserialize)]
struct TopicJson {
    #[serde(default)]
    partitions: ReplicaMap,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic_id: Option<String>,
    #[serde(default)]
    adding_replicas: ReplicaMap,
    #[serde(default)]
    removing_replicas: ReplicaMap,
    #[serde(default)]
    version: i32,
}

impl Data for TopicAssignment {
    fn encode(&self) -> Bytes {
        let pick = |which: fn(&TopicPartitionReplicas) -> &Vec<BrokerId>, all: bool| -> ReplicaMap {
            (self.partitions.iter())
                .filter(|(_, partition)| all || !which(partition).is_empty())
                .map(|(&p, partition)| (PartitionKey(p), which(partition).clone()))
                .collect()
        };
        to_json(&TopicJson {
            partitions: pick(|partition| &partition.replicas, true),
            topic_id: self.topic_id.map(|id| id.to_string()),
            adding_replicas: pick(|partition| &partition.adding, false),
            removing_replicas: pick(|partition| &partition.removing, false),
            version: 3,
        })
    }

    fn decode(data: &[u8]) -> Result<Self, DataError> {
        let mut json: TopicJson = from_json(data)?;
        let topic_id = match json.topic_id {
            Some(text) => Some(TopicId::parse(&text).ok_or(DataError::Field {
                what: "a topic's assignment",
                field: "topic_id",
                value: text,
            })?),
            None => None,
        };
        let partitions = json.partitions.into_iter().map(|(p, replicas)| {
            let adding = json.adding_replicas.remove(&p).unwrap_or_default();
            let removing = json.removing_replicas.remove(&p).unwrap_or_default();
            (p.0, TopicPartitionReplicas { replicas, adding, removing })
        });
        Ok(Self { topic_id, partitions: partitions.collect() })
    }
}

/// `/brokers/topics/T/partitions/P/state`, version 1 since 0.8. The znode's own version is the partition epoch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionState {
    /// Epoch of the controller that wrote it.
    pub controller_epoch: ControllerEpoch,
    /// [`BrokerId::NONE`] if no replica leads.
    pub leader: BrokerId,
    pub leader_epoch: LeaderEpoch,
    /// Keeps its last member when all are dead.
    pub isr: Vec<BrokerId>,
    /// After an unclean election, until the leader has recovered (KIP-704).
    pub recovering: bool,
}

#[derive(Serialize, Deserialize)]
struct StateJson {
    controller_epoch: ControllerEpoch,
    leader: BrokerId,
    #[serde(default)]
    version: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leader_recovery_state: Option<i8>,
    leader_epoch: LeaderEpoch,
    isr: Vec<BrokerId>,
}

impl Data for PartitionState {
    fn encode(&self) -> Bytes {
        to_json(&StateJson {
            controller_epoch: self.controller_epoch,
            leader: self.leader,
            version: 1,
            leader_recovery_state: self.recovering.then_some(1),
            leader_epoch: self.leader_epoch,
            isr: self.isr.clone(),
        })
    }

    fn decode(data: &[u8]) -> Result<Self, DataError> {
        let json: StateJson = from_json(data)?;
        let recovering = match json.leader_recovery_state {
            None | Some(0) => false,
            Some(1) => true,
            Some(other) => {
                return Err(DataError::Field {
                    what: "a partition's state",
                    field: "leader_recovery_state",
                    value: other.to_string(),
                });
            }
        };
        Ok(Self {
            controller_epoch: json.controller_epoch,
            leader: json.leader,
            leader_epoch: json.leader_epoch,
            isr: json.isr,
            recovering,
        })
    }
}
