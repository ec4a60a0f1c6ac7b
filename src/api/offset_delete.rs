//! OffsetDelete (47), version 0: removes committed offsets of a group (KIP-496).
//!
//! - Offsets of topics that the group's members subscribe to stay: GROUP_SUBSCRIBED_TO_TOPIC. It is no error if there was
//!   no offset.
//! - Studied: KafkaApis.handleOffsetDeleteRequest, GroupCoordinator.handleDeleteOffsets.
use super::prelude::*;
use crate::ids::TopicPartition;
use messages::offset_delete::*;

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let image = broker.metadata.image();
    let known = request.topics.iter().filter(|topic| image.topic(&topic.name).is_some());
    let of = |topic: &OffsetDeleteRequestTopic| {
        let name: Arc<str> = (&*topic.name).into();
        topic.partitions.iter().map(move |p| TopicPartition::new(name.clone(), p.partition_index)).collect::<Vec<_>>()
    };
    let partitions: Vec<TopicPartition> = known.flat_map(of).collect();
    let kept = if partitions.is_empty() {
        Vec::new()
    } else {
        match broker.groups.delete_offsets(&request.group_id, partitions) {
            Ok(kept) => kept,
            Err(error) => return Answer::Reply(Response { error_code: error.code(), ..Response::default() }),
        }
    };
    let kept: std::collections::BTreeSet<&str> = kept.iter().map(|tp| &*tp.topic).collect();
    let topics = request.topics.iter().map(|topic| {
        // Both are decided by the topic alone.
        let error = if image.topic(&topic.name).is_none() {
            ErrorCode::UnknownTopicOrPartition
        } else if kept.contains(&*topic.name) {
            ErrorCode::GroupSubscribedToTopic
        } else {
            ErrorCode::None
        };
        let partition = |p: &OffsetDeleteRequestPartition| OffsetDeleteResponsePartition {
            partition_index: p.partition_index,
            error_code: error.code(),
        };
        OffsetDeleteResponseTopic {
            name: topic.name.clone(),
            partitions: topic.partitions.iter().map(partition).collect(),
        }
    });
    Answer::Reply(Response { error_code: 0, throttle_time_ms: 0, topics: topics.collect() })
}
