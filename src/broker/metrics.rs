//! What a broker shows of itself: gauges that are read when somebody looks, and the timers of the controller.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::Broker;
use crate::controller::driver::Observer;
use crate::controller::event::ControllerState;
use crate::group::machine::State;
use crate::ids::TopicPartition;
use crate::log::LoadProgress;
use crate::metrics::names::*;
use crate::metrics::{Counter, Metrics, Samples};
use crate::time::Millis;
use crate::zk::remote::State as SessionState;

/// Where the broker is in its life; the numbers are those of Kafka's `BrokerState`.
#[derive(Clone, Copy)]
pub(super) enum Stage {
    NotRunning = 0,
    Starting = 1,
    /// Logs are loaded, and recovered if need be.
    Recovery = 2,
    Running = 3,
    PendingControlledShutdown = 6,
    ShuttingDown = 7,
}

/// Shows the stage that the broker has come to.
pub(super) fn stage(metrics: &Metrics, stage: Stage) {
    metrics.gauge(&KAFKA_SERVER_BROKER_STATE, &[]).set(stage as i64);
}

/// Shows how far the loading of logs is; the series go when it is done, as Kafka's.
pub(super) fn show_recovery(metrics: &Metrics, progress: &Arc<LoadProgress>) {
    let progress = Arc::downgrade(progress);
    metrics.source(move |samples| {
        for dir in progress.upgrade().map(|progress| progress.dirs()).unwrap_or_default() {
            let path = dir.path.to_string_lossy();
            samples.add(&LOG_MANAGER_REMAINING_LOGS_TO_RECOVER, &[&path], dir.logs_left() as f64);
            for (number, thread) in dir.threads.iter().enumerate() {
                let labels = [&*path, &number.to_string()];
                samples.add(&LOG_MANAGER_REMAINING_SEGMENTS_TO_RECOVER, &labels, thread.segments_left() as f64);
            }
        }
    });
}

/// Shows the broker from now on. The metrics do not keep it alive.
pub(super) fn show(broker: &Arc<Broker>) {
    let broker = Arc::downgrade(broker);
    let metrics = broker.upgrade().map(|broker| broker.metrics.clone()).unwrap_or_default();
    metrics.source(move |samples| {
        if let Some(broker) = broker.upgrade() {
            log_dirs(&broker, samples);
            cleaner(&broker, samples);
            zookeeper(&broker, samples);
            controller(&broker, samples);
            groups(&broker, samples);
            samples.add(&KAFKA_SERVER_YAMMER_METRICS_COUNT, &[], samples.len() as f64);
        }
    });
}

/// Of ZooKeeper's session. It is never read-only, and nobody logs in by SASL.
fn zookeeper(broker: &Broker, samples: &mut Samples) {
    let counts = broker.zk.counts();
    for (metric, count) in [
        (&SESSION_EXPIRE_LISTENER_ZOO_KEEPER_DISCONNECTS_PER_SEC, counts.disconnects.load(Relaxed)),
        (&SESSION_EXPIRE_LISTENER_ZOO_KEEPER_SYNC_CONNECTS_PER_SEC, counts.connects.load(Relaxed)),
        (&SESSION_EXPIRE_LISTENER_ZOO_KEEPER_EXPIRES_PER_SEC, counts.expires.load(Relaxed)),
        (&SESSION_EXPIRE_LISTENER_ZOO_KEEPER_AUTH_FAILURES_PER_SEC, counts.auth_failures.load(Relaxed)),
        (&SESSION_EXPIRE_LISTENER_ZOO_KEEPER_READ_ONLY_CONNECTS_PER_SEC, 0),
        (&SESSION_EXPIRE_LISTENER_ZOO_KEEPER_SASL_AUTHENTICATIONS_PER_SEC, 0),
        (&SESSION_EXPIRE_LISTENER_SESSION_STATE, u64::from(broker.zk.state() == SessionState::Connected)),
    ] {
        samples.add(metric, &[], count as f64);
    }
}

fn log_dirs(broker: &Broker, samples: &mut Samples) {
    let dirs = broker.logs.dir_states();
    for (path, offline) in &dirs {
        let offline = f64::from(u8::from(*offline));
        samples.add(&LOG_MANAGER_LOG_DIRECTORY_OFFLINE, &[&path.to_string_lossy()], offline);
    }
    let offline = dirs.iter().filter(|(_, offline)| *offline).count();
    samples.add(&LOG_MANAGER_OFFLINE_LOG_DIRECTORY_COUNT, &[], offline as f64);
}

/// A cleaner thread that dies takes the process with it, so none is ever dead.
fn cleaner(broker: &Broker, samples: &mut Samples) {
    let figures = broker.cleaner.figures();
    for (metric, value) in [
        (&LOG_CLEANER_DEAD_THREAD_COUNT, 0),
        (&LOG_CLEANER_CLEANER_RECOPY_PERCENT, figures.recopy_percent),
        (&LOG_CLEANER_MAX_BUFFER_UTILIZATION_PERCENT, figures.max_buffer_utilization_percent),
        (&LOG_CLEANER_MAX_CLEAN_TIME_SECS, figures.max_clean_time_secs),
        (&LOG_CLEANER_MAX_COMPACTION_DELAY_SECS, figures.max_compaction_delay_secs),
        (&LOG_CLEANER_MANAGER_MAX_DIRTY_PERCENT, figures.max_dirty_percent),
        (&LOG_CLEANER_MANAGER_TIME_SINCE_LAST_RUN_MS, figures.time_since_last_run_ms),
        (&THROTTLER_CLEANER_IO, figures.io_bytes as i64),
    ] {
        samples.add(metric, &[], value as f64);
    }
    for (dir, logs, bytes) in broker.cleaner.uncleanable() {
        let dir = dir.to_string_lossy();
        samples.add(&LOG_CLEANER_MANAGER_UNCLEANABLE_PARTITIONS_COUNT, &[&dir], logs as f64);
        samples.add(&LOG_CLEANER_MANAGER_UNCLEANABLE_BYTES, &[&dir], bytes as f64);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_is_shown() {
        let metrics = Metrics::default();
        stage(&metrics, Stage::Starting);
        stage(&metrics, Stage::Running);
        let page = metrics.render();
        assert!(page.contains("kafka_server_kafkaserver_brokerstate 3"), "{page}");
    }
}
