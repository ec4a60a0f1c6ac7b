//! What AlterConfigs and IncrementalAlterConfigs have in common: the way from a request to `/config`.
//!
//! The broker that gets the request writes to ZooKeeper itself, and applies the change when `/config/changes` tells it, as
//! all others do. Studied: ConfigAdminManager, ZkAdminManager, RuntimeLoggerManager.

use std::collections::BTreeSet;

use super::prelude::*;
use crate::cluster::topics::{self, TopicError};
use crate::config::alter::{self, AlterError, Level, Op};
use crate::zk::data::EntityConfig;
use crate::zk::path::{self, EntityType};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;

/// One resource of a request.
pub struct Change<'a> {
    pub kind: i8,
    pub name: &'a str,
    pub entries: Vec<Entry<'a>>,
}

/// One setting of a resource.
pub struct Entry<'a> {
    pub name: &'a str,
    /// The number of the operation; all are `SET` where the settings are replaced whole.
    pub op: i8,
    pub value: Option<&'a str>,
}

/// Are the settings replaced (AlterConfigs) or changed one by one?
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum How {
    Replace,
    Merge,
}

/// The code, and a text if there is one.
pub type Refusal = (ErrorCode, Option<String>);

fn invalid(text: impl Into<String>) -> Refusal {
    (ErrorCode::InvalidRequest, Some(text.into()))
}

fn from_topic(error: TopicError) -> Refusal {
    let code = ErrorCode::from(&error);
    (code, Some(error.to_string()).filter(|_| code != ErrorCode::UnknownServerError))
}

/// Makes the changes, each for itself; the outcomes are in the order of the changes.
pub async fn make(broker: &Broker, changes: &[Change<'_>], how: How, validate_only: bool) -> Vec<Result<(), Refusal>> {
    let mut outcomes = Vec::with_capacity(changes.len());
    for change in changes {
        let times = changes.iter().filter(|other| (other.kind, other.name) == (change.kind, change.name)).count();
        outcomes.push(match times {
            1 => make_one(broker, change, how, validate_only).await,
            _ => Err(invalid("Each resource must appear at most once.")),
        });
    }
    outcomes
}

async fn make_one(broker: &Broker, change: &Change<'_>, how: How, validate_only: bool) -> Result<(), Refusal> {
    let names: BTreeSet<&str> = change.entries.iter().map(|entry| entry.name).collect();
    if names.len() != change.entries.len() {
        return Err(invalid("Error due to duplicate config keys"));
    }
    let deletes = |entry: &Entry<'_>| how == How::Merge && Op::from_wire(entry.op) == Some(Op::Delete);
    let nulls = change.entries.iter().filter(|entry| entry.value.is_none() && !deletes(entry));
    let nulls: Vec<&str> = nulls.map(|entry| entry.name).collect();
    if !nulls.is_empty() {
        return Err(invalid(format!("Null value not supported for : {}", nulls.join(", "))));
    }
    match change.kind {
        TOPIC => alter_topic(broker, change, how, validate_only).await,
        BROKER => alter_broker(broker, change, how, validate_only).await,
        LOGGER if how == How::Merge => Err(refuse_loggers(broker, change)),
        CLIENT_METRICS => {
            Err(invalid("AlterConfigs is only supported for topics and brokers, but resource type is CLIENT_METRICS"))
        }
        other => Err(invalid(format!("Unknown resource type {other}"))),
    }
}

/// The text of an error about one resource.
fn told(error: AlterError, kind: &str, name: &str) -> Refusal {
    match error {
        AlterError::Request(text) => invalid(text),
        AlterError::Config(text) => (ErrorCode::InvalidConfig, Some(text)),
        AlterError::Value(text) => {
            let text = format!("Invalid config value for resource ConfigResource(type={kind}, name='{name}'): {text}");
            (ErrorCode::InvalidConfig, Some(text))
        }
        AlterError::Unexpected => (ErrorCode::UnknownServerError, None),
    }
}

/// The operations, for a merge.
fn ops<'a>(change: &'a Change<'_>) -> impl Iterator<Item = (&'a str, Option<Op>, &'a str)> {
    change.entries.iter().map(|entry| (entry.name, Op::from_wire(entry.op), entry.value.unwrap_or_default()))
}

async fn alter_topic(broker: &Broker, change: &Change<'_>, how: How, validate_only: bool) -> Result<(), Refusal> {
    let topic = change.name;
    if topic.is_empty() {
        return Err(invalid("Default topic resources are not allowed."));
    }
    let mut overrides = match how {
        How::Replace => EntityConfig::default(),
        How::Merge => topics::config(&broker.zk, EntityType::Topics, topic).await.map_err(from_topic)?,
    };
    alter::merge_topic(&mut overrides.0, ops(change)).map_err(|error| told(error, "TOPIC", topic))?;
    let unknown = || from_topic(TopicError::Unknown(topic.to_owned()));
    if broker.metadata.image().topic(topic).is_none() {
        return Err(unknown());
    }
    topics::validate_name(topic).map_err(from_topic)?;
    if topics::assignment(&broker.zk, topic).await.map_err(from_topic)?.is_none() {
        return Err(unknown());
    }
    alter::check_topic(&overrides.0, &broker.settings.current()).map_err(|error| told(error, "TOPIC", topic))?;
    if validate_only {
        return Ok(());
    }
    tracing::info!(topic, "Updating topic with new configuration : {}", texts(&overrides));
    topics::change_config(&broker.zk, EntityType::Topics, topic, &overrides).await.map_err(from_topic)
}

async fn alter_broker(broker: &Broker, change: &Change<'_>, how: How, validate_only: bool) -> Result<(), Refusal> {
    let (level, entity) = match change.name {
        "" => (Level::Cluster, path::DEFAULT_ENTITY.to_owned()),
        id => {
            let id: i32 = id.parse().map_err(|_| invalid(format!("Node id must be an integer, but it is: {id}")))?;
            if id != broker.id.0 {
                let text = format!("Unexpected broker id, expected {}, but received {}", broker.id, change.name);
                return Err(invalid(text));
            }
            (Level::Broker, id.to_string())
        }
    };
    let told = |error| told(error, "BROKER", change.name);
    let mut wanted = EntityConfig::default();
    let mut kept = Vec::new();
    if how == How::Merge {
        if let Some(entry) = change.entries.iter().find(|entry| Op::from_wire(entry.op).is_none()) {
            return Err(invalid(format!("Unknown operations type {}", entry.op)));
        }
        let stored = topics::config(&broker.zk, EntityType::Brokers, &entity).await.map_err(from_topic)?;
        wanted.0 = alter::usable(level, &stored.0).0;
        // Secrets that a broker with the key has stored stay as they are.
        kept.extend(stored.0.into_iter().filter(|(name, _)| alter::is_password(name)));
        kept.retain(|(name, _)| change.entries.iter().all(|entry| entry.name != name));
    }
    alter::merge_broker(&mut wanted.0, ops(change)).map_err(told)?;
    alter::check_broker(&broker.settings.current(), level, &wanted.0).map_err(told)?;
    if validate_only {
        return Ok(());
    }
    tracing::info!(broker = entity, "Updating broker with new configuration : {}", texts(&wanted));
    wanted.0.extend(kept);
    topics::change_config(&broker.zk, EntityType::Brokers, &entity, &wanted).await.map_err(from_topic)
}

/// Settings for the log file: no secret is among them.
fn texts(config: &EntityConfig) -> String {
    let texts: Vec<String> = config.0.iter().map(|(name, value)| format!("{name} -> {value}")).collect();
    texts.join(",")
}

/// Kafka's answer of a broker that has none of the named loggers: ours cannot be changed while it runs.
fn refuse_loggers(broker: &Broker, change: &Change<'_>) -> Refusal {
    match change.name.parse::<i32>() {
        Err(_) => return invalid(format!("Node id must be an integer, but it is: {}", change.name)),
        Ok(id) if id != broker.id.0 => {
            return invalid(format!("Unexpected node id. Expected {}, but received {id}", broker.id));
        }
        Ok(_) => {}
    }
    let refuse = |what: &str| invalid(format!("{what} is not allowed for the BROKER_LOGGER resource"));
    match change.entries.first() {
        None => invalid("No logger is named"),
        Some(entry) => match Op::from_wire(entry.op) {
            Some(Op::Set | Op::Delete) => {
                (ErrorCode::InvalidConfig, Some(format!("Logger {} does not exist!", entry.name)))
            }
            Some(Op::Append) => refuse("APPEND operation"),
            Some(Op::Subtract) => refuse("SUBTRACT operation"),
            None => (ErrorCode::UnknownServerError, None),
        },
    }
}
