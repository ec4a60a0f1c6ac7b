//! Compaction of random logs, whole and with the process dying at every change of the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rand::prelude::*;
use rand_chacha::ChaCha8Rng;

use super::{CleanError, Dirty, Limits, Stats, clean};
use crate::config::LogConfig;
use crate::ids::{LeaderEpoch, Offset, TopicPartition};
use crate::log::disk::crash;
use crate::log::{LeaderAppend, LogDir, LogHandle, OpenOptions, TxnCheck, open};
use crate::record::{AppendOrigin, Attributes, Batch, BatchBuilder, Codec, EndTxn, batches, end_txn_batch};

const NOW_MS: i64 = 1_700_000_000_000;
const DELETE_RETENTION_MS: i64 = 10_000;

fn tempdir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn config() -> Arc<LogConfig> {
    let overrides = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "1500"),
        ("index.interval.bytes", "200"),
        ("min.cleanable.dirty.ratio", "0"),
        ("delete.retention.ms", "10000"),
    ];
    let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Arc::new(LogConfig::default().with_overrides(&BTreeMap::from(overrides)).unwrap())
}

fn open_log(path: &Path, recovery_point: Option<i64>) -> LogHandle {
    let log = open(OpenOptions {
        tp: TopicPartition::new("t", 0),
        log_dir: LogDir::standalone(path.parent().unwrap().to_owned()),
        path: path.to_owned(),
        config: config(),
        clean: recovery_point.is_none(),
        recovery_point: recovery_point.unwrap_or(0),
        log_start: 0,
        producer_expiration_ms: i64::MAX,
    });
    let log = LogHandle::new(log.unwrap());
    log.set_high_watermark(log.view().end_offset());
    log
}

/// Writes what clients and a transaction coordinator would.
struct Clients {
    random: ChaCha8Rng,
    now_ms: i64,
    /// Next sequence and whether a transaction is open, by producer id. Ids from 100 on are transactional.
    producers: BTreeMap<i64, (i32, bool)>,
}

impl Clients {
    fn new(seed: u64) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), now_ms: NOW_MS, producers: BTreeMap::new() }
    }

    fn append(&self, log: &LogHandle, records: &Bytes, origin: AppendOrigin) {
        let append = LeaderAppend { leader_epoch: LeaderEpoch(0), origin, txn: TxnCheck::Off, now_ms: self.now_ms };
        log.lock().append_as_leader(records, &append).unwrap();
        log.set_high_watermark(log.view().end_offset());
    }

    fn step(&mut self, log: &LogHandle) {
        self.now_ms += self.random.random_range(0..50);
        let pid = *[-1, -1, 1, 2, 100, 101].choose(&mut self.random).unwrap();
        let codec = *[Codec::None, Codec::None, Codec::Gzip, Codec::Lz4, Codec::Zstd, Codec::Snappy]
            .choose(&mut self.random)
            .unwrap();
        let (sequence, open) = self.producers.get(&pid).copied().unwrap_or_default();
        if open && self.random.random_bool(0.5) {
            let end = if self.random.random_bool(0.5) { EndTxn::Commit } else { EndTxn::Abort };
            self.append(log, &end_txn_batch(end, pid, 0, 0, self.now_ms), AppendOrigin::Coordinator);
            self.producers.insert(pid, (sequence, false));
            return;
        }
        let count = self.random.random_range(1..6);
        let mut batch = BatchBuilder::new().compression(codec);
        if pid >= 0 {
            batch = batch.producer(pid, 0, sequence);
            self.producers.insert(pid, (sequence + count, pid >= 100));
        }
        if pid >= 100 {
            batch = batch.attributes(Attributes::TRANSACTIONAL);
        }
        for _ in 0..count {
            let key = format!("key-{}", self.random.random_range(0..12));
            let value = format!("{:x}", self.random.random::<u64>()).repeat(self.random.random_range(0..6));
            let value = self.random.random_bool(0.8).then_some(value.as_bytes());
            let timestamp = self.now_ms - self.random.random_range(0..100);
            batch.push(timestamp, Some(key.as_bytes()), value, &[(b"h", Some(b"v"))]);
        }
        self.append(log, &batch.build(), AppendOrigin::Client);
    }
}

type Value = (Option<Bytes>, Option<Bytes>, i64);

/// What a log says.
#[derive(Debug, PartialEq)]
struct Contents {
    start: Offset,
    end: Offset,
    /// Data records that were not aborted: key, value and timestamp by offset.
    records: BTreeMap<i64, Value>,
    /// Keys and the values that readers end up with; deleted ones are not there.
    last: BTreeMap<Bytes, (i64, Bytes)>,
    /// As a snapshot would hold them, but for times: a batch that lost its newest record is older when it is read again.
    producers: Vec<crate::log::snapshot::SnapshotEntry>,
    last_stable: Offset,
}

/// Reads a log as a consumer of committed data does, by the aborted index alone.
fn read(log: &LogHandle) -> Contents {
    let view = log.view();
    let (mut at, mut records, mut next) = (view.start_offset(), BTreeMap::new(), 0);
    let last_stable = log.last_stable_offset();
    while at < last_stable {
        let found = view.read(at, 700, last_stable, true).unwrap();
        let aborted = view.aborted_transactions(&found).unwrap();
        let Some(slice) = found.slice else { break };
        for batch in batches(slice.read().unwrap()) {
            let batch = batch.unwrap();
            let header = batch.header;
            batch.check_crc().unwrap();
            assert!(header.base_offset >= next, "batches overlap: {header:?}");
            next = header.next_offset();
            at = Offset(next);
            let is_aborted = aborted.iter().any(|txn| {
                txn.producer_id == header.producer_id
                    && (txn.first_offset..txn.last_offset).contains(&header.base_offset)
            });
            if header.attributes.control() || (header.attributes.transactional() && is_aborted) {
                continue;
            }
            for record in batch.records().unwrap().map(Result::unwrap) {
                records.insert(record.offset, (record.key, record.value, record.timestamp));
            }
        }
    }
    let mut last = BTreeMap::new();
    for (offset, (key, value, _)) in &records {
        match value {
            Some(value) => _ = last.insert(key.clone().unwrap(), (*offset, value.clone())),
            None => _ = last.remove(key.as_ref().unwrap()),
        }
    }
    let mut producers = log.lock().producers().to_snapshot();
    producers.iter_mut().for_each(|producer| producer.timestamp = 0);
    Contents { start: view.start_offset(), end: view.end_offset(), records, last, producers, last_stable }
}

/// What compaction must not change, whatever it removed.
fn assert_compacted(before: &Contents, after: &Contents, cleaned_to: i64, what: &str) {
    assert_eq!((before.start, before.end, before.last_stable), (after.start, after.end, after.last_stable), "{what}");
    assert_eq!(before.last, after.last, "{what}");
    assert_eq!(before.producers, after.producers, "{what}");
    for (offset, record) in &after.records {
        assert_eq!(before.records.get(offset), Some(record), "{what}: {offset}");
    }
    let tail =
        |contents: &Contents| contents.records.range(cleaned_to..).map(|(offset, _)| *offset).collect::<Vec<_>>();
    assert_eq!(tail(before), tail(after), "{what}");
}

/// No key twice below where cleaning came to, and no aborted data.
fn assert_clean(log: &LogHandle, after: &Contents, cleaned_to: i64, what: &str) {
    let mut keys = BTreeSet::new();
    for (offset, (key, ..)) in after.records.range(..cleaned_to) {
        assert!(keys.insert(key.clone()), "{what}: {key:?} again at {offset}");
    }
    let data = data_offsets(log);
    let readable: Vec<_> = after.records.range(..cleaned_to).map(|(offset, _)| *offset).collect();
    assert_eq!(data.range(..cleaned_to).copied().collect::<Vec<_>>(), readable, "{what}: aborted data is left");
}

/// Offsets of all data records below the last stable offset, aborted ones too.
fn data_offsets(log: &LogHandle) -> BTreeSet<i64> {
    let (view, mut at, mut offsets) = (log.view(), log.view().start_offset(), BTreeSet::new());
    while let Some(slice) = view.read(at, 1, log.last_stable_offset(), true).unwrap().slice {
        let batch = Batch::read(&slice.read().unwrap()).unwrap().unwrap();
        at = Offset(batch.header.next_offset());
        if !batch.header.attributes.control() {
            offsets.extend(batch.records().unwrap().map(|record| record.unwrap().offset));
        }
    }
    offsets
}

fn clean_once(log: &LogHandle, limits: &Limits, now_ms: i64) -> Result<(i64, Stats), CleanError> {
    let dirty = Dirty::of(log, now_ms).map_err(CleanError::Io)?;
    clean(log, &dirty.pass, limits, now_ms, &mut |_| Ok(()))
}

const LIMITS: Limits = Limits { map_bytes: 1 << 16, map_load_factor: 0.9, io_buffer_bytes: 1000 };

#[test]
fn random_logs_keep_the_last_value_of_every_key() {
    for seed in 0..20 {
        let dir = tempdir();
        let path = dir.path().join("t-0");
        let mut log = open_log(&path, None);
        let mut clients = Clients::new(seed);
        for round in 0..6 {
            let what = format!("seed {seed} round {round}");
            for _ in 0..clients.random.random_range(5..60) {
                clients.step(&log);
            }
            let before = read(&log);
            let small = clients.random.random_bool(0.3);
            let limits = Limits {
                map_bytes: if small { 7 * super::offset_map::ENTRY_BYTES } else { LIMITS.map_bytes },
                io_buffer_bytes: clients.random.random_range(20..3000),
                ..LIMITS
            };
            // Long after the last round now and then: tombstones and markers go.
            clients.now_ms += if clients.random.random_bool(0.3) { 2 * DELETE_RETENTION_MS } else { 0 };
            let (cleaned_to, _) = clean_once(&log, &limits, clients.now_ms).unwrap();
            let after = read(&log);
            assert_compacted(&before, &after, cleaned_to, &what);
            if !small {
                assert_clean(&log, &after, cleaned_to, &what);
            }
            let first_dirty = log.first_dirty_offset();
            if clients.random.random_bool(0.5) {
                drop(log);
                log = open_log(&path, Some(0));
                assert_eq!(read(&log), after, "{what}: recovered");
            } else {
                log.lock().close().unwrap();
                drop(log);
                log = open_log(&path, None);
                assert_eq!(read(&log), after, "{what}: loaded");
            }
            log.set_first_dirty_offset(first_dirty);
        }
    }
}

#[test]
fn a_crash_at_any_change_of_the_disk_loses_nothing() {
    for seed in 100..101 {
        let dir = tempdir();
        let path = dir.path().join("t-0");
        let log = open_log(&path, None);
        let mut clients = Clients::new(seed);
        (0..40).for_each(|_| clients.step(&log));
        // One cleaning has been, so that there are segments to put together.
        clean_once(&log, &LIMITS, clients.now_ms).unwrap();
        let first_dirty = log.first_dirty_offset();
        (0..20).for_each(|_| clients.step(&log));
        log.lock().close().unwrap();
        let before = read(&log);
        let active = log.lock().active_segment().base_offset;
        drop(log);

        let now_ms = clients.now_ms + 2 * DELETE_RETENTION_MS;
        for changes in 0.. {
            let what = format!("seed {seed}, crash after {changes} changes");
            let copy = tempdir();
            let path = copy.path().join("t-0");
            copy_dir(&dir.path().join("t-0"), &path);
            let log = open_log(&path, None);
            log.set_first_dirty_offset(first_dirty);
            crash::after(Some(changes));
            let cleaned = clean_once(&log, &LIMITS, now_ms);
            crash::after(None);
            drop(log);

            let log = open_log(&path, Some(active));
            let after = read(&log);
            assert_compacted(&before, &after, active, &what);
            assert!(
                std::fs::read_dir(&path).unwrap().all(|entry| {
                    let name = entry.unwrap().file_name().into_string().unwrap();
                    !name.ends_with(".cleaned") && !name.ends_with(".swap")
                }),
                "{what}"
            );
            match cleaned {
                Ok(_) => {
                    assert!(changes > 50, "{what}");
                    break;
                }
                Err(_) => {
                    log.set_first_dirty_offset(first_dirty);
                    let (cleaned_to, _) = clean_once(&log, &LIMITS, now_ms).unwrap();
                    let after = read(&log);
                    assert_compacted(&before, &after, cleaned_to, &what);
                    assert_clean(&log, &after, cleaned_to, &what);
                }
            }
        }
    }
}
