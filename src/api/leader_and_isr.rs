//! LeaderAndIsr (4), versions 0-7: the controller tells which partitions this broker leads or follows.
//!
//! - Refused as a whole: 77 if meant for an earlier life of this broker, 11 if a newer controller is known.
//! - Per partition: only a newer leader epoch changes anything; the same one again is answered 11, which controllers ignore.
//! - Leaves out: the check of stray logs by "full" requests (only a migration to KRaft needs it).
//!   Studied: `KafkaApis.handleLeaderAndIsrRequest`, `ReplicaManager.becomeLeaderOrFollower`.

use super::prelude::*;
use messages::leader_and_isr::*;

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    let mut partitions: Vec<(&str, i32)> = Vec::new();
    for topic in &request.topic_states {
        partitions.extend(topic.partition_states.iter().map(|state| (&*topic.topic_name, state.partition_index)));
    }
    for state in &request.ungrouped_partition_states {
        partitions.push((&state.topic_name, state.partition_index));
    }
    // A log is made with its topic's settings.
    broker.read_configs_of_new_topics(partitions.into_iter()).await;
    broker.replicas.become_leader_or_follower(&request, ctx.api_version).into()
}
