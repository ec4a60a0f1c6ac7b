//! ConsumerGroupHeartbeat (68), version 0: the new consumer protocol (KIP-848).
//!
//! Always UNSUPPORTED_VERSION: a cluster with ZooKeeper lists this API but does not have the protocol.
//!
//! Studied: `KafkaApis.handleConsumerGroupHeartbeat`.

use super::prelude::*;
use messages::consumer_group_heartbeat::{Request, Response};

pub async fn handle(_broker: &Arc<Broker>, _ctx: &RequestContext, _request: Request) -> Answer<Response> {
    Response { error_code: ErrorCode::UnsupportedVersion.code(), ..Response::default() }.into()
}
