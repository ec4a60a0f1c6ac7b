//! ConsumerGroupDescribe (69), version 0: groups of the new consumer protocol (KIP-848).
//!
//! UNSUPPORTED_VERSION for each group: a cluster with ZooKeeper lists this API but does not have the protocol. No groups
//! asked for, none in the answer.
//!
//! Studied: `KafkaApis.handleConsumerGroupDescribe`.

use super::prelude::*;
use messages::consumer_group_describe::{DescribedGroup, Request, Response};

pub async fn handle(_broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let refuse = |group_id| DescribedGroup {
        error_code: ErrorCode::UnsupportedVersion.code(),
        group_id,
        ..DescribedGroup::default()
    };
    Response { groups: request.group_ids.into_iter().map(refuse).collect(), ..Response::default() }.into()
}
