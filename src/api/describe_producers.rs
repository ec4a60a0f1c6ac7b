//! DescribeProducers (61), version 0: the producers that the log of a partition knows (KIP-664). Only at the leader.
//! Studied: `KafkaApis.handleDescribeProducersRequest`, `Partition.activeProducerState`.

use super::prelude::*;
use crate::cluster::topics;
use crate::log::producers::Producer;
use messages::describe_producers::*;

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let image = broker.metadata.image();
    let topic = |topic: TopicRequest| {
        let refused = match topics::validate_name(&topic.name) {
            Err(error) => Some((ErrorCode::InvalidTopicException, error.to_string())),
            Ok(()) if image.topic(&topic.name).is_none() => {
                Some((ErrorCode::UnknownTopicOrPartition, "This server does not host this topic-partition.".to_owned()))
            }
            Ok(()) => None,
        };
        let partition = |&partition_index: &i32| match &refused {
            Some((error, message)) => PartitionResponse {
                partition_index,
                error_code: error.code(),
                error_message: Some(message.as_str().into()),
                active_producers: Vec::new(),
            },
            None => describe(broker, &topic.name, partition_index),
        };
        let partitions = topic.partition_indexes.iter().map(partition).collect();
        TopicResponse { partitions, name: topic.name }
    };
    Response { topics: request.topics.into_iter().map(topic).collect(), ..Response::default() }.into()
}

fn describe(broker: &Broker, topic: &str, partition_index: i32) -> PartitionResponse {
    let producers = broker.replicas.partition(topic, partition_index).and_then(|partition| partition.producers());
    match producers {
        Ok(producers) => PartitionResponse {
            partition_index,
            active_producers: producers.into_iter().map(|(id, producer)| state(id, &producer)).collect(),
            ..PartitionResponse::default()
        },
        Err(error) => PartitionResponse { partition_index, error_code: error.code(), ..PartitionResponse::default() },
    }
}

fn state(producer_id: i64, producer: &Producer) -> ProducerState {
    ProducerState {
        producer_id,
        producer_epoch: producer.epoch.into(),
        last_sequence: producer.last_sequence(),
        last_timestamp: producer.last_timestamp,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.txn_first_offset.unwrap_or(-1),
    }
}
