//! The life of partitions: NonExistent, New, Online, Offline (PartitionStateMachine).

use std::collections::BTreeMap;

use tracing::{error, info};

use crate::controller::batch::Batch;
use crate::controller::context::{LeaderAndIsr, Leadership, PartitionState, join};
use crate::controller::effect::Effect;
use crate::controller::election::{Elected, Strategy, elect};
use crate::controller::io::Fail;
use crate::controller::machine::Controller;
use crate::controller::store::{StateWrite, get, node};
use crate::ids::{BrokerId, TopicName, TopicPartition};
use crate::zk::data::{Data, EntityConfig};
use crate::zk::op::{CreateMode, ZkError};
use crate::zk::path;

/// Elections by partition: the new state, or why there is none.
pub(super) type Elections = BTreeMap<TopicPartition, Result<LeaderAndIsr, ElectionError>>;

/// Why a partition got no leader.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub(super) enum ElectionError {
    #[error("Failed to elect leader for partition {0} under strategy {strategy}", strategy = .1.name())]
    NoLeader(TopicPartition, Strategy),
    #[error(
        "Aborted leader election for partition {0} since the LeaderAndIsr path was already written by another controller"
    )]
    NewerController(TopicPartition),
    #[error("LeaderAndIsr information doesn't exist for partition {0}")]
    NoState(TopicPartition),
    #[error(transparent)]
    Zk(#[from] ZkError),
}

impl Controller {
    /// At failover: takes the states from what is known and alive, then elects what has no leader.
    pub async fn start_partitions(&mut self) -> Result<(), Fail> {
        info!(target: "kafka.controller", "Initializing partition state");
        let state = |(partition, known): (TopicPartition, &crate::controller::context::Partition)| {
            let state = match &known.leadership {
                Some(led) if self.context.is_online(led.state.leader, &partition) => PartitionState::Online,
                Some(_) => PartitionState::Offline,
                None => PartitionState::New,
            };
            (partition, state)
        };
        let states: Vec<_> = self.context.partitions().map(state).collect();
        for (partition, state) in states {
            self.context.set_partition_state(&partition, state);
        }
        info!(target: "kafka.controller", "Triggering online partition state changes");
        self.elect_leaderless().await?;
        Ok(())
    }

    /// Tries to give a leader to every partition that is new or offline.
    pub async fn elect_leaderless(&mut self) -> Result<Elections, Fail> {
        let partitions = self.context.partitions_in_states(&[PartitionState::Offline, PartitionState::New]);
        self.elect_online(partitions, Strategy::Offline { unclean: false }).await
    }

    /// Moves partitions to a state that needs no work in ZooKeeper.
    pub fn move_partitions(&mut self, partitions: &[TopicPartition], target: PartitionState) {
        for partition in partitions {
            if self.check_partition(partition, target) {
                let replicas = join(self.context.replicas(partition));
                info!(target: "state.change.logger", "Changed partition {partition} state from {:?}Partition to {target:?}Partition with assigned replicas {replicas}", self.context.partition_state(partition));
                self.context.set_partition_state(partition, target);
            }
        }
    }

    /// Moves partitions to Online: creates the state of new ones, elects a leader for the others. The elections are
    /// returned; creations are not.
    pub async fn elect_online(
        &mut self,
        partitions: Vec<TopicPartition>,
        strategy: Strategy,
    ) -> Result<Elections, Fail> {
        let mut batch = Batch::default();
        let (mut new, mut old) = (Vec::new(), Vec::new());
        for partition in partitions {
            if self.check_partition(&partition, PartitionState::Online) {
                let is_new = self.context.partition_state(&partition) == PartitionState::New;
                if is_new { new.push(partition) } else { old.push(partition) }
            }
        }
        if !new.is_empty() {
            self.create_states(&mut batch, new).await?;
        }
        let mut elections = Elections::new();
        let mut remaining = old;
        while !remaining.is_empty() {
            remaining = self.elect_once(&mut batch, remaining, strategy, &mut elections).await?;
            if !remaining.is_empty() {
                info!(target: "kafka.controller", partitions = ?remaining, "Retrying leader election: the states were written by somebody else");
            }
        }
        for (partition, elected) in &elections {
            match elected {
                Ok(state) => {
                    info!(target: "state.change.logger", "Changed partition {partition} from {:?}Partition to OnlinePartition with state {state:?}", self.context.partition_state(partition));
                    self.context.set_partition_state(partition, PartitionState::Online);
                }
                Err(why) => self.log_failed_partition(partition, PartitionState::Online, why),
            }
        }
        self.send(batch);
        Ok(elections)
    }

    /// Creates the nodes of new partitions, with the first live replica as leader and all live ones in the ISR.
    async fn create_states(&mut self, batch: &mut Batch, partitions: Vec<TopicPartition>) -> Result<(), Fail> {
        let mut states = Vec::new();
        for partition in partitions {
            let assigned = self.context.replicas(&partition);
            let live: Vec<BrokerId> =
                assigned.iter().copied().filter(|id| self.context.is_online(*id, &partition)).collect();
            match live.first() {
                Some(leader) => states.push((partition, LeaderAndIsr::initial(*leader, live))),
                None => {
                    error!(target: "state.change.logger", "Partition {partition} cannot move from New to Online: no assigned replica is alive, assigned replicas are [{}]", join(assigned));
                }
            }
        }
        self.create_parents(&states).await?;
        let create = |(partition, state): &(TopicPartition, LeaderAndIsr)| {
            self.create(path::state(partition), Some(self.encode_state(state)), CreateMode::Persistent)
        };
        let outcomes = self.fenced(states.iter().map(create).collect()).await?;
        for ((partition, state), outcome) in states.into_iter().zip(outcomes) {
            let created = match outcome {
                Ok(_) => true,
                // Perhaps the reply to the first try was lost.
                Err(ZkError::NodeExists) => self.is_state_of_mine(&partition, &state).await?,
                Err(_) => false,
            };
            if !created {
                let error = outcome.err().unwrap_or(ZkError::MarshallingError);
                self.log_failed_partition(&partition, PartitionState::Online, &error);
                continue;
            }
            let isr = state.isr.clone();
            info!(target: "state.change.logger", "Changed partition {partition} from NewPartition to OnlinePartition with state {state:?}");
            self.context.set_leadership(&partition, state, self.context.epoch);
            batch.add_leader_and_isr(&self.context, &isr, &partition, true);
            self.context.set_partition_state(&partition, PartitionState::Online);
        }
        Ok(())
    }

    /// `.../partitions` of each topic, then `.../partitions/N` of each partition; they may be there already.
    async fn create_parents(&self, states: &[(TopicPartition, LeaderAndIsr)]) -> Result<(), Fail> {
        let mut topics: Vec<&TopicName> = states.iter().map(|(partition, _)| &partition.topic).collect();
        topics.sort();
        topics.dedup();
        let parent = |path: String| self.create(path, None, CreateMode::Persistent);
        self.fenced(topics.into_iter().map(|topic| parent(path::partitions(topic))).collect()).await?;
        self.fenced(states.iter().map(|(partition, _)| parent(path::partition(partition))).collect()).await?;
        Ok(())
    }

    async fn is_state_of_mine(&self, partition: &TopicPartition, state: &LeaderAndIsr) -> Result<bool, Fail> {
        let read = self.read_states(std::slice::from_ref(partition)).await?.pop();
        let mine = Leadership { state: state.clone(), controller_epoch: self.context.epoch };
        Ok(matches!(read, Some(Ok(Some(read))) if read == mine))
    }

    /// One round: reads the states, elects, writes. Returns the partitions whose state changed in between.
    async fn elect_once(
        &mut self,
        batch: &mut Batch,
        partitions: Vec<TopicPartition>,
        strategy: Strategy,
        elections: &mut Elections,
    ) -> Result<Vec<TopicPartition>, Fail> {
        let mut current = Vec::new();
        for (partition, read) in partitions.iter().zip(self.read_states(&partitions).await?) {
            let error = match read {
                Ok(Some(led)) if led.controller_epoch > self.context.epoch => {
                    ElectionError::NewerController(partition.clone())
                }
                Ok(Some(led)) => {
                    current.push((partition.clone(), led.state));
                    continue;
                }
                Ok(None) => ElectionError::NoState(partition.clone()),
                Err(error) => error.into(),
            };
            elections.insert(partition.clone(), Err(error));
        }
        let unclean = self.unclean_topics(&current, strategy).await?;
        let recovery = self.options.inter_broker_protocol_version.has_leader_recovery();
        let (mut states, mut recipients) = (Vec::new(), Vec::new());
        for (partition, state) in current {
            let Some(known) = self.context.partition(&partition) else { continue };
            let allowed = unclean.get(&partition.topic).copied().unwrap_or(false);
            let Elected { state, recipients: to, unclean } =
                elect(strategy, &self.context, &partition, known, &state, allowed, recovery);
            let Some(state) = state else {
                elections.insert(partition.clone(), Err(ElectionError::NoLeader(partition, strategy)));
                continue;
            };
            if unclean {
                self.io.emit(Effect::UncleanElection(partition.clone()));
            }
            states.push((partition, state));
            recipients.push(to);
        }
        let results = self.write_states(&states).await?;
        let mut again = Vec::new();
        for (((partition, _), to), result) in states.into_iter().zip(recipients).zip(results) {
            match result {
                StateWrite::Done(state) => {
                    self.context.set_leadership(&partition, state.clone(), self.context.epoch);
                    batch.add_leader_and_isr(&self.context, &to, &partition, false);
                    elections.insert(partition, Ok(state));
                }
                StateWrite::BadVersion => again.push(partition),
                StateWrite::Failed(error) => {
                    elections.insert(partition, Err(error.into()));
                }
            }
        }
        Ok(again)
    }

    /// Topics with a partition that has no online ISR member: may a replica outside of the ISR lead?
    async fn unclean_topics(
        &self,
        states: &[(TopicPartition, LeaderAndIsr)],
        strategy: Strategy,
    ) -> Result<BTreeMap<TopicName, bool>, Fail> {
        let Strategy::Offline { unclean } = strategy else { return Ok(BTreeMap::new()) };
        let lost = states
            .iter()
            .filter(|(partition, state)| !state.isr.iter().any(|id| self.context.is_online(*id, partition)));
        let mut topics: Vec<TopicName> = lost.map(|(partition, _)| partition.topic.clone()).collect();
        topics.sort();
        topics.dedup();
        if unclean {
            return Ok(topics.into_iter().map(|topic| (topic, true)).collect());
        }
        let reads = topics.iter().map(|topic| get(path::topic_config(topic), false)).collect();
        let mut allowed = BTreeMap::new();
        for (topic, outcome) in topics.into_iter().zip(self.io.zk_all(reads).await?) {
            let configured = node(&path::topic_config(&topic), outcome)?
                .and_then(|(data, _)| EntityConfig::decode(&data.unwrap_or_default()).ok())
                .and_then(|config| config.0.get("unclean.leader.election.enable").map(|value| value.trim() == "true"));
            allowed.insert(topic, configured.unwrap_or(self.options.unclean_leader_election_enable));
        }
        Ok(allowed)
    }

    /// `unclean.leader.election.enable` was changed: offline partitions may have found a leader.
    pub async fn unclean_leader_election(&mut self, topic: Option<TopicName>, enabled: bool) -> Result<(), Fail> {
        if topic.is_none() {
            self.options.unclean_leader_election_enable = enabled;
        }
        if !self.active || !enabled {
            return Ok(());
        }
        let mut partitions = self.context.partitions_in_states(&[PartitionState::Offline, PartitionState::New]);
        partitions.retain(|partition| topic.as_ref().is_none_or(|topic| *topic == partition.topic));
        self.elect_online(partitions, Strategy::Offline { unclean: false }).await?;
        Ok(())
    }

    fn check_partition(&self, partition: &TopicPartition, target: PartitionState) -> bool {
        use PartitionState::{New, NonExistent, Offline, Online};
        let current = self.context.partition_state(partition);
        let valid: &[PartitionState] = match target {
            New => &[NonExistent],
            Online => &[New, Online, Offline],
            Offline => &[New, Online, Offline],
            NonExistent => &[Offline],
        };
        if !valid.contains(&current) {
            error!(target: "state.change.logger", "Partition {partition} should be in one of {valid:?} states before moving to {target:?}Partition state. Instead it is in {current:?}Partition state");
        }
        valid.contains(&current)
    }

    fn log_failed_partition(&self, partition: &TopicPartition, target: PartitionState, why: &dyn std::fmt::Display) {
        let current = self.context.partition_state(partition);
        error!(target: "state.change.logger", epoch = self.context.epoch.0, "Controller failed to change state for partition {partition} from {current:?}Partition to {target:?}Partition: {why}");
    }
}
