//! SaslHandshake (17), versions 0-1: on a connection that needs no (further) authentication.
//!
//! Always ILLEGAL_SASL_STATE with no mechanisms. Authentication itself happens before requests are dispatched.
//!
//! Studied: `KafkaApis.handleSaslHandshakeRequest`.

use super::prelude::*;
use messages::sasl_handshake::{Request, Response};

pub async fn handle(_broker: &Arc<Broker>, _ctx: &RequestContext, _request: Request) -> Answer<Response> {
    refusal().into()
}

fn refusal() -> Response {
    Response { error_code: ErrorCode::IllegalSaslState.code(), mechanisms: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::decode_response;

    #[test]
    fn says_what_kafka_says() {
        let recorded = &include_bytes!("../../tests/golden/frames/SaslHandshake-v0-0.resp.bin")[4..];
        let (_, recorded) = decode_response::<Request>(recorded.into(), 0).unwrap();
        assert_eq!(refusal(), recorded);
    }
}
