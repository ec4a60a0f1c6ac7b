//! AlterPartition (56), versions 0-3: the leader of a partition asks the controller for a new ISR (KIP-497).
//!
//! On a broker that is not the controller: NOT_CONTROLLER.

use super::prelude::*;
use messages::alter_partition::{Request, Response};

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    broker.controller.alter_partition(ctx.api_version, request).await.into()
}
