//! ConsumerGroupHeartbeat (68), version 0: the new consumer protocol (KIP-848).
//!
//! Always UNSUPPORTED_VERSION: a cluster with ZooKeeper lists this API but does not have the protocol.
//!
//! Studied: `KafkaApis.handleConsumerGroupHeartbeat`.

use super::prelude::*;
use messages::consumer_group_heartbeat::{Request, Response};

pub async fn handle(_broker: &Arc<Broker>, _ctx: &RequestContext, _request: Request) -> Answer<Response> {
    refusal().into()
}

fn refusal() -> Response {
    Response { error_code: ErrorCode::UnsupportedVersion.code(), ..Response::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::decode_response;

    #[test]
    fn says_what_kafka_says() {
        let recorded = &include_bytes!("../../tests/golden/frames/ConsumerGroupHeartbeat-v0-0.resp.bin")[4..];
        let (_, recorded) = decode_response::<Request>(recorded.into(), 0).unwrap();
        assert_eq!(refusal(), recorded);
    }
}
