//! Settings that change while the broker runs: those of topics, and the dynamic ones of brokers (KIP-226), as ZooKeeper
//! has them. They reach the logs at once; a topic's own value wins over the brokers'.
//! Studied: `TopicConfigHandler`, `BrokerConfigHandler`, `DynamicLogConfig`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::Broker;
use super::start::StartError;
use crate::cluster::topics;
use crate::cluster::watch::{ConfigHandler, Entity};
use crate::config::alter::{self, Level};
use crate::config::{Live, LogConfig, Settings, TopicOverrides, keys};
use crate::controller;
use crate::ids::{BrokerId, TopicName, TopicPartition};
use crate::log;
use crate::log::cleaner::{Cleaner, Options};
use crate::net::listener::Server;
use crate::replica;
use crate::zk::data::{Data, EntityConfig};
use crate::zk::path::{self, EntityType};
use crate::zk::remote::Client;

/// The settings of topics as ZooKeeper has them; a reading that is older than the last one is dropped.
#[derive(Default)]
pub(super) struct Overrides {
    topics: HashMap<TopicName, (TopicOverrides, i64)>,
}

impl Overrides {
    /// Takes over a reading; false if nothing is new.
    fn take(&mut self, topic: &TopicName, config: TopicOverrides, mzxid: Option<i64>) -> bool {
        let Some(mzxid) = mzxid else {
            self.topics.remove(topic);
            return true;
        };
        if self.topics.get(topic).is_some_and(|(_, last)| *last >= mzxid) {
            return false;
        }
        self.topics.insert(topic.clone(), (config, mzxid));
        true
    }

    /// What the logs are told: the settings of topics that have any of their own.
    pub(super) fn log_configs(&self, settings: &Settings) -> HashMap<TopicName, Arc<LogConfig>> {
        let own = |(topic, (texts, _)): (&TopicName, &(TopicOverrides, i64))| {
            Some((topic.clone(), Arc::new(log_config(settings, topic, texts)?)))
        };
        self.topics.iter().filter_map(own).collect()
    }
}

/// Applies changes to the running broker.
pub(super) struct Configs {
    pub(super) id: BrokerId,
    pub(super) live: Arc<Live>,
    pub(super) logs: Arc<log::Manager>,
    pub(super) cleaner: Arc<Cleaner>,
    pub(super) controller: controller::Handle,
    pub(super) replicas: Arc<replica::Manager>,
    pub(super) server: Arc<Server>,
    pub(super) overrides: Mutex<Overrides>,
}

impl Configs {
    fn topic_changed(&self, name: &str, texts: TopicOverrides, mzxid: Option<i64>) {
        let topic = TopicName::from(name);
        let unclean = allows_unclean_leaders(&texts);
        {
            let mut overrides = self.overrides.lock();
            let config = log_config(&self.live.current(), name, &texts).map(Arc::new);
            if !overrides.take(&topic, texts, mzxid) {
                return;
            }
            self.logs.set_topic_config(&topic, config);
        }
        if unclean {
            self.controller.unclean_election_changed(Some(topic), true);
        }
    }

    fn brokers_changed(&self, level: Level, stored: &BTreeMap<String, String>) {
        let (old, new) = match self.live.change(level, stored) {
            Ok(change) => change,
            Err(error) => {
                tracing::error!(%error, "Dynamic settings in ZooKeeper could not be applied; the old ones stay");
                return;
            }
        };
        if old.log_config() != new.log_config() {
            let overrides = self.overrides.lock();
            // Another change may have come in between; the newest counts.
            let newest = self.live.current();
            self.logs.set_configs(Arc::new(newest.log_config()), overrides.log_configs(&newest));
        }
        let unclean = new.get(keys::UNCLEAN_LEADER_ELECTION_ENABLE);
        if unclean != old.get(keys::UNCLEAN_LEADER_ELECTION_ENABLE) {
            self.controller.unclean_election_changed(None, unclean);
        }
        let expiration = new.get(keys::PRODUCER_ID_EXPIRATION_MS);
        if expiration != old.get(keys::PRODUCER_ID_EXPIRATION_MS) {
            self.logs.set_producer_expiration_ms(i64::from(expiration));
        }
        if Options::from_settings(&old) != Options::from_settings(&new) {
            let (cleaner, live) = (self.cleaner.clone(), self.live.clone());
            // It waits for its threads.
            tokio::task::spawn_blocking(move || cleaner.reconfigure(|| Options::from_settings(&live.current())));
        }
        let verify_txns = new.get(keys::TRANSACTION_PARTITION_VERIFICATION_ENABLE);
        self.replicas.env().verify_txns.store(verify_txns, Ordering::Relaxed);
        if let Some(mover) = self.logs.mover() {
            mover.set_rate(alter::move_bytes_per_s(new.dynamic()));
        }
        if old.dynamic() != new.dynamic() {
            self.server.limit_connections(&new);
        }
        for name in alter::changed_at_next_start(&old, &new) {
            tracing::warn!(
                name,
                "This dynamic setting was changed in ZooKeeper; it takes effect when the broker starts again"
            );
        }
    }
}

impl ConfigHandler for Configs {
    fn apply(&self, Entity { kind, name, config, mzxid }: Entity) {
        match kind {
            EntityType::Topics => self.topic_changed(&name, config, mzxid),
            EntityType::Brokers if name == path::DEFAULT_ENTITY => self.brokers_changed(Level::Cluster, &config),
            EntityType::Brokers if name == self.id.to_string() => self.brokers_changed(Level::Broker, &config),
            // Other brokers' own affairs; quotas and credentials are not served yet.
            EntityType::Brokers | EntityType::Clients | EntityType::Users | EntityType::Ips => {}
        }
    }
}

/// The settings with the dynamic ones that ZooKeeper has for this broker and for all.
pub(super) async fn live(settings: Settings, id: BrokerId, zk: &Client) -> Result<Live, StartError> {
    let live = Live::new(Arc::new(settings));
    for (level, name) in [(Level::Cluster, path::DEFAULT_ENTITY.to_owned()), (Level::Broker, id.to_string())] {
        let stored = topics::config(zk, EntityType::Brokers, &name).await?;
        live.change(level, &stored.0).map_err(|errors| StartError::Dynamic { name, errors })?;
    }
    Ok(live)
}

/// The settings of all topics: logs are loaded with them.
pub(super) async fn topic_overrides(zk: &Client) -> Result<Overrides, StartError> {
    let names = zk.children(path::BROKER_TOPICS, false).await?;
    let nodes = zk.try_get_all(names.iter().map(|name| path::topic_config(name))).await?;
    let mut overrides = Overrides::default();
    for (name, node) in names.into_iter().zip(nodes) {
        let Some((data, stat)) = node else { continue };
        let config = EntityConfig::decode(&data.unwrap_or_default())
            .map_err(|source| topics::TopicError::Data { path: path::topic_config(&name), source })?;
        overrides.take(&name.into(), config.0, Some(stat.mzxid));
    }
    Ok(overrides)
}

impl Broker {
    /// Reads the settings of topics that a LeaderAndIsr brings to this broker: a topic's creation leaves no change
    /// node, so they are not known yet when its first log is made.
    pub async fn read_configs_of_new_topics(&self, partitions: Vec<TopicPartition>) {
        let new = partitions.into_iter().filter(|tp| self.logs.get(tp).is_none());
        let names: BTreeSet<TopicName> = new.map(|tp| tp.topic).collect();
        let nodes = self.zk.try_get_all(names.iter().map(|name| path::topic_config(name))).await;
        let nodes = match nodes {
            Ok(nodes) => nodes,
            Err(error) => {
                tracing::error!(%error, "The configurations of new topics cannot be read; using the defaults");
                return;
            }
        };
        for (topic, node) in names.iter().zip(nodes) {
            let Some((data, stat)) = node else { continue };
            match EntityConfig::decode(&data.unwrap_or_default()) {
                Ok(config) => self.configs.topic_changed(topic, config.0, Some(stat.mzxid)),
                Err(error) => {
                    tracing::error!(%topic, %error, "The topic's configuration cannot be read; using the defaults")
                }
            }
        }
    }
}

/// The topic's settings; `None` if it has none of its own. A value that does not parse is left out, as Kafka does.
fn log_config(settings: &Settings, topic: &str, overrides: &TopicOverrides) -> Option<LogConfig> {
    if overrides.is_empty() {
        return None;
    }
    match settings.log_config().with_overrides(overrides) {
        Ok(config) => Some(config),
        Err(error) => {
            tracing::error!(topic, %error, "The topic's configuration in ZooKeeper is not valid; using the defaults");
            None
        }
    }
}

/// Does the topic itself, not the broker's default, allow leaders from outside the ISR?
fn allows_unclean_leaders(overrides: &TopicOverrides) -> bool {
    let value = overrides.get(keys::UNCLEAN_LEADER_ELECTION_ENABLE.name());
    value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_topic_s_own_word_allows_unclean_leaders() {
        let overrides = |value: &str| BTreeMap::from([("unclean.leader.election.enable".into(), value.into())]);
        assert!(allows_unclean_leaders(&overrides("true")) && allows_unclean_leaders(&overrides("TRUE")));
        assert!(!allows_unclean_leaders(&overrides("false")) && !allows_unclean_leaders(&BTreeMap::new()));
    }

    #[test]
    fn an_older_reading_never_wins() {
        let topic = TopicName::from("t");
        let texts = |value: &str| TopicOverrides::from([("retention.ms".to_owned(), value.to_owned())]);
        let mut overrides = Overrides::default();
        assert!(overrides.take(&topic, texts("2"), Some(20)));
        assert!(!overrides.take(&topic, texts("1"), Some(10)) && !overrides.take(&topic, texts("2"), Some(20)));
        assert_eq!(overrides.topics[&topic], (texts("2"), 20));
        // A topic that was deleted and created again begins anew.
        assert!(overrides.take(&topic, TopicOverrides::new(), None) && overrides.take(&topic, texts("3"), Some(30)));
    }
}
