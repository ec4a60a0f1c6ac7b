//! Records of `__transaction_state`: keys, values and the batches that carry them (layout in
//! `schema/transaction_log.messages`). Studied: `TransactionLog`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::machine::{Image, State};
use crate::ids::TopicPartition;
use crate::record::BatchBuilder;
use crate::time::Millis;
use crate::wire::messages::{transaction_log_key, transaction_log_value};
use crate::wire::{Message, WireError, frame};

const KEY_VERSION: i16 = 0;
/// Version that is written; 1, of `transaction.version` 1 and above, is read as well.
const VALUE_VERSION: i16 = 0;

/// Why a record is skipped.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("{0}")]
    Wire(#[from] WireError),
    #[error("key version {0} is not known")]
    KeyVersion(i16),
    #[error("state {0} is not known")]
    State(i8),
}

fn versioned<M: Message>(version: i16, message: &M) -> Bytes {
    frame::encode_versioned(version, message)
        .and_then(|out| out.into_bytes().map_err(|_| WireError::Length(-1)))
        .expect("internal records hold nothing that these versions cannot carry")
}

pub fn key(transactional_id: &str) -> Bytes {
    versioned(KEY_VERSION, &transaction_log_key::Data { transactional_id: transactional_id.into() })
}

/// Value of an id as it stands. Empty ids have null for partitions, others a list, by topic (Kafka has no order there).
pub fn value(image: &Image) -> Bytes {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for tp in &image.partitions {
        topics.entry(&tp.topic).or_default().push(tp.partition);
    }
    let partitions = topics
        .into_iter()
        .map(|(topic, partition_ids)| transaction_log_value::PartitionsSchema { topic: topic.into(), partition_ids });
    let value = transaction_log_value::Data {
        producer_id: image.producer_id,
        producer_epoch: image.epoch,
        transaction_timeout_ms: image.timeout_ms,
        transaction_status: image.state as i8,
        transaction_partitions: (image.state != State::Empty).then(|| partitions.collect()),
        transaction_last_update_timestamp_ms: image.update_ms,
        transaction_start_timestamp_ms: image.start_ms,
    };
    versioned(VALUE_VERSION, &value)
}

/// One batch of records, stamped with the wall clock.
pub fn batch(records: &[(Bytes, Option<Bytes>)], wall_ms: Millis) -> Bytes {
    let mut builder = BatchBuilder::new();
    for (key, value) in records {
        builder.push(wall_ms, Some(key), value.as_deref(), &[]);
    }
    builder.build()
}

/// Reads a record back: the transactional id, and `None` for a tombstone.
pub fn parse(key: Bytes, value: Option<Bytes>) -> Result<(String, Option<Image>), RecordError> {
    let (version, mut key) = frame::read_version(key)?;
    if version != KEY_VERSION {
        return Err(RecordError::KeyVersion(version));
    }
    let key = transaction_log_key::Data::read(&mut key, version)?;
    let id = key.transactional_id.to_string();
    let Some(value) = value else { return Ok((id, None)) };
    let (version, mut value) = frame::read_version(value)?;
    let value = transaction_log_value::Data::read(&mut value, version)?;
    let state = State::from_id(value.transaction_status).ok_or(RecordError::State(value.transaction_status))?;
    let mut partitions = BTreeSet::new();
    for topic in value.transaction_partitions.iter().flatten() {
        let name: std::sync::Arc<str> = (&*topic.topic).into();
        partitions.extend(topic.partition_ids.iter().map(|partition| TopicPartition::new(name.clone(), *partition)));
    }
    Ok((
        id,
        Some(Image {
            producer_id: value.producer_id,
            epoch: value.producer_epoch,
            last_producer_id: -1,
            last_epoch: -1,
            timeout_ms: value.transaction_timeout_ms,
            state,
            partitions,
            start_ms: value.transaction_start_timestamp_ms,
            update_ms: value.transaction_last_update_timestamp_ms,
        }),
    ))
}
