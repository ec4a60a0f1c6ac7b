//! What tools and brokers leave for the controller, and the producer id block.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Data, DataError, from_json, to_json};
use crate::ids::{BrokerId, TopicPartition};

/// A partition in the lists of this module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PartitionRef {
    pub topic: String,
    pub partition: i32,
}

impl From<&PartitionRef> for TopicPartition {
    fn from(partition: &PartitionRef) -> Self {
        TopicPartition::new(partition.topic.as_str(), partition.partition)
    }
}

impl From<&TopicPartition> for PartitionRef {
    fn from(tp: &TopicPartition) -> Self {
        Self { topic: tp.topic.to_string(), partition: tp.partition }
    }
}

#[derive(Serialize, Deserialize)]
struct ListJson<T> {
    version: i32,
    partitions: Vec<T>,
}

macro_rules! partition_list {
    ($(#[$doc:meta])* $name:ident($item:ty)) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug, Default)]
        pub struct $name(pub Vec<$item>);

        impl Data for $name {
            fn encode(&self) -> Bytes {
                to_json(&ListJson { version: 1, partitions: self.0.clone() })
            }

            fn decode(data: &[u8]) -> Result<Self, DataError> {
                from_json::<ListJson<$item>>(data).map(|json| Self(json.partitions))
            }
        }
    };
}

partition_list!(
    /// `/admin/preferred_replica_election`, version 1: written by tools, deleted by the controller.
    ElectionRequest(PartitionRef)
);
partition_list!(
    /// `/isr_change_notification/isr_change_N`, version 1: partitions whose leader wrote the state itself.
    IsrChange(PartitionRef)
);
partition_list!(
    /// `/admin/reassign_partitions`, version 1: written by tools, worked off by the controller.
    Reassignment(ReassignmentEntry)
);

/// The wanted replicas of one partition.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReassignmentEntry {
    pub topic: String,
    pub partition: i32,
    pub replicas: Vec<BrokerId>,
}

/// `/log_dir_event_notification/log_dir_event_N`, version 1: a broker lost a log directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogDirEvent {
    pub broker: BrokerId,
}

#[derive(Serialize, Deserialize)]
struct LogDirEventJson {
    version: i32,
    broker: BrokerId,
    event: i32,
}

impl Data for LogDirEvent {
    fn encode(&self) -> Bytes {
        to_json(&LogDirEventJson { version: 1, broker: self.broker, event: 1 })
    }

    fn decode(data: &[u8]) -> Result<Self, DataError> {
        from_json::<LogDirEventJson>(data).map(|json| Self { broker: json.broker })
    }
}

/// `/latest_producer_id_block`, version 1: the last block of producer ids given out. Both bounds are texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerIdBlock {
    pub broker: BrokerId,
    pub first: i64,
    /// Inclusive.
    pub last: i64,
}

/// Ids in one block.
pub const PRODUCER_IDS_PER_BLOCK: i64 = 1000;

impl ProducerIdBlock {
    /// What stands in the node before the first real block. Kafka has a node without data there, which the ZooKeeper
    /// client cannot create (it sends an empty text, and Kafka fails to read that); this block of no ids reads the same
    /// in every release: the next block begins at 0.
    pub const NONE_YET: Self = Self { broker: BrokerId::NONE, first: 0, last: -1 };

    /// The block to write for `broker`, given the data of the node; `None` if the ids are used up.
    pub fn next(data: Option<&[u8]>, broker: BrokerId) -> Result<Option<Self>, DataError> {
        let current = match data {
            Some(data) if !data.is_empty() => Self::decode(data)?,
            _ => Self::NONE_YET,
        };
        let next = current.last.checked_add(PRODUCER_IDS_PER_BLOCK);
        Ok(next.map(|last| Self { broker, first: current.last + 1, last }))
    }
}

#[derive(Serialize, Deserialize)]
struct BlockJson {
    version: i32,
    broker: BrokerId,
    block_start: String,
    block_end: String,
}

impl Data for ProducerIdBlock {
    fn encode(&self) -> Bytes {
        to_json(&BlockJson {
            version: 1,
            broker: self.broker,
            block_start: self.first.to_string(),
            block_end: self.last.to_string(),
        })
    }

    fn decode(data: &[u8]) -> Result<Self, DataError> {
        let json: BlockJson = from_json(data)?;
        let number = |field, text: String| {
            text.parse().map_err(|_| DataError::Field { what: "a producer id block", field, value: text })
        };
        Ok(Self {
            broker: json.broker,
            first: number("block_start", json.block_start)?,
            last: number("block_end", json.block_end)?,
        })
    }
}
