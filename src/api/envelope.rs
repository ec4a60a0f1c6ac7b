//! Envelope (58), version 0: a request that another broker forwards to the controller (KIP-590).
//!
//! Offered, and closes the connection: brokers with ZooKeeper never forward, and do not accept it, as in Kafka.
//!
//! Studied: `KafkaApis.handleEnvelope`.

use super::prelude::*;
use messages::envelope::{Request, Response};

pub async fn handle(_broker: &Arc<Broker>, _ctx: &RequestContext, _request: Request) -> Answer<Response> {
    Answer::Close
}
