//! TxnOffsetCommit (28), versions 0-4: offsets of a group that hold when the transaction is committed.
//!
//! - v2 adds the leader epoch and knows that a coordinator may be loading (before: 15), v3 the member (KIP-447).
//! - Partitions that this broker does not know, and metadata that is too long, fail alone; the rest is stored.
//!
//! Studied: `KafkaApis.handleTxnOffsetCommitRequest`.

use super::prelude::*;
use crate::group::machine::Claim;
use crate::group::offsets::Committed;
use crate::ids::{LeaderEpoch, Offset, TopicPartition};
use crate::replica::txn::TxnProducer;
use messages::txn_offset_commit::*;

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    let image = broker.metadata.image();
    let commit_timestamp = broker.clock.wall_ms();
    let mut accepted = Vec::new();
    let mut found: Vec<(Str, Vec<(i32, Option<ErrorCode>)>)> = Vec::new();
    for topic in &request.topics {
        let name: Arc<str> = (&*topic.name).into();
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let metadata = partition.committed_metadata.as_deref().unwrap_or("");
            let error = if image.partition(&topic.name, partition.partition_index).is_none() {
                Some(ErrorCode::UnknownTopicOrPartition)
            } else if metadata.len() > broker.groups.config.offset_metadata_max_bytes {
                Some(ErrorCode::OffsetMetadataTooLarge)
            } else {
                None
            };
            if error.is_none() {
                let committed = Committed {
                    offset: Offset(partition.committed_offset),
                    leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
                    metadata: metadata.to_owned(),
                    commit_timestamp,
                    expire_timestamp: None,
                };
                accepted.push((TopicPartition::new(name.clone(), partition.partition_index), committed));
            }
            partitions.push((partition.partition_index, error));
        }
        found.push((topic.name.clone(), partitions));
    }
    let claim = Claim {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    let producer = TxnProducer {
        transactional_id: request.transactional_id.to_string(),
        producer_id: request.producer_id,
        epoch: request.producer_epoch,
        knows_abortable: ctx.api_version >= 4,
    };
    let rest = if accepted.is_empty() {
        ErrorCode::None
    } else {
        match broker.groups.commit_in_txn(&request.group_id, claim, producer, accepted).await {
            Ok(()) => ErrorCode::None,
            Err(ErrorCode::CoordinatorLoadInProgress) if ctx.api_version < 2 => ErrorCode::CoordinatorNotAvailable,
            Err(error) => error,
        }
    };
    let topics = found.into_iter().map(|(name, partitions)| TxnOffsetCommitResponseTopic {
        name,
        partitions: partitions
            .into_iter()
            .map(|(partition_index, error)| TxnOffsetCommitResponsePartition {
                partition_index,
                error_code: error.unwrap_or(rest).code(),
            })
            .collect(),
    });
    Response { topics: topics.collect(), ..Response::default() }.into()
}
