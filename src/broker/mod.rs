//! The broker: everything that one process of a cluster owns, and how it comes up and goes down.

mod configs;
mod internal_topics;
mod log_dirs;
mod metrics;
mod start;
mod stop;
mod transactions;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use crate::cluster::features::FeatureCache;
use crate::cluster::metadata::MetadataCache;
use crate::config::{Live, Settings};
use crate::controller;
use crate::group;
use crate::ids::BrokerId;
use crate::log;
use crate::metrics::Metrics;
use crate::producer_ids::ProducerIds;
use crate::replica;
use crate::time::Clock;
use crate::txn;
use crate::zk;

pub use start::{StartError, Started, start};

/// Runs a broker until `stop` is ready, then shuts it down in order. `stop` gives the name of what asked for it.
///
/// # Errors
/// Why the broker could not start.
pub async fn run(
    settings: Settings,
    metrics: Metrics,
    stop: impl Future<Output = &'static str> + Send,
) -> anyhow::Result<()> {
    let mut stop = std::pin::pin!(stop);
    let started = tokio::select! {
        started = start(settings, metrics) => started?,
        // Nothing is served yet; a registration goes with its session.
        _ = &mut stop => return Ok(()),
    };
    let why = stop.await;
    tracing::info!(target: "kafka.server.KafkaServer", "Terminating process due to signal {why}");
    started.stop().await;
    Ok(())
}

/// A running broker, shared by everything that serves a request.
pub struct Broker {
    pub id: BrokerId,
    /// `/cluster/id`: 22 characters.
    pub cluster_id: String,
    pub settings: Arc<Live>,
    /// What the settings of topics and of brokers are changed by.
    configs: Arc<configs::Configs>,
    pub clock: Clock,
    pub metadata: Arc<MetadataCache>,
    /// czxid of the current registration; changes with each new ZooKeeper session.
    pub broker_epoch: Arc<AtomicI64>,
    /// `/feature` as last seen.
    pub features: Arc<FeatureCache>,
    pub zk: zk::remote::Client,
    pub logs: Arc<log::Manager>,
    pub cleaner: Arc<log::cleaner::Cleaner>,
    pub replicas: Arc<replica::Manager>,
    pub controller: controller::Handle,
    pub groups: Arc<group::Coordinator>,
    pub transactions: Arc<txn::Coordinator>,
    pub producer_ids: Arc<ProducerIds>,
    pub metrics: Metrics,
}
