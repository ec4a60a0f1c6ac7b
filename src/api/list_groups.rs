//! ListGroups (16), versions 0-5: which groups does this broker coordinate?
//!
//! - v4 filters by state (any case; an unknown name matches nothing), v5 by type: all of ours are `classic`.
//! - While a partition is still being loaded the whole answer carries error 14, with the groups known so far.
//! - Studied: KafkaApis.handleListGroupsRequest, GroupCoordinator.handleListGroups.
use super::prelude::*;
use messages::list_groups::*;

const TYPE: &str = "classic";

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let (error, groups) = broker.groups.list();
    let has = |filter: &[Str], name: &str| filter.is_empty() || filter.iter().any(|f| f.eq_ignore_ascii_case(name));
    let groups = groups
        .into_iter()
        .filter(|(_, _, state)| has(&request.states_filter, state.name()) && has(&request.types_filter, TYPE))
        .map(|(id, protocol_type, state)| ListedGroup {
            group_id: id.into(),
            protocol_type: protocol_type.into(),
            group_state: state.name().into(),
            group_type: TYPE.into(),
        });
    Answer::Reply(Response {
        throttle_time_ms: 0,
        error_code: error.unwrap_or(ErrorCode::None).code(),
        groups: groups.collect(),
    })
}
