//! WriteTxnMarkers (27), versions 0-1: a transaction coordinator ends transactions in partitions that this broker leads.
//!
//! - One control batch per marker and partition, acknowledged by all replicas in sync within `request.timeout.ms`.
//! - A marker without an open transaction is written too. Markers that name no partition have no place in the answer.
//! - As soon as a marker is in `__consumer_offsets`, the offsets of the transaction hold or are dropped.
//!
//! Studied: `KafkaApis.handleWriteTxnMarkersRequest`.

use super::prelude::*;
use crate::config::keys;
use crate::ids::{CONSUMER_OFFSETS, Offset};
use crate::record::{AppendOrigin, EndTxn, end_txn_batch};
use crate::replica::CommitWait;
use crate::time::Millis;
use messages::write_txn_markers::*;

/// A place in the answer and what stands there.
struct Written {
    producer_id: i64,
    commit: bool,
    topic: Str,
    partition: i32,
    error: ErrorCode,
}

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let replicas = &broker.replicas;
    let now_ms = broker.clock.wall_ms();
    let (mut written, mut waiting, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    for marker in &request.markers {
        let end = if marker.transaction_result { EndTxn::Commit } else { EndTxn::Abort };
        let batch = end_txn_batch(end, marker.producer_id, marker.producer_epoch, marker.coordinator_epoch, now_ms);
        for topic in &marker.topics {
            for &partition in &topic.partition_indexes {
                let appended = match replicas.partition(&topic.name, partition) {
                    Ok(_) => replicas
                        .append(&topic.name, partition, &batch, AppendOrigin::Coordinator, true)
                        .map_err(|error| ErrorCode::from(&error)),
                    // Not hosted here, whatever the reason.
                    Err(_) => Err(ErrorCode::UnknownTopicOrPartition),
                };
                let error = appended.as_ref().err().copied().unwrap_or(ErrorCode::None);
                if let Ok((hosted, info)) = appended {
                    waiting.push(written.len());
                    waits.push((hosted, Offset(info.last_offset.0 + 1)));
                }
                let (producer_id, commit) = (marker.producer_id, marker.transaction_result);
                written.push(Written { producer_id, commit, topic: topic.name.clone(), partition, error });
            }
        }
    }
    if !waits.is_empty() {
        let timeout_ms = Millis::from(broker.settings.get(keys::REQUEST_TIMEOUT_MS));
        let outcomes = CommitWait::new(waits).outcomes(replicas, timeout_ms).await;
        for (place, outcome) in waiting.into_iter().zip(outcomes) {
            written[place].error = outcome;
        }
    }
    for done in written.iter().filter(|done| done.error == ErrorCode::None && &*done.topic == CONSUMER_OFFSETS) {
        broker.groups.txn_ended(done.partition, done.producer_id, done.commit);
    }
    answer(written).into()
}

/// Producers, topics and partitions each once, in the order in which they were named.
fn answer(written: Vec<Written>) -> Response {
    let mut markers: Vec<WritableTxnMarkerResult> = Vec::new();
    for Written { producer_id, topic, partition, error, .. } in written {
        let marker = place(
            &mut markers,
            |m| m.producer_id == producer_id,
            || WritableTxnMarkerResult { producer_id, topics: Vec::new() },
        );
        let topic = place(
            &mut marker.topics,
            |t| t.name == topic,
            || WritableTxnMarkerTopicResult { name: topic.clone(), partitions: Vec::new() },
        );
        let result = place(
            &mut topic.partitions,
            |p| p.partition_index == partition,
            || WritableTxnMarkerPartitionResult { partition_index: partition, error_code: 0 },
        );
        result.error_code = error.code();
    }
    Response { markers }
}

/// The element that fits, made if there is none yet.
fn place<T>(list: &mut Vec<T>, fits: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> &mut T {
    let index = list.iter().position(fits).unwrap_or_else(|| {
        list.push(make());
        list.len() - 1
    });
    &mut list[index]
}
