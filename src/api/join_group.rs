//! JoinGroup (11), versions 0-9: become a member of a group, and wait for its next generation.
//!
//! - v0 has no rebalance timeout: the session timeout serves. v4+ makes a dynamic member come back with the id it is
//!   given (KIP-394). v5 knows static members (KIP-345). v9 may tell a leader to skip the assignment (KIP-814).
//! - Studied: KafkaApis.handleJoinGroupRequest, GroupCoordinator.handleJoinGroup.
use super::prelude::*;
use crate::group::machine::Join;
use messages::join_group::*;

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    let join = Join {
        member_id: request.member_id.to_string(),
        instance_id: request.group_instance_id.as_ref().map(ToString::to_string),
        client_id: ctx.client_id().to_owned(),
        client_host: client_host(ctx),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: if ctx.api_version == 0 {
            request.session_timeout_ms
        } else {
            request.rebalance_timeout_ms
        },
        protocol_type: request.protocol_type.to_string(),
        // A subscription outlives the request: a slice would keep the whole frame in memory.
        protocols: request
            .protocols
            .iter()
            .map(|p| (p.name.to_string(), bytes::Bytes::copy_from_slice(&p.metadata)))
            .collect(),
        member_id_required: ctx.api_version >= 4,
        supports_skipping_assignment: ctx.api_version >= 9,
    };
    let joined = broker.groups.join(&request.group_id, join).await;
    let protocol_name = joined.protocol.as_deref().map(Str::from);
    Answer::Reply(Response {
        throttle_time_ms: 0,
        error_code: joined.error.unwrap_or(ErrorCode::None).code(),
        generation_id: joined.generation,
        protocol_type: joined.protocol_type.as_deref().map(Into::into),
        // Before v7 the name cannot be null.
        protocol_name: if ctx.api_version >= 7 { protocol_name } else { Some(protocol_name.unwrap_or_default()) },
        leader: joined.leader.into(),
        skip_assignment: joined.skip_assignment,
        member_id: joined.member_id.into(),
        members: joined
            .members
            .into_iter()
            .map(|(id, instance, metadata)| JoinGroupResponseMember {
                member_id: id.into(),
                group_instance_id: instance.map(Into::into),
                metadata,
            })
            .collect(),
    })
}

/// The peer as Java prints an address: with a slash before it.
fn client_host(ctx: &RequestContext) -> String {
    format!("/{}", ctx.peer.ip())
}
