//! DeleteGroups (42), versions 0-2: removes groups without members, and their offsets (KIP-229).
//!
//! Studied: KafkaApis.handleDeleteGroupsRequest, GroupCoordinator.handleDeleteGroups.
use std::collections::BTreeMap;

use super::prelude::*;
use messages::delete_groups::*;

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let mut outcomes: BTreeMap<Str, ErrorCode> = BTreeMap::new();
    for group in request.groups_names {
        // A group that is named twice is deleted once.
        outcomes
            .entry(group)
            .or_insert_with_key(|group| broker.groups.delete_group(group).err().unwrap_or(ErrorCode::None));
    }
    let result = |(group_id, error): (Str, ErrorCode)| DeletableGroupResult { group_id, error_code: error.code() };
    Answer::Reply(Response { throttle_time_ms: 0, results: outcomes.into_iter().map(result).collect() })
}
