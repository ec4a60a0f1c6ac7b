//! DescribeTransactions (65), version 0: how transactional ids stand that this broker coordinates (KIP-664).
//! Studied: `TransactionCoordinator.handleDescribeTransactions`.

use std::collections::BTreeMap;

use super::prelude::*;
use crate::txn::machine::Image;
use messages::describe_transactions::*;

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let state = |id: Str| match broker.transactions.describe(&id) {
        Ok(image) => shown(id, image),
        Err(error) => {
            TransactionState { transactional_id: id, error_code: error.code(), ..TransactionState::default() }
        }
    };
    let transaction_states = request.transactional_ids.into_iter().map(state).collect();
    Response { transaction_states, ..Response::default() }.into()
}

fn shown(transactional_id: Str, image: Image) -> TransactionState {
    let mut topics: BTreeMap<Arc<str>, Vec<i32>> = BTreeMap::new();
    for tp in image.partitions {
        topics.entry(tp.topic).or_default().push(tp.partition);
    }
    let topic = |(topic, partitions): (Arc<str>, Vec<i32>)| TopicData { topic: topic.into(), partitions };
    TransactionState {
        error_code: ErrorCode::None.code(),
        transactional_id,
        transaction_state: Str::from_static(image.state.name()),
        transaction_timeout_ms: image.timeout_ms,
        transaction_start_time_ms: image.start_ms,
        producer_id: image.producer_id,
        producer_epoch: image.epoch,
        topics: topics.into_iter().map(topic).collect(),
    }
}
