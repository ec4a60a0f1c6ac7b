//! UpdateMetadata (6), versions 0-8: the controller spreads the image of the cluster that Metadata answers show.
//!
//! - Same fences as LeaderAndIsr; there are no errors per partition.
//! - Leaves out: nothing. Studied: `KafkaApis.handleUpdateMetadataRequest`, `ReplicaManager.maybeUpdateMetadataCache`.

use super::prelude::*;
use messages::update_metadata::*;

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let outcome = broker.replicas.update_metadata(&request);
    Response { error_code: outcome.err().unwrap_or(ErrorCode::None).code() }.into()
}
