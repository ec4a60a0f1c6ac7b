//! The APIs: one file per API key, listed once in the table below.
//!
//! Dispatcher, ApiVersions and documentation derive from the table. What it does not list is not offered, and a request
//! for it closes the connection, as one for an unknown API does.
//!
//! A handler is `pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: X::Request) -> Answer<X::Response>`.
//! What it does before its first await happens in the order of the connection's requests ([`Kind`]).

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod allocate_producer_ids;
pub mod alter_configs;
pub mod alter_partition;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod api_versions;
mod config_changes;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod controlled_shutdown;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_transactions;
pub mod elect_leaders;
pub mod end_txn;
pub mod envelope;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
mod hints;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leader_and_isr;
pub mod leave_group;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod prelude;
pub mod produce;
pub mod sasl_authenticate;
pub mod sasl_handshake;
pub mod stop_replica;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod update_metadata;
pub mod write_txn_markers;

use std::any::Any;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use tracing::error;

use crate::broker::Broker;
use crate::net::{Kind, Outcome, Peer, Refused, Service, Subject, Work};
use crate::wire::frame::{RequestHeader, encode_response, read_request_header};
use crate::wire::messages::fetch::Request as FetchRequest;
use crate::wire::{ApiKey, Message, Reader, Request, Str};

/// Makes a table. First `visibility static NAME: broker type;`, then lines of
/// `schema module => handler, first..=last version, kind;` where kind is `one_phase`, `two_phase` or `long_poll`
/// ([`Kind`]), and `two_phase if |request| condition` is one-phase where the condition does not hold.
#[macro_export]
macro_rules! apis {
    ($(#[$doc:meta])* $vis:vis static $name:ident: $broker:ty;
     $($schema:ident => $handler:path, $first:literal..=$last:literal, $kind:ident $(if $overlaps:expr)?;)*) => {
        $(#[$doc])*
        $vis static $name: &[$crate::api::Offer<$broker>] = &[$($crate::api::Offer {
            api: <$crate::wire::messages::$schema::Request as $crate::wire::Request>::API,
            first: $first,
            last: $last,
            start: |broker, ctx, body| {
                let request = $crate::api::parse::<$crate::wire::messages::$schema::Request>(ctx.api_version, body)?;
                let kind = $crate::apis!(@kind $kind, request $(, $overlaps)?);
                let subject = Some(ctx.subject(&request));
                let answer = async move { ctx.finish($handler(&broker, &ctx, request).await) };
                Ok($crate::net::Work { kind, subject, answer: Box::pin(answer) })
            },
        },)*];
    };
    (@kind one_phase, $request:ident) => { $crate::net::Kind::OnePhase };
    (@kind long_poll, $request:ident) => { $crate::net::Kind::LongPoll };
    (@kind two_phase, $request:ident) => { $crate::net::Kind::TwoPhase };
    (@kind two_phase, $request:ident, $overlaps:expr) => { $crate::api::two_phase_if(&$request, $overlaps) };
}

apis! {
    /// Everything this broker offers.
    pub static OFFERED: Broker;

    // schema                   handler                            versions  kind
    produce                  => produce::handle,                   0..=11,   two_phase if |request| request.acks != 0 && request.transactional_id.is_none();
    fetch                    => fetch::handle,                     0..=17,   long_poll;
    list_offsets             => list_offsets::handle,              0..=9,    one_phase;
    leader_and_isr           => leader_and_isr::handle,            0..=7,    one_phase;
    stop_replica             => stop_replica::handle,              0..=4,    one_phase;
    update_metadata          => update_metadata::handle,           0..=8,    one_phase;
    offset_for_leader_epoch  => offset_for_leader_epoch::handle,   0..=4,    one_phase;
    controlled_shutdown      => controlled_shutdown::handle,       0..=3,    one_phase;
    metadata                 => metadata::handle,                  0..=12,   one_phase;
    find_coordinator         => find_coordinator::handle,          0..=6,    one_phase;
    create_topics            => create_topics::handle,             0..=7,    one_phase;
    delete_topics            => delete_topics::handle,             0..=6,    one_phase;
    describe_configs         => describe_configs::handle,          0..=4,    one_phase;
    alter_configs            => alter_configs::handle,             0..=2,    one_phase;
    alter_replica_log_dirs   => alter_replica_log_dirs::handle,    0..=2,    one_phase;
    describe_log_dirs        => describe_log_dirs::handle,         0..=4,    one_phase;
    create_partitions        => create_partitions::handle,         0..=3,    one_phase;
    offset_commit            => offset_commit::handle,             1..=9,    one_phase;
    offset_fetch             => offset_fetch::handle,              1..=9,    one_phase;
    join_group               => join_group::handle,                0..=9,    one_phase;
    heartbeat                => heartbeat::handle,                 0..=4,    one_phase;
    leave_group              => leave_group::handle,               0..=5,    one_phase;
    sync_group               => sync_group::handle,                0..=5,    one_phase;
    describe_groups          => describe_groups::handle,           0..=5,    one_phase;
    list_groups              => list_groups::handle,               0..=5,    one_phase;
    sasl_handshake           => sasl_handshake::handle,            0..=1,    one_phase;
    api_versions             => api_versions::handle,              0..=4,    one_phase;
    sasl_authenticate        => sasl_authenticate::handle,         0..=2,    one_phase;
    delete_records           => delete_records::handle,            0..=2,    one_phase;
    init_producer_id         => init_producer_id::handle,          0..=5,    one_phase;
    add_partitions_to_txn    => add_partitions_to_txn::handle,     0..=5,    one_phase;
    add_offsets_to_txn       => add_offsets_to_txn::handle,        0..=4,    one_phase;
    end_txn                  => end_txn::handle,                   0..=4,    one_phase;
    write_txn_markers        => write_txn_markers::handle,         0..=1,    one_phase;
    txn_offset_commit        => txn_offset_commit::handle,         0..=4,    one_phase;
    delete_groups            => delete_groups::handle,             0..=2,    one_phase;
    elect_leaders            => elect_leaders::handle,             0..=2,    one_phase;
    incremental_alter_configs => incremental_alter_configs::handle, 0..=1,   one_phase;
    alter_partition_reassignments => alter_partition_reassignments::handle, 0..=0, one_phase;
    list_partition_reassignments => list_partition_reassignments::handle, 0..=0, one_phase;
    offset_delete            => offset_delete::handle,             0..=0,    one_phase;
    alter_partition          => alter_partition::handle,           0..=3,    one_phase;
    envelope                 => envelope::handle,                  0..=0,    one_phase;
    describe_cluster         => describe_cluster::handle,          0..=1,    one_phase;
    describe_producers       => describe_producers::handle,        0..=0,    one_phase;
    describe_transactions    => describe_transactions::handle,     0..=0,    one_phase;
    list_transactions        => list_transactions::handle,         0..=1,    one_phase;
    allocate_producer_ids    => allocate_producer_ids::handle,     0..=0,    one_phase;
    consumer_group_heartbeat => consumer_group_heartbeat::handle,  0..=0,    one_phase;
    consumer_group_describe  => consumer_group_describe::handle,   0..=0,    one_phase;
}

/// An API that a broker of type `B` offers; a line of the table.
pub struct Offer<B: 'static> {
    pub api: ApiKey,
    /// First version that is served whole.
    pub first: i16,
    /// Last version that is served whole.
    pub last: i16,
    /// Parses the body and makes the request ready to start.
    pub start: fn(Arc<B>, RequestContext, Reader) -> Result<Work, Refused>,
}

impl<B> Offer<B> {
    /// Versions that are served whole.
    pub fn versions(&self) -> RangeInclusive<i16> {
        self.first..=self.last
    }
}

/// Principal of everybody on a listener without authentication.
pub const ANONYMOUS: &str = "User:ANONYMOUS";

/// What a handler knows about a request beside the request itself.
#[derive(Clone, Debug)]
pub struct RequestContext {
    pub api: ApiKey,
    pub api_version: i16,
    pub correlation_id: i32,
    /// `None` and empty mean the same to Kafka. Copy it if it outlives the request: it holds the whole frame.
    pub client_id: Option<Str>,
    /// Name of the listener that the request came in on; answers with endpoints give those of the same name.
    pub listener: Arc<str>,
    pub peer: SocketAddr,
    /// `User:<name>`.
    pub principal: Arc<str>,
}

impl RequestContext {
    /// The client id, empty if there is none.
    pub fn client_id(&self) -> &str {
        self.client_id.as_deref().unwrap_or("")
    }

    /// What a request counts as in the metrics.
    pub fn subject(&self, request: &dyn Any) -> Subject {
        // Followers name themselves in a tagged field from v15.
        let replica = |fetch: &FetchRequest| fetch.replica_id.max(fetch.replica_state.replica_id);
        let from_follower = request.downcast_ref().map(|fetch| replica(fetch) >= 0);
        Subject { api: self.api, version: self.api_version, from_follower }
    }

    /// Encodes an answer in the version of the request.
    pub fn finish<T: Message>(&self, answer: Answer<T>) -> Outcome {
        match answer {
            Answer::Reply(response) => self.encode(self.api_version, &response),
            Answer::NoReply => Outcome::Nothing,
            Answer::Close => Outcome::Close,
        }
    }

    fn encode<T: Message>(&self, version: i16, response: &T) -> Outcome {
        match encode_response(self.api, version, self.correlation_id, response) {
            Ok(message) => Outcome::Send(message),
            Err(cause) => {
                // A handler has set what this version cannot carry: ours to mend, but not worth the process.
                error!(api = %self.api, version, %cause, "an answer cannot be encoded; closing the connection");
                Outcome::Close
            }
        }
    }
}

/// What a handler says.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    Reply(T),
    /// Nothing is sent (produce with acks=0).
    NoReply,
    /// The connection is closed without an answer.
    Close,
}

impl<T> From<T> for Answer<T> {
    fn from(response: T) -> Self {
        Answer::Reply(response)
    }
}

/// A table of APIs and the broker that answers them, as the network part sees them.
pub struct Dispatcher<B: 'static> {
    broker: Arc<B>,
    anonymous: Arc<str>,
    /// By API key.
    offers: Vec<Option<&'static Offer<B>>>,
}

impl<B> Dispatcher<B> {
    pub fn new(broker: Arc<B>, table: &'static [Offer<B>]) -> Arc<Self> {
        let last = table.iter().map(|offer| offer.api.key()).max().unwrap_or(0);
        let mut offers = vec![None; last as usize + 1];
        for offer in table {
            offers[offer.api.key() as usize] = Some(offer);
        }
        Arc::new(Self { broker, anonymous: ANONYMOUS.into(), offers })
    }

    fn offer(&self, api: ApiKey) -> Option<&'static Offer<B>> {
        self.offers.get(usize::try_from(api.key()).ok()?).copied().flatten()
    }
}

impl<B: Send + Sync> Service for Dispatcher<B> {
    fn accept(&self, peer: &Peer, frame: Bytes) -> Result<Work, Refused> {
        let (header, body) = read_request_header(frame).map_err(|cause| Refused(cause.to_string()))?;
        let RequestHeader { api_key: api, api_version, correlation_id, client_id } = header;
        let (listener, principal) = (peer.listener.clone(), self.anonymous.clone());
        let ctx =
            RequestContext { api, api_version, correlation_id, client_id, listener, peer: peer.address, principal };
        let offer = self.offer(api).ok_or_else(|| Refused(format!("{api} is not offered")))?;
        if offer.versions().contains(&api_version) {
            return (offer.start)(self.broker.clone(), ctx, body);
        }
        if api == ApiKey::ApiVersions {
            // In the form that every client can read (KIP-511); the connection stays open.
            let subject = Some(Subject { api, version: api_version, from_follower: None });
            let answer = async move { ctx.encode(0, &api_versions::unsupported(offer.versions())) };
            return Ok(Work { kind: Kind::OnePhase, subject, answer: Box::pin(answer) });
        }
        Err(Refused(format!("{api} is not offered in version {api_version}")))
    }
}

/// Parses a body. Bytes after it are ignored, as in Kafka.
pub fn parse<R: Request>(version: i16, mut body: Reader) -> Result<R, Refused> {
    R::read(&mut body, version).map_err(|cause| Refused(format!("{} v{version} cannot be parsed: {cause}", R::API)))
}

/// The kind of a request that is two-phase under a condition.
pub fn two_phase_if<R>(request: &R, condition: impl Fn(&R) -> bool) -> Kind {
    if condition(request) { Kind::TwoPhase } else { Kind::OnePhase }
}
