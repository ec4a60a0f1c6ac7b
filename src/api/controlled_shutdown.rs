//! ControlledShutdown (7), versions 0-3: a broker that wants to stop asks the controller to move its leaders.
//!
//! On a broker that is not the controller: STALE_CONTROLLER_EPOCH.

use super::prelude::*;
use messages::controlled_shutdown::{Request, Response};

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    broker.controller.controlled_shutdown(request).await.into()
}
