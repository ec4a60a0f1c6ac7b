//! Heartbeat (12), versions 0-4: a member is alive, and learns of a rebalance by error 27.
//!
//! - Studied: KafkaApis.handleHeartbeatRequest, GroupCoordinator.handleHeartbeat.
use super::prelude::*;
use crate::group::machine::Claim;
use messages::heartbeat::*;

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let claim = Claim {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_deref(),
        generation: request.generation_id,
    };
    let error = broker.groups.heartbeat(&request.group_id, claim).err().unwrap_or(ErrorCode::None);
    Answer::Reply(Response { throttle_time_ms: 0, error_code: error.code() })
}
