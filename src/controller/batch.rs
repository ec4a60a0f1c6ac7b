//! The requests that follow from a change, gathered and sent together: all LeaderAndIsr, then all UpdateMetadata, then
//! all StopReplica, each as one request per broker (AbstractControllerBrokerRequestBatch).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::{info, trace, warn};

use crate::controller::context::{Context, LeaderAndIsr, Leadership, ReplicaAssignment, join};
use crate::controller::effect::{Effect, Target};
use crate::controller::io::Fail;
use crate::controller::machine::Controller;
use crate::controller::versions::RpcVersions;
use crate::error::ErrorCode;
use crate::ids::{BrokerEpoch, BrokerId, ControllerEpoch, LeaderEpoch, PartitionEpoch, TopicName, TopicPartition};
use crate::wire::messages::leader_and_isr::{
    self, LeaderAndIsrLiveLeader, LeaderAndIsrPartitionState, LeaderAndIsrTopicState,
};
use crate::wire::messages::stop_replica::{
    self, StopReplicaPartitionState, StopReplicaPartitionV0, StopReplicaTopicState, StopReplicaTopicV1,
};
use crate::wire::messages::update_metadata::{
    self, UpdateMetadataBroker, UpdateMetadataEndpoint, UpdateMetadataPartitionState, UpdateMetadataTopicState,
};

/// Leader in an UpdateMetadata for a partition that is being deleted: the receiver forgets the partition.
const LEADER_DURING_DELETE: BrokerId = BrokerId(-2);
/// Leader epoch in a StopReplica for a topic that is being deleted: higher than any.
const EPOCH_DURING_DELETE: LeaderEpoch = LeaderEpoch(-2);

/// A request of the controller and the version in which it is sent.
#[derive(Clone, Debug)]
pub enum Rpc {
    LeaderAndIsr { version: i16, request: Arc<leader_and_isr::Request> },
    UpdateMetadata { version: i16, request: Arc<update_metadata::Request> },
    StopReplica { version: i16, request: Arc<stop_replica::Request> },
}

/// A broker's answer to an [`Rpc`].
#[derive(Clone, Debug)]
pub enum Answered {
    LeaderAndIsr(leader_and_isr::Response),
    UpdateMetadata(update_metadata::Response),
    StopReplica { request: Arc<stop_replica::Request>, response: stop_replica::Response },
}

impl Answered {
    pub fn name(&self) -> &'static str {
        match self {
            Self::LeaderAndIsr(_) => "LeaderAndIsr",
            Self::UpdateMetadata(_) => "UpdateMetadata",
            Self::StopReplica { .. } => "StopReplica",
        }
    }
}

/// See the module. Holds copies of what was known when a partition was added.
#[derive(Default)]
pub(super) struct Batch {
    leader_and_isr: BTreeMap<BrokerId, BTreeMap<TopicPartition, LeaderAndIsrEntry>>,
    update_metadata_brokers: BTreeSet<BrokerId>,
    update_metadata: BTreeMap<TopicPartition, MetadataEntry>,
    stop_replica: BTreeMap<BrokerId, BTreeMap<TopicPartition, StopEntry>>,
}

struct LeaderAndIsrEntry {
    led: Leadership,
    assignment: ReplicaAssignment,
    is_new: bool,
}

struct MetadataEntry {
    led: Leadership,
    replicas: Vec<BrokerId>,
    offline: Vec<BrokerId>,
}

struct StopEntry {
    leader_epoch: LeaderEpoch,
    delete: bool,
}

impl Batch {
    /// Tells these brokers that they have this partition, and all brokers who leads it. `is_new`: they may create its log
    /// in any directory.
    pub fn add_leader_and_isr(
        &mut self,
        context: &Context,
        brokers: &[BrokerId],
        partition: &TopicPartition,
        is_new: bool,
    ) {
        let Some(known) = context.partition(partition) else { return };
        let Some(led) = &known.leadership else { return };
        for broker in brokers.iter().filter(|id| id.0 >= 0) {
            let partitions = self.leader_and_isr.entry(*broker).or_default();
            let was_new = partitions.get(partition).is_some_and(|entry| entry.is_new);
            let assignment = known.assignment.clone();
            let entry = LeaderAndIsrEntry { led: led.clone(), assignment, is_new: is_new || was_new };
            partitions.insert(partition.clone(), entry);
        }
        self.add_update_metadata(context, context.registered(), std::slice::from_ref(partition));
    }

    /// Tells these brokers which brokers there are and who leads these partitions.
    pub fn add_update_metadata(
        &mut self,
        context: &Context,
        brokers: BTreeSet<BrokerId>,
        partitions: &[TopicPartition],
    ) {
        if self.update_metadata_brokers.is_empty() {
            self.update_metadata_brokers = brokers;
        } else {
            self.update_metadata_brokers.extend(brokers);
        }
        for partition in partitions {
            let Some(known) = context.partition(partition) else { continue };
            let Some(led) = &known.leadership else {
                info!(target: "state.change.logger", "Leader not yet assigned for partition {partition}. Skip sending UpdateMetadataRequest.");
                continue;
            };
            let mut led = led.clone();
            if context.is_queued_for_deletion(&partition.topic) {
                led.state = LeaderAndIsr {
                    leader: LEADER_DURING_DELETE,
                    leader_epoch: LeaderEpoch(0),
                    partition_epoch: PartitionEpoch(0),
                    ..led.state
                };
            }
            let replicas = known.assignment.replicas.clone();
            let offline = replicas.iter().copied().filter(|id| !context.is_online(*id, partition)).collect();
            self.update_metadata.insert(partition.clone(), MetadataEntry { led, replicas, offline });
        }
    }

    /// Tells these brokers to stop, and perhaps to delete, their replica of this partition.
    pub fn add_stop_replica(
        &mut self,
        context: &Context,
        brokers: &[BrokerId],
        partition: &TopicPartition,
        delete: bool,
    ) {
        let leader_epoch = if context.is_queued_for_deletion(&partition.topic) {
            EPOCH_DURING_DELETE
        } else {
            context.leadership(partition).map_or(LeaderEpoch::NONE, |led| led.state.leader_epoch)
        };
        for broker in brokers.iter().filter(|id| id.0 >= 0) {
            let partitions = self.stop_replica.entry(*broker).or_default();
            let deleted = partitions.get(partition).is_some_and(|entry| entry.delete);
            partitions.insert(partition.clone(), StopEntry { leader_epoch, delete: delete || deleted });
        }
    }
}

impl Controller {
    /// Sends UpdateMetadata alone.
    pub fn send_update_metadata(&self, brokers: BTreeSet<BrokerId>, partitions: &[TopicPartition]) {
        let mut batch = Batch::default();
        batch.add_update_metadata(&self.context, brokers, partitions);
        self.send(batch);
    }

    /// Sends what was gathered; brokers that are not registered (any more) are left out.
    pub fn send(&self, batch: Batch) {
        let versions = RpcVersions::of(self.options.inter_broker_protocol_version);
        let header =
            Header { controller: self.options.broker_id, epoch: self.context.epoch, context: &self.context, versions };
        for (broker, partitions) in &batch.leader_and_isr {
            let Some(known) = self.context.broker(*broker) else { continue };
            let leading = partitions.values().filter(|entry| entry.led.state.leader == *broker).count();
            info!(target: "state.change.logger", "Sending LeaderAndIsr request to broker {broker} with {leading} become-leader and {} become-follower partitions", partitions.len() - leading);
            for (partition, entry) in partitions {
                let kind = if entry.led.state.leader == *broker { "become-leader" } else { "become-follower" };
                trace!(target: "state.change.logger", "Sending {kind} LeaderAndIsr request {} to broker {broker} for partition {partition}", entry.led);
            }
            let request = header.leader_and_isr(known.epoch, partitions, &self.options.inter_broker_listener);
            self.send_rpc(*broker, Rpc::LeaderAndIsr { version: versions.leader_and_isr, request: Arc::new(request) });
        }

        if !batch.update_metadata_brokers.is_empty() || !batch.update_metadata.is_empty() {
            info!(target: "state.change.logger", "Sending UpdateMetadata request to brokers {} for {} partitions", join(&batch.update_metadata_brokers), batch.update_metadata.len());
            let mut request = header.update_metadata(&batch.update_metadata);
            for broker in &batch.update_metadata_brokers {
                let Some(known) = self.context.broker(*broker) else { continue };
                request.broker_epoch = known.epoch.0;
                let request = Arc::new(request.clone());
                self.send_rpc(*broker, Rpc::UpdateMetadata { version: versions.update_metadata, request });
            }
        }

        for (broker, partitions) in &batch.stop_replica {
            let Some(known) = self.context.broker(*broker) else { continue };
            info!(target: "state.change.logger", "Sending StopReplica request for {} replicas to broker {broker}", partitions.len());
            for request in header.stop_replica(known.epoch, partitions) {
                let request = Arc::new(request);
                self.send_rpc(*broker, Rpc::StopReplica { version: versions.stop_replica, request });
            }
        }
    }

    fn send_rpc(&self, broker: BrokerId, rpc: Rpc) {
        if self.channels.contains(&broker) {
            self.io.emit(Effect::Send { term: self.context.epoch, broker, rpc });
        } else {
            warn!(target: "kafka.controller", "Not sending a request to broker {broker}, since it is offline.");
        }
    }

    /// Starts talking to a broker, on the listener for controllers.
    pub fn open_channel(&mut self, id: BrokerId) {
        let Some(broker) = self.context.broker(id) else { return };
        let listener =
            self.options.control_plane_listener.as_ref().unwrap_or(&self.options.inter_broker_listener).clone();
        let Some(endpoint) = broker.endpoints.iter().find(|endpoint| endpoint.listener == listener) else {
            warn!(target: "kafka.controller", "Broker {id} has no endpoint of listener {listener}");
            return;
        };
        self.io.emit(Effect::OpenChannel(Target {
            id,
            epoch: broker.epoch,
            listener,
            protocol: endpoint.protocol.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
        }));
        self.channels.insert(id);
    }

    /// Stops talking to a broker.
    pub fn close_channel(&mut self, id: BrokerId) {
        if self.channels.remove(&id) {
            self.io.emit(Effect::CloseChannel(id));
        }
    }

    /// A broker answered. Answers to requests of an earlier term are nobody's business any more.
    pub async fn response(&mut self, term: ControllerEpoch, broker: BrokerId, answer: Answered) -> Result<(), Fail> {
        if term != self.context.epoch {
            return Ok(());
        }
        match answer {
            Answered::LeaderAndIsr(response) => self.leader_and_isr_response(broker, response).await,
            Answered::UpdateMetadata(response) => {
                log_error(broker, "UpdateMetadata", response.error_code);
                Ok(())
            }
            Answered::StopReplica { request, response } => self.stop_replica_response(broker, &request, response).await,
        }
    }
}

/// Logs a top-level error; true if there is one.
pub(super) fn log_error(broker: BrokerId, request: &str, code: i16) -> bool {
    if code != ErrorCode::None.code() {
        let error = ErrorCode::from_code(code).name();
        tracing::error!(target: "kafka.controller", "Received error {error} in {request} response from broker {broker}");
    }
    code != ErrorCode::None.code()
}

/// The partitions that a StopReplica deletes.
pub(super) fn deleted_by(request: &stop_replica::Request) -> BTreeSet<TopicPartition> {
    let mut deleted = BTreeSet::new();
    for topic in &request.topic_states {
        for state in topic.partition_states.iter().filter(|state| state.delete_partition) {
            deleted.insert(TopicPartition::new(&*topic.topic_name, state.partition_index));
        }
    }
    if request.delete_partitions {
        for topic in &request.topics {
            deleted.extend(topic.partition_indexes.iter().map(|index| TopicPartition::new(&*topic.name, *index)));
        }
        for partition in &request.ungrouped_partitions {
            deleted.insert(TopicPartition::new(&*partition.topic_name, partition.partition_index));
        }
    }
    deleted
}

/// What all requests of a batch share.
struct Header<'a> {
    controller: BrokerId,
    epoch: ControllerEpoch,
    context: &'a Context,
    versions: RpcVersions,
}

impl Header<'_> {
    fn leader_and_isr(
        &self,
        broker_epoch: BrokerEpoch,
        partitions: &BTreeMap<TopicPartition, LeaderAndIsrEntry>,
        listener: &str,
    ) -> leader_and_isr::Request {
        let grouped = self.versions.leader_and_isr >= 2;
        let state = |partition: &TopicPartition, entry: &LeaderAndIsrEntry| LeaderAndIsrPartitionState {
            topic_name: if grouped { Default::default() } else { (&*partition.topic).into() },
            partition_index: partition.partition,
            controller_epoch: entry.led.controller_epoch.0,
            leader: entry.led.state.leader.0,
            leader_epoch: entry.led.state.leader_epoch.0,
            isr: numbers(&entry.led.state.isr),
            partition_epoch: entry.led.state.partition_epoch.0,
            replicas: numbers(&entry.assignment.replicas),
            adding_replicas: numbers(&entry.assignment.adding),
            removing_replicas: numbers(&entry.assignment.removing),
            is_new: entry.is_new,
            leader_recovery_state: entry.led.state.recovering.into(),
        };
        let leaders: BTreeSet<BrokerId> = partitions.values().map(|entry| entry.led.state.leader).collect();
        let live_leaders = leaders.iter().filter_map(|id| {
            let endpoint = self.context.broker(*id)?.endpoint(listener)?;
            let host_name = endpoint.host.as_str().into();
            Some(LeaderAndIsrLiveLeader { broker_id: id.0, host_name, port: endpoint.port })
        });
        let mut request = leader_and_isr::Request {
            controller_id: self.controller.0,
            controller_epoch: self.epoch.0,
            broker_epoch: broker_epoch.0,
            live_leaders: live_leaders.collect(),
            ..Default::default()
        };
        if grouped {
            request.topic_states = by_topic(partitions, state, |topic, partition_states| LeaderAndIsrTopicState {
                topic_name: (&**topic).into(),
                topic_id: self.context.topic(topic).map_or_else(Default::default, |known| known.id),
                partition_states,
            });
        } else {
            request.ungrouped_partition_states = partitions.iter().map(|(p, entry)| state(p, entry)).collect();
        }
        request
    }

    /// Without the broker epoch, which is the receiver's.
    fn update_metadata(&self, partitions: &BTreeMap<TopicPartition, MetadataEntry>) -> update_metadata::Request {
        let grouped = self.versions.update_metadata >= 5;
        let state = |partition: &TopicPartition, entry: &MetadataEntry| UpdateMetadataPartitionState {
            topic_name: if grouped { Default::default() } else { (&*partition.topic).into() },
            partition_index: partition.partition,
            controller_epoch: entry.led.controller_epoch.0,
            leader: entry.led.state.leader.0,
            leader_epoch: entry.led.state.leader_epoch.0,
            isr: numbers(&entry.led.state.isr),
            zk_version: entry.led.state.partition_epoch.0,
            replicas: numbers(&entry.replicas),
            offline_replicas: numbers(&entry.offline),
        };
        let live_brokers = self.context.brokers().map(|broker| {
            let endpoints = broker.endpoints.iter().map(|endpoint| UpdateMetadataEndpoint {
                port: endpoint.port,
                host: endpoint.host.as_str().into(),
                listener: endpoint.listener.as_str().into(),
                security_protocol: security_protocol(&endpoint.protocol),
            });
            let plaintext = broker.endpoints.iter().find(|endpoint| endpoint.protocol == "PLAINTEXT");
            UpdateMetadataBroker {
                id: broker.id.0,
                v0_host: plaintext.map_or("", |endpoint| endpoint.host.as_str()).into(),
                v0_port: plaintext.map_or(-1, |endpoint| endpoint.port),
                endpoints: endpoints.collect(),
                rack: broker.rack.as_deref().map(Into::into),
            }
        });
        let mut request = update_metadata::Request {
            controller_id: self.controller.0,
            controller_epoch: self.epoch.0,
            live_brokers: live_brokers.collect(),
            ..Default::default()
        };
        if grouped {
            request.topic_states = by_topic(partitions, state, |topic, partition_states| UpdateMetadataTopicState {
                topic_name: (&**topic).into(),
                topic_id: self.context.topic(topic).map_or_else(Default::default, |known| known.id),
                partition_states,
            });
        } else {
            request.ungrouped_partition_states = partitions.iter().map(|(p, entry)| state(p, entry)).collect();
        }
        request
    }

    /// One request; before version 3, one for what is only stopped and one for what is deleted.
    fn stop_replica(
        &self,
        broker_epoch: BrokerEpoch,
        partitions: &BTreeMap<TopicPartition, StopEntry>,
    ) -> Vec<stop_replica::Request> {
        let header = stop_replica::Request {
            controller_id: self.controller.0,
            controller_epoch: self.epoch.0,
            broker_epoch: broker_epoch.0,
            ..Default::default()
        };
        if self.versions.stop_replica >= 3 {
            let state = |partition: &TopicPartition, entry: &StopEntry| StopReplicaPartitionState {
                partition_index: partition.partition,
                leader_epoch: entry.leader_epoch.0,
                delete_partition: entry.delete,
            };
            let topic_states = by_topic(partitions, state, |topic, partition_states| StopReplicaTopicState {
                topic_name: (&**topic).into(),
                partition_states,
            });
            return vec![stop_replica::Request { topic_states, ..header }];
        }
        let mut requests = Vec::new();
        for delete in [false, true] {
            let these: BTreeMap<_, _> =
                partitions.iter().filter(|(_, entry)| entry.delete == delete).map(|(p, e)| (p.clone(), e)).collect();
            if these.is_empty() {
                continue;
            }
            let mut request = stop_replica::Request { delete_partitions: delete, ..header.clone() };
            if self.versions.stop_replica >= 1 {
                let index = |partition: &TopicPartition, _: &&StopEntry| partition.partition;
                request.topics = by_topic(&these, index, |topic, partition_indexes| StopReplicaTopicV1 {
                    name: (&**topic).into(),
                    partition_indexes,
                });
            } else {
                let ungrouped = these.keys().map(|partition| StopReplicaPartitionV0 {
                    topic_name: (&*partition.topic).into(),
                    partition_index: partition.partition,
                });
                request.ungrouped_partitions = ungrouped.collect();
            }
            requests.push(request);
        }
        requests
    }
}

/// Groups the partitions of a sorted map by topic.
fn by_topic<E, S, T>(
    partitions: &BTreeMap<TopicPartition, E>,
    state: impl Fn(&TopicPartition, &E) -> S,
    topic: impl Fn(&TopicName, Vec<S>) -> T,
) -> Vec<T> {
    let mut topics = Vec::new();
    let mut partitions = partitions.iter().peekable();
    while let Some((first, entry)) = partitions.next() {
        let mut states = vec![state(first, entry)];
        while let Some((next, entry)) = partitions.next_if(|(next, _)| next.topic == first.topic) {
            states.push(state(next, entry));
        }
        topics.push(topic(&first.topic, states));
    }
    topics
}

fn numbers(ids: &[BrokerId]) -> Vec<i32> {
    ids.iter().map(|id| id.0).collect()
}

/// Kafka's numbers of the security protocols; an unknown one counts as PLAINTEXT.
fn security_protocol(name: &str) -> i16 {
    match name {
        "SSL" => 1,
        "SASL_PLAINTEXT" => 2,
        "SASL_SSL" => 3,
        _ => 0,
    }
}
