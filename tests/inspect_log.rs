//! `verify`, `rebuild` and `diff` on golden directories, whole and broken.

use std::path::{Path, PathBuf};

use barnabas::log::inspect::check::{Context, Finding, Repair, Report, Severity, Totals};
use barnabas::log::inspect::diff::{self, Difference};
use barnabas::log::inspect::rebuild::{Told, hold, rebuild};
use barnabas::log::inspect::verify::verify;

fn golden(group: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/log").join(group)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => _ = std::fs::copy(entry.path(), target).unwrap(),
        }
    }
}

/// A copy of a golden log dir, with its clean shutdown.
fn log_dir(group: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy(&golden(group), dir.path());
    dir
}

#[derive(Default)]
struct Faults(Vec<Finding>);

impl Report for Faults {
    fn finding(&mut self, finding: Finding) {
        if finding.severity == Severity::Fault {
            self.0.push(finding);
        }
    }

    fn repair(&mut self, _: Repair) {}
}

fn faults(path: &Path) -> Vec<Finding> {
    let mut faults = Faults::default();
    let context = Context { deep: true, ..Context::default() };
    verify(path, &context, &mut Totals::default(), &mut faults).unwrap();
    faults.0
}

/// Faults as "file name: text".
fn told(path: &Path) -> Vec<String> {
    let name = |finding: &Finding| finding.file.file_name().unwrap().to_str().unwrap().to_owned();
    faults(path).iter().map(|finding| format!("{}: {}", name(finding), finding.what)).collect()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

const LOG: &str = "00000000000000000000.log";

#[test]
fn what_real_brokers_left_is_sound() {
    for group in ["v2-3.9.1", "compacted-twice-3.9.1", "v0v1-on-3.9.1", "broker-0.10.2.2", "broker-0.8.2.2"] {
        assert_eq!(told(&golden(group)), [] as [String; 0], "{group}");
    }
}

#[test]
fn a_flipped_bit_below_the_recovery_point_is_found() {
    let dir = log_dir("v2-3.9.1");
    let log = dir.path().join("segs-0").join(LOG);
    flip(&log, 300);
    let found = faults(dir.path());
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].file.as_path(), found[0].position), (log.as_path(), Some(258)));
    assert!(found[0].what.contains("offsets 3 to 3 (leader epoch 0, 102 bytes) has CRC 0xf8144000"), "{found:?}");
    // The same from the partition's directory alone.
    assert_eq!(faults(&dir.path().join("segs-0")), found);
}

#[test]
fn each_derived_file_is_found_wrong_and_rebuilt() {
    let dir = log_dir("v2-3.9.1");
    let at = |file: &str| dir.path().join(file);
    let sound = |file: &str| std::fs::read(golden("v2-3.9.1").join(file)).unwrap();
    let broken = [
        "txn-0/00000000000000000009.txnindex",
        "txn-0/00000000000000000009.timeindex",
        "idem-0/00000000000000000023.snapshot",
        "gzip-0/00000000000000000000.index",
        "lz4-0/leader-epoch-checkpoint",
    ];
    std::fs::remove_file(at(broken[0])).unwrap();
    flip(&at(broken[1]), 7);
    flip(&at(broken[2]), 30);
    std::fs::write(at(broken[3]), [0; 80]).unwrap();
    std::fs::write(at(broken[4]), "garbage\n").unwrap();
    let found = told(dir.path());
    assert_eq!(found.len(), broken.len(), "{found:#?}");
    assert!(found.iter().any(|fault| fault.contains("producer 3, offsets 3 to 10, was aborted")), "{found:#?}");
    assert!(found.iter().any(|fault| fault.contains("10 entries of zeros")), "{found:#?}");

    let run = |dry_run| {
        let (mut written, mut left) = (Vec::new(), 0);
        let held = hold(dir.path()).unwrap();
        rebuild(dir.path(), &Context::default(), dry_run, &held, &mut |told| match told {
            Told::Written(file) => written.push(file.strip_prefix(dir.path()).unwrap().to_owned()),
            Told::Removed(file) => panic!("{} removed", file.display()),
            Told::Left(_) => left += 1,
        })
        .unwrap();
        written.sort();
        (written, left)
    };
    let mut expected: Vec<PathBuf> = broken.iter().map(PathBuf::from).collect();
    expected.sort();
    assert_eq!(run(true), (expected.clone(), 0));
    assert_eq!(told(dir.path()).len(), broken.len(), "a dry run writes nothing");
    assert_eq!(run(false), (expected, 0));
    assert_eq!(told(dir.path()), [] as [String; 0]);
    // The same bytes as Kafka's.
    for file in broken {
        assert_eq!(std::fs::read(at(file)).unwrap(), sound(file), "{file}");
    }
    assert_eq!(run(false), (Vec::new(), 0));
}

#[test]
fn a_broken_log_is_left_alone() {
    let dir = log_dir("v2-3.9.1");
    let partition = dir.path().join("txn-0");
    flip(&partition.join(LOG), 100);
    let before = std::fs::read(partition.join(LOG)).unwrap();
    std::fs::remove_file(partition.join("00000000000000000000.index")).unwrap();
    let held = hold(dir.path()).unwrap();
    let mut left = 0;
    rebuild(&partition, &Context::default(), false, &held, &mut |told| match told {
        Told::Left(_) => left += 1,
        told => panic!("{told:?}"),
    })
    .unwrap();
    assert!(left > 0);
    assert_eq!(std::fs::read(partition.join(LOG)).unwrap(), before);
}

#[test]
fn checkpoints_are_checked() {
    let dir = log_dir("v2-3.9.1");
    std::fs::write(dir.path().join("replication-offset-checkpoint"), "0\n1\nplain 0 500\n").unwrap();
    std::fs::write(dir.path().join("cleaner-offset-checkpoint"), "0\n7\n").unwrap();
    std::fs::write(dir.path().join("meta.properties"), "version=1\nnode.id=3\n").unwrap();
    std::fs::create_dir(dir.path().join("lost+found")).unwrap();
    let found = told(dir.path());
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found.iter().any(|fault| fault.contains("cleaner-offset-checkpoint: malformed")), "{found:#?}");
}

fn batches(first: &Path, second: &Path) -> Vec<Difference> {
    let mut found = Vec::new();
    diff::batches(first, second, &mut |difference| found.push(difference)).unwrap();
    found
}

fn records(first: &Path, second: &Path) -> Vec<Difference> {
    let mut found = Vec::new();
    diff::records(first, second, &mut |difference| found.push(difference)).unwrap();
    found
}

#[test]
fn replicas_are_compared() {
    let dir = log_dir("v2-3.9.1");
    let ours = |name: &str| dir.path().join(name);
    let theirs = |name: &str| golden("v2-3.9.1").join(name);
    assert_eq!(batches(&ours("segs-0"), &theirs("segs-0")), []);
    assert_eq!(records(&ours("segs-0"), &theirs("segs-0")), []);

    // The same records in four codecs.
    assert!(matches!(&batches(&ours("gzip-0"), &theirs("zstd-0"))[..], [Difference::Batches { .. }]));
    assert_eq!(records(&ours("gzip-0"), &theirs("zstd-0")), []);

    // One is behind: the last segment is gone.
    std::fs::remove_file(ours("segs-0").join("00000000000000000030.log")).unwrap();
    let behind = [Difference::Ends { first: 30, second: 40 }];
    assert_eq!(batches(&ours("segs-0"), &theirs("segs-0")), behind);
    assert_eq!(records(&ours("segs-0"), &theirs("segs-0")), behind);

    // One deleted more.
    std::fs::remove_file(ours("segs-0").join(LOG)).unwrap();
    assert!(matches!(
        &batches(&ours("segs-0"), &theirs("segs-0"))[..],
        [Difference::Starts { .. }, Difference::Ends { .. }]
    ));

    // One is damaged.
    flip(&ours("idem-0").join(LOG), 100);
    let [Difference::Batches { first: Some(one), second: Some(other), agreed }] =
        &batches(&ours("idem-0"), &theirs("idem-0"))[..]
    else {
        panic!("no divergence")
    };
    assert_eq!((one.crc_holds, other.crc_holds, one.position), (false, true, 0));
    assert_eq!(agreed.map(|(epoch, offset)| (epoch.0, offset.0)), Some((0, 23)));
}

#[test]
fn compaction_shows_as_missing_records() {
    let dir = tempfile::tempdir().unwrap();
    let cleaned = golden("v2-3.9.1").join("compact-0");
    for path in std::fs::read_dir(&cleaned).unwrap().map(|entry| entry.unwrap().path()) {
        if let Some(name) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".log.deleted") {
            std::fs::copy(&path, dir.path().join(format!("{name}.log"))).unwrap();
        }
    }
    let found = records(dir.path(), &cleaned);
    let missing = |found: &&Difference| matches!(found, Difference::Missing { only_in_first: true, .. });
    assert_eq!(found.iter().filter(missing).count(), 1, "{found:?}");
    let known = |found: &Difference| {
        !matches!(found, Difference::Records { .. } | Difference::Missing { only_in_first: false, .. })
    };
    assert!(found.iter().all(known), "{found:?}");
}

/// No flipped bit makes any of them do anything but report.
#[test]
fn broken_directories_never_panic() {
    let dir = log_dir("v2-3.9.1");
    let whole = golden("v2-3.9.1").join("txn-0");
    let partition = dir.path().join("txn-0");
    for path in std::fs::read_dir(&whole).unwrap().map(|entry| entry.unwrap().path()) {
        let sound = std::fs::read(&path).unwrap();
        let target = partition.join(path.file_name().unwrap());
        for at in (0..sound.len()).step_by(5) {
            let mut broken = sound.clone();
            broken[at] ^= 1 << (at % 8);
            std::fs::write(&target, &broken).unwrap();
            let _ = verify(
                &partition,
                &Context { deep: true, ..Context::default() },
                &mut Totals::default(),
                &mut Faults::default(),
            );
            let _ = diff::batches(&partition, &whole, &mut |_| {});
            let _ = diff::records(&partition, &whole, &mut |_| {});
        }
        std::fs::write(&target, &sound).unwrap();
    }
}
