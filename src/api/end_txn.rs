//! EndTxn (26), versions 0-4: commits or aborts a transaction. Answered when the decision is in the log; the partitions get
//! their markers afterwards. v2 knows PRODUCER_FENCED. Studied: `KafkaApis.handleEndTxnRequest`.

use super::prelude::*;
use messages::end_txn::{Request, Response};

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    let Request { producer_id, producer_epoch, committed, .. } = request;
    let ended = broker.transactions.end(&request.transactional_id, producer_id, producer_epoch, committed).await;
    let error_code = fenced_as_known(ended, ctx.api_version).code();
    Response { error_code, ..Response::default() }.into()
}

/// PRODUCER_FENCED is INVALID_PRODUCER_EPOCH to clients before v2 of EndTxn and its relatives.
pub fn fenced_as_known(result: Result<(), ErrorCode>, version: i16) -> ErrorCode {
    match result {
        Ok(()) => ErrorCode::None,
        Err(ErrorCode::ProducerFenced) if version < 2 => ErrorCode::InvalidProducerEpoch,
        Err(error) => error,
    }
}
