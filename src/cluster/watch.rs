//! Changes of configurations: `/config/changes` tells which entity changed, every broker reads it and applies it.
//!
//! Applying must be idempotent: a broker that starts or gets a new session sees changes again that it knows. A change
//! node that was purged before it was seen is made good by reading everything, at the start and with each new session.
//! Source: `kafka.common.ZkNodeChangeNotificationListener`, `kafka.server.ZkConfigManager`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ids::ZkVersion;
use crate::time::{Clock, Millis};
use crate::zk::data::{ConfigChange, Data, EntityConfig};
use crate::zk::op::{Op, ZkError};
use crate::zk::path::{self, EntityType};
use crate::zk::remote::calls::{Node, delete, try_node};
use crate::zk::remote::{Client, SessionEvent};

/// Change nodes older than this are deleted by whoever sees them.
const KEEP_CHANGES_MS: Millis = 15 * 60 * 1000;

/// The configuration of an entity as ZooKeeper has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entity {
    pub kind: EntityType,
    /// Names of users and clients are sanitized, and a client of a user is `USER/clients/CLIENT`.
    pub name: String,
    /// All of it.
    pub config: BTreeMap<String, String>,
    /// The transaction that wrote it, so that an older reading is told from a newer one; `None`: it is gone.
    pub mzxid: Option<i64>,
}

/// Takes the configurations of entities as they are found.
pub trait ConfigHandler: Send + Sync + 'static {
    /// Called where waiting for locks and disks is allowed.
    fn apply(&self, entity: Entity);
}

/// Follows `/config/changes` for a [`ConfigHandler`].
pub struct ConfigWatch<H> {
    zk: Client,
    handler: Arc<H>,
    /// Number of the last change that was applied.
    last_change: i32,
}

impl<H: ConfigHandler> ConfigWatch<H> {
    /// Watches the changes, then reads the configuration of every entity.
    pub async fn start(zk: Client, handler: Arc<H>) -> Result<Self, ZkError> {
        let mut watch = Self { zk, handler, last_change: -1 };
        watch.process_changes().await?;
        watch.load_all().await?;
        Ok(watch)
    }

    /// Follows the changes until the client is closed. `events` must have been subscribed before [`Self::start`].
    pub async fn run(mut self, mut events: tokio::sync::mpsc::UnboundedReceiver<SessionEvent>) {
        while let Some(event) = events.recv().await {
            let result = match event {
                SessionEvent::Watch(event) if event.path == path::CONFIG_CHANGES => self.process_changes().await,
                SessionEvent::Established { .. } => match self.process_changes().await {
                    Ok(()) => self.load_all().await,
                    error => error,
                },
                _ => Ok(()),
            };
            match result {
                // With the next session everything is read again.
                Ok(()) | Err(ZkError::SessionExpired) => {}
                Err(error) => tracing::error!(%error, "configuration changes could not be read"),
            }
        }
    }

    /// Applies the changes that are new, in order, and deletes the old ones.
    async fn process_changes(&mut self) -> Result<(), ZkError> {
        let mut names = self.zk.children(path::CONFIG_CHANGES, true).await?;
        names.sort();
        for name in &names {
            let Some(number) = path::parse_sequence(name) else { continue };
            if number <= self.last_change {
                continue;
            }
            let path = path::join(path::CONFIG_CHANGES, name);
            if let Some((data, _)) = self.zk.try_get(&path, false).await? {
                match ConfigChange::decode(&data.unwrap_or_default()) {
                    Ok(change) => self.apply(&change.entity_path).await?,
                    Err(error) => tracing::error!(path, %error, "unreadable configuration change"),
                }
            }
            self.last_change = number;
        }
        self.purge(names).await
    }

    async fn purge(&self, names: Vec<String>) -> Result<(), ZkError> {
        let paths: Vec<_> = names.iter().map(|name| path::join(path::CONFIG_CHANGES, name)).collect();
        let nodes = self.zk.try_get_all(paths.iter().cloned()).await?;
        let now_ms = Clock.wall_ms();
        let old = paths.into_iter().zip(nodes).filter_map(|(path, node)| {
            let (_, stat) = node?;
            (now_ms - stat.ctime > KEEP_CHANGES_MS).then(|| Op::Write(delete(path, ZkVersion::NONE)))
        });
        for outcome in self.zk.run_all(old.collect()).await {
            match outcome {
                // Another broker was faster.
                Ok(_) | Err(ZkError::NoNode) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads the entity of a change and hands it over.
    async fn apply(&self, entity_path: &str) -> Result<(), ZkError> {
        let Some((kind, name)) = parse_entity(entity_path) else {
            tracing::error!(entity_path, "a configuration change for an unknown kind of entity");
            return Ok(());
        };
        let node = self.zk.try_get(&path::entity_config(kind, name), false).await?;
        tracing::info!("Processing override for entityPath: {entity_path}");
        self.hand_over(entity(kind, name, node).into_iter().collect()).await;
        Ok(())
    }

    async fn hand_over(&self, entities: Vec<Entity>) {
        let handler = self.handler.clone();
        let applied = tokio::task::spawn_blocking(move || entities.into_iter().for_each(|e| handler.apply(e))).await;
        // A panic ends the process; else the runtime is going down.
        if let Err(error) = applied {
            tracing::warn!(%error, "configuration changes were not applied");
        }
    }

    /// Reads the configurations of all entities, in Kafka's order.
    async fn load_all(&self) -> Result<(), ZkError> {
        for kind in EntityType::ALL {
            let mut names = self.zk.children(&format!("{}/{}", path::CONFIG, kind.as_str()), false).await?;
            names.sort();
            self.load(kind, names).await?;
        }
        Ok(())
    }

    async fn load(&self, kind: EntityType, mut names: Vec<String>) -> Result<(), ZkError> {
        if kind == EntityType::Users {
            for user in names.clone() {
                let clients = self.zk.children(&path::entity_config(kind, &format!("{user}/clients")), false).await?;
                names.extend(clients.into_iter().map(|client| format!("{user}/clients/{client}")));
            }
        }
        let ops = names.iter().map(|name| Op::GetData { path: path::entity_config(kind, name), watch: false });
        let outcomes = self.zk.run_all(ops.collect()).await;
        let mut entities = Vec::new();
        for (name, outcome) in names.iter().zip(outcomes) {
            // An intermediate node has no data, and a node that has just gone says nothing.
            if let Some(node @ (Some(_), _)) = try_node(outcome)? {
                entities.extend(entity(kind, name, Some(node)));
            }
        }
        self.hand_over(entities).await;
        Ok(())
    }
}

/// The entity that a node describes; `None` if it does not read.
fn entity(kind: EntityType, name: &str, node: Option<Node>) -> Option<Entity> {
    let mzxid = node.as_ref().map(|(_, stat)| stat.mzxid);
    let data = node.and_then(|(data, _)| data).unwrap_or_default();
    match EntityConfig::decode(&data) {
        Ok(config) => Some(Entity { kind, name: name.to_owned(), config: config.0, mzxid }),
        Err(error) => {
            tracing::error!("configuration of {}/{name} is unreadable: {error}", kind.as_str());
            None
        }
    }
}

/// `topics/T` -> topics, T.
fn parse_entity(entity_path: &str) -> Option<(EntityType, &str)> {
    let (kind, name) = entity_path.split_once('/')?;
    Some((EntityType::parse(kind)?, name)).filter(|(_, name)| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_paths() {
        assert_eq!(parse_entity("topics/t"), Some((EntityType::Topics, "t")));
        assert_eq!(parse_entity("users/alice/clients/app"), Some((EntityType::Users, "alice/clients/app")));
        assert_eq!(parse_entity("brokers/<default>"), Some((EntityType::Brokers, "<default>")));
        assert_eq!(parse_entity("things/t"), None);
        assert_eq!(parse_entity("topics"), None);
        assert_eq!(parse_entity("topics/"), None);
    }
}
