//! DescribeGroups (15), versions 0-5: state and members of groups.
//!
//! - An unknown group is not an error: its state is `Dead`. Subscriptions and assignments are shown when it is stable.
//! - Studied: KafkaApis.handleDescribeGroupRequest, GroupCoordinator.handleDescribeGroup.
use super::prelude::*;
use messages::describe_groups::*;

/// READ, DELETE and DESCRIBE, by their bits: all that exist for a group.
const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8;

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let operations = if request.include_authorized_operations { GROUP_OPERATIONS } else { i32::MIN };
    let groups = request.groups.iter().map(|id| match broker.groups.describe(id) {
        Err(error) => DescribedGroup {
            error_code: error.code(),
            group_id: id.clone(),
            authorized_operations: operations,
            ..DescribedGroup::default()
        },
        Ok(group) => DescribedGroup {
            error_code: 0,
            group_id: id.clone(),
            group_state: group.state.name().into(),
            protocol_type: group.protocol_type.into(),
            members: group.members.into_iter().map(|member| described(member, &group.protocol)).collect(),
            protocol_data: group.protocol.into(),
            authorized_operations: operations,
        },
    });
    Answer::Reply(Response { throttle_time_ms: 0, groups: groups.collect() })
}

fn described(member: crate::group::member::Member, protocol: &str) -> DescribedGroupMember {
    DescribedGroupMember {
        member_metadata: member.metadata(protocol),
        member_id: member.id.into(),
        group_instance_id: member.instance_id.map(Into::into),
        client_id: member.client_id.into(),
        client_host: member.client_host.into(),
        member_assignment: member.assignment,
    }
}
