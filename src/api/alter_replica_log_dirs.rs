//! AlterReplicaLogDirs (34), versions 0-2: moves replicas of this broker to other log dirs.
//!
//! - Answered as soon as the copies have begun; DescribeLogDirs shows how far they are.
//! - Choosing the dir that a replica is in ends its move. A partition that is not here will be created in the dir that
//!   was chosen, and answers REPLICA_NOT_AVAILABLE.
//! - Studied: `KafkaApis.handleAlterReplicaLogDirsRequest`, `ReplicaManager.alterReplicaLogDirs`.

use std::collections::BTreeMap;

use super::prelude::*;
use crate::ids::{TopicName, TopicPartition};
use messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, Request, Response,
};

pub async fn handle(broker: &Arc<Broker>, _: &RequestContext, request: Request) -> Answer<Response> {
    // Of a partition that is named twice the last dir counts.
    let mut moves: BTreeMap<TopicPartition, Str> = BTreeMap::new();
    for dir in request.dirs {
        for topic in dir.topics {
            let name = TopicName::from(topic.name.as_str());
            for partition in topic.partitions {
                moves.insert(TopicPartition { topic: name.clone(), partition }, dir.path.clone());
            }
        }
    }
    let mut results: Vec<AlterReplicaLogDirTopicResult> = Vec::new();
    for (tp, to) in moves {
        let error = broker.replicas.move_replica(&tp, &to).err().unwrap_or(ErrorCode::None);
        let result = AlterReplicaLogDirPartitionResult { partition_index: tp.partition, error_code: error.code() };
        match results.last_mut().filter(|topic| *topic.topic_name == *tp.topic) {
            Some(topic) => topic.partitions.push(result),
            None => {
                results.push(AlterReplicaLogDirTopicResult { topic_name: (&tp.topic).into(), partitions: vec![result] })
            }
        }
    }
    Response { results, ..Response::default() }.into()
}
