//! LeaderAndIsr, StopReplica and UpdateMetadata: what the controller may change, and what it is told.
//!
//! Each has the same fences: the epoch of this broker's registration (by the handler), then the controller's epoch.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::ErrorCode;
use crate::ids::{
    BrokerEpoch, BrokerId, ControllerEpoch, LeaderEpoch, PartitionEpoch, TopicId, TopicName, TopicPartition,
};
use crate::wire::messages::{leader_and_isr, stop_replica, update_metadata};

use super::fetch_states::Start;
use super::hosted::Partition;
use super::hosted_map::Hosted;
use super::manager::{Changes, Manager};
use super::partition::{Assignment, NewState, Verdict};

/// Leader epoch in StopReplica while the topic is deleted.
const EPOCH_DURING_DELETE: LeaderEpoch = LeaderEpoch(-2);

/// One partition of a LeaderAndIsr request.
struct Item {
    tp: TopicPartition,
    topic_id: TopicId,
    is_new: bool,
    new: NewState,
}

/// One partition of a StopReplica request.
struct Stop {
    tp: TopicPartition,
    leader_epoch: LeaderEpoch,
    delete: bool,
}

impl Changes {
    /// Takes over the epoch of the controller that sent a request, unless a newer one is known.
    fn accept(&mut self, epoch: ControllerEpoch) -> Result<(), ErrorCode> {
        if epoch < self.controller_epoch.unwrap_or(ControllerEpoch(0)) {
            return Err(ErrorCode::StaleControllerEpoch);
        }
        self.controller_epoch = Some(epoch);
        Ok(())
    }
}

impl Manager {
    /// Was the request meant for an earlier life of this broker? -1 asks for no check; a larger epoch is of a
    /// registration that we do not know of yet.
    pub fn is_stale_broker_epoch(&self, asked: BrokerEpoch) -> bool {
        !asked.is_none() && asked < self.env.broker_epoch()
    }

    /// Applies a LeaderAndIsr request.
    pub fn become_leader_or_follower(
        self: &Arc<Self>,
        request: &leader_and_isr::Request,
        version: i16,
    ) -> leader_and_isr::Response {
        let items = items(request);
        let order: Vec<(TopicPartition, TopicId)> = items.iter().map(|item| (item.tp.clone(), item.topic_id)).collect();
        if self.is_stale_broker_epoch(BrokerEpoch(request.broker_epoch)) {
            return refused(order, ErrorCode::StaleBrokerEpoch, version);
        }
        let mut changes = self.changes.lock();
        if let Err(error) = changes.accept(ControllerEpoch(request.controller_epoch)) {
            tracing::warn!(controller = request.controller_id, epoch = request.controller_epoch,
                known = ?changes.controller_epoch, "Ignoring LeaderAndIsr request of an old controller");
            return refused(order, error, version);
        }
        let mut outcomes: HashMap<TopicPartition, ErrorCode> = HashMap::with_capacity(items.len());
        let (mut leaders, mut followers) = (Vec::new(), Vec::new());
        for item in items {
            match self.admit(&item) {
                Ok(Some(partition)) if item.new.leader == self.env.me => leaders.push((item, partition)),
                Ok(Some(partition)) => followers.push((item, partition)),
                Ok(None) => drop(outcomes.insert(item.tp, ErrorCode::None)),
                Err(error) => drop(outcomes.insert(item.tp, error)),
            }
        }
        for (item, partition) in leaders {
            let outcome = self.make_leader(&item, &partition);
            outcomes.insert(item.tp, outcome);
        }
        for (item, partition) in followers {
            let outcome = self.make_follower(&item, &partition);
            outcomes.insert(item.tp, outcome);
        }
        self.fetchers.stop_idle();
        if !changes.checkpoints_started {
            changes.checkpoints_started = true;
            self.start_checkpoints();
        }
        let result = |(tp, id): (TopicPartition, TopicId)| {
            let outcome = outcomes.get(&tp).copied().unwrap_or(ErrorCode::UnknownServerError);
            (tp, id, outcome)
        };
        response(ErrorCode::None, order.into_iter().map(result), version)
    }

    /// Decides on one partition; returns it if its role is to change, created if need be. `None`: nothing to do.
    fn admit(&self, item: &Item) -> Result<Option<Arc<Partition>>, ErrorCode> {
        let Item { tp, topic_id, new, .. } = item;
        let known = match self.hosted.get(&tp.topic, tp.partition) {
            Some(Hosted::Offline) => return Err(ErrorCode::KafkaStorageError),
            Some(Hosted::Online(partition)) if partition.is_offline() => return Err(self.went_offline(&partition)),
            Some(Hosted::Online(partition)) => Some(partition),
            None => None,
        };
        if let Some(partition) = known {
            let log_id = partition.topic_id();
            if !topic_id.is_zero() && !log_id.is_zero() && *topic_id != log_id {
                tracing::error!(partition = %tp, log = %log_id, request = %topic_id, "Topic id differs from the log's");
                return Err(ErrorCode::InconsistentTopicId);
            }
            return match partition.judge(new.leader_epoch, &new.assignment.replicas) {
                Verdict::Refuse(error) => Err(error),
                Verdict::Apply => {
                    self.note_topic_id(&partition, *topic_id)?;
                    Ok(Some(partition))
                }
                Verdict::SameEpoch if log_id.is_zero() && !topic_id.is_zero() => {
                    self.note_topic_id(&partition, *topic_id)?;
                    Ok(None)
                }
                Verdict::SameEpoch => Err(ErrorCode::StaleControllerEpoch),
            };
        }
        if !new.assignment.replicas.contains(&self.env.me) {
            return Err(ErrorCode::UnknownTopicOrPartition);
        }
        let log = match self.env.logs.get_or_create(tp, *topic_id, item.is_new) {
            Ok(log) => log,
            Err(error) => {
                tracing::error!(partition = %tp, %error, "Cannot have the log of the partition");
                let code = ErrorCode::from(&error);
                if code == ErrorCode::KafkaStorageError {
                    self.hosted.insert(tp, Hosted::Offline);
                }
                return Err(code);
            }
        };
        let partition = Arc::new(Partition::new(self.env.me, tp.clone(), log));
        self.hosted.insert(tp, Hosted::Online(partition.clone()));
        // A copy that was in progress when the broker stopped.
        self.env.logs.go_on_moving(tp);
        Ok(Some(partition))
    }

    fn note_topic_id(&self, partition: &Partition, id: TopicId) -> Result<(), ErrorCode> {
        if !id.is_zero() && partition.topic_id().is_zero() {
            partition.assign_topic_id(id).map_err(|error| ErrorCode::from(&error))?;
            self.fetchers.set_topic_id(&partition.tp, id);
        }
        Ok(())
    }

    fn make_leader(&self, item: &Item, partition: &Arc<Partition>) -> ErrorCode {
        let Item { tp, new, .. } = item;
        self.fetchers.remove(tp);
        match partition.become_leader(&self.env, new) {
            Ok(Some(became)) => {
                tracing::info!(partition = %tp, leader_epoch = %new.leader_epoch, partition_epoch = %new.partition_epoch,
                    log_end = %partition.log_end(), high_watermark = %partition.high_watermark(), isr = ?new.isr,
                    new_epoch = became.new_epoch, "Leader of the partition");
                if became.newly_leader
                    && let Some(listener) = self.listener.get()
                {
                    listener.elected(tp, new.leader_epoch);
                }
                ErrorCode::None
            }
            Ok(None) => {
                tracing::info!(partition = %tp, partition_epoch = %new.partition_epoch, "Skipped the become-leader state change");
                ErrorCode::None
            }
            Err(_) => self.went_offline(partition),
        }
    }

    fn make_follower(&self, item: &Item, partition: &Arc<Partition>) -> ErrorCode {
        let Item { tp, new, .. } = item;
        if !self.env.metadata.image().is_alive(new.leader) {
            // The log is there now, so that its high watermark is kept; a later request will name a live leader.
            tracing::error!(partition = %tp, leader = %new.leader, "Cannot follow a leader that is not alive");
            return ErrorCode::None;
        }
        match partition.become_follower(new) {
            None => {
                tracing::info!(partition = %tp, partition_epoch = %new.partition_epoch,
                    "Skipped the become-follower state change");
                return ErrorCode::None;
            }
            Some(false) => return ErrorCode::None,
            Some(true) => {}
        }
        tracing::info!(partition = %tp, leader = %new.leader, leader_epoch = %new.leader_epoch,
            log_end = %partition.log_end(), high_watermark = %partition.high_watermark(), "Follower of the partition");
        self.fetchers.remove(tp);
        if !self.is_stopped() {
            let view = partition.view();
            let last_fetched_epoch = view.latest_epoch();
            let truncates_on_fetch = self.fetchers.truncates_on_fetch();
            // With epochs known, divergence is found while fetching from the end; else everything uncertain goes first.
            let from_end = truncates_on_fetch && last_fetched_epoch.is_some();
            let fetch_offset = if from_end { view.end_offset() } else { partition.high_watermark() };
            let (topic_id, leader_epoch) = (view.topic_id(), new.leader_epoch);
            let start = Start { topic_id, leader_epoch, fetch_offset, last_fetched_epoch, truncates_on_fetch };
            self.fetchers.add(new.leader, partition.clone(), start);
        }
        if let Some(listener) = self.listener.get() {
            listener.resigned(tp, Some(new.leader_epoch));
        }
        ErrorCode::None
    }

    /// The partition's log dir failed: it is remembered as offline.
    fn went_offline(&self, partition: &Arc<Partition>) -> ErrorCode {
        self.hosted.insert(&partition.tp, Hosted::Offline);
        self.fetchers.remove(&partition.tp);
        partition.went_offline();
        ErrorCode::KafkaStorageError
    }

    /// A log dir failed: its partitions go offline. Called by the log's failure handler.
    pub fn log_dir_failed(&self) {
        let failed = self.hosted.online().into_iter().filter(|partition| partition.is_offline());
        failed.for_each(|partition| _ = self.went_offline(&partition));
    }

    /// Applies a StopReplica request.
    pub fn stop_replicas(&self, request: &stop_replica::Request) -> stop_replica::Response {
        if self.is_stale_broker_epoch(BrokerEpoch(request.broker_epoch)) {
            return stop_replica::Response { error_code: ErrorCode::StaleBrokerEpoch.code(), ..Default::default() };
        }
        let mut changes = self.changes.lock();
        if let Err(error) = changes.accept(ControllerEpoch(request.controller_epoch)) {
            return stop_replica::Response { error_code: error.code(), ..Default::default() };
        }
        let partition_errors = stops(request)
            .into_iter()
            .map(|stop| stop_replica::StopReplicaPartitionError {
                topic_name: (&stop.tp.topic).into(),
                partition_index: stop.tp.partition,
                error_code: self.stop_replica(&stop).code(),
            })
            .collect();
        self.fetchers.stop_idle();
        stop_replica::Response { partition_errors, ..Default::default() }
    }

    fn stop_replica(&self, stop: &Stop) -> ErrorCode {
        let tp = &stop.tp;
        match self.hosted.get(&tp.topic, tp.partition) {
            Some(Hosted::Offline) => return ErrorCode::KafkaStorageError,
            Some(Hosted::Online(partition)) => {
                let known = partition.with_state(|state| state.leader_epoch());
                let asked = stop.leader_epoch;
                if asked != EPOCH_DURING_DELETE && !asked.is_none() && asked < known {
                    return ErrorCode::FencedLeaderEpoch;
                }
                tracing::info!(partition = %tp, delete = stop.delete, leader_epoch = %asked, "Stopping the replica");
                self.fetchers.remove(tp);
                if stop.delete {
                    partition.stop();
                    self.hosted.remove(tp);
                } else {
                    // A leader that stops without deletion keeps its log; who waits looks again.
                    partition.waits.everything_changed();
                }
            }
            None => {}
        }
        if stop.delete {
            if let Err(error) = self.env.logs.delete(std::slice::from_ref(tp)) {
                tracing::error!(partition = %tp, %error, "Cannot delete the log of the partition");
                return ErrorCode::KafkaStorageError;
            }
            if let Some(listener) = self.listener.get() {
                listener.resigned(tp, Some(stop.leader_epoch).filter(|epoch| *epoch >= LeaderEpoch(0)));
            }
        }
        ErrorCode::None
    }

    /// Applies an UpdateMetadata request to the metadata image.
    pub fn update_metadata(&self, request: &update_metadata::Request) -> Result<(), ErrorCode> {
        if self.is_stale_broker_epoch(BrokerEpoch(request.broker_epoch)) {
            return Err(ErrorCode::StaleBrokerEpoch);
        }
        let mut changes = self.changes.lock();
        changes.accept(ControllerEpoch(request.controller_epoch))?;
        let before = self.env.metadata.image();
        let deleted = self.env.metadata.update(request);
        let now = self.env.metadata.image();
        if before.brokers.keys().any(|broker| !now.is_alive(*broker)) {
            // The dead hold no high watermark back any more.
            for partition in self.hosted.online() {
                partition.recheck_high_watermark(&self.env);
            }
        }
        if let Some(listener) = self.listener.get().filter(|_| !deleted.is_empty()) {
            listener.deleted(&deleted);
        }
        Ok(())
    }
}

fn items(request: &leader_and_isr::Request) -> Vec<Item> {
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
    let item = |topic: TopicName, topic_id, state: &leader_and_isr::LeaderAndIsrPartitionState| Item {
        tp: TopicPartition { topic, partition: state.partition_index },
        topic_id,
        is_new: state.is_new,
        new: NewState {
            leader: BrokerId(state.leader),
            leader_epoch: LeaderEpoch(state.leader_epoch),
            partition_epoch: PartitionEpoch(state.partition_epoch),
            controller_epoch: ControllerEpoch(state.controller_epoch),
            isr: ids(&state.isr),
            assignment: Assignment {
                replicas: ids(&state.replicas),
                adding: ids(&state.adding_replicas),
                removing: ids(&state.removing_replicas),
            },
        },
    };
    let ungrouped = request
        .ungrouped_partition_states
        .iter()
        .map(|state| item(TopicName::from(state.topic_name.as_str()), TopicId::ZERO, state));
    let grouped = request.topic_states.iter().flat_map(|topic| {
        let name = TopicName::from(topic.topic_name.as_str());
        topic.partition_states.iter().map(move |state| item(name.clone(), topic.topic_id, state))
    });
    ungrouped.chain(grouped).collect()
}

fn stops(request: &stop_replica::Request) -> Vec<Stop> {
    let none = LeaderEpoch::NONE;
    let stop = |topic: &str, partition, leader_epoch, delete| Stop {
        tp: TopicPartition::new(topic, partition),
        leader_epoch,
        delete,
    };
    let delete = request.delete_partitions;
    let v0 = request.ungrouped_partitions.iter().map(|p| stop(&p.topic_name, p.partition_index, none, delete));
    let v1 =
        request.topics.iter().flat_map(|t| t.partition_indexes.iter().map(move |p| stop(&t.name, *p, none, delete)));
    let v3 = request.topic_states.iter().flat_map(|topic| {
        topic.partition_states.iter().map(move |state| {
            let epoch = LeaderEpoch(state.leader_epoch);
            stop(&topic.topic_name, state.partition_index, epoch, state.delete_partition)
        })
    });
    v0.chain(v1).chain(v3).collect()
}

fn refused(order: Vec<(TopicPartition, TopicId)>, error: ErrorCode, version: i16) -> leader_and_isr::Response {
    response(error, order.into_iter().map(|(tp, id)| (tp, id, error)), version)
}

/// The response: by topic id since version 5, by name before.
fn response(
    error: ErrorCode,
    outcomes: impl Iterator<Item = (TopicPartition, TopicId, ErrorCode)>,
    version: i16,
) -> leader_and_isr::Response {
    let mut response = leader_and_isr::Response { error_code: error.code(), ..Default::default() };
    for (tp, topic_id, outcome) in outcomes {
        let mut partition = leader_and_isr::LeaderAndIsrPartitionError {
            partition_index: tp.partition,
            error_code: outcome.code(),
            ..Default::default()
        };
        if version < 5 {
            partition.topic_name = (&tp.topic).into();
            response.partition_errors.push(partition);
        } else {
            match response.topics.last_mut().filter(|topic| topic.topic_id == topic_id) {
                Some(topic) => topic.partition_errors.push(partition),
                None => response
                    .topics
                    .push(leader_and_isr::LeaderAndIsrTopicError { topic_id, partition_errors: vec![partition] }),
            }
        }
    }
    response
}
