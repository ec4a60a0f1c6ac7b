//! What replication reads of the broker's settings.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::metadata::MetadataCache;
use crate::config::{Release, Settings, keys};

use super::env::Versions;
use super::fetcher::FetchOptions;
use super::links::BrokerLinks;
use super::manager::Options;

impl Versions {
    /// The versions that an inter-broker protocol speaks. Source: `MetadataVersion`.
    pub fn of(release: Release) -> Self {
        let at_least = |name: &str| release >= name.parse().expect("a release of the table");
        let first = |table: &[(&str, i16)], oldest| {
            table.iter().find(|(name, _)| at_least(name)).map_or(oldest, |(_, version)| *version)
        };
        Self {
            fetch: first(
                &[("3.9-IV0", 17), ("3.7-IV4", 16), ("3.5-IV1", 15), ("3.5-IV0", 14), ("3.1-IV0", 13), ("2.7-IV1", 12)],
                11,
            ),
            list_offsets: first(&[("3.9-IV0", 9), ("3.5-IV0", 8), ("3.0-IV1", 7), ("2.8-IV0", 6)], 5),
            offset_for_leader_epoch: first(&[("2.8-IV0", 4)], 3),
            truncates_on_fetch: at_least("2.7-IV1"),
        }
    }
}

impl Options {
    /// The options that the settings ask for.
    pub fn from_settings(settings: &Settings) -> Self {
        Self {
            lag_max_ms: settings.get(keys::REPLICA_LAG_TIME_MAX_MS),
            verify_txns: settings.get(keys::TRANSACTION_PARTITION_VERIFICATION_ENABLE),
            txn_max_timeout_ms: settings.get(keys::TRANSACTION_MAX_TIMEOUT_MS).into(),
            checkpoint_interval_ms: settings.get(keys::REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS),
            fetchers_per_leader: settings.get(keys::NUM_REPLICA_FETCHERS).max(1) as u32,
            fetch_session_slots: settings.get(keys::MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS).max(0) as usize,
            fetch_max_bytes: settings.get(keys::FETCH_MAX_BYTES),
            fetch: FetchOptions {
                wait_max_ms: settings.get(keys::REPLICA_FETCH_WAIT_MAX_MS),
                min_bytes: settings.get(keys::REPLICA_FETCH_MIN_BYTES),
                response_max_bytes: settings.get(keys::REPLICA_FETCH_RESPONSE_MAX_BYTES),
                partition_max_bytes: settings.get(keys::REPLICA_FETCH_MAX_BYTES),
                backoff_ms: settings.get(keys::REPLICA_FETCH_BACKOFF_MS).into(),
                versions: Versions::of(settings.inter_broker_protocol()),
            },
        }
    }
}

impl BrokerLinks {
    /// Connections over the inter-broker listener, with the time-outs of fetchers.
    pub fn from_settings(settings: &Settings, metadata: Arc<MetadataCache>) -> Self {
        let millis = |ms: i64| Duration::from_millis(ms.max(0) as u64);
        Self {
            metadata,
            listener: settings.inter_broker_listener().name.as_str().into(),
            request_timeout: millis(settings.get(keys::REPLICA_SOCKET_TIMEOUT_MS).into()),
            connect_timeout: millis(settings.get(keys::SOCKET_CONNECTION_SETUP_TIMEOUT_MS)),
            receive_buffer_bytes: u32::try_from(settings.get(keys::REPLICA_SOCKET_RECEIVE_BUFFER_BYTES)).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_follow_the_protocol() {
        let of = |name: &str| Versions::of(name.parse().unwrap());
        assert_eq!(of("3.9"), Versions::LATEST);
        assert_eq!((of("3.0").fetch, of("3.0").list_offsets), (12, 7));
        assert!(!of("2.6").truncates_on_fetch);
        assert_eq!((of("2.4").fetch, of("2.4").offset_for_leader_epoch), (11, 3));
    }
}
