//! A partition's directory in memory, and what must hold of a log that was loaded from it.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use barnabas::config::LogConfig;
use barnabas::ids::{LeaderEpoch, Offset, TopicPartition};
use barnabas::log::inspect::check::{Context, Finding, Repair, Report, Severity, Totals};
use barnabas::log::inspect::verify::verify;
use barnabas::log::{LeaderAppend, Log, LogDir, OpenOptions, TxnCheck, open};
use barnabas::record::{AppendOrigin, Batch, BatchBuilder};

/// One partition's files; gone when it is dropped.
pub struct Partition {
    dir: tempfile::TempDir,
    /// Were there batches whose leader epochs go back?
    epochs_went_back: Cell<bool>,
}

impl Partition {
    /// In the directory for temporary files, or in memory if there is such a place.
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let dir = match std::env::var_os("TMPDIR") {
            None if memory.is_dir() => tempfile::tempdir_in(memory),
            _ => tempfile::tempdir(),
        };
        let partition = Self { dir: dir.expect("a temporary directory"), epochs_went_back: Cell::new(false) };
        std::fs::create_dir(partition.path()).expect("a directory");
        partition
    }

    pub fn log_dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("t-0")
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path().join(name), bytes).expect("a file");
    }

    pub fn open(&self, config: &LogConfig, clean: bool) -> std::io::Result<Log> {
        open(OpenOptions {
            tp: TopicPartition::new("t", 0),
            log_dir: LogDir::standalone(self.log_dir().to_owned()),
            path: self.path(),
            config: Arc::new(config.clone()),
            clean,
            recovery_point: 0,
            log_start: 0,
            producer_expiration_ms: i64::MAX,
        })
    }

    /// What `verify` finds wrong with anything but the records themselves, which recovery takes as they are.
    pub fn assert_sound(&self, config: &LogConfig) {
        let context = Context { index_interval_bytes: config.index_interval_bytes as u64, ..Context::default() };
        let mut faults = Faults::default();
        verify(&self.path(), &context, &mut Totals::default(), &mut faults).expect("a directory that can be read");
        let Faults { mut found, epochs_go_back } = faults;
        let ignored = self.epochs_went_back.get() || epochs_go_back;
        self.epochs_went_back.set(ignored);
        found.retain(|(file, _)| !(ignored && file.ends_with("leader-epoch-checkpoint")));
        assert!(found.is_empty(), "{found:#?}");
    }
}

/// What must not be found in a log that was recovered. If the batches' leader epochs go back, then what is known of them
/// depends on who came by first, as in Kafka.
#[derive(Default)]
struct Faults {
    found: Vec<(PathBuf, String)>,
    epochs_go_back: bool,
}

impl Report for Faults {
    fn finding(&mut self, finding: Finding) {
        let Finding { severity, file, position, what, .. } = finding;
        if what.starts_with("leader epoch") {
            self.epochs_go_back = true;
        } else if severity == Severity::Fault {
            self.found.push((file, format!("at {position:?}: {what}")));
        }
    }

    fn repair(&mut self, repair: Repair) {
        self.found.push((repair.file, "would be replaced".to_owned()));
    }
}

/// Reads a log from its start to its end, batch by batch. Offsets grow, and every offset leads to its batch.
pub fn read_all(log: &Log) -> Vec<Batch> {
    let view = log.view();
    let mut at = view.start_offset();
    let mut found: Vec<Batch> = Vec::new();
    while at < view.end_offset() {
        let read = view.read(at, 1, view.end_offset(), true).expect("an offset of the log");
        let Some(slice) = read.slice else { break };
        let batch = Batch::read(&slice.read().expect("a file")).expect("a sound batch").expect("a whole batch");
        batch.check_crc().expect("the CRC of a batch in the log");
        assert!(batch.header.last_offset() >= at.0, "a batch before offset {}", at.0);
        at = Offset(batch.header.next_offset());
        found.push(batch);
    }
    // The last segment may be empty.
    let end = found.last().map_or(view.start_offset().0, |last| last.header.next_offset());
    assert_eq!(end.max(view.end_position().segment_base.0), view.end_offset().0);
    found
}

/// Asks everything that clients and followers may ask. Nothing that is asked takes the log dir offline.
pub fn ask(log: &Log) {
    let view = log.view();
    let (start, end) = (view.start_offset(), view.end_offset());
    let _ = view.max_timestamp();
    for target in [i64::MIN, -1, 0, 1_000, 1_700_000_000_000, i64::MAX] {
        if let Ok(Some(found)) = view.offset_for_timestamp(target) {
            assert!(found.timestamp >= target);
        }
    }
    for epoch in [-1, 0, 1, 7, i32::MAX] {
        let _ = view.end_offset_for_epoch(LeaderEpoch(epoch));
    }
    for max_bytes in [0, 100, 1 << 20] {
        for at in [start, Offset(start.0.midpoint(end.0)), Offset(end.0 - 1), end] {
            if let Ok(read) = view.read(at, max_bytes, end, false) {
                let _ = view.aborted_transactions(&read);
            }
            let _ = view.position_of(at);
        }
    }
    assert!(!log.log_dir().is_offline(), "a question has taken the log dir offline");
}

/// Appends two batches with a new segment between them; they are the end of the log then.
pub fn append(log: &mut Log) {
    let mut builder = BatchBuilder::new();
    builder.push(1_700_000_000_000, Some(b"key"), Some(b"value"), &[]);
    let batch = builder.build();
    let leader_epoch = log.epochs().latest().map_or(LeaderEpoch(0), |latest| LeaderEpoch(latest.0.max(0)));
    let append =
        LeaderAppend { leader_epoch, origin: AppendOrigin::Client, txn: TxnCheck::Off, now_ms: 1_700_000_000_000 };
    let end = log.end_offset();
    let first = log.append_as_leader(&batch, &append).expect("an append to a log that was loaded");
    assert_eq!(first.first_offset, end);
    log.roll().expect("a new segment");
    let second = log.append_as_leader(&batch, &append).expect("an append to a new segment");
    assert_eq!((second.first_offset, log.end_offset()), (Offset(end.0 + 1), Offset(end.0 + 2)));
}
