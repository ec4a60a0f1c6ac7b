//! The rules of loading a log directory, one by one: leftovers, damaged indexes and state files, segments that are too
//! wide. Recovery of the log's end is in `log_recovery.rs`.

mod log_support;

use std::path::Path;

use barnabas::config::LogConfig;
use barnabas::ids::Offset;
use barnabas::log::Log;
use barnabas::record::{AppendOrigin, Attributes, BatchBuilder, EndTxn, end_txn_batch};
use bytes::Bytes;
use log_support::*;

fn name(base: i64, extension: &str) -> String {
    format!("{base:020}.{extension}")
}

fn names(path: &Path, extension: &str) -> Vec<String> {
    files(path).into_keys().filter(|name| name.ends_with(extension)).collect()
}

fn small() -> LogConfig {
    LogConfig { segment_bytes: 3 * batch_of(1, 0, "v").len() as i32, index_interval_bytes: 0, ..LogConfig::default() }
}

/// A cleanly closed log of ten batches in four segments, an index entry for nearly each.
fn closed_log(path: &Path) -> Vec<Bytes> {
    let mut log = open_clean(path, &small());
    (0..10).for_each(|n| _ = log.append_as_leader(&batch_of(1, n, "v"), &client(0, 0)).unwrap());
    log.close().unwrap();
    contents(&log)
}

fn contents(log: &Log) -> Vec<Bytes> {
    read_all(&log.view()).into_iter().map(|batch| batch.bytes).collect()
}

/// Each single read, by offset, finds its batch.
fn check_reads(log: &Log, expected: &[Bytes], what: &str) {
    let view = log.view();
    for (offset, bytes) in expected.iter().enumerate() {
        let read = view.read(Offset(offset as i64), 1, view.end_offset(), true).unwrap();
        assert_eq!(read.slice.unwrap().read().unwrap(), *bytes, "{what}: offset {offset}");
    }
}

#[test]
fn a_flipped_bit_in_an_index_hides_nothing() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    let batches = closed_log(&path);
    for base in [3, 9] {
        let index = path.join(name(base, "index"));
        let sound = std::fs::read(&index).unwrap();
        assert!(base == 9 || sound.len() >= 16);
        for bit in 0..8 * sound.len() {
            let mut flipped = sound.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&index, &flipped).unwrap();
            let log = open_clean(&path, &small());
            assert_eq!(log.end_offset(), Offset(10), "{base}: bit {bit}");
            check_reads(&log, &batches, &format!("{base}: bit {bit}"));
        }
        std::fs::write(&index, &sound).unwrap();
    }
}

#[test]
fn indexes_without_a_log_go_and_logs_without_an_index_get_one() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    let batches = closed_log(&path);
    let sound = files(&path);
    for extension in ["index", "timeindex", "txnindex"] {
        std::fs::write(path.join(name(77, extension)), [0; 408]).unwrap();
    }
    std::fs::remove_file(path.join(name(3, "index"))).unwrap();
    std::fs::remove_file(path.join(name(6, "timeindex"))).unwrap();
    std::fs::write(path.join(name(0, "txnindex")), b"garbage").unwrap();
    let mut log = open_clean(&path, &small());
    assert_eq!(contents(&log), batches);
    assert_eq!(log.view().offset_for_timestamp(7).unwrap().unwrap().offset, Offset(7));
    log.close().unwrap();
    let now = files(&path);
    assert!(!now.contains_key(&name(77, "index")) && !now.contains_key(&name(77, "timeindex")));
    assert!(!now.contains_key(&name(77, "txnindex")) && !now.contains_key(&name(0, "txnindex")));
    // The rule of recovery differs from that of appending by the entry of the second batch.
    assert_eq!(now[&name(3, "index")].len() % 8, 0);
    assert_eq!(now[&name(0, "log")], sound[&name(0, "log")]);
}

#[test]
fn damage_below_the_recovery_point_costs_only_its_own_segment() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    let batches = closed_log(&path);
    std::fs::remove_file(path.join(name(3, "index"))).unwrap();
    let size = batches[0].len();
    let mut damaged = std::fs::read(path.join(name(3, "log"))).unwrap();
    damaged[size + 30] ^= 1;
    std::fs::write(path.join(name(3, "log")), damaged).unwrap();
    let log = open_clean(&path, &small());
    let left: Vec<_> =
        batches.iter().enumerate().filter(|(n, _)| ![4, 5].contains(n)).map(|(_, b)| b.clone()).collect();
    assert_eq!(contents(&log), left);
    assert_eq!(log.end_offset(), Offset(10));
}

#[test]
fn offsets_that_go_back_are_not_believed() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    let batches = closed_log(&path);
    let mut log = std::fs::read(path.join(name(6, "log"))).unwrap();
    // The offset is not covered by the CRC: 7 becomes 6 again.
    log[batches[0].len() + 7] = 6;
    std::fs::write(path.join(name(6, "log")), log).unwrap();
    let log = open_killed(&path, &small(), 6);
    assert_eq!(contents(&log), batches[..7]);
    assert_eq!(names(&path, ".log").len(), 3);
}

#[test]
fn an_unfinished_split_is_undone_and_a_finished_one_kept() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    let batches = closed_log(&path);
    let before = files(&path);
    // Of the parts 0 and 1 of segment 0 only the second has its new name.
    std::fs::write(path.join(name(0, "log.cleaned")), &batches[0]).unwrap();
    std::fs::write(path.join(name(1, "log.swap")), [&batches[1][..], &batches[2][..]].concat()).unwrap();
    assert_eq!(contents(&open_clean(&path, &small())), batches);
    assert_eq!(names(&path, ".log"), names_of(&before));
    // Now both.
    std::fs::write(path.join(name(0, "log.swap")), &batches[0]).unwrap();
    std::fs::write(path.join(name(1, "log.swap")), [&batches[1][..], &batches[2][..]].concat()).unwrap();
    assert_eq!(contents(&open_clean(&path, &small())), batches);
    assert_eq!(names(&path, ".log")[..3], [name(0, "log"), name(1, "log"), name(3, "log")]);
    assert!(files(&path).keys().all(|name| !name.ends_with(".swap") && !name.ends_with(".cleaned")));
}

fn names_of(files: &std::collections::BTreeMap<String, Vec<u8>>) -> Vec<String> {
    files.keys().filter(|name| name.ends_with(".log")).cloned().collect()
}

#[test]
fn a_segment_too_wide_for_its_indexes_is_split_and_nothing_is_lost() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    drop(open_clean(&path, &small()));
    let at = |offset: i64| {
        let mut bytes = batch_of(1, offset, "v").to_vec();
        bytes[..8].copy_from_slice(&offset.to_be_bytes());
        bytes[12..16].copy_from_slice(&0i32.to_be_bytes());
        bytes
    };
    let offsets = [0, 5, i64::from(i32::MAX), i64::from(i32::MAX) + 1, 3_000_000_000, 9_000_000_000];
    let bytes: Vec<u8> = offsets.into_iter().flat_map(at).collect();
    std::fs::write(path.join(name(0, "log")), &bytes).unwrap();
    let mut log = open_killed(&path, &LogConfig::default(), 0);
    assert_eq!(
        names(&path, ".log"),
        [name(0, "log"), name(i64::from(i32::MAX) + 1, "log"), name(9_000_000_000, "log")]
    );
    assert_eq!(contents(&log).concat(), bytes);
    assert_eq!((log.start_offset(), log.end_offset()), (Offset(0), Offset(9_000_000_001)));
    log.append_as_leader(&batch_of(1, 0, "v"), &client(1, 0)).unwrap();
    log.close().unwrap();
    drop(log);
    let log = open_clean(&path, &LogConfig::default());
    assert_eq!(read_all(&log.view()).len(), 7);
    let read = log.view().read(Offset(2_999_999_999), 1, log.end_offset(), true).unwrap();
    assert_eq!(read.slice.unwrap().read().unwrap(), at(3_000_000_000));
}

#[test]
fn a_log_start_above_the_end_begins_a_new_log() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    closed_log(&path);
    let log = barnabas::log::open(options(&path, &small(), true, 10, 50)).unwrap();
    assert_eq!((log.start_offset(), log.end_offset()), (Offset(50), Offset(50)));
    assert_eq!(names(&path, ".log"), [name(50, "log")]);
    assert!(log.epochs().is_empty() && names(&path, ".snapshot").is_empty());
}

#[test]
fn a_malformed_epoch_checkpoint_is_an_error_and_harms_nothing() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    closed_log(&path);
    let before = files(&path);
    let checkpoint = path.join("leader-epoch-checkpoint");
    for garbage in ["garbage", "0\n1\n", "0\n1\n0 x\n", "7\n1\n0 0\n"] {
        std::fs::write(&checkpoint, garbage).unwrap();
        assert!(barnabas::log::open(options(&path, &small(), true, 0, 0)).is_err(), "{garbage:?}");
    }
    std::fs::write(&checkpoint, &before["leader-epoch-checkpoint"]).unwrap();
    assert_same_files(&before, &files(&path), "after four refusals");
}

/// Snapshots are only a shortcut: without them, or with damaged ones, the state is that of a replay.
#[test]
fn damaged_snapshots_are_not_believed() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    let config = LogConfig { segment_bytes: 300, ..LogConfig::default() };
    let mut log = open_clean(&path, &config);
    let coordinator = barnabas::log::LeaderAppend { origin: AppendOrigin::Coordinator, ..client(0, 0) };
    for n in 0..6 {
        log.append_as_leader(&idempotent(4, 0, n, 1), &client(0, 0)).unwrap();
        let mut data = BatchBuilder::new().producer(9, 0, n).attributes(Attributes::TRANSACTIONAL);
        data.push(5, None, Some(b"txn"), &[]);
        log.append_as_leader(&data.build(), &client(0, 0)).unwrap();
        if n < 5 {
            log.append_as_leader(&end_txn_batch(EndTxn::Abort, 9, 0, 1, 20), &coordinator).unwrap();
        }
    }
    log.close().unwrap();
    let expected = log.producers().to_snapshot();
    drop(log);
    let snapshots = names(&path, ".snapshot");
    assert!(snapshots.len() > 3);
    for damaged in 0..=snapshots.len() {
        for (n, snapshot) in snapshots.iter().rev().take(damaged).enumerate() {
            let mut bytes = std::fs::read(path.join(snapshot)).unwrap_or_default();
            if let Some(byte) = bytes.get_mut(7 + n) {
                *byte ^= 1;
                std::fs::write(path.join(snapshot), bytes).unwrap();
            }
        }
        for clean in [true, false] {
            let log = barnabas::log::open(options(&path, &config, clean, 17, 0)).unwrap();
            assert_eq!(log.producers().to_snapshot(), expected, "{damaged} damaged, clean {clean}");
            assert!(log.producers().get(9).unwrap().txn_first_offset.is_some());
        }
    }
}
