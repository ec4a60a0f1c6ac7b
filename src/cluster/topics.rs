//! Topics and configurations as written to ZooKeeper by whoever handles an admin request.
//!
//! None of these writes carries the controller's epoch: the controller learns of them by its watches, and
//! configurations are guarded by the version of `/controller` instead. Source: `kafka.zk.AdminZkClient`; names:
//! `org.apache.kafka.common.internals.Topic`.

use std::collections::BTreeMap;

use crate::cluster::assign::{AssignError, Assignment};
use crate::error::ErrorCode;
use crate::ids::{TopicId, ZkVersion};
use crate::zk::data::{
    ConfigChange, Controller, Data, DataError, EntityConfig, TopicAssignment, TopicPartitionReplicas,
};
use crate::zk::op::{Acl, CreateMode, Write, ZkError};
use crate::zk::path::{self, EntityType};
use crate::zk::remote::Client;
use crate::zk::remote::calls::{check, set_data};

/// Longest name of a topic, in characters, so that a partition's directory name fits the file system.
pub const MAX_TOPIC_NAME: usize = 249;

/// Why a topic or a configuration could not be written. The texts are seen by users of the admin client.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum TopicError {
    #[error("Topic name is invalid: {0}")]
    InvalidName(String),
    #[error("Topic '{name}' collides with existing topics: {others}")]
    Collision { name: String, others: String },
    #[error("Topic '{0}' already exists.")]
    Exists(String),
    #[error("Topic '{0}' is marked for deletion.")]
    MarkedForDeletion(String),
    #[error("The topic '{0}' does not exist.")]
    Unknown(String),
    #[error("{0}")]
    Assign(#[from] AssignError),
    #[error("{0}")]
    InvalidAssignment(String),
    #[error("{0}")]
    InvalidPartitions(String),
    #[error("A partition reassignment is in progress for the topic {0}.")]
    ReassignmentInProgress(String),
    /// `/controller` is absent, changed, or held by a KRaft controller.
    #[error("the controller moved while a configuration was written")]
    ControllerMoved,
    #[error("{path}: {source}")]
    Data { path: String, source: DataError },
    #[error("ZooKeeper answered {0}")]
    Zk(#[from] ZkError),
}

impl From<&TopicError> for ErrorCode {
    fn from(error: &TopicError) -> Self {
        match error {
            TopicError::InvalidName(_) | TopicError::Collision { .. } => ErrorCode::InvalidTopicException,
            TopicError::Exists(_) | TopicError::MarkedForDeletion(_) => ErrorCode::TopicAlreadyExists,
            TopicError::Unknown(_) => ErrorCode::UnknownTopicOrPartition,
            TopicError::Assign(error) => error.into(),
            TopicError::InvalidAssignment(_) => ErrorCode::InvalidReplicaAssignment,
            TopicError::InvalidPartitions(_) => ErrorCode::InvalidPartitions,
            TopicError::ReassignmentInProgress(_) => ErrorCode::ReassignmentInProgress,
            TopicError::ControllerMoved => ErrorCode::NotController,
            TopicError::Data { .. } | TopicError::Zk(_) => ErrorCode::UnknownServerError,
        }
    }
}

/// Is this a name that a topic may have?
pub fn validate_name(name: &str) -> Result<(), TopicError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let reason = if name.is_empty() {
        "the empty string is not allowed".into()
    } else if name == "." || name == ".." {
        format!("'{name}' is not allowed")
    } else if name.chars().count() > MAX_TOPIC_NAME {
        format!("the length of '{name}' is longer than the max allowed length {MAX_TOPIC_NAME}")
    } else if !name.chars().all(allowed) {
        format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
    } else {
        return Ok(());
    };
    Err(TopicError::InvalidName(reason))
}

/// Would two topics share the name of a metric, where `.` becomes `_`?
pub fn names_collide(a: &str, b: &str) -> bool {
    a.replace('.', "_") == b.replace('.', "_")
}

/// Is this an assignment that a client may ask for: partitions from 0 on without a gap, none without replicas, no
/// broker twice in one, all of one length?
pub fn validate_assignment(assignment: &Assignment) -> Result<(), TopicError> {
    let invalid = |reason: String| Err(TopicError::InvalidAssignment(reason));
    if !assignment.keys().copied().eq(0..assignment.len() as i32) {
        return invalid("partitions should be a consecutive 0-based integer sequence".into());
    }
    let length = assignment.values().next().map_or(0, Vec::len);
    for (partition, replicas) in assignment {
        if replicas.is_empty() {
            return invalid(format!("Cannot have replication factor of 0 for partition id {partition}."));
        }
        let distinct: std::collections::BTreeSet<_> = replicas.iter().collect();
        if distinct.len() != replicas.len() {
            // The whole assignment, as Scala prints it.
            let list =
                |ids: &[crate::ids::BrokerId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let all = assignment.iter().map(|(partition, ids)| format!("{partition} -> ArrayBuffer({})", list(ids)));
            let all = all.collect::<Vec<_>>().join(", ");
            return invalid(format!("Duplicate replica assignment found: HashMap({all})"));
        }
        if replicas.len() != length {
            return invalid("All partitions should have the same number of replicas".into());
        }
    }
    Ok(())
}

/// May a topic of this name and assignment be created? Asks ZooKeeper, so that a topic that this broker has not heard
/// of yet, or that is being deleted, counts as well.
pub async fn validate_new(zk: &Client, name: &str, assignment: &Assignment) -> Result<(), TopicError> {
    validate_name(name)?;
    if zk.exists(&path::delete_topic(name), false).await?.is_some() {
        return Err(TopicError::MarkedForDeletion(name.into()));
    }
    if zk.exists(&path::topic(name), false).await?.is_some() {
        return Err(TopicError::Exists(name.into()));
    }
    if name.contains(['.', '_']) {
        let mut others = zk.children(path::BROKER_TOPICS, false).await?;
        others.retain(|other| names_collide(other, name));
        if !others.is_empty() {
            others.sort();
            return Err(TopicError::Collision { name: name.into(), others: others.join(",") });
        }
    }
    validate_assignment(assignment)
}

/// Creates a topic: its configuration first, then its node, which wakes the controller. Call [`validate_new`] before.
pub async fn create_topic(
    zk: &Client,
    name: &str,
    topic_id: Option<TopicId>,
    assignment: &Assignment,
    config: BTreeMap<String, String>,
) -> Result<(), TopicError> {
    write_config(zk, EntityType::Topics, name, &EntityConfig(config)).await?;
    let data = TopicAssignment::new(topic_id, assignment).encode();
    match zk.create_with_parents(&path::topic(name), Some(data)).await {
        Ok(()) => Ok(()),
        Err(ZkError::NodeExists) => Err(TopicError::Exists(name.into())),
        Err(error) => Err(error.into()),
    }
}

/// Marks a topic for deletion; the controller does the rest. `false` if it was marked already.
pub async fn mark_for_deletion(zk: &Client, name: &str) -> Result<bool, TopicError> {
    match zk.create_with_parents(&path::delete_topic(name), None).await {
        Ok(()) => Ok(true),
        Err(ZkError::NodeExists) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The assignment of a topic; `None` if there is no such topic.
pub async fn assignment(zk: &Client, name: &str) -> Result<Option<TopicAssignment>, TopicError> {
    let path = path::topic(name);
    match zk.try_get(&path, false).await? {
        Some((data, _)) => match TopicAssignment::decode(&data.unwrap_or_default()) {
            Ok(topic) => Ok(Some(topic)),
            Err(source) => Err(TopicError::Data { path, source }),
        },
        None => Ok(None),
    }
}

/// Adds partitions to `existing`, what [`assignment`] read; a reassignment written in between is lost, as with Kafka.
/// Returns the new assignment.
pub async fn add_partitions(
    zk: &Client,
    name: &str,
    existing: &TopicAssignment,
    added: &Assignment,
) -> Result<TopicAssignment, TopicError> {
    let mut topic = existing.clone();
    for (&partition, replicas) in added {
        topic.partitions.insert(partition, TopicPartitionReplicas::new(replicas.clone()));
    }
    match zk.write(set_data(path::topic(name), topic.encode(), ZkVersion::NONE)).await {
        Ok(_) => Ok(topic),
        Err(ZkError::NoNode) => Err(TopicError::Unknown(name.into())),
        Err(error) => Err(error.into()),
    }
}

/// The configuration of an entity; empty if there is none.
pub async fn config(zk: &Client, kind: EntityType, name: &str) -> Result<EntityConfig, TopicError> {
    let path = path::entity_config(kind, name);
    let data = zk.try_get(&path, false).await?.and_then(|(data, _)| data).unwrap_or_default();
    EntityConfig::decode(&data).map_err(|source| TopicError::Data { path, source })
}

/// Replaces the configuration of an entity and tells all brokers, which apply it only then.
pub async fn change_config(zk: &Client, kind: EntityType, name: &str, config: &EntityConfig) -> Result<(), TopicError> {
    write_config(zk, kind, name, config).await?;
    zk.create_path(path::CONFIG_CHANGES).await?;
    let change = Write::Create {
        path: path::CONFIG_CHANGE_PREFIX.into(),
        data: Some(ConfigChange::new(kind, name).encode()),
        mode: CreateMode::PersistentSequential,
        acl: Acl::open(),
    };
    zk.write(change).await?;
    Ok(())
}

/// Writes the configuration, provided that the controller stays the same and is a broker.
async fn write_config(zk: &Client, kind: EntityType, name: &str, config: &EntityConfig) -> Result<(), TopicError> {
    let path = path::entity_config(kind, name);
    let data = config.encode();
    loop {
        let Some((controller, stat)) = zk.try_get(path::CONTROLLER, false).await? else {
            return Err(TopicError::ControllerMoved);
        };
        let controller = Controller::decode(&controller.unwrap_or_default())
            .map_err(|source| TopicError::Data { path: path::CONTROLLER.into(), source })?;
        if controller.kraft_controller_epoch > 0 {
            return Err(TopicError::ControllerMoved);
        }
        let guard = check(path::CONTROLLER, ZkVersion(stat.version));
        match zk.write_all(vec![guard, set_data(path.as_str(), data.clone(), ZkVersion::NONE)]).await {
            Ok(_) => return Ok(()),
            Err((0, ZkError::BadVersion | ZkError::NoNode)) => return Err(TopicError::ControllerMoved),
            Err((1, ZkError::NoNode)) => match zk.create_with_parents(&path, Some(data.clone())).await {
                Err(ZkError::NodeExists) => continue,
                other => return Ok(other?),
            },
            Err((_, error)) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::BrokerId;

    #[test]
    fn names() {
        for good in ["a", "A.b_c-9", "...", &"x".repeat(249)] {
            assert_eq!(validate_name(good), Ok(()));
        }
        for bad in ["", ".", "..", "a b", "ä", "a/b", &"x".repeat(250)] {
            let error = validate_name(bad).unwrap_err();
            assert!(error.to_string().starts_with("Topic name is invalid: "), "{error}");
            assert_eq!(ErrorCode::from(&error), ErrorCode::InvalidTopicException);
        }
        assert!(names_collide("a.b", "a_b") && !names_collide("a.b", "a-b"));
    }

    #[test]
    fn assignments_that_a_client_may_ask_for() {
        let assignment = |lists: &[(i32, &[i32])]| -> Assignment {
            lists.iter().map(|(p, ids)| (*p, ids.iter().copied().map(BrokerId).collect())).collect()
        };
        assert_eq!(validate_assignment(&assignment(&[(0, &[1, 2]), (1, &[2, 9])])), Ok(()));
        for bad in [
            assignment(&[(1, &[1])]),
            assignment(&[(0, &[1]), (2, &[1])]),
            assignment(&[(0, &[1, 1])]),
            assignment(&[(0, &[1, 2]), (1, &[1])]),
            assignment(&[(0, &[])]),
        ] {
            let error = validate_assignment(&bad).unwrap_err();
            assert_eq!(ErrorCode::from(&error), ErrorCode::InvalidReplicaAssignment);
        }
    }
}
