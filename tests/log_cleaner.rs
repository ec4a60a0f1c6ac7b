//! Compaction against what Kafka 3.9.1 made of the same segments, and its rules one by one.

mod log_support;

use std::collections::BTreeMap;
use std::path::Path;

use barnabas::config::LogConfig;
use barnabas::log::LogHandle;
use barnabas::log::cleaner::{Dirty, Limits, Stats, clean};
use log_support::*;

const LIMITS: Limits = Limits { map_bytes: 1 << 20, map_load_factor: 0.9, io_buffer_bytes: 256 * 1024 };
const NOW_MS: i64 = 1_800_000_000_000;

fn handle(path: &Path, config: &LogConfig, first_dirty: i64) -> LogHandle {
    let log = LogHandle::new(open_clean(path, config));
    log.set_high_watermark(log.view().end_offset());
    log.set_first_dirty_offset(Some(first_dirty));
    log
}

fn clean_all(log: &LogHandle, limits: &Limits, now_ms: i64) -> (i64, Stats) {
    let dirty = Dirty::of(log, now_ms).unwrap();
    clean(log, &dirty.pass, limits, now_ms, &mut |_| Ok(())).unwrap()
}

fn config(segment_bytes: i32) -> LogConfig {
    let overrides = [("cleanup.policy", "compact"), ("segment.bytes", &segment_bytes.to_string())];
    let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned()));
    LogConfig::default().with_overrides(&BTreeMap::from(overrides)).unwrap()
}

/// Gives a golden partition back the segments that Kafka's last cleaning read, which it left as `.deleted`.
fn before_the_last_cleaning(partition: &str, to: &Path) {
    copy_dir(&golden().join(partition), to);
    let names: Vec<String> =
        std::fs::read_dir(to).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let cleaned: Vec<_> = names.iter().filter_map(|name| name.strip_suffix(".log.deleted")).collect();
    for name in &names {
        let (base, extension) = name.split_once('.').unwrap_or((name, ""));
        if cleaned.contains(&base) && extension != "snapshot" && !extension.ends_with("deleted") {
            std::fs::remove_file(to.join(name)).unwrap();
        }
    }
    for name in names.iter().filter(|name| name.ends_with(".deleted")) {
        std::fs::rename(to.join(name), to.join(name.trim_end_matches(".deleted"))).unwrap();
    }
}

/// Files that a cleaning makes, or takes away.
fn cleaned_files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = files(dir);
    files.retain(|name, _| name.split_once('.').is_some());
    files.remove("partition.metadata");
    files
}

#[test]
fn kafkas_last_cleaning_is_repeated_byte_for_byte() {
    for (partition, segment_bytes, first_dirty, end) in [("compact-0", 1000, 66, 110), ("compacttxn-0", 600, 0, 43)] {
        let dir = tempdir();
        let path = dir.path().join(partition);
        before_the_last_cleaning(partition, &path);
        let log = handle(&path, &config(segment_bytes), first_dirty);
        let (cleaned_to, _) = clean_all(&log, &LIMITS, NOW_MS);
        assert_eq!(cleaned_to, end);
        assert_eq!(log.first_dirty_offset(), Some(end));
        assert_same_files(&cleaned_files(&golden().join(partition)), &cleaned_files(&path), partition);
        let batches = read_all(&log.view());
        drop(log);
        assert_eq!(batches, read_all(&open_clean(&path, &config(segment_bytes)).view()));
    }
}
