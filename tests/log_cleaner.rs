//! Compaction against what Kafka 3.9.1 made of the same segments, and its rules one by one.

mod log_support;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use barnabas::config::LogConfig;
use barnabas::ids::{BrokerId, Offset, TopicId, TopicPartition};
use barnabas::log::cleaner::{CleanError, Cleaner, Dirty, Limits, Options, Stats, clean};
use barnabas::log::{LogHandle, Manager, ManagerOptions};
use barnabas::record::{BatchBuilder, Codec, MessageSetBuilder, batches};
use bytes::Bytes;
use log_support::*;

const LIMITS: Limits = Limits { map_bytes: 1 << 20, map_load_factor: 0.9, io_buffer_bytes: 256 * 1024 };
const NOW_MS: i64 = 1_800_000_000_000;

fn handle(path: &Path, config: &LogConfig, first_dirty: i64) -> LogHandle {
    let log = LogHandle::new(open_clean(path, config));
    log.set_high_watermark(log.view().end_offset());
    log.set_first_dirty_offset(Some(Offset(first_dirty)));
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
        assert_eq!(log.first_dirty_offset(), Some(Offset(end)));
        assert_same_files(&cleaned_files(&golden().join(partition)), &cleaned_files(&path), partition);
        let batches = read_all(&log.view());
        drop(log);
        assert_eq!(batches, read_all(&open_clean(&path, &config(segment_bytes)).view()));
    }
}

/// The horizon that Kafka gave to the tombstones of `horizon-0`: 24 hours after its cleaning.
const HORIZON_MS: i64 = 1_795_342_089_823;
const DAY_MS: i64 = 24 * 3600 * 1000;

fn twice_cleaned(name: &str) -> PathBuf {
    golden().parent().unwrap().join("compacted-twice-3.9.1").join(name)
}

#[test]
fn tombstones_get_kafkas_horizon_and_go_after_it() {
    let dir = tempdir();
    let path = dir.path().join("horizon-0");
    copy_dir(&twice_cleaned("horizon-0"), &path);
    // As the producer wrote them, before the cleaning that set the horizon.
    let first_segment = path.join("00000000000000000000.log");
    let mut before = Vec::new();
    for batch in batches(std::fs::read(&first_segment).unwrap().into()).map(Result::unwrap) {
        if batch.header.attributes.delete_horizon() {
            let header = batch.header;
            let mut plain = BatchBuilder::new().base_offset(header.base_offset).leader_epoch(0);
            for record in batch.records().unwrap().map(Result::unwrap) {
                plain.push(record.timestamp, record.key.as_deref(), None, &[]);
            }
            before.extend_from_slice(&plain.build());
        } else {
            before.extend_from_slice(&batch.bytes);
        }
    }
    std::fs::write(&first_segment, before).unwrap();

    let log = handle(&path, &config(600), 24);
    clean_all(&log, &LIMITS, HORIZON_MS - DAY_MS);
    let kafkas = all_batches(&twice_cleaned("horizon-0"));
    assert!(read_all(&log.view()) == kafkas, "{:#?}\n{kafkas:#?}", read_all(&log.view()));
    // A moment before the horizon nothing changes any more.
    log.set_first_dirty_offset(Some(Offset(24)));
    clean_all(&log, &LIMITS, HORIZON_MS - 1);
    assert_eq!(read_all(&log.view()), kafkas);
    log.set_first_dirty_offset(Some(Offset(24)));
    clean_all(&log, &LIMITS, HORIZON_MS);
    let left: Vec<_> = kafkas.into_iter().filter(|batch| !batch.header.attributes.delete_horizon()).collect();
    assert_eq!(read_all(&log.view()), left);
}

#[test]
fn messages_of_old_formats_are_cleaned_too() {
    let codecs = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4];
    for (magic, codec) in [0, 1].into_iter().flat_map(|magic| codecs.map(|codec| (magic, codec))) {
        let dir = tempdir();
        let log = LogHandle::new(open_clean(&dir.path().join("t-0"), &config(10_000)));
        for round in 0..4 {
            let mut set = MessageSetBuilder::new(magic, codec.into(), None);
            for (n, key) in ["a", "b", "c"].iter().enumerate() {
                let value = (round < 3 || n > 0).then(|| format!("{key}-{round}"));
                // "b" is written in the first two rounds only.
                let key = if *key == "b" && round > 1 { format!("b{round}") } else { (*key).to_owned() };
                set.push(round * 3 + n as i64, 1000 + round, Some(key.as_bytes()), value.as_deref().map(str::as_bytes));
            }
            log.append_as_follower(&set.build().into()).unwrap();
        }
        log.lock().roll().unwrap();
        log.set_high_watermark(log.view().end_offset());
        let (cleaned_to, stats) = clean_all(&log, &LIMITS, NOW_MS);
        assert_eq!((cleaned_to, stats.records_read, stats.records_written), (12, 12, 5), "{magic} {codec:?}");
        let view = log.view();
        let slice = view.read(Offset(0), 1 << 20, view.end_offset(), true).unwrap().slice.unwrap();
        let left: Vec<_> = batches(slice.read().unwrap())
            .flat_map(|batch| {
                let batch = batch.unwrap();
                batch.check_crc().unwrap();
                assert_eq!((batch.header.magic, batch.header.attributes.codec()), (magic, Some(codec)));
                batch
                    .messages()
                    .unwrap()
                    .map(|message| {
                        let message = message.unwrap();
                        assert!(message.crc_holds());
                        let text = |bytes: Option<Bytes>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
                        (message.offset, text(message.key).unwrap(), text(message.value))
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
        let expected = [
            (4, "b", Some("b-1")),
            (7, "b2", Some("b-2")),
            (9, "a", None),
            (10, "b3", Some("b-3")),
            (11, "c", Some("c-3")),
        ];
        let expected = expected.map(|(offset, key, value)| (offset, key.to_owned(), value.map(str::to_owned)));
        assert_eq!(left, expected, "{magic} {codec:?}");
    }
}

#[test]
fn a_flipped_bit_is_never_written_over() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    before_the_last_cleaning("compact-0", &path);
    let damaged = path.join("00000000000000000088.log");
    let mut bytes = std::fs::read(&damaged).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    let log = handle(&path, &config(1000), 0);
    let before = files(&path);
    let dirty = Dirty::of(&log, NOW_MS).unwrap();
    let error = clean(&log, &dirty.pass, &LIMITS, NOW_MS, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error, CleanError::Batch { .. }), "{error}");
    assert_same_files(&before, &files(&path), "nothing was changed");
}

#[test]
fn a_truncation_meanwhile_ends_a_cleaning_and_makes_the_log_dirty() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    before_the_last_cleaning("compact-0", &path);
    let log = handle(&path, &config(1000), 100);
    let dirty = Dirty::of(&log, NOW_MS).unwrap();
    let mut once = Some(());
    let result = clean(&log, &dirty.pass, &LIMITS, NOW_MS, &mut |_| {
        if once.take().is_some() {
            log.lock().truncate_to(Offset(70)).unwrap();
        }
        Ok(())
    });
    assert!(matches!(result, Err(CleanError::GivenUp)), "{result:?}");
    assert!(files(&path).keys().all(|name| !name.ends_with(".cleaned")));
    assert_eq!(log.view().end_offset(), Offset(70));
    // Of the segment that is active now.
    assert_eq!(log.first_dirty_offset(), Some(Offset(66)));
}

#[test]
fn threads_clean_what_is_due_until_they_are_paused_or_stopped() {
    let dir = tempdir();
    let logs = Manager::start(ManagerOptions {
        dirs: vec![dir.path().to_owned()],
        broker_id: BrokerId(1),
        cluster_id: "cluster".into(),
        default_config: Arc::new(config(1000)),
        topic_configs: HashMap::new(),
        recovery_threads_per_dir: 1,
        producer_expiration_ms: i64::MAX,
        on_dir_failure: Arc::new(|path, error| panic!("{}: {error}", path.display())),
    })
    .unwrap();
    let tp = TopicPartition::new("t", 0);
    let log = logs.get_or_create(&tp, TopicId::default(), true).unwrap();
    let write = |count: usize| {
        for _ in 0..count {
            log.lock().append_as_leader(&batch_of(3, NOW_MS, "some value"), &client(0, NOW_MS)).unwrap();
        }
        log.set_high_watermark(log.view().end_offset());
    };
    let options = Options {
        threads: 2,
        dedupe_buffer_bytes: 4 << 20,
        load_factor: 0.9,
        io_buffer_bytes: 1 << 16,
        max_bytes_per_second: f64::MAX,
        backoff_ms: 1,
    };
    let cleaner = Cleaner::start(logs.clone(), options);
    let cleaned_to = |offset: i64| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while log.first_dirty_offset() != Some(Offset(offset)) {
            assert!(Instant::now() < deadline, "{:?}", log.first_dirty_offset());
            std::thread::yield_now();
        }
    };
    write(50);
    let active = || log.view().end_position().segment_base.0;
    cleaned_to(active());

    let paused = log.pause_cleaning();
    let (before, runs) = (log.first_dirty_offset(), cleaner.figures().io_bytes);
    write(50);
    cleaner.reconfigure(|| Options { threads: 1, ..options });
    assert_eq!((log.first_dirty_offset(), cleaner.figures().io_bytes), (before, runs));
    drop(paused);
    cleaned_to(active());
    cleaner.stop();
    let checkpoint = std::fs::read_to_string(dir.path().join("cleaner-offset-checkpoint")).unwrap();
    assert_eq!(checkpoint, format!("0\n1\nt 0 {}\n", active()));
    assert_eq!(cleaner.uncleanable(), [(dir.path().canonicalize().unwrap(), 0, 0)]);
    logs.delete(&[tp]).unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("cleaner-offset-checkpoint")).unwrap(), "0\n0\n");
}
