//! Crashes: a log cut or damaged anywhere comes back as a prefix of itself; random histories against a plain model.

mod log_support;

use std::path::Path;

use barnabas::config::LogConfig;
use barnabas::ids::{LeaderEpoch, Offset};
use barnabas::log::{LeaderAppend, Log};
use barnabas::record::{AppendOrigin, Attributes, Batch, BatchBuilder, EndTxn, end_txn_batch};
use bytes::Bytes;
use log_support::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A small log with everything in it: producers, a transaction, two epochs.
fn small_log(path: &Path) -> Vec<Batch> {
    let mut log = open_clean(path, &LogConfig::default());
    let mut data = BatchBuilder::new().producer(9, 0, 0).attributes(Attributes::TRANSACTIONAL);
    data.push(5, None, Some(b"txn"), &[]);
    log.append_as_leader(&batch_of(3, 10, "v"), &client(0, 0)).unwrap();
    log.append_as_leader(&idempotent(4, 0, 0, 2), &client(0, 0)).unwrap();
    log.append_as_leader(&data.build(), &client(2, 0)).unwrap();
    let coordinator = LeaderAppend { origin: AppendOrigin::Coordinator, ..client(2, 0) };
    log.append_as_leader(&end_txn_batch(EndTxn::Abort, 9, 0, 1, 20), &coordinator).unwrap();
    log.append_as_leader(&idempotent(4, 0, 2, 1), &client(2, 0)).unwrap();
    read_all(&log.view())
}

/// Checks a recovered log against the batches that must be left.
fn check_prefix(log: &Log, batches: &[Batch], what: &str) {
    assert_eq!(read_all(&log.view()), batches, "{what}");
    assert_eq!(log.end_offset().0, batches.last().map_or(0, |batch| batch.header.next_offset()), "{what}");
    let epoch = batches.last().map(|batch| LeaderEpoch(batch.header.partition_leader_epoch));
    assert_eq!(log.epochs().latest(), epoch, "{what}");
    let sequence =
        batches.iter().filter(|batch| batch.header.producer_id == 4).map(|batch| batch.header.last_sequence()).max();
    assert_eq!(log.producers().get(4).map(|producer| producer.last_sequence()), sequence, "{what}");
    let open = batches.len() == 3;
    let transaction = log.producers().get(9).and_then(|producer| producer.txn_first_offset);
    assert_eq!(transaction.is_some(), open, "{what}");
}

#[test]
fn a_log_cut_at_any_byte_comes_back_as_a_prefix() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    let batches = small_log(&path);
    let whole = files(&path);
    let bytes = &whole["00000000000000000000.log"];
    for cut in 0..=bytes.len() {
        for (name, bytes) in &whole {
            std::fs::write(path.join(name), bytes).unwrap();
        }
        // A tail of zeros, as file systems leave it after a power cut, or just the cut.
        let mut torn = bytes[..cut].to_vec();
        if cut % 2 == 0 {
            torn.resize(cut + 40, 0);
        }
        let mut end = 0;
        let mut whole_before = |batch: &&Batch| {
            end += batch.bytes.len();
            torn.get(..end) == Some(&bytes[..end])
        };
        let left = batches.iter().take_while(&mut whole_before).count();
        std::fs::write(path.join("00000000000000000000.log"), &torn).unwrap();
        let mut log = open_killed(&path, &LogConfig::default(), 0);
        check_prefix(&log, &batches[..left], &format!("cut at {cut}"));
        if cut % 50 == 0 {
            log.append_as_leader(&batch_of(1, 0, "more"), &client(3, 0)).unwrap();
            log.close().unwrap();
            assert_eq!(read_all(&open_clean(&path, &LogConfig::default()).view()).len(), left + 1);
            std::fs::remove_dir_all(&path).unwrap();
            std::fs::create_dir(&path).unwrap();
        }
    }
}

#[test]
fn a_flipped_bit_cuts_the_log_before_its_batch() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    let batches = small_log(&path);
    let whole = files(&path);
    let bytes = &whole["00000000000000000000.log"];
    let mut start = 0;
    for (index, batch) in batches.iter().enumerate() {
        // Offset, leader epoch and length are not covered by the CRC.
        for at in (start + 16..start + batch.bytes.len()).step_by(5) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            for (name, bytes) in &whole {
                std::fs::write(path.join(name), bytes).unwrap();
            }
            std::fs::write(path.join("00000000000000000000.log"), flipped).unwrap();
            check_prefix(&open_killed(&path, &LogConfig::default(), 0), &batches[..index], &format!("flip at {at}"));
        }
        start += batch.bytes.len();
    }
}

#[test]
fn recovery_drops_the_segments_after_a_cut() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    let size = batch_of(1, 0, "v").len();
    let config = LogConfig { segment_bytes: 2 * size as i32, ..LogConfig::default() };
    let mut log = open_clean(&path, &config);
    (0..8).for_each(|_| _ = log.append_as_leader(&batch_of(1, 0, "v"), &client(0, 0)).unwrap());
    drop(log);
    let second = path.join("00000000000000000002.log");
    std::fs::OpenOptions::new().write(true).open(&second).unwrap().set_len(size as u64 + 7).unwrap();
    // Below the recovery point nothing is looked at: as if the damage were not there.
    assert_eq!(open_killed(&path, &config, 8).end_offset(), Offset(8));
    let log = open_killed(&path, &config, 2);
    assert_eq!((log.end_offset(), log.recovery_point()), (Offset(3), Offset(2)));
    let left: Vec<_> = files(&path).into_keys().filter(|name| name.ends_with(".log")).collect();
    assert_eq!(left, ["00000000000000000000.log", "00000000000000000002.log"]);
}

/// A producer that had five requests in flight when the leader was killed sends all of them again.
#[test]
fn after_a_crash_or_a_truncation_all_batches_in_flight_are_known() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    let mut log = open_clean(&path, &LogConfig::default());
    (0..5).for_each(|n| _ = log.append_as_leader(&idempotent(1, 0, n, 1), &client(0, 0)).unwrap());
    drop(log);
    let mut log = open_killed(&path, &LogConfig::default(), 0);
    for n in 0..5 {
        let again = log.append_as_leader(&idempotent(1, 0, n, 1), &client(0, 0)).unwrap();
        assert!(again.duplicate && again.first_offset == Offset(i64::from(n)), "after a crash: {n}");
    }
    log.truncate_to(Offset(4)).unwrap();
    log.truncate_to(Offset(3)).unwrap();
    for n in 0..3 {
        assert!(log.append_as_leader(&idempotent(1, 0, n, 1), &client(0, 0)).unwrap().duplicate, "truncated: {n}");
    }
    assert!(!log.append_as_leader(&idempotent(1, 0, 3, 1), &client(0, 0)).unwrap().duplicate);
}

#[test]
fn messages_of_old_formats_are_never_cut_off() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    drop(open_clean(&path, &LogConfig::default()));
    let mut old = batch_of(1, 0, "v").to_vec();
    old[16] = 1;
    let crc = crc32fast::hash(&old[16..]);
    old[12..16].copy_from_slice(&crc.to_be_bytes());
    let file = path.join("00000000000000000000.log");
    std::fs::write(&file, &old).unwrap();
    for clean in [true, false] {
        drop(barnabas::log::open(options(&path, &LogConfig::default(), clean, 0, 0)).unwrap());
        assert_eq!(std::fs::read(&file).unwrap(), old);
    }
}

#[test]
fn a_swap_is_finished_and_an_unfinished_cleaning_undone() {
    let dir = tempdir();
    let path = dir.path().join("t-0");
    let size = batch_of(1, 0, "v").len();
    let config = LogConfig { segment_bytes: size as i32, ..LogConfig::default() };
    let mut log = open_clean(&path, &config);
    (0..4).for_each(|_| _ = log.append_as_leader(&batch_of(1, 0, "v"), &client(0, 0)).unwrap());
    log.close().unwrap();
    let file = |name: &str| path.join(name);
    let first = std::fs::read(file("00000000000000000000.log")).unwrap();
    let second = std::fs::read(file("00000000000000000001.log")).unwrap();
    // Segments 0 and 1 were compacted into one that awaits its swap; 2 was being cleaned.
    std::fs::write(file("00000000000000000000.log.swap"), [&first[..], &second[..]].concat()).unwrap();
    std::fs::write(file("00000000000000000000.index.swap"), b"").unwrap();
    std::fs::write(file("00000000000000000000.timeindex.swap"), b"").unwrap();
    std::fs::write(file("00000000000000000002.log.cleaned"), b"half").unwrap();
    let log = open_clean(&path, &config);
    assert_eq!(read_all(&log.view()).len(), 4);
    let names: Vec<_> = files(&path).into_keys().filter(|name| name.contains(".log")).collect();
    assert_eq!(names, ["00000000000000000000.log", "00000000000000000002.log", "00000000000000000003.log"]);
}

/// What a log should hold.
struct Model {
    batches: Vec<Batch>,
    start: i64,
    end: i64,
}

impl Model {
    fn check(&self, log: &Log, rng: &mut ChaCha8Rng, what: &str) {
        let view = log.view();
        assert_eq!((view.start_offset().0, view.end_offset().0), (self.start, self.end), "{what}");
        let visible: Vec<_> =
            self.batches.iter().filter(|batch| batch.header.last_offset() >= self.start).cloned().collect();
        assert_eq!(read_all(&view), visible, "{what}");
        // A read from anywhere to anywhere returns the right bytes.
        if self.end > self.start {
            let from = rng.random_range(self.start..self.end);
            let upper = rng.random_range(from..=self.end);
            let max = rng.random_range(0..3000);
            let read = view.read(Offset(from), max, Offset(upper), rng.random()).unwrap();
            let bytes = read.slice.map_or(Bytes::new(), |slice| slice.read().unwrap());
            let readable = visible.iter().skip_while(|batch| batch.header.last_offset() < from);
            let allowed: Vec<u8> = readable
                .take_while(|batch| batch.header.last_offset() < upper)
                .flat_map(|batch| batch.bytes.to_vec())
                .collect();
            assert!(allowed.starts_with(&bytes), "{what}: read [{from}, {upper}) max {max}");
        }
        let mut epochs = Vec::new();
        for batch in &self.batches {
            let epoch = batch.header.partition_leader_epoch;
            if epochs.last().is_none_or(|(last, _)| *last < epoch) {
                epochs.push((epoch, batch.header.base_offset));
            }
        }
        let at_start = epochs.iter().rposition(|(_, from)| *from <= self.start).unwrap_or(0);
        let mut expected = epochs.split_off(at_start.min(epochs.len()));
        if let Some(first) = expected.first_mut() {
            first.1 = first.1.max(self.start);
        }
        // An empty log may forget its last epoch when it is loaded, as Kafka does.
        if self.start < self.end {
            assert_eq!(log.epochs().entries(), expected, "{what}");
        }
    }
}

/// Kills the broker: what was not flushed may be cut anywhere. Returns the log as it comes back.
fn kill(log: Log, model: &mut Model, path: &Path, config: &LogConfig, rng: &mut ChaCha8Rng) -> Log {
    let recovery_point = log.recovery_point().0;
    let start = model.start;
    drop(log);
    let last = log_files(path).pop().unwrap();
    let base: i64 = last.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let mut flushed_bytes = 0;
    let in_last: Vec<_> = model.batches.iter().filter(|batch| batch.header.base_offset >= base).cloned().collect();
    for batch in in_last.iter().filter(|batch| batch.header.base_offset < recovery_point) {
        flushed_bytes += batch.bytes.len() as u64;
    }
    let size = std::fs::metadata(&last).unwrap().len();
    let cut = rng.random_range(flushed_bytes..=size);
    std::fs::OpenOptions::new().write(true).open(&last).unwrap().set_len(cut).unwrap();
    let mut position = 0;
    let lost = in_last
        .iter()
        .filter(|batch| {
            position += batch.bytes.len() as u64;
            position > cut
        })
        .count();
    model.batches.truncate(model.batches.len() - lost);
    model.end = model.batches.last().map_or(base, |batch| batch.header.next_offset()).max(base);
    let log = barnabas::log::open(options(path, config, false, recovery_point, start)).unwrap();
    if model.end < start {
        (model.end, model.start) = (start, start);
        model.batches.clear();
    }
    log
}

#[test]
fn random_histories_agree_with_a_plain_model() {
    for seed in 0..12 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let dir = tempdir();
        let path = dir.path().join("t-0");
        let config = LogConfig { segment_bytes: 1500, index_interval_bytes: 200, ..LogConfig::default() };
        let mut log = open_clean(&path, &config);
        let mut model = Model { batches: Vec::new(), start: 0, end: 0 };
        let mut epoch = 0;
        for step in 0..60 {
            let what = format!("seed {seed} step {step}");
            match rng.random_range(0..20) {
                0..=11 => {
                    let count = rng.random_range(1..5);
                    let mut builder = BatchBuilder::new();
                    (0..count).for_each(|_| {
                        builder.push(
                            rng.random_range(0..1000),
                            Some(b"k"),
                            Some(&vec![7; rng.random_range(0..100)]),
                            &[],
                        )
                    });
                    let info = log.append_as_leader(&builder.build(), &client(epoch, 0)).unwrap();
                    assert_eq!(info.first_offset.0, model.end, "{what}");
                    model.end = info.last_offset.0 + 1;
                    let read = log.view().read(info.first_offset, 1 << 20, Offset(model.end), true).unwrap();
                    assert_eq!(
                        (read.position.segment_base, read.position.position),
                        (info.position.segment_base, info.position.position)
                    );
                    model.batches.push(Batch::read(&read.slice.unwrap().read().unwrap()).unwrap().unwrap());
                }
                12 => log.roll().unwrap(),
                13 => log.flush().unwrap(),
                14 => epoch += 1,
                15 if !model.batches.is_empty() => {
                    let keep = rng.random_range(0..model.batches.len());
                    let target = model.batches[keep].header.base_offset;
                    if target >= model.start {
                        log.truncate_to(Offset(target)).unwrap();
                        model.batches.truncate(keep);
                        model.end = target;
                        epoch += 1;
                    }
                }
                16 => {
                    let start = rng.random_range(model.start..=model.end);
                    log.increment_start_offset(Offset(start)).unwrap();
                    model.start = start;
                }
                17 => {
                    log.close().unwrap();
                    drop(log);
                    log = barnabas::log::open(options(&path, &config, true, model.end, model.start)).unwrap();
                }
                18 => log = kill(log, &mut model, &path, &config, &mut rng),
                19 if rng.random_bool(0.3) => {
                    let offset = model.end + rng.random_range(0..10);
                    log.truncate_fully_and_start_at(Offset(offset)).unwrap();
                    model = Model { batches: Vec::new(), start: offset, end: offset };
                }
                _ => {}
            }
            model.check(&log, &mut rng, &what);
        }
    }
}
