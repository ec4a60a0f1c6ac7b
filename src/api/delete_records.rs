//! DeleteRecords (21), versions 0-2: moves the log start of partitions that this broker leads.
//!
//! - Offset -1 is the high watermark. Errors per partition: 3 unknown, 17 internal topic, 6 not leader, 44 if the topic's
//!   `cleanup.policy` has no `delete`, 1 below zero or above the high watermark.
//! - The answer waits until the log start of every live replica is there, or `timeout_ms` (7, with the low watermark so
//!   far). Files go with the next retention pass.
//! - Studied: `KafkaApis.handleDeleteRecordsRequest`, `ReplicaManager.deleteRecords`.

use std::collections::BTreeMap;

use super::prelude::*;
use crate::ids::{CONSUMER_OFFSETS, Offset, TRANSACTION_STATE};
use crate::replica::{Manager, RecordsDeleted};
use crate::time::Millis;
use messages::delete_records::*;

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    serve(&broker.replicas, request).await.into()
}

/// Serves the request; the replica manager is all it needs.
pub async fn serve(replicas: &Manager, request: Request) -> Response {
    let image = replicas.env().metadata.image();
    // Of a partition that is named twice the last offset counts.
    let mut wanted: BTreeMap<Str, BTreeMap<i32, i64>> = BTreeMap::new();
    for topic in request.topics {
        for partition in topic.partitions {
            wanted.entry(topic.name.clone()).or_default().insert(partition.partition_index, partition.offset);
        }
    }
    let refused = |topic: &str, partition| match topic {
        _ if image.partition(topic, partition).is_none() => Some(ErrorCode::UnknownTopicOrPartition),
        CONSUMER_OFFSETS | TRANSACTION_STATE => Some(ErrorCode::InvalidTopicException),
        _ => None,
    };
    let asked: Vec<(Str, i32, i64)> = wanted
        .iter()
        .flat_map(|(topic, partitions)| partitions.iter().map(move |(partition, offset)| (topic, *partition, *offset)))
        .filter(|(topic, partition, _)| refused(topic, *partition).is_none())
        .map(|(topic, partition, offset)| (topic.clone(), partition, offset))
        .collect();
    let mut deleted = replicas.delete_records(&asked, Millis::from(request.timeout_ms)).await.into_iter();
    let mut result = |topic: &str, partition: i32| match refused(topic, partition) {
        Some(error) => answer(partition, RecordsDeleted { low_watermark: Offset::NONE, error }),
        None => answer(partition, deleted.next().expect("an answer for each partition")),
    };
    let topics = wanted.into_iter().map(|(name, partitions)| DeleteRecordsTopicResult {
        partitions: partitions.into_keys().map(|partition| result(&name, partition)).collect(),
        name,
    });
    Response { topics: topics.collect(), ..Default::default() }
}

fn answer(partition_index: i32, deleted: RecordsDeleted) -> DeleteRecordsPartitionResult {
    let (low_watermark, error_code) = (deleted.low_watermark.0, deleted.error.code());
    DeleteRecordsPartitionResult { partition_index, low_watermark, error_code, ..Default::default() }
}
