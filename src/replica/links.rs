//! Connections that replication opens: followers to their leaders, leaders to the controller.
//!
//! Traits, so that tests join two replicas without a network; the production side finds the other broker's address in
//! the metadata image at each connect, and drops a connection at the first error.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::metadata::MetadataCache;
use crate::ids::BrokerId;
use crate::net::client::{ClientError, Connection, Options};
use crate::wait::BoxFuture;
use crate::wire::Request;
use crate::wire::messages::{alter_partition, fetch, list_offsets, offset_for_leader_epoch};

use super::alter_partition::ControllerLink;

/// Why another broker gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("broker {0} has no address on the inter-broker listener")]
    NoAddress(BrokerId),
    #[error("no controller is known")]
    NoController,
    #[error("{0}")]
    Client(#[from] ClientError),
}

/// A follower's way to one leader; one request at a time.
pub trait LeaderLink: Send + 'static {
    fn fetch(&mut self, version: i16, request: fetch::Request) -> BoxFuture<'_, Result<fetch::Response, LinkError>>;

    fn list_offsets(
        &mut self,
        version: i16,
        request: list_offsets::Request,
    ) -> BoxFuture<'_, Result<list_offsets::Response, LinkError>>;

    fn offset_for_leader_epoch(
        &mut self,
        version: i16,
        request: offset_for_leader_epoch::Request,
    ) -> BoxFuture<'_, Result<offset_for_leader_epoch::Response, LinkError>>;
}

/// Opens ways to leaders.
pub trait LeaderLinks: Send + Sync + 'static {
    /// A way to `leader` for the fetcher with this client id. Nothing is opened before the first request.
    fn link(&self, leader: BrokerId, client_id: &str) -> Box<dyn LeaderLink>;
}

/// Ways to other brokers over TCP.
#[derive(Clone)]
pub struct BrokerLinks {
    pub metadata: Arc<MetadataCache>,
    /// Name of the inter-broker listener.
    pub listener: Arc<str>,
    /// `replica.socket.timeout.ms`.
    pub request_timeout: Duration,
    /// `socket.connection.setup.timeout.ms`.
    pub connect_timeout: Duration,
    /// `replica.socket.receive.buffer.bytes`; `None` leaves it to the system.
    pub receive_buffer_bytes: Option<u32>,
}

impl LeaderLinks for BrokerLinks {
    fn link(&self, leader: BrokerId, client_id: &str) -> Box<dyn LeaderLink> {
        Box::new(self.broker_link(leader, client_id))
    }
}

impl BrokerLinks {
    fn broker_link(&self, broker: BrokerId, client_id: &str) -> BrokerLink {
        BrokerLink {
            metadata: self.metadata.clone(),
            listener: self.listener.clone(),
            broker,
            client_id: client_id.to_owned(),
            options: Options {
                connect_timeout: self.connect_timeout,
                request_timeout: self.request_timeout,
                receive_buffer_bytes: self.receive_buffer_bytes,
                ..Options::default()
            },
            connection: None,
        }
    }
}

struct BrokerLink {
    metadata: Arc<MetadataCache>,
    listener: Arc<str>,
    broker: BrokerId,
    client_id: String,
    options: Options,
    connection: Option<Connection>,
}

impl BrokerLink {
    async fn call<R: Request>(&mut self, version: i16, request: R) -> Result<R::Response, LinkError> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let image = self.metadata.image();
                let endpoint = image.endpoint(self.broker, &self.listener).ok_or(LinkError::NoAddress(self.broker))?;
                Connection::connect(&endpoint.host, endpoint.port as u16, &self.client_id, self.options.clone()).await?
            }
        };
        // Not put back after an error: the stream may be in the middle of an answer.
        let response = connection.call(version, &request).await?;
        self.connection = Some(connection);
        Ok(response)
    }
}

impl LeaderLink for BrokerLink {
    fn fetch(&mut self, version: i16, request: fetch::Request) -> BoxFuture<'_, Result<fetch::Response, LinkError>> {
        Box::pin(self.call(version, request))
    }

    fn list_offsets(
        &mut self,
        version: i16,
        request: list_offsets::Request,
    ) -> BoxFuture<'_, Result<list_offsets::Response, LinkError>> {
        Box::pin(self.call(version, request))
    }

    fn offset_for_leader_epoch(
        &mut self,
        version: i16,
        request: offset_for_leader_epoch::Request,
    ) -> BoxFuture<'_, Result<offset_for_leader_epoch::Response, LinkError>> {
        Box::pin(self.call(version, request))
    }
}

/// The way to whoever is controller, over TCP; also when that is this broker.
pub struct ActiveController {
    links: BrokerLinks,
    client_id: String,
    open: Option<BrokerLink>,
}

impl ActiveController {
    pub fn new(links: BrokerLinks, client_id: String) -> Self {
        Self { links, client_id, open: None }
    }
}

impl ControllerLink for ActiveController {
    fn alter_partition(
        &mut self,
        version: i16,
        request: alter_partition::Request,
    ) -> BoxFuture<'_, Result<alter_partition::Response, LinkError>> {
        Box::pin(async move {
            let controller = self.links.metadata.image().controller_id.ok_or(LinkError::NoController)?;
            let link = match self.open.take() {
                Some(link) if link.broker == controller => link,
                _ => self.links.broker_link(controller, &self.client_id),
            };
            self.open.insert(link).call(version, request).await
        })
    }
}
