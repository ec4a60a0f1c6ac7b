//! Changes of configurations asked for by AlterConfigs and IncrementalAlterConfigs: merging and checking, without any
//! effect.
//!
//! The checks stand in Kafka's order, because the first that fails is told. Sources: `ConfigAdminManager`,
//! `DynamicBrokerConfig` and `DynamicConfig` of Kafka 3.9.1.

use super::settings::{HONOURED_PER_LISTENER, Properties, listener_key, merged};
use super::value::Valid::AtLeast;
use super::{
    DynamicConfig, Importance, InvalidConfig, Key, KeyInfo, Kind, Mode, Settings, Support, TopicOverrides, keys, topic,
};

/// What to do to one setting (`AlterConfigOp`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Set,
    Delete,
    /// Adds to a list what it does not have.
    Append,
    /// Takes out of a list.
    Subtract,
}

impl Op {
    /// The operation with this number on the wire.
    pub const fn from_wire(id: i8) -> Option<Op> {
        Some(match id {
            0 => Op::Set,
            1 => Op::Delete,
            2 => Op::Append,
            3 => Op::Subtract,
            _ => return None,
        })
    }
}

/// Why a change is not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlterError {
    /// INVALID_REQUEST.
    #[error("{0}")]
    Request(String),
    /// INVALID_CONFIG.
    #[error("{0}")]
    Config(String),
    /// A value that does not parse: INVALID_CONFIG, and the text is told with the resource.
    #[error("{0}")]
    Value(String),
    /// Kafka stumbles over it: UNKNOWN_SERVER_ERROR without a text.
    #[error("the name is unknown")]
    Unexpected,
}

/// Where a dynamic setting of brokers is kept (KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `/config/brokers/<default>`, for all brokers.
    Cluster,
    /// `/config/brokers/ID`, for one.
    Broker,
}

impl Level {
    /// The properties of this level.
    pub fn of(self, dynamic: &DynamicConfig) -> &Properties {
        match self {
            Level::Cluster => &dynamic.cluster,
            Level::Broker => &dynamic.broker,
        }
    }

    /// `dynamic` with other properties at this level.
    pub(super) fn replaced(self, dynamic: &DynamicConfig, with: Properties) -> DynamicConfig {
        let mut dynamic = dynamic.clone();
        match self {
            Level::Cluster => dynamic.cluster = with,
            Level::Broker => dynamic.broker = with,
        }
        dynamic
    }
}

/// Keys that exist only as dynamic settings of brokers: the limits on bytes per second of replication and of moves
/// between log dirs (`QuotaConfigs.brokerQuotaConfigs`).
pub(super) static THROTTLES: [KeyInfo; 3] = [
    throttle("leader.replication.throttled.rate", "bytes per second that leaders send to throttled replicas"),
    throttle("follower.replication.throttled.rate", "bytes per second that throttled replicas fetch"),
    throttle("replica.alter.log.dirs.io.max.bytes.per.second", "bytes per second of moves between log dirs"),
];

/// The limit on bytes per second of moves between log dirs; the largest number if there is none.
pub fn move_bytes_per_s(dynamic: &DynamicConfig) -> i64 {
    let name = THROTTLES[2].name;
    let text = dynamic.broker.get(name).or_else(|| dynamic.cluster.get(name));
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(i64::MAX)
}

const fn throttle(name: &'static str, meaning: &'static str) -> KeyInfo {
    KeyInfo {
        name,
        kind: Kind::Long,
        default: Some("9223372036854775807"),
        valid: AtLeast(0),
        importance: Importance::Medium,
        mode: Mode::ClusterWide,
        support: Support::Ignored,
        meaning,
    }
}

/// The security settings that may change for a listener, not as such (`SslConfigs.RECONFIGURABLE_CONFIGS`).
const ONLY_PER_LISTENER: [&str; 10] = [
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

/// Settings of a listener that may be set for all brokers.
const OF_LISTENERS_CLUSTER_WIDE: [&str; 3] = ["max.connections", "max.connection.creation.rate", "num.network.threads"];

/// Settings that Kafka changes while it runs and we only at the next start; a request to change them is refused.
const NEXT_START: [&str; 8] = [
    "advertised.listeners",
    "listener.security.protocol.map",
    "listeners",
    "max.connection.creation.rate",
    "metric.reporters",
    "num.network.threads",
    "num.replica.fetchers",
    "principal.builder.class",
];

/// The line of a broker key that may change at runtime, by its plain name.
fn dynamic_key(name: &str) -> Option<&'static KeyInfo> {
    let throttle = THROTTLES.iter().find(|key| key.name == name);
    throttle.or_else(|| keys::find(name).filter(|key| key.mode.dynamic()))
}

/// The name behind `listener.name.<listener>.`.
fn behind_listener(name: &str) -> Option<&str> {
    Some(name.strip_prefix("listener.name.")?.split_once('.')?.1)
}

/// Applies operations on one topic's settings, in their order. Values are null only where something is deleted.
pub fn merge_topic<'a>(
    into: &mut TopicOverrides,
    ops: impl IntoIterator<Item = (&'a str, Option<Op>, &'a str)>,
) -> Result<(), AlterError> {
    merge(into, ops, |name| topic::find(name).map(|key| (key.kind, Some(key.default))))
}

/// Applies operations on the dynamic settings of brokers, in their order.
pub fn merge_broker<'a>(
    into: &mut Properties,
    ops: impl IntoIterator<Item = (&'a str, Option<Op>, &'a str)>,
) -> Result<(), AlterError> {
    merge(into, ops, |name| keys::find(name).map(|key| (key.kind, key.default)))
}

fn merge<'a>(
    into: &mut Properties,
    ops: impl IntoIterator<Item = (&'a str, Option<Op>, &'a str)>,
    known: impl Fn(&str) -> Option<(Kind, Option<&'static str>)>,
) -> Result<(), AlterError> {
    for (name, op, value) in ops {
        let list = |verb: &str| match known(name) {
            Some((Kind::List, default)) => Ok(default.unwrap_or_default()),
            Some(_) => Err(AlterError::Config(format!("Config value {verb} is not allowed for config key: {name}"))),
            None => Err(AlterError::Unexpected),
        };
        match op.ok_or(AlterError::Unexpected)? {
            Op::Set => _ = into.insert(name.to_owned(), value.to_owned()),
            Op::Delete => _ = into.remove(name),
            Op::Append => {
                let default = list("append")?;
                let old = into.get(name).map_or(default, String::as_str);
                let mut elements = if old.is_empty() { Vec::new() } else { split(old) };
                let added: Vec<&str> = split(value).into_iter().filter(|new| !elements.contains(new)).collect();
                elements.extend(added);
                let joined = elements.join(",");
                into.insert(name.to_owned(), joined);
            }
            Op::Subtract => {
                let default = list("subtract")?;
                let mut elements = split(into.get(name).map_or(default, String::as_str));
                for gone in split(value) {
                    if let Some(at) = elements.iter().position(|element| *element == gone) {
                        elements.remove(at);
                    }
                }
                let joined = elements.join(",");
                into.insert(name.to_owned(), joined);
            }
        }
    }
    Ok(())
}

/// As Java's `split(",")`: without the empty strings at the end, but an empty text has one.
fn split(text: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = text.split(',').collect();
    while parts.len() > 1 && parts.last() == Some(&"") {
        parts.pop();
    }
    if parts == [""] && !text.is_empty() { Vec::new() } else { parts }
}

/// Checks all settings that a topic is to have, over the broker's defaults.
pub fn check_topic(overrides: &TopicOverrides, broker: &Settings) -> Result<(), AlterError> {
    broker.log_config().validate(overrides).map_err(|error| match error {
        InvalidConfig::UnknownName(_) | InvalidConfig::Conflict(_) => AlterError::Config(error.to_string()),
        InvalidConfig::Value { .. } | InvalidConfig::Unable(_) => AlterError::Value(error.to_string()),
    })?;
    match super::LogConfig::refused(overrides).first() {
        Some(key) => Err(AlterError::Config(format!(
            "{key} is not honoured by this broker yet, and ignoring it would weaken durability"
        ))),
        None => Ok(()),
    }
}

/// Checks all dynamic settings that brokers are to have at one level, `now` being those of this broker.
pub fn check_broker(now: &Settings, level: Level, wanted: &Properties) -> Result<(), AlterError> {
    check_names(level, wanted)?;
    let refused = |name: &&String| {
        super::settings::known(name).is_some_and(|key| {
            key.support == Support::Refused
                && !key.parse(&wanted[*name]).is_ok_and(|value| value == key.default_value())
        })
    };
    not_empty(NOT_DYNAMIC, wanted.keys().filter(refused))?;
    let then = now.with_dynamic(level.replaced(now.dynamic(), wanted.clone())).map_err(|errors| {
        let text = errors.0.first().map(ToString::to_string).unwrap_or_default();
        match errors.0.first() {
            Some(InvalidConfig::Conflict(_)) => AlterError::Request(format!("requirement failed: {text}")),
            _ => AlterError::Request(text),
        }
    })?;
    check_change(now, &then)?;
    not_empty(NOT_DYNAMIC, changed_at_next_start(now, &then).iter())
}

const NOT_DYNAMIC: &str = "Cannot update these configs dynamically";

fn not_empty<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> Result<(), AlterError> {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(AlterError::Request(format!("{what}: Set({})", names.join(", "))))
}

/// `DynamicBrokerConfig.validateConfigs`: names and types.
fn check_names(level: Level, wanted: &Properties) -> Result<(), AlterError> {
    not_empty(NOT_DYNAMIC, wanted.keys().filter(|name| is_static(name)))?;
    if let Some(name) = wanted.keys().find(|name| ONLY_PER_LISTENER.contains(&name.as_str())) {
        return Err(AlterError::Request(format!(
            "These security configs can be dynamically updated only per-listener using the listener prefix: HashSet({name})"
        )));
    }
    for (name, text) in wanted {
        check_type(name, text).map_err(|error| AlterError::Request(error.to_string()))?;
    }
    match level {
        Level::Broker => Ok(()),
        Level::Cluster => not_empty(
            "Cannot update these configs at default cluster level, broker id must be specified",
            wanted.keys().filter(|name| is_per_broker(name)),
        ),
    }
}

fn is_static(name: &str) -> bool {
    keys::find(name).is_some_and(|key| !key.mode.dynamic())
}

fn is_per_broker(name: &str) -> bool {
    match behind_listener(name) {
        Some(plain) => !OF_LISTENERS_CLUSTER_WIDE.contains(&plain),
        None => keys::find(name).is_some_and(|key| key.mode == Mode::PerBroker),
    }
}

fn check_type(name: &str, text: &str) -> Result<(), InvalidConfig> {
    dynamic_key(behind_listener(name).unwrap_or(name)).map_or(Ok(()), |key| key.parse(text).map(|_| ()))
}

/// What of the stored settings a broker goes by; the rest is not valid at this place, and each is told with the reason.
/// Secrets are encrypted, and we have no key.
pub fn usable(level: Level, stored: &Properties) -> (Properties, Vec<(String, String)>) {
    let mut usable = stored.clone();
    let mut left_out = Vec::new();
    usable.retain(|name, text| {
        let reason = if is_static(name) {
            "it is not dynamic".to_owned()
        } else if ONLY_PER_LISTENER.contains(&name.as_str()) {
            "it must be set for a listener".to_owned()
        } else if let Err(error) = check_type(name, text) {
            error.to_string()
        } else if level == Level::Cluster && is_per_broker(name) {
            "it can be set only for one broker".to_owned()
        } else if is_password(name) {
            "the password could not be decoded".to_owned()
        } else {
            return true;
        };
        left_out.push((name.clone(), reason));
        false
    });
    (usable, left_out)
}

/// Is it a secret, which Kafka keeps encrypted?
pub fn is_password(name: &str) -> bool {
    super::settings::known(name).is_some_and(KeyInfo::sensitive)
}

/// The settings that differ and take effect only at the next start.
pub fn changed_at_next_start(now: &Settings, then: &Settings) -> Vec<String> {
    let plain = NEXT_START.iter().filter(|name| now.value_of(name) != then.value_of(name)).map(|name| name.to_string());
    let (before, after) = (merged(now.given(), now.dynamic()), merged(then.given(), then.dynamic()));
    let of_listeners = before.keys().chain(after.keys()).filter(|name| {
        let plain = listener_key(name).filter(|plain| !HONOURED_PER_LISTENER.contains(plain));
        plain.is_some_and(|plain| keys::find(plain).is_some()) && before.get(*name) != after.get(*name)
    });
    let mut names: Vec<String> = plain.chain(of_listeners.cloned()).collect();
    names.sort();
    names.dedup();
    names
}

/// The checks of the parts that would be changed (`BrokerReconfigurable.validateReconfiguration`).
fn check_change(now: &Settings, then: &Settings) -> Result<(), AlterError> {
    let refuse = |reason: String| {
        Err(AlterError::Request(format!(
            "Invalid value org.apache.kafka.common.config.ConfigException: {reason} for configuration Invalid dynamic \
             configuration"
        )))
    };
    let threads: [Key<i32>; 5] = [
        keys::NUM_NETWORK_THREADS,
        keys::NUM_IO_THREADS,
        keys::NUM_REPLICA_FETCHERS,
        keys::NUM_RECOVERY_THREADS_PER_DATA_DIR,
        keys::BACKGROUND_THREADS,
    ];
    for key in threads {
        let (old, new) = (now.get(key), then.get(key));
        let failed = format!("Dynamic thread count update validation failed for {}={new}", key.name());
        if new == old {
            continue;
        } else if new <= 0 {
            return refuse(format!("{failed}, value should be at least 1"));
        } else if new < old / 2 {
            return refuse(format!("{failed}, value should be at least half the current value {old}"));
        } else if i64::from(new) > i64::from(old) * 2 {
            return refuse(format!("{failed}, value should not be greater than double the current value {old}"));
        }
    }
    let (old, new) = (now.get(keys::LOG_CLEANER_THREADS), then.get(keys::LOG_CLEANER_THREADS));
    if new != old && then.get(keys::LOG_CLEANER_ENABLE) {
        if new < 1 {
            return refuse("Log cleaner threads should be at least 1".to_owned());
        } else if new < old / 2 {
            return refuse(format!("Log cleaner threads cannot be reduced to less than half the current value {old}"));
        } else if i64::from(new) > i64::from(old) * 2 {
            return refuse(format!(
                "Log cleaner threads cannot be increased to more than double the current value {old}"
            ));
        }
    }
    for key in [keys::MAX_CONNECTIONS, keys::MAX_CONNECTION_CREATION_RATE] {
        let new = then.get(key);
        if new != now.get(key) && new <= 0 {
            return refuse(format!("Invalid {} {new}", key.name()));
        }
    }
    if now.log_config() != then.log_config() {
        check_local_retention(then).or_else(refuse)?;
    }
    Ok(())
}

/// `DynamicLogConfig.validateReconfiguration`.
fn check_local_retention(then: &Settings) -> Result<(), String> {
    let log = then.log_config();
    let check = |local_name: &str, local: i64, name: &str, value: i64| {
        let reason = match (value >= 0, local) {
            (false, _) | (_, -2) => return Ok(()),
            (_, -1) => format!("Value must not be -1 as {name} value is set as {value}."),
            _ if local > value => format!("Value must not be more than {name} property value: {value}"),
            _ => return Ok(()),
        };
        Err(InvalidConfig::value(local_name, &local.to_string(), reason).to_string())
    };
    check("log.local.retention.ms", log.local_retention_ms, "log.retention.ms", log.retention_ms)?;
    check("log.local.retention.bytes", log.local_retention_bytes, "log.retention.bytes", log.retention_bytes)
}

#[cfg(test)]
mod tests;
