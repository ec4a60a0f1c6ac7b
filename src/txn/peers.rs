//! Requests of transactions to other brokers, Kafka's or ours, and to this one: a connection to each is kept open.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::cluster::metadata::MetadataCache;
use crate::ids::BrokerId;
use crate::net::client::{ClientError, Connection, Options};
use crate::wait::BoxFuture;
use crate::wire::messages::{add_partitions_to_txn, api_versions, write_txn_markers};
use crate::wire::{ApiKey, Request};

/// Why another broker gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    #[error("broker {0} has no address on the inter-broker listener")]
    NoAddress(BrokerId),
    #[error("broker {0} is too old for this request")]
    TooOld(BrokerId),
    #[error("{0}")]
    Client(#[from] ClientError),
}

/// The two requests that brokers send each other for transactions.
pub trait Peers: Send + Sync + 'static {
    fn add_partitions_to_txn(
        &self,
        broker: BrokerId,
        request: add_partitions_to_txn::Request,
    ) -> BoxFuture<'static, Result<add_partitions_to_txn::Response, PeerError>>;

    fn write_txn_markers(
        &self,
        broker: BrokerId,
        request: write_txn_markers::Request,
    ) -> BoxFuture<'static, Result<write_txn_markers::Response, PeerError>>;
}

/// Other brokers over TCP.
#[derive(Clone)]
pub struct TcpPeers {
    shared: Arc<Shared>,
}

struct Shared {
    metadata: Arc<MetadataCache>,
    /// Name of the inter-broker listener.
    listener: Arc<str>,
    client_id: String,
    options: Options,
    /// Connections that nobody uses at the moment.
    idle: Mutex<HashMap<(BrokerId, ApiKey), Open>>,
}

/// A connection and the version to speak.
struct Open {
    connection: Connection,
    version: i16,
    address: (Arc<str>, i32),
}

impl TcpPeers {
    pub fn new(metadata: Arc<MetadataCache>, listener: Arc<str>, client_id: String, options: Options) -> Self {
        Self { shared: Arc::new(Shared { metadata, listener, client_id, options, idle: Mutex::default() }) }
    }

    fn call<R: Request + Send + Sync + 'static>(
        &self,
        broker: BrokerId,
        versions: RangeInclusive<i16>,
        request: R,
    ) -> BoxFuture<'static, Result<R::Response, PeerError>>
    where
        R::Response: Send,
    {
        let shared = self.shared.clone();
        Box::pin(async move {
            let mut open = shared.open(broker, R::API, versions).await?;
            // Not put back after an error: the stream may be in the middle of an answer.
            let response = open.connection.call(open.version, &request).await?;
            shared.idle.lock().insert((broker, R::API), open);
            Ok(response)
        })
    }
}

impl Shared {
    /// An open connection to where the broker is now.
    async fn open(&self, broker: BrokerId, api: ApiKey, versions: RangeInclusive<i16>) -> Result<Open, PeerError> {
        let image = self.metadata.image();
        let endpoint = image.endpoint(broker, &self.listener).ok_or(PeerError::NoAddress(broker))?;
        let address = (endpoint.host.clone(), endpoint.port);
        let kept = self.idle.lock().remove(&(broker, api)).filter(|open| open.address == address);
        if let Some(open) = kept {
            return Ok(open);
        }
        let mut connection =
            Connection::connect(&address.0, address.1 as u16, &self.client_id, self.options.clone()).await?;
        let offered = connection.call(0, &api_versions::Request::default()).await?;
        let offered = offered.api_keys.iter().find(|offer| offer.api_key == api.key());
        let version = offered.map(|offer| (offer.min_version.max(*versions.start()), offer.max_version));
        match version {
            Some((first, last)) if first <= last.min(*versions.end()) => {
                Ok(Open { connection, version: last.min(*versions.end()), address })
            }
            _ => Err(PeerError::TooOld(broker)),
        }
    }
}

impl Peers for TcpPeers {
    fn add_partitions_to_txn(
        &self,
        broker: BrokerId,
        request: add_partitions_to_txn::Request,
    ) -> BoxFuture<'static, Result<add_partitions_to_txn::Response, PeerError>> {
        // Earlier versions come from clients and cannot verify.
        self.call(broker, 4..=5, request)
    }

    fn write_txn_markers(
        &self,
        broker: BrokerId,
        request: write_txn_markers::Request,
    ) -> BoxFuture<'static, Result<write_txn_markers::Response, PeerError>> {
        self.call(broker, 0..=1, request)
    }
}
