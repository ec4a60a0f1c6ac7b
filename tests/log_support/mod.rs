//! What the log tests share.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barnabas::config::LogConfig;
use barnabas::ids::{LeaderEpoch, Offset, TopicPartition};
use barnabas::log::{LeaderAppend, Log, LogDir, LogView, OpenOptions, TxnCheck, open};
use barnabas::record::{AppendOrigin, Batch, BatchBuilder, batches};
use bytes::Bytes;

/// A temporary directory, in memory if there is such a place: recovery tests sync files by the thousand.
pub fn tempdir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// The golden log dir.
pub fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/log/v2-3.9.1")
}

pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Names and bytes of the files in a directory, without `.deleted` ones.
pub fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| !name.ends_with(".deleted"))
        .collect()
}

/// Asserts that two directories hold the same files with the same bytes.
pub fn assert_same_files(expected: &BTreeMap<String, Vec<u8>>, actual: &BTreeMap<String, Vec<u8>>, what: &str) {
    assert_eq!(expected.keys().collect::<Vec<_>>(), actual.keys().collect::<Vec<_>>(), "{what}");
    for (name, bytes) in expected {
        assert!(
            *bytes == actual[name],
            "{what}: {name}\n{:02x?}\n{:02x?}",
            &bytes[..bytes.len().min(200)],
            &actual[name][..actual[name].len().min(200)]
        );
    }
}

/// The golden partitions' directories.
pub fn golden_partitions() -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(golden())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub fn log_files(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    paths.sort();
    paths
}

/// All batches of a partition directory.
pub fn all_batches(dir: &Path) -> Vec<Batch> {
    let read = |path: PathBuf| batches(std::fs::read(path).unwrap().into()).map(|batch| batch.unwrap());
    log_files(dir).into_iter().flat_map(read).collect()
}

pub fn options(path: &Path, config: &LogConfig, clean: bool, recovery_point: i64, log_start: i64) -> OpenOptions {
    OpenOptions {
        tp: TopicPartition::new("t", 0),
        log_dir: LogDir::standalone(path.parent().unwrap().to_owned()),
        path: path.to_owned(),
        config: Arc::new(config.clone()),
        clean,
        recovery_point,
        log_start,
        producer_expiration_ms: i64::MAX,
    }
}

pub fn open_clean(path: &Path, config: &LogConfig) -> Log {
    open(options(path, config, true, 0, 0)).unwrap()
}

pub fn open_killed(path: &Path, config: &LogConfig, recovery_point: i64) -> Log {
    open(options(path, config, false, recovery_point, 0)).unwrap()
}

pub fn client(epoch: i32, now_ms: i64) -> LeaderAppend {
    LeaderAppend { leader_epoch: LeaderEpoch(epoch), origin: AppendOrigin::Client, txn: TxnCheck::Off, now_ms }
}

/// A batch of records `key-n`, as a client sends it.
pub fn batch_of(count: usize, timestamp: i64, value: &str) -> Bytes {
    let mut builder = BatchBuilder::new();
    for n in 0..count {
        builder.push(timestamp, Some(format!("key-{n}").as_bytes()), Some(value.as_bytes()), &[]);
    }
    builder.build()
}

pub fn idempotent(pid: i64, epoch: i16, sequence: i32, count: usize) -> Bytes {
    let mut builder = BatchBuilder::new().producer(pid, epoch, sequence);
    for n in 0..count {
        builder.push(1000, None, Some(format!("{}", sequence.wrapping_add(n as i32)).as_bytes()), &[]);
    }
    builder.build()
}

/// Reads a whole log batch by batch, as a consumer would.
pub fn read_all(view: &LogView) -> Vec<Batch> {
    let mut at = view.start_offset();
    let mut found = Vec::new();
    while at < view.end_offset() {
        let read = view.read(at, 1, view.end_offset(), true).unwrap();
        let Some(slice) = read.slice else { break };
        let batch = Batch::read(&slice.read().unwrap()).unwrap().expect("one whole batch");
        batch.check_crc().unwrap();
        assert!(batch.header.last_offset() >= at.0);
        at = Offset(batch.header.next_offset());
        found.push(batch);
    }
    found
}
