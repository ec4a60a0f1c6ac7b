//! Names of files and directories, exactly Kafka's.

use crate::ids::{TopicPartition, Uuid};

pub const LOG: &str = "log";
pub const INDEX: &str = "index";
pub const TIME_INDEX: &str = "timeindex";
pub const TXN_INDEX: &str = "txnindex";
pub const SNAPSHOT: &str = "snapshot";
pub const DELETED: &str = "deleted";
pub const CLEANED: &str = "cleaned";
pub const SWAP: &str = "swap";

/// Extensions of the files that a segment has, or may have.
pub const SEGMENT_FILES: [&str; 4] = [LOG, INDEX, TIME_INDEX, TXN_INDEX];

pub const LOCK: &str = ".lock";
pub const META_PROPERTIES: &str = "meta.properties";
pub const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
pub const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
pub const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
pub const LOG_STARTS: &str = "log-start-offset-checkpoint";
pub const CLEANER_OFFSETS: &str = "cleaner-offset-checkpoint";
pub const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";
pub const PARTITION_METADATA: &str = "partition.metadata";
/// Left by brokers with tiered storage; never a partition.
pub const REMOTE_INDEX_CACHE: &str = "remote-log-index-cache";

/// The longest name that file systems take.
const MAX_NAME_BYTES: usize = 255;

/// What the names of a segment's files end with beyond their extension: where the segment is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suffix {
    /// Nothing: a segment of the log.
    Live,
    /// Output of a compaction that is not finished.
    Cleaned,
    /// Finished output that takes the place of other segments.
    Swap,
    /// Waits to be deleted.
    Deleted,
}

impl Suffix {
    fn text(self) -> Option<&'static str> {
        match self {
            Suffix::Live => None,
            Suffix::Cleaned => Some(CLEANED),
            Suffix::Swap => Some(SWAP),
            Suffix::Deleted => Some(DELETED),
        }
    }
}

/// `00000000000000000042.log.deleted`.
pub fn suffixed_segment_file(base_offset: i64, extension: &str, suffix: Suffix) -> String {
    match suffix.text() {
        None => segment_file(base_offset, extension),
        Some(suffix) => format!("{base_offset:020}.{extension}.{suffix}"),
    }
}

/// `00000000000000000042.log`.
pub fn segment_file(base_offset: i64, extension: &str) -> String {
    format!("{base_offset:020}.{extension}")
}

/// The offset and what follows its dot. `None` if the name does not begin with digits and a dot.
pub fn parse_segment_file(name: &str) -> Option<(i64, &str)> {
    let (digits, extension) = name.split_once('.')?;
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten().map(|offset| (offset, extension))
}

/// What a directory in a log dir is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionDirName {
    Current(TopicPartition),
    /// To be deleted.
    Deleted(TopicPartition),
    /// A copy in progress, from another log dir.
    Future(TopicPartition),
    /// A replica that is not in the metadata; kept, never served.
    Stray(TopicPartition),
}

/// Parses a directory's name; `None` if it is none of ours.
pub fn parse_partition_dir(name: &str) -> Option<PartitionDirName> {
    for (suffix, make) in [
        ("-delete", PartitionDirName::Deleted as fn(_) -> _),
        ("-future", PartitionDirName::Future),
        ("-stray", PartitionDirName::Stray),
    ] {
        if let Some((plain, id)) = name.strip_suffix(suffix).and_then(|rest| rest.rsplit_once('.'))
            && id.len() == 32
        {
            return parse_plain(plain).map(make);
        }
    }
    parse_plain(name).map(PartitionDirName::Current)
}

fn parse_plain(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    let partition: i32 = partition.parse().ok()?;
    (!topic.is_empty() && partition >= 0).then(|| TopicPartition::new(topic, partition))
}

/// `topic-0.<32 hex>-delete`, the topic cut so that the name fits.
pub fn deleted_dir(tp: &TopicPartition, id: Uuid) -> String {
    let suffix = format!("-{}.{:032x}-delete", tp.partition, id.0);
    let room = (MAX_NAME_BYTES - suffix.len()).min(tp.topic.len());
    format!("{}{suffix}", &tp.topic[..room])
}

/// `topic-0.<32 hex>-future`; `None` if it would be too long.
pub fn future_dir(tp: &TopicPartition, id: Uuid) -> Option<String> {
    let name = format!("{}-{}.{:032x}-future", tp.topic, tp.partition, id.0);
    (name.len() <= MAX_NAME_BYTES).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories() {
        let tp = TopicPartition::new("a-b.c", 12);
        assert_eq!(parse_partition_dir("a-b.c-12"), Some(PartitionDirName::Current(tp.clone())));
        let deleted = deleted_dir(&tp, Uuid(5));
        assert_eq!(deleted, "a-b.c-12.00000000000000000000000000000005-delete");
        assert_eq!(parse_partition_dir(&deleted), Some(PartitionDirName::Deleted(tp)));
        assert_eq!(parse_partition_dir("lost+found"), None);
        assert_eq!(parse_partition_dir("x-y"), None);
        assert_eq!(deleted_dir(&TopicPartition::new("t".repeat(249), 0), Uuid(1)).len(), 255);
    }

    #[test]
    fn segment_files() {
        assert_eq!(segment_file(42, LOG), "00000000000000000042.log");
        assert_eq!(suffixed_segment_file(42, LOG, Suffix::Live), segment_file(42, LOG));
        let deleted = suffixed_segment_file(42, LOG, Suffix::Deleted);
        assert_eq!(parse_segment_file(&deleted), Some((42, "log.deleted")));
        assert_eq!(parse_segment_file("leader-epoch-checkpoint"), None);
    }
}
