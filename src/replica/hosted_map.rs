//! The partitions of this broker, by name: sharded, so that a look-up takes a short read lock and no allocation.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::ids::{TopicName, TopicPartition};

use super::hosted::Partition;

const SHARDS: usize = 64;

/// A hosted partition, or the memory of one whose log dir failed.
#[derive(Clone)]
pub enum Hosted {
    Online(Arc<Partition>),
    Offline,
}

type Shard = HashMap<TopicName, HashMap<i32, Hosted>>;

/// See the head of the file.
pub struct HostedMap {
    shards: Vec<RwLock<Shard>>,
}

impl Default for HostedMap {
    fn default() -> Self {
        Self { shards: std::iter::repeat_with(RwLock::default).take(SHARDS).collect() }
    }
}

impl HostedMap {
    fn shard(&self, topic: &str) -> &RwLock<Shard> {
        let mut hasher = std::hash::DefaultHasher::new();
        topic.hash(&mut hasher);
        &self.shards[hasher.finish() as usize % SHARDS]
    }

    pub fn get(&self, topic: &str, partition: i32) -> Option<Hosted> {
        self.shard(topic).read().get(topic)?.get(&partition).cloned()
    }

    pub fn insert(&self, tp: &TopicPartition, hosted: Hosted) {
        self.shard(&tp.topic).write().entry(tp.topic.clone()).or_default().insert(tp.partition, hosted);
    }

    pub fn remove(&self, tp: &TopicPartition) -> Option<Hosted> {
        let mut shard = self.shard(&tp.topic).write();
        let partitions = shard.get_mut(&tp.topic)?;
        let removed = partitions.remove(&tp.partition);
        if partitions.is_empty() {
            shard.remove(&tp.topic);
        }
        removed
    }

    /// All partitions that are online, in no order.
    pub fn online(&self) -> Vec<Arc<Partition>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            for hosted in shard.read().values().flat_map(|partitions| partitions.values()) {
                if let Hosted::Online(partition) = hosted {
                    all.push(partition.clone());
                }
            }
        }
        all
    }

    /// Number of partitions whose log dir failed.
    pub fn offline_count(&self) -> usize {
        let offline = |shard: &RwLock<Shard>| {
            let shard = shard.read();
            shard.values().flat_map(|p| p.values()).filter(|hosted| matches!(hosted, Hosted::Offline)).count()
        };
        self.shards.iter().map(offline).sum()
    }
}
