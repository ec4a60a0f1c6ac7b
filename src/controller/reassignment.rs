//! Moving partitions to other brokers (KIP-455). The topic's node is written first and last, so that the next controller
//! can go on from what it reads there.

use std::collections::BTreeSet;

use tracing::{error, info, warn};

use crate::controller::batch::Batch;
use crate::controller::context::{Replica, ReplicaAssignment, ReplicaState, join};
use crate::controller::effect::Answer;
use crate::controller::election::Strategy;
use crate::controller::event::{CallId, Event};
use crate::controller::io::Fail;
use crate::controller::machine::Controller;
use crate::controller::store::{StateWrite, exists, set};
use crate::error::ErrorCode;
use crate::ids::{BrokerId, TopicName, TopicPartition, ZkVersion};
use crate::wire::messages::alter_partition_reassignments::{
    self, ReassignablePartitionResponse, ReassignableTopicResponse,
};
use crate::wire::messages::list_partition_reassignments::{
    self, OngoingPartitionReassignment, OngoingTopicReassignment,
};
use crate::zk::data::{Data, Reassignment, ReassignmentEntry};
use crate::zk::path;

/// Why a reassignment is refused: the code and a text for people.
type Refusal = (ErrorCode, Option<String>);

impl Controller {
    /// `/admin/reassign_partitions` appeared, or may have.
    pub async fn zk_reassignment(&mut self) -> Result<BTreeSet<TopicPartition>, Fail> {
        let mut resumed = BTreeSet::new();
        if self.io.zk(exists(path::REASSIGN_PARTITIONS, true)).await?.is_err() {
            return Ok(resumed);
        }
        let mut failed = BTreeSet::new();
        for ReassignmentEntry { topic, partition, replicas } in self.read_reassignment().await?.0 {
            let partition = TopicPartition::new(topic, partition);
            match self.reassign(&partition, Some(replicas)).await? {
                Ok(()) => resumed.insert(partition),
                Err((error, _)) => {
                    warn!(target: "kafka.controller", "Failed reassignment of {partition} through zk: {}", error.name());
                    failed.insert(partition)
                }
            };
        }
        if !failed.is_empty() {
            self.drop_from_zk(|partition, _| failed.contains(partition)).await?;
        }
        Ok(resumed)
    }

    /// What `/admin/reassign_partitions` asks for; nothing if it is not there or does not read.
    async fn read_reassignment(&self) -> Result<Reassignment, Fail> {
        let read = self.read(path::REASSIGN_PARTITIONS, true).await?;
        let data = read.and_then(|(data, _)| data).unwrap_or_default();
        Ok(Reassignment::decode(&data).unwrap_or_default())
    }

    /// AlterPartitionReassignments: a list of replicas moves the partition, none cancels its move.
    pub async fn alter_reassignments(
        &mut self,
        call: CallId,
        request: alter_partition_reassignments::Request,
    ) -> Result<(), Fail> {
        let mut response = alter_partition_reassignments::Response::default();
        let outcome = self.try_alter_reassignments(request, &mut response).await;
        if outcome.is_err() {
            response.error_code = ErrorCode::UnknownServerError.code();
        }
        self.answer(call, Answer::AlterPartitionReassignments(response));
        outcome
    }

    async fn try_alter_reassignments(
        &mut self,
        request: alter_partition_reassignments::Request,
        response: &mut alter_partition_reassignments::Response,
    ) -> Result<(), Fail> {
        let mut wanted = Vec::new();
        for topic in &request.topics {
            for partition in &topic.partitions {
                let target = partition.replicas.as_ref().map(|ids| ids.iter().map(|id| BrokerId(*id)).collect());
                let name = TopicPartition::new(&*topic.name, partition.partition_index);
                let refused = self.refuse_replicas(&name, target.as_deref());
                wanted.push((name, target, refused));
            }
        }
        // What was asked for last counts, whatever way it came.
        let accepted: BTreeSet<_> =
            wanted.iter().filter(|(.., refused)| refused.is_none()).map(|(partition, ..)| partition.clone()).collect();
        self.drop_from_zk(|partition, _| accepted.contains(partition)).await?;
        let mut wanted = wanted.into_iter();
        for topic in &request.topics {
            let mut partitions = Vec::new();
            for (partition, target, refused) in wanted.by_ref().take(topic.partitions.len()) {
                let refused = match refused {
                    None => self.reassign(&partition, target).await?.err(),
                    refused => refused,
                };
                let (error, error_message) = refused.unwrap_or((ErrorCode::None, None));
                partitions.push(ReassignablePartitionResponse {
                    partition_index: partition.partition,
                    error_code: error.code(),
                    error_message: error_message.map(Into::into),
                });
            }
            response.responses.push(ReassignableTopicResponse { name: topic.name.clone(), partitions });
        }
        Ok(())
    }

    fn refuse_replicas(&self, partition: &TopicPartition, target: Option<&[BrokerId]>) -> Option<Refusal> {
        let current = self.context.partition(partition).map(|known| known.assignment.clone()).unwrap_or_default();
        let Some(target) = target else {
            return (!current.is_being_reassigned()).then_some((ErrorCode::NoReassignmentInProgress, None));
        };
        let invalid = |text: String| Some((ErrorCode::InvalidReplicaAssignment, Some(text)));
        let list = |ids: &[BrokerId]| format!("[{}]", join(ids).replace(',', ", "));
        let distinct: BTreeSet<_> = target.iter().collect();
        if target.is_empty() {
            return invalid("Empty replica list specified in partition reassignment.".into());
        }
        if distinct.len() != target.len() {
            return invalid(format!("Duplicate replica ids in partition reassignment replica list: {}", list(target)));
        }
        if target.iter().any(|id| id.0 < 0) {
            return invalid(format!("Invalid broker id in replica list: {}", list(target)));
        }
        let adding = current.reassign_to(target).adding;
        if adding.iter().any(|id| !self.context.is_live(*id)) {
            let live: Vec<BrokerId> =
                self.context.registered().into_iter().filter(|id| self.context.is_live(*id)).collect();
            return invalid(format!(
                "Replica assignment has brokers that are not alive. Replica list: {}, live broker list: {}",
                list(&adding),
                list(&live)
            ));
        }
        None
    }

    /// Starts, replaces or cancels the reassignment of one partition.
    async fn reassign(
        &mut self,
        partition: &TopicPartition,
        target: Option<Vec<BrokerId>>,
    ) -> Result<Result<(), Refusal>, Fail> {
        let unknown = || Ok(Err((ErrorCode::UnknownTopicOrPartition, Some("The partition does not exist.".into()))));
        if self.context.is_queued_for_deletion(&partition.topic) {
            info!(target: "kafka.controller", "Skipping reassignment of {partition} since the topic is currently being deleted");
            return unknown();
        }
        let Some(known) = self.context.partition(partition) else { return unknown() };
        let current = &known.assignment;
        let target = match target {
            Some(target) => target,
            None if current.is_being_reassigned() => current.origin(),
            None => return Ok(Err((ErrorCode::NoReassignmentInProgress, None))),
        };
        let reassignment = current.reassign_to(&target);
        self.try_advance(partition, reassignment).await
    }

    /// Goes on with one reassignment; its failure is its own, and above all no reason for a new controller to give up.
    async fn try_advance(
        &mut self,
        partition: &TopicPartition,
        reassignment: ReplicaAssignment,
    ) -> Result<Result<(), Refusal>, Fail> {
        match self.advance_reassignment(partition, reassignment).await {
            Ok(()) => Ok(Ok(())),
            Err(fail @ (Fail::Zk { .. } | Fail::Other(_))) => {
                error!(target: "kafka.controller", "Error completing reassignment of partition {partition}: {fail}");
                Ok(Err((ErrorCode::UnknownServerError, Some(fail.to_string()))))
            }
            Err(fail) => Err(fail),
        }
    }

    /// ListPartitionReassignments: of the partitions asked for, those that are being reassigned.
    pub fn list_reassignments(
        &self,
        request: list_partition_reassignments::Request,
    ) -> list_partition_reassignments::Response {
        let mut listed: Vec<TopicPartition> = match &request.topics {
            None => self.context.being_reassigned.iter().cloned().collect(),
            Some(topics) => topics
                .iter()
                .flat_map(|topic| topic.partition_indexes.iter().map(|index| TopicPartition::new(&*topic.name, *index)))
                .collect(),
        };
        listed.sort();
        listed.dedup();
        let mut response = list_partition_reassignments::Response::default();
        for partition in listed {
            let Some(known) = self.context.partition(&partition) else { continue };
            let assignment = &known.assignment;
            if !assignment.is_being_reassigned() {
                continue;
            }
            let numbers = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect();
            let ongoing = OngoingPartitionReassignment {
                partition_index: partition.partition,
                replicas: numbers(&assignment.replicas),
                adding_replicas: numbers(&assignment.adding),
                removing_replicas: numbers(&assignment.removing),
            };
            match response.topics.last_mut().filter(|topic| *topic.name == *partition.topic) {
                Some(topic) => topic.partitions.push(ongoing),
                None => response
                    .topics
                    .push(OngoingTopicReassignment { name: (&*partition.topic).into(), partitions: vec![ongoing] }),
            }
        }
        response
    }

    /// Goes on with the reassignments that `wanted` says.
    pub async fn resume_reassignments(
        &mut self,
        wanted: impl Fn(&TopicPartition, &ReplicaAssignment) -> bool,
    ) -> Result<(), Fail> {
        let moving: Vec<TopicPartition> = self.context.being_reassigned.iter().cloned().collect();
        for partition in moving {
            let Some(known) = self.context.partition(&partition) else { continue };
            let assignment = known.assignment.clone();
            if wanted(&partition, &assignment) {
                self.try_advance(&partition, assignment).await?.ok();
            }
        }
        Ok(())
    }

    /// The ISR has changed: perhaps the partition has arrived.
    pub async fn maybe_complete_reassignment(&mut self, partition: &TopicPartition) -> Result<(), Fail> {
        let Some(known) = self.context.partition(partition) else { return Ok(()) };
        let assignment = known.assignment.clone();
        if self.has_arrived(partition, &assignment).await? {
            info!(target: "kafka.controller", "Target replicas {} have all caught up with the leader for reassigning partition {partition}", join(assignment.target()));
            self.advance_reassignment(partition, assignment).await?;
        }
        Ok(())
    }

    async fn has_arrived(&self, partition: &TopicPartition, assignment: &ReplicaAssignment) -> Result<bool, Fail> {
        if !assignment.is_being_reassigned() {
            return Ok(true);
        }
        let read = self.read_states(std::slice::from_ref(partition)).await?.pop();
        let Some(Ok(Some(led))) = read else { return Ok(false) };
        Ok(assignment.target().iter().all(|id| led.state.isr.contains(id)))
    }

    /// onPartitionReassignment; the letters are those of Kafka's comments.
    async fn advance_reassignment(
        &mut self,
        partition: &TopicPartition,
        reassignment: ReplicaAssignment,
    ) -> Result<(), Fail> {
        let topic = BTreeSet::from([partition.topic.clone()]);
        self.mark_ineligible(&topic, "topic reassignment in progress");
        self.record_reassignment(partition, &reassignment).await?;
        if self.context.leadership(partition).is_none() {
            // It was never created, because no replica was alive; perhaps one of the new ones is. Kafka fails here.
            self.elect_online(vec![partition.clone()], Strategy::Offline { unclean: false }).await?;
            if self.context.leadership(partition).is_none() {
                return Ok(());
            }
        }
        if !self.has_arrived(partition, &reassignment).await? {
            // A1: everybody learns the new list and a new leader epoch; the newcomers may choose any directory.
            self.bump_leader_epoch(partition).await?;
            let mut batch = Batch::default();
            batch.add_leader_and_isr(&self.context, &reassignment.origin(), partition, false);
            batch.add_leader_and_isr(&self.context, &reassignment.adding, partition, true);
            self.send(batch);
            // A2
            return self.move_replicas(on(partition, &reassignment.adding), ReplicaState::New).await;
        }
        // B1, B2
        self.move_replicas(on(partition, &reassignment.adding), ReplicaState::Online).await?;
        let done = ReplicaAssignment::of(reassignment.target());
        self.context.set_assignment(partition, done.clone());
        // B3
        self.lead_from_target(partition, &done).await?;
        // B4, B5
        self.drop_replicas(partition, &reassignment.removing).await?;
        // B6
        self.write_assignment(partition, &done).await?;
        // B7
        let target = done.replicas.clone();
        self.drop_from_zk(|other, replicas| other == partition && replicas == target).await?;
        self.context.being_reassigned.remove(partition);
        // B8
        self.send_update_metadata(self.context.registered(), std::slice::from_ref(partition));
        self.resume_deletion_of(&topic).await
    }

    /// U1 to U3: the new assignment in ZooKeeper, in memory, and replicas that only the old one had are gone.
    async fn record_reassignment(
        &mut self,
        partition: &TopicPartition,
        reassignment: &ReplicaAssignment,
    ) -> Result<(), Fail> {
        let current = self.context.partition(partition).map(|known| known.assignment.clone()).unwrap_or_default();
        if current != *reassignment {
            self.write_assignment(partition, reassignment).await?;
            self.context.set_assignment(partition, reassignment.clone());
            let unneeded: Vec<BrokerId> =
                current.replicas.iter().copied().filter(|id| !reassignment.replicas.contains(id)).collect();
            self.drop_replicas(partition, &unneeded).await?;
        }
        self.context.being_reassigned.insert(partition.clone());
        Ok(())
    }

    async fn write_assignment(
        &mut self,
        partition: &TopicPartition,
        assignment: &ReplicaAssignment,
    ) -> Result<(), Fail> {
        let Some(topic) = self.context.topic(&partition.topic) else {
            return Err(Fail::Other(format!("topic {} is gone", partition.topic)));
        };
        let assignments = topic.partitions.iter().map(|(index, known)| (*index, known.assignment.clone()));
        let mut partitions: std::collections::BTreeMap<_, _> = assignments.collect();
        partitions.insert(partition.partition, assignment.clone());
        let write = self.write_topic(&partition.topic, topic.id, &partitions);
        match self.fenced(vec![write]).await?.pop() {
            Some(Err(error)) => Err(Fail::Zk { path: path::topic(&partition.topic), error }),
            _ => {
                info!(target: "kafka.controller", "Successfully updated assignment of partition {partition} to {}", join(&assignment.replicas));
                Ok(())
            }
        }
    }

    /// Raises the leader epoch, so that brokers take the next LeaderAndIsr although leader and ISR are the same.
    async fn bump_leader_epoch(&mut self, partition: &TopicPartition) -> Result<(), Fail> {
        loop {
            let read = self.read_states(std::slice::from_ref(partition)).await?.pop();
            let led = match read {
                Some(Ok(Some(led))) => led,
                Some(Err(error)) => return Err(Fail::Zk { path: path::state(partition), error }),
                _ => return Err(Fail::Other(format!("partition {partition} has no leader and ISR"))),
            };
            if led.controller_epoch > self.context.epoch {
                return Err(Fail::Other(format!("the state of {partition} was written by a newer controller")));
            }
            let next = led.state.next(led.state.leader, led.state.isr.clone());
            match self.write_states(&[(partition.clone(), next)]).await?.pop() {
                Some(StateWrite::Done(state)) => {
                    info!(target: "kafka.controller", "Updated leader epoch for partition {partition} to {}, zkVersion={}", state.leader_epoch, state.partition_epoch);
                    self.context.set_leadership(partition, state, self.context.epoch);
                    return Ok(());
                }
                Some(StateWrite::Failed(error)) => return Err(Fail::Zk { path: path::state(partition), error }),
                Some(StateWrite::BadVersion) | None => {}
            }
        }
    }

    async fn lead_from_target(&mut self, partition: &TopicPartition, done: &ReplicaAssignment) -> Result<(), Fail> {
        let leader = self.context.leadership(partition).map_or(BrokerId::NONE, |led| led.state.leader);
        if done.replicas.contains(&leader) && self.context.is_online(leader, partition) {
            self.bump_leader_epoch(partition).await?;
            let mut batch = Batch::default();
            batch.add_leader_and_isr(&self.context, &done.replicas, partition, false);
            self.send(batch);
            return Ok(());
        }
        info!(target: "kafka.controller", "Leader {leader} for partition {partition} being reassigned is not in the new list of replicas {} or is dead", join(&done.replicas));
        self.elect_online(vec![partition.clone()], Strategy::Reassign).await?;
        Ok(())
    }

    /// The replicas leave the ISR, are stopped and deleted; nobody waits for the answers.
    async fn drop_replicas(&mut self, partition: &TopicPartition, brokers: &[BrokerId]) -> Result<(), Fail> {
        use ReplicaState::{DeletionStarted, DeletionSuccessful, NonExistent, Offline};
        for state in [Offline, DeletionStarted, DeletionSuccessful, NonExistent] {
            self.move_replicas(on(partition, brokers), state).await?;
        }
        Ok(())
    }

    /// Takes the entries for which `done` holds out of `/admin/reassign_partitions`; the last one takes the node along.
    async fn drop_from_zk(&mut self, done: impl Fn(&TopicPartition, &[BrokerId]) -> bool) -> Result<(), Fail> {
        if self.io.zk(exists(path::REASSIGN_PARTITIONS, true)).await?.is_err() {
            return Ok(());
        }
        let Reassignment(all) = self.read_reassignment().await?;
        let before = all.len();
        let is_done = |entry: &ReassignmentEntry| {
            let topic: TopicName = entry.topic.as_str().into();
            done(&TopicPartition::new(topic, entry.partition), &entry.replicas)
        };
        let left: Vec<ReassignmentEntry> = all.into_iter().filter(|entry| !is_done(entry)).collect();
        if left.is_empty() {
            info!(target: "kafka.controller", "No more partitions need to be reassigned. Deleting zk path {}", path::REASSIGN_PARTITIONS);
            self.fenced_delete([path::REASSIGN_PARTITIONS.to_owned()]).await?;
            self.io.enqueue(Event::ZkPartitionReassignment);
        } else if left.len() < before {
            let write = set(path::REASSIGN_PARTITIONS, Reassignment(left).encode(), ZkVersion::NONE);
            if let Some(Err(error)) = self.fenced(vec![write]).await?.pop() {
                return Err(Fail::Zk { path: path::REASSIGN_PARTITIONS.into(), error });
            }
        }
        Ok(())
    }
}

fn on(partition: &TopicPartition, brokers: &[BrokerId]) -> Vec<Replica> {
    brokers.iter().map(|broker| Replica { partition: partition.clone(), broker: *broker }).collect()
}
