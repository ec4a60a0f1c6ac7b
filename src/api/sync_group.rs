//! SyncGroup (14), versions 0-5: the leader hands in the assignment, everybody gets his part.
//!
//! - v3 knows static members, v5 says which protocol was joined with; both of it must be given.
//! - Studied: KafkaApis.handleSyncGroupRequest, GroupCoordinator.handleSyncGroup.
use super::prelude::*;
use crate::group::machine::Claim;
use messages::sync_group::*;

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    if ctx.api_version >= 5 && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
        return Answer::Reply(Response {
            error_code: ErrorCode::InconsistentGroupProtocol.code(),
            ..Response::default()
        });
    }
    let claim = Claim {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    let assignments = request
        .assignments
        .iter()
        .map(|a| (a.member_id.to_string(), bytes::Bytes::copy_from_slice(&a.assignment)))
        .collect();
    let (protocol_type, protocol) = (request.protocol_type.as_deref(), request.protocol_name.as_deref());
    let synced = broker.groups.sync(&request.group_id, claim, protocol_type, protocol, assignments).await;
    Answer::Reply(Response {
        throttle_time_ms: 0,
        error_code: synced.error.unwrap_or(ErrorCode::None).code(),
        protocol_type: synced.protocol_type.map(Into::into),
        protocol_name: synced.protocol.map(Into::into),
        assignment: synced.assignment,
    })
}
