//! The metrics of replication, under Kafka's names: listed when the page is asked for, from counts that the hot path keeps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::names::*;
use crate::metrics::{Metrics, Samples};

use super::manager::Manager;

/// Client id of the fetchers' metrics.
const REPLICA: &str = "Replica";
/// Client id of the movers' metrics.
const ALTER_LOG_DIRS: &str = "ReplicaAlterLogDirs";

/// What produce and fetch count, for one partition or for all.
#[derive(Debug, Default)]
pub struct Traffic {
    pub messages_in: AtomicU64,
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
    pub produces: AtomicU64,
    pub fetches: AtomicU64,
}

impl Traffic {
    fn values(&self) -> [u64; 5] {
        [&self.messages_in, &self.bytes_in, &self.bytes_out, &self.produces, &self.fetches]
            .map(|counter| counter.load(Ordering::Relaxed))
    }

    /// A produce request reached the partition and appended so much; nothing if it was refused or a duplicate.
    pub fn produced(&self, messages: u64, bytes: u64) {
        self.produces.fetch_add(1, Ordering::Relaxed);
        self.messages_in.fetch_add(messages, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Consumers' fetches of so many partitions got so much.
    pub fn fetched(&self, partitions: u64, bytes: u64) {
        self.fetches.fetch_add(partitions, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Adds the metrics of this manager to the registry.
pub fn register(metrics: &Metrics, manager: &Arc<Manager>) {
    let manager = Arc::downgrade(manager);
    metrics.source(move |samples| {
        if let Some(manager) = manager.upgrade() {
            counts(&manager, samples);
            fetchers(&manager, samples);
            movers(&manager, samples);
            partitions(&manager, samples);
        }
    });
}

fn counts(manager: &Manager, samples: &mut Samples) {
    let counts = manager.counts();
    let (sessions, session_partitions) = manager.sessions.sizes();
    for (metric, value) in [
        (&REPLICA_MANAGER_LEADER_COUNT, counts.leaders),
        (&REPLICA_MANAGER_PARTITION_COUNT, counts.partitions),
        (&REPLICA_MANAGER_OFFLINE_REPLICA_COUNT, counts.offline),
        (&REPLICA_MANAGER_UNDER_REPLICATED_PARTITIONS, counts.under_replicated),
        (&REPLICA_MANAGER_UNDER_MIN_ISR_PARTITION_COUNT, counts.under_min_isr),
        (&REPLICA_MANAGER_AT_MIN_ISR_PARTITION_COUNT, counts.at_min_isr),
        (&REPLICA_MANAGER_REASSIGNING_PARTITIONS, counts.reassigning),
        (&REPLICA_MANAGER_PARTITIONS_WITH_LATE_TRANSACTIONS_COUNT, counts.late_transactions),
        (&FETCH_SESSION_CACHE_NUM_INCREMENTAL_FETCH_SESSIONS, sessions),
        (&FETCH_SESSION_CACHE_NUM_INCREMENTAL_FETCH_PARTITIONS_CACHED, session_partitions),
    ] {
        samples.add(metric, &[], value as f64);
    }
    let counters = &manager.env().counters;
    for (metric, value) in [
        (&REPLICA_MANAGER_ISR_EXPANDS_PER_SEC, counters.isr_expands.load(Ordering::Relaxed)),
        (&REPLICA_MANAGER_ISR_SHRINKS_PER_SEC, counters.isr_shrinks.load(Ordering::Relaxed)),
        (&REPLICA_MANAGER_FAILED_ISR_UPDATES_PER_SEC, counters.failed_isr_updates.load(Ordering::Relaxed)),
        (&FETCH_SESSION_CACHE_INCREMENTAL_FETCH_SESSION_EVICTIONS_PER_SEC, manager.sessions.evictions()),
    ] {
        samples.add(metric, &[], value as f64);
    }
    for (kind, counter) in
        [("consumer", &counters.consumer_fetch_expires), ("follower", &counters.follower_fetch_expires)]
    {
        let expired = counter.load(Ordering::Relaxed) as f64;
        samples.add(&DELAYED_FETCH_METRICS_EXPIRES_PER_SEC, &[kind], expired);
    }
    for (kind, waiting) in
        [("Produce", counts.waiting_produce), ("Fetch", counts.waiting_fetch), ("DeleteRecords", counts.waiting_delete)]
    {
        samples.add(&DELAYED_OPERATION_PURGATORY_PURGATORY_SIZE, &[kind], waiting as f64);
    }
}

fn fetchers(manager: &Manager, samples: &mut Samples) {
    let fetchers = manager.fetchers();
    samples.add(&REPLICA_FETCHER_MANAGER_MAX_LAG, &[REPLICA], fetchers.max_lag() as f64);
    samples.add(&REPLICA_FETCHER_MANAGER_FAILED_PARTITIONS_COUNT, &[REPLICA], fetchers.failed_count() as f64);
    // A fetcher cannot die: a panic ends the process.
    samples.add(&REPLICA_FETCHER_MANAGER_DEAD_THREAD_COUNT, &[REPLICA], 0.0);
    let bytes_in = manager.env().counters.replication_bytes_in.load(Ordering::Relaxed);
    samples.add(&BROKER_TOPIC_METRICS_REPLICATION_BYTES_IN_PER_SEC, &[], bytes_in as f64);
    let bytes_out = manager.env().counters.replication_bytes_out.load(Ordering::Relaxed);
    samples.add(&BROKER_TOPIC_METRICS_REPLICATION_BYTES_OUT_PER_SEC, &[], bytes_out as f64);
}

/// Of the copies to other log dirs.
fn movers(manager: &Manager, samples: &mut Samples) {
    let Some(mover) = manager.env().logs.mover() else { return };
    samples.add(&REPLICA_ALTER_LOG_DIRS_MANAGER_MAX_LAG, &[ALTER_LOG_DIRS], mover.max_lag() as f64);
    samples.add(
        &REPLICA_ALTER_LOG_DIRS_MANAGER_FAILED_PARTITIONS_COUNT,
        &[ALTER_LOG_DIRS],
        mover.failed_count() as f64,
    );
    // A mover cannot die: a panic ends the process.
    samples.add(&REPLICA_ALTER_LOG_DIRS_MANAGER_DEAD_THREAD_COUNT, &[ALTER_LOG_DIRS], 0.0);
}

fn traffic(samples: &mut Samples, labels: &[&str], values: [u64; 5]) {
    let metrics = [
        &BROKER_TOPIC_METRICS_MESSAGES_IN_PER_SEC,
        &BROKER_TOPIC_METRICS_BYTES_IN_PER_SEC,
        &BROKER_TOPIC_METRICS_BYTES_OUT_PER_SEC,
        &BROKER_TOPIC_METRICS_TOTAL_PRODUCE_REQUESTS_PER_SEC,
        &BROKER_TOPIC_METRICS_TOTAL_FETCH_REQUESTS_PER_SEC,
    ];
    for (metric, value) in metrics.into_iter().zip(values) {
        samples.add(metric, labels, value as f64);
    }
}

fn partitions(manager: &Manager, samples: &mut Samples) {
    traffic(samples, &[], manager.env().traffic.values());
    let failed = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
    let counters = &manager.env().counters;
    samples.add(&BROKER_TOPIC_METRICS_FAILED_PRODUCE_REQUESTS_PER_SEC, &[], failed(&counters.failed_produces));
    samples.add(&BROKER_TOPIC_METRICS_FAILED_FETCH_REQUESTS_PER_SEC, &[], failed(&counters.failed_fetches));
    let mut topics: BTreeMap<Arc<str>, [u64; 5]> = BTreeMap::new();
    for partition in manager.partitions() {
        let index = partition.tp.partition.to_string();
        let labels = [&*partition.tp.topic, index.as_str()];
        let view = partition.view();
        samples.add(&LOG_LOG_START_OFFSET, &labels, view.start_offset().0 as f64);
        samples.add(&LOG_LOG_END_OFFSET, &labels, view.end_offset().0 as f64);
        samples.add(&LOG_NUM_LOG_SEGMENTS, &labels, view.segment_count() as f64);
        samples.add(&LOG_SIZE, &labels, view.size() as f64);
        let min_isr = partition.min_insync_replicas();
        let flag = |set: bool| f64::from(u8::from(set));
        let (high_watermark, states) = partition.with_state(|state| {
            let leads = state.is_leader();
            let count = |n: usize| if leads { n as f64 } else { 0.0 };
            let states = [
                (&PARTITION_UNDER_REPLICATED, flag(state.is_under_replicated())),
                (&PARTITION_UNDER_MIN_ISR, flag(leads && state.is_under_min_isr(min_isr))),
                (&PARTITION_AT_MIN_ISR, flag(state.is_at_min_isr(min_isr))),
                (&PARTITION_IN_SYNC_REPLICAS_COUNT, count(state.isr().members().len())),
                (&PARTITION_REPLICAS_COUNT, count(state.assignment().replicas.len())),
            ];
            (state.high_watermark(), states)
        });
        for (metric, value) in states {
            samples.add(metric, &labels, value);
        }
        let unstable = high_watermark.0 - view.last_stable_offset(high_watermark).0;
        samples.add(&PARTITION_LAST_STABLE_OFFSET_LAG, &labels, unstable as f64);
        let sums = topics.entry(partition.tp.topic.clone()).or_default();
        for (sum, value) in sums.iter_mut().zip(partition.traffic.values()) {
            *sum += value;
        }
    }
    for (topic, sums) in topics {
        traffic(samples, &[&topic], sums);
    }
}
