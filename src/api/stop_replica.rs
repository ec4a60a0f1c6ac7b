//! StopReplica (5), versions 0-4: the controller takes replicas away from this broker, with their logs or without.
//!
//! - Same fences as LeaderAndIsr; per partition 74 if a newer leader epoch is known. A partition that is not hosted is no
//!   error: a log that was left behind is deleted.
//! - Leaves out: nothing. Studied: `KafkaApis.handleStopReplicaRequest`, `ReplicaManager.stopReplicas`.

use super::prelude::*;
use messages::stop_replica::*;

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    broker.replicas.stop_replicas(&request).into()
}
