//! LeaderAndIsr (4), versions 0-7: the controller tells which partitions this broker leads or follows.
//!
//! - Refused as a whole: 77 if meant for an earlier life of this broker, 11 if a newer controller is known.
//! - Per partition: only a newer leader epoch changes anything; the same one again is answered 11, which controllers ignore.
//! - Leaves out: the check of stray logs by "full" requests (only a migration to KRaft needs it).
//!   Studied: `KafkaApis.handleLeaderAndIsrRequest`, `ReplicaManager.becomeLeaderOrFollower`.

use super::prelude::*;
use messages::leader_and_isr::*;

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    broker.replicas.become_leader_or_follower(&request, ctx.api_version).into()
}
