//! InitProducerId (22), versions 0-5: an id and an epoch for an idempotent or a transactional producer.
//!
//! - Without a transactional id: a new id with epoch 0. Whether the producer names its old id (v3, KIP-360) makes no
//!   difference, but id and epoch must both be there or both be missing: INVALID_REQUEST.
//! - COORDINATOR_LOAD_IN_PROGRESS while a block of ids is on its way from the controller; producers try again.
//! - With a transactional id: its producer id with a higher epoch, which fences the producer before; a transaction that it
//!   left open is aborted first, and the client asks again (51). v4 knows PRODUCER_FENCED.
//!
//! Studied: `KafkaApis.handleInitProducerIdRequest`, `TransactionCoordinator.handleInitProducerId`.

use super::prelude::*;
use crate::ids::{ProducerEpoch, ProducerId};
use messages::init_producer_id::{Request, Response};

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    let given = match (expected(&request), request.transactional_id.as_deref()) {
        (Err(error), _) => Err(error),
        (Ok(_), None) => broker.producer_ids.next().map(|id| (id.0, 0)),
        (Ok(expected), Some(id)) => broker.transactions.init(id, request.transaction_timeout_ms, expected).await,
    };
    respond(given.map_err(|error| match error {
        ErrorCode::ProducerFenced if ctx.api_version < 4 => ErrorCode::InvalidProducerEpoch,
        other => other,
    }))
    .into()
}

fn respond(given: Result<(i64, i16), ErrorCode>) -> Response {
    let none = (ProducerId::NONE.0, ProducerEpoch::NONE.0);
    let (producer_id, producer_epoch) = *given.as_ref().unwrap_or(&none);
    let error_code = given.err().unwrap_or(ErrorCode::None).code();
    Response { error_code, producer_id, producer_epoch, ..Response::default() }
}

/// Id and epoch that the producer believes to have.
fn expected(request: &Request) -> Result<Option<(i64, i16)>, ErrorCode> {
    let (id, epoch) = (ProducerId(request.producer_id), ProducerEpoch(request.producer_epoch));
    match (id.is_none(), epoch.is_none()) {
        (true, true) => Ok(None),
        (false, false) => Ok(Some((id.0, epoch.0))),
        _ => Err(ErrorCode::InvalidRequest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::decode_response;

    #[test]
    fn says_what_kafka_says() {
        let first = include_bytes!("../../tests/golden/frames/InitProducerId-v0-0.resp.bin");
        let (_, recorded) = decode_response::<Request>(first[4..].into(), 0).unwrap();
        assert_eq!(respond(Err(ErrorCode::CoordinatorLoadInProgress)), recorded);
        let later = include_bytes!("../../tests/golden/frames/InitProducerId-v4-1.resp.bin");
        let (_, recorded) = decode_response::<Request>(later[4..].into(), 4).unwrap();
        assert_eq!(respond(Ok((recorded.producer_id, 0))), recorded);
    }

    #[test]
    fn id_and_epoch_come_together() {
        let request =
            |producer_id, producer_epoch| expected(&Request { producer_id, producer_epoch, ..Request::default() });
        assert_eq!(request(-1, -1), Ok(None));
        assert_eq!(request(7, 3), Ok(Some((7, 3))));
        assert_eq!(request(7, -1), Err(ErrorCode::InvalidRequest));
        assert_eq!(request(-1, 3), Err(ErrorCode::InvalidRequest));
    }
}
