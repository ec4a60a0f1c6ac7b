//! Every key of a broker, once: 314 that DescribeConfigs shows, 14 internal ones, and ours at the end.
//!
//! Names, types, defaults, bounds, importance and modes are those of Kafka 3.9.1 (`tests/config.rs` compares them with a
//! live broker); the column before the meaning is about us, see [`Support`].

use super::key::{Key, KeyInfo, Mode, Support};
use super::value::Valid::*;
use super::{Importance, Kind, Password};

macro_rules! text {
    (null) => {
        None
    };
    ($default:literal) => {
        Some($default)
    };
}

macro_rules! keys {
    ($($id:ident: $type:ty = $name:literal, $kind:ident, $default:tt, $valid:expr, $importance:ident, $mode:ident,
       $support:ident, $meaning:literal;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Index {
            $($id,)*
        }

        $(#[doc = concat!("`", $name, "`: ", $meaning)]
        pub const $id: Key<$type> = Key::new(Index::$id as usize);)*

        /// The table: Kafka's keys by name, then ours.
        pub static TABLE: &[KeyInfo] = &[$(KeyInfo {
            name: $name,
            kind: Kind::$kind,
            default: text!($default),
            valid: $valid,
            importance: Importance::$importance,
            mode: Mode::$mode,
            support: Support::$support,
            meaning: $meaning,
        },)*];
    };
}

/// The line of the key with this name.
pub fn find(name: &str) -> Option<&'static KeyInfo> {
    position(name).map(|index| &TABLE[index])
}

/// The place of this name in [`TABLE`].
pub(super) fn position(name: &str) -> Option<usize> {
    use std::collections::HashMap;
    use std::sync::OnceLock;
    static BY_NAME: OnceLock<HashMap<&'static str, usize>> = OnceLock::new();
    BY_NAME.get_or_init(|| TABLE.iter().enumerate().map(|(index, key)| (key.name, index)).collect()).get(name).copied()
}

/// The lines of Kafka's keys, without ours.
pub fn of_kafka() -> impl Iterator<Item = &'static KeyInfo> {
    TABLE.iter().filter(|key| key.mode != Mode::Own)
}

keys! {
    // constant: type = name, kind, default, bounds, importance, mode, support, meaning
    ADVERTISED_LISTENERS: Option<String> = "advertised.listeners", Str, null, Any, High, PerBroker, Honoured, "addresses put in /brokers/ids for clients; defaults to listeners";
    ALTER_CONFIG_POLICY_CLASS_NAME: Option<String> = "alter.config.policy.class.name", Class, null, Any, Low, ReadOnly, Refused, "plug-in that may veto config changes";
    ALTER_LOG_DIRS_REPLICATION_QUOTA_WINDOW_NUM: i32 = "alter.log.dirs.replication.quota.window.num", Int, "11", AtLeast(1), Low, ReadOnly, Ignored, "sample count for dir-move throttle";
    ALTER_LOG_DIRS_REPLICATION_QUOTA_WINDOW_SIZE_SECONDS: i32 = "alter.log.dirs.replication.quota.window.size.seconds", Int, "1", AtLeast(1), Low, ReadOnly, Ignored, "sample length for dir-move throttle";
    AUTHORIZER_CLASS_NAME: String = "authorizer.class.name", Str, "", NonNullString, Low, ReadOnly, Refused, "ACL plug-in; kafka.security.authorizer.AclAuthorizer in ZK mode";
    AUTO_CREATE_TOPICS_ENABLE: bool = "auto.create.topics.enable", Boolean, "true", Any, High, ReadOnly, Honoured, "create unknown topics on Metadata";
    AUTO_INCLUDE_JMX_REPORTER: bool = "auto.include.jmx.reporter", Boolean, "true", Any, Low, ReadOnly, Inert, "JMX reporter on even if metric.reporters omits it";
    AUTO_LEADER_REBALANCE_ENABLE: bool = "auto.leader.rebalance.enable", Boolean, "true", Any, High, ReadOnly, Honoured, "controller runs preferred elections periodically";
    BACKGROUND_THREADS: i32 = "background.threads", Int, "10", AtLeast(1), High, ClusterWide, Ignored, "size of the general scheduler";
    BROKER_HEARTBEAT_INTERVAL_MS: i32 = "broker.heartbeat.interval.ms", Int, "2000", Any, Medium, ReadOnly, Inert, "KRaft only";
    BROKER_ID: i32 = "broker.id", Int, "-1", Any, High, ReadOnly, Honoured, "broker number; -1 = generate";
    BROKER_ID_GENERATION_ENABLE: bool = "broker.id.generation.enable", Boolean, "true", Any, Medium, ReadOnly, Honoured, "allow generated ids (above reserved.broker.max.id)";
    BROKER_RACK: Option<String> = "broker.rack", Str, null, Any, Medium, ReadOnly, Honoured, "rack name for assignment and fetch-from-follower";
    BROKER_SESSION_TIMEOUT_MS: i32 = "broker.session.timeout.ms", Int, "9000", Any, Medium, ReadOnly, Inert, "KRaft only";
    CLIENT_QUOTA_CALLBACK_CLASS: Option<String> = "client.quota.callback.class", Class, null, Any, Low, ReadOnly, Ignored, "plug-in computing quotas";
    COMPRESSION_GZIP_LEVEL: i32 = "compression.gzip.level", Int, "-1", GzipLevel, Medium, ClusterWide, Honoured, "gzip level on recompression";
    COMPRESSION_LZ4_LEVEL: i32 = "compression.lz4.level", Int, "9", Between(1, 17), Medium, ClusterWide, Honoured, "lz4 level on recompression";
    COMPRESSION_TYPE: String = "compression.type", Str, "producer", OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), High, ClusterWide, Honoured, "target codec; producer = keep";
    COMPRESSION_ZSTD_LEVEL: i32 = "compression.zstd.level", Int, "3", Between(-131072, 22), Medium, ClusterWide, Honoured, "zstd level on recompression";
    CONNECTION_FAILED_AUTHENTICATION_DELAY_MS: i32 = "connection.failed.authentication.delay.ms", Int, "100", AtLeast(0), Low, ReadOnly, Ignored, "wait before closing after failed authentication";
    CONNECTIONS_MAX_IDLE_MS: i64 = "connections.max.idle.ms", Long, "600000", Any, Medium, ReadOnly, Honoured, "close idle connections";
    CONNECTIONS_MAX_REAUTH_MS: i64 = "connections.max.reauth.ms", Long, "0", Any, Medium, ReadOnly, Refused, "SASL session lifetime (KIP-368), 0 off";
    CONTROL_PLANE_LISTENER_NAME: Option<String> = "control.plane.listener.name", Str, null, Any, High, ReadOnly, Refused, "separate listener for controller requests";
    CONTROLLED_SHUTDOWN_ENABLE: bool = "controlled.shutdown.enable", Boolean, "true", Any, Medium, ReadOnly, Honoured, "move leaders before stop";
    CONTROLLED_SHUTDOWN_MAX_RETRIES: i32 = "controlled.shutdown.max.retries", Int, "3", Any, Medium, ReadOnly, Honoured, "tries of ControlledShutdown";
    CONTROLLED_SHUTDOWN_RETRY_BACKOFF_MS: i64 = "controlled.shutdown.retry.backoff.ms", Long, "5000", Any, Medium, ReadOnly, Honoured, "pause between tries";
    CONTROLLER_LISTENER_NAMES: Option<String> = "controller.listener.names", Str, null, Any, High, ReadOnly, Honoured, "KRaft only";
    CONTROLLER_QUORUM_APPEND_LINGER_MS: i32 = "controller.quorum.append.linger.ms", Int, "25", Any, Medium, ReadOnly, Inert, "KRaft only";
    CONTROLLER_QUORUM_BOOTSTRAP_SERVERS: Vec<String> = "controller.quorum.bootstrap.servers", List, "", NonEmptyList, High, ReadOnly, Inert, "KRaft only";
    CONTROLLER_QUORUM_ELECTION_BACKOFF_MAX_MS: i32 = "controller.quorum.election.backoff.max.ms", Int, "1000", Any, High, ReadOnly, Inert, "KRaft only";
    CONTROLLER_QUORUM_ELECTION_TIMEOUT_MS: i32 = "controller.quorum.election.timeout.ms", Int, "1000", Any, High, ReadOnly, Inert, "KRaft only";
    CONTROLLER_QUORUM_FETCH_TIMEOUT_MS: i32 = "controller.quorum.fetch.timeout.ms", Int, "2000", Any, High, ReadOnly, Inert, "KRaft only";
    CONTROLLER_QUORUM_REQUEST_TIMEOUT_MS: i32 = "controller.quorum.request.timeout.ms", Int, "2000", Any, Medium, ReadOnly, Inert, "KRaft only";
    CONTROLLER_QUORUM_RETRY_BACKOFF_MS: i32 = "controller.quorum.retry.backoff.ms", Int, "20", Any, Low, ReadOnly, Inert, "KRaft only";
    CONTROLLER_QUORUM_VOTERS: Vec<String> = "controller.quorum.voters", List, "", NonEmptyList, High, ReadOnly, Inert, "KRaft only";
    CONTROLLER_QUOTA_WINDOW_NUM: i32 = "controller.quota.window.num", Int, "11", AtLeast(1), Low, ReadOnly, Ignored, "samples of mutation quota";
    CONTROLLER_QUOTA_WINDOW_SIZE_SECONDS: i32 = "controller.quota.window.size.seconds", Int, "1", AtLeast(1), Low, ReadOnly, Ignored, "sample length of mutation quota";
    CONTROLLER_SOCKET_TIMEOUT_MS: i32 = "controller.socket.timeout.ms", Int, "30000", Any, Medium, ReadOnly, Honoured, "controller to broker request timeout";
    CREATE_TOPIC_POLICY_CLASS_NAME: Option<String> = "create.topic.policy.class.name", Class, null, Any, Low, ReadOnly, Refused, "plug-in that may veto topic creation";
    DEFAULT_REPLICATION_FACTOR: i32 = "default.replication.factor", Int, "1", Any, Medium, ReadOnly, Honoured, "RF for auto/default creation";
    DELEGATION_TOKEN_EXPIRY_CHECK_INTERVAL_MS: i64 = "delegation.token.expiry.check.interval.ms", Long, "3600000", AtLeast(1), Low, ReadOnly, Ignored, "period of the expired-token sweep";
    DELEGATION_TOKEN_EXPIRY_TIME_MS: i64 = "delegation.token.expiry.time.ms", Long, "86400000", AtLeast(1), Medium, ReadOnly, Ignored, "token lives this long unless renewed";
    DELEGATION_TOKEN_MASTER_KEY: Option<Password> = "delegation.token.master.key", Password, null, Any, Medium, ReadOnly, Refused, "old name of the secret key";
    DELEGATION_TOKEN_MAX_LIFETIME_MS: i64 = "delegation.token.max.lifetime.ms", Long, "604800000", AtLeast(1), Medium, ReadOnly, Ignored, "upper bound of token life";
    DELEGATION_TOKEN_SECRET_KEY: Option<Password> = "delegation.token.secret.key", Password, null, Any, Medium, ReadOnly, Refused, "HMAC key, same on all brokers; unset = tokens off";
    DELETE_RECORDS_PURGATORY_PURGE_INTERVAL_REQUESTS: i32 = "delete.records.purgatory.purge.interval.requests", Int, "1", Any, Medium, ReadOnly, Ignored, "cleanup period of that purgatory";
    DELETE_TOPIC_ENABLE: bool = "delete.topic.enable", Boolean, "true", Any, High, ReadOnly, Honoured, "allow topic deletion";
    EARLY_START_LISTENERS: Option<String> = "early.start.listeners", Str, null, Any, High, ReadOnly, Inert, "KRaft oriented: open these first";
    ELIGIBLE_LEADER_REPLICAS_ENABLE: bool = "eligible.leader.replicas.enable", Boolean, "false", Any, High, ReadOnly, Inert, "KRaft only";
    FETCH_MAX_BYTES: i32 = "fetch.max.bytes", Int, "57671680", AtLeast(1024), Medium, ReadOnly, Honoured, "cap on a fetch answer (min 1024)";
    FETCH_PURGATORY_PURGE_INTERVAL_REQUESTS: i32 = "fetch.purgatory.purge.interval.requests", Int, "1000", Any, Medium, ReadOnly, Ignored, "cleanup period of fetch purgatory";
    GROUP_CONSUMER_ASSIGNORS: Vec<String> = "group.consumer.assignors", List, "org.apache.kafka.coordinator.group.assignor.UniformAssignor,org.apache.kafka.coordinator.group.assignor.RangeAssignor", Any, Medium, ReadOnly, Inert, "new group protocol, unused in ZK mode";
    GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS: i32 = "group.consumer.heartbeat.interval.ms", Int, "5000", AtLeast(1), Medium, ReadOnly, Inert, "new group protocol, unused in ZK mode";
    GROUP_CONSUMER_MAX_HEARTBEAT_INTERVAL_MS: i32 = "group.consumer.max.heartbeat.interval.ms", Int, "15000", AtLeast(1), Medium, ReadOnly, Inert, "new group protocol, unused in ZK mode";
    GROUP_CONSUMER_MAX_SESSION_TIMEOUT_MS: i32 = "group.consumer.max.session.timeout.ms", Int, "60000", AtLeast(1), Medium, ReadOnly, Inert, "new group protocol, unused in ZK mode";
    GROUP_CONSUMER_MAX_SIZE: i32 = "group.consumer.max.size", Int, "2147483647", AtLeast(1), Medium, ReadOnly, Inert, "new group protocol, unused in ZK mode";
    GROUP_CONSUMER_MIGRATION_POLICY: String = "group.consumer.migration.policy", Str, "disabled", Any, Low, Internal, Inert, "new group protocol, unused in ZK mode";
    GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS: i32 = "group.consumer.min.heartbeat.interval.ms", Int, "5000", AtLeast(1), Medium, ReadOnly, Inert, "new group protocol, unused in ZK mode";
    GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS: i32 = "group.consumer.min.session.timeout.ms", Int, "45000", AtLeast(1), Medium, ReadOnly, Inert, "new group protocol, unused in ZK mode";
    GROUP_CONSUMER_SESSION_TIMEOUT_MS: i32 = "group.consumer.session.timeout.ms", Int, "45000", AtLeast(1), Medium, ReadOnly, Inert, "new group protocol, unused in ZK mode";
    GROUP_COORDINATOR_APPEND_LINGER_MS: i32 = "group.coordinator.append.linger.ms", Int, "10", AtLeast(0), Medium, ReadOnly, Inert, "new coordinator only";
    GROUP_COORDINATOR_NEW_ENABLE: bool = "group.coordinator.new.enable", Boolean, "false", Any, Low, Internal, Inert, "new group coordinator, KRaft only";
    GROUP_COORDINATOR_REBALANCE_PROTOCOLS: Vec<String> = "group.coordinator.rebalance.protocols", List, "classic", ListOf(&["consumer", "classic", "share", "unknown"]), Medium, ReadOnly, Ignored, "must stay classic in ZK mode";
    GROUP_COORDINATOR_THREADS: i32 = "group.coordinator.threads", Int, "1", AtLeast(1), Medium, ReadOnly, Inert, "new coordinator only";
    GROUP_INITIAL_REBALANCE_DELAY_MS: i32 = "group.initial.rebalance.delay.ms", Int, "3000", Any, Medium, ReadOnly, Honoured, "wait for more members of an empty group";
    GROUP_MAX_SESSION_TIMEOUT_MS: i32 = "group.max.session.timeout.ms", Int, "1800000", Any, Medium, ReadOnly, Honoured, "upper session timeout";
    GROUP_MAX_SIZE: i32 = "group.max.size", Int, "2147483647", AtLeast(1), Medium, ReadOnly, Honoured, "member limit";
    GROUP_MIN_SESSION_TIMEOUT_MS: i32 = "group.min.session.timeout.ms", Int, "6000", Any, Medium, ReadOnly, Honoured, "lower session timeout";
    GROUP_SHARE_DELIVERY_COUNT_LIMIT: i32 = "group.share.delivery.count.limit", Int, "5", Between(2, 10), Medium, ReadOnly, Inert, "share groups, unused";
    GROUP_SHARE_ENABLE: bool = "group.share.enable", Boolean, "false", Any, Low, Internal, Inert, "share groups, unused";
    GROUP_SHARE_HEARTBEAT_INTERVAL_MS: i32 = "group.share.heartbeat.interval.ms", Int, "5000", AtLeast(1), Medium, ReadOnly, Inert, "share groups, unused";
    GROUP_SHARE_MAX_GROUPS: i16 = "group.share.max.groups", Short, "10", Between(1, 100), Medium, ReadOnly, Inert, "share groups, unused";
    GROUP_SHARE_MAX_HEARTBEAT_INTERVAL_MS: i32 = "group.share.max.heartbeat.interval.ms", Int, "15000", AtLeast(1), Medium, ReadOnly, Inert, "share groups, unused";
    GROUP_SHARE_MAX_RECORD_LOCK_DURATION_MS: i32 = "group.share.max.record.lock.duration.ms", Int, "60000", Between(30000, 3600000), Medium, ReadOnly, Inert, "share groups, unused";
    GROUP_SHARE_MAX_SESSION_TIMEOUT_MS: i32 = "group.share.max.session.timeout.ms", Int, "60000", AtLeast(1), Medium, ReadOnly, Inert, "share groups, unused";
    GROUP_SHARE_MAX_SIZE: i16 = "group.share.max.size", Short, "200", Between(10, 1000), Medium, ReadOnly, Inert, "share groups, unused";
    GROUP_SHARE_MIN_HEARTBEAT_INTERVAL_MS: i32 = "group.share.min.heartbeat.interval.ms", Int, "5000", AtLeast(1), Medium, ReadOnly, Inert, "share groups, unused";
    GROUP_SHARE_MIN_RECORD_LOCK_DURATION_MS: i32 = "group.share.min.record.lock.duration.ms", Int, "15000", Between(1000, 30000), Medium, ReadOnly, Inert, "share groups, unused";
    GROUP_SHARE_MIN_SESSION_TIMEOUT_MS: i32 = "group.share.min.session.timeout.ms", Int, "45000", AtLeast(1), Medium, ReadOnly, Inert, "share groups, unused";
    GROUP_SHARE_PARTITION_MAX_RECORD_LOCKS: i32 = "group.share.partition.max.record.locks", Int, "200", Between(100, 10000), Medium, ReadOnly, Inert, "share groups, unused";
    GROUP_SHARE_RECORD_LOCK_DURATION_MS: i32 = "group.share.record.lock.duration.ms", Int, "30000", Between(1000, 60000), Medium, ReadOnly, Inert, "share groups, unused";
    GROUP_SHARE_SESSION_TIMEOUT_MS: i32 = "group.share.session.timeout.ms", Int, "45000", AtLeast(1), Medium, ReadOnly, Inert, "share groups, unused";
    INITIAL_BROKER_REGISTRATION_TIMEOUT_MS: i32 = "initial.broker.registration.timeout.ms", Int, "60000", Any, Medium, ReadOnly, Inert, "KRaft only";
    INTER_BROKER_LISTENER_NAME: Option<String> = "inter.broker.listener.name", Str, null, Any, Medium, ReadOnly, Honoured, "listener used between brokers";
    INTER_BROKER_PROTOCOL_VERSION: String = "inter.broker.protocol.version", Str, "3.9-IV0", Release, Medium, ReadOnly, Honoured, "version line for inter-broker RPC and znode formats";
    KAFKA_METRICS_POLLING_INTERVAL_SECS: i32 = "kafka.metrics.polling.interval.secs", Int, "10", AtLeast(1), Low, ReadOnly, Ignored, "period of Yammer reporters";
    KAFKA_METRICS_REPORTERS: Vec<String> = "kafka.metrics.reporters", List, "", Any, Low, ReadOnly, Ignored, "Yammer reporter classes";
    LEADER_IMBALANCE_CHECK_INTERVAL_SECONDS: i64 = "leader.imbalance.check.interval.seconds", Long, "300", AtLeast(1), High, ReadOnly, Honoured, "period of auto preferred election";
    LEADER_IMBALANCE_PER_BROKER_PERCENTAGE: i32 = "leader.imbalance.per.broker.percentage", Int, "10", Any, High, ReadOnly, Honoured, "imbalance that triggers it";
    LISTENER_SECURITY_PROTOCOL_MAP: String = "listener.security.protocol.map", Str, "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Any, Low, PerBroker, Honoured, "listener name to security protocol";
    LISTENERS: String = "listeners", Str, "PLAINTEXT://:9092", Any, High, PerBroker, Honoured, "sockets to open";
    LOG_CLEANER_BACKOFF_MS: i64 = "log.cleaner.backoff.ms", Long, "15000", AtLeast(0), Medium, ClusterWide, Honoured, "sleep when nothing to clean";
    LOG_CLEANER_DEDUPE_BUFFER_SIZE: i64 = "log.cleaner.dedupe.buffer.size", Long, "134217728", Any, Medium, ClusterWide, Honoured, "offset map memory over all threads";
    LOG_CLEANER_DELETE_RETENTION_MS: i64 = "log.cleaner.delete.retention.ms", Long, "86400000", AtLeast(0), Medium, ClusterWide, Honoured, "keep tombstones this long";
    LOG_CLEANER_ENABLE: bool = "log.cleaner.enable", Boolean, "true", Any, Medium, ReadOnly, Honoured, "run the compactor";
    LOG_CLEANER_IO_BUFFER_LOAD_FACTOR: f64 = "log.cleaner.io.buffer.load.factor", Double, "0.9", Any, Medium, ClusterWide, Honoured, "fill grade of the map";
    LOG_CLEANER_IO_BUFFER_SIZE: i32 = "log.cleaner.io.buffer.size", Int, "524288", AtLeast(0), Medium, ClusterWide, Honoured, "I/O buffers over all threads";
    LOG_CLEANER_IO_MAX_BYTES_PER_SECOND: f64 = "log.cleaner.io.max.bytes.per.second", Double, "1.7976931348623157E308", Any, Medium, ClusterWide, Honoured, "cleaner throttle";
    LOG_CLEANER_MAX_COMPACTION_LAG_MS: i64 = "log.cleaner.max.compaction.lag.ms", Long, "9223372036854775807", AtLeast(1), Medium, ClusterWide, Honoured, "force compaction after";
    LOG_CLEANER_MIN_CLEANABLE_RATIO: f64 = "log.cleaner.min.cleanable.ratio", Double, "0.5", Fraction, Medium, ClusterWide, Honoured, "dirty share that makes a log eligible";
    LOG_CLEANER_MIN_COMPACTION_LAG_MS: i64 = "log.cleaner.min.compaction.lag.ms", Long, "0", AtLeast(0), Medium, ClusterWide, Honoured, "keep the head uncompacted for";
    LOG_CLEANER_THREADS: i32 = "log.cleaner.threads", Int, "1", AtLeast(0), Medium, ClusterWide, Honoured, "cleaner threads";
    LOG_CLEANUP_POLICY: Vec<String> = "log.cleanup.policy", List, "delete", ListOf(&["compact", "delete"]), Medium, ClusterWide, Honoured, "delete and/or compact";
    LOG_DIR: String = "log.dir", Str, "/tmp/kafka-logs", Any, High, ReadOnly, Honoured, "single data dir if log.dirs unset";
    LOG_DIR_FAILURE_TIMEOUT_MS: i64 = "log.dir.failure.timeout.ms", Long, "30000", AtLeast(1), Low, ReadOnly, Inert, "KRaft only";
    LOG_DIRS: Option<String> = "log.dirs", Str, null, Any, High, ReadOnly, Honoured, "data dirs, comma separated";
    LOG_FLUSH_INTERVAL_MESSAGES: i64 = "log.flush.interval.messages", Long, "9223372036854775807", AtLeast(1), High, ClusterWide, Honoured, "fsync after N records";
    LOG_FLUSH_INTERVAL_MS: Option<i64> = "log.flush.interval.ms", Long, null, Any, High, ClusterWide, Honoured, "fsync after; unset = scheduler value";
    LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS: i32 = "log.flush.offset.checkpoint.interval.ms", Int, "60000", AtLeast(0), High, ReadOnly, Honoured, "recovery-point checkpoint period";
    LOG_FLUSH_SCHEDULER_INTERVAL_MS: i64 = "log.flush.scheduler.interval.ms", Long, "9223372036854775807", Any, High, ReadOnly, Honoured, "how often the flusher looks";
    LOG_FLUSH_START_OFFSET_CHECKPOINT_INTERVAL_MS: i32 = "log.flush.start.offset.checkpoint.interval.ms", Int, "60000", AtLeast(0), High, ReadOnly, Honoured, "log-start checkpoint period";
    LOG_INDEX_INTERVAL_BYTES: i32 = "log.index.interval.bytes", Int, "4096", AtLeast(0), Medium, ClusterWide, Honoured, "bytes between index entries";
    LOG_INDEX_SIZE_MAX_BYTES: i32 = "log.index.size.max.bytes", Int, "10485760", AtLeast(4), Medium, ClusterWide, Honoured, "index file size";
    LOG_INITIAL_TASK_DELAY_MS: i64 = "log.initial.task.delay.ms", Long, "30000", Any, Low, Internal, Honoured, "pause before the first round of the log tasks";
    LOG_LOCAL_RETENTION_BYTES: i64 = "log.local.retention.bytes", Long, "-2", AtLeast(-2), Medium, ClusterWide, Inert, "tiered storage";
    LOG_LOCAL_RETENTION_MS: i64 = "log.local.retention.ms", Long, "-2", AtLeast(-2), Medium, ClusterWide, Inert, "tiered storage";
    LOG_MESSAGE_DOWNCONVERSION_ENABLE: bool = "log.message.downconversion.enable", Boolean, "true", Any, Low, ClusterWide, Honoured, "down-convert for old fetchers (else 35)";
    LOG_MESSAGE_FORMAT_VERSION: String = "log.message.format.version", Str, "3.0-IV1", Release, Medium, ReadOnly, Honoured, "ignored with IBP 3.0+; older: magic";
    LOG_MESSAGE_TIMESTAMP_AFTER_MAX_MS: i64 = "log.message.timestamp.after.max.ms", Long, "9223372036854775807", AtLeast(0), Medium, ClusterWide, Honoured, "allowed future skew of CreateTime";
    LOG_MESSAGE_TIMESTAMP_BEFORE_MAX_MS: i64 = "log.message.timestamp.before.max.ms", Long, "9223372036854775807", AtLeast(0), Medium, ClusterWide, Honoured, "allowed past skew";
    LOG_MESSAGE_TIMESTAMP_DIFFERENCE_MAX_MS: i64 = "log.message.timestamp.difference.max.ms", Long, "9223372036854775807", AtLeast(0), Medium, ClusterWide, Honoured, "deprecated skew limit";
    LOG_MESSAGE_TIMESTAMP_TYPE: String = "log.message.timestamp.type", Str, "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]), Medium, ClusterWide, Honoured, "CreateTime or LogAppendTime";
    LOG_PREALLOCATE: bool = "log.preallocate", Boolean, "false", Any, Medium, ClusterWide, Honoured, "preallocate segments";
    LOG_RETENTION_BYTES: i64 = "log.retention.bytes", Long, "-1", Any, High, ClusterWide, Honoured, "size retention per partition";
    LOG_RETENTION_CHECK_INTERVAL_MS: i64 = "log.retention.check.interval.ms", Long, "300000", AtLeast(1), Medium, ReadOnly, Honoured, "retention sweep period";
    LOG_RETENTION_HOURS: i32 = "log.retention.hours", Int, "168", Any, High, ReadOnly, Honoured, "time retention";
    LOG_RETENTION_MINUTES: Option<i32> = "log.retention.minutes", Int, null, Any, High, ReadOnly, Honoured, "wins over hours";
    LOG_RETENTION_MS: Option<i64> = "log.retention.ms", Long, null, Any, High, ClusterWide, Honoured, "wins over minutes; -1 none";
    LOG_ROLL_HOURS: i32 = "log.roll.hours", Int, "168", AtLeast(1), High, ReadOnly, Honoured, "roll segments after";
    LOG_ROLL_JITTER_HOURS: i32 = "log.roll.jitter.hours", Int, "0", AtLeast(0), High, ReadOnly, Honoured, "random part of roll";
    LOG_ROLL_JITTER_MS: Option<i64> = "log.roll.jitter.ms", Long, null, Any, High, ClusterWide, Honoured, "wins over hours";
    LOG_ROLL_MS: Option<i64> = "log.roll.ms", Long, null, Any, High, ClusterWide, Honoured, "wins over hours";
    LOG_SEGMENT_BYTES: i32 = "log.segment.bytes", Int, "1073741824", AtLeast(14), High, ClusterWide, Honoured, "segment size (min 14)";
    LOG_SEGMENT_DELETE_DELAY_MS: i64 = "log.segment.delete.delay.ms", Long, "60000", AtLeast(0), High, ClusterWide, Honoured, "wait before unlinking .deleted";
    MAX_CONNECTION_CREATION_RATE: i32 = "max.connection.creation.rate", Int, "2147483647", AtLeast(0), Medium, ClusterWide, Ignored, "accepts per second";
    MAX_CONNECTIONS: i32 = "max.connections", Int, "2147483647", AtLeast(0), Medium, ClusterWide, Honoured, "connections of the broker";
    MAX_CONNECTIONS_PER_IP: i32 = "max.connections.per.ip", Int, "2147483647", AtLeast(0), Medium, ClusterWide, Honoured, "connections of one IP";
    MAX_CONNECTIONS_PER_IP_OVERRIDES: String = "max.connections.per.ip.overrides", Str, "", Any, Medium, ClusterWide, Honoured, "host:count list";
    MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS: i32 = "max.incremental.fetch.session.cache.slots", Int, "1000", AtLeast(0), Medium, ReadOnly, Honoured, "fetch sessions kept";
    MAX_REQUEST_PARTITION_SIZE_LIMIT: i32 = "max.request.partition.size.limit", Int, "2000", AtLeast(1), Medium, ReadOnly, Ignored, "DescribeTopicPartitions cap";
    MESSAGE_MAX_BYTES: i32 = "message.max.bytes", Int, "1048588", AtLeast(0), High, ClusterWide, Honoured, "largest batch accepted";
    METADATA_LOG_DIR: Option<String> = "metadata.log.dir", Str, null, Any, High, ReadOnly, Inert, "KRaft only";
    METADATA_LOG_MAX_RECORD_BYTES_BETWEEN_SNAPSHOTS: i64 = "metadata.log.max.record.bytes.between.snapshots", Long, "20971520", AtLeast(1), High, ReadOnly, Inert, "KRaft only";
    METADATA_LOG_MAX_SNAPSHOT_INTERVAL_MS: i64 = "metadata.log.max.snapshot.interval.ms", Long, "3600000", AtLeast(0), High, ReadOnly, Inert, "KRaft only";
    METADATA_LOG_SEGMENT_BYTES: i32 = "metadata.log.segment.bytes", Int, "1073741824", AtLeast(12), High, ReadOnly, Inert, "KRaft only";
    METADATA_LOG_SEGMENT_MIN_BYTES: i32 = "metadata.log.segment.min.bytes", Int, "8388608", Any, Low, Internal, Inert, "KRaft only";
    METADATA_LOG_SEGMENT_MS: i64 = "metadata.log.segment.ms", Long, "604800000", Any, High, ReadOnly, Inert, "KRaft only";
    METADATA_MAX_IDLE_INTERVAL_MS: i32 = "metadata.max.idle.interval.ms", Int, "500", AtLeast(0), Low, ReadOnly, Inert, "KRaft only";
    METADATA_MAX_RETENTION_BYTES: i64 = "metadata.max.retention.bytes", Long, "104857600", Any, High, ReadOnly, Inert, "KRaft only";
    METADATA_MAX_RETENTION_MS: i64 = "metadata.max.retention.ms", Long, "604800000", Any, High, ReadOnly, Inert, "KRaft only";
    METRIC_REPORTERS: Vec<String> = "metric.reporters", List, "", Any, Low, ClusterWide, Ignored, "Kafka metrics reporter classes";
    METRICS_NUM_SAMPLES: i32 = "metrics.num.samples", Int, "2", AtLeast(1), Low, ReadOnly, Ignored, "samples per metric";
    METRICS_RECORDING_LEVEL: String = "metrics.recording.level", Str, "INFO", Any, Low, ReadOnly, Ignored, "INFO/DEBUG/TRACE";
    METRICS_SAMPLE_WINDOW_MS: i64 = "metrics.sample.window.ms", Long, "30000", AtLeast(1), Low, ReadOnly, Ignored, "sample window";
    MIN_INSYNC_REPLICAS: i32 = "min.insync.replicas", Int, "1", AtLeast(1), High, ClusterWide, Honoured, "needed for acks=all";
    NODE_ID: i32 = "node.id", Int, "-1", Any, High, ReadOnly, Honoured, "same as broker.id";
    NUM_IO_THREADS: i32 = "num.io.threads", Int, "8", AtLeast(1), High, ClusterWide, Ignored, "request handler threads";
    NUM_NETWORK_THREADS: i32 = "num.network.threads", Int, "3", AtLeast(1), High, ClusterWide, Honoured, "network threads per listener";
    NUM_PARTITIONS: i32 = "num.partitions", Int, "1", AtLeast(1), Medium, ReadOnly, Honoured, "default partition count";
    NUM_RECOVERY_THREADS_PER_DATA_DIR: i32 = "num.recovery.threads.per.data.dir", Int, "1", AtLeast(1), High, ClusterWide, Honoured, "log load/flush threads";
    NUM_REPLICA_ALTER_LOG_DIRS_THREADS: Option<i32> = "num.replica.alter.log.dirs.threads", Int, null, Any, High, ReadOnly, Honoured, "dir-move threads (default: number of dirs)";
    NUM_REPLICA_FETCHERS: i32 = "num.replica.fetchers", Int, "1", Any, High, ClusterWide, Honoured, "fetch threads per source broker";
    OFFSET_METADATA_MAX_BYTES: i32 = "offset.metadata.max.bytes", Int, "4096", Any, High, ReadOnly, Honoured, "metadata string limit of commits";
    OFFSETS_COMMIT_REQUIRED_ACKS: i16 = "offsets.commit.required.acks", Short, "-1", Any, High, ReadOnly, Honoured, "acks for commits";
    OFFSETS_COMMIT_TIMEOUT_MS: i32 = "offsets.commit.timeout.ms", Int, "5000", AtLeast(1), High, ReadOnly, Honoured, "wait for commit replication";
    OFFSETS_LOAD_BUFFER_SIZE: i32 = "offsets.load.buffer.size", Int, "5242880", AtLeast(1), High, ReadOnly, Honoured, "read step when loading groups";
    OFFSETS_RETENTION_CHECK_INTERVAL_MS: i64 = "offsets.retention.check.interval.ms", Long, "600000", AtLeast(1), High, ReadOnly, Honoured, "offset expiry sweep";
    OFFSETS_RETENTION_MINUTES: i32 = "offsets.retention.minutes", Int, "10080", AtLeast(1), High, ReadOnly, Honoured, "offset retention";
    OFFSETS_TOPIC_COMPRESSION_CODEC: i32 = "offsets.topic.compression.codec", Int, "0", Any, High, ReadOnly, Ignored, "codec id for commit batches";
    OFFSETS_TOPIC_NUM_PARTITIONS: i32 = "offsets.topic.num.partitions", Int, "50", AtLeast(1), High, ReadOnly, Honoured, "partitions of __consumer_offsets";
    OFFSETS_TOPIC_REPLICATION_FACTOR: i16 = "offsets.topic.replication.factor", Short, "3", AtLeast(1), High, ReadOnly, Honoured, "its RF";
    OFFSETS_TOPIC_SEGMENT_BYTES: i32 = "offsets.topic.segment.bytes", Int, "104857600", AtLeast(1), High, ReadOnly, Honoured, "its segment size";
    PASSWORD_ENCODER_CIPHER_ALGORITHM: String = "password.encoder.cipher.algorithm", Str, "AES/CBC/PKCS5Padding", Any, Low, ReadOnly, Ignored, "encryption of dynamic passwords stored in ZooKeeper";
    PASSWORD_ENCODER_ITERATIONS: i32 = "password.encoder.iterations", Int, "4096", AtLeast(1024), Low, ReadOnly, Ignored, "encryption of dynamic passwords stored in ZooKeeper";
    PASSWORD_ENCODER_KEY_LENGTH: i32 = "password.encoder.key.length", Int, "128", AtLeast(8), Low, ReadOnly, Ignored, "encryption of dynamic passwords stored in ZooKeeper";
    PASSWORD_ENCODER_KEYFACTORY_ALGORITHM: Option<String> = "password.encoder.keyfactory.algorithm", Str, null, Any, Low, ReadOnly, Ignored, "encryption of dynamic passwords stored in ZooKeeper";
    PASSWORD_ENCODER_OLD_SECRET: Option<Password> = "password.encoder.old.secret", Password, null, Any, Medium, ReadOnly, Refused, "encryption of dynamic passwords stored in ZooKeeper";
    PASSWORD_ENCODER_SECRET: Option<Password> = "password.encoder.secret", Password, null, Any, Medium, ReadOnly, Refused, "encryption of dynamic passwords stored in ZooKeeper";
    PRINCIPAL_BUILDER_CLASS: String = "principal.builder.class", Class, "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder", Any, Medium, PerBroker, Refused, "maps connection to principal";
    PROCESS_ROLES: Vec<String> = "process.roles", List, "", ListOf(&["broker", "controller"]), High, ReadOnly, Refused, "empty = ZooKeeper mode";
    PRODUCER_ID_EXPIRATION_CHECK_INTERVAL_MS: i32 = "producer.id.expiration.check.interval.ms", Int, "600000", Any, Low, Internal, Honoured, "period of the idle producer sweep";
    PRODUCER_ID_EXPIRATION_MS: i32 = "producer.id.expiration.ms", Int, "86400000", AtLeast(1), Low, ClusterWide, Honoured, "forget idle producers";
    PRODUCER_PURGATORY_PURGE_INTERVAL_REQUESTS: i32 = "producer.purgatory.purge.interval.requests", Int, "1000", Any, Medium, ReadOnly, Ignored, "cleanup period of produce purgatory";
    QUEUED_MAX_REQUEST_BYTES: i64 = "queued.max.request.bytes", Long, "-1", Any, Medium, ReadOnly, Honoured, "memory pool for requests, -1 off";
    QUEUED_MAX_REQUESTS: i32 = "queued.max.requests", Int, "500", AtLeast(1), High, ReadOnly, Ignored, "request queue length";
    QUOTA_WINDOW_NUM: i32 = "quota.window.num", Int, "11", AtLeast(1), Low, ReadOnly, Ignored, "samples of client quotas";
    QUOTA_WINDOW_SIZE_SECONDS: i32 = "quota.window.size.seconds", Int, "1", AtLeast(1), Low, ReadOnly, Ignored, "sample length of client quotas";
    REMOTE_FETCH_MAX_WAIT_MS: i32 = "remote.fetch.max.wait.ms", Int, "500", AtLeast(1), Medium, ClusterWide, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_INDEX_FILE_CACHE_TOTAL_SIZE_BYTES: i64 = "remote.log.index.file.cache.total.size.bytes", Long, "1073741824", AtLeast(1), Low, ClusterWide, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_MANAGER_COPIER_THREAD_POOL_SIZE: i32 = "remote.log.manager.copier.thread.pool.size", Int, "-1", RemotePoolSize, Medium, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_MANAGER_COPY_MAX_BYTES_PER_SECOND: i64 = "remote.log.manager.copy.max.bytes.per.second", Long, "9223372036854775807", AtLeast(1), Medium, ClusterWide, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_MANAGER_COPY_QUOTA_WINDOW_NUM: i32 = "remote.log.manager.copy.quota.window.num", Int, "11", AtLeast(1), Medium, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_MANAGER_COPY_QUOTA_WINDOW_SIZE_SECONDS: i32 = "remote.log.manager.copy.quota.window.size.seconds", Int, "1", AtLeast(1), Medium, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_MANAGER_EXPIRATION_THREAD_POOL_SIZE: i32 = "remote.log.manager.expiration.thread.pool.size", Int, "-1", RemotePoolSize, Medium, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_MANAGER_FETCH_MAX_BYTES_PER_SECOND: i64 = "remote.log.manager.fetch.max.bytes.per.second", Long, "9223372036854775807", AtLeast(1), Medium, ClusterWide, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_MANAGER_FETCH_QUOTA_WINDOW_NUM: i32 = "remote.log.manager.fetch.quota.window.num", Int, "11", AtLeast(1), Medium, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_MANAGER_FETCH_QUOTA_WINDOW_SIZE_SECONDS: i32 = "remote.log.manager.fetch.quota.window.size.seconds", Int, "1", AtLeast(1), Medium, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_MANAGER_TASK_INTERVAL_MS: i64 = "remote.log.manager.task.interval.ms", Long, "30000", AtLeast(1), Low, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_MANAGER_TASK_RETRY_BACKOFF_MAX_MS: i64 = "remote.log.manager.task.retry.backoff.max.ms", Long, "30000", Any, Low, Internal, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_MANAGER_TASK_RETRY_BACKOFF_MS: i64 = "remote.log.manager.task.retry.backoff.ms", Long, "500", Any, Low, Internal, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_MANAGER_TASK_RETRY_JITTER: f64 = "remote.log.manager.task.retry.jitter", Double, "0.2", Any, Low, Internal, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_MANAGER_THREAD_POOL_SIZE: i32 = "remote.log.manager.thread.pool.size", Int, "10", AtLeast(1), Medium, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_METADATA_CUSTOM_METADATA_MAX_BYTES: i32 = "remote.log.metadata.custom.metadata.max.bytes", Int, "128", AtLeast(0), Low, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_METADATA_MANAGER_CLASS_NAME: String = "remote.log.metadata.manager.class.name", Str, "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager", NonEmptyString, Medium, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_METADATA_MANAGER_CLASS_PATH: Option<String> = "remote.log.metadata.manager.class.path", Str, null, Any, Medium, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_METADATA_MANAGER_IMPL_PREFIX: String = "remote.log.metadata.manager.impl.prefix", Str, "rlmm.config.", NonEmptyString, Medium, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_METADATA_MANAGER_LISTENER_NAME: Option<String> = "remote.log.metadata.manager.listener.name", Str, null, NonEmptyString, Medium, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_READER_MAX_PENDING_TASKS: i32 = "remote.log.reader.max.pending.tasks", Int, "100", AtLeast(1), Medium, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_READER_THREADS: i32 = "remote.log.reader.threads", Int, "10", AtLeast(1), Medium, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_STORAGE_MANAGER_CLASS_NAME: Option<String> = "remote.log.storage.manager.class.name", Str, null, NonEmptyString, Medium, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_STORAGE_MANAGER_CLASS_PATH: Option<String> = "remote.log.storage.manager.class.path", Str, null, Any, Medium, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_STORAGE_MANAGER_IMPL_PREFIX: String = "remote.log.storage.manager.impl.prefix", Str, "rsm.config.", NonEmptyString, Medium, ReadOnly, Inert, "tiered storage (off unless remote.log.storage.system.enable)";
    REMOTE_LOG_STORAGE_SYSTEM_ENABLE: bool = "remote.log.storage.system.enable", Boolean, "false", Any, Medium, ReadOnly, Refused, "tiered storage (off unless remote.log.storage.system.enable)";
    REPLICA_FETCH_BACKOFF_MS: i32 = "replica.fetch.backoff.ms", Int, "1000", AtLeast(0), Medium, ReadOnly, Honoured, "pause after fetch error";
    REPLICA_FETCH_MAX_BYTES: i32 = "replica.fetch.max.bytes", Int, "1048576", AtLeast(0), Medium, ReadOnly, Honoured, "per-partition fetch size";
    REPLICA_FETCH_MIN_BYTES: i32 = "replica.fetch.min.bytes", Int, "1", Any, High, ReadOnly, Honoured, "min answer size for followers";
    REPLICA_FETCH_RESPONSE_MAX_BYTES: i32 = "replica.fetch.response.max.bytes", Int, "10485760", AtLeast(0), Medium, ReadOnly, Honoured, "whole answer size for followers";
    REPLICA_FETCH_WAIT_MAX_MS: i32 = "replica.fetch.wait.max.ms", Int, "500", Any, High, ReadOnly, Honoured, "long-poll time of followers";
    REPLICA_HIGH_WATERMARK_CHECKPOINT_INTERVAL_MS: i64 = "replica.high.watermark.checkpoint.interval.ms", Long, "5000", Any, High, ReadOnly, Honoured, "HW checkpoint period";
    REPLICA_LAG_TIME_MAX_MS: i64 = "replica.lag.time.max.ms", Long, "30000", Any, High, ReadOnly, Honoured, "leave ISR after";
    REPLICA_SELECTOR_CLASS: Option<String> = "replica.selector.class", Str, null, Any, Medium, ReadOnly, Ignored, "choose read replica (KIP-392)";
    REPLICA_SOCKET_RECEIVE_BUFFER_BYTES: i32 = "replica.socket.receive.buffer.bytes", Int, "65536", Any, High, ReadOnly, Honoured, "SO_RCVBUF of fetchers";
    REPLICA_SOCKET_TIMEOUT_MS: i32 = "replica.socket.timeout.ms", Int, "30000", Any, High, ReadOnly, Honoured, "follower request timeout";
    REPLICATION_QUOTA_WINDOW_NUM: i32 = "replication.quota.window.num", Int, "11", AtLeast(1), Low, ReadOnly, Ignored, "samples of replication throttle";
    REPLICATION_QUOTA_WINDOW_SIZE_SECONDS: i32 = "replication.quota.window.size.seconds", Int, "1", AtLeast(1), Low, ReadOnly, Ignored, "its sample length";
    REQUEST_TIMEOUT_MS: i32 = "request.timeout.ms", Int, "30000", Any, High, ReadOnly, Honoured, "inter-broker client timeout";
    RESERVED_BROKER_MAX_ID: i32 = "reserved.broker.max.id", Int, "1000", AtLeast(0), Medium, ReadOnly, Honoured, "generated ids start above";
    SASL_CLIENT_CALLBACK_HANDLER_CLASS: Option<String> = "sasl.client.callback.handler.class", Class, null, Any, Medium, ReadOnly, Refused, "client callback plug-in";
    SASL_ENABLED_MECHANISMS: Vec<String> = "sasl.enabled.mechanisms", List, "GSSAPI", Any, Medium, PerBroker, Refused, "mechanisms offered per listener";
    SASL_JAAS_CONFIG: Option<Password> = "sasl.jaas.config", Password, null, Any, Medium, PerBroker, Refused, "JAAS line, per listener.mechanism";
    SASL_KERBEROS_KINIT_CMD: String = "sasl.kerberos.kinit.cmd", Str, "/usr/bin/kinit", Any, Medium, PerBroker, Refused, "Kerberos login and principal mapping";
    SASL_KERBEROS_MIN_TIME_BEFORE_RELOGIN: i64 = "sasl.kerberos.min.time.before.relogin", Long, "60000", Any, Medium, PerBroker, Refused, "Kerberos login and principal mapping";
    SASL_KERBEROS_PRINCIPAL_TO_LOCAL_RULES: Vec<String> = "sasl.kerberos.principal.to.local.rules", List, "DEFAULT", Any, Medium, PerBroker, Refused, "Kerberos login and principal mapping";
    SASL_KERBEROS_SERVICE_NAME: Option<String> = "sasl.kerberos.service.name", Str, null, Any, Medium, PerBroker, Refused, "Kerberos login and principal mapping";
    SASL_KERBEROS_TICKET_RENEW_JITTER: f64 = "sasl.kerberos.ticket.renew.jitter", Double, "0.05", Any, Medium, PerBroker, Refused, "Kerberos login and principal mapping";
    SASL_KERBEROS_TICKET_RENEW_WINDOW_FACTOR: f64 = "sasl.kerberos.ticket.renew.window.factor", Double, "0.8", Any, Medium, PerBroker, Refused, "Kerberos login and principal mapping";
    SASL_LOGIN_CALLBACK_HANDLER_CLASS: Option<String> = "sasl.login.callback.handler.class", Class, null, Any, Medium, ReadOnly, Refused, "SASL login (token refresh / retry)";
    SASL_LOGIN_CLASS: Option<String> = "sasl.login.class", Class, null, Any, Medium, ReadOnly, Refused, "SASL login (token refresh / retry)";
    SASL_LOGIN_CONNECT_TIMEOUT_MS: Option<i32> = "sasl.login.connect.timeout.ms", Int, null, Any, Low, ReadOnly, Refused, "SASL login (token refresh / retry)";
    SASL_LOGIN_READ_TIMEOUT_MS: Option<i32> = "sasl.login.read.timeout.ms", Int, null, Any, Low, ReadOnly, Refused, "SASL login (token refresh / retry)";
    SASL_LOGIN_REFRESH_BUFFER_SECONDS: i16 = "sasl.login.refresh.buffer.seconds", Short, "300", Any, Medium, PerBroker, Refused, "SASL login (token refresh / retry)";
    SASL_LOGIN_REFRESH_MIN_PERIOD_SECONDS: i16 = "sasl.login.refresh.min.period.seconds", Short, "60", Any, Medium, PerBroker, Refused, "SASL login (token refresh / retry)";
    SASL_LOGIN_REFRESH_WINDOW_FACTOR: f64 = "sasl.login.refresh.window.factor", Double, "0.8", Any, Medium, PerBroker, Refused, "SASL login (token refresh / retry)";
    SASL_LOGIN_REFRESH_WINDOW_JITTER: f64 = "sasl.login.refresh.window.jitter", Double, "0.05", Any, Medium, PerBroker, Refused, "SASL login (token refresh / retry)";
    SASL_LOGIN_RETRY_BACKOFF_MAX_MS: i64 = "sasl.login.retry.backoff.max.ms", Long, "10000", Any, Low, ReadOnly, Refused, "SASL login (token refresh / retry)";
    SASL_LOGIN_RETRY_BACKOFF_MS: i64 = "sasl.login.retry.backoff.ms", Long, "100", Any, Low, ReadOnly, Refused, "SASL login (token refresh / retry)";
    SASL_MECHANISM_CONTROLLER_PROTOCOL: String = "sasl.mechanism.controller.protocol", Str, "GSSAPI", Any, High, ReadOnly, Refused, "KRaft only";
    SASL_MECHANISM_INTER_BROKER_PROTOCOL: String = "sasl.mechanism.inter.broker.protocol", Str, "GSSAPI", Any, Medium, PerBroker, Refused, "mechanism brokers use";
    SASL_OAUTHBEARER_CLOCK_SKEW_SECONDS: i32 = "sasl.oauthbearer.clock.skew.seconds", Int, "30", Any, Low, ReadOnly, Refused, "OAUTHBEARER validation / token endpoint";
    SASL_OAUTHBEARER_EXPECTED_AUDIENCE: Option<Vec<String>> = "sasl.oauthbearer.expected.audience", List, null, Any, Low, ReadOnly, Refused, "OAUTHBEARER validation / token endpoint";
    SASL_OAUTHBEARER_EXPECTED_ISSUER: Option<String> = "sasl.oauthbearer.expected.issuer", Str, null, Any, Low, ReadOnly, Refused, "OAUTHBEARER validation / token endpoint";
    SASL_OAUTHBEARER_JWKS_ENDPOINT_REFRESH_MS: i64 = "sasl.oauthbearer.jwks.endpoint.refresh.ms", Long, "3600000", Any, Low, ReadOnly, Refused, "OAUTHBEARER validation / token endpoint";
    SASL_OAUTHBEARER_JWKS_ENDPOINT_RETRY_BACKOFF_MAX_MS: i64 = "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", Long, "10000", Any, Low, ReadOnly, Refused, "OAUTHBEARER validation / token endpoint";
    SASL_OAUTHBEARER_JWKS_ENDPOINT_RETRY_BACKOFF_MS: i64 = "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Long, "100", Any, Low, ReadOnly, Refused, "OAUTHBEARER validation / token endpoint";
    SASL_OAUTHBEARER_JWKS_ENDPOINT_URL: Option<String> = "sasl.oauthbearer.jwks.endpoint.url", Str, null, Any, Medium, ReadOnly, Refused, "OAUTHBEARER validation / token endpoint";
    SASL_OAUTHBEARER_SCOPE_CLAIM_NAME: String = "sasl.oauthbearer.scope.claim.name", Str, "scope", Any, Low, ReadOnly, Refused, "OAUTHBEARER validation / token endpoint";
    SASL_OAUTHBEARER_SUB_CLAIM_NAME: String = "sasl.oauthbearer.sub.claim.name", Str, "sub", Any, Low, ReadOnly, Refused, "OAUTHBEARER validation / token endpoint";
    SASL_OAUTHBEARER_TOKEN_ENDPOINT_URL: Option<String> = "sasl.oauthbearer.token.endpoint.url", Str, null, Any, Medium, ReadOnly, Refused, "OAUTHBEARER validation / token endpoint";
    SASL_SERVER_CALLBACK_HANDLER_CLASS: Option<String> = "sasl.server.callback.handler.class", Class, null, Any, Medium, ReadOnly, Refused, "server callback plug-in, per listener.mechanism";
    SASL_SERVER_MAX_RECEIVE_SIZE: i32 = "sasl.server.max.receive.size", Int, "524288", Any, Medium, ReadOnly, Refused, "largest SASL token frame";
    SECURITY_INTER_BROKER_PROTOCOL: String = "security.inter.broker.protocol", Str, "PLAINTEXT", OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), Medium, ReadOnly, Honoured, "protocol between brokers";
    SECURITY_PROVIDERS: Option<String> = "security.providers", Str, null, Any, Low, ReadOnly, Refused, "extra JCA providers";
    SERVER_MAX_STARTUP_TIME_MS: i64 = "server.max.startup.time.ms", Long, "9223372036854775807", Any, Low, Internal, Inert, "KRaft only";
    SOCKET_CONNECTION_SETUP_TIMEOUT_MAX_MS: i64 = "socket.connection.setup.timeout.max.ms", Long, "30000", Any, Medium, ReadOnly, Ignored, "upper connect backoff";
    SOCKET_CONNECTION_SETUP_TIMEOUT_MS: i64 = "socket.connection.setup.timeout.ms", Long, "10000", Any, Medium, ReadOnly, Honoured, "connect timeout of broker clients";
    SOCKET_LISTEN_BACKLOG_SIZE: i32 = "socket.listen.backlog.size", Int, "50", AtLeast(1), Medium, ReadOnly, Honoured, "listen(2) backlog";
    SOCKET_RECEIVE_BUFFER_BYTES: i32 = "socket.receive.buffer.bytes", Int, "102400", Any, High, ReadOnly, Honoured, "SO_RCVBUF, -1 OS";
    SOCKET_REQUEST_MAX_BYTES: i32 = "socket.request.max.bytes", Int, "104857600", AtLeast(1), High, ReadOnly, Honoured, "largest request frame";
    SOCKET_SEND_BUFFER_BYTES: i32 = "socket.send.buffer.bytes", Int, "102400", Any, High, ReadOnly, Honoured, "SO_SNDBUF, -1 OS";
    SSL_ALLOW_DN_CHANGES: bool = "ssl.allow.dn.changes", Boolean, "false", Any, Low, ReadOnly, Refused, "permit DN change on dynamic keystore reload";
    SSL_ALLOW_SAN_CHANGES: bool = "ssl.allow.san.changes", Boolean, "false", Any, Low, ReadOnly, Refused, "permit SAN change on reload";
    SSL_CIPHER_SUITES: Vec<String> = "ssl.cipher.suites", List, "", Any, Medium, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_CLIENT_AUTH: String = "ssl.client.auth", Str, "none", OneOf(&["required", "requested", "none"]), Medium, PerBroker, Refused, "none/requested/required";
    SSL_ENABLED_PROTOCOLS: Vec<String> = "ssl.enabled.protocols", List, "TLSv1.2,TLSv1.3", Any, Medium, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_ENDPOINT_IDENTIFICATION_ALGORITHM: String = "ssl.endpoint.identification.algorithm", Str, "https", Any, Low, PerBroker, Refused, "hostname check (client side); empty = off";
    SSL_ENGINE_FACTORY_CLASS: Option<String> = "ssl.engine.factory.class", Class, null, Any, Low, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_KEY_PASSWORD: Option<Password> = "ssl.key.password", Password, null, Any, Medium, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_KEYMANAGER_ALGORITHM: String = "ssl.keymanager.algorithm", Str, "SunX509", Any, Medium, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_KEYSTORE_CERTIFICATE_CHAIN: Option<Password> = "ssl.keystore.certificate.chain", Password, null, Any, Medium, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_KEYSTORE_KEY: Option<Password> = "ssl.keystore.key", Password, null, Any, Medium, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_KEYSTORE_LOCATION: Option<String> = "ssl.keystore.location", Str, null, Any, Medium, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_KEYSTORE_PASSWORD: Option<Password> = "ssl.keystore.password", Password, null, Any, Medium, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_KEYSTORE_TYPE: String = "ssl.keystore.type", Str, "JKS", Any, Medium, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_PRINCIPAL_MAPPING_RULES: String = "ssl.principal.mapping.rules", Str, "DEFAULT", Any, Low, ReadOnly, Refused, "DN to name rules";
    SSL_PROTOCOL: String = "ssl.protocol", Str, "TLSv1.3", Any, Medium, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_PROVIDER: Option<String> = "ssl.provider", Str, null, Any, Medium, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_SECURE_RANDOM_IMPLEMENTATION: Option<String> = "ssl.secure.random.implementation", Str, null, Any, Low, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_TRUSTMANAGER_ALGORITHM: String = "ssl.trustmanager.algorithm", Str, "PKIX", Any, Medium, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_TRUSTSTORE_CERTIFICATES: Option<Password> = "ssl.truststore.certificates", Password, null, Any, Medium, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_TRUSTSTORE_LOCATION: Option<String> = "ssl.truststore.location", Str, null, Any, Medium, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_TRUSTSTORE_PASSWORD: Option<Password> = "ssl.truststore.password", Password, null, Any, Medium, PerBroker, Refused, "TLS key/trust material and policy";
    SSL_TRUSTSTORE_TYPE: String = "ssl.truststore.type", Str, "JKS", Any, Medium, PerBroker, Refused, "TLS key/trust material and policy";
    TELEMETRY_MAX_BYTES: i32 = "telemetry.max.bytes", Int, "1048576", AtLeast(1), Low, ReadOnly, Inert, "KIP-714, not in ZK mode";
    TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS: i32 = "transaction.abort.timed.out.transaction.cleanup.interval.ms", Int, "10000", AtLeast(1), Low, ReadOnly, Honoured, "abort-scan period";
    TRANSACTION_MAX_TIMEOUT_MS: i32 = "transaction.max.timeout.ms", Int, "900000", AtLeast(1), High, ReadOnly, Honoured, "largest txn timeout";
    TRANSACTION_PARTITION_VERIFICATION_ENABLE: bool = "transaction.partition.verification.enable", Boolean, "true", Any, Low, ClusterWide, Honoured, "KIP-890 verification";
    TRANSACTION_REMOVE_EXPIRED_TRANSACTION_CLEANUP_INTERVAL_MS: i32 = "transaction.remove.expired.transaction.cleanup.interval.ms", Int, "3600000", AtLeast(1), Low, ReadOnly, Honoured, "txn id expiry period";
    TRANSACTION_STATE_LOG_LOAD_BUFFER_SIZE: i32 = "transaction.state.log.load.buffer.size", Int, "5242880", AtLeast(1), High, ReadOnly, Honoured, "read step when loading";
    TRANSACTION_STATE_LOG_MIN_ISR: i32 = "transaction.state.log.min.isr", Int, "2", AtLeast(1), High, ReadOnly, Honoured, "min ISR of __transaction_state";
    TRANSACTION_STATE_LOG_NUM_PARTITIONS: i32 = "transaction.state.log.num.partitions", Int, "50", AtLeast(1), High, ReadOnly, Honoured, "its partitions";
    TRANSACTION_STATE_LOG_REPLICATION_FACTOR: i16 = "transaction.state.log.replication.factor", Short, "3", AtLeast(1), High, ReadOnly, Honoured, "its RF";
    TRANSACTION_STATE_LOG_SEGMENT_BYTES: i32 = "transaction.state.log.segment.bytes", Int, "104857600", AtLeast(1), High, ReadOnly, Honoured, "its segment size";
    TRANSACTIONAL_ID_EXPIRATION_MS: i32 = "transactional.id.expiration.ms", Int, "604800000", AtLeast(1), High, ReadOnly, Honoured, "forget idle txn ids";
    UNCLEAN_LEADER_ELECTION_ENABLE: bool = "unclean.leader.election.enable", Boolean, "false", Any, High, ClusterWide, Honoured, "allow non-ISR leaders";
    UNCLEAN_LEADER_ELECTION_INTERVAL_MS: i64 = "unclean.leader.election.interval.ms", Long, "300000", Any, Low, Internal, Inert, "KRaft only";
    UNSTABLE_API_VERSIONS_ENABLE: bool = "unstable.api.versions.enable", Boolean, "false", Any, Low, Internal, Inert, "offer unreleased API versions";
    UNSTABLE_FEATURE_VERSIONS_ENABLE: bool = "unstable.feature.versions.enable", Boolean, "false", Any, Low, Internal, Inert, "allow unreleased feature levels";
    ZOOKEEPER_CLIENT_CNXN_SOCKET: Option<String> = "zookeeper.clientCnxnSocket", Str, null, Any, Medium, ReadOnly, Ignored, "ZK client transport class (Netty for TLS)";
    ZOOKEEPER_CONNECT: Option<String> = "zookeeper.connect", Str, null, Any, High, ReadOnly, Honoured, "hosts:ports/chroot";
    ZOOKEEPER_CONNECTION_TIMEOUT_MS: Option<i32> = "zookeeper.connection.timeout.ms", Int, null, Any, High, ReadOnly, Honoured, "connect wait; default session timeout";
    ZOOKEEPER_MAX_IN_FLIGHT_REQUESTS: i32 = "zookeeper.max.in.flight.requests", Int, "10", AtLeast(1), High, ReadOnly, Honoured, "pipelined ZK requests";
    ZOOKEEPER_METADATA_MIGRATION_ENABLE: bool = "zookeeper.metadata.migration.enable", Boolean, "false", Any, High, ReadOnly, Refused, "KRaft migration";
    ZOOKEEPER_METADATA_MIGRATION_MIN_BATCH_SIZE: i32 = "zookeeper.metadata.migration.min.batch.size", Int, "200", Any, Low, Internal, Inert, "KRaft migration";
    ZOOKEEPER_SESSION_TIMEOUT_MS: i32 = "zookeeper.session.timeout.ms", Int, "18000", Any, High, ReadOnly, Honoured, "ZK session";
    ZOOKEEPER_SET_ACL: bool = "zookeeper.set.acl", Boolean, "false", Any, High, ReadOnly, Refused, "create znodes with SASL ACLs";
    ZOOKEEPER_SSL_CIPHER_SUITES: Option<Vec<String>> = "zookeeper.ssl.cipher.suites", List, null, Any, Low, ReadOnly, Refused, "TLS to ZooKeeper";
    ZOOKEEPER_SSL_CLIENT_ENABLE: bool = "zookeeper.ssl.client.enable", Boolean, "false", Any, Medium, ReadOnly, Refused, "TLS to ZooKeeper";
    ZOOKEEPER_SSL_CRL_ENABLE: bool = "zookeeper.ssl.crl.enable", Boolean, "false", Any, Low, ReadOnly, Refused, "TLS to ZooKeeper";
    ZOOKEEPER_SSL_ENABLED_PROTOCOLS: Option<Vec<String>> = "zookeeper.ssl.enabled.protocols", List, null, Any, Low, ReadOnly, Refused, "TLS to ZooKeeper";
    ZOOKEEPER_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM: String = "zookeeper.ssl.endpoint.identification.algorithm", Str, "HTTPS", Any, Low, ReadOnly, Refused, "TLS to ZooKeeper";
    ZOOKEEPER_SSL_KEYSTORE_LOCATION: Option<String> = "zookeeper.ssl.keystore.location", Str, null, Any, Medium, ReadOnly, Refused, "TLS to ZooKeeper";
    ZOOKEEPER_SSL_KEYSTORE_PASSWORD: Option<Password> = "zookeeper.ssl.keystore.password", Password, null, Any, Medium, ReadOnly, Refused, "TLS to ZooKeeper";
    ZOOKEEPER_SSL_KEYSTORE_TYPE: Option<String> = "zookeeper.ssl.keystore.type", Str, null, Any, Medium, ReadOnly, Refused, "TLS to ZooKeeper";
    ZOOKEEPER_SSL_OCSP_ENABLE: bool = "zookeeper.ssl.ocsp.enable", Boolean, "false", Any, Low, ReadOnly, Refused, "TLS to ZooKeeper";
    ZOOKEEPER_SSL_PROTOCOL: String = "zookeeper.ssl.protocol", Str, "TLSv1.2", Any, Low, ReadOnly, Refused, "TLS to ZooKeeper";
    ZOOKEEPER_SSL_TRUSTSTORE_LOCATION: Option<String> = "zookeeper.ssl.truststore.location", Str, null, Any, Medium, ReadOnly, Refused, "TLS to ZooKeeper";
    ZOOKEEPER_SSL_TRUSTSTORE_PASSWORD: Option<Password> = "zookeeper.ssl.truststore.password", Password, null, Any, Medium, ReadOnly, Refused, "TLS to ZooKeeper";
    ZOOKEEPER_SSL_TRUSTSTORE_TYPE: Option<String> = "zookeeper.ssl.truststore.type", Str, null, Any, Medium, ReadOnly, Refused, "TLS to ZooKeeper";
    BARNABAS_METRICS_LISTENER: Option<String> = "barnabas.metrics.listener", Str, null, Any, Low, Own, Honoured, "host:port of the Prometheus endpoint /metrics; `:9404` means loopback only; unset = none";
}
