//! One immutable snapshot of a broker's settings.

use super::key::FromValue;
use super::{InvalidConfig, Key, KeyInfo, Listener, LogConfig, Release, SecurityProtocol, Support, Value};
use super::{check, keys, listeners};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Keys that are also honoured when set for one listener.
pub(super) const HONOURED_PER_LISTENER: [&str; 1] = ["max.connections"];

/// Names and texts, as in `server.properties` or a znode under `/config`.
pub type Properties = BTreeMap<String, String>;

/// What AlterConfigs stored for a broker (KIP-226); both win over `server.properties`, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DynamicConfig {
    /// `/config/brokers/<id>`.
    pub broker: Properties,
    /// `/config/brokers/<default>`.
    pub cluster: Properties,
}

/// The values of every key at one moment. A change makes another snapshot.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Texts of `server.properties` and `--override`, unknown keys included.
    given: Properties,
    dynamic: DynamicConfig,
    /// One per line of [`keys::TABLE`].
    values: Vec<Value>,
    listeners: Vec<Listener>,
    advertised: Vec<Listener>,
    inter_broker: String,
    log_config: LogConfig,
}

/// Everything that is wrong with some properties, one message per problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<InvalidConfig>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl Settings {
    /// Reads and checks the properties of `server.properties`, all problems at once.
    pub fn from_properties(given: Properties) -> Result<Settings, ConfigErrors> {
        Settings::build(given, DynamicConfig::default())
    }

    /// The same static properties under other dynamic ones; refused whole if anything in them is wrong.
    pub fn with_dynamic(&self, dynamic: DynamicConfig) -> Result<Settings, ConfigErrors> {
        Settings::build(self.given.clone(), dynamic)
    }

    fn build(mut given: Properties, dynamic: DynamicConfig) -> Result<Settings, ConfigErrors> {
        // Two names of one thing; the newer one was made for KRaft.
        let mut copied = None;
        for (name, other) in [("broker.id", "node.id"), ("node.id", "broker.id")] {
            if let (Some(value), None) = (given.get(other).cloned(), given.get(name)) {
                given.insert(name.to_owned(), value);
                copied = Some(name);
            }
        }
        let mut errors = Vec::new();
        let mut values: Vec<Value> = keys::TABLE.iter().map(KeyInfo::default_value).collect();
        for (name, text) in &merged(&given, &dynamic) {
            let Some(key) = known(name) else { continue };
            match key.parse(text) {
                Ok(value) => {
                    if let Some(index) = keys::position(name) {
                        values[index] = value;
                    }
                }
                // Said of the name that was written.
                Err(_) if copied == Some(name) => {}
                // The message names the key as it was written, with its listener, and shows no secret.
                Err(InvalidConfig::Value { value, reason, .. }) => {
                    let shown = if key.sensitive() { "[hidden]" } else { &value };
                    errors.push(InvalidConfig::value(name, shown, reason));
                }
                Err(error) => errors.push(error),
            }
        }
        if !errors.is_empty() {
            return Err(ConfigErrors(errors));
        }
        let mut settings = Settings {
            given,
            dynamic,
            values,
            listeners: Vec::new(),
            advertised: Vec::new(),
            inter_broker: String::new(),
            log_config: LogConfig::default(),
        };
        settings.log_config = LogConfig::from_settings(&settings);
        errors.extend(settings.refused());
        if let Err(error) = settings.resolve_listeners() {
            errors.push(error);
        } else {
            settings.refused_listeners(&mut errors);
            check::check(&settings, &mut errors);
        }
        if errors.is_empty() { Ok(settings) } else { Err(ConfigErrors(errors)) }
    }

    fn resolve_listeners(&mut self) -> Result<(), InvalidConfig> {
        let map = listeners::parse_protocol_map(&self.get(keys::LISTENER_SECURITY_PROTOCOL_MAP))?;
        self.listeners = listeners::parse_listeners("listeners", &self.get(keys::LISTENERS), &map, true)?;
        self.advertised = match self.get(keys::ADVERTISED_LISTENERS) {
            Some(text) => listeners::parse_listeners("advertised.listeners", &text, &map, false)?,
            None => self.listeners.clone(),
        };
        self.inter_broker = match self.get(keys::INTER_BROKER_LISTENER_NAME) {
            Some(_) if self.given.contains_key(keys::SECURITY_INTER_BROKER_PROTOCOL.name()) => {
                return Err(InvalidConfig::Conflict(
                    "Only one of inter.broker.listener.name and security.inter.broker.protocol should be set."
                        .to_owned(),
                ));
            }
            Some(name) if map.contains_key(&name.to_uppercase()) => name.to_uppercase(),
            Some(name) => {
                return Err(InvalidConfig::Conflict(format!(
                    "Listener with name {} defined in inter.broker.listener.name not found in \
                     listener.security.protocol.map.",
                    name.to_uppercase()
                )));
            }
            None => self.get(keys::SECURITY_INTER_BROKER_PROTOCOL),
        };
        Ok(())
    }

    /// The value of a key.
    pub fn get<T: FromValue>(&self, key: Key<T>) -> T {
        T::from_value(&self.values[key.index]).expect("the table gives the constant's type")
    }

    /// The value of the key with this name; null if there is no such key.
    pub fn value_of(&self, name: &str) -> Value {
        keys::position(name).map_or(Value::Null, |index| self.values[index].clone())
    }

    /// The text that holds for a name, also of a listener; none if only a default does.
    pub fn text(&self, name: &str) -> Option<&str> {
        let layers = [&self.dynamic.broker, &self.dynamic.cluster, &self.given];
        layers.into_iter().find_map(|layer| layer.get(name)).map(String::as_str)
    }

    /// The texts of `server.properties` and `--override`.
    pub fn given(&self) -> &Properties {
        &self.given
    }

    /// What AlterConfigs stored.
    pub fn dynamic(&self) -> &DynamicConfig {
        &self.dynamic
    }

    /// The sockets to open.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// What goes into `/brokers/ids`; hosts may be unset, which means the machine's own name.
    pub fn advertised_listeners(&self) -> &[Listener] {
        &self.advertised
    }

    /// The advertised listener that brokers use among themselves.
    pub fn inter_broker_listener(&self) -> &Listener {
        self.advertised
            .iter()
            .find(|listener| listener.name == self.inter_broker)
            .expect("the checks demand that the listener between brokers is advertised")
    }

    pub(super) fn inter_broker_listener_name(&self) -> &str {
        &self.inter_broker
    }

    /// The data directories, as written.
    pub fn log_dirs(&self) -> Vec<PathBuf> {
        let text = self.get(keys::LOG_DIRS).unwrap_or_else(|| self.get(keys::LOG_DIR));
        text.split(',').map(str::trim).filter(|dir| !dir.is_empty()).map(PathBuf::from).collect()
    }

    /// The defaults of topics.
    pub fn log_config(&self) -> LogConfig {
        self.log_config.clone()
    }

    /// `host:port,...[/chroot]`.
    pub fn zookeeper_connect(&self) -> String {
        self.get(keys::ZOOKEEPER_CONNECT).expect("the checks demand zookeeper.connect")
    }

    /// `zookeeper.connection.timeout.ms`, or the session time-out if that is not set.
    pub fn zookeeper_connection_timeout_ms(&self) -> i32 {
        self.get(keys::ZOOKEEPER_CONNECTION_TIMEOUT_MS).unwrap_or_else(|| self.get(keys::ZOOKEEPER_SESSION_TIMEOUT_MS))
    }

    /// The release whose inter-broker versions are spoken.
    pub fn inter_broker_protocol(&self) -> Release {
        self.get(keys::INTER_BROKER_PROTOCOL_VERSION).parse().expect("the table demands a release")
    }

    /// Keys set in the file that Kafka knows and we do not honour yet; one warning names them.
    pub fn ignored(&self) -> Vec<&str> {
        let is_ignored = |name: &&String| {
            known(name).is_some_and(|key| match keys::find(name) {
                Some(_) => key.support == Support::Ignored,
                None => key.support != Support::Refused && !HONOURED_PER_LISTENER.contains(&key.name),
            })
        };
        self.given.keys().filter(is_ignored).map(String::as_str).collect()
    }

    /// Keys set in the file that Kafka does not know; kept for plug-ins and DescribeConfigs, as Kafka does.
    pub fn unknown(&self) -> Vec<&str> {
        self.given.keys().filter(|name| known(name).is_none()).map(String::as_str).collect()
    }

    /// The keys whose neglect would weaken security or durability.
    fn refused(&self) -> Vec<InvalidConfig> {
        let mut refused = Vec::new();
        for (name, text) in self.given.iter().chain(&self.dynamic.cluster).chain(&self.dynamic.broker) {
            let Some(key) = known(name).filter(|key| key.support == Support::Refused) else { continue };
            if key.parse(text).is_ok_and(|value| value == key.default_value()) {
                continue;
            }
            let shown = if key.sensitive() { "[hidden]" } else { text };
            refused.push(InvalidConfig::Conflict(format!(
                "{name}={shown} asks for something that is not supported yet ({}), and going on without it would weaken \
                 security or durability. Remove the line if you can do without it, or keep this broker on Kafka.",
                key.meaning
            )));
        }
        refused
    }

    fn refused_listeners(&self, errors: &mut Vec<InvalidConfig>) {
        let other = self.listeners.iter().filter(|listener| listener.protocol != SecurityProtocol::Plaintext);
        errors.extend(other.map(tls_or_sasl));
    }
}

fn tls_or_sasl(listener: &Listener) -> InvalidConfig {
    InvalidConfig::Conflict(format!(
        "listeners: {listener} speaks {}, which is not supported yet; it will not be opened unprotected instead. Give the \
         broker PLAINTEXT listeners only, or keep it on Kafka.",
        listener.protocol
    ))
}

/// The line of a key, also if it is set for one listener: `listener.name.<listener>.[<mechanism>.]<key>`.
pub(super) fn known(name: &str) -> Option<&'static KeyInfo> {
    keys::find(name).or_else(|| listener_key(name).and_then(keys::find))
}

/// All texts that hold: dynamic ones over static ones. A dynamic key also removes what is set for the keys that mean the
/// same in other units, so that `log.retention.ms` of a broker wins over `log.retention.minutes` of its file.
pub(super) fn merged(given: &Properties, dynamic: &DynamicConfig) -> Properties {
    let mut merged = given.clone();
    for layer in [&dynamic.cluster, &dynamic.broker] {
        for (name, text) in layer {
            for same in synonyms(name) {
                merged.remove(same);
            }
            merged.insert(name.clone(), text.clone());
        }
    }
    merged
}

/// The keys that mean the same in other units, the one that wins first.
pub(super) fn synonyms(name: &str) -> Vec<&str> {
    const FAMILIES: [&[&str]; 3] = [
        &["log.roll.ms", "log.roll.hours"],
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
    ];
    if name == "log.flush.interval.ms" {
        return vec![name, "log.flush.scheduler.interval.ms"];
    }
    FAMILIES.iter().find(|family| family.contains(&name)).map_or_else(|| vec![name], |family| family.to_vec())
}

/// The plain key in `listener.name.<listener>.[<mechanism>.]<key>`.
pub(super) fn listener_key(name: &str) -> Option<&str> {
    /// The keys that may be set for one mechanism.
    const OF_A_MECHANISM: [&str; 5] = [
        "sasl.jaas.config",
        "sasl.login.callback.handler.class",
        "sasl.login.class",
        "sasl.server.callback.handler.class",
        "connections.max.reauth.ms",
    ];
    let (_, rest) = name.strip_prefix("listener.name.")?.split_once('.')?;
    Some(OF_A_MECHANISM.into_iter().find(|key| rest.ends_with(key)).unwrap_or(rest))
}
