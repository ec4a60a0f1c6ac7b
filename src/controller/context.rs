//! What the controller knows of the cluster: rebuilt at each failover, empty on every other broker.
//!
//! Kafka keeps parallel maps (ControllerContext); here a partition is one value, and the gauges are kept up to date by
//! [`Context::change`], the only way to alter one.

use std::collections::{BTreeMap, BTreeSet};

pub use crate::zk::data::Endpoint;

use crate::ids::{
    BrokerEpoch, BrokerId, ControllerEpoch, LeaderEpoch, PartitionEpoch, TopicId, TopicName, TopicPartition, ZkVersion,
};

/// A registered broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broker {
    pub id: BrokerId,
    /// czxid of the registration: which life of the broker this is.
    pub epoch: BrokerEpoch,
    pub endpoints: Vec<Endpoint>,
    pub rack: Option<String>,
}

impl Broker {
    /// The endpoint with this listener name.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.listener == listener)
    }
}

/// Replicas of a partition, preferred leader first, and what a running reassignment adds and removes (KIP-455).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReplicaAssignment {
    pub replicas: Vec<BrokerId>,
    pub adding: Vec<BrokerId>,
    pub removing: Vec<BrokerId>,
}

impl ReplicaAssignment {
    pub fn of(replicas: Vec<BrokerId>) -> Self {
        Self { replicas, adding: Vec::new(), removing: Vec::new() }
    }

    /// The replicas before the reassignment.
    pub fn origin(&self) -> Vec<BrokerId> {
        without(&self.replicas, &self.adding)
    }

    /// The replicas after the reassignment.
    pub fn target(&self) -> Vec<BrokerId> {
        without(&self.replicas, &self.removing)
    }

    pub fn is_being_reassigned(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    /// The assignment that leads from here to `target`: all replicas of both, the new ones first.
    pub fn reassign_to(&self, target: &[BrokerId]) -> Self {
        let origin = self.origin();
        let mut replicas = target.to_vec();
        replicas.extend(without(&origin, target));
        Self { adding: without(&replicas, &origin), removing: without(&origin, target), replicas }
    }

    /// The assignment without one replica.
    pub fn without(&self, replica: BrokerId) -> Self {
        let gone = [replica];
        Self {
            replicas: without(&self.replicas, &gone),
            adding: without(&self.adding, &gone),
            removing: without(&self.removing, &gone),
        }
    }
}

fn without(all: &[BrokerId], gone: &[BrokerId]) -> Vec<BrokerId> {
    all.iter().copied().filter(|id| !gone.contains(id)).collect()
}

/// The part of a partition's state that the state znode holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeaderAndIsr {
    /// -1: none.
    pub leader: BrokerId,
    pub leader_epoch: LeaderEpoch,
    pub isr: Vec<BrokerId>,
    /// An unclean election was not yet followed by the leader's own AlterPartition (KIP-704).
    pub recovering: bool,
    /// Version of the znode.
    pub partition_epoch: PartitionEpoch,
}

impl LeaderAndIsr {
    /// The state with which a partition is created.
    pub fn initial(leader: BrokerId, isr: Vec<BrokerId>) -> Self {
        Self { leader, leader_epoch: LeaderEpoch(0), isr, recovering: false, partition_epoch: PartitionEpoch(0) }
    }

    /// The next leader epoch with this leader and ISR.
    pub fn next(&self, leader: BrokerId, isr: Vec<BrokerId>) -> Self {
        Self { leader, isr, leader_epoch: LeaderEpoch(self.leader_epoch.0 + 1), ..self.clone() }
    }

    /// Equal in everything but the partition epoch.
    pub fn same_state(&self, other: &Self) -> bool {
        self.leader == other.leader
            && self.leader_epoch == other.leader_epoch
            && self.isr == other.isr
            && self.recovering == other.recovering
    }
}

/// A state and the term of the controller that wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leadership {
    pub state: LeaderAndIsr,
    pub controller_epoch: ControllerEpoch,
}

impl std::fmt::Display for Leadership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let LeaderAndIsr { leader, leader_epoch, isr, recovering, partition_epoch } = &self.state;
        let recovery = if *recovering { "RECOVERING" } else { "RECOVERED" };
        write!(
            f,
            "(Leader:{leader},ISR:{},LeaderRecoveryState:{recovery},LeaderEpoch:{leader_epoch},ZkVersion:{partition_epoch},ControllerEpoch:{})",
            join(isr),
            self.controller_epoch
        )
    }
}

/// `1,2,3`, as Kafka's logs print ids.
pub fn join<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut text = String::new();
    for item in items {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&item.to_string());
    }
    text
}

/// Life of a partition in the controller (PartitionState).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PartitionState {
    /// Never created, or deleted.
    #[default]
    NonExistent,
    /// Known, without leader and ISR.
    New,
    /// Has a leader.
    Online,
    /// Its leader died.
    Offline,
}

/// Life of a replica in the controller (ReplicaState).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReplicaState {
    #[default]
    NonExistent,
    New,
    Online,
    Offline,
    DeletionStarted,
    DeletionSuccessful,
    DeletionIneligible,
}

/// One partition.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Partition {
    pub assignment: ReplicaAssignment,
    pub leadership: Option<Leadership>,
    pub state: PartitionState,
    pub replicas: BTreeMap<BrokerId, ReplicaState>,
}

/// One topic.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Topic {
    /// Zero: the topic has none.
    pub id: TopicId,
    pub partitions: BTreeMap<i32, Partition>,
}

/// A partition and a broker that has, had or shall have a replica of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Replica {
    pub partition: TopicPartition,
    pub broker: BrokerId,
}

/// What partitions add to the gauges.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    offline: i64,
    imbalanced: i64,
    led: i64,
}

impl Count {
    fn add(&mut self, other: Count, sign: i64) {
        self.offline += sign * other.offline;
        self.imbalanced += sign * other.imbalanced;
        self.led += sign * other.led;
    }
}

/// See the module.
#[derive(Debug)]
pub struct Context {
    /// Term of this controller, 0 before the first.
    pub epoch: ControllerEpoch,
    /// Version of `/controller_epoch` written by the election: the fence of every write.
    pub epoch_zk_version: ZkVersion,
    brokers: BTreeMap<BrokerId, Broker>,
    pub shutting_down: BTreeSet<BrokerId>,
    topics: BTreeMap<TopicName, Topic>,
    topic_names: BTreeMap<TopicId, TopicName>,
    pub being_reassigned: BTreeSet<TopicPartition>,
    /// Partitions whose replica on the broker lies in a log directory that failed.
    pub offline_dirs: BTreeMap<BrokerId, BTreeSet<TopicPartition>>,
    /// Topics queued for deletion.
    to_delete: BTreeSet<TopicName>,
    /// Those of them whose brokers were told.
    pub deletion_started: BTreeSet<TopicName>,
    /// Those of them that have to wait.
    pub deletion_ineligible: BTreeSet<TopicName>,
    count: Count,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            epoch: ControllerEpoch(0),
            epoch_zk_version: ZkVersion(0),
            brokers: BTreeMap::new(),
            shutting_down: BTreeSet::new(),
            topics: BTreeMap::new(),
            topic_names: BTreeMap::new(),
            being_reassigned: BTreeSet::new(),
            offline_dirs: BTreeMap::new(),
            to_delete: BTreeSet::new(),
            deletion_started: BTreeSet::new(),
            deletion_ineligible: BTreeSet::new(),
            count: Count::default(),
        }
    }
}

impl Context {
    /// The context of a controller that has just been elected.
    pub fn elected(epoch: ControllerEpoch, epoch_zk_version: ZkVersion) -> Self {
        Self { epoch, epoch_zk_version, ..Self::default() }
    }
}

/// Brokers.
impl Context {
    /// Registered brokers, those in controlled shutdown included.
    pub fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.values()
    }

    pub fn broker(&self, id: BrokerId) -> Option<&Broker> {
        self.brokers.get(&id)
    }

    pub fn add_broker(&mut self, broker: Broker) {
        self.brokers.insert(broker.id, broker);
    }

    pub fn remove_broker(&mut self, id: BrokerId) {
        self.brokers.remove(&id);
    }

    /// Ids of the registered brokers ("live or shutting down").
    pub fn registered(&self) -> BTreeSet<BrokerId> {
        self.brokers.keys().copied().collect()
    }

    /// Registered and not shutting down: may lead and be in an ISR.
    pub fn is_live(&self, id: BrokerId) -> bool {
        self.brokers.contains_key(&id) && !self.shutting_down.contains(&id)
    }

    /// May the replica on this broker lead? Its broker is live and its log directory works.
    pub fn is_online(&self, broker: BrokerId, partition: &TopicPartition) -> bool {
        self.is_live(broker) && self.dir_works(broker, partition)
    }

    /// Like [`Self::is_online`], but a broker in controlled shutdown counts.
    pub fn is_registered_and_online(&self, broker: BrokerId, partition: &TopicPartition) -> bool {
        self.brokers.contains_key(&broker) && self.dir_works(broker, partition)
    }

    fn dir_works(&self, broker: BrokerId, partition: &TopicPartition) -> bool {
        !self.offline_dirs.get(&broker).is_some_and(|offline| offline.contains(partition))
    }
}

/// Topics and partitions.
impl Context {
    pub fn topics(&self) -> impl Iterator<Item = (&TopicName, &Topic)> {
        self.topics.iter()
    }

    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }

    pub fn topic_name(&self, id: TopicId) -> Option<&TopicName> {
        self.topic_names.get(&id)
    }

    /// Makes the topic known, and its id if it has one.
    pub fn add_topic(&mut self, name: &TopicName, id: TopicId) {
        let topic = self.topics.entry(name.clone()).or_default();
        if !id.is_zero() {
            topic.id = id;
            self.topic_names.insert(id, name.clone());
        }
    }

    /// Forgets everything about the topic.
    pub fn remove_topic(&mut self, name: &str) {
        let before = self.count_topic(name);
        self.count.add(before, -1);
        if let Some(topic) = self.topics.remove(name) {
            self.topic_names.remove(&topic.id);
        }
        self.to_delete.remove(name);
        self.deletion_started.remove(name);
        self.deletion_ineligible.remove(name);
        self.being_reassigned.retain(|partition| &*partition.topic != name);
        for offline in self.offline_dirs.values_mut() {
            offline.retain(|partition| &*partition.topic != name);
        }
    }

    pub fn partition(&self, partition: &TopicPartition) -> Option<&Partition> {
        self.topics.get(&partition.topic)?.partitions.get(&partition.partition)
    }

    /// Replicas in order of assignment; empty: the partition is not known.
    pub fn replicas(&self, partition: &TopicPartition) -> &[BrokerId] {
        self.partition(partition).map_or(&[], |known| &known.assignment.replicas)
    }

    pub fn leadership(&self, partition: &TopicPartition) -> Option<&Leadership> {
        self.partition(partition)?.leadership.as_ref()
    }

    pub fn partition_state(&self, partition: &TopicPartition) -> PartitionState {
        self.partition(partition).map_or(PartitionState::NonExistent, |known| known.state)
    }

    pub fn replica_state(&self, replica: &Replica) -> ReplicaState {
        self.partition(&replica.partition)
            .and_then(|known| known.replicas.get(&replica.broker).copied())
            .unwrap_or_default()
    }

    /// Every partition with an assignment.
    pub fn partitions(&self) -> impl Iterator<Item = (TopicPartition, &Partition)> {
        self.topics.iter().flat_map(|(name, topic)| {
            topic.partitions.iter().map(|(index, partition)| (TopicPartition::new(name.clone(), *index), partition))
        })
    }

    pub fn partitions_of<'a>(&'a self, topic: &'a TopicName) -> impl Iterator<Item = TopicPartition> + 'a {
        self.topics
            .get(topic)
            .into_iter()
            .flat_map(move |known| known.partitions.keys().map(|index| TopicPartition::new(topic.clone(), *index)))
    }

    /// Replicas of the topic, by assignment.
    pub fn replicas_of(&self, topic: &TopicName) -> Vec<Replica> {
        let partitions: Vec<_> = self.partitions_of(topic).collect();
        self.replicas_of_partitions(&partitions)
    }

    pub fn replicas_of_partitions(&self, partitions: &[TopicPartition]) -> Vec<Replica> {
        partitions
            .iter()
            .flat_map(|partition| {
                let on = |broker: &BrokerId| Replica { partition: partition.clone(), broker: *broker };
                self.replicas(partition).iter().map(on)
            })
            .collect()
    }

    /// Replicas assigned to any of the brokers.
    pub fn replicas_on(&self, brokers: &BTreeSet<BrokerId>) -> Vec<Replica> {
        let mut found = Vec::new();
        for (partition, known) in self.partitions() {
            for broker in known.assignment.replicas.iter().filter(|id| brokers.contains(id)) {
                found.push(Replica { partition: partition.clone(), broker: *broker });
            }
        }
        found
    }

    /// Replicas of the topic that are in this state.
    pub fn replicas_in_state(&self, topic: &TopicName, wanted: ReplicaState) -> Vec<Replica> {
        let mut found = Vec::new();
        for (index, partition) in self.topics.get(topic).into_iter().flat_map(|known| &known.partitions) {
            for (broker, _) in partition.replicas.iter().filter(|(_, state)| **state == wanted) {
                found.push(Replica { partition: TopicPartition::new(topic.clone(), *index), broker: *broker });
            }
        }
        found
    }

    /// Partitions in any of the states whose topic is not queued for deletion.
    pub fn partitions_in_states(&self, states: &[PartitionState]) -> Vec<TopicPartition> {
        self.living_partitions().filter(|(_, known)| states.contains(&known.state)).map(|(p, _)| p).collect()
    }

    /// Partitions of topics that are not queued for deletion.
    pub fn living_partitions(&self) -> impl Iterator<Item = (TopicPartition, &Partition)> {
        self.partitions().filter(|(partition, _)| !self.to_delete.contains(&partition.topic))
    }

    /// Partitions whose leader is known and not online; topics queued for deletion left out.
    pub fn partitions_with_offline_leader(&self) -> Vec<TopicPartition> {
        self.living_partitions()
            .filter(|(partition, known)| {
                known.leadership.as_ref().is_some_and(|led| !self.is_online(led.state.leader, partition))
            })
            .map(|(partition, _)| partition)
            .collect()
    }

    /// Partitions with known leadership; topics queued for deletion left out.
    pub fn partitions_with_leadership(&self) -> Vec<TopicPartition> {
        self.living_partitions().filter(|(_, known)| known.leadership.is_some()).map(|(p, _)| p).collect()
    }

    /// Changes a partition, which is created if it is not known, and keeps the gauges right.
    pub fn change(&mut self, partition: &TopicPartition, change: impl FnOnce(&mut Partition)) {
        let deleting = self.to_delete.contains(&partition.topic);
        let topic = self.topics.entry(partition.topic.clone()).or_default();
        let known = topic.partitions.entry(partition.partition).or_default();
        self.count.add(count(known, deleting), -1);
        change(known);
        self.count.add(count(known, deleting), 1);
    }

    pub fn set_assignment(&mut self, partition: &TopicPartition, assignment: ReplicaAssignment) {
        self.change(partition, |known| known.assignment = assignment);
    }

    pub fn set_leadership(&mut self, partition: &TopicPartition, state: LeaderAndIsr, epoch: ControllerEpoch) {
        self.change(partition, |known| known.leadership = Some(Leadership { state, controller_epoch: epoch }));
    }

    pub fn set_partition_state(&mut self, partition: &TopicPartition, state: PartitionState) {
        self.change(partition, |known| known.state = state);
    }

    pub fn set_replica_state(&mut self, replica: &Replica, state: ReplicaState) {
        self.change(&replica.partition, |known| {
            known.replicas.insert(replica.broker, state);
        });
    }

    fn count_topic(&self, name: &str) -> Count {
        let deleting = self.to_delete.contains(name);
        let mut sum = Count::default();
        for partition in self.topics.get(name).into_iter().flat_map(|topic| topic.partitions.values()) {
            sum.add(count(partition, deleting), 1);
        }
        sum
    }
}

/// Deletion.
impl Context {
    pub fn is_queued_for_deletion(&self, topic: &str) -> bool {
        self.to_delete.contains(topic)
    }

    pub fn queued_for_deletion(&self) -> &BTreeSet<TopicName> {
        &self.to_delete
    }

    /// From now on the topic's partitions are not counted and not elected any more.
    pub fn queue_for_deletion(&mut self, topic: &TopicName) {
        let before = self.count_topic(topic);
        self.to_delete.insert(topic.clone());
        let after = self.count_topic(topic);
        self.count.add(before, -1);
        self.count.add(after, 1);
    }

    /// Has any replica of the topic this state?
    pub fn any_replica_in_state(&self, topic: &TopicName, wanted: ReplicaState) -> bool {
        self.topics.get(topic).is_some_and(|known| {
            known.partitions.values().any(|partition| partition.replicas.values().any(|state| *state == wanted))
        })
    }

    /// Have all assigned replicas of the topic this state?
    pub fn all_replicas_in_state(&self, topic: &TopicName, wanted: ReplicaState) -> bool {
        self.replicas_of(topic).iter().all(|replica| self.replica_state(replica) == wanted)
    }
}

/// Gauges.
impl Context {
    pub fn offline_partitions(&self) -> i64 {
        self.count.offline
    }

    pub fn preferred_replica_imbalance(&self) -> i64 {
        self.count.imbalanced
    }

    pub fn led_partitions(&self) -> i64 {
        self.count.led
    }
}

fn count(partition: &Partition, deleting: bool) -> Count {
    let offline = partition.state == PartitionState::Offline && !deleting;
    let imbalanced = !deleting && !has_preferred_leader(partition);
    Count { offline: offline.into(), imbalanced: imbalanced.into(), led: partition.leadership.is_some().into() }
}

/// A preferred replica that a reassignment is only adding counts as missing from the moment it is in the ISR.
fn has_preferred_leader(partition: &Partition) -> bool {
    let (Some(preferred), Some(led)) = (partition.assignment.replicas.first(), &partition.leadership) else {
        return true;
    };
    if partition.assignment.adding.contains(preferred) {
        !led.state.isr.contains(preferred)
    } else {
        led.state.leader == *preferred
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[i32]) -> Vec<BrokerId> {
        ids.iter().map(|id| BrokerId(*id)).collect()
    }

    #[test]
    fn a_reassignment_names_what_it_adds_and_removes() {
        let old = ReplicaAssignment::of(ids(&[0, 1]));
        let moving = old.reassign_to(&ids(&[2, 1]));
        assert_eq!(moving, ReplicaAssignment { replicas: ids(&[2, 1, 0]), adding: ids(&[2]), removing: ids(&[0]) });
        assert_eq!((moving.origin(), moving.target()), (ids(&[1, 0]), ids(&[2, 1])));
        let replaced = moving.reassign_to(&ids(&[2, 0]));
        assert_eq!(replaced, ReplicaAssignment { replicas: ids(&[2, 0, 1]), adding: ids(&[2]), removing: ids(&[1]) });
    }

    #[test]
    fn gauges_follow_every_change() {
        let mut context = Context::default();
        let partition = TopicPartition::new("t", 0);
        context.set_assignment(&partition, ReplicaAssignment::of(ids(&[1, 2])));
        context.set_leadership(&partition, LeaderAndIsr::initial(BrokerId(2), ids(&[2])), ControllerEpoch(1));
        context.set_partition_state(&partition, PartitionState::Offline);
        let gauges = |context: &Context| {
            (context.offline_partitions(), context.preferred_replica_imbalance(), context.led_partitions())
        };
        assert_eq!(gauges(&context), (1, 1, 1));
        context.queue_for_deletion(&"t".into());
        assert_eq!(gauges(&context), (0, 0, 1));
        context.set_partition_state(&partition, PartitionState::NonExistent);
        assert_eq!(gauges(&context), (0, 0, 1));
        context.remove_topic("t");
        assert_eq!(gauges(&context), (0, 0, 0));
    }
}
