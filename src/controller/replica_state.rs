//! The life of replicas: New, Online, Offline, and the steps of a deletion (ReplicaStateMachine).

use std::collections::{BTreeMap, BTreeSet};

use tracing::{error, info, trace};

use crate::controller::batch::Batch;
use crate::controller::context::{LeaderAndIsr, Replica, ReplicaState};
use crate::controller::io::Fail;
use crate::controller::machine::Controller;
use crate::controller::store::StateWrite;
use crate::ids::{BrokerId, TopicPartition};

impl Controller {
    /// At failover: takes the states from what is alive, tells the live replicas, takes the dead out of the ISRs.
    pub async fn start_replicas(&mut self) -> Result<(), Fail> {
        info!(target: "kafka.controller", "Initializing replica state");
        let partitions: Vec<TopicPartition> = self.context.partitions().map(|(partition, _)| partition).collect();
        let (online, offline): (Vec<Replica>, Vec<Replica>) = self
            .context
            .replicas_of_partitions(&partitions)
            .into_iter()
            .partition(|replica| self.context.is_online(replica.broker, &replica.partition));
        for replica in &online {
            self.context.set_replica_state(replica, ReplicaState::Online);
        }
        for replica in &offline {
            // Whatever dead replicas did before, a deletion of them has to start again.
            self.context.set_replica_state(replica, ReplicaState::DeletionIneligible);
        }
        info!(target: "kafka.controller", "Triggering online replica state changes");
        self.move_replicas(online, ReplicaState::Online).await?;
        info!(target: "kafka.controller", "Triggering offline replica state changes");
        self.move_replicas(offline, ReplicaState::Offline).await
    }

    /// Moves replicas to a state, broker by broker, and sends what follows from it as one batch. Replicas that may not
    /// move there are logged and left.
    pub async fn move_replicas(&mut self, replicas: Vec<Replica>, target: ReplicaState) -> Result<(), Fail> {
        let mut by_broker: BTreeMap<BrokerId, Vec<Replica>> = BTreeMap::new();
        for replica in replicas {
            by_broker.entry(replica.broker).or_default().push(replica);
        }
        let mut batch = Batch::default();
        for (broker, replicas) in by_broker {
            let valid = replicas.into_iter().filter(|replica| self.check_replica(replica, target)).collect();
            self.move_replicas_of(&mut batch, broker, valid, target).await?;
        }
        self.send(batch);
        Ok(())
    }

    async fn move_replicas_of(
        &mut self,
        batch: &mut Batch,
        broker: BrokerId,
        replicas: Vec<Replica>,
        target: ReplicaState,
    ) -> Result<(), Fail> {
        match target {
            ReplicaState::New => {
                for replica in replicas {
                    match self.context.leadership(&replica.partition) {
                        Some(led) if led.state.leader == broker => {
                            error!(target: "state.change.logger", "Replica {broker} for partition {} cannot be moved to NewReplica state as it is being requested to become leader", replica.partition);
                            continue;
                        }
                        Some(_) => batch.add_leader_and_isr(&self.context, &[broker], &replica.partition, true),
                        None => {}
                    }
                    self.set_replica(&replica, target);
                }
            }
            ReplicaState::Online => {
                for replica in replicas {
                    if self.context.replica_state(&replica) == ReplicaState::New {
                        self.add_to_assignment(&replica);
                    } else if self.context.leadership(&replica.partition).is_some() {
                        batch.add_leader_and_isr(&self.context, &[broker], &replica.partition, false);
                    }
                    self.set_replica(&replica, target);
                }
            }
            ReplicaState::Offline => self.take_offline(batch, broker, replicas).await?,
            ReplicaState::DeletionStarted => {
                for replica in replicas {
                    self.set_replica(&replica, target);
                    batch.add_stop_replica(&self.context, &[broker], &replica.partition, true);
                }
            }
            ReplicaState::DeletionSuccessful | ReplicaState::DeletionIneligible => {
                for replica in replicas {
                    self.set_replica(&replica, target);
                }
            }
            ReplicaState::NonExistent => {
                for replica in replicas {
                    self.context.change(&replica.partition, |known| {
                        known.assignment = known.assignment.without(broker);
                        known.replicas.remove(&broker);
                    });
                }
            }
        }
        Ok(())
    }

    fn add_to_assignment(&mut self, replica: &Replica) {
        self.context.change(&replica.partition, |known| {
            if !known.assignment.replicas.contains(&replica.broker) {
                error!(target: "kafka.controller", "Adding replica ({}) that is not part of the assignment", replica.broker);
                known.assignment.replicas.push(replica.broker);
            }
        });
    }

    /// The replicas of a broker go offline: it is told to stop them, they leave the ISRs, the others are told.
    async fn take_offline(&mut self, batch: &mut Batch, broker: BrokerId, replicas: Vec<Replica>) -> Result<(), Fail> {
        for replica in &replicas {
            batch.add_stop_replica(&self.context, &[broker], &replica.partition, false);
        }
        let (led, leaderless): (Vec<Replica>, Vec<Replica>) =
            replicas.into_iter().partition(|replica| self.context.leadership(&replica.partition).is_some());
        let partitions = led.into_iter().map(|replica| replica.partition).collect();
        for partition in self.remove_from_isr(broker, partitions).await? {
            if !self.context.is_queued_for_deletion(&partition.topic) {
                let mut others = self.context.replicas(&partition).to_vec();
                others.retain(|id| *id != broker);
                batch.add_leader_and_isr(&self.context, &others, &partition, false);
            }
            self.set_replica(&Replica { partition, broker }, ReplicaState::Offline);
        }
        for replica in leaderless {
            batch.add_update_metadata(
                &self.context,
                self.context.registered(),
                std::slice::from_ref(&replica.partition),
            );
            self.set_replica(&replica, ReplicaState::Offline);
        }
        Ok(())
    }

    /// Takes the broker out of the ISR of these partitions, where it is in it: the leader epoch grows, the leader
    /// becomes -1 if it was this broker, the last member stays. Returns the partitions whose state is now known to be
    /// right, written or not.
    async fn remove_from_isr(
        &mut self,
        broker: BrokerId,
        partitions: Vec<TopicPartition>,
    ) -> Result<Vec<TopicPartition>, Fail> {
        let mut done = Vec::new();
        let mut remaining = partitions;
        while !remaining.is_empty() {
            let mut states = Vec::new();
            for (partition, read) in remaining.iter().zip(self.read_states(&remaining).await?) {
                match read {
                    Ok(Some(led)) if led.controller_epoch > self.context.epoch => {
                        self.log_isr_failure(broker, partition, &"the state was written by a newer controller");
                    }
                    Ok(Some(led)) if led.state.isr.contains(&broker) => {
                        states.push((partition.clone(), without_replica(&led.state, broker)));
                    }
                    Ok(Some(led)) => {
                        self.context.set_leadership(partition, led.state, self.context.epoch);
                        done.push(partition.clone());
                    }
                    Ok(None) if self.context.is_queued_for_deletion(&partition.topic) => {}
                    Ok(None) => self.log_isr_failure(broker, partition, &"leader and ISR do not exist"),
                    Err(error) => self.log_isr_failure(broker, partition, &error),
                }
            }
            remaining.clear();
            let results = self.write_states(&states).await?;
            for ((partition, _), result) in states.into_iter().zip(results) {
                match result {
                    StateWrite::Done(state) => {
                        self.context.set_leadership(&partition, state, self.context.epoch);
                        if let Some(led) = self.context.leadership(&partition) {
                            info!(target: "state.change.logger", epoch = self.context.epoch.0, "Partition {partition} state changed to {led} after removing replica {broker} from the ISR as part of transition to OfflineReplica");
                        }
                        done.push(partition);
                    }
                    StateWrite::BadVersion => remaining.push(partition),
                    StateWrite::Failed(error) => self.log_isr_failure(broker, &partition, &error),
                }
            }
        }
        done.sort();
        Ok(done)
    }

    fn set_replica(&mut self, replica: &Replica, state: ReplicaState) {
        let current = self.context.replica_state(replica);
        trace!(target: "state.change.logger", "Changed state of replica {} for partition {} from {current:?}Replica to {state:?}Replica", replica.broker, replica.partition);
        self.context.set_replica_state(replica, state);
    }

    fn check_replica(&self, replica: &Replica, target: ReplicaState) -> bool {
        use ReplicaState as State;
        let current = self.context.replica_state(replica);
        let valid: &[State] = match target {
            State::New => &[State::NonExistent],
            State::Online | State::Offline => &[State::New, State::Online, State::Offline, State::DeletionIneligible],
            State::DeletionStarted => &[State::Offline],
            State::DeletionSuccessful => &[State::DeletionStarted],
            State::DeletionIneligible => &[State::Offline, State::DeletionStarted],
            State::NonExistent => &[State::DeletionSuccessful],
        };
        if !valid.contains(&current) {
            error!(target: "state.change.logger", "Replica {} for partition {} should be in one of {valid:?} states before moving to {target:?}Replica state. Instead it is in {current:?}Replica state", replica.broker, replica.partition);
        }
        valid.contains(&current)
    }

    fn log_isr_failure(&self, broker: BrokerId, partition: &TopicPartition, why: &dyn std::fmt::Display) {
        error!(target: "state.change.logger", epoch = self.context.epoch.0, "Controller failed to change state of replica {broker} for partition {partition} to OfflineReplica: {why}");
    }

    /// Numbers of replicas of topics queued for deletion: those that still exist, those that have to wait.
    pub fn replicas_to_delete(&self) -> (usize, usize) {
        let queued: BTreeSet<_> = self.context.queued_for_deletion().iter().cloned().collect();
        let (mut to_delete, mut ineligible) = (0, 0);
        for replica in queued.iter().flat_map(|topic| self.context.replicas_of(topic)) {
            match self.context.replica_state(&replica) {
                ReplicaState::DeletionSuccessful => {}
                ReplicaState::DeletionIneligible => {
                    to_delete += 1;
                    ineligible += 1;
                }
                _ => to_delete += 1,
            }
        }
        (to_delete, ineligible)
    }
}

/// The state after a replica went offline.
fn without_replica(state: &LeaderAndIsr, broker: BrokerId) -> LeaderAndIsr {
    let leader = if state.leader == broker { BrokerId::NONE } else { state.leader };
    let mut isr = state.isr.clone();
    if isr.len() > 1 {
        isr.retain(|id| *id != broker);
    }
    state.next(leader, isr)
}
