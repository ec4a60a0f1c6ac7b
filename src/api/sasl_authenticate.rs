//! SaslAuthenticate (36), versions 0-2: on a connection that needs no (further) authentication.
//!
//! Always ILLEGAL_SASL_STATE. Authentication itself happens before requests are dispatched.
//!
//! Studied: `KafkaApis.handleSaslAuthenticateRequest`.

use super::prelude::*;
use messages::sasl_authenticate::{Request, Response};

pub async fn handle(_broker: &Arc<Broker>, _ctx: &RequestContext, _request: Request) -> Answer<Response> {
    let message = "SaslAuthenticate request received after successful authentication";
    let (error_code, error_message) = (ErrorCode::IllegalSaslState.code(), Some(Str::from_static(message)));
    Response { error_code, error_message, ..Response::default() }.into()
}
