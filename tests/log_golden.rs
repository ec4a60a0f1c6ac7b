//! The log against directories of a real Kafka 3.9.1 broker: what it wrote we read, and what it would write we write.

mod log_support;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use barnabas::config::{LogConfig, TimestampType};
use barnabas::ids::{BrokerId, Offset, TopicPartition};
use barnabas::log::{Manager, ManagerOptions, snapshot};
use barnabas::record::{Batch, BatchBuilder, batches, walk};
use bytes::Bytes;
use log_support::*;

/// A batch as `DumpLogSegments` prints it.
fn dump_line(batch: &Batch, position: usize) -> String {
    let h = &batch.header;
    let a = h.attributes;
    let horizon =
        if a.delete_horizon() { format!("OptionalLong[{}]", h.base_timestamp) } else { "OptionalLong.empty".into() };
    format!(
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: {} producerEpoch: {} \
         partitionLeaderEpoch: {} isTransactional: {} isControl: {} deleteHorizonMs: {horizon} position: {position} {}: {} \
         size: {} magic: 2 compresscodec: {} crc: {} isvalid: {}",
        h.base_offset,
        h.last_offset(),
        h.records_count,
        h.base_sequence,
        h.last_sequence(),
        h.producer_id,
        h.producer_epoch,
        h.partition_leader_epoch,
        a.transactional(),
        a.control(),
        if a.log_append_time() { "LogAppendTime" } else { "CreateTime" },
        h.max_timestamp,
        h.size(),
        a.codec().unwrap().name(),
        h.crc,
        batch.check_crc().is_ok(),
    )
}

#[test]
fn every_batch_reads_as_kafka_dumps_it() {
    let mut count = 0;
    for name in golden_partitions() {
        let figures = std::fs::read_to_string(golden().join(format!("{name}.figures.txt"))).unwrap();
        let expected: Vec<_> = figures.lines().filter(|line| line.starts_with("baseOffset")).collect();
        let mut lines = Vec::new();
        for path in log_files(&golden().join(&name)) {
            let mut position = 0;
            for batch in batches(std::fs::read(path).unwrap().into()) {
                let batch = batch.unwrap();
                lines.push(dump_line(&batch, position));
                position += batch.bytes.len();
                check_records(&batch);
            }
        }
        assert_eq!(lines, expected, "{name}");
        count += lines.len();
    }
    assert!(count > 150, "only {count} batches");
}

/// Both ways of reading records agree with each other and with the header.
fn check_records(batch: &Batch) {
    let mut walked = Vec::new();
    walk(batch, |record| walked.push(record)).unwrap();
    let records: Vec<_> = batch.records().unwrap().map(|record| record.unwrap()).collect();
    assert_eq!(walked.len(), batch.header.records_count as usize);
    assert_eq!(walked.len(), records.len());
    for (walked, record) in walked.iter().zip(&records) {
        assert_eq!(batch.header.base_offset + i64::from(walked.offset_delta), record.offset);
        assert_eq!(
            (walked.timestamp, walked.has_key, walked.has_value),
            (record.timestamp, record.key.is_some(), record.value.is_some())
        );
    }
    let max = records.iter().map(|record| record.timestamp).max();
    assert!(max.is_none_or(|max| max <= batch.header.max_timestamp));
}

#[test]
fn snapshots_there_and_back() {
    let mut count = 0;
    for name in golden_partitions() {
        for (file, bytes) in files(&golden().join(&name)).iter().filter(|(file, _)| file.ends_with(".snapshot")) {
            let entries = snapshot::decode(bytes).unwrap_or_else(|| panic!("{name}/{file}"));
            assert_eq!(snapshot::encode(&entries), *bytes, "{name}/{file}");
            let mut flipped = bytes.clone();
            *flipped.last_mut().unwrap() ^= 1;
            assert_eq!(snapshot::decode(&flipped), None);
            count += 1;
        }
    }
    assert!(count > 30, "only {count} snapshots");
}

/// What the broker that wrote the golden dir was told.
fn config_of(name: &str) -> LogConfig {
    let mut config = LogConfig { segment_index_bytes: 65536, ..LogConfig::default() };
    match name {
        "segs-0" => (config.segment_bytes, config.index_interval_bytes) = (1000, 100),
        "delrec-0" | "compact-0" | "compacttxn-0" => config.segment_bytes = 1000,
        "logappend-0" => config.message_timestamp_type = TimestampType::LogAppendTime,
        _ => {}
    }
    config
}

/// Partitions whose every append is still there.
const UNTOUCHED: &[&str] = &[
    "plain-0",
    "gzip-0",
    "snappy-0",
    "lz4-0",
    "zstd-0",
    "recompress-0",
    "logappend-0",
    "idem-0",
    "txn-0",
    "txnopen-0",
    "segs-0",
    "__consumer_offsets-0",
    "__transaction_state-0",
];

#[test]
fn the_same_batches_make_the_same_files() {
    for name in UNTOUCHED {
        let dir = tempdir();
        let path = dir.path().join(name);
        let mut log = open_clean(&path, &config_of(name));
        for batch in all_batches(&golden().join(name)) {
            log.append_as_follower(&batch.bytes).unwrap();
        }
        log.close().unwrap();
        let mut expected = files(&golden().join(name));
        expected.remove("partition.metadata");
        assert_same_files(&expected, &files(&path), name);
    }
}

/// A stored batch as its producer sent it.
fn as_sent(batch: &Batch) -> Bytes {
    let mut bytes = batch.bytes.to_vec();
    bytes[..8].fill(0);
    bytes[12..16].fill(0xff);
    bytes.into()
}

#[test]
fn a_leader_makes_the_same_files_from_what_producers_sent() {
    for name in ["plain-0", "gzip-0", "snappy-0", "lz4-0", "zstd-0", "idem-0", "segs-0", "logappend-0"] {
        let dir = tempdir();
        let path = dir.path().join(name);
        let mut log = open_clean(&path, &config_of(name));
        for batch in all_batches(&golden().join(name)) {
            let mut sent = as_sent(&batch);
            if name == "logappend-0" {
                sent = unstamped(&batch);
            }
            let info = log.append_as_leader(&sent, &client(0, batch.header.max_timestamp)).unwrap();
            assert_eq!(info.first_offset, Offset(batch.header.base_offset));
            assert_eq!(info.last_offset, Offset(batch.header.last_offset()));
        }
        log.close().unwrap();
        let mut expected = files(&golden().join(name));
        expected.remove("partition.metadata");
        assert_same_files(&expected, &files(&path), name);
    }
}

/// A batch of a LogAppendTime topic before the broker stamped it; the producer's own maximum timestamp does not matter.
fn unstamped(batch: &Batch) -> Bytes {
    let mut header = batch.header;
    header.attributes.0 &= !barnabas::record::Attributes::LOG_APPEND_TIME;
    (header.base_offset, header.partition_leader_epoch, header.max_timestamp) = (0, -1, header.base_timestamp);
    header.crc = header.compute_crc(&batch.payload());
    [&header.encode()[..], &batch.payload()].concat().into()
}

fn manager_options(dir: &Path) -> ManagerOptions {
    let config = |name: &str| (Arc::from(name.trim_end_matches("-0")), Arc::new(config_of(name)));
    ManagerOptions {
        dirs: vec![dir.to_owned()],
        broker_id: BrokerId(1),
        cluster_id: "Jb9MOquXRjC0S-dZ1gX0kg".into(),
        default_config: Arc::new(LogConfig { segment_index_bytes: 65536, ..LogConfig::default() }),
        topic_configs: HashMap::from_iter(golden_partitions().iter().map(|name| config(name))),
        recovery_threads_per_dir: 2,
        producer_expiration_ms: i64::MAX,
        on_dir_failure: Arc::new(|path, error| panic!("{}: {error}", path.display())),
    }
}

fn end_offsets(text: &str) -> BTreeMap<String, i64> {
    let entry = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        (format!("{}-{}", words[0], words[1]), words[2].parse().unwrap())
    };
    text.lines().skip(2).map(entry).collect()
}

fn sorted_lines(bytes: &[u8]) -> Vec<String> {
    let mut lines: Vec<_> = String::from_utf8(bytes.to_vec()).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn a_whole_log_dir_is_taken_over_and_handed_back_unchanged() {
    let dir = tempdir();
    copy_dir(&golden(), dir.path());
    let manager = Manager::start(manager_options(dir.path())).unwrap();
    let ends = end_offsets(&std::fs::read_to_string(golden().join("recovery-point-offset-checkpoint")).unwrap());
    let found: BTreeMap<_, _> =
        manager.all().iter().map(|log| (log.topic_partition().to_string(), log.view().end_offset().0)).collect();
    assert_eq!(found, ends);
    for log in manager.all() {
        let batches = read_all(&log.view());
        let name = log.topic_partition().to_string();
        let start = log.view().start_offset().0;
        let expected: Vec<_> = all_batches(&golden().join(&name))
            .into_iter()
            .filter(|batch| batch.header.last_offset() >= start)
            .collect();
        assert_eq!(batches, expected, "{name}");
        assert_eq!(log.high_watermark(), log.view().end_offset());
        assert!(!log.view().topic_id().is_zero());
    }
    assert_eq!(manager.get(&TopicPartition::new("delrec", 0)).unwrap().view().start_offset(), Offset(17));
    assert_eq!(manager.get(&TopicPartition::new("txnopen", 0)).unwrap().last_stable_offset(), Offset(5));
    manager.shutdown();

    for name in golden_partitions() {
        assert_same_files(&files(&golden().join(&name)), &files(&dir.path().join(&name)), &name);
    }
    for (name, bytes) in files(dir.path()).iter().filter(|(name, _)| *name != ".lock" && !name.ends_with(".txt")) {
        let original = std::fs::read(golden().join(name)).unwrap();
        assert_eq!(sorted_lines(bytes), sorted_lines(&original), "{name}");
    }
}

#[test]
fn recovery_rebuilds_what_was_derived() {
    let dir = tempdir();
    copy_dir(&golden(), dir.path());
    std::fs::remove_file(dir.path().join(".kafka_cleanshutdown")).unwrap();
    std::fs::remove_file(dir.path().join("recovery-point-offset-checkpoint")).unwrap();
    // What a killed Kafka leaves: preallocated indexes with a tail of zeros. And no snapshots, for good measure.
    for name in golden_partitions() {
        for file in files(&dir.path().join(&name)).keys() {
            let path = dir.path().join(&name).join(file);
            if file.ends_with("index") && !file.ends_with("txnindex") {
                std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(65520).unwrap();
            } else if file.ends_with("snapshot") || file == "leader-epoch-checkpoint" {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
    let manager = Manager::start(manager_options(dir.path())).unwrap();
    manager.shutdown();
    for name in golden_partitions().iter().filter(|name| !name.starts_with("compact") && *name != "delrec-0") {
        assert_same_files(&files(&golden().join(name)), &files(&dir.path().join(name)), name);
    }
    for name in golden_partitions() {
        let (expected, actual) = (all_batches(&golden().join(&name)), all_batches(&dir.path().join(&name)));
        assert_eq!(actual, expected, "{name}");
    }
}

#[test]
fn timestamps_are_found_as_kafka_finds_them() {
    let dir = tempdir();
    let path = dir.path().join("segs-0");
    copy_dir(&golden().join("segs-0"), &path);
    let log = open_clean(&path, &config_of("segs-0"));
    let view = log.view();
    let find = |target| view.offset_for_timestamp(target).unwrap().map(|found| (found.timestamp, found.offset.0));
    assert_eq!(find(0), Some((1700000000000, 0)));
    assert_eq!(find(1700000000055), Some((1700000000060, 6)));
    assert_eq!(find(1700000000390), Some((1700000000390, 39)));
    assert_eq!(find(1700000000391), None);
    let max = view.max_timestamp().unwrap().unwrap();
    assert_eq!((max.timestamp, max.offset, max.leader_epoch.0), (1700000000390, Offset(39), 0));
}

#[test]
fn aborted_transactions_are_listed() {
    let dir = tempdir();
    let path = dir.path().join("txn-0");
    copy_dir(&golden().join("txn-0"), &path);
    let log = open_clean(&path, &config_of("txn-0"));
    let view = log.view();
    let aborted = |from: i64| {
        let read = view.read(Offset(from), 1 << 20, view.end_offset(), true).unwrap();
        let list = view.aborted_transactions(&read).unwrap();
        list.iter().map(|txn| (txn.producer_id, txn.first_offset)).collect::<Vec<_>>()
    };
    assert_eq!(aborted(0), [(3, 3)]);
    assert_eq!(aborted(9), [(3, 3), (2, 11)]);
    assert_eq!(aborted(11), [(2, 11)]);
    assert_eq!(aborted(15), []);
}

#[test]
fn builder_makes_the_bytes_of_the_java_producer() {
    let batch = &all_batches(&golden().join("segs-0"))[7];
    let mut builder = BatchBuilder::new().base_offset(7).leader_epoch(0);
    for record in batch.records().unwrap() {
        let record = record.unwrap();
        builder.push(record.timestamp, record.key.as_deref(), record.value.as_deref(), &[]);
    }
    assert_eq!(builder.build(), batch.bytes);
}
