//! What a broker shows of itself: gauges that are read when somebody looks, and the timers of the controller.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::Broker;
use crate::controller::driver::Observer;
use crate::controller::event::ControllerState;
use crate::group::machine::State;
use crate::ids::TopicPartition;
use crate::metrics::names::*;
use crate::metrics::{Counter, Metrics, Samples};
use crate::time::Millis;

/// Shows the broker from now on. The metrics do not keep it alive.
pub(super) fn show(broker: &Arc<Broker>) {
    let broker = Arc::downgrade(broker);
    let metrics = broker.upgrade().map(|broker| broker.metrics.clone()).unwrap_or_default();
    metrics.source(move |samples| {
        if let Some(broker) = broker.upgrade() {
            replicas(&broker, samples);
            partitions(&broker, samples);
            logs(&broker, samples);
            controller(&broker, samples);
            groups(&broker, samples);
            samples.add(&KAFKA_SERVER_YAMMER_METRICS_COUNT, &[], samples.len() as f64);
        }
    });
}

fn replicas(broker: &Broker, samples: &mut Samples) {
    let counts = broker.replicas.counts();
    let counters = &broker.replicas.env().counters;
    let fetchers = broker.replicas.fetchers();
    let (sessions, cached) = broker.replicas.sessions.sizes();
    for (metric, value) in [
        (&REPLICA_MANAGER_PARTITION_COUNT, counts.partitions),
        (&REPLICA_MANAGER_LEADER_COUNT, counts.leaders),
        (&REPLICA_MANAGER_OFFLINE_REPLICA_COUNT, counts.offline),
        (&REPLICA_MANAGER_UNDER_REPLICATED_PARTITIONS, counts.under_replicated),
        (&REPLICA_MANAGER_UNDER_MIN_ISR_PARTITION_COUNT, counts.under_min_isr),
        (&REPLICA_MANAGER_AT_MIN_ISR_PARTITION_COUNT, counts.at_min_isr),
        (&REPLICA_MANAGER_REASSIGNING_PARTITIONS, counts.reassigning),
        (&FETCH_SESSION_CACHE_NUM_INCREMENTAL_FETCH_SESSIONS, sessions),
        (&FETCH_SESSION_CACHE_NUM_INCREMENTAL_FETCH_PARTITIONS_CACHED, cached),
    ] {
        samples.add(metric, &[], value as f64);
    }
    for (metric, counter) in [
        (&REPLICA_MANAGER_ISR_EXPANDS_PER_SEC, &counters.isr_expands),
        (&REPLICA_MANAGER_ISR_SHRINKS_PER_SEC, &counters.isr_shrinks),
        (&REPLICA_MANAGER_FAILED_ISR_UPDATES_PER_SEC, &counters.failed_isr_updates),
    ] {
        samples.add(metric, &[], counter.load(Relaxed) as f64);
    }
    for (kind, counter) in
        [("consumer", &counters.consumer_fetch_expires), ("follower", &counters.follower_fetch_expires)]
    {
        samples.add(&DELAYED_FETCH_METRICS_EXPIRES_PER_SEC, &[kind], counter.load(Relaxed) as f64);
    }
    for (kind, waiting) in [("Produce", counts.waiting_produce), ("Fetch", counts.waiting_fetch)] {
        samples.add(&DELAYED_OPERATION_PURGATORY_PURGATORY_SIZE, &[kind], waiting as f64);
    }
    samples.add(&REPLICA_FETCHER_MANAGER_MAX_LAG, &["Replica"], fetchers.max_lag() as f64);
    samples.add(&REPLICA_FETCHER_MANAGER_FAILED_PARTITIONS_COUNT, &["Replica"], fetchers.failed_count() as f64);
}

/// The series of each partition that is led here.
fn partitions(broker: &Broker, samples: &mut Samples) {
    for partition in broker.replicas.partitions() {
        let min_isr = partition.min_insync_replicas();
        let number = partition.tp.partition.to_string();
        let labels = [&*partition.tp.topic, number.as_str()];
        partition.with_state(|state| {
            let leads = state.is_leader();
            let of_leader = |count: usize| if leads { count as f64 } else { 0.0 };
            samples.add(&PARTITION_IN_SYNC_REPLICAS_COUNT, &labels, of_leader(state.isr().members().len()));
            samples.add(&PARTITION_REPLICAS_COUNT, &labels, of_leader(state.assignment().replicas.len()));
            let flags = [
                (&PARTITION_UNDER_REPLICATED, state.is_under_replicated()),
                (&PARTITION_UNDER_MIN_ISR, leads && state.is_under_min_isr(min_isr)),
                (&PARTITION_AT_MIN_ISR, state.is_at_min_isr(min_isr)),
            ];
            for (metric, flag) in flags {
                samples.add(metric, &labels, f64::from(u8::from(flag)));
            }
        });
        let log = partition.log();
        let lag = log.high_watermark().0 - log.last_stable_offset().0;
        samples.add(&PARTITION_LAST_STABLE_OFFSET_LAG, &labels, lag as f64);
    }
}

fn logs(broker: &Broker, samples: &mut Samples) {
    for log in broker.logs.all() {
        let tp = log.topic_partition();
        let number = tp.partition.to_string();
        let (labels, view) = ([&*tp.topic, number.as_str()], log.view());
        samples.add(&LOG_LOG_START_OFFSET, &labels, view.start_offset().0 as f64);
        samples.add(&LOG_LOG_END_OFFSET, &labels, view.end_offset().0 as f64);
        samples.add(&LOG_NUM_LOG_SEGMENTS, &labels, view.segment_count() as f64);
        samples.add(&LOG_SIZE, &labels, view.size() as f64);
    }
    let dirs = broker.logs.dirs();
    for dir in &dirs {
        let offline = f64::from(u8::from(dir.offline));
        samples.add(&LOG_MANAGER_LOG_DIRECTORY_OFFLINE, &[&dir.path.to_string_lossy()], offline);
    }
    let offline = dirs.iter().filter(|dir| dir.offline).count();
    samples.add(&LOG_MANAGER_OFFLINE_LOG_DIRECTORY_COUNT, &[], offline as f64);
}

/// Kafka shows zeros on brokers that are not the controller, so that sums over the cluster are right.
fn controller(broker: &Broker, samples: &mut Samples) {
    let controller = &broker.controller;
    let snapshot = controller.snapshot();
    for (metric, value) in [
        (&KAFKA_CONTROLLER_ACTIVE_CONTROLLER_COUNT, i64::from(snapshot.active)),
        (&KAFKA_CONTROLLER_ACTIVE_BROKER_COUNT, snapshot.active_brokers as i64),
        (&KAFKA_CONTROLLER_GLOBAL_TOPIC_COUNT, snapshot.topics as i64),
        (&KAFKA_CONTROLLER_GLOBAL_PARTITION_COUNT, snapshot.partitions),
        (&KAFKA_CONTROLLER_OFFLINE_PARTITIONS_COUNT, snapshot.offline_partitions),
        (&KAFKA_CONTROLLER_PREFERRED_REPLICA_IMBALANCE_COUNT, snapshot.preferred_replica_imbalance),
        (&KAFKA_CONTROLLER_TOPICS_TO_DELETE_COUNT, snapshot.topics_to_delete as i64),
        (&KAFKA_CONTROLLER_REPLICAS_TO_DELETE_COUNT, snapshot.replicas_to_delete as i64),
        (&KAFKA_CONTROLLER_TOPICS_INELIGIBLE_TO_DELETE_COUNT, snapshot.topics_ineligible_to_delete as i64),
        (&KAFKA_CONTROLLER_REPLICAS_INELIGIBLE_TO_DELETE_COUNT, snapshot.replicas_ineligible_to_delete as i64),
        (&KAFKA_CONTROLLER_CONTROLLER_STATE, i64::from(controller.state())),
        (&KAFKA_CONTROLLER_FENCED_BROKER_COUNT, 0),
        (&KAFKA_CONTROLLER_ZK_MIGRATION_STATE, 0),
        (&CONTROLLER_EVENT_MANAGER_EVENT_QUEUE_SIZE, controller.queue_size() as i64),
        (&CONTROLLER_CHANNEL_MANAGER_TOTAL_QUEUE_SIZE, controller.channel_queue_size() as i64),
        (&METADATA_LOADER_CURRENT_CONTROLLER_ID, controller.active_controller_id().map_or(-1, |id| i64::from(id.0))),
    ] {
        samples.add(metric, &[], value as f64);
    }
}

fn groups(broker: &Broker, samples: &mut Samples) {
    let (_, groups) = broker.groups.list();
    samples.add(&GROUP_METADATA_MANAGER_NUM_GROUPS, &[], groups.len() as f64);
    for (metric, state) in [
        (&GROUP_METADATA_MANAGER_NUM_GROUPS_EMPTY, State::Empty),
        (&GROUP_METADATA_MANAGER_NUM_GROUPS_PREPARING_REBALANCE, State::PreparingRebalance),
        (&GROUP_METADATA_MANAGER_NUM_GROUPS_COMPLETING_REBALANCE, State::CompletingRebalance),
        (&GROUP_METADATA_MANAGER_NUM_GROUPS_STABLE, State::Stable),
        (&GROUP_METADATA_MANAGER_NUM_GROUPS_DEAD, State::Dead),
    ] {
        samples.add(metric, &[], groups.iter().filter(|group| group.2 == state).count() as f64);
    }
}

/// Times the controller's work by kind of event, and counts unclean elections.
pub(super) struct ControllerTimers {
    metrics: Metrics,
    unclean: Counter,
}

impl ControllerTimers {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let unclean = metrics.counter(&CONTROLLER_STATS_UNCLEAN_LEADER_ELECTIONS_PER_SEC, &[]);
        Self { metrics: metrics.clone(), unclean }
    }
}

impl Observer for ControllerTimers {
    fn worked(&self, state: ControllerState, took_ms: Millis) {
        let metric = match state {
            // Kafka counts the death and return of brokers as leader elections.
            ControllerState::BrokerChange => &CONTROLLER_STATS_LEADER_ELECTION_RATE_AND_TIME_MS,
            ControllerState::ControllerChange => &CONTROLLER_STATS_CONTROLLER_CHANGE_RATE_AND_TIME_MS,
            ControllerState::TopicChange => &CONTROLLER_STATS_TOPIC_CHANGE_RATE_AND_TIME_MS,
            ControllerState::TopicDeletion => &CONTROLLER_STATS_TOPIC_DELETION_RATE_AND_TIME_MS,
            ControllerState::AlterPartitionReassignment => &CONTROLLER_STATS_PARTITION_REASSIGNMENT_RATE_AND_TIME_MS,
            ControllerState::AutoLeaderBalance => &CONTROLLER_STATS_AUTO_LEADER_BALANCE_RATE_AND_TIME_MS,
            ControllerState::ManualLeaderBalance => &CONTROLLER_STATS_MANUAL_LEADER_BALANCE_RATE_AND_TIME_MS,
            ControllerState::ControlledShutdown => &CONTROLLER_STATS_CONTROLLED_SHUTDOWN_RATE_AND_TIME_MS,
            ControllerState::IsrChange => &CONTROLLER_STATS_ISR_CHANGE_RATE_AND_TIME_MS,
            ControllerState::LeaderAndIsrResponseReceived => {
                &CONTROLLER_STATS_LEADER_AND_ISR_RESPONSE_RECEIVED_RATE_AND_TIME_MS
            }
            ControllerState::LogDirChange => &CONTROLLER_STATS_LOG_DIR_CHANGE_RATE_AND_TIME_MS,
            ControllerState::ControllerShutdown => &CONTROLLER_STATS_CONTROLLER_SHUTDOWN_RATE_AND_TIME_MS,
            ControllerState::UncleanLeaderElectionEnable => {
                &CONTROLLER_STATS_UNCLEAN_LEADER_ELECTION_ENABLE_RATE_AND_TIME_MS
            }
            ControllerState::TopicUncleanLeaderElectionEnable => {
                &CONTROLLER_STATS_TOPIC_UNCLEAN_LEADER_ELECTION_ENABLE_RATE_AND_TIME_MS
            }
            ControllerState::ListPartitionReassignment => {
                &CONTROLLER_STATS_LIST_PARTITION_REASSIGNMENT_RATE_AND_TIME_MS
            }
            ControllerState::Idle | ControllerState::UpdateMetadataResponseReceived => return,
        };
        self.metrics.histogram(metric, &[]).record(took_ms as f64);
    }

    fn unclean_election(&self, _partition: &TopicPartition) {
        self.unclean.increment();
    }
}
