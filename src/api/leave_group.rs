//! LeaveGroup (13), versions 0-5: members go, or an administrator removes static ones (v3+, several at once).
//!
//! - Up to v2 the one member's error is the answer's; from v3 each member has its own.
//! - Studied: KafkaApis.handleLeaveGroupRequest, GroupCoordinator.handleLeaveGroup.
use super::prelude::*;
use messages::leave_group::*;

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    let members: Vec<(&str, Option<&str>)> = if ctx.api_version >= 3 {
        request.members.iter().map(|m| (&*m.member_id, m.group_instance_id.as_deref())).collect()
    } else {
        vec![(&*request.member_id, None)]
    };
    let results = match broker.groups.leave(&request.group_id, &members) {
        Ok(results) => results,
        Err(error) => return Answer::Reply(Response { error_code: error.code(), ..Response::default() }),
    };
    let code = |result: &Result<(), ErrorCode>| result.err().unwrap_or(ErrorCode::None).code();
    if ctx.api_version < 3 {
        return Answer::Reply(Response { error_code: code(&results[0]), ..Response::default() });
    }
    let members = request.members.iter().zip(&results).map(|(member, result)| MemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code: code(result),
    });
    Answer::Reply(Response { members: members.collect(), ..Response::default() })
}
