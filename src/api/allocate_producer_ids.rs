//! AllocateProducerIds (67), version 0: a broker asks the controller for a block of producer ids (KIP-730).
//!
//! On a broker that is not the controller: NOT_CONTROLLER.

use super::prelude::*;
use messages::allocate_producer_ids::{Request, Response};

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    broker.controller.allocate_producer_ids(request).await.into()
}
