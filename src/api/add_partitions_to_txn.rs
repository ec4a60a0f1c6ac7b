//! AddPartitionsToTxn (24), versions 0-5: partitions become part of a transaction.
//!
//! - v0-3: one transaction, from a producer; all of its partitions are added or none (55 for those that could have been).
//!   Internal topics are refused (29), as they are by Kafka. v2 knows PRODUCER_FENCED.
//! - v4-5: several transactions, from brokers; with `verify_only` nothing is added, each partition is told whether it is
//!   part of the transaction (KIP-890).
//!
//! Studied: `KafkaApis.handleAddPartitionsToTxnRequest`.

use super::end_txn::fenced_as_known;
use super::prelude::*;
use crate::ids::{CONSUMER_OFFSETS, TRANSACTION_STATE, TopicPartition};
use messages::add_partitions_to_txn::*;

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    if ctx.api_version >= 4 {
        let mut results_by_transaction = Vec::with_capacity(request.transactions.len());
        for transaction in request.transactions {
            let topic_results = serve(broker, ctx, &transaction).await;
            let transactional_id = transaction.transactional_id;
            results_by_transaction.push(AddPartitionsToTxnResult { transactional_id, topic_results });
        }
        return Response { results_by_transaction, ..Response::default() }.into();
    }
    let transaction = AddPartitionsToTxnTransaction {
        transactional_id: request.v3_and_below_transactional_id,
        producer_id: request.v3_and_below_producer_id,
        producer_epoch: request.v3_and_below_producer_epoch,
        verify_only: false,
        topics: request.v3_and_below_topics,
    };
    let results_by_topic_v3_and_below = serve(broker, ctx, &transaction).await;
    Response { results_by_topic_v3_and_below, ..Response::default() }.into()
}

async fn serve(
    broker: &Broker,
    ctx: &RequestContext,
    transaction: &AddPartitionsToTxnTransaction,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let AddPartitionsToTxnTransaction { transactional_id: id, producer_id, producer_epoch, .. } = transaction;
    let image = broker.metadata.image();
    let partitions: Vec<TopicPartition> = transaction
        .topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| TopicPartition::new(&*topic.name, *partition)))
        .collect();
    let refused = |tp: &TopicPartition| {
        let internal = [CONSUMER_OFFSETS, TRANSACTION_STATE].contains(&&*tp.topic);
        if ctx.api_version < 4 && internal {
            Some(ErrorCode::TopicAuthorizationFailed)
        } else if image.partition(&tp.topic, tp.partition).is_none() {
            Some(ErrorCode::UnknownTopicOrPartition)
        } else {
            None
        }
    };
    if partitions.iter().any(|tp| refused(tp).is_some()) {
        return each(transaction, |tp| refused(tp).unwrap_or(ErrorCode::OperationNotAttempted));
    }
    if transaction.verify_only {
        return match broker.transactions.verify(id, *producer_id, *producer_epoch, &partitions) {
            Err(error) => each(transaction, |_| error),
            Ok(known) => each(transaction, |tp| match partitions.iter().position(|known| known == tp) {
                Some(index) if known[index] => ErrorCode::None,
                _ => ErrorCode::TransactionAbortable,
            }),
        };
    }
    let partitions = partitions.into_iter().collect();
    let added = broker.transactions.add_partitions(id, *producer_id, *producer_epoch, partitions).await;
    let error = fenced_as_known(added, ctx.api_version);
    each(transaction, |_| error)
}

/// A result for each partition, in the order of the request.
fn each(
    transaction: &AddPartitionsToTxnTransaction,
    result: impl Fn(&TopicPartition) -> ErrorCode,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let topic = |topic: &AddPartitionsToTxnTopic| AddPartitionsToTxnTopicResult {
        name: topic.name.clone(),
        results_by_partition: topic
            .partitions
            .iter()
            .map(|&partition_index| AddPartitionsToTxnPartitionResult {
                partition_index,
                partition_error_code: result(&TopicPartition::new(&*topic.name, partition_index)).code(),
            })
            .collect(),
    };
    transaction.topics.iter().map(topic).collect()
}
