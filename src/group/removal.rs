//! How offsets and groups go: deletion by an administrator, deletion of a topic, expiry. Each removal leaves tombstones
//! in the log; they are appended under the shard's lock, so that none can come after a newer commit of its partition.
//! Studied: `GroupMetadataManager.cleanupGroupMetadata`, `GroupMetadata.removeExpiredOffsets` (KIP-211, KIP-229, KIP-496).

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::coordinator::{Coordinator, Held, Shard, ShardState};
use super::machine::{Group, State};
use super::offsets::Offsets;
use super::records;
use crate::error::ErrorCode;
use crate::ids::TopicPartition;
use crate::time::Millis;
use crate::wire::Message;
use crate::wire::frame::read_version;
use crate::wire::messages::consumer_protocol_subscription::Data as Subscription;

/// Protocol type of consumers, the only one whose subscriptions a broker can read.
const CONSUMER: &str = "consumer";
/// Records in one batch of tombstones, so that the largest keys stay below the limit of a batch.
const TOMBSTONES_IN_BATCH: usize = 1000;

type Tombstones = Vec<(Bytes, Option<Bytes>)>;

impl Coordinator {
    /// DeleteGroups: removes an empty group with its offsets.
    ///
    /// # Errors
    /// NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND, or that the group does not live here.
    pub fn delete_group(&self, group_id: &str) -> Result<(), ErrorCode> {
        let shard = self.shard(group_id)?;
        let mut state = shard.state.lock();
        let held = state.groups.get_mut(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        match held.machine.state {
            State::Dead => return Err(ErrorCode::GroupIdNotFound),
            State::Empty => {}
            _ => return Err(ErrorCode::NonEmptyGroup),
        }
        let all = held.offsets.iter().map(|(partition, _)| partition.clone()).collect();
        let mut tombstones = remove(group_id, held, all);
        tombstones.extend(bury(group_id, &mut state));
        self.write(&shard, tombstones);
        Ok(())
    }

    /// OffsetDelete: removes offsets, except of topics that members of the group subscribe to; those are returned.
    ///
    /// # Errors
    /// NON_EMPTY_GROUP if subscriptions of its members cannot be known, GROUP_ID_NOT_FOUND, or that it is not here.
    pub fn delete_offsets(
        &self,
        group_id: &str,
        partitions: Vec<TopicPartition>,
    ) -> Result<Vec<TopicPartition>, ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let shard = self.shard(group_id)?;
        let mut state = shard.state.lock();
        let held = state.groups.get_mut(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        let group = &held.machine;
        let (kept, removed): (Vec<_>, Vec<_>) = match group.state {
            State::Dead => return Err(ErrorCode::GroupIdNotFound),
            State::Empty => (Vec::new(), partitions),
            _ if group.protocol_type.as_deref() != Some(CONSUMER) => return Err(ErrorCode::NonEmptyGroup),
            _ => {
                let subscribed = subscribed_topics(group);
                // What cannot be read may name any topic.
                let keeps = |tp: &TopicPartition| subscribed.as_ref().is_none_or(|topics| topics.contains(&*tp.topic));
                partitions.into_iter().partition(keeps)
            }
        };
        let tombstones = remove(group_id, held, removed);
        let tombstones = finish(group_id, &mut state, tombstones);
        self.write(&shard, tombstones);
        Ok(kept)
    }

    /// A topic is being deleted: no group keeps offsets of it. Does not block.
    pub fn partitions_deleted(self: &Arc<Self>, partitions: Vec<TopicPartition>) {
        let coordinator = self.clone();
        self.runtime.spawn(Box::pin(async move {
            coordinator.sweep(|held| {
                partitions.iter().filter(|partition| held.offsets.get(partition).is_some()).cloned().collect()
            });
        }));
    }

    /// Removes offsets that have expired, and groups that have nothing left.
    pub fn expire_offsets(&self) {
        let (now, retention_ms) = (self.clock.wall_ms(), self.config.offsets_retention_ms);
        let removed = self.sweep(|held| expired(&held.machine, &held.offsets, now, retention_ms));
        if removed > 0 {
            tracing::info!(target: "kafka.coordinator.group", removed, "Removed expired offsets");
        }
    }

    /// Removes of every group what `select` says; returns the number of offsets.
    fn sweep(&self, select: impl Fn(&Held) -> Vec<TopicPartition>) -> usize {
        let shards: Vec<Arc<Shard>> = self.shards.read().values().cloned().collect();
        let mut removed = 0;
        for shard in shards {
            let mut state = shard.state.lock();
            if state.loading {
                continue;
            }
            let ids: Vec<String> = state.groups.keys().cloned().collect();
            let mut all = Tombstones::new();
            for id in ids {
                let Some(held) = state.groups.get_mut(&id) else { continue };
                let tombstones = remove(&id, held, select(held));
                removed += tombstones.len();
                all.extend(finish(&id, &mut state, tombstones));
            }
            self.write(&shard, all);
        }
        removed
    }

    /// Appends tombstones. That they are not written yet when this broker ends makes offsets come back, no more.
    fn write(&self, shard: &Arc<Shard>, tombstones: Tombstones) {
        for lines in tombstones.chunks(TOMBSTONES_IN_BATCH) {
            let batch = records::batch(lines, self.clock.wall_ms());
            let appended = self.log.append(shard.partition, batch, 1, self.config.commit_timeout_ms);
            let (partition, count) = (shard.partition, lines.len());
            self.runtime.spawn(Box::pin(async move {
                if let Err(error) = appended.await {
                    tracing::error!(target: "kafka.coordinator.group", partition, count, %error,
                        "Failed to append tombstones; the offsets will be back with the next load");
                }
            }));
        }
    }
}

/// Takes offsets out of a group; the tombstones of those that were there.
fn remove(group_id: &str, held: &mut Held, partitions: Vec<TopicPartition>) -> Tombstones {
    let removed = partitions.into_iter().filter(|partition| held.offsets.remove(partition));
    removed.map(|partition| (records::offset_key(group_id, &partition), None)).collect()
}

/// After a removal, or at a sweep: a group with neither members nor offsets goes as well. One that has given out a
/// member id that may still come back stays.
fn finish(group_id: &str, state: &mut ShardState, mut tombstones: Tombstones) -> Tombstones {
    let is_over = |held: &Held| {
        held.machine.state == State::Empty && held.offsets.is_empty() && held.machine.deadline().is_none()
    };
    if state.groups.get(group_id).is_some_and(is_over) {
        tombstones.extend(bury(group_id, state));
    }
    tombstones
}

/// Removes an empty group. Generation 0 has never been written: the group only stored offsets.
fn bury(group_id: &str, state: &mut ShardState) -> Option<(Bytes, Option<Bytes>)> {
    let held = state.groups.remove(group_id)?;
    (held.machine.generation > 0).then(|| (records::group_key(group_id), None))
}

/// Topics that members of a consumer group subscribe to; `None` if that cannot be known.
fn subscribed_topics(group: &Group) -> Option<BTreeSet<String>> {
    let members = group.members();
    if group.protocol_type.as_deref() != Some(CONSUMER) {
        return None;
    }
    if members.is_empty() {
        return Some(BTreeSet::new());
    }
    let protocol = group.protocol.as_deref()?;
    let mut topics = BTreeSet::new();
    for member in members {
        let (version, mut body) = read_version(member.metadata(protocol)).ok()?;
        // Newer versions only add fields at the end.
        let subscription = Subscription::read(&mut body, version.min(SUBSCRIPTION_VERSION)).ok()?;
        topics.extend(subscription.topics.iter().map(ToString::to_string));
    }
    Some(topics)
}

/// Newest version of a subscription that is understood whole.
const SUBSCRIPTION_VERSION: i16 = 3;

/// Offsets whose time is over, at the wall clock `now` (KIP-211).
fn expired(group: &Group, offsets: &Offsets, now: Millis, retention_ms: Millis) -> Vec<TopicPartition> {
    // An empty group's offsets live from the moment it became empty, others from their commit.
    let (since, subscribed) = match group.protocol_type.as_deref() {
        Some(_) if group.state == State::Empty => (group.current_state_timestamp, BTreeSet::new()),
        Some(CONSUMER) if group.state == State::Stable => match subscribed_topics(group) {
            Some(topics) => (None, topics),
            None => return Vec::new(),
        },
        None => (None, BTreeSet::new()),
        Some(_) => return Vec::new(),
    };
    let over = offsets.iter().filter(|(partition, committed)| {
        !subscribed.contains(&*partition.topic)
            && !offsets.is_unstable(partition)
            && match committed.expire_timestamp {
                Some(at) => now >= at,
                None => now - since.unwrap_or(committed.commit_timestamp) >= retention_ms,
            }
    });
    over.map(|(partition, _)| partition.clone()).collect()
}

#[cfg(test)]
#[path = "removal_tests.rs"]
mod tests;
