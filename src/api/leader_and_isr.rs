//! LeaderAndIsr (4), versions 0-7: the controller tells which partitions this broker leads or follows.
//!
//! - Refused as a whole: 77 if meant for an earlier life of this broker, 11 if a newer controller is known.
//! - Per partition: only a newer leader epoch changes anything; the same one again is answered 11, which controllers ignore.
//! - Leaves out: the check of stray logs by "full" requests (only a migration to KRaft needs it).
//!   Studied: `KafkaApis.handleLeaderAndIsrRequest`, `ReplicaManager.becomeLeaderOrFollower`.

use super::prelude::*;
use crate::ids::TopicPartition;
use messages::leader_and_isr::*;

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    let grouped = request.topic_states.iter().flat_map(|topic| {
        topic.partition_states.iter().map(|p| TopicPartition::new(&*topic.topic_name, p.partition_index))
    });
    let ungrouped = request.ungrouped_partition_states.iter();
    let ungrouped = ungrouped.map(|p| TopicPartition::new(&*p.topic_name, p.partition_index));
    let partitions = grouped.chain(ungrouped).collect();
    broker.read_configs_of_new_topics(partitions).await;
    broker.replicas.become_leader_or_follower(&request, ctx.api_version).into()
}
