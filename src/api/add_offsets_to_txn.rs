//! AddOffsetsToTxn (25), versions 0-4: offsets of a group are about to be committed as part of a transaction, so the group's
//! partition of `__consumer_offsets` becomes part of it. Studied: `KafkaApis.handleAddOffsetsToTxnRequest`.

use std::collections::BTreeSet;

use super::end_txn::fenced_as_known;
use super::prelude::*;
use crate::ids::{CONSUMER_OFFSETS, TopicPartition};
use messages::add_offsets_to_txn::{Request, Response};

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    let Request { producer_id, producer_epoch, .. } = request;
    let partition = TopicPartition::new(CONSUMER_OFFSETS, broker.groups.partition_for(&request.group_id));
    let partitions = BTreeSet::from([partition]);
    let id = &request.transactional_id;
    let added = broker.transactions.add_partitions(id, producer_id, producer_epoch, partitions).await;
    let error_code = fenced_as_known(added, ctx.api_version).code();
    Response { error_code, ..Response::default() }.into()
}
