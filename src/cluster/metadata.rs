//! The image of the cluster that the controller spreads by UpdateMetadata, and that every Metadata answer shows.
//!
//! Readers take an [`Image`] without a lock and see one moment of the cluster. A new image shares all that did not
//! change: topics live in 256 shards, so that an ISR change in a cluster of 100,000 topics copies one shard of
//! pointers and not the whole map. Studied: `kafka.server.metadata.ZkMetadataCache`.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::ids::{BrokerId, ControllerEpoch, LeaderEpoch, PartitionEpoch, TopicId, TopicName, TopicPartition};
use crate::wire::messages::update_metadata;

/// Leader that UpdateMetadata names for partitions of a topic in deletion: forget them.
pub const LEADER_DURING_DELETE: i32 = -2;

const SHARDS: usize = 256;

/// One address of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Listener name: clients are told the address of the listener that they came in on.
    pub listener: Arc<str>,
    pub host: Arc<str>,
    pub port: i32,
    /// 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// A broker that the controller counts as alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliveBroker {
    pub id: BrokerId,
    pub endpoints: Vec<Endpoint>,
    pub rack: Option<Arc<str>>,
}

impl AliveBroker {
    /// The address under this listener name, if the broker has one.
    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| &*endpoint.listener == listener)
    }
}

/// What the controller last said of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Epoch of the controller that wrote this state.
    pub controller_epoch: ControllerEpoch,
    /// -1: no leader.
    pub leader: BrokerId,
    pub leader_epoch: LeaderEpoch,
    pub isr: Vec<BrokerId>,
    pub partition_epoch: PartitionEpoch,
    /// Preferred leader first.
    pub replicas: Vec<BrokerId>,
    pub offline_replicas: Vec<BrokerId>,
}

/// A topic with the partitions that have been announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: TopicName,
    /// Zero for a topic that has none.
    pub id: TopicId,
    pub partitions: BTreeMap<i32, PartitionInfo>,
}

type Shard = Arc<HashMap<TopicName, Arc<Topic>>>;

/// One moment of the cluster.
#[derive(Clone)]
pub struct Image {
    pub brokers: Arc<BTreeMap<BrokerId, AliveBroker>>,
    /// Sender of the last accepted UpdateMetadata.
    pub controller_id: Option<BrokerId>,
    shards: Vec<Shard>,
    ids: Arc<HashMap<TopicId, TopicName>>,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            brokers: Arc::default(),
            controller_id: None,
            shards: vec![Shard::default(); SHARDS],
            ids: Arc::default(),
        }
    }
}

fn shard_of(name: &str) -> usize {
    let mut hasher = std::hash::DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish() as usize % SHARDS
}

impl Image {
    /// The topic of this name.
    pub fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.shards[shard_of(name)].get(name)
    }

    /// The topic with this id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topic(self.ids.get(&id)?)
    }

    /// All topics, in no order.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.shards.iter().flat_map(|shard| shard.values())
    }

    pub fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionInfo> {
        self.topic(topic)?.partitions.get(&partition)
    }

    pub fn is_alive(&self, broker: BrokerId) -> bool {
        self.brokers.contains_key(&broker)
    }

    /// The address of a live broker under this listener name.
    pub fn endpoint(&self, broker: BrokerId, listener: &str) -> Option<&Endpoint> {
        self.brokers.get(&broker)?.endpoint(listener)
    }

    /// Live brokers and their racks, by id: what replicas of a new topic are placed on.
    pub fn broker_racks(&self) -> Vec<(BrokerId, Option<Arc<str>>)> {
        self.brokers.values().map(|broker| (broker.id, broker.rack.clone())).collect()
    }
}

/// The current [`Image`], replaced whole by each UpdateMetadata.
pub struct MetadataCache {
    image: ArcSwap<Image>,
    /// Serialises writers.
    write: Mutex<()>,
    /// Counts images, so that whoever waits for a change sleeps until there is one.
    version: tokio::sync::watch::Sender<u64>,
}

impl Default for MetadataCache {
    fn default() -> Self {
        Self { image: ArcSwap::default(), write: Mutex::default(), version: tokio::sync::watch::channel(0).0 }
    }
}

impl MetadataCache {
    pub fn image(&self) -> Arc<Image> {
        self.image.load_full()
    }

    /// Waits until the image satisfies `wanted`; false if `timeout_ms` passes before that.
    pub async fn wait_until(&self, timeout_ms: i64, mut wanted: impl FnMut(&Image) -> bool) -> bool {
        let mut version = self.version.subscribe();
        let timeout = std::time::Duration::from_millis(timeout_ms.max(0) as u64);
        let waiting = async {
            loop {
                version.borrow_and_update();
                if wanted(&self.image.load()) {
                    return;
                }
                if version.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(timeout, waiting).await.is_ok()
    }

    /// Applies an UpdateMetadata whose epochs have been checked: replaces the whole list of live brokers and the
    /// listed partitions. `inter_broker_listener` and its protocol name the endpoint of versions that carry none.
    /// Returns the partitions that the controller says are being deleted.
    pub fn update(&self, request: &update_metadata::Request) -> Vec<TopicPartition> {
        let _writing = self.write.lock();
        let mut image = Image::clone(&self.image.load());
        image.controller_id = (request.controller_id >= 0).then_some(BrokerId(request.controller_id));
        image.brokers = Arc::new(request.live_brokers.iter().map(alive_broker).map(|b| (b.id, b)).collect());

        // Versions before 5 name the topic in each partition.
        let grouped = request
            .topic_states
            .iter()
            .map(|topic| (&*topic.topic_name, topic.topic_id, topic.partition_states.iter().collect::<Vec<_>>()));
        let mut ungrouped: BTreeMap<&str, Vec<&update_metadata::UpdateMetadataPartitionState>> = BTreeMap::new();
        for state in &request.ungrouped_partition_states {
            ungrouped.entry(&state.topic_name).or_default().push(state);
        }
        let ungrouped = ungrouped.into_iter().map(|(name, states)| (name, TopicId::ZERO, states));

        let mut deleted = Vec::new();
        for (name, id, states) in grouped.chain(ungrouped) {
            apply_topic(&mut image, name, id, &states, &mut deleted);
        }
        self.image.store(Arc::new(image));
        self.version.send_modify(|version| *version += 1);
        deleted
    }
}

fn apply_topic(
    image: &mut Image,
    name: &str,
    id: TopicId,
    states: &[&update_metadata::UpdateMetadataPartitionState],
    deleted: &mut Vec<TopicPartition>,
) {
    let shard = Arc::make_mut(&mut image.shards[shard_of(name)]);
    let name: TopicName = match shard.get_key_value(name) {
        Some((known, _)) => known.clone(),
        None => name.into(),
    };
    let entry = shard
        .entry(name.clone())
        .or_insert_with(|| Arc::new(Topic { name: name.clone(), id: TopicId::ZERO, partitions: BTreeMap::new() }));
    let topic = Arc::make_mut(entry);
    let old_id = topic.id;
    if !id.is_zero() {
        topic.id = id;
    }
    for state in states {
        if state.leader == LEADER_DURING_DELETE {
            topic.partitions.remove(&state.partition_index);
            deleted.push(TopicPartition { topic: name.clone(), partition: state.partition_index });
        } else {
            topic.partitions.insert(state.partition_index, partition_info(state));
        }
    }
    let id = topic.id;
    let empty = topic.partitions.is_empty();
    if empty {
        shard.remove(&name);
    }
    if id != old_id || empty {
        let ids = Arc::make_mut(&mut image.ids);
        // A re-created topic has a new id: the old one must no longer be found.
        if ids.get(&old_id) == Some(&name) {
            ids.remove(&old_id);
        }
        if empty {
            ids.remove(&id);
        } else if !id.is_zero() {
            ids.insert(id, name);
        }
    }
}

fn partition_info(state: &update_metadata::UpdateMetadataPartitionState) -> PartitionInfo {
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
    PartitionInfo {
        controller_epoch: ControllerEpoch(state.controller_epoch),
        leader: BrokerId(state.leader),
        leader_epoch: LeaderEpoch(state.leader_epoch),
        isr: ids(&state.isr),
        partition_epoch: PartitionEpoch(state.zk_version),
        replicas: ids(&state.replicas),
        offline_replicas: ids(&state.offline_replicas),
    }
}

fn alive_broker(broker: &update_metadata::UpdateMetadataBroker) -> AliveBroker {
    let mut endpoints: Vec<Endpoint> = broker
        .endpoints
        .iter()
        .map(|endpoint| Endpoint {
            // Versions before 3 do not name the listener: it is called like its protocol.
            listener: if endpoint.listener.is_empty() {
                protocol_name(endpoint.security_protocol).into()
            } else {
                (&*endpoint.listener).into()
            },
            host: (&*endpoint.host).into(),
            port: endpoint.port,
            security_protocol: endpoint.security_protocol,
        })
        .collect();
    if endpoints.is_empty() && !broker.v0_host.is_empty() {
        endpoints.push(Endpoint {
            listener: protocol_name(0).into(),
            host: (&*broker.v0_host).into(),
            port: broker.v0_port,
            security_protocol: 0,
        });
    }
    AliveBroker { id: BrokerId(broker.id), endpoints, rack: broker.rack.as_deref().map(Arc::from) }
}

/// Kafka's name of a security protocol's number.
fn protocol_name(id: i16) -> &'static str {
    match id {
        1 => "SSL",
        2 => "SASL_PLAINTEXT",
        3 => "SASL_SSL",
        _ => "PLAINTEXT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::messages::update_metadata::*;

    fn update(topic: &str, id: u128, partition: i32, leader: i32) -> Request {
        Request {
            controller_id: 1,
            live_brokers: vec![UpdateMetadataBroker {
                id: 1,
                endpoints: vec![UpdateMetadataEndpoint {
                    port: 9092,
                    host: "h".into(),
                    listener: "PLAINTEXT".into(),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            topic_states: vec![UpdateMetadataTopicState {
                topic_name: topic.into(),
                topic_id: crate::ids::Uuid(id),
                partition_states: vec![UpdateMetadataPartitionState {
                    partition_index: partition,
                    leader,
                    replicas: vec![1],
                    ..Default::default()
                }],
            }],
            ..Default::default()
        }
    }

    #[test]
    fn partitions_come_and_go() {
        let cache = MetadataCache::default();
        assert!(cache.update(&update("t", 7, 0, 1)).is_empty());
        cache.update(&update("t", 7, 1, 1));
        let before = cache.image();
        assert_eq!(before.topic("t").unwrap().partitions.len(), 2);
        assert_eq!(&*before.topic_by_id(crate::ids::Uuid(7)).unwrap().name, "t");
        assert_eq!(before.endpoint(BrokerId(1), "PLAINTEXT").unwrap().port, 9092);
        assert_eq!(cache.update(&update("t", 7, 0, LEADER_DURING_DELETE)), [TopicPartition::new("t", 0)]);
        cache.update(&update("t", 7, 1, LEADER_DURING_DELETE));
        assert!(cache.image().topic("t").is_none());
        assert!(cache.image().topic_by_id(crate::ids::Uuid(7)).is_none());
        // An image in hand does not change.
        assert_eq!(before.topic("t").unwrap().partitions.len(), 2);
    }

    #[test]
    fn a_recreated_topic_is_not_found_by_its_old_id() {
        let cache = MetadataCache::default();
        cache.update(&update("t", 7, 0, 1));
        cache.update(&update("t", 8, 0, 1));
        assert!(cache.image().topic_by_id(crate::ids::Uuid(7)).is_none());
        assert_eq!(cache.image().topic_by_id(crate::ids::Uuid(8)).unwrap().id.0, 8);
    }
}
