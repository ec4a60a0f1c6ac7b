//! The znodes of a Kafka cluster, as described in `zk-schema/`, and checks of real ones against them.

mod tree;

use std::fmt;

use crate::ids::BrokerId;
use crate::zk::data::{
    AclChange, AclList, BrokerRegistration, ClusterId, ConfigChange, Controller, Data, DataError, DelegationToken,
    ElectionRequest, EntityConfig, FeatureNode, IsrChange, LogDirEvent, PartitionState, ProducerIdBlock, Reassignment,
    TopicAssignment,
};
use crate::zk::op::Acl;
use crate::zk::path::{DEFAULT_ENTITY, parse_partition};

pub use tree::{Tree, check_tree, read_tree};

/// One file of `zk-schema/`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What the znode is for.
    pub about: String,
    /// Below the chroot; `[name]` is variable.
    pub path: String,
    pub ephemeral: bool,
    pub content: Content,
    pub acl: AclKind,
    pub writers: Vec<Writer>,
    pub watchers: Vec<Watcher>,
    pub versions: Vec<Version>,
}

/// Who writes a znode.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Writer {
    pub who: String,
    pub how: String,
    pub check: VersionCheck,
}

/// Which version a write depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VersionCheck {
    None,
    /// `/controller_epoch`, as the first operation of a multi.
    ControllerEpoch,
    /// `/controller`, likewise.
    Controller,
    Own,
}

/// Who watches a znode, and what of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watcher {
    pub who: String,
    pub what: String,
}

/// A version of a znode's data, with a sample.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version {
    /// As in the JSON; `None` for text.
    pub number: Option<i32>,
    pub releases: String,
    pub sample: String,
}

/// Who may do what under `zookeeper.set.acl`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AclKind {
    /// Brokers everything, the world reads.
    Read,
    /// Brokers only.
    Private,
    /// The world everything.
    Open,
}

/// What a znode holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Content {
    None,
    Any,
    Number,
    Broker,
    ClusterId,
    Controller,
    Feature,
    Topic,
    State,
    Config,
    /// A configuration, or nothing in an intermediate node.
    ConfigOrNone,
    ConfigChange,
    ProducerIds,
    Reassignment,
    Election,
    IsrChange,
    LogDirEvent,
    Acls,
    AclChange,
    Token,
}

const CONTENTS: [(&str, Content); 20] = [
    ("none", Content::None),
    ("any", Content::Any),
    ("number", Content::Number),
    ("broker", Content::Broker),
    ("cluster-id", Content::ClusterId),
    ("controller", Content::Controller),
    ("feature", Content::Feature),
    ("topic", Content::Topic),
    ("state", Content::State),
    ("config", Content::Config),
    ("config or none", Content::ConfigOrNone),
    ("config-change", Content::ConfigChange),
    ("producer-ids", Content::ProducerIds),
    ("reassignment", Content::Reassignment),
    ("election", Content::Election),
    ("isr-change", Content::IsrChange),
    ("log-dir-event", Content::LogDirEvent),
    ("acls", Content::Acls),
    ("acl-change", Content::AclChange),
    ("token", Content::Token),
];

impl Content {
    /// Does data of this kind read?
    pub fn check(self, data: &[u8]) -> Result<(), DataError> {
        fn reads<T: Data>(data: &[u8]) -> Result<(), DataError> {
            T::decode(data).map(drop)
        }
        let bad = |what| DataError::Field { what, field: "data", value: String::from_utf8_lossy(data).into_owned() };
        match self {
            Self::Any => Ok(()),
            Self::None if data.is_empty() => Ok(()),
            Self::None => Err(bad("a znode without data")),
            Self::Number => {
                let number = std::str::from_utf8(data).ok().and_then(|text| text.parse::<i64>().ok());
                number.map(drop).ok_or_else(|| bad("a number"))
            }
            Self::Broker => reads::<BrokerRegistration>(data),
            Self::ClusterId => reads::<ClusterId>(data),
            Self::Controller => reads::<Controller>(data),
            Self::Feature => reads::<FeatureNode>(data),
            Self::Topic => reads::<TopicAssignment>(data),
            Self::State => reads::<PartitionState>(data),
            Self::Config if data.is_empty() => Err(bad("a configuration")),
            Self::Config | Self::ConfigOrNone => reads::<EntityConfig>(data),
            Self::ConfigChange => reads::<ConfigChange>(data),
            Self::ProducerIds if data.is_empty() => Ok(()),
            Self::ProducerIds => reads::<ProducerIdBlock>(data),
            Self::Reassignment => reads::<Reassignment>(data),
            Self::Election => reads::<ElectionRequest>(data),
            Self::IsrChange => reads::<IsrChange>(data),
            Self::LogDirEvent => reads::<LogDirEvent>(data),
            Self::Acls => reads::<AclList>(data),
            Self::AclChange => reads::<AclChange>(data),
            Self::Token => reads::<DelegationToken>(data),
        }
    }
}

/// A znode to be checked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Znode {
    pub data: Option<bytes::Bytes>,
    /// The owning session of an ephemeral node, else 0.
    pub ephemeral_owner: i64,
    pub version: i32,
    pub acl: Vec<Acl>,
}

/// A znode that is not as described.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    pub path: String,
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.problem)
    }
}

/// A line of a schema file that makes no sense.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
#[error("zk-schema/{file}.txt: {line:?}: {problem}")]
pub struct SchemaError {
    file: String,
    line: String,
    problem: &'static str,
}

/// All entries.
#[derive(Clone, Debug)]
pub struct Schema {
    entries: Vec<Entry>,
}

macro_rules! files {
    ($($name:literal,)*) => { &[$(($name, include_str!(concat!("../../zk-schema/", $name, ".txt"))),)*] };
}

/// The files, by name without `.txt`.
pub const FILES: &[(&str, &str)] = files![
    "admin.delete_topics.TOPIC",
    "admin.delete_topics",
    "admin.preferred_replica_election",
    "admin.reassign_partitions",
    "admin",
    "brokers.ids.BROKER",
    "brokers.ids",
    "brokers.seqid",
    "brokers.topics.TOPIC.partitions.PARTITION.state",
    "brokers.topics.TOPIC.partitions.PARTITION",
    "brokers.topics.TOPIC.partitions",
    "brokers.topics.TOPIC",
    "brokers.topics",
    "brokers",
    "cluster.id",
    "cluster",
    "config.brokers.ENTITY",
    "config.brokers",
    "config.changes.config_change_SEQUENCE",
    "config.changes",
    "config.clients.ENTITY",
    "config.clients",
    "config.ips.ENTITY",
    "config.ips",
    "config.topics.TOPIC",
    "config.topics",
    "config",
    "config.users.ENTITY.clients.ENTITY",
    "config.users.ENTITY.clients",
    "config.users.ENTITY",
    "config.users",
    "consumers.GROUP.ids.CONSUMER",
    "consumers.GROUP.ids",
    "consumers.GROUP.offsets.TOPIC.PARTITION",
    "consumers.GROUP.offsets.TOPIC",
    "consumers.GROUP.offsets",
    "consumers.GROUP.owners.TOPIC.PARTITION",
    "consumers.GROUP.owners.TOPIC",
    "consumers.GROUP.owners",
    "consumers.GROUP",
    "consumers",
    "controller",
    "controller_epoch",
    "delegation_token.token_changes.token_change_SEQUENCE",
    "delegation_token.token_changes",
    "delegation_token.tokens.TOKEN",
    "delegation_token.tokens",
    "delegation_token",
    "feature",
    "isr_change_notification.isr_change_SEQUENCE",
    "isr_change_notification",
    "kafka-acl-changes.acl_changes_SEQUENCE",
    "kafka-acl-changes",
    "kafka-acl-extended-changes.acl_changes_SEQUENCE",
    "kafka-acl-extended-changes",
    "kafka-acl-extended.PATTERN.RESOURCE-TYPE.NAME",
    "kafka-acl-extended.PATTERN.RESOURCE-TYPE",
    "kafka-acl-extended.PATTERN",
    "kafka-acl-extended",
    "kafka-acl.RESOURCE-TYPE.NAME",
    "kafka-acl.RESOURCE-TYPE",
    "kafka-acl",
    "latest_producer_id_block",
    "log_dir_event_notification.log_dir_event_SEQUENCE",
    "log_dir_event_notification",
    "migration",
];

impl Schema {
    /// Reads the files, which are part of the program.
    pub fn load() -> Result<Self, SchemaError> {
        let entries = FILES.iter().map(|(file, text)| parse(file, text)).collect::<Result<_, _>>()?;
        Ok(Self { entries })
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry that describes `path`; one without variables before one with.
    pub fn find(&self, path: &str) -> Option<&Entry> {
        self.entries
            .iter()
            .filter(|entry| matches(&entry.path, path))
            .min_by_key(|entry| entry.path.matches('[').count())
    }

    /// What is wrong with a znode by itself. Paths outside the schema are findings too: Kafka ignores them.
    pub fn check(&self, path: &str, node: &Znode) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut find = |problem: String| findings.push(Finding { path: path.to_owned(), problem });
        let Some(entry) = self.find(path) else {
            find("no znode of Kafka".into());
            return findings;
        };
        match (entry.ephemeral, node.ephemeral_owner != 0) {
            // During a migration a KRaft controller keeps it.
            (true, false) if entry.content != Content::Controller => find("should be ephemeral".into()),
            (false, true) => find("should be persistent".into()),
            _ => {}
        }
        if let Err(error) = entry.content.check(node.data.as_deref().unwrap_or_default()) {
            find(error.to_string());
        }
        if let Some(problem) = acl_problem(entry.acl, &node.acl) {
            find(problem);
        }
        findings
    }
}

/// An open ACL is always fine: `zookeeper.set.acl` may be off, or was when the node was made.
fn acl_problem(kind: AclKind, acl: &[Acl]) -> Option<String> {
    let world = acl.iter().find(|acl| acl.scheme == "world").map_or(0, |acl| acl.perms);
    let all = acl.iter().any(|acl| acl.perms == 31);
    let fine = match kind {
        AclKind::Open => world == 31,
        AclKind::Read => world == 31 || world == 1,
        AclKind::Private => world == 31 || world == 0,
    };
    let shown = || acl.iter().map(|acl| format!("{}:{}:{}", acl.scheme, acl.id, acl.perms)).collect::<Vec<_>>();
    (!fine || !all).then(|| format!("its ACL is {}, not {kind:?} as by zookeeper.set.acl", shown().join(" ")))
}

/// Does a path have the shape of a pattern?
fn matches(pattern: &str, path: &str) -> bool {
    let mut names = path.split('/');
    pattern.split('/').all(|part| names.next().is_some_and(|name| name_matches(part, name))) && names.next().is_none()
}

fn name_matches(part: &str, name: &str) -> bool {
    let Some((prefix, variable)) = part.split_once('[') else { return part == name };
    let Some(value) = name.strip_prefix(prefix) else { return false };
    match variable {
        "broker]" => value.parse().is_ok_and(|id| BrokerId(id) >= BrokerId(0)),
        "partition]" => parse_partition(value).is_some(),
        "topic]" => crate::cluster::topics::validate_name(value).is_ok(),
        "sequence]" => value.len() == 10 && value.parse::<i32>().is_ok(),
        "entity]" => value == DEFAULT_ENTITY || !value.is_empty() && value.bytes().all(|c| c != b'<' && c != b'>'),
        "resource-type]" => {
            ["Topic", "Group", "Cluster", "TransactionalId", "DelegationToken", "User"].contains(&value)
        }
        "pattern]" => value == "prefixed",
        _ => !value.is_empty(),
    }
}

fn parse(file: &str, text: &str) -> Result<Entry, SchemaError> {
    let mut about = String::new();
    let (mut path, mut ephemeral, mut content, mut acl) = (None, None, None, None);
    let (mut writers, mut watchers, mut versions) = (Vec::new(), Vec::new(), Vec::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        let wrong = |problem| SchemaError { file: file.into(), line: line.into(), problem };
        if let Some(comment) = line.strip_prefix("# ") {
            about = comment.into();
            continue;
        }
        let (keyword, rest) = line.split_once(' ').ok_or_else(|| wrong("no keyword"))?;
        let rest = rest.trim_start();
        let fields: Vec<_> = rest.split(" | ").collect();
        match (keyword, fields.as_slice()) {
            ("path", [value]) => path = Some(value.to_string()),
            ("kind", ["persistent"]) => ephemeral = Some(false),
            ("kind", ["ephemeral"]) => ephemeral = Some(true),
            ("data", [name]) => {
                let known = CONTENTS.iter().find(|(known, _)| known == name);
                content = Some(known.ok_or_else(|| wrong("unknown data"))?.1);
            }
            ("acl", ["read"]) => acl = Some(AclKind::Read),
            ("acl", ["private"]) => acl = Some(AclKind::Private),
            ("acl", ["open"]) => acl = Some(AclKind::Open),
            ("writer", [who, how, check]) => {
                let check = match *check {
                    "none" => VersionCheck::None,
                    "/controller_epoch's version" => VersionCheck::ControllerEpoch,
                    "/controller's version" => VersionCheck::Controller,
                    "its own version" => VersionCheck::Own,
                    _ => return Err(wrong("unknown check")),
                };
                writers.push(Writer { who: who.to_string(), how: how.to_string(), check });
            }
            ("watcher", [who, what]) => watchers.push(Watcher { who: who.to_string(), what: what.to_string() }),
            ("version", [number, releases, sample]) => {
                let number = match *number {
                    "-" => None,
                    number => Some(number.parse().map_err(|_| wrong("no number"))?),
                };
                versions.push(Version { number, releases: releases.to_string(), sample: sample.to_string() });
            }
            _ => return Err(wrong("not understood")),
        }
    }
    let missing = |problem| SchemaError { file: file.into(), line: String::new(), problem };
    Ok(Entry {
        about,
        path: path.ok_or_else(|| missing("no path"))?,
        ephemeral: ephemeral.ok_or_else(|| missing("no kind"))?,
        content: content.ok_or_else(|| missing("no data"))?,
        acl: acl.ok_or_else(|| missing("no acl"))?,
        writers,
        watchers,
        versions,
    })
}
