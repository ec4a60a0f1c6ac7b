//! ConsumerGroupDescribe (69), version 0: groups of the new consumer protocol (KIP-848).
//!
//! UNSUPPORTED_VERSION for each group: a cluster with ZooKeeper lists this API but does not have the protocol. No groups
//! asked for, none in the answer.
//!
//! Studied: `KafkaApis.handleConsumerGroupDescribe`.

use super::prelude::*;
use messages::consumer_group_describe::{DescribedGroup, Request, Response};

pub async fn handle(_broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    refusal(request).into()
}

fn refusal(request: Request) -> Response {
    let refuse = |group_id| DescribedGroup {
        error_code: ErrorCode::UnsupportedVersion.code(),
        group_id,
        ..DescribedGroup::default()
    };
    Response { groups: request.group_ids.into_iter().map(refuse).collect(), ..Response::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::decode_response;

    #[test]
    fn says_what_kafka_says() {
        let groups = ["g39", "g28", "txg-2", "txg-4", "console-consumer-50210"].map(Str::from).to_vec();
        let recorded = &include_bytes!("../../tests/golden/frames/ConsumerGroupDescribe-v0-0.resp.bin")[4..];
        let (_, recorded) = decode_response::<Request>(recorded.into(), 0).unwrap();
        assert_eq!(refusal(Request { group_ids: groups, ..Request::default() }), recorded);
        let recorded = &include_bytes!("../../tests/golden/frames/ConsumerGroupDescribe-v0-2.resp.bin")[4..];
        let (_, recorded) = decode_response::<Request>(recorded.into(), 0).unwrap();
        assert_eq!(refusal(Request::default()), recorded);
    }
}
