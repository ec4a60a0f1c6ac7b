//! DeleteRecords (21), versions 0-2: moves the log start of partitions that this broker leads.
//!
//! - Offset -1 is the high watermark. Errors per partition: 3 unknown, 17 internal topic, 6 not leader, 44 if the topic's
//!   `cleanup.policy` has no `delete`, 1 below zero or above the high watermark.
//! - The answer waits until the log start of every live replica is there, or `timeout_ms` (7, with the low watermark so
//!   far). Files go with the next retention pass.
//! - Studied: `KafkaApis.handleDeleteRecordsRequest`, `ReplicaManager.deleteRecords`.

use super::prelude::*;
use crate::ids::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use crate::replica::{Manager, RecordsDeleted};
use crate::time::Millis;
use messages::delete_records::*;

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    serve(&broker.replicas, request).await.into()
}

/// Serves the request; the replica manager is all it needs.
pub async fn serve(replicas: &Manager, request: Request) -> Response {
    let image = replicas.env().metadata.image();
    let mut asked: Vec<(Str, i32, i64)> = Vec::new();
    // Per partition: refused at once, or its place in what is asked.
    let mut places: Vec<Vec<Result<usize, ErrorCode>>> = Vec::with_capacity(request.topics.len());
    for topic in &request.topics {
        let internal = *topic.name == *CONSUMER_OFFSETS || *topic.name == *TRANSACTION_STATE;
        let place = |partition: &DeleteRecordsPartition| {
            if image.partition(&topic.name, partition.partition_index).is_none() {
                return Err(ErrorCode::UnknownTopicOrPartition);
            }
            if internal {
                return Err(ErrorCode::InvalidTopicException);
            }
            asked.push((topic.name.clone(), partition.partition_index, partition.offset));
            Ok(asked.len() - 1)
        };
        places.push(topic.partitions.iter().map(place).collect());
    }
    let deleted = replicas.delete_records(&asked, Millis::from(request.timeout_ms)).await;
    let topic = |(topic, places): (DeleteRecordsTopic, Vec<Result<usize, ErrorCode>>)| DeleteRecordsTopicResult {
        partitions: topic
            .partitions
            .iter()
            .zip(places)
            .map(|(partition, place)| answer(partition.partition_index, place.map(|at| deleted[at])))
            .collect(),
        name: topic.name,
    };
    Response { topics: request.topics.into_iter().zip(places).map(topic).collect(), ..Default::default() }
}

fn answer(partition_index: i32, deleted: Result<RecordsDeleted, ErrorCode>) -> DeleteRecordsPartitionResult {
    let (low_watermark, error) = match deleted {
        Ok(deleted) => (deleted.low_watermark.0, deleted.error),
        Err(error) => (-1, error),
    };
    DeleteRecordsPartitionResult { partition_index, low_watermark, error_code: error.code(), ..Default::default() }
}
