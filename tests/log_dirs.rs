//! Several log dirs: partitions move between them without losing a record, and one may fail alone.

mod log_support;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use barnabas::config::LogConfig;
use barnabas::error::ErrorCode;
use barnabas::ids::{BrokerId, Offset, TopicId, TopicPartition, Uuid};
use barnabas::log::*;
use log_support::*;

const ID: TopicId = Uuid(77);

struct Dirs {
    root: tempfile::TempDir,
    failed: Arc<Mutex<Vec<PathBuf>>>,
}

impl Dirs {
    fn new() -> Self {
        Self { root: tempdir(), failed: Arc::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn try_start(&self, config: LogConfig) -> Result<Arc<Manager>, StartError> {
        let failed = self.failed.clone();
        let manager = Manager::start(ManagerOptions {
            dirs: vec![self.path("a"), self.path("b")],
            broker_id: BrokerId(1),
            cluster_id: "c".into(),
            default_config: Arc::new(config),
            topic_configs: HashMap::new(),
            recovery_threads_per_dir: 1,
            producer_expiration_ms: 86_400_000,
            on_dir_failure: Arc::new(move |dir, _| failed.lock().unwrap().push(dir.to_owned())),
        })?;
        Ok(manager)
    }

    fn start(&self) -> Arc<Manager> {
        self.try_start(small_segments()).unwrap()
    }
}

fn small_segments() -> LogConfig {
    LogConfig { segment_bytes: 4000, index_interval_bytes: 500, ..LogConfig::default() }
}

fn tp(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn mover(manager: &Arc<Manager>) {
    manager.start_mover(MoverOptions { threads: 2, read_bytes: 10_000, backoff_ms: 10 });
}

/// A partition in dir `a`.
fn in_a(dirs: &Dirs, manager: &Manager, partition: i32) -> Arc<LogHandle> {
    manager.prefer_dir(&tp(partition), &dirs.text("a"));
    let log = manager.get_or_create(&tp(partition), ID, true).unwrap();
    assert_eq!(log.log_dir().path, dirs.path("a"));
    log
}

fn append(log: &LogHandle, records: usize) {
    append_in(log, 3, records);
}

fn append_in(log: &LogHandle, epoch: i32, records: usize) {
    for n in 0..records {
        log.lock().append_as_leader(&batch_of(2, 1000 + n as i64, "value"), &client(epoch, 1000)).unwrap();
    }
    log.set_high_watermark(log.view().end_offset());
}

fn wait(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < end, "waited for: {what}");
        std::thread::yield_now();
    }
}

fn bytes_of(dir: &Path) -> Vec<u8> {
    let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    let logs = names.into_iter().filter(|path| path.extension().is_some_and(|e| e == "log"));
    logs.flat_map(|path| std::fs::read(path).unwrap()).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.starts_with("t-"));
    names.sort();
    names
}

#[test]
fn a_partition_moves_while_it_is_written_to() {
    let dirs = Dirs::new();
    let manager = dirs.start();
    mover(&manager);
    let log = in_a(&dirs, &manager, 0);
    append(&log, 50);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let end = Instant::now() + Duration::from_secs(20);
            while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                append(&log, 1);
                // A client's pace: in turns with the mover.
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        assert!(manager.begin_move(&tp(0), &dirs.text("b")).unwrap());
        wait("the move", || !manager.is_moving(&tp(0)));
        let at = log.view().end_offset();
        wait("appends after it", || log.view().end_offset() > Offset(at.0 + 20));
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(log.log_dir().path, dirs.path("b"));
    assert_eq!(log.high_watermark(), log.view().end_offset());
    assert_eq!(log.view().topic_id(), ID);
    let old = names(&dirs.path("a"));
    assert!(old.len() == 1 && old[0].ends_with("-delete"), "{old:?}");
    assert_eq!(names(&dirs.path("b")), ["t-0"]);
    let end = log.view().end_offset();
    // What was copied is the same bytes.
    let (before, after) = (bytes_of(&dirs.path("a").join(&old[0])), bytes_of(&dirs.path("b/t-0")));
    assert!(after.starts_with(&before) && after.len() > before.len());
    manager.shutdown();
    drop(manager);

    let manager = dirs.start();
    let log = manager.get(&tp(0)).unwrap();
    assert_eq!((log.view().end_offset(), log.high_watermark()), (end, end));
    let read = log.view().read(Offset(0), usize::MAX, end, true).unwrap();
    assert!(!read.is_empty());
}

#[test]
fn choosing_the_dir_it_is_in_ends_a_move() {
    let dirs = Dirs::new();
    let manager = dirs.start();
    let log = in_a(&dirs, &manager, 0);
    append(&log, 5);
    // Nobody copies: the move cannot end by itself.
    assert!(manager.begin_move(&tp(0), &dirs.text("b")).unwrap());
    assert!(!manager.begin_move(&tp(0), &dirs.text("b")).unwrap());
    let info = manager.dirs();
    assert_eq!((info[0].logs.len(), info[1].logs.len()), (1, 1));
    assert!(info[1].logs[0].future && info[1].logs[0].log_end == Offset(0));
    manager.cancel_move_elsewhere(&tp(0), &dirs.text("b")).unwrap();
    assert!(manager.is_moving(&tp(0)));
    manager.cancel_move_elsewhere(&tp(0), &dirs.text("a")).unwrap();
    assert!(!manager.is_moving(&tp(0)));
    assert!(!manager.begin_move(&tp(0), &dirs.text("a")).unwrap());
    assert!(names(&dirs.path("b"))[0].ends_with("-delete"));

    let error = |result: Result<bool, MoveError>| ErrorCode::from(&result.unwrap_err());
    assert_eq!(error(manager.begin_move(&tp(0), "/nowhere")), ErrorCode::LogDirNotFound);
    let long = TopicPartition::new("t".repeat(249), 0);
    assert_eq!(ErrorCode::from(&manager.check_move(&long, &dirs.text("b")).unwrap_err()).code(), 17);
}

#[test]
fn a_copy_goes_on_after_a_restart() {
    let dirs = Dirs::new();
    let manager = dirs.start();
    let log = in_a(&dirs, &manager, 0);
    append(&log, 100);
    manager.begin_move(&tp(0), &dirs.text("b")).unwrap();
    manager.start_mover(MoverOptions { threads: 1, read_bytes: 1000, backoff_ms: 10 });
    manager.mover().unwrap().set_rate(2000);
    manager.go_on_moving(&tp(0));
    let copied = |manager: &Manager| manager.future(&tp(0)).unwrap().view().end_offset();
    wait("the first batches", || copied(&manager) > Offset(0));
    manager.mover().unwrap().stop();
    let at = copied(&manager);
    assert!(at < log.view().end_offset());
    manager.shutdown();
    drop((manager, log));

    let manager = dirs.start();
    assert_eq!(copied(&manager), at);
    mover(&manager);
    manager.go_on_moving(&tp(0));
    wait("the move", || !manager.is_moving(&tp(0)));
    let log = manager.get(&tp(0)).unwrap();
    assert_eq!((&log.log_dir().path, log.view().end_offset()), (&dirs.path("b"), Offset(200)));
}

#[test]
fn a_copy_is_cut_where_the_log_was_cut() {
    let dirs = Dirs::new();
    let manager = dirs.start();
    for restart in [false, true] {
        let partition = i32::from(restart);
        let log = in_a(&dirs, &manager, partition);
        append_in(&log, 1, 20);
        append_in(&log, 2, 20);
        assert!(manager.begin_move(&tp(partition), &dirs.text("b")).unwrap());
        let copy = manager.future(&tp(partition)).unwrap();
        // The copy gets what the log then loses, as if the mover had been quick.
        let all = log.view().read(Offset(0), usize::MAX, Offset(40), true).unwrap().slice.unwrap();
        let mut bytes = vec![0; all.len];
        std::os::unix::fs::FileExt::read_exact_at(&*all.file, &mut bytes, all.position).unwrap();
        copy.append_as_follower(&bytes.into()).unwrap();
        if restart {
            log.lock().truncate_fully_and_start_at(Offset(10)).unwrap();
        } else {
            log.lock().truncate_to(Offset(20)).unwrap();
        }
        // The same offsets in the same epoch with other contents: only the note tells.
        append_in(&log, 1, 30);
    }
    mover(&manager);
    for partition in [0, 1] {
        manager.go_on_moving(&tp(partition));
        wait("the move", || !manager.is_moving(&tp(partition)));
        let old = names(&dirs.path("a")).into_iter().find(|name| name.starts_with(&format!("t-{partition}."))).unwrap();
        let new = dirs.path("b").join(format!("t-{partition}"));
        assert_eq!(bytes_of(&dirs.path("a").join(old)), bytes_of(&new));
        let log = manager.get(&tp(partition)).unwrap();
        assert_eq!(log.view().start_offset(), Offset(if partition == 0 { 0 } else { 10 }));
    }
}

#[test]
fn without_a_note_the_epochs_tell_where_histories_part() {
    let dirs = Dirs::new();
    let manager = dirs.start();
    let log = in_a(&dirs, &manager, 0);
    append_in(&log, 1, 20);
    manager.begin_move(&tp(0), &dirs.text("b")).unwrap();
    let copy = manager.future(&tp(0)).unwrap();
    // What the log had before a crash: 20 records of epoch 1, then of epoch 2.
    for n in 0..20 {
        copy.lock().append_as_leader(&batch_of(2, n, "value"), &client(if n < 10 { 1 } else { 2 }, 1000)).unwrap();
    }
    log.lock().truncate_to(Offset(20)).unwrap();
    append_in(&log, 3, 20);
    manager.shutdown();
    drop((log, copy, manager));
    let manager = dirs.start();
    mover(&manager);
    manager.go_on_moving(&tp(0));
    wait("the move", || !manager.is_moving(&tp(0)));
    let epochs = manager.get(&tp(0)).unwrap().view().epochs().clone();
    assert_eq!(epochs.entries(), [(1, 0), (3, 20)]);
}

#[test]
fn a_failed_dir_takes_its_partitions_along_and_no_others() {
    let dirs = Dirs::new();
    let manager = dirs.start();
    let log = in_a(&dirs, &manager, 0);
    manager.prefer_dir(&tp(1), &dirs.text("b"));
    let other = manager.get_or_create(&tp(1), ID, true).unwrap();
    append(&log, 2);
    append(&other, 2);
    manager.begin_move(&tp(1), &dirs.text("a")).unwrap();
    std::fs::remove_dir_all(dirs.path("a/t-0")).unwrap();
    append(&log, 1);
    let error = log.lock().roll().unwrap_err();
    assert_eq!(ErrorCode::from(&error), ErrorCode::KafkaStorageError);
    assert_eq!(*dirs.failed.lock().unwrap(), [dirs.path("a")]);
    assert!(log.view().is_offline() && log.lock().append_as_leader(&batch_of(1, 0, "v"), &client(3, 0)).is_err());
    assert_eq!(manager.drop_failed_dir(&dirs.path("a")), [tp(0)]);
    assert!(!manager.is_moving(&tp(1)) && manager.get(&tp(0)).is_none());
    append(&other, 2);
    let info = manager.dirs();
    assert!(info[0].offline && info[0].logs.is_empty() && info[1].logs.len() == 1);
    // Nothing is made while it might be on the dir that failed.
    assert!(matches!(manager.get_or_create(&tp(0), ID, false), Err(OpenError::MayBeOffline)));
    assert!(manager.begin_move(&tp(1), &dirs.text("a")).is_err());
    assert_eq!(manager.get_or_create(&tp(2), ID, true).unwrap().log_dir().path, dirs.path("b"));
    manager.shutdown();
    assert!(!dirs.path("a/.kafka_cleanshutdown").exists() && dirs.path("b/.kafka_cleanshutdown").exists());
    drop((log, other, manager));

    // A dir that is no directory is offline from the beginning; without any the broker does not start.
    std::fs::remove_dir_all(dirs.path("a")).unwrap();
    std::fs::write(dirs.path("a"), "").unwrap();
    let manager = dirs.start();
    assert_eq!(manager.dir_states(), [(dirs.path("a"), true), (dirs.path("b"), false)]);
    assert!(manager.get(&tp(1)).is_some());
    manager.shutdown();
    drop(manager);
    std::fs::remove_dir_all(dirs.path("b")).unwrap();
    std::fs::write(dirs.path("b"), "").unwrap();
    assert!(matches!(dirs.try_start(small_segments()), Err(StartError::AllDirsFailed)));
}

#[test]
fn new_partitions_go_where_the_fewest_are_and_strays_are_left_alone() {
    let dirs = Dirs::new();
    std::fs::create_dir_all(dirs.path("a/t-7.00000000000000000000000000000007-stray")).unwrap();
    let manager = dirs.start();
    for partition in 0..6 {
        manager.get_or_create(&tp(partition), ID, true).unwrap();
    }
    assert_eq!(manager.dirs().iter().map(|dir| dir.logs.len()).collect::<Vec<_>>(), [3, 3]);
    assert!(manager.get(&tp(7)).is_none());
    manager.shutdown();
    assert!(dirs.path("a/t-7.00000000000000000000000000000007-stray").exists());
}

#[test]
fn a_partition_in_two_dirs_stops_the_start() {
    let dirs = Dirs::new();
    let manager = dirs.start();
    in_a(&dirs, &manager, 0);
    manager.shutdown();
    drop(manager);
    std::fs::create_dir(dirs.path("b/t-0")).unwrap();
    assert!(matches!(dirs.try_start(small_segments()), Err(StartError::DuplicatePartition { .. })));
}
