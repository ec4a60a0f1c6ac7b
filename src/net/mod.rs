//! Sockets: the only place that knows them. Frames in, ropes out, and who may connect.
//!
//! - [`listener`]: binding, accepting, limits on connections ([`quota`]).
//! - [`connection`]: one task per connection; reads [`frame`]s, starts their requests in order, sends the answers in order.
//! - [`in_flight`]: the requests of one connection that have no answer yet.
//! - [`memory`]: what all requests together may hold.
//! - [`send`]: `sendmsg` and `sendfile`.
//! - [`client`]: our side of connections to other brokers.
//!
//! What a request means is not known here: a [`Service`] turns header and body into [`Work`]. Studied: Kafka's
//! `SocketServer`, `Selector`, `ConnectionQuotas`.

pub mod client;
mod connection;
pub mod frame;
mod in_flight;
pub mod listener;
pub mod memory;
mod metrics;
pub mod quota;
pub mod send;
mod settings;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::wire::{ApiKey, Out};

/// Where a request came from.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// Name of the listener, as in `listeners`.
    pub listener: Arc<str>,
}

/// How requests are understood; implemented by the API table.
pub trait Service: Send + Sync + 'static {
    /// Parses a frame (without its length) into work, without doing any of it. Called in the order of arrival.
    ///
    /// # Errors
    /// What cannot be parsed or is not offered. The connection is closed after the answers to earlier requests.
    fn accept(&self, peer: &Peer, frame: Bytes) -> Result<Work, Refused>;
}

/// A request that will not be answered: the reason goes to the log, the connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// A request, ready to be started by the first poll of `answer`.
pub struct Work {
    pub kind: Kind,
    /// What it counts as; `None` for nothing.
    pub subject: Option<Subject>,
    pub answer: Pin<Box<dyn Future<Output = Outcome> + Send>>,
}

/// What a request is, for the metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subject {
    pub api: ApiKey,
    pub version: i16,
    /// For a fetch: does a follower ask?
    pub from_follower: Option<bool>,
}

/// How a request shares its connection with others. All that is done before the first await of a request happens in the
/// order of the connection's requests, whatever the kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Starts when every earlier request is decided, as in Kafka. Once started it runs to its end, also when the client
    /// goes away.
    OnePhase,
    /// As [`OnePhase`](Self::OnePhase), but may start while earlier requests of this kind still wait: the first poll puts
    /// it in order (submits the append), the rest only waits.
    TwoPhase,
    /// As [`OnePhase`](Self::OnePhase), but only looks: it is dropped when the client goes away.
    LongPoll,
}

/// How a request ends.
pub enum Outcome {
    /// A whole frame with its length.
    Send(Out),
    /// There is no answer (produce with acks=0).
    Nothing,
    /// The connection is closed, after the answers to earlier requests.
    Close,
}
