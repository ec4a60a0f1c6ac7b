//! OffsetForLeaderEpoch (23), versions 0-4: where a leader epoch ended in the leader's log (KIP-101, KIP-279, KIP-320).
//!
//! - An epoch that is not known, because it is -1 or newer than any, is answered (-1, -1) without an error.
//! - Leaves out: nothing. Studied: `KafkaApis.handleOffsetForLeaderEpochRequest`, `Partition.lastOffsetForLeaderEpoch`.

use super::prelude::*;
use crate::ids::LeaderEpoch;
use crate::replica::Manager;
use messages::offset_for_leader_epoch::*;

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    serve(&broker.replicas, request).into()
}

/// Serves the request; the replica manager is all it needs.
pub fn serve(replicas: &Manager, request: Request) -> Response {
    let topic = |topic: OffsetForLeaderTopic| {
        let partition = |asked: &OffsetForLeaderPartition| {
            let ended = replicas.partition(&topic.topic, asked.partition).and_then(|partition| {
                partition.leader_end_offset(LeaderEpoch(asked.current_leader_epoch), LeaderEpoch(asked.leader_epoch))
            });
            match ended {
                Ok((epoch, end)) => EpochEndOffset {
                    partition: asked.partition,
                    leader_epoch: epoch.0,
                    end_offset: end.0,
                    ..Default::default()
                },
                Err(error) => {
                    EpochEndOffset { partition: asked.partition, error_code: error.code(), ..Default::default() }
                }
            }
        };
        OffsetForLeaderTopicResult {
            partitions: topic.partitions.iter().map(partition).collect(),
            topic: topic.topic.clone(),
        }
    };
    Response { topics: request.topics.into_iter().map(topic).collect(), ..Default::default() }
}
