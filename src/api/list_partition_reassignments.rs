//! ListPartitionReassignments (46), version 0: moves of partitions that are under way (KIP-455).
//!
//! Studied: KafkaApis.handleListPartitionReassignmentsRequest.

use super::alter_partition_reassignments::text;
use super::prelude::*;
use messages::list_partition_reassignments::{Request, Response};

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let mut response = broker.controller.list_partition_reassignments(request).await;
    response.error_message.get_or_insert_with(|| text(response.error_code));
    Answer::Reply(response)
}
