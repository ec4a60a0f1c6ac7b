//! Topics that come into being because somebody asked for them (`auto.create.topics.enable`, internal topics).
//!
//! As in Kafka's ZooKeeper mode every broker writes the topic to ZooKeeper itself; the controller learns of it there.
//! Studied: `kafka.server.AutoTopicCreationManager`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::assign::{Candidate, Start, assign};
use super::metadata::Image;
use super::topics::{self, TopicError};
use crate::broker::Broker;
use crate::config::keys;
use crate::error::ErrorCode;
use crate::ids::{CONSUMER_OFFSETS, TRANSACTION_STATE, Uuid};

/// Creates `name` with the settings for topics of its kind. Returns what a client that asked is told: error 5 (ask
/// again, there is no leader yet), 38 if there are too few brokers, or what else went wrong.
pub async fn create(broker: &Arc<Broker>, name: &str) -> ErrorCode {
    let settings = &broker.settings;
    let (partitions, replication_factor, config) = match name {
        CONSUMER_OFFSETS => (
            settings.get(keys::OFFSETS_TOPIC_NUM_PARTITIONS),
            settings.get(keys::OFFSETS_TOPIC_REPLICATION_FACTOR),
            config(&[
                ("cleanup.policy", "compact".into()),
                ("compression.type", "producer".into()),
                ("segment.bytes", settings.get(keys::OFFSETS_TOPIC_SEGMENT_BYTES).to_string()),
            ]),
        ),
        TRANSACTION_STATE => (
            settings.get(keys::TRANSACTION_STATE_LOG_NUM_PARTITIONS),
            settings.get(keys::TRANSACTION_STATE_LOG_REPLICATION_FACTOR),
            config(&[
                ("unclean.leader.election.enable", "false".into()),
                ("compression.type", "uncompressed".into()),
                ("cleanup.policy", "compact".into()),
                ("min.insync.replicas", settings.get(keys::TRANSACTION_STATE_LOG_MIN_ISR).to_string()),
                ("segment.bytes", settings.get(keys::TRANSACTION_STATE_LOG_SEGMENT_BYTES).to_string()),
            ]),
        ),
        _ => {
            let replication_factor = settings.get(keys::DEFAULT_REPLICATION_FACTOR) as i16;
            (settings.get(keys::NUM_PARTITIONS), replication_factor, BTreeMap::new())
        }
    };
    // This broker may simply not have heard of the topic yet: just started, or the controller is new. Kafka then
    // answers 38 if it does not know enough brokers either, which clients take for final.
    match topics::assignment(&broker.zk, name).await {
        Ok(None) => {}
        Ok(Some(_)) => return ErrorCode::LeaderNotAvailable,
        Err(error) => return ErrorCode::from(&error),
    }
    let candidates = candidates(&broker.metadata.image());
    if candidates.len() < replication_factor.max(0) as usize {
        tracing::error!(
            topic = name,
            replication_factor,
            brokers = candidates.len(),
            "Cannot create the topic: its replication factor is larger than the number of live brokers"
        );
        return ErrorCode::InvalidReplicationFactor;
    }
    let created = async {
        let assignment = assign(&candidates, partitions, i32::from(replication_factor), Start::random())?;
        topics::validate_new(&broker.zk, name, &assignment).await?;
        topics::create_topic(&broker.zk, name, Some(Uuid::random()), &assignment, config).await
    };
    match created.await {
        Ok(()) => {
            tracing::info!(topic = name, partitions, replication_factor, "Auto creation of topic is successful");
            ErrorCode::LeaderNotAvailable
        }
        // Somebody else was faster, or it is on its way out.
        Err(TopicError::Exists(_) | TopicError::MarkedForDeletion(_)) => ErrorCode::LeaderNotAvailable,
        Err(error) => {
            tracing::warn!(topic = name, %error, "Auto creation of topic failed");
            ErrorCode::from(&error)
        }
    }
}

fn config(entries: &[(&str, String)]) -> BTreeMap<String, String> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

/// Live brokers as candidates for replicas.
pub fn candidates(image: &Image) -> Vec<Candidate> {
    image
        .broker_racks()
        .into_iter()
        .map(|(id, rack)| Candidate { id, rack: rack.as_deref().map(str::to_owned) })
        .collect()
}
