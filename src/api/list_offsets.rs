//! ListOffsets (2), versions 0-9: the offset for a timestamp, or a special one.
//!
//! - -1 latest (high watermark; last stable offset with read_committed; log end for replicas), -2 earliest, -3 that of the
//!   largest timestamp (v7), -4 earliest local (v8), -5 latest tiered (v9). Others below zero, or too new for the version,
//!   are answered 35.
//! - Version 0 asks for the starts of segments by the time they were written; it knows -1 and -2.
//!   Studied: `KafkaApis.handleListOffsetRequestV0`, `handleListOffsetRequestV1AndAbove`.

use std::collections::HashSet;

use super::prelude::*;
use crate::ids::LeaderEpoch;
use crate::replica::Manager;
use crate::replica::offsets::{
    EARLIEST, EARLIEST_LOCAL, LATEST, LATEST_TIERED, ListedOffset, MAX_TIMESTAMP, OffsetReader,
};
use messages::list_offsets::*;

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    serve(&broker.replicas, ctx, request).into()
}

/// Serves the request; the replica manager is all it needs.
pub fn serve(replicas: &Manager, ctx: &RequestContext, request: Request) -> Response {
    let reader = match request.replica_id {
        -1 => OffsetReader::Consumer { read_committed: request.isolation_level == 1 },
        -2 => OffsetReader::Debug,
        _ => OffsetReader::Replica,
    };
    if ctx.api_version == 0 {
        return segment_starts(replicas, reader, request);
    }
    let twice = named_twice(&request);
    let topic = |topic: ListOffsetsTopic| {
        let partition = |asked: &ListOffsetsPartition| {
            let found = if twice.contains(&(topic.name.clone(), asked.partition_index)) {
                Err(ErrorCode::InvalidRequest)
            } else {
                look_up(replicas, ctx.api_version, reader, &topic.name, asked)
            };
            answer(asked.partition_index, found)
        };
        ListOffsetsTopicResponse {
            partitions: topic.partitions.iter().map(partition).collect(),
            name: topic.name.clone(),
        }
    };
    Response { topics: request.topics.into_iter().map(topic).collect(), ..Default::default() }
}

/// The answer of version 0.
fn segment_starts(replicas: &Manager, reader: OffsetReader, request: Request) -> Response {
    let now_ms = replicas.env().clock.wall_ms();
    let look_up = |topic: &str, asked: &ListOffsetsPartition| {
        if asked.timestamp < EARLIEST {
            return Err(ErrorCode::UnsupportedVersion);
        }
        let partition = replicas.partition(topic, asked.partition_index)?;
        let max = usize::try_from(asked.max_num_offsets).map_err(|_| ErrorCode::UnknownServerError)?;
        partition.list_segment_starts(reader, asked.timestamp, max, now_ms)
    };
    let topic = |topic: ListOffsetsTopic| {
        let partition = |asked: &ListOffsetsPartition| {
            let partition_index = asked.partition_index;
            match look_up(&topic.name, asked) {
                Ok(starts) => ListOffsetsPartitionResponse {
                    partition_index,
                    old_style_offsets: starts.into_iter().map(|start| start.0).collect(),
                    ..Default::default()
                },
                Err(error) => answer(partition_index, Err(error)),
            }
        };
        ListOffsetsTopicResponse {
            partitions: topic.partitions.iter().map(partition).collect(),
            name: topic.name.clone(),
        }
    };
    Response { topics: request.topics.into_iter().map(topic).collect(), ..Default::default() }
}

/// The partitions that a request names more than once.
fn named_twice(request: &Request) -> HashSet<(Str, i32)> {
    let mut seen = HashSet::new();
    let mut twice = HashSet::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let key = (topic.name.clone(), partition.partition_index);
            if !seen.insert(key.clone()) {
                twice.insert(key);
            }
        }
    }
    twice
}

fn look_up(
    replicas: &Manager,
    version: i16,
    reader: OffsetReader,
    topic: &str,
    asked: &ListOffsetsPartition,
) -> Result<ListedOffset, ErrorCode> {
    let since = match asked.timestamp {
        0.. | LATEST | EARLIEST => 1,
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        _ => i16::MAX,
    };
    if version < since {
        return Err(ErrorCode::UnsupportedVersion);
    }
    let partition = replicas.partition(topic, asked.partition_index)?;
    let found = partition.list_offset(reader, LeaderEpoch(asked.current_leader_epoch), asked.timestamp);
    match found {
        // Clients before v5 do not know the better code.
        Err(ErrorCode::OffsetNotAvailable) if version < 5 => Err(ErrorCode::LeaderNotAvailable),
        found => found,
    }
}

fn answer(partition_index: i32, found: Result<ListedOffset, ErrorCode>) -> ListOffsetsPartitionResponse {
    match found {
        Ok(found) => ListOffsetsPartitionResponse {
            partition_index,
            timestamp: found.timestamp,
            offset: found.offset.0,
            leader_epoch: found.leader_epoch.0,
            ..Default::default()
        },
        Err(error) => ListOffsetsPartitionResponse { partition_index, error_code: error.code(), ..Default::default() },
    }
}
