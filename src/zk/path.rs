//! Paths of the znodes: every path that Kafka knows is built, and taken apart, here and nowhere else.
//!
//! Paths never contain the chroot; [`crate::zk::remote`] puts it in front and takes it off.
//! Source: `kafka.zk.ZkData` of Kafka 3.9.

use crate::ids::{BrokerId, TopicPartition};

pub const CLUSTER_ID: &str = "/cluster/id";
pub const CONSUMERS: &str = "/consumers";
pub const BROKER_IDS: &str = "/brokers/ids";
pub const BROKER_TOPICS: &str = "/brokers/topics";
/// Its version counts the broker ids that were generated.
pub const BROKER_SEQUENCE: &str = "/brokers/seqid";
pub const CONTROLLER: &str = "/controller";
pub const CONTROLLER_EPOCH: &str = "/controller_epoch";
pub const FEATURE: &str = "/feature";
pub const PRODUCER_ID_BLOCK: &str = "/latest_producer_id_block";
pub const ADMIN: &str = "/admin";
pub const DELETE_TOPICS: &str = "/admin/delete_topics";
pub const REASSIGN_PARTITIONS: &str = "/admin/reassign_partitions";
pub const PREFERRED_REPLICA_ELECTION: &str = "/admin/preferred_replica_election";
pub const ISR_CHANGES: &str = "/isr_change_notification";
pub const LOG_DIR_EVENTS: &str = "/log_dir_event_notification";
pub const CONFIG: &str = "/config";
pub const CONFIG_CHANGES: &str = "/config/changes";
pub const ACL_CHANGES: &str = "/kafka-acl-changes";
pub const ACL_EXTENDED_CHANGES: &str = "/kafka-acl-extended-changes";
pub const DELEGATION_TOKENS: &str = "/delegation_token/tokens";
pub const DELEGATION_TOKEN_CHANGES: &str = "/delegation_token/token_changes";
/// Written only by a KRaft controller during a migration.
pub const MIGRATION: &str = "/migration";

/// Prefixes of the sequential nodes; ZooKeeper appends ten digits.
pub const CONFIG_CHANGE_PREFIX: &str = "/config/changes/config_change_";
pub const ISR_CHANGE_PREFIX: &str = "/isr_change_notification/isr_change_";
pub const LOG_DIR_EVENT_PREFIX: &str = "/log_dir_event_notification/log_dir_event_";

/// The name of the default entity in `/config`.
pub const DEFAULT_ENTITY: &str = "<default>";

/// What every broker creates at its start, in Kafka's order (zookeeper trace of a first start). A parent that is
/// missing is created just before its child.
pub const PERSISTENT: [&str; 14] = [
    CONSUMERS,
    BROKER_IDS,
    BROKER_TOPICS,
    CONFIG_CHANGES,
    DELETE_TOPICS,
    BROKER_SEQUENCE,
    ISR_CHANGES,
    PRODUCER_ID_BLOCK,
    LOG_DIR_EVENTS,
    "/config/topics",
    "/config/clients",
    "/config/users",
    "/config/brokers",
    "/config/ips",
];

/// `/brokers/ids/N`, a broker's registration.
pub fn broker(id: BrokerId) -> String {
    format!("{BROKER_IDS}/{id}")
}

/// `/brokers/topics/T`: assignment and id of a topic.
pub fn topic(name: &str) -> String {
    format!("{BROKER_TOPICS}/{name}")
}

/// `/brokers/topics/T/partitions`.
pub fn partitions(topic: &str) -> String {
    format!("{BROKER_TOPICS}/{topic}/partitions")
}

/// `/brokers/topics/T/partitions/P`.
pub fn partition(tp: &TopicPartition) -> String {
    format!("{BROKER_TOPICS}/{}/partitions/{}", tp.topic, tp.partition)
}

/// `/brokers/topics/T/partitions/P/state`: leader, ISR and epochs.
pub fn state(tp: &TopicPartition) -> String {
    format!("{BROKER_TOPICS}/{}/partitions/{}/state", tp.topic, tp.partition)
}

/// `/admin/delete_topics/T`, the mark of a topic to be deleted.
pub fn delete_topic(name: &str) -> String {
    format!("{DELETE_TOPICS}/{name}")
}

/// `/config/topics/T`.
pub fn topic_config(name: &str) -> String {
    entity_config(EntityType::Topics, name)
}

/// `/config/brokers/N`, or the cluster-wide default for `None`.
pub fn broker_config(id: Option<BrokerId>) -> String {
    match id {
        Some(id) => entity_config(EntityType::Brokers, &id.to_string()),
        None => entity_config(EntityType::Brokers, DEFAULT_ENTITY),
    }
}

/// `/config/TYPE/NAME`. Names of users and clients must already be [`sanitized`](sanitize).
pub fn entity_config(kind: EntityType, name: &str) -> String {
    format!("{CONFIG}/{}/{name}", kind.as_str())
}

/// The kinds of entity that have a configuration in ZooKeeper.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum EntityType {
    Topics,
    Clients,
    Users,
    Brokers,
    Ips,
}

impl EntityType {
    /// In the order in which a broker loads them at its start.
    pub const ALL: [EntityType; 5] = [Self::Topics, Self::Clients, Self::Users, Self::Ips, Self::Brokers];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Topics => "topics",
            Self::Clients => "clients",
            Self::Users => "users",
            Self::Brokers => "brokers",
            Self::Ips => "ips",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The broker of `/brokers/ids/N`.
pub fn parse_broker(path: &str) -> Option<BrokerId> {
    child_of(path, BROKER_IDS)?.parse().ok().map(BrokerId)
}

/// The topic of `/brokers/topics/T`; nothing deeper.
pub fn parse_topic(path: &str) -> Option<&str> {
    child_of(path, BROKER_TOPICS)
}

/// The topic of `/admin/delete_topics/T`.
pub fn parse_delete_topic(path: &str) -> Option<&str> {
    child_of(path, DELETE_TOPICS)
}

/// The partition of `/brokers/topics/T/partitions/P/state`.
pub fn parse_state(path: &str) -> Option<TopicPartition> {
    let rest = path.strip_prefix(BROKER_TOPICS)?.strip_prefix('/')?.strip_suffix("/state")?;
    let (topic, partition) = rest.split_once("/partitions/")?;
    Some(TopicPartition::new(topic, parse_partition(partition)?))
}

/// A partition number as written in paths and JSON keys: decimal, not negative.
pub fn parse_partition(text: &str) -> Option<i32> {
    text.parse().ok().filter(|&p| p >= 0)
}

/// The number at the end of a sequential node's name or path.
pub fn parse_sequence(path: &str) -> Option<i32> {
    let digits = path.len().checked_sub(10).and_then(|start| path.get(start..))?;
    // A counter that overflowed reads "-2147483648": eleven characters, of which the last ten are digits.
    match path.len().checked_sub(11).and_then(|start| path.get(start..)) {
        Some(negative) if negative.starts_with('-') => negative.parse().ok(),
        _ => digits.parse().ok(),
    }
}

/// `path` without its last part; `None` for the root.
pub fn parent(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        0 if path.len() == 1 => None,
        0 => Some("/"),
        slash => Some(&path[..slash]),
    }
}

/// The name of `path` if its parent is `parent`.
pub fn child_of<'a>(path: &'a str, parent: &str) -> Option<&'a str> {
    path.strip_prefix(parent)?.strip_prefix('/').filter(|name| !name.is_empty() && !name.contains('/'))
}

/// `parent/name`, with the root as parent too.
pub fn join(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

/// Names of users, client ids and principals as they appear in paths and `entity_path`: URL encoding in UTF-8, but
/// `%20` for a space and `%2A` for a star (`org.apache.kafka.common.utils.Sanitizer`).
pub fn sanitize(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// The name that [`sanitize`] made `text` from; `None` if it cannot have.
pub fn desanitize(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'%' => {
                let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &tail[2..];
            }
            b'+' => bytes.push(b' '),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_paths_parse_back() {
        let tp = TopicPartition::new("t.a-b_c", 12);
        assert_eq!(state(&tp), "/brokers/topics/t.a-b_c/partitions/12/state");
        assert_eq!(parse_state(&state(&tp)), Some(tp.clone()));
        assert_eq!(parse_topic(&topic("t")), Some("t"));
        assert_eq!(parse_topic(&partitions("t")), None);
        assert_eq!(parse_topic(BROKER_TOPICS), None);
        assert_eq!(parse_broker(&broker(BrokerId(7))), Some(BrokerId(7)));
        assert_eq!(parse_broker("/brokers/ids/x"), None);
        assert_eq!(parse_delete_topic(&delete_topic("t")), Some("t"));
        assert_eq!(parse_state("/brokers/topics/t/partitions/-1/state"), None);
        assert_eq!(broker_config(None), "/config/brokers/<default>");
    }

    #[test]
    fn sequences_parse_even_after_the_counter_overflowed() {
        assert_eq!(parse_sequence("/config/changes/config_change_0000000042"), Some(42));
        assert_eq!(parse_sequence("config_change_-2147483648"), Some(i32::MIN));
        assert_eq!(parse_sequence("short"), None);
        assert_eq!(parse_sequence("config_change_00000000x2"), None);
    }

    #[test]
    fn parents() {
        assert_eq!(parent("/a/b"), Some("/a"));
        assert_eq!(parent("/a"), Some("/"));
        assert_eq!(parent("/"), None);
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("/a", "b"), "/a/b");
    }

    #[test]
    fn names_are_sanitized_as_by_kafka() {
        assert_eq!(sanitize("CN=x,O=y z"), "CN%3Dx%2CO%3Dy%20z");
        assert_eq!(sanitize("*"), "%2A");
        for name in ["alice", "CN=x,O=y z", "ü+*%", ""] {
            assert_eq!(desanitize(&sanitize(name)).as_deref(), Some(name));
        }
        assert_eq!(desanitize("%4"), None);
    }
}
