//! Any bytes as the `.log` files of a partition whose broker was killed: they load, what is left is sound, and the log
//! goes on from there.

use std::fs;

use barnabas::config::LogConfig;
use barnabas::ids::Offset;
use barnabas::log::LogHandle;
use barnabas::log::cleaner::{Dirty, Limits, clean};
use barnabas::log::inspect::dump::{Content, Decoder, Dump, Options};

use super::input::{Input, with_crcs};
use super::partition::{Partition, append, ask, read_all};

const LIMITS: Limits = Limits { map_bytes: 4800, map_load_factor: 0.9, io_buffer_bytes: 1 << 14 };

/// Offsets up to here leave room for what is appended.
const LAST_OFFSET_TO_APPEND: i64 = i64::MAX - 10;

pub fn check(data: &[u8]) {
    let mut input = Input(data);
    let (bits, second_base) = (input.byte(), input.short());
    let first = if bits & 1 != 0 { input.piece() } else { &[] };
    let sound_crcs = |bytes: &[u8]| if bits & 2 != 0 { with_crcs(bytes) } else { bytes.to_vec() };
    let mut config = LogConfig { index_interval_bytes: if bits & 4 != 0 { 0 } else { 4096 }, ..LogConfig::default() };
    config.cleanup_policy.compact = bits & 8 != 0;
    let partition = Partition::new();
    let mut replicated = None;
    if bits & 128 != 0 {
        replicated = Some(replicate(&partition, &config, sound_crcs(input.rest())));
    } else if first.is_empty() {
        partition.write("00000000000000000000.log", &sound_crcs(input.rest()));
    } else {
        partition.write("00000000000000000000.log", &sound_crcs(first));
        partition.write(&format!("{second_base:020}.log"), &sound_crcs(input.rest()));
    }
    if bits & 16 != 0 {
        dump(&partition);
    }
    if bits & 32 != 0 {
        // Trusted although it is not sound: nobody can promise much then.
        if let Ok(log) = partition.open(&config, true) {
            ask(&log);
        }
    }

    let mut log = partition.open(&config, false).expect("whatever is there can be loaded");
    partition.assert_sound(&config);
    assert!(replicated.is_none_or(|end| log.end_offset() == end), "recovery took what a follower had accepted");
    let batches = read_all(&log);
    ask(&log);
    if bits & 64 != 0 {
        let kept = batches.len() / 2;
        let to = batches[..kept].last().map_or(log.start_offset(), |last| Offset(last.header.next_offset()));
        log.truncate_to(to).expect("a cut");
        assert_eq!((log.end_offset(), read_all(&log).len()), (to, kept));
        ask(&log);
        partition.assert_sound(&config);
    }
    if log.end_offset().0 < LAST_OFFSET_TO_APPEND && !config.cleanup_policy.compact {
        append(&mut log);
        read_all(&log);
    }
    if config.cleanup_policy.compact {
        log.roll().expect("a new segment");
    }
    let log = LogHandle::new(log);
    if config.cleanup_policy.compact {
        compact(&log);
    }
    let (start, end) = (log.view().start_offset(), log.view().end_offset());
    log.lock().close().expect("a clean stop");
    drop(log);
    let log = partition.open(&config, true).expect("a log that was closed");
    assert_eq!((log.start_offset(), log.end_offset()), (start, end));
    if !config.cleanup_policy.compact {
        partition.assert_sound(&config);
        read_all(&log);
    }
    ask(&log);
}

/// A follower is sent the bytes, and killed. Returns where its log ended.
fn replicate(partition: &Partition, config: &LogConfig, bytes: Vec<u8>) -> Offset {
    let mut log = partition.open(config, true).expect("an empty directory");
    if let Ok(info) = log.append_as_follower(&bytes.into()) {
        assert_eq!(info.last_offset.0 + 1, log.end_offset().0);
    }
    assert!(!log.log_dir().is_offline(), "what a leader sent has taken the log dir offline");
    log.end_offset()
}

/// Compaction gives up where records make no sense; else it leaves a log with the same end.
fn compact(log: &LogHandle) {
    let end = log.view().end_offset();
    log.set_high_watermark(end);
    log.set_first_dirty_offset(Some(Offset(0)));
    let now_ms = 1_800_000_000_000;
    let dirty = Dirty::of(log, now_ms).expect("a log that can be read");
    let _ = clean(log, &dirty.pass, &LIMITS, now_ms, &mut |_| Ok(()));
    assert!(!log.log_dir().is_offline(), "compaction has taken the log dir offline");
    assert_eq!(log.view().end_offset(), end);
}

fn dump(partition: &Partition) {
    let text = Content::Records { key: Decoder::Text, value: Decoder::Long };
    for print_content in [text, Content::Offsets, Content::TransactionLog] {
        let options = Options { deep: true, print_content: Some(print_content), ..Options::default() };
        let (mut out, mut err) = (std::io::sink(), std::io::sink());
        let mut dump = Dump::new(&options, &mut out, &mut err);
        for file in fs::read_dir(partition.path()).unwrap() {
            let _ = dump.file(&file.unwrap().path());
        }
        let _ = dump.finish();
    }
}
