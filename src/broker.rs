//! The broker: everything that one process of a cluster owns.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use crate::cluster::metadata::MetadataCache;
use crate::config::Settings;
use crate::controller;
use crate::group;
use crate::ids::BrokerId;
use crate::metrics::Metrics;
use crate::producer_ids::ProducerIds;
use crate::replica;
use crate::time::Clock;
use crate::zk;

/// A running broker, shared by everything that serves a request.
pub struct Broker {
    pub id: BrokerId,
    /// `/cluster/id`: 22 characters.
    pub cluster_id: String,
    pub settings: Arc<Settings>,
    pub clock: Clock,
    pub metadata: Arc<MetadataCache>,
    /// czxid of the current registration; changes with each new ZooKeeper session.
    pub broker_epoch: Arc<AtomicI64>,
    pub zk: zk::remote::Client,
    pub controller: controller::Handle,
    pub groups: Arc<group::Coordinator>,
    pub replicas: Arc<replica::Manager>,
    pub producer_ids: Arc<ProducerIds>,
}

/// Runs a broker until `stop` is ready, then shuts it down in order. `stop` gives the name of what asked for it.
pub async fn run(
    settings: Settings,
    _metrics: Metrics,
    _stop: impl Future<Output = &'static str> + Send,
) -> anyhow::Result<()> {
    anyhow::bail!("broker {} is not assembled yet", settings.get(crate::config::keys::BROKER_ID))
}
