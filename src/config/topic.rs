//! The settings of topics: one table, and [`LogConfig`], the values that hold for one partition's log.
//!
//! Source: `org.apache.kafka.storage.internals.log.LogConfig` of Kafka 3.9.1.

use super::key::{FromValue, Support};
use super::value::Valid::*;
use super::{Importance, InvalidConfig, Kind, Settings, Valid, Value, release};
use std::collections::BTreeMap;

/// The settings that a topic overrides, as in its znode under `/config/topics`.
pub type TopicOverrides = BTreeMap<String, String>;

/// One line of the table of topic settings.
#[derive(Clone, Copy, Debug)]
pub struct TopicKey {
    pub name: &'static str,
    pub kind: Kind,
    pub default: &'static str,
    pub valid: Valid,
    pub importance: Importance,
    /// The broker keys that give the default, first set one wins; their units are in their names.
    pub broker_keys: &'static [&'static str],
    pub support: Support,
    pub meaning: &'static str,
}

impl TopicKey {
    /// Reads and checks `text`.
    pub fn parse(&self, text: &str) -> Result<Value, InvalidConfig> {
        let value = self.kind.parse(self.name, text)?;
        self.valid.check(self.name, &value)?;
        Ok(value)
    }
}

/// The line of the topic setting with this name.
pub fn find(name: &str) -> Option<&'static TopicKey> {
    TOPIC_KEYS.iter().find(|key| key.name == name)
}

macro_rules! topic_keys {
    ($($field:ident: $type:ty = $name:literal, $kind:ident, $default:literal, $valid:expr, $importance:ident,
       [$($broker_key:literal),*], $support:ident, $meaning:literal;)*) => {
        /// The table of topic settings, by name.
        pub static TOPIC_KEYS: &[TopicKey] = &[$(TopicKey {
            name: $name,
            kind: Kind::$kind,
            default: $default,
            valid: $valid,
            importance: Importance::$importance,
            broker_keys: &[$($broker_key),*],
            support: Support::$support,
            meaning: $meaning,
        },)*];

        /// The settings of one log: the broker's defaults with the overrides of the topic.
        #[derive(Clone, Debug, PartialEq)]
        pub struct LogConfig {
            $(#[doc = concat!("`", $name, "`: ", $meaning)] pub $field: $type,)*
            /// No setting: may `message.format.version` ask for messages before magic 2? Only below protocol 3.0.
            pub old_formats: bool,
        }

        /// Kafka's defaults.
        impl Default for LogConfig {
            fn default() -> LogConfig {
                LogConfig {
                    $($field: read(&Kind::$kind.parse($name, $default).expect("defaults of the table parse")),)*
                    old_formats: false,
                }
            }
        }

        impl LogConfig {
            /// Puts one parsed value in its field; false if no field has this name.
            fn set(&mut self, name: &str, value: &Value) -> bool {
                match name {
                    $($name => self.$field = read(value),)*
                    _ => return false,
                }
                true
            }

            /// The value of the field with this name.
            pub fn value(&self, name: &str) -> Option<Value> {
                match name {
                    $($name => Some(self.$field.to_value()),)*
                    _ => None,
                }
            }
        }
    };
}

topic_keys! {
    // field: type = name, kind, default, bounds, importance, [broker keys], support, meaning
    cleanup_policy: CleanupPolicy = "cleanup.policy", List, "delete", ListOf(&["compact", "delete"]), Medium, ["log.cleanup.policy"], Honoured, "delete and/or compact";
    compression_gzip_level: i32 = "compression.gzip.level", Int, "-1", GzipLevel, Medium, ["compression.gzip.level"], Honoured, "gzip level on recompression";
    compression_lz4_level: i32 = "compression.lz4.level", Int, "9", Between(1, 17), Medium, ["compression.lz4.level"], Honoured, "lz4 level on recompression";
    compression_type: CompressionType = "compression.type", Str, "producer", OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), Medium, ["compression.type"], Honoured, "target codec; producer = keep";
    compression_zstd_level: i32 = "compression.zstd.level", Int, "3", Between(-131072, 22), Medium, ["compression.zstd.level"], Honoured, "zstd level on recompression";
    delete_retention_ms: i64 = "delete.retention.ms", Long, "86400000", AtLeast(0), Medium, ["log.cleaner.delete.retention.ms"], Honoured, "keep tombstones this long";
    file_delete_delay_ms: i64 = "file.delete.delay.ms", Long, "60000", AtLeast(0), Medium, ["log.segment.delete.delay.ms"], Honoured, "wait before unlinking .deleted";
    flush_messages: i64 = "flush.messages", Long, "9223372036854775807", AtLeast(1), Medium, ["log.flush.interval.messages"], Honoured, "fsync after N records";
    flush_ms: i64 = "flush.ms", Long, "9223372036854775807", AtLeast(0), Medium, ["log.flush.interval.ms", "log.flush.scheduler.interval.ms"], Honoured, "fsync after; unset = scheduler value";
    follower_replication_throttled_replicas: Vec<String> = "follower.replication.throttled.replicas", List, "", ThrottledReplicas, Medium, [], Ignored, "replicas whose fetching is throttled";
    index_interval_bytes: i32 = "index.interval.bytes", Int, "4096", AtLeast(0), Medium, ["log.index.interval.bytes"], Honoured, "bytes between index entries";
    leader_replication_throttled_replicas: Vec<String> = "leader.replication.throttled.replicas", List, "", ThrottledReplicas, Medium, [], Ignored, "replicas whose serving is throttled";
    local_retention_bytes: i64 = "local.retention.bytes", Long, "-2", AtLeast(-2), Medium, ["log.local.retention.bytes"], Inert, "tiered storage";
    local_retention_ms: i64 = "local.retention.ms", Long, "-2", AtLeast(-2), Medium, ["log.local.retention.ms"], Inert, "tiered storage";
    max_compaction_lag_ms: i64 = "max.compaction.lag.ms", Long, "9223372036854775807", AtLeast(1), Medium, ["log.cleaner.max.compaction.lag.ms"], Honoured, "force compaction after";
    max_message_bytes: i32 = "max.message.bytes", Int, "1048588", AtLeast(0), Medium, ["message.max.bytes"], Honoured, "largest batch accepted";
    message_downconversion_enable: bool = "message.downconversion.enable", Boolean, "true", Any, Low, ["log.message.downconversion.enable"], Honoured, "down-convert for old fetchers (else 35)";
    message_format_version: String = "message.format.version", Str, "3.0-IV1", Release, Medium, ["log.message.format.version"], Honoured, "ignored with IBP 3.0+; older: magic";
    message_timestamp_after_max_ms: i64 = "message.timestamp.after.max.ms", Long, "9223372036854775807", AtLeast(0), Medium, ["log.message.timestamp.after.max.ms"], Honoured, "allowed future skew of CreateTime";
    message_timestamp_before_max_ms: i64 = "message.timestamp.before.max.ms", Long, "9223372036854775807", AtLeast(0), Medium, ["log.message.timestamp.before.max.ms"], Honoured, "allowed past skew";
    message_timestamp_difference_max_ms: i64 = "message.timestamp.difference.max.ms", Long, "9223372036854775807", AtLeast(0), Medium, ["log.message.timestamp.difference.max.ms"], Honoured, "deprecated skew limit";
    message_timestamp_type: TimestampType = "message.timestamp.type", Str, "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]), Medium, ["log.message.timestamp.type"], Honoured, "CreateTime or LogAppendTime";
    min_cleanable_dirty_ratio: f64 = "min.cleanable.dirty.ratio", Double, "0.5", Fraction, Medium, ["log.cleaner.min.cleanable.ratio"], Honoured, "dirty share that makes a log eligible";
    min_compaction_lag_ms: i64 = "min.compaction.lag.ms", Long, "0", AtLeast(0), Medium, ["log.cleaner.min.compaction.lag.ms"], Honoured, "keep the head uncompacted for";
    min_insync_replicas: i32 = "min.insync.replicas", Int, "1", AtLeast(1), Medium, ["min.insync.replicas"], Honoured, "needed for acks=all";
    preallocate: bool = "preallocate", Boolean, "false", Any, Medium, ["log.preallocate"], Honoured, "preallocate segments";
    remote_log_copy_disable: bool = "remote.log.copy.disable", Boolean, "false", Any, Medium, [], Inert, "tiered storage";
    remote_log_delete_on_disable: bool = "remote.log.delete.on.disable", Boolean, "false", Any, Medium, [], Inert, "tiered storage";
    remote_storage_enable: bool = "remote.storage.enable", Boolean, "false", Any, Medium, [], Refused, "tiered storage";
    retention_bytes: i64 = "retention.bytes", Long, "-1", Any, Medium, ["log.retention.bytes"], Honoured, "size retention per partition";
    retention_ms: i64 = "retention.ms", Long, "604800000", AtLeast(-1), Medium, ["log.retention.ms", "log.retention.minutes", "log.retention.hours"], Honoured, "time retention; -1 none";
    segment_bytes: i32 = "segment.bytes", Int, "1073741824", AtLeast(14), Medium, ["log.segment.bytes"], Honoured, "segment size";
    segment_index_bytes: i32 = "segment.index.bytes", Int, "10485760", AtLeast(4), Medium, ["log.index.size.max.bytes"], Honoured, "index file size";
    segment_jitter_ms: i64 = "segment.jitter.ms", Long, "0", AtLeast(0), Medium, ["log.roll.jitter.ms", "log.roll.jitter.hours"], Honoured, "random part of the time to roll";
    segment_ms: i64 = "segment.ms", Long, "604800000", AtLeast(1), Medium, ["log.roll.ms", "log.roll.hours"], Honoured, "roll segments after";
    unclean_leader_election_enable: bool = "unclean.leader.election.enable", Boolean, "false", Any, Medium, ["unclean.leader.election.enable"], Honoured, "allow non-ISR leaders";
}

impl LogConfig {
    /// The values of a topic with these overrides over these broker defaults.
    ///
    /// Names that no table knows are left out, as Kafka does when it reads a topic's znode;
    /// [`LogConfig::validate`] is the strict form for requests.
    pub fn with_overrides(&self, overrides: &TopicOverrides) -> Result<LogConfig, InvalidConfig> {
        let mut config = self.clone();
        for (name, text) in overrides {
            if let Some(key) = find(name) {
                config.set(name, &key.parse(text)?);
            }
        }
        if config.min_compaction_lag_ms > config.max_compaction_lag_ms {
            return Err(InvalidConfig::Conflict(format!(
                "conflict topic config setting min.compaction.lag.ms ({}) > max.compaction.lag.ms ({})",
                config.min_compaction_lag_ms, config.max_compaction_lag_ms
            )));
        }
        Ok(config)
    }

    /// What CreateTopics and AlterConfigs check: also that every name is known.
    pub fn validate(&self, overrides: &TopicOverrides) -> Result<LogConfig, InvalidConfig> {
        if let Some(unknown) = overrides.keys().find(|name| find(name).is_none()) {
            return Err(InvalidConfig::UnknownName(unknown.clone()));
        }
        let config = self.with_overrides(overrides)?;
        if config.remote_log_delete_on_disable || config.remote_log_copy_disable {
            return Err(InvalidConfig::Conflict(
                "It is invalid to set `remote.log.delete.on.disable` or `remote.log.copy.disable` under Zookeeper's mode."
                    .to_owned(),
            ));
        }
        if config.remote_storage_enable {
            return Err(InvalidConfig::Unable(
                "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log \
                 storage."
                    .to_owned(),
            ));
        }
        Ok(config)
    }

    /// The overrides that ask for something we do not do, and whose neglect would weaken durability.
    pub fn refused(overrides: &TopicOverrides) -> Vec<&'static str> {
        let asks = |key: &&TopicKey| {
            key.support == Support::Refused
                && overrides.get(key.name).is_some_and(|text| {
                    key.parse(text).is_ok_and(|value| value.render().as_deref() != Some(key.default))
                })
        };
        TOPIC_KEYS.iter().filter(asks).map(|key| key.name).collect()
    }

    /// The defaults that the broker's settings give.
    pub fn from_settings(settings: &Settings) -> LogConfig {
        let mut config = LogConfig::default();
        for key in TOPIC_KEYS {
            let values = key.broker_keys.iter().map(|name| (name, settings.value_of(name)));
            if let Some((name, value)) = values.into_iter().find(|(_, value)| *value != Value::Null) {
                config.set(key.name, &in_topic_units(name, value));
            }
        }
        if config.retention_ms < 0 {
            config.retention_ms = -1;
        }
        config.old_formats = settings.inter_broker_protocol() < release::Release::named("3.0-IV1");
        config
    }
}

/// A broker key counts hours or minutes where the topic's counts milliseconds.
fn in_topic_units(broker_key: &str, value: Value) -> Value {
    let milliseconds = match broker_key.rsplit('.').next() {
        Some("hours") => 3_600_000,
        Some("minutes") => 60_000,
        _ => return value,
    };
    value.as_integer().map_or(value, |number| Value::Long(number * milliseconds))
}

/// A value of a field; the table guarantees the type.
fn read<T: Field>(value: &Value) -> T {
    T::from_text(value).expect("the table gives the field's type")
}

/// A type of a field of [`LogConfig`].
trait Field: Sized {
    fn from_text(value: &Value) -> Option<Self>;
    fn to_value(&self) -> Value;
}

macro_rules! plain_field {
    ($($type:ty: $variant:ident;)*) => {
        $(impl Field for $type {
            fn from_text(value: &Value) -> Option<$type> {
                <$type>::from_value(value)
            }
            fn to_value(&self) -> Value {
                Value::$variant(self.clone())
            }
        })*
    };
}

plain_field! {
    bool: Boolean;
    i32: Int;
    i64: Long;
    f64: Double;
    String: Str;
    Vec<String>: List;
}

/// What becomes of old records: `cleanup.policy`, one or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    pub delete: bool,
    pub compact: bool,
    /// `compact` was named first; only for showing the list again.
    compact_first: bool,
}

impl Field for CleanupPolicy {
    fn from_text(value: &Value) -> Option<CleanupPolicy> {
        let Value::List(names) = value else { return None };
        Some(CleanupPolicy {
            delete: names.iter().any(|name| name == "delete"),
            compact: names.iter().any(|name| name == "compact"),
            compact_first: names.first().is_some_and(|name| name == "compact"),
        })
    }

    fn to_value(&self) -> Value {
        let mut names = Vec::new();
        names.extend(self.delete.then(|| "delete".to_owned()));
        if self.compact {
            names.insert(if self.compact_first { 0 } else { names.len() }, "compact".to_owned());
        }
        Value::List(names)
    }
}

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Kafka's name.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }

        impl Field for $name {
            fn from_text(value: &Value) -> Option<$name> {
                match value {
                    $(Value::Str(text) if text == $text => Some($name::$variant),)*
                    _ => None,
                }
            }
            fn to_value(&self) -> Value {
                Value::Str(self.name().to_owned())
            }
        }
    };
}

choice! {
    /// The codec in which batches are kept: `compression.type`.
    CompressionType {
        /// As the producer sent them.
        Producer = "producer",
        Uncompressed = "uncompressed",
        Gzip = "gzip",
        Snappy = "snappy",
        Lz4 = "lz4",
        Zstd = "zstd",
    }
}

choice! {
    /// Who sets the timestamps of records: `message.timestamp.type`.
    TimestampType {
        /// The producer.
        CreateTime = "CreateTime",
        /// The leader, when it appends.
        LogAppendTime = "LogAppendTime",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(entries: &[(&str, &str)]) -> TopicOverrides {
        entries.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn overrides_win_and_bad_ones_are_refused_in_the_words_of_kafka() {
        let defaults = LogConfig::default();
        let config = defaults
            .with_overrides(&overrides(&[
                ("retention.ms", "-1"),
                ("cleanup.policy", "compact, delete"),
                ("message.timestamp.type", "LogAppendTime"),
                ("not.a.key", "1"),
            ]))
            .unwrap();
        assert_eq!(config.retention_ms, -1);
        assert!(config.cleanup_policy.compact && config.cleanup_policy.delete);
        assert_eq!(config.value("cleanup.policy").unwrap().render().unwrap(), "compact,delete");
        assert_eq!(config.message_timestamp_type, TimestampType::LogAppendTime);
        assert_eq!(config.segment_bytes, 1 << 30);
        let error = |name, value| defaults.validate(&overrides(&[(name, value)])).unwrap_err().to_string();
        assert_eq!(
            error("retention.ms", "x"),
            "Invalid value x for configuration retention.ms: Not a number of type LONG"
        );
        assert_eq!(
            error("min.insync.replicas", "0"),
            "Invalid value 0 for configuration min.insync.replicas: Value must be at least 1"
        );
        assert_eq!(
            error("compression.type", "zip"),
            "Invalid value zip for configuration compression.type: String must be one of: uncompressed, zstd, lz4, \
             snappy, gzip, producer"
        );
        assert_eq!(
            error("cleanup.policy", "delete,x"),
            "Invalid value x for configuration cleanup.policy: String must be one of: compact, delete"
        );
        assert_eq!(error("no.such", "x"), "Unknown topic config name: no.such");
        assert!(error("max.compaction.lag.ms", "0").contains("at least 1"));
        assert!(
            defaults.validate(&overrides(&[("min.compaction.lag.ms", "5"), ("max.compaction.lag.ms", "4")])).is_err()
        );
        assert_eq!(
            LogConfig::refused(&overrides(&[("remote.storage.enable", "true"), ("segment.ms", "7")])),
            ["remote.storage.enable"]
        );
    }

    #[test]
    fn throttled_replicas_are_pairs_or_a_star() {
        let ok = |value: &str| {
            LogConfig::default().validate(&overrides(&[("leader.replication.throttled.replicas", value)])).is_ok()
        };
        assert!(ok("*") && ok("") && ok("0:1,1:2"));
        assert!(!ok("0") && !ok("a:b") && !ok("0:1,*"));
    }

    #[test]
    fn every_default_equals_its_text() {
        let defaults = LogConfig::default();
        for key in TOPIC_KEYS {
            assert_eq!(defaults.value(key.name).unwrap().render().unwrap(), key.default, "{}", key.name);
        }
        assert_eq!(TOPIC_KEYS.len(), 36);
    }
}
