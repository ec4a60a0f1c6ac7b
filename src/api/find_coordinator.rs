//! FindCoordinator (10), versions 0-6: which broker coordinates a group or a transactional id?
//!
//! - A missing `__consumer_offsets` or `__transaction_state` is created; until it has a leader the answer is 15 and clients ask again.
//! - v1 adds the kind of key, v4 several keys with an error each.
//! - Share groups do not exist in ZooKeeper mode (42, as in Kafka). Studied: KafkaApis.handleFindCoordinatorRequest.
use super::prelude::*;
use crate::cluster::auto_create;
use crate::cluster::metadata::Endpoint;
use crate::ids::{BrokerId, CONSUMER_OFFSETS, TRANSACTION_STATE};
use messages::find_coordinator::*;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// Share groups (KIP-932), from v6: nobody coordinates them here.
const SHARE: i8 = 2;

type Found = Result<(BrokerId, Endpoint), ErrorCode>;

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    if ctx.api_version < 4 {
        let found = find(broker, ctx, request.key_type, &request.key).await;
        let (error, node_id, host, port) = flat(found);
        // v0 has no text; later ones say so even where nothing is wrong.
        let error_message = (ctx.api_version > 0).then(|| error_text(error).unwrap_or_else(|| "NONE".into()));
        return Answer::Reply(Response {
            error_code: error.code(),
            error_message,
            node_id,
            host,
            port,
            ..Response::default()
        });
    }
    let mut coordinators = Vec::with_capacity(request.coordinator_keys.len());
    for key in request.coordinator_keys {
        let (error, node_id, host, port) = flat(find(broker, ctx, request.key_type, &key).await);
        let text = error_text(error).filter(|_| request.key_type != SHARE);
        let error_message = Some(text.unwrap_or_default());
        coordinators.push(Coordinator { key, node_id, host, port, error_code: error.code(), error_message });
    }
    Answer::Reply(Response { coordinators, ..Response::default() })
}

fn flat(found: Found) -> (ErrorCode, i32, Str, i32) {
    match found {
        Ok((id, endpoint)) => (ErrorCode::None, id.0, (&*endpoint.host).into(), endpoint.port),
        Err(error) => (error, -1, Str::default(), -1),
    }
}

fn error_text(error: ErrorCode) -> Option<Str> {
    match error {
        ErrorCode::None => None,
        ErrorCode::CoordinatorNotAvailable => Some("The coordinator is not available.".into()),
        ErrorCode::InvalidRequest => Some(Str::from_static(
            "This most likely occurs because of a request being malformed by the client library or the message was \
             sent to an incompatible broker. See the broker logs for more details.",
        )),
        other => Some(other.name().into()),
    }
}

async fn find(broker: &Arc<Broker>, ctx: &RequestContext, key_type: i8, key: &str) -> Found {
    let (topic, partition) = match key_type {
        GROUP => (CONSUMER_OFFSETS, broker.groups.partition_for(key)),
        TRANSACTION => (TRANSACTION_STATE, broker.transactions.partition_for(key)),
        SHARE if ctx.api_version >= 6 => return Err(ErrorCode::CoordinatorNotAvailable),
        _ => return Err(ErrorCode::InvalidRequest),
    };
    let image = broker.metadata.image();
    if image.topic(topic).is_none() {
        auto_create::create(broker, topic).await;
        return Err(ErrorCode::CoordinatorNotAvailable);
    }
    let partition = image.partition(topic, partition).ok_or(ErrorCode::CoordinatorNotAvailable)?;
    let endpoint = image.endpoint(partition.leader, &ctx.listener).ok_or(ErrorCode::CoordinatorNotAvailable)?;
    Ok((partition.leader, endpoint.clone()))
}
