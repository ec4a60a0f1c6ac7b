//! JSON of the znodes.
//!
//! Writing follows Kafka 3.9.1 to the byte: compact, keys in the order in which its hash maps give them. Reading takes
//! keys in any order, ignores unknown ones, and accepts every version listed at the type. Partition maps are written
//! in ascending order, as Kafka's are up to ten partitions; no reader depends on it. Source: `kafka.zk.ZkData`.

mod admin;
mod broker;
mod config;
mod security;
mod topic;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use admin::{
    ElectionRequest, IsrChange, LogDirEvent, PartitionRef, ProducerIdBlock, Reassignment, ReassignmentEntry,
};
pub use broker::{BrokerRegistration, ClusterId, Controller, Endpoint, FeatureNode, FeatureRange};
pub use config::{ConfigChange, EntityConfig};
pub use security::{AclChange, AclEntry, AclList, DelegationToken};
pub use topic::{PartitionState, TopicAssignment, TopicPartitionReplicas};

/// The data of a znode does not read as what its path promises.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum DataError {
    #[error("not the expected JSON: {0}")]
    Json(String),
    #[error("unsupported version {version} of {what}")]
    Version { what: &'static str, version: i64 },
    #[error("{what} has a bad {field}: {value}")]
    Field { what: &'static str, field: &'static str, value: String },
}

/// A znode's content: JSON or text.
pub trait Data: Sized {
    /// The bytes that Kafka 3.9.1 would write.
    fn encode(&self) -> Bytes;

    /// Reads any version; see the type.
    fn decode(data: &[u8]) -> Result<Self, DataError>;
}

/// The data of `/controller_epoch`: a decimal number.
pub fn encode_controller_epoch(epoch: crate::ids::ControllerEpoch) -> Bytes {
    epoch.to_string().into()
}

/// Reads `/controller_epoch`.
pub fn decode_controller_epoch(data: &[u8]) -> Result<crate::ids::ControllerEpoch, DataError> {
    let text = String::from_utf8_lossy(data);
    text.trim().parse().map(crate::ids::ControllerEpoch).map_err(|_| DataError::Field {
        what: "the controller epoch",
        field: "value",
        value: text.into_owned(),
    })
}

fn to_json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).expect("maps with text keys always serialize").into()
}

fn from_json<T: DeserializeOwned>(data: &[u8]) -> Result<T, DataError> {
    serde_json::from_slice(data).map_err(|error| DataError::Json(error.to_string()))
}

#[cfg(test)]
mod tests;
