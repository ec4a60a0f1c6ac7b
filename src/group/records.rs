//! Records of `__consumer_offsets`: keys, values and the batches that carry them (coordinators.md 3.3).
//!
//! The layout is declared in `schema/group_log.messages`; here are the versions that Kafka 3.9.1 writes.

use bytes::Bytes;

use super::machine::{Group, State};
use super::member::Member;
use super::offsets::Committed;
use crate::ids::{LeaderEpoch, Offset, TopicPartition};
use crate::record::{Attributes, BatchBuilder};
use crate::time::Millis;
use crate::wire::messages::{group_metadata_key, group_metadata_value, offset_commit_key, offset_commit_value};
use crate::wire::{Message, WireError, frame};

/// Version of an offset's key; 0 is read as well.
const OFFSET_KEY_VERSION: i16 = 1;
const GROUP_KEY_VERSION: i16 = 2;
const OFFSET_VALUE_VERSION: i16 = 3;
/// With an explicit expiry, which later versions cannot carry.
const OFFSET_VALUE_WITH_EXPIRY_VERSION: i16 = 1;
const GROUP_VALUE_VERSION: i16 = 3;

/// A record that was understood.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    /// `None` is a tombstone.
    Offset {
        group: String,
        partition: TopicPartition,
        committed: Option<Committed>,
    },
    Group {
        group: String,
        value: Option<group_metadata_value::Data>,
    },
    /// A kind of a newer release: left alone.
    Unknown {
        version: i16,
    },
}

fn versioned<M: Message>(version: i16, message: &M) -> Bytes {
    frame::encode_versioned(version, message)
        .and_then(|out| out.into_bytes().map_err(|_| WireError::Length(-1)))
        .expect("internal records hold nothing that these versions cannot carry")
}

/// Key of a partition's offset.
pub fn offset_key(group: &str, partition: &TopicPartition) -> Bytes {
    let key = offset_commit_key::Data {
        group: group.into(),
        topic: (&*partition.topic).into(),
        partition: partition.partition,
    };
    versioned(OFFSET_KEY_VERSION, &key)
}

/// Value of a partition's offset.
pub fn offset_value(committed: &Committed) -> Bytes {
    let value = offset_commit_value::Data {
        offset: committed.offset.0,
        leader_epoch: committed.leader_epoch.0,
        metadata: committed.metadata.as_str().into(),
        commit_timestamp: committed.commit_timestamp,
        expire_timestamp: committed.expire_timestamp.unwrap_or(-1),
    };
    match committed.expire_timestamp {
        Some(_) => versioned(OFFSET_VALUE_WITH_EXPIRY_VERSION, &value),
        None => versioned(OFFSET_VALUE_VERSION, &value),
    }
}

/// Key of a group.
pub fn group_key(group: &str) -> Bytes {
    versioned(GROUP_KEY_VERSION, &group_metadata_key::Data { group: group.into() })
}

/// Value of a group as it stands; an empty group keeps its protocol type alone.
pub fn group_value(group: &Group) -> Bytes {
    let protocol = group.protocol.clone().unwrap_or_default();
    let empty = group.state == State::Empty || group.size() == 0;
    let members = group.members().into_iter().map(|member| group_metadata_value::MemberMetadata {
        member_id: member.id.as_str().into(),
        group_instance_id: member.instance_id.as_deref().map(Into::into),
        client_id: member.client_id.as_str().into(),
        client_host: member.client_host.as_str().into(),
        rebalance_timeout: member.rebalance_timeout_ms,
        session_timeout: member.session_timeout_ms,
        subscription: member.metadata(&protocol),
        assignment: member.assignment.clone(),
    });
    let value = group_metadata_value::Data {
        protocol_type: group.protocol_type.as_deref().unwrap_or_default().into(),
        generation: group.generation,
        protocol: group.protocol.as_deref().filter(|_| !empty).map(Into::into),
        leader: group.leader.as_deref().filter(|_| !empty).map(Into::into),
        current_state_timestamp: group.current_state_timestamp.unwrap_or(-1),
        members: members.collect(),
    };
    versioned(GROUP_VALUE_VERSION, &value)
}

/// One batch of records, stamped with the wall clock.
pub fn batch(records: &[(Bytes, Option<Bytes>)], wall_ms: Millis) -> Bytes {
    let mut builder = BatchBuilder::new();
    for (key, value) in records {
        builder.push(wall_ms, Some(key), value.as_deref(), &[]);
    }
    builder.build()
}

/// The same as part of a producer's transaction; the coordinator counts no sequences.
pub fn txn_batch(records: &[(Bytes, Option<Bytes>)], wall_ms: Millis, producer_id: i64, epoch: i16) -> Bytes {
    let mut builder = BatchBuilder::new().producer(producer_id, epoch, 0).attributes(Attributes::TRANSACTIONAL);
    for (key, value) in records {
        builder.push(wall_ms, Some(key), value.as_deref(), &[]);
    }
    builder.build()
}

/// Reads a record back.
pub fn parse(key: Bytes, value: Option<Bytes>) -> Result<Entry, WireError> {
    let (key_version, mut key) = frame::read_version(key)?;
    match key_version {
        0 | 1 => {
            let key = offset_commit_key::Data::read(&mut key, key_version)?;
            let committed = value.map(parse_offset).transpose()?;
            let partition = TopicPartition::new(&*key.topic, key.partition);
            Ok(Entry::Offset { group: key.group.to_string(), partition, committed })
        }
        2 => {
            let key = group_metadata_key::Data::read(&mut key, key_version)?;
            let value = value
                .map(|value| {
                    let (version, mut value) = frame::read_version(value)?;
                    group_metadata_value::Data::read(&mut value, version)
                })
                .transpose()?;
            Ok(Entry::Group { group: key.group.to_string(), value })
        }
        version => Ok(Entry::Unknown { version }),
    }
}

fn parse_offset(value: Bytes) -> Result<Committed, WireError> {
    let (version, mut value) = frame::read_version(value)?;
    let value = offset_commit_value::Data::read(&mut value, version)?;
    Ok(Committed {
        offset: Offset(value.offset),
        leader_epoch: LeaderEpoch(value.leader_epoch),
        metadata: value.metadata.to_string(),
        commit_timestamp: value.commit_timestamp,
        expire_timestamp: (value.expire_timestamp >= 0).then_some(value.expire_timestamp),
    })
}

/// A group as its record tells; members have no request waiting, and their sessions start anew.
pub fn restore(id: &str, value: &group_metadata_value::Data, now: Millis) -> Group {
    let mut group = Group::new(id);
    group.protocol_type = Some(value.protocol_type.to_string()).filter(|name| !name.is_empty());
    group.generation = value.generation;
    group.protocol = value.protocol.as_ref().map(ToString::to_string);
    group.leader = value.leader.as_ref().map(ToString::to_string);
    group.current_state_timestamp = (value.current_state_timestamp >= 0).then_some(value.current_state_timestamp);
    group.state = if value.members.is_empty() { State::Empty } else { State::Stable };
    for member in &value.members {
        let rebalance = if member.rebalance_timeout > 0 { member.rebalance_timeout } else { member.session_timeout };
        let protocol = group.protocol.clone().unwrap_or_default();
        group.restore(
            Member {
                id: member.member_id.to_string(),
                instance_id: member.group_instance_id.as_ref().map(ToString::to_string),
                client_id: member.client_id.to_string(),
                client_host: member.client_host.to_string(),
                rebalance_timeout_ms: rebalance,
                session_timeout_ms: member.session_timeout,
                protocols: vec![(protocol, Bytes::copy_from_slice(&member.subscription))],
                assignment: Bytes::copy_from_slice(&member.assignment),
                awaiting_join: None,
                awaiting_sync: None,
                is_new: false,
                session_deadline: 0,
                seq: 0,
            },
            now,
        );
    }
    group
}
