//! OffsetCommit (8), versions 1-9: stores offsets of a group in `__consumer_offsets`.
//!
//! - v1 carries a commit time per partition, v2 to v4 a retention, v6 the leader epoch, v7 the instance id.
//! - Partitions that this broker does not know, and metadata that is too long, fail alone; the rest is stored.
//! - Leaves out: v0, which stores in ZooKeeper. Studied: KafkaApis.handleOffsetCommitRequest.
use super::prelude::*;
use crate::group::machine::Claim;
use crate::group::offsets::Committed;
use crate::ids::{LeaderEpoch, Offset, TopicPartition};
use messages::offset_commit::*;

/// `retention_time_ms` and `commit_timestamp` of a client that leaves the choice to the broker.
const DEFAULT: i64 = -1;

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let image = broker.metadata.image();
    let now_ms = broker.clock.wall_ms();
    let retention_ms = Some(request.retention_time_ms).filter(|ms| *ms != DEFAULT);
    let mut accepted = Vec::new();
    // Per topic and partition: the error found here, or none yet.
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
                let commit_timestamp = match partition.commit_timestamp {
                    DEFAULT => now_ms,
                    given => given,
                };
                let committed = Committed {
                    offset: Offset(partition.committed_offset),
                    leader_epoch: LeaderEpoch(partition.committed_leader_epoch),
                    metadata: metadata.to_owned(),
                    commit_timestamp,
                    expire_timestamp: retention_ms.map(|ms| commit_timestamp.saturating_add(ms)),
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
        generation: request.generation_id_or_member_epoch,
    };
    let result = if accepted.is_empty() && !request.topics.is_empty() {
        Ok(())
    } else {
        broker.groups.commit(&request.group_id, claim, accepted).await
    };
    let rest = result.err().unwrap_or(ErrorCode::None);
    let topics = found.into_iter().map(|(name, partitions)| OffsetCommitResponseTopic {
        name,
        partitions: partitions
            .into_iter()
            .map(|(partition_index, error)| OffsetCommitResponsePartition {
                partition_index,
                error_code: error.unwrap_or(rest).code(),
            })
            .collect(),
    });
    Answer::Reply(Response { throttle_time_ms: 0, topics: topics.collect() })
}
