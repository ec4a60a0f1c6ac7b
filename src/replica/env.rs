//! What every partition and fetcher of a broker shares.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use crate::cluster::metadata::MetadataCache;
use crate::ids::{BrokerEpoch, BrokerId};
use crate::log;
use crate::time::{Clock, Millis};

use super::alter_partition::IsrUpdates;
use super::metrics::Traffic;
use super::partition::Rules;

/// Versions of the requests that a follower sends, by `inter.broker.protocol.version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub fetch: i16,
    pub list_offsets: i16,
    pub offset_for_leader_epoch: i16,
    /// The leader tells divergence in its answer to Fetch (2.7 and later).
    pub truncates_on_fetch: bool,
}

impl Versions {
    /// Of inter-broker protocol 3.9.
    pub const LATEST: Self = Self { fetch: 17, list_offsets: 9, offset_for_leader_epoch: 4, truncates_on_fetch: true };
}

/// Counts for the meters; they only grow.
#[derive(Debug, Default)]
pub struct Counters {
    pub isr_expands: AtomicU64,
    pub isr_shrinks: AtomicU64,
    pub failed_isr_updates: AtomicU64,
    /// acks=all writes that timed out, per partition (DelayedProduceMetrics).
    pub produce_expires: AtomicU64,
    /// Long polls that timed out.
    pub consumer_fetch_expires: AtomicU64,
    pub follower_fetch_expires: AtomicU64,
    pub failed_produces: AtomicU64,
    pub failed_fetches: AtomicU64,
    /// Bytes copied from leaders, and given to followers.
    pub replication_bytes_in: AtomicU64,
    pub replication_bytes_out: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What every partition and fetcher of a broker shares.
pub struct Env {
    pub me: BrokerId,
    pub clock: Clock,
    pub metadata: Arc<MetadataCache>,
    pub logs: Arc<log::Manager>,
    /// czxid of our registration.
    pub broker_epoch: Arc<AtomicI64>,
    /// `replica.lag.time.max.ms`
    pub lag_max_ms: Millis,
    /// `transaction.partition.verification.enable`
    pub verify_txns: AtomicBool,
    pub isr_updates: Arc<IsrUpdates>,
    pub counters: Counters,
    /// Of all topics together, also those that are gone.
    pub traffic: Traffic,
}

impl Env {
    /// Monotonic milliseconds.
    pub fn now_ms(&self) -> Millis {
        self.clock.now_ms()
    }

    /// Must a transaction be verified with its coordinator before it begins in a partition?
    pub fn verifies_txns(&self) -> bool {
        self.verify_txns.load(Ordering::Relaxed)
    }

    pub fn broker_epoch(&self) -> BrokerEpoch {
        BrokerEpoch(self.broker_epoch.load(Ordering::Acquire))
    }

    /// Calls `f` with the rules of a topic whose min.insync.replicas is given.
    pub(super) fn with_rules<T>(&self, min_insync_replicas: usize, f: impl FnOnce(Rules<'_>) -> T) -> T {
        let eligible = |broker| self.metadata.image().is_alive(broker);
        f(Rules { lag_max_ms: self.lag_max_ms, min_insync_replicas, eligible: &eligible })
    }
}
