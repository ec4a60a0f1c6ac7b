//! InitProducerId (22), versions 0-5: an id for an idempotent producer.
//!
//! - Without a transactional id: a new id with epoch 0. Whether the producer names its old id (v3, KIP-360) makes no
//!   difference, but id and epoch must both be there or both be missing: INVALID_REQUEST.
//! - COORDINATOR_LOAD_IN_PROGRESS while a block of ids is on its way from the controller; producers try again.
//! - An empty transactional id: INVALID_REQUEST. Any other: COORDINATOR_NOT_AVAILABLE, there is no transaction coordinator.
//!
//! Studied: `KafkaApis.handleInitProducerIdRequest`, `TransactionCoordinator.handleInitProducerId`.

use super::prelude::*;
use crate::ids::{ProducerEpoch, ProducerId};
use messages::init_producer_id::{Request, Response};

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    respond(check(&request).and_then(|()| broker.producer_ids.next())).into()
}

fn respond(id: Result<ProducerId, ErrorCode>) -> Response {
    match id {
        Ok(id) => Response { producer_id: id.0, producer_epoch: 0, ..Response::default() },
        Err(error) => Response {
            error_code: error.code(),
            producer_id: ProducerId::NONE.0,
            producer_epoch: ProducerEpoch::NONE.0,
            ..Response::default()
        },
    }
}

fn check(request: &Request) -> Result<(), ErrorCode> {
    let (id, epoch) = (ProducerId(request.producer_id), ProducerEpoch(request.producer_epoch));
    match request.transactional_id.as_deref() {
        _ if id.is_none() != epoch.is_none() => Err(ErrorCode::InvalidRequest),
        None => Ok(()),
        Some("") => Err(ErrorCode::InvalidRequest),
        Some(_) => Err(ErrorCode::CoordinatorNotAvailable),
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
        assert_eq!(respond(Ok(ProducerId(recorded.producer_id))), recorded);
    }

    #[test]
    fn what_is_refused() {
        let request = |transactional_id: Option<&str>, producer_id, producer_epoch| {
            let transactional_id = transactional_id.map(Str::from);
            check(&Request { transactional_id, producer_id, producer_epoch, ..Request::default() })
        };
        assert_eq!(request(None, -1, -1), Ok(()));
        assert_eq!(request(None, 7, 3), Ok(()));
        assert_eq!(request(None, 7, -1), Err(ErrorCode::InvalidRequest));
        assert_eq!(request(Some(""), -1, -1), Err(ErrorCode::InvalidRequest));
        assert_eq!(request(Some("t"), -1, -1), Err(ErrorCode::CoordinatorNotAvailable));
    }
}
