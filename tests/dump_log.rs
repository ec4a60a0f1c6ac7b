//! `dump-log` against the output of Kafka 3.9.1's own tool, kept beside the golden directories.

use std::io::Write;
use std::path::{Path, PathBuf};

use barnabas::log::inspect::InspectError;
use barnabas::log::inspect::dump::{Content, Decoder, Dump, Options};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/log")
}

/// What is printed for files, on the two streams; paths relative to `root`.
fn dump(options: &Options, root: &Path, files: &[String]) -> (Result<(), InspectError>, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut dump = Dump::new(options, &mut out, &mut err);
    let result = files.iter().try_for_each(|file| dump.file(&root.join(file))).and_then(|()| dump.finish());
    let relative = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&format!("{}/", root.display()), "");
    (result, relative(out), relative(err))
}

/// A paragraph per file: their order depends on where the files were.
fn paragraphs(text: &str) -> Vec<&str> {
    let mut paragraphs: Vec<_> = text.split("Non-consecutive").collect();
    paragraphs.sort_unstable();
    paragraphs
}

fn content_of(dump_name: &str) -> Content {
    if dump_name.starts_with("__consumer_offsets-0.decoded") {
        Content::Offsets
    } else if dump_name.starts_with("__transaction_state-0.decoded") {
        Content::TransactionLog
    } else {
        Content::Records { key: Decoder::Text, value: Decoder::Text }
    }
}

fn deep(content: Content) -> Options {
    Options { deep: true, print_content: Some(content), ..Options::default() }
}

#[test]
fn golden_directories_are_dumped_to_the_byte() {
    let mut dumps = 0;
    for group in std::fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for path in std::fs::read_dir(&group).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let Some(stem) = name.strip_suffix(".dump.txt") else { continue };
            let expected = std::fs::read_to_string(&path).unwrap();
            let files: Vec<String> =
                expected.lines().filter_map(|line| line.strip_prefix("Dumping ")).map(str::to_owned).collect();
            let sources = tempfile::tempdir().unwrap();
            let root = if let Some(partition) = stem.strip_suffix(".deleted-segments") {
                restore_deleted(&group.join(partition), &sources.path().join(partition));
                sources.path().to_owned()
            } else if golden().join(&files[0]).exists() {
                golden()
            } else {
                group.clone()
            };
            let (result, out, err) = dump(&deep(content_of(name)), &root, &files);
            result.unwrap_or_else(|error| panic!("{name}: {error}"));
            let (content, remarks) =
                expected.split_at(expected.find("Non-consecutive offsets in ").unwrap_or(expected.len()));
            assert!(out == content, "{name}: {:?}", out.lines().zip(content.lines()).find(|(ours, real)| ours != real));
            assert_eq!(paragraphs(&err), paragraphs(remarks), "{name}");
            dumps += 1;
        }
    }
    assert_eq!(dumps, 44);
}

/// The logs that compaction replaced, under the names that they had.
fn restore_deleted(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for path in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        if let Some(name) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".log.deleted") {
            std::fs::copy(&path, to.join(format!("{name}.log"))).unwrap();
        }
    }
}

/// A partition of `v2-3.9.1` to be broken.
fn copy_of(partition: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for path in std::fs::read_dir(golden().join("v2-3.9.1").join(partition)).unwrap().map(|entry| entry.unwrap().path())
    {
        std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    dir
}

fn one(options: &Options, dir: &Path, file: &str) -> (Result<(), InspectError>, String, String) {
    dump(options, dir, &[file.to_owned()])
}

const LOG: &str = "00000000000000000000.log";
const INDEX: &str = "00000000000000000000.index";
const TIME_INDEX: &str = "00000000000000000000.timeindex";

fn append(path: &Path, bytes: &[u8]) {
    std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn a_cut_log_ends_with_a_remark() {
    let dir = copy_of("plain-0");
    let whole = std::fs::read(dir.path().join(LOG)).unwrap();
    std::fs::write(dir.path().join(LOG), &whole[..400]).unwrap();
    let (result, out, err) = one(&Options::default(), dir.path(), LOG);
    result.unwrap();
    assert!(out.ends_with(&format!("Found 96 invalid bytes at the end of {LOG}\n")), "{out}");
    assert_eq!((out.lines().count(), err.as_str()), (5, ""));
    let (result, out, _) = one(&Options { max_bytes: 100, ..Options::default() }, dir.path(), LOG);
    result.unwrap();
    assert_eq!(out.lines().count(), 3, "the first batch alone, without a remark");
}

#[test]
fn a_flipped_bit_is_told() {
    let dir = copy_of("plain-0");
    let mut bytes = std::fs::read(dir.path().join(LOG)).unwrap();
    bytes[70] ^= 1;
    std::fs::write(dir.path().join(LOG), &bytes).unwrap();
    let (result, out, _) = one(&Options::default(), dir.path(), LOG);
    result.unwrap();
    assert_eq!(out.matches("isvalid: false").count(), 1);
    bytes[8..12].copy_from_slice(&[0; 4]);
    std::fs::write(dir.path().join(LOG), &bytes).unwrap();
    let (result, out, _) = one(&Options::default(), dir.path(), LOG);
    assert!(result.unwrap_err().to_string().contains("record size 0"), "{out}");
}

#[test]
fn indexes_are_held_against_the_log() {
    let dir = copy_of("segs-0");
    let entry = |offset: i32, position: i32| [offset.to_be_bytes(), position.to_be_bytes()].concat();
    let (result, sound, err) = one(&Options::default(), dir.path(), INDEX);
    result.unwrap();
    assert!(sound.contains("offset: ") && err.is_empty(), "{sound}{err}");

    // Not closed: zeros follow, and are passed over.
    append(&dir.path().join(INDEX), &[0; 80]);
    let (result, out, err) = one(&Options::default(), dir.path(), INDEX);
    result.unwrap();
    assert_eq!((out, err), (sound, String::new()));

    std::fs::write(dir.path().join(INDEX), [entry(3, 0), entry(5, 0)].concat()).unwrap();
    let (result, _, err) = one(&Options { verify_index_only: true, ..Options::default() }, dir.path(), INDEX);
    result.unwrap();
    assert_eq!(
        err,
        format!("Mismatches in :{INDEX}\n  Index offset: 5, log offset: 0\n  Index offset: 3, log offset: 0\n")
    );

    std::fs::write(dir.path().join(INDEX), [entry(3, 1 << 30)].concat()).unwrap();
    assert!(one(&Options::default(), dir.path(), INDEX).0.is_err());
    append(&dir.path().join(INDEX), &[0; 3]);
    let sanity = Options { index_sanity_only: true, ..Options::default() };
    assert!(one(&sanity, dir.path(), INDEX).0.is_err());
    assert_eq!(
        one(&sanity, dir.path(), TIME_INDEX).1,
        format!("Dumping {TIME_INDEX}\n{TIME_INDEX} passed sanity check.\n")
    );
}

#[test]
fn state_that_is_not_sound_is_a_remark() {
    let dir = copy_of("txn-0");
    let snapshot = "00000000000000000018.snapshot";
    let mut bytes = std::fs::read(dir.path().join(snapshot)).unwrap();
    bytes[20] ^= 1;
    std::fs::write(dir.path().join(snapshot), &bytes).unwrap();
    let (result, out, err) = one(&Options::default(), dir.path(), snapshot);
    result.unwrap();
    assert_eq!(out, format!("Dumping {snapshot}\n"));
    assert!(err.starts_with("Snapshot is corrupt (CRC is no longer valid). Stored crc: "), "{err}");
    let (result, _, err) = one(&Options::default(), dir.path(), "leader-epoch-checkpoint.txt");
    result.unwrap();
    assert!(err.starts_with("Ignoring unknown file"), "{err}");
}

/// No flipped bit and no cut makes the tool do anything but print or end with an error.
#[test]
fn broken_files_never_panic() {
    let all = Options { deep: true, print_content: Some(content_of("")), ..Options::default() };
    for (partition, file) in [
        ("txn-0", LOG),
        ("segs-0", INDEX),
        ("segs-0", TIME_INDEX),
        ("txn-0", "00000000000000000018.snapshot"),
        ("txn-0", "00000000000000000009.txnindex"),
    ] {
        let dir = copy_of(partition);
        let path = dir.path().join(file);
        let sound = std::fs::read(&path).unwrap();
        for at in (0..sound.len()).step_by(3) {
            let mut broken = sound.clone();
            broken[at] ^= 1 << (at % 8);
            std::fs::write(&path, &broken).unwrap();
            let _ = one(&all, dir.path(), file);
            std::fs::write(&path, &sound[..at]).unwrap();
            let _ = one(&all, dir.path(), file);
        }
    }
}
