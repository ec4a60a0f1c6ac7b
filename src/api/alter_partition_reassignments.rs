//! AlterPartitionReassignments (45), version 0: starts, replaces and cancels moves of partitions (KIP-455).
//!
//! - The controller decides each partition and answers when the move is written down, not when it is done.
//! - Studied: KafkaApis.handleAlterPartitionReassignmentsRequest.

use super::prelude::*;
use messages::alter_partition_reassignments::{Request, Response};

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let mut response = broker.controller.alter_partition_reassignments(request).await;
    response.error_message.get_or_insert_with(|| text(response.error_code));
    Answer::Reply(response)
}

/// What Kafka says beside the error of a whole request about reassignments.
pub(super) fn text(error_code: i16) -> Str {
    match ErrorCode::from_code(error_code) {
        ErrorCode::NotController => "This is not the correct controller for this cluster.".into(),
        _ => "".into(),
    }
}
