//! The older message formats, against log directories of real brokers and what Kafka's own tool prints for them.

mod log_support;

use std::path::{Path, PathBuf};

use barnabas::config::LogConfig;
use barnabas::ids::Offset;
use barnabas::record::{Batch, Codec, batches};
use log_support::*;

/// The partition directories that hold, or may hold, messages before magic 2.
fn old_partitions() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/log");
    let mut found = Vec::new();
    for dir in ["v0v1-on-3.9.1", "broker-0.8.2.2", "broker-0.10.2.2"] {
        let entries = std::fs::read_dir(root.join(dir)).unwrap().map(|entry| entry.unwrap().path());
        found.extend(entries.filter(|path| path.is_dir()));
    }
    found.sort();
    assert_eq!(found.len(), 22);
    found
}

/// The lines about messages in the dump beside a directory.
fn dumped(dir: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(dir.with_extension("dump.txt")).unwrap();
    let about = ["offset: ", "| offset: ", "baseOffset: "];
    text.lines().filter(|line| about.iter().any(|start| line.starts_with(start))).map(str::to_owned).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A batch as `DumpLogSegments --deep-iteration --print-data-log` prints it.
fn dump(batch: &Batch, position: usize) -> Vec<String> {
    let header = &batch.header;
    let kind = match header.magic {
        0 => "NoTimestampType",
        _ if header.attributes.log_append_time() => "LogAppendTime",
        _ => "CreateTime",
    };
    let mut lines = vec![format!(
        "offset: {} position: {position} {kind}: {} size: {} magic: {} compresscodec: {} crc: {} isvalid: {}",
        header.last_offset(),
        header.max_timestamp,
        header.size(),
        header.magic,
        header.attributes.codec().unwrap().name(),
        header.crc,
        batch.check_crc().is_ok(),
    )];
    for message in batch.messages().unwrap() {
        let message = message.unwrap();
        let (crc, holds) = (message.crc(), message.crc_holds());
        assert!(message.codec == Some(Codec::None) && message.magic == header.magic);
        let record = message.into_record();
        let size = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(-1, |bytes| bytes.len() as i64);
        let key = record.key.as_ref().map_or(String::new(), |key| format!(" key: {}", text(key)));
        let payload = record.value.as_ref().map_or(String::new(), |value| format!(" payload: {}", text(value)));
        lines.push(format!(
            "| offset: {} {kind}: {} keySize: {} valueSize: {} isValid: {holds} crc: {crc}}}{key}{payload}",
            record.offset,
            record.timestamp,
            size(&record.key),
            size(&record.value),
        ));
    }
    lines
}

#[test]
fn every_message_reads_as_kafka_dumps_it() {
    let mut count = 0;
    for dir in old_partitions() {
        let expected = dumped(&dir);
        let mut lines = Vec::new();
        let mut position = 0;
        for batch in all_batches(&dir) {
            if batch.header.magic == 2 {
                // Its header is compared elsewhere; here only the records count.
                let records: Vec<_> = batch.records().unwrap().map(|record| record.unwrap()).collect();
                assert_eq!(records.len(), expected.len() - 1);
                lines.extend(expected.iter().cloned());
                continue;
            }
            lines.extend(dump(&batch, position));
            position += batch.header.size();
        }
        assert_eq!(lines, expected, "{}", dir.display());
        count += lines.len();
    }
    assert!(count > 200, "only {count} lines");
}

#[test]
fn records_have_absolute_offsets_and_the_first_is_known() {
    for dir in old_partitions() {
        let mut next = 0;
        for batch in all_batches(&dir) {
            assert_eq!(batch.first_offset().unwrap(), next, "{}", dir.display());
            for record in batch.records().unwrap() {
                assert_eq!(record.unwrap().offset, next);
                next += 1;
            }
            assert_eq!(batch.header.next_offset(), next);
        }
    }
}

#[test]
fn logs_of_old_brokers_load_recover_and_read() {
    let config = LogConfig::default();
    for golden in old_partitions() {
        let expected = all_batches(&golden);
        let end = expected.last().unwrap().header.next_offset();
        for killed in [false, true] {
            let dir = tempdir();
            let path = dir.path().join("t-0");
            copy_dir(&golden, &path);
            let log = if killed { open_killed(&path, &config, 0) } else { open_clean(&path, &config) };
            assert_eq!(log.end_offset(), Offset(end), "{}", golden.display());
            assert_eq!(read_all(&log.view()), expected);
            let timestamp = expected[0].header.max_timestamp;
            if timestamp >= 0 {
                let found = log.view().offset_for_timestamp(1).unwrap().unwrap();
                assert_eq!(found.offset, Offset(0));
                let max = log.view().max_timestamp().unwrap().unwrap();
                let highest = expected.iter().map(|batch| batch.header.max_timestamp).max();
                assert_eq!(Some(max.timestamp), highest);
            }
        }
    }
}

#[test]
fn a_torn_tail_is_cut_before_the_message() {
    for golden in old_partitions() {
        let expected = all_batches(&golden);
        let (last, kept) = expected.split_last().unwrap();
        let dir = tempdir();
        let path = dir.path().join("t-0");
        copy_dir(&golden, &path);
        let file = log_files(&path).remove(0);
        let mut bytes = std::fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        let log = open_killed(&path, &LogConfig::default(), 0);
        assert_eq!(log.end_offset(), Offset(last.first_offset().unwrap()), "{}", golden.display());
        assert_eq!(read_all(&log.view()), kept);
    }
}

/// A follower that copies a leader's old messages ends up with the leader's files.
#[test]
fn followers_copy_old_messages() {
    for golden in old_partitions() {
        let dir = tempdir();
        let path = dir.path().join("t-0");
        let mut log = open_clean(&path, &LogConfig::default());
        for batch in all_batches(&golden) {
            let info = log.append_as_follower(&batch.bytes).unwrap();
            assert_eq!(info.last_offset, Offset(batch.header.last_offset()));
        }
        log.close().unwrap();
        let (expected, actual) = (files(&golden), files(&path));
        for name in ["00000000000000000000.log", "00000000000000000000.index", "00000000000000000000.timeindex"] {
            // Brokers before 0.10.1 wrote no time index.
            if let Some(expected) = expected.get(name) {
                assert!(*expected == actual[name], "{}: {name}", golden.display());
            }
        }
        assert!(log.epochs().is_empty() || all_batches(&golden)[0].header.magic == 2);
    }
}

/// An older message from the leader means that epochs cannot be trusted for truncation any more.
#[test]
fn an_old_message_makes_the_log_forget_its_epochs() {
    let dir = tempdir();
    let mut log = open_clean(&dir.path().join("t-0"), &LogConfig::default());
    log.append_as_leader(&batch_of(2, 1000, "new"), &client(3, 1000)).unwrap();
    assert!(!log.epochs().is_empty());
    let golden = old_partitions().into_iter().find(|path| path.ends_with("fmt0100-none-0")).unwrap();
    log.append_as_follower(&all_batches(&golden)[2].bytes).unwrap();
    assert!(log.epochs().is_empty());
    assert_eq!(log.end_offset(), Offset(3));
}

#[test]
fn hostile_wrappers_are_errors() {
    for golden in old_partitions() {
        for batch in all_batches(&golden) {
            for at in 0..batch.bytes.len() {
                let mut bytes = batch.bytes.to_vec();
                for flip in [0x01, 0x80, 0xff] {
                    bytes[at] ^= flip;
                    for batch in batches(bytes.clone().into()).flatten() {
                        _ = batch.first_offset();
                        if let Ok(records) = batch.records() {
                            records.for_each(drop);
                        }
                    }
                    bytes[at] ^= flip;
                }
            }
        }
    }
}
