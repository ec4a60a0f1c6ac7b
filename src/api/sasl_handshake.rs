//! SaslHandshake (17), versions 0-1: on a connection that needs no (further) authentication.
//!
//! Always ILLEGAL_SASL_STATE with no mechanisms. Authentication itself happens before requests are dispatched.
//!
//! Studied: `KafkaApis.handleSaslHandshakeRequest`.

use super::prelude::*;
use messages::sasl_handshake::{Request, Response};

pub async fn handle(_broker: &Arc<Broker>, _ctx: &RequestContext, _request: Request) -> Answer<Response> {
    Response { error_code: ErrorCode::IllegalSaslState.code(), mechanisms: Vec::new() }.into()
}
