//! Retention: which segments go, what the log is then, and what an old reader still sees.

mod log_support;

use std::path::Path;

use barnabas::config::LogConfig;
use barnabas::ids::Offset;
use barnabas::log::Log;
use log_support::*;

/// A log of segments with one batch of one record each, whose times are given.
fn log_of(path: &Path, config: &LogConfig, timestamps: &[i64]) -> (Log, u64) {
    let size = batch_of(1, 0, "v").len();
    let config = LogConfig { segment_bytes: size as i32, ..config.clone() };
    let mut log = open_clean(path, &config);
    for (epoch, timestamp) in timestamps.iter().enumerate() {
        log.append_as_leader(&batch_of(1, *timestamp, "v"), &client(epoch as i32, 0)).unwrap();
    }
    (log, size as u64)
}

fn config() -> LogConfig {
    LogConfig { retention_ms: -1, retention_bytes: -1, segment_ms: i64::MAX, ..LogConfig::default() }
}

fn bases(log: &Log) -> Vec<i64> {
    let dir = log.log_dir().path.join(log.topic_partition().to_string());
    log_files(&dir).iter().map(|path| path.file_stem().unwrap().to_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn what_lies_below_the_log_start_goes_whatever_the_policy() {
    let dir = tempdir();
    let mut config = LogConfig { retention_ms: 0, retention_bytes: 0, ..config() };
    (config.cleanup_policy.compact, config.cleanup_policy.delete) = (true, false);
    let (mut log, _) = log_of(&dir.path().join("t-0"), &config, &[1; 5]);
    assert_eq!(log.delete_old_segments(Offset(5), 1000).unwrap(), 0);
    log.increment_start_offset(Offset(3)).unwrap();
    // Never above the high watermark.
    assert_eq!(log.delete_old_segments(Offset(2), 1000).unwrap(), 2);
    assert_eq!(log.delete_old_segments(Offset(5), 1000).unwrap(), 1);
    assert_eq!((bases(&log), log.start_offset()), (vec![3, 4], Offset(3)));
    log.increment_start_offset(Offset(5)).unwrap();
    // The active segment stays: no segment begins at the log start yet.
    assert_eq!(log.delete_old_segments(Offset(5), 1000).unwrap(), 1);
    assert_eq!((bases(&log), log.start_offset()), (vec![4], Offset(5)));
}

#[test]
fn the_oldest_go_while_the_log_stays_large_enough() {
    let dir = tempdir();
    let (mut log, size) = log_of(&dir.path().join("t-0"), &config(), &[1; 6]);
    let keep = |log: &mut Log, bytes: u64| {
        log.set_config(std::sync::Arc::new(LogConfig { retention_bytes: bytes as i64, ..(**log.config()).clone() }));
        log.delete_old_segments(Offset(6), i64::MAX).unwrap();
        bases(log)
    };
    assert_eq!(keep(&mut log, 6 * size), [0, 1, 2, 3, 4, 5]);
    assert_eq!(keep(&mut log, 5 * size + 1), [0, 1, 2, 3, 4, 5]);
    assert_eq!(keep(&mut log, 4 * size), [2, 3, 4, 5]);
    assert_eq!((log.start_offset(), log.epochs().entries()[0]), (Offset(2), (2, 2)));
    assert_eq!(keep(&mut log, 0), [6]);
    assert_eq!((log.start_offset(), log.end_offset()), (Offset(6), Offset(6)));
    assert_eq!(keep(&mut log, 0), [6]);
}

#[test]
fn old_messages_go_at_once_and_stop_at_the_first_young_segment() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    let config = LogConfig { retention_ms: 100, ..config() };
    let (mut log, _) = log_of(&path, &config, &[10, 20, 500, 30, 40]);
    assert_eq!(log.delete_old_segments(Offset(5), 110).unwrap(), 0);
    assert_eq!(log.delete_old_segments(Offset(5), 121).unwrap(), 2);
    assert_eq!(bases(&log), [2, 3, 4]);
    assert_eq!(log.delete_old_segments(Offset(4), 601).unwrap(), 2);
    assert_eq!(bases(&log), [4]);
    // The active segment too: a new one is begun.
    assert_eq!(log.delete_old_segments(Offset(5), 601).unwrap(), 1);
    assert_eq!((bases(&log), log.start_offset(), log.end_offset()), (vec![5], Offset(5), Offset(5)));
    assert_eq!(log.delete_old_segments(Offset(5), i64::MAX).unwrap(), 0);
    assert_eq!(log.append_as_leader(&batch_of(1, 5, "v"), &client(9, 0)).unwrap().first_offset, Offset(5));
    log.close().unwrap();
    drop(log);
    let log = open_clean(&path, &config);
    assert_eq!((log.start_offset(), log.end_offset()), (Offset(5), Offset(6)));
}

#[test]
fn messages_without_a_time_are_as_old_as_their_file() {
    let dir = tempdir();
    let config = LogConfig { retention_ms: 3_600_000, ..config() };
    let (mut log, _) = log_of(&dir.path().join("t-0"), &config, &[-1, -1, -1]);
    let now_ms = barnabas::time::Clock.wall_ms();
    assert_eq!(log.delete_old_segments(Offset(3), now_ms).unwrap(), 0);
    assert_eq!(log.delete_old_segments(Offset(3), now_ms + 3_700_000).unwrap(), 3);
}

#[test]
fn readers_of_an_old_view_go_on_until_the_files_are_removed() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    let config = LogConfig { retention_ms: 1, file_delete_delay_ms: 60_000, index_interval_bytes: 0, ..config() };
    let (mut log, _) = log_of(&path, &config, &[1; 4]);
    log.close().unwrap();
    drop(log);
    let mut log = open_clean(&path, &LogConfig { segment_bytes: 100, ..config });
    let view = log.view();
    assert_eq!(log.delete_old_segments(Offset(4), 1000).unwrap(), 4);
    assert_eq!(read_all(&view).len(), 4);
    assert_eq!(view.offset_for_timestamp(1).unwrap().unwrap().offset, Offset(0));
    assert!(log.view().read(Offset(0), 100, Offset(4), true).is_err());
    let doomed = || {
        std::fs::read_dir(&path)
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "deleted"))
            .count()
    };
    assert!(doomed() >= 12, "{}", doomed());
    let now_ms = barnabas::time::Clock.wall_ms();
    log.log_dir().take_out_trash(now_ms + 50_000).unwrap();
    assert!(doomed() >= 12);
    log.log_dir().take_out_trash(now_ms + 61_000).unwrap();
    assert_eq!(doomed(), 0);
    // Too late for the old reader, and no fault of the disk.
    assert!(view.read(Offset(0), 100, Offset(4), true).is_err());
    assert!(!log.log_dir().is_offline());
    let snapshots: Vec<_> = files(&path).into_keys().filter(|name| name.ends_with(".snapshot")).collect();
    assert_eq!(snapshots, ["00000000000000000004.snapshot"]);
}
