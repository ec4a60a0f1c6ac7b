//! The transaction coordinator's settings, its connections, and what it does by the clock.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::cluster::metadata::MetadataCache;
use crate::config::{Settings, keys};
use crate::ids::BrokerId;
use crate::net::client::Options as ClientOptions;
use crate::txn::peers::TcpPeers;
use crate::txn::{Coordinator, TxnConfig};

pub(super) fn config(settings: &Settings) -> TxnConfig {
    TxnConfig {
        max_timeout_ms: settings.get(keys::TRANSACTION_MAX_TIMEOUT_MS),
        id_expiration_ms: i64::from(settings.get(keys::TRANSACTIONAL_ID_EXPIRATION_MS)),
        load_buffer_bytes: settings.get(keys::TRANSACTION_STATE_LOG_LOAD_BUFFER_SIZE).max(1) as usize,
        request_timeout_ms: settings.get(keys::REQUEST_TIMEOUT_MS),
    }
}

/// Connections for the requests of transactions.
pub(super) fn peers(settings: &Settings, id: BrokerId, metadata: &Arc<MetadataCache>) -> TcpPeers {
    let listener = settings.inter_broker_listener().name.as_str().into();
    let options = ClientOptions::from_settings(settings, keys::REQUEST_TIMEOUT_MS, -1);
    TcpPeers::new(metadata.clone(), listener, format!("broker-{id}-txn"), options)
}

/// Aborts transactions that take too long, and forgets transactional ids, at intervals.
pub(super) async fn tend(settings: Arc<Settings>, transactions: Arc<Coordinator>) {
    let mut late = every(settings.get(keys::TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS));
    let mut unused = every(settings.get(keys::TRANSACTION_REMOVE_EXPIRED_TRANSACTION_CLEANUP_INTERVAL_MS));
    loop {
        tokio::select! {
            _ = late.tick() => transactions.abort_timed_out(),
            _ = unused.tick() => transactions.expire_ids(),
        }
    }
}

fn every(ms: i32) -> Interval {
    let period = Duration::from_millis(ms.max(1) as u64);
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
