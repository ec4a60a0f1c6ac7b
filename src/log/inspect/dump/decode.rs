//! Keys and values of records: text, numbers, or what they mean in Kafka's internal topics.
//! Source of the layouts: `DumpLogSegments`, `TransactionLog.formatRecordKeyAndValue`, the generated JSON converters.

use std::fmt::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};

use super::{Content, Decoder};
use crate::ids::java_string_hash;
use crate::log::inspect::InspectError;
use crate::log::inspect::text::{ScalaTable, push_json_text, push_utf8};
use crate::wire::messages::{
    consumer_protocol_assignment, consumer_protocol_subscription, group_metadata_key, group_metadata_value,
    offset_commit_key, offset_commit_value, transaction_log_key, transaction_log_value,
};
use crate::wire::{Message, Reader, WireError, frame};

/// Prints the content of records of one file.
pub struct Printer<'a> {
    pub content: Content,
    pub path: &'a Path,
}

impl Printer<'_> {
    /// Appends ` key: … payload: …`, with `separator` before the key.
    pub fn print(
        &self,
        out: &mut String,
        separator: &str,
        offset: i64,
        key: Option<&Bytes>,
        value: Option<&Bytes>,
    ) -> Result<(), InspectError> {
        let corrupt = |what: String| InspectError::corrupt(self.path, format!("at offset {offset}: {what}"));
        match self.content {
            Content::Records { key: key_decoder, value: value_decoder } => {
                if let Some(key) = key {
                    out.push_str(separator);
                    out.push_str("key: ");
                    push(out, key_decoder, key).map_err(corrupt)?;
                }
                if let Some(value) = value {
                    out.push_str(" payload: ");
                    push(out, value_decoder, value).map_err(corrupt)?;
                }
            }
            Content::Offsets => {
                let key = key.ok_or_else(|| corrupt("a record of the offsets topic without a key".to_owned()))?;
                let (key, value) = match offsets_record(key, value) {
                    Ok(Some(found)) => found,
                    Ok(None) => {
                        let kind = key.clone().try_get_i16().unwrap_or_default();
                        (format!("Unknown record type {kind} at offset {offset}, skipping."), None)
                    }
                    Err(error) => (format!("Error at offset {offset}, skipping. {error}"), None),
                };
                push_both(out, separator, &key, value.as_deref());
            }
            Content::TransactionLog => {
                let key = key.ok_or_else(|| corrupt("a record of the transaction log without a key".to_owned()))?;
                let (key, value) = transaction_record(key, value).map_err(corrupt)?;
                push_both(out, separator, &key, value.as_deref());
            }
        }
        Ok(())
    }
}

fn push_both(out: &mut String, separator: &str, key: &str, value: Option<&str>) {
    out.push_str(separator);
    out.push_str("key: ");
    out.push_str(key);
    if let Some(value) = value {
        out.push_str(" payload: ");
        out.push_str(value);
    }
}

fn push(out: &mut String, decoder: Decoder, bytes: &Bytes) -> Result<(), String> {
    let short = || format!("{} bytes are too few for a number", bytes.len());
    match decoder {
        Decoder::Text => push_utf8(out, bytes),
        Decoder::Integer => push_number(out, bytes.clone().try_get_i32().map_err(|_| short())?.into()),
        Decoder::Long => push_number(out, bytes.clone().try_get_i64().map_err(|_| short())?),
    }
    Ok(())
}

fn push_number(out: &mut String, number: i64) {
    write!(out, "{number}").expect("a string takes everything");
}

/// JSON in the order and form of Kafka's converters.
#[derive(Default)]
struct Json(String);

impl Json {
    fn name(&mut self, name: &str) {
        if !self.0.ends_with(['{', '[']) && !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    fn number(&mut self, name: &str, number: i64) {
        self.name(name);
        push_number(&mut self.0, number);
    }

    fn text(&mut self, name: &str, text: Option<&str>) {
        self.name(name);
        match text {
            Some(text) => push_json_text(&mut self.0, text),
            None => self.0.push_str("null"),
        }
    }

    fn bytes(&mut self, name: &str, bytes: Option<&[u8]>) {
        self.text(name, bytes.map(|bytes| STANDARD.encode(bytes)).as_deref());
    }

    fn list<T>(&mut self, name: &str, items: &[T], mut item: impl FnMut(&mut Self, &T)) {
        self.name(name);
        self.0.push('[');
        for (n, each) in items.iter().enumerate() {
            if n > 0 {
                self.0.push(',');
            }
            item(self, each);
        }
        self.0.push(']');
    }

    fn object(&mut self, fields: impl FnOnce(&mut Self)) {
        self.0.push('{');
        fields(self);
        self.0.push('}');
    }
}

fn versioned(head: &str, version: i16, fields: impl FnOnce(&mut Json)) -> String {
    let mut json = Json::default();
    json.object(|json| {
        json.text(head, Some(&version.to_string()));
        json.name("data");
        json.object(fields);
    });
    json.0
}

/// A key or value, or Kafka's words for why it is none.
fn read<M: Message>(mut reader: Reader, version: i16, what: &str) -> Result<M, String> {
    let explain = |error: WireError| {
        format!("Could not read record with version {version} from {what}'s buffer due to: {error}.")
    };
    M::read(&mut reader, version).map_err(explain)
}

fn version_of(bytes: &Bytes, what: &str) -> Result<(i16, Reader), String> {
    frame::read_version(bytes.clone()).map_err(|_| format!("Could not read version from {what}'s buffer."))
}

/// Key and value of a record of `__consumer_offsets`; `None` if its kind is unknown.
fn offsets_record(key: &Bytes, value: Option<&Bytes>) -> Result<Option<(String, Option<String>)>, String> {
    let (kind, reader) = version_of(key, "key")?;
    let key = match kind {
        0 | 1 => {
            let key: offset_commit_key::Data = read(reader, kind, "key")?;
            versioned("type", kind, |json| {
                json.text("group", Some(&key.group));
                json.text("topic", Some(&key.topic));
                json.number("partition", key.partition.into());
            })
        }
        2 => {
            let key: group_metadata_key::Data = read(reader, kind, "key")?;
            versioned("type", kind, |json| json.text("group", Some(&key.group)))
        }
        _ => return Ok(None),
    };
    let Some(value) = value else { return Ok(Some((key, Some("<DELETE>".to_owned())))) };
    let (version, reader) = version_of(value, "value")?;
    let value = if kind == 2 {
        let value: group_metadata_value::Data = read(reader, version, "value")?;
        versioned("version", version, |json| group(json, &value, version))
    } else {
        let value: offset_commit_value::Data = read(reader, version, "value")?;
        versioned("version", version, |json| {
            json.number("offset", value.offset);
            if version >= 3 {
                json.number("leaderEpoch", value.leader_epoch.into());
            }
            json.text("metadata", Some(&value.metadata));
            json.number("commitTimestamp", value.commit_timestamp);
            if version == 1 {
                json.number("expireTimestamp", value.expire_timestamp);
            }
        })
    };
    Ok(Some((key, Some(value))))
}

fn group(json: &mut Json, value: &group_metadata_value::Data, version: i16) {
    json.text("protocolType", Some(&value.protocol_type));
    json.number("generation", value.generation.into());
    json.text("protocol", value.protocol.as_deref());
    json.text("leader", value.leader.as_deref());
    if version >= 2 {
        json.number("currentStateTimestamp", value.current_state_timestamp);
    }
    let consumers = &*value.protocol_type == "consumer";
    json.list("members", &value.members, |json, member| {
        json.object(|json| {
            json.text("memberId", Some(&member.member_id));
            if version >= 3 {
                json.text("groupInstanceId", member.group_instance_id.as_deref());
            }
            json.text("clientId", Some(&member.client_id));
            json.text("clientHost", Some(&member.client_host));
            if version >= 1 {
                json.number("rebalanceTimeout", member.rebalance_timeout.into());
            }
            json.number("sessionTimeout", member.session_timeout.into());
            match subscription(&member.subscription).filter(|_| consumers) {
                Some((subscription, version)) => {
                    json.name("subscription");
                    json.object(|json| write_subscription(json, &subscription, version));
                }
                None => json.bytes("subscription", Some(&member.subscription)),
            }
            match assignment(&member.assignment).filter(|_| consumers) {
                Some(assignment) => {
                    json.name("assignment");
                    json.object(|json| {
                        json.list("assignedPartitions", &assignment.assigned_partitions, |json, topic| {
                            write_partitions(json, &topic.topic, &topic.partitions);
                        });
                        json.bytes("userData", assignment.user_data.as_deref());
                    });
                }
                None => json.bytes("assignment", Some(&member.assignment)),
            }
        });
    });
}

fn subscription(bytes: &Bytes) -> Option<(consumer_protocol_subscription::Data, i16)> {
    let (version, mut reader) = frame::read_version(bytes.clone()).ok()?;
    Some((consumer_protocol_subscription::Data::read(&mut reader, version).ok()?, version))
}

fn assignment(bytes: &Bytes) -> Option<consumer_protocol_assignment::Data> {
    let (version, mut reader) = frame::read_version(bytes.clone()).ok()?;
    consumer_protocol_assignment::Data::read(&mut reader, version).ok()
}

fn write_subscription(json: &mut Json, subscription: &consumer_protocol_subscription::Data, version: i16) {
    json.list("topics", &subscription.topics, |json, topic| push_json_text(&mut json.0, topic));
    json.bytes("userData", subscription.user_data.as_deref());
    if version >= 1 {
        json.list("ownedPartitions", &subscription.owned_partitions, |json, topic| {
            write_partitions(json, &topic.topic, &topic.partitions);
        });
    }
    if version >= 2 {
        json.number("generationId", subscription.generation_id.into());
    }
    if version >= 3 {
        json.text("rackId", subscription.rack_id.as_deref());
    }
}

fn write_partitions(json: &mut Json, topic: &str, partitions: &[i32]) {
    json.object(|json| {
        json.text("topic", Some(topic));
        json.list("partitions", partitions, |json, partition| push_number(&mut json.0, (*partition).into()));
    });
}

/// Key and value of a record of `__transaction_state`.
fn transaction_record(key: &Bytes, value: Option<&Bytes>) -> Result<(String, Option<String>), String> {
    let (version, mut reader) = version_of(key, "key")?;
    if version != 0 {
        return Ok((format!("unknown::version={version}"), None));
    }
    let key = transaction_log_key::Data::read(&mut reader, version).map_err(|error| error.to_string())?;
    let key = format!("transaction_metadata::transactionalId={}", key.transactional_id);
    let Some(value) = value else { return Ok((key, Some("<DELETE>".to_owned()))) };
    let (version, mut reader) = version_of(value, "value")?;
    if !matches!(version, 0 | 1) {
        return Err(format!("unknown version {version} of a transaction's state"));
    }
    let value = transaction_log_value::Data::read(&mut reader, version).map_err(|error| error.to_string())?;
    let state = match value.transaction_status {
        0 => "Empty",
        1 => "Ongoing",
        2 => "PrepareCommit",
        3 => "PrepareAbort",
        4 => "CompleteCommit",
        5 => "CompleteAbort",
        6 => "Dead",
        7 => "PrepareEpochFence",
        status => return Err(format!("unknown transaction state {status}")),
    };
    let topics = match (&value.transaction_partitions, state) {
        (_, "Empty") => &[][..],
        (Some(topics), _) => topics,
        (None, _) => return Err(format!("no partitions in state {state}")),
    };
    let value = format!(
        "producerId:{},producerEpoch:{},state={state},partitions=[{}],txnLastUpdateTimestamp={},txnTimeoutMs={}",
        value.producer_id,
        value.producer_epoch,
        in_scala_order(topics).join(","),
        value.transaction_last_update_timestamp_ms,
        value.transaction_timeout_ms,
    );
    Ok((key, Some(value)))
}

/// `topic-partition` names in the order of the hash set that Kafka prints.
fn in_scala_order(topics: &[transaction_log_value::PartitionsSchema]) -> Vec<String> {
    let (mut names, mut table) = (Vec::new(), ScalaTable::default());
    for topic in topics {
        table.size_hint(topic.partition_ids.len());
        for partition in &topic.partition_ids {
            let name = format!("{}-{partition}", topic.topic);
            if !names.contains(&name) {
                // `TopicPartition.hashCode`
                table.add(
                    31i32.wrapping_mul(31i32.wrapping_add(*partition)).wrapping_add(java_string_hash(&topic.topic)),
                );
                names.push(name);
            }
        }
    }
    table.order().into_iter().map(|index| std::mem::take(&mut names[index])).collect()
}
