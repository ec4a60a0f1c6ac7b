//! kill -9 and damage, without a cluster: a child process works on log dirs and tells what it has done; it is killed at
//! any moment, its files are damaged beyond the recovery point in a share of the runs, and what is then loaded is checked
//! against what it told. `scripts/soak log --runs 200` runs it longer; BARNABAS_CRASH_SEED repeats a run.

mod log_support;

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use barnabas::config::LogConfig;
use barnabas::ids::{BrokerId, Offset, TopicPartition, Uuid};
use barnabas::log::cleaner::{Dirty, Limits, clean};
use barnabas::log::{AbortedTxn, LeaderAppend, LogHandle, LogView, Manager, ManagerOptions};
use barnabas::record::{AppendOrigin, Attributes, Batch, BatchBuilder, EndTxn, batches, end_txn_batch};
use log_support::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const TOPICS: [&str; 4] = ["keep", "size", "delete", "compact"];
const COMPACT: usize = 3;
const KEYS: usize = 10;

fn tp(topic: usize) -> TopicPartition {
    TopicPartition::new(TOPICS[topic], 0)
}

fn config(topic: usize) -> LogConfig {
    let mut config = LogConfig {
        segment_bytes: 2500,
        index_interval_bytes: 100,
        retention_ms: -1,
        retention_bytes: -1,
        segment_ms: i64::MAX,
        file_delete_delay_ms: 5,
        ..LogConfig::default()
    };
    match TOPICS[topic] {
        "size" => (config.retention_bytes, config.flush_messages) = (8_000, 9),
        "compact" => (config.cleanup_policy.compact, config.cleanup_policy.delete) = (true, false),
        _ => {}
    }
    config
}

fn start(root: &Path) -> Arc<Manager> {
    Manager::start(ManagerOptions {
        dirs: vec![root.join("a"), root.join("b")],
        broker_id: BrokerId(1),
        cluster_id: "crash".into(),
        default_config: Arc::new(LogConfig::default()),
        topic_configs: (0..TOPICS.len()).map(|n| (TOPICS[n].into(), Arc::new(config(n)))).collect::<HashMap<_, _>>(),
        recovery_threads_per_dir: 2,
        producer_expiration_ms: i64::MAX,
        on_dir_failure: Arc::new(|dir, error| panic!("{} failed: {error}", dir.display())),
    })
    .unwrap()
}

fn value(generation: u64, count: u64, n: usize) -> String {
    format!("{generation}.{count}.{n}{}", "x".repeat((count % 50) as usize))
}

fn key(count: u64, n: usize) -> String {
    format!("k{}", (count as usize + n) % KEYS)
}

/// What the child does until it is killed; each line on its output tells what is done, or (`@i`) what it is about to do.
struct Child {
    rng: ChaCha8Rng,
    generation: u64,
    count: u64,
    manager: Arc<Manager>,
    logs: Vec<Arc<LogHandle>>,
}

impl Child {
    fn step(&mut self) {
        let topic = self.rng.random_range(0..TOPICS.len());
        let log = self.logs[topic].clone();
        match self.rng.random_range(0..100) {
            0..80 => self.append(topic, &log),
            80..84 => log.lock().roll().unwrap(),
            84..88 => log.flush(self.rng.random()).unwrap(),
            88..91 => self.checkpoint(),
            91..94 if topic == COMPACT => {
                let limits = Limits { map_bytes: 1 << 16, map_load_factor: 0.9, io_buffer_bytes: 4096 };
                let now_ms = barnabas::time::Clock.wall_ms();
                let dirty = Dirty::of(&log, now_ms).unwrap();
                clean(&log, &dirty.pass, &limits, now_ms, &mut |_| Ok(())).unwrap();
            }
            91..94 if TOPICS[topic] == "delete" => {
                let to = self.rng.random_range(log.view().start_offset().0..=log.high_watermark().0);
                println!("@i {topic} {to}");
                log.lock().increment_start_offset(Offset(to)).unwrap();
                self.manager.checkpoint_log_starts();
                println!("@s {topic} {to}");
            }
            94..98 => {
                println!("@i {topic} {}", log.high_watermark());
                log.lock().delete_old_segments(log.high_watermark(), i64::MAX).unwrap();
                println!("@s {topic} {}", log.view().first_segment_base());
            }
            _ => self.manager.delete_due_files(),
        }
    }

    fn checkpoint(&mut self) {
        let points: Vec<i64> = self.logs.iter().map(|log| log.lock().recovery_point().0).collect();
        self.manager.checkpoint_recovery_points();
        self.manager.checkpoint_high_watermarks();
        points.iter().enumerate().for_each(|(topic, point)| println!("@f {topic} {point}"));
    }

    fn append(&mut self, topic: usize, log: &LogHandle) {
        self.count += 1;
        let records = self.rng.random_range(1..6);
        let timestamp = 1_700_000_000_000 + (self.generation * 1_000_000 + self.count) as i64;
        let mut builder = BatchBuilder::new();
        let pid = self.rng.random_range(0..8);
        if pid > 0 {
            let (epoch, sequence, open) = match log.lock().producers().get(pid) {
                Some(known) => (known.epoch, known.last_sequence() + 1, known.txn_first_offset.is_some()),
                None => (0, 0, false),
            };
            if open && self.rng.random() {
                // Compaction removes aborted data, which is told like other data.
                let commit = self.rng.random() || topic == COMPACT;
                let end = if commit { EndTxn::Commit } else { EndTxn::Abort };
                let coordinator = LeaderAppend { origin: AppendOrigin::Coordinator, ..client(self.epoch(), timestamp) };
                let marker = end_txn_batch(end, pid, epoch, 1, timestamp);
                let info = log.lock().append_as_leader(&marker, &coordinator).unwrap();
                log.set_high_watermark(Offset(info.last_offset.0 + 1));
                println!("@a {topic} {} 0 0 0", info.first_offset);
                return;
            }
            builder = builder.producer(pid, epoch, sequence);
            if pid >= 6 {
                builder = builder.attributes(Attributes::TRANSACTIONAL);
            }
        }
        for n in 0..records {
            let (key, value) = (key(self.count, n), value(self.generation, self.count, n));
            builder.push(timestamp, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
        }
        let batch = builder.build();
        let info = log.lock().append_as_leader(&batch, &client(self.epoch(), timestamp)).unwrap();
        assert!(!info.duplicate);
        log.set_high_watermark(Offset(info.last_offset.0 + 1));
        println!("@a {topic} {} {records} {} {}", info.first_offset, self.generation, self.count);
        if pid > 0 && self.rng.random_bool(0.2) {
            let again = log.lock().append_as_leader(&batch, &client(self.epoch(), timestamp)).unwrap();
            assert!(again.duplicate && again.first_offset == info.first_offset, "a retry was not recognised");
        }
    }

    fn epoch(&self) -> i32 {
        self.generation as i32
    }
}

/// Not a test: the process that is killed.
#[test]
fn child_process() {
    let Ok(told) = std::env::var("BARNABAS_CRASH_CHILD") else { return };
    let (generation, rest) = told.split_once(' ').unwrap();
    let (seed, root) = rest.split_once(' ').unwrap();
    let manager = start(Path::new(root));
    let logs = (0..TOPICS.len()).map(|n| manager.get_or_create(&tp(n), Uuid(n as u128 + 1), true).unwrap());
    let logs: Vec<_> = logs.collect();
    for log in &logs {
        log.set_high_watermark(log.view().end_offset());
    }
    let rng = ChaCha8Rng::seed_from_u64(seed.parse().unwrap());
    let mut child = Child { rng, generation: generation.parse().unwrap(), count: 0, manager, logs };
    println!("@ready");
    loop {
        child.step();
    }
}

/// What one log must hold, as far as was told.
#[derive(Clone, Default)]
struct Model {
    /// Key and value by offset.
    records: BTreeMap<i64, (String, String)>,
    end: i64,
    /// The log start is between these.
    start: i64,
    highest_start: i64,
    /// The least that the checkpoint may say.
    recovery_point: i64,
}

/// Runs a child for a while, kills it, and notes what it told.
fn crash(root: &Path, generation: u64, seed: u64, run_ms: u64, models: &mut [Model]) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_process", "--nocapture", "--test-threads=1"])
        .env("BARNABAS_CRASH_CHILD", format!("{generation} {seed} {}", root.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    let mut killer = None;
    let mut told = 0;
    while output.read_line(&mut line).unwrap() > 0 {
        // A line that the kill cut off says nothing.
        if let Some(line) = line.strip_suffix('\n').and_then(|line| line.split_once('@')).map(|(_, line)| line) {
            if line == "ready" {
                let pid = rustix::process::Pid::from_child(&child);
                killer = Some(std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(run_ms));
                    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
                }));
            } else {
                told += 1;
                note(line, models);
            }
        }
        line.clear();
    }
    let status = child.wait().unwrap();
    killer.expect("the child got ready").join().unwrap();
    assert!(status.code().is_none(), "the child ended by itself");
    told
}

fn note(line: &str, models: &mut [Model]) {
    let (what, numbers) = line.split_once(' ').unwrap();
    let numbers: Vec<i64> = numbers.split(' ').map(|number| number.parse().unwrap()).collect();
    let model = &mut models[numbers[0] as usize];
    match what {
        "a" => {
            let (first, records, generation, count) = (numbers[1], numbers[2], numbers[3] as u64, numbers[4] as u64);
            assert_eq!(first, model.end, "offsets without a gap");
            for n in 0..records as usize {
                model.records.insert(first + n as i64, (key(count, n), value(generation, count, n)));
            }
            model.end = first + records.max(1);
        }
        "i" => model.highest_start = model.highest_start.max(numbers[1]),
        "s" => model.start = model.start.max(numbers[1]),
        "f" => model.recovery_point = model.recovery_point.max(numbers[1]),
        other => panic!("unknown line {other}"),
    }
}

fn partition_dir(root: &Path, topic: usize) -> Option<PathBuf> {
    ["a", "b"].map(|dir| root.join(dir).join(tp(topic).to_string())).into_iter().find(|path| path.is_dir())
}

fn checkpointed(root: &Path, file: &str, topic: usize) -> i64 {
    let line = |dir: &str| {
        let text = std::fs::read_to_string(root.join(dir).join(file)).unwrap_or_default();
        let prefix = format!("{} 0 ", TOPICS[topic]);
        text.lines().find_map(|line| line.strip_prefix(&prefix).map(|offset| offset.parse().unwrap()))
    };
    line("a").or_else(|| line("b")).unwrap_or(0)
}

/// Damages a log beyond its recovery point. Returns where the log must end then, if it must be cut.
fn damage(root: &Path, topic: usize, rng: &mut ChaCha8Rng) -> Option<i64> {
    let path = partition_dir(root, topic)?;
    let point = checkpointed(root, "recovery-point-offset-checkpoint", topic);
    let logs = log_files(&path);
    let base = |path: &Path| path.file_stem().unwrap().to_str().unwrap().parse::<i64>().unwrap();
    let recovered = logs.partition_point(|path| base(path) <= point).saturating_sub(1);
    // Segments that compaction made may be newer than the recovery point and must not be cut.
    let from = if topic == COMPACT { logs.len() - 1 } else { recovered };
    let log = &logs[rng.random_range(from..logs.len())];
    let mut bytes = std::fs::read(log).unwrap();
    let mut position = 0;
    let mut unflushed = Vec::new();
    for batch in batches(bytes.clone().into()).map_while(Result::ok) {
        if batch.header.base_offset >= point {
            unflushed.push((position, batch.header));
        }
        position += batch.bytes.len();
    }
    let mut cut_at = None;
    match rng.random_range(0..5) {
        0 | 1 if !unflushed.is_empty() => {
            let (position, header) = unflushed[rng.random_range(0..unflushed.len())];
            // Base offset and leader epoch are not covered by the CRC.
            let byte =
                [8..12, 16..header.size()].map(|range| rng.random_range(range))[usize::from(rng.random_bool(0.8))];
            bytes[position + byte] ^= 1 << rng.random_range(0..8);
            cut_at = Some(header.base_offset);
        }
        2 if !unflushed.is_empty() => {
            let (position, header) = unflushed[rng.random_range(0..unflushed.len())];
            bytes.truncate(position + rng.random_range(1..header.size()));
            cut_at = Some(header.base_offset);
        }
        3 if log == logs.last().unwrap() => {
            let garbage = rng.random_range(1..3000);
            let zeros: bool = rng.random();
            bytes.extend((0..garbage).map(|_| if zeros { 0 } else { rng.random() }));
        }
        _ => {}
    }
    std::fs::write(log, bytes).unwrap();
    damage_derived(&path, &logs[recovered..], rng);
    cut_at
}

/// Damages what can be rebuilt: indexes of the segments that will be recovered, and any snapshot.
fn damage_derived(path: &Path, recovered: &[PathBuf], rng: &mut ChaCha8Rng) {
    let mut victims: Vec<PathBuf> =
        files(path).into_keys().filter(|n| n.ends_with(".snapshot")).map(|n| path.join(n)).collect();
    for extension in ["index", "timeindex", "txnindex"] {
        victims.extend(recovered.iter().map(|log| log.with_extension(extension)).filter(|path| path.exists()));
    }
    for victim in victims {
        let mut bytes = std::fs::read(&victim).unwrap();
        match rng.random_range(0..8) {
            0 if !bytes.is_empty() => {
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
            1 => bytes.truncate(rng.random_range(0..=bytes.len())),
            2 => bytes.extend([0; 50]),
            3 => {
                std::fs::remove_file(&victim).unwrap();
                continue;
            }
            _ => continue,
        }
        std::fs::write(&victim, bytes).unwrap();
    }
}

/// Key and value of every data record, by offset; all batches are sound and in order.
fn records(view: &LogView) -> BTreeMap<i64, (String, String)> {
    let mut found = BTreeMap::new();
    let text = |bytes: Option<bytes::Bytes>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    for batch in read_all(view).iter().filter(|batch| !batch.header.attributes.control()) {
        for record in batch.records().unwrap().map(|record| record.unwrap()) {
            if record.offset >= view.start_offset().0 {
                found.insert(record.offset, (text(record.key), text(record.value)));
            }
        }
    }
    found
}

/// The newest value of each key.
fn newest<'a>(records: impl Iterator<Item = (&'a i64, &'a (String, String))>) -> BTreeMap<&'a str, (i64, &'a str)> {
    records.map(|(offset, (key, value))| (key.as_str(), (*offset, value.as_str()))).collect()
}

/// What was told is there, and nothing else is, except at the end.
fn check(log: &LogHandle, topic: usize, model: &Model, cut_at: Option<i64>, what: &str) {
    let view = log.view();
    let (start, end) = (view.start_offset().0, view.end_offset().0);
    assert!(model.start <= start && start <= model.highest_start.max(model.start), "{what}: log start {start}");
    match cut_at {
        Some(cut_at) => assert_eq!(end, cut_at.max(start), "{what}: cut"),
        None => assert!(end >= model.end, "{what}: ends at {end}, {} was acknowledged", model.end),
    }
    let found = records(&view);
    let told = || model.records.range(start..end.max(start));
    for (offset, record) in found.range(..model.end) {
        assert_eq!(Some(record), model.records.get(offset), "{what}: offset {offset}");
    }
    if topic == COMPACT {
        let later = found.range(model.end.min(end)..).chain([]);
        let expected = newest(told().chain(later));
        assert_eq!(newest(found.iter()), expected, "{what}");
    } else {
        for (offset, record) in told() {
            assert_eq!(found.get(offset), Some(record), "{what}: offset {offset} in {start}..{end}");
        }
    }
    assert!(log.high_watermark() >= view.start_offset() && log.high_watermark() <= view.end_offset(), "{what}");
}

/// Indexes: entries grow, and each leads to a batch.
fn check_indexes(path: &Path, what: &str) {
    for log in log_files(path) {
        let mut positions = HashMap::new();
        let mut position = 0;
        let bytes = std::fs::read(&log).unwrap();
        for batch in batches(bytes.into()) {
            let batch: Batch = batch.unwrap();
            positions.insert(position as u32, batch.header);
            position += batch.bytes.len();
        }
        let base: i64 = log.file_stem().unwrap().to_str().unwrap().parse().unwrap();
        let number = |entry: &[u8]| u32::from_be_bytes(entry.try_into().unwrap());
        let mut last = -1;
        for entry in std::fs::read(log.with_extension("index")).unwrap().chunks(8) {
            let (offset, position) = (base + i64::from(number(&entry[..4])), number(&entry[4..]));
            let header =
                positions.get(&position).unwrap_or_else(|| panic!("{what}: {log:?} has no batch at {position}"));
            // Compaction may have taken a batch's last records.
            assert!(offset > last && header.base_offset <= offset, "{what}: {log:?} at {offset}");
            last = offset;
        }
        let mut last = i64::MIN;
        for entry in std::fs::read(log.with_extension("timeindex")).unwrap().chunks(12) {
            let timestamp = i64::from_be_bytes(entry[..8].try_into().unwrap());
            assert!(timestamp > last, "{what}: {log:?}");
            last = timestamp;
        }
    }
}

/// Everything derived is deleted and built anew from the log alone: the answers are the same.
fn check_replay(path: &Path, log: &LogHandle, topic: usize, what: &str) {
    let dir = tempdir();
    let copy = dir.path().join("t-0");
    copy_dir(path, &copy);
    for name in files(&copy).into_keys() {
        if [".index", ".timeindex", ".txnindex", ".snapshot"].iter().any(|suffix| name.ends_with(suffix)) {
            std::fs::remove_file(copy.join(name)).unwrap();
        }
    }
    let view = log.view();
    let start = view.start_offset().0;
    let replayed = barnabas::log::open(options(&copy, &config(topic), false, 0, start)).unwrap();
    let again = replayed.view();
    assert_eq!((again.start_offset(), again.end_offset()), (view.start_offset(), view.end_offset()), "{what}");
    assert_eq!(read_all(&again), read_all(&view), "{what}");
    // An empty log may forget its last epoch when it is loaded, as Kafka does.
    if start < view.end_offset().0 {
        assert_eq!(replayed.epochs().entries(), log.lock().epochs().entries(), "{what}");
    }
    let all = read_all(&view);
    // Of a transaction that began below the log start a replay knows only the rest, if there is any.
    let first_data = |txn: &AbortedTxn| {
        let mut data = all.iter().map(|batch| batch.header).filter(|header| {
            let here = (txn.first_offset..txn.last_offset).contains(&header.base_offset);
            here && header.producer_id == txn.producer_id && !header.attributes.control()
        });
        data.next().map(|header| header.base_offset.max(start))
    };
    for batch in &all {
        let timestamp = batch.header.max_timestamp;
        let found = [&again, &view].map(|view| view.offset_for_timestamp(timestamp).unwrap());
        assert_eq!(found[0], found[1], "{what}: time {timestamp}");
        let from = Offset(batch.header.base_offset.max(start));
        let aborted = [&again, &view].map(|view| {
            let read = view.read(from, 1, view.end_offset(), true).unwrap();
            let aborted = view.aborted_transactions(&read).unwrap();
            let known = aborted.iter().filter_map(|txn| Some((txn.producer_id, first_data(txn)?, txn.last_offset)));
            known.filter(|(_, first, last)| *last >= from.0 && *first <= batch.header.last_offset()).collect::<Vec<_>>()
        });
        if topic != COMPACT {
            assert_eq!(aborted[0], aborted[1], "{what}: aborted at {from}");
        }
    }
    let known = log.lock().producers().to_snapshot();
    let replayed = replayed.producers().to_snapshot();
    for mut expected in replayed.into_iter().filter(|entry| entry.last_offset >= start) {
        let entry = *known.iter().find(|entry| entry.producer_id == expected.producer_id).expect(what);
        // What lies below the log start, or was compacted away, is known from snapshots alone.
        // Compacted away because of something newer (a batch, the end of a transaction), which the damage then cut off.
        let longer_open = (0..expected.txn_first_offset).contains(&entry.txn_first_offset);
        if topic == COMPACT && (entry.last_offset > expected.last_offset || longer_open) {
            continue;
        }
        let below = |offset: i64| (0..start).contains(&offset);
        if below(entry.txn_first_offset) || (below(expected.txn_first_offset) && entry.txn_first_offset >= start) {
            expected.txn_first_offset = entry.txn_first_offset;
        }
        if start > 0 || topic == COMPACT {
            expected.coordinator_epoch = entry.coordinator_epoch;
        }
        assert_eq!(entry, expected, "{what}");
    }
}

/// One directory through several lives. Returns the number of things that its children told.
fn run(seed: u64, lives: u64) -> usize {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let dir = tempdir();
    let root = dir.path();
    let mut models = vec![Model::default(); TOPICS.len()];
    let mut told = 0;
    for life in 0..lives {
        let what = |topic: usize| format!("seed {seed} life {life} {}", TOPICS[topic]);
        told += crash(root, life, rng.random(), rng.random_range(1..150), &mut models);
        let mut cuts = vec![None; TOPICS.len()];
        for topic in 0..TOPICS.len() {
            let point = checkpointed(root, "recovery-point-offset-checkpoint", topic);
            assert!(point >= models[topic].recovery_point, "{}: recovery point {point}", what(topic));
            if rng.random_bool(0.4) {
                cuts[topic] = damage(root, topic, &mut rng);
            }
        }
        let manager = start(root);
        for topic in 0..TOPICS.len() {
            let (what, path) = (what(topic), partition_dir(root, topic).unwrap());
            let log = manager.get(&tp(topic)).unwrap();
            check(&log, topic, &models[topic], cuts[topic], &what);
            check_indexes(&path, &what);
            check_replay(&path, &log, topic, &what);
            let view = log.view();
            let start = view.start_offset().0;
            models[topic] = Model {
                records: records(&view),
                end: view.end_offset().0,
                start: start.min(models[topic].start.max(view.first_segment_base().0)),
                highest_start: start,
                recovery_point: 0,
            };
        }
        if rng.random() {
            manager.shutdown();
        }
    }
    told
}

/// Runs `BARNABAS_CRASH_RUNS` directories (4 in a quick test), three lives each.
#[test]
fn what_was_acknowledged_survives_kill_9_and_damage_beyond_the_recovery_point() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if std::env::var("BARNABAS_CRASH_CHILD").is_ok() {
        return;
    }
    if let Some(seed) = number("BARNABAS_CRASH_SEED") {
        run(seed, 3);
        return;
    }
    let runs = number("BARNABAS_CRASH_RUNS").unwrap_or(4);
    let mut told = 0;
    for seed in 0..runs {
        told += run(seed, 3);
        if runs > 4 {
            println!("{} of {runs} directories, {} kills, {told} acknowledgements", seed + 1, 3 * (seed + 1));
        }
    }
}
