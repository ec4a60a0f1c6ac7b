//! OffsetFetch (9), versions 1-9: the offsets that a group has committed.
//!
//! - v2 adds a top-level error and null for "all partitions", v5 the leader epoch, v8 several groups in one request.
//! - A partition without an offset answers -1 without an error. With `require_stable` (v7) one whose offset a commit
//!   under way or an open transaction may change answers 88.
//! - Leaves out: v0, which reads ZooKeeper. Studied: KafkaApis.handleOffsetFetchRequest.
use super::prelude::*;
use crate::group::offsets::Committed;
use crate::ids::TopicPartition;
use messages::offset_fetch::*;

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    if ctx.api_version >= 8 {
        let groups = request.groups.iter().map(|group| group_v8(broker, group, request.require_stable));
        return Answer::Reply(Response { groups: groups.collect(), ..Response::default() });
    }
    let asked: Option<Vec<TopicPartition>> =
        request.topics.as_ref().map(|topics| flatten(topics.iter().map(|t| (&*t.name, &t.partition_indexes[..]))));
    let (found, error) = match broker.groups.fetch(&request.group_id, asked.as_deref(), request.require_stable) {
        Ok(found) => (found, ErrorCode::None),
        // Up to v1 there is no other place for the error than each partition.
        Err(error) if ctx.api_version < 2 => (none_of(asked), error),
        Err(error) => {
            return Answer::Reply(Response { error_code: error.code(), ..Response::default() });
        }
    };
    let topics = by_topic(found).into_iter().map(|(name, partitions)| OffsetFetchResponseTopic {
        name: name.as_ref().into(),
        partitions: partitions
            .into_iter()
            .map(|(partition_index, committed)| {
                let (committed_offset, committed_leader_epoch, metadata, wrong) = shown(committed);
                OffsetFetchResponsePartition {
                    partition_index,
                    committed_offset,
                    committed_leader_epoch,
                    metadata,
                    error_code: if error == ErrorCode::None { wrong } else { error }.code(),
                }
            })
            .collect(),
    });
    Answer::Reply(Response { topics: topics.collect(), ..Response::default() })
}

fn group_v8(broker: &Broker, group: &OffsetFetchRequestGroup, require_stable: bool) -> OffsetFetchResponseGroup {
    let asked: Option<Vec<TopicPartition>> =
        group.topics.as_ref().map(|topics| flatten(topics.iter().map(|t| (&*t.name, &t.partition_indexes[..]))));
    let found = match broker.groups.fetch(&group.group_id, asked.as_deref(), require_stable) {
        Ok(found) => found,
        Err(error) => {
            return OffsetFetchResponseGroup {
                group_id: group.group_id.clone(),
                error_code: error.code(),
                ..OffsetFetchResponseGroup::default()
            };
        }
    };
    let topics = by_topic(found).into_iter().map(|(name, partitions)| OffsetFetchResponseTopics {
        name: name.as_ref().into(),
        partitions: partitions
            .into_iter()
            .map(|(partition_index, committed)| {
                let (committed_offset, committed_leader_epoch, metadata, wrong) = shown(committed);
                OffsetFetchResponsePartitions {
                    partition_index,
                    committed_offset,
                    committed_leader_epoch,
                    metadata,
                    error_code: wrong.code(),
                }
            })
            .collect(),
    });
    OffsetFetchResponseGroup { group_id: group.group_id.clone(), topics: topics.collect(), error_code: 0 }
}

fn flatten<'a>(topics: impl Iterator<Item = (&'a str, &'a [i32])>) -> Vec<TopicPartition> {
    topics
        .flat_map(|(name, partitions)| {
            let name: Arc<str> = name.into();
            partitions.iter().map(move |p| TopicPartition::new(name.clone(), *p))
        })
        .collect()
}

type Found = Vec<(TopicPartition, Result<Option<Committed>, ErrorCode>)>;

fn none_of(asked: Option<Vec<TopicPartition>>) -> Found {
    asked.into_iter().flatten().map(|partition| (partition, Ok(None))).collect()
}

/// Neighbours of one topic together, in their order.
fn by_topic(found: Found) -> Vec<(Arc<str>, Vec<(i32, Result<Option<Committed>, ErrorCode>)>)> {
    let mut topics: Vec<(Arc<str>, Vec<_>)> = Vec::new();
    for (partition, committed) in found {
        match topics.last_mut() {
            Some((name, partitions)) if *name == partition.topic => partitions.push((partition.partition, committed)),
            _ => topics.push((partition.topic, vec![(partition.partition, committed)])),
        }
    }
    topics
}

/// Offset, leader epoch, metadata and error as they are answered.
fn shown(committed: Result<Option<Committed>, ErrorCode>) -> (i64, i32, Option<Str>, ErrorCode) {
    match committed {
        Ok(Some(c)) => (c.offset.0, c.leader_epoch.0, Some(c.metadata.into()), ErrorCode::None),
        Ok(None) => (-1, -1, Some(Str::default()), ErrorCode::None),
        Err(error) => (-1, -1, Some(Str::default()), error),
    }
}
