//! Starting on the log dirs: locks, identity, clean shutdown markers, loading all partitions.
//!
//! Source: `LogManager` and `KafkaServer.loadMetaPropsEnsemble` of Kafka 3.9.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use rustix::fs::FlockOperation;

use super::checkpoint::OffsetCheckpoint;
use super::dir::{LogDir, OnErrand, OnFailure};
use super::disk;
use super::handle::LogHandle;
use super::load::{self, OpenOptions};
use super::meta::MetaProperties;
use super::names::{
    CLEAN_SHUTDOWN, CLEANER_OFFSETS, HIGH_WATERMARKS, LOCK, LOG, LOG_STARTS, PartitionDirName, RECOVERY_POINTS,
    REMOTE_INDEX_CACHE, parse_partition_dir, parse_segment_file,
};
use super::progress::{DirProgress, LoadProgress};
use crate::config::LogConfig;
use crate::ids::{BrokerId, Offset, TopicName, TopicPartition};
use crate::time::Clock;

/// What the log manager is started with.
pub struct ManagerOptions {
    /// `log.dirs`.
    pub dirs: Vec<PathBuf>,
    pub broker_id: BrokerId,
    pub cluster_id: String,
    /// Settings of topics without overrides.
    pub default_config: Arc<LogConfig>,
    /// Settings of topics with overrides.
    pub topic_configs: HashMap<TopicName, Arc<LogConfig>>,
    /// `num.recovery.threads.per.data.dir`.
    pub recovery_threads_per_dir: usize,
    /// `producer.id.expiration.ms`.
    pub producer_expiration_ms: i64,
    /// Told once per log dir that fails; must not block.
    pub on_dir_failure: Arc<OnFailure>,
}

/// Why the broker cannot start on its log dirs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("log dir {} is listed twice", .0.display())]
    DuplicateDir(PathBuf),
    #[error("log dir {} is in use by another process (its .lock file is locked)", .0.display())]
    Locked(PathBuf),
    #[error("broker.id is {configured}, but meta.properties in {} says {stored}", dir.display())]
    InconsistentBrokerId { dir: PathBuf, stored: i32, configured: BrokerId },
    #[error("the cluster's id is {cluster}, but meta.properties in {} says {stored}", dir.display())]
    InconsistentClusterId { dir: PathBuf, stored: String, cluster: String },
    #[error("{0}")]
    BadMetaProperties(io::Error),
    #[error("{} is no partition's directory; log dirs must hold nothing else", .0.display())]
    UnknownDirectory(PathBuf),
    #[error("partition {tp} is in {} and in {}", first.display(), second.display())]
    DuplicatePartition { tp: TopicPartition, first: PathBuf, second: PathBuf },
    #[error("all log dirs have failed")]
    AllDirsFailed,
}

/// The broker id that the log dirs remember, for `broker.id=-1`. Errors if they disagree or belong to KRaft.
pub fn stored_broker_id(dirs: &[PathBuf]) -> Result<Option<BrokerId>, StartError> {
    let mut known: Option<(i32, &PathBuf)> = None;
    for dir in dirs {
        let Some(id) = read_meta(dir)?.and_then(|meta| meta.broker_id) else { continue };
        match known {
            Some((first, _)) if first != id => {
                let (dir, configured) = (dir.clone(), BrokerId(first));
                return Err(StartError::InconsistentBrokerId { dir, stored: id, configured });
            }
            _ => known = Some((id, dir)),
        }
    }
    Ok(known.map(|(id, _)| BrokerId(id)))
}

/// Unreadable for the disk's sake reads as missing: the dir goes offline elsewhere.
fn read_meta(dir: &Path) -> Result<Option<MetaProperties>, StartError> {
    match MetaProperties::read(dir) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(StartError::BadMetaProperties(error)),
        other => Ok(other.unwrap_or(None)),
    }
}

/// A log dir and its checkpoints.
#[derive(Debug)]
pub(super) struct DirState {
    pub dir: Arc<LogDir>,
    /// Locked as long as it is open.
    pub lock: Mutex<Option<File>>,
    pub recovery_points: Checkpointed,
    pub log_starts: Checkpointed,
    pub high_watermarks: Checkpointed,
    pub cleaner_offsets: Checkpointed,
}

/// A checkpoint file and what it holds, so that it is written only when that changes.
#[derive(Debug)]
pub(super) struct Checkpointed {
    file: OffsetCheckpoint,
    written: Mutex<Option<BTreeMap<TopicPartition, i64>>>,
}

impl Checkpointed {
    fn new(dir: &Path, name: &str) -> Self {
        Self { file: OffsetCheckpoint::new(dir, name), written: Mutex::default() }
    }

    /// Reads the file; the same offsets need not be written again.
    fn read(&self) -> io::Result<BTreeMap<TopicPartition, i64>> {
        let offsets = self.file.read()?;
        *self.written.lock() = Some(offsets.clone());
        Ok(offsets)
    }

    pub fn write(&self, offsets: BTreeMap<TopicPartition, i64>) -> io::Result<()> {
        let mut written = self.written.lock();
        if written.as_ref() != Some(&offsets) {
            self.file.write(&offsets)?;
            *written = Some(offsets);
        }
        Ok(())
    }
}

/// Opens and locks the dirs and checks who they belong to. Dirs that the disk refuses are offline from the beginning.
pub(super) fn open_dirs(options: &ManagerOptions, on_errand: Arc<OnErrand>) -> Result<Vec<DirState>, StartError> {
    let mut seen = HashSet::new();
    let mut states = Vec::new();
    for path in &options.dirs {
        let created = std::fs::create_dir_all(path).and_then(|()| path.canonicalize());
        // As clients name it: absolute, but through the links that the settings name.
        let resolved: PathBuf = std::path::absolute(path).as_ref().unwrap_or(path).components().collect();
        if !seen.insert(created.as_ref().unwrap_or(&resolved).clone()) {
            return Err(StartError::DuplicateDir(path.clone()));
        }
        let dir = LogDir::new(resolved.clone(), options.on_dir_failure.clone(), on_errand.clone());
        let lock = match created.and_then(|path| lock_dir(&path)) {
            Err(error) => {
                dir.fail(&error);
                None
            }
            Ok(None) => return Err(StartError::Locked(path.clone())),
            Ok(lock) => lock,
        };
        states.push(DirState {
            lock: Mutex::new(lock),
            recovery_points: Checkpointed::new(&resolved, RECOVERY_POINTS),
            log_starts: Checkpointed::new(&resolved, LOG_STARTS),
            high_watermarks: Checkpointed::new(&resolved, HIGH_WATERMARKS),
            cleaner_offsets: Checkpointed::new(&resolved, CLEANER_OFFSETS),
            dir,
        });
    }
    for state in states.iter().filter(|state| !state.dir.is_offline()) {
        check_identity(&state.dir, options)?;
    }
    if states.iter().all(|state| state.dir.is_offline()) { Err(StartError::AllDirsFailed) } else { Ok(states) }
}

/// Locks a dir as the JVM does, with a POSIX record lock. `None` if another process has it.
pub(super) fn lock_dir(path: &Path) -> io::Result<Option<File>> {
    let file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path.join(LOCK))?;
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn check_identity(dir: &LogDir, options: &ManagerOptions) -> Result<(), StartError> {
    let meta = match MetaProperties::read(&dir.path) {
        Ok(meta) => meta.unwrap_or_default(),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(StartError::BadMetaProperties(error)),
        Err(error) => {
            dir.fail(&error);
            return Ok(());
        }
    };
    let path = dir.path.clone();
    if let Some(stored) = meta.broker_id
        && stored != options.broker_id.0
    {
        return Err(StartError::InconsistentBrokerId { dir: path, stored, configured: options.broker_id });
    }
    if let Some(stored) = &meta.cluster_id
        && *stored != options.cluster_id
    {
        let (stored, cluster) = (stored.clone(), options.cluster_id.clone());
        return Err(StartError::InconsistentClusterId { dir: path, stored, cluster });
    }
    if meta.broker_id.is_none() || meta.cluster_id.is_none() {
        let written_ms = Clock.wall_ms();
        let comment = format!("written at {written_ms} ms since 1970");
        let written = MetaProperties::write(&dir.path, options.broker_id.0, &options.cluster_id, &comment);
        let _ = dir.guard(written);
    }
    Ok(())
}

/// A partition to load.
struct Job {
    tp: TopicPartition,
    /// Is it a copy in progress?
    future: bool,
    path: PathBuf,
    clean: bool,
    recovery_point: i64,
    log_start: i64,
    high_watermark: i64,
    first_dirty: Option<i64>,
}

/// What the log dirs hold.
#[derive(Default)]
pub(super) struct Loaded {
    pub logs: HashMap<TopicPartition, Arc<LogHandle>>,
    /// Copies in progress.
    pub futures: HashMap<TopicPartition, Arc<LogHandle>>,
}

impl Job {
    /// Bytes of the segments that hold something from the recovery point on.
    fn bytes_to_check(&self) -> u64 {
        let Ok(entries) = std::fs::read_dir(&self.path) else { return 0 };
        let size = |entry: std::fs::DirEntry| match entry.file_name().to_str().and_then(parse_segment_file) {
            Some((base, LOG)) => Some((base, entry.metadata().ok()?.len())),
            _ => None,
        };
        let sizes: BTreeMap<i64, u64> = entries.filter_map(|entry| size(entry.ok()?)).collect();
        let first = sizes.range(..=self.recovery_point).next_back().map_or(i64::MIN, |(base, _)| *base);
        sizes.range(first..).map(|(_, size)| size).sum()
    }
}

/// Loads every partition of every live dir.
pub(super) fn load_all(
    states: &[DirState],
    options: &ManagerOptions,
    progress: &LoadProgress,
) -> Result<Loaded, StartError> {
    let mut places: HashMap<(TopicPartition, bool), PathBuf> = HashMap::new();
    let mut work = Vec::new();
    for state in states.iter().filter(|state| !state.dir.is_offline()) {
        let jobs = match find_partitions(state, options) {
            Ok(jobs) => jobs?,
            Err(error) => {
                state.dir.fail(&error);
                continue;
            }
        };
        for job in &jobs {
            if let Some(first) = places.insert((job.tp.clone(), job.future), state.dir.path.clone()) {
                let (tp, second) = (job.tp.clone(), state.dir.path.clone());
                return Err(StartError::DuplicatePartition { tp, first, second });
            }
        }
        work.push((state.dir.clone(), Mutex::new(VecDeque::from(jobs))));
    }
    let loaded = Mutex::new(Loaded::default());
    let began = Instant::now();
    std::thread::scope(|scope| {
        let mut loaders = Vec::new();
        for (dir, jobs) in &work {
            let threads = options.recovery_threads_per_dir.max(1).min(jobs.lock().len());
            let bytes = jobs.lock().iter().filter(|job| !job.clean).map(Job::bytes_to_check).sum();
            let here = progress.begin(dir.path.clone(), jobs.lock().len(), bytes, threads);
            for number in 0..threads {
                let name = format!("log-recovery-{}", dir.path.display());
                let thread = std::thread::Builder::new().name(name);
                let (here, loaded) = (here.clone(), &loaded);
                let run = move || load_some(dir, jobs, options, loaded, &here, number);
                loaders.push(thread.spawn_scoped(scope, run).expect("the system can start a thread"));
            }
        }
        scope.spawn(|| progress.report());
        let panicked = loaders.into_iter().map(|loader| loader.join()).filter(Result::is_err).count();
        progress.end();
        assert_eq!(panicked, 0, "loading does not panic");
    });
    tracing::info!(target: "kafka.log.LogManager", "Loaded {} logs in {}ms", loaded.lock().logs.len(), began.elapsed().as_millis());
    if states.iter().all(|state| state.dir.is_offline()) {
        return Err(StartError::AllDirsFailed);
    }
    let mut loaded = loaded.into_inner();
    loaded.logs.retain(|_, log| !log.log_dir().is_offline());
    loaded.futures.retain(|_, log| !log.log_dir().is_offline());
    Ok(loaded)
}

/// Lists a dir's partitions and takes what the last run left: the marker of a clean shutdown, and the checkpoints.
fn find_partitions(state: &DirState, options: &ManagerOptions) -> io::Result<Result<Vec<Job>, StartError>> {
    let root = &state.dir.path;
    let marker = root.join(CLEAN_SHUTDOWN);
    let clean = marker.exists();
    // Gone before anything is changed: a crash from here on is an unclean shutdown.
    disk::remove(&marker)?;
    let recovery_points = state.recovery_points.file.read()?;
    let log_starts = state.log_starts.file.read()?;
    let high_watermarks = state.high_watermarks.file.read()?;
    let cleaner_offsets = state.cleaner_offsets.read()?;
    if !root.join(CLEANER_OFFSETS).exists() {
        disk::create(&root.join(CLEANER_OFFSETS))?;
    }
    let delete_at_ms = Clock.wall_ms().saturating_add(options.default_config.file_delete_delay_ms);
    let mut jobs = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || entry.file_name() == REMOTE_INDEX_CACHE {
            continue;
        }
        let path = entry.path();
        let (tp, future) = match entry.file_name().to_str().and_then(parse_partition_dir) {
            None => return Ok(Err(StartError::UnknownDirectory(path))),
            Some(PartitionDirName::Deleted(_)) => {
                state.dir.discard_dir(path, delete_at_ms);
                continue;
            }
            Some(PartitionDirName::Stray(_)) => {
                tracing::warn!(path = %path.display(), "left alone: not a replica of this broker's");
                continue;
            }
            Some(PartitionDirName::Current(tp)) => (tp, false),
            Some(PartitionDirName::Future(tp)) => (tp, true),
        };
        let offset = |map: &BTreeMap<TopicPartition, i64>| map.get(&tp).copied().unwrap_or(0).max(0);
        jobs.push(Job {
            path,
            future,
            clean,
            recovery_point: offset(&recovery_points),
            log_start: offset(&log_starts),
            high_watermark: offset(&high_watermarks),
            first_dirty: cleaner_offsets.get(&tp).copied().filter(|_| !future),
            tp,
        });
    }
    tracing::info!(dir = %root.display(), partitions = jobs.len(), clean, "loading logs");
    Ok(Ok(jobs))
}

/// Loads partitions of a dir until none is left.
fn load_some(
    dir: &Arc<LogDir>,
    jobs: &Mutex<VecDeque<Job>>,
    options: &ManagerOptions,
    loaded: &Mutex<Loaded>,
    progress: &DirProgress,
    thread: usize,
) {
    loop {
        let job = jobs.lock().pop_front();
        let Some(job) = job else { return };
        if dir.is_offline() {
            return;
        }
        let config = options.topic_configs.get(&job.tp.topic).unwrap_or(&options.default_config).clone();
        let open = OpenOptions {
            tp: job.tp.clone(),
            log_dir: dir.clone(),
            path: job.path,
            config,
            clean: job.clean,
            recovery_point: job.recovery_point,
            log_start: job.log_start,
            producer_expiration_ms: options.producer_expiration_ms,
        };
        let opened = load::open_watched(open, &progress.threads[thread]);
        progress.log_done();
        match opened {
            Ok(log) => {
                let (start, end) = (log.start_offset(), log.end_offset());
                let log = LogHandle::new(log);
                log.set_high_watermark(Offset(job.high_watermark).clamp(start, end));
                // Beyond the end: what was cleaned there is lost, and what comes in its place is dirty.
                log.set_first_dirty_offset(job.first_dirty.map(Offset).filter(|offset| *offset <= end));
                dir.count(1);
                let mut loaded = loaded.lock();
                let logs = if job.future { &mut loaded.futures } else { &mut loaded.logs };
                logs.insert(job.tp, Arc::new(log));
            }
            Err(error) => dir.fail(&error),
        }
    }
}
