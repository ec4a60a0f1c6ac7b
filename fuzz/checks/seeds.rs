//! Where the fuzzer begins: what real brokers wrote, cut into inputs of the targets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use barnabas::record::{Batch, batches};

use super::indexes;
use super::input::pieces;

/// Longer inputs only slow the fuzzer down.
const SEED_BYTES: usize = 4_000;

/// Inputs by target.
pub type Seeds = BTreeMap<&'static str, Vec<Vec<u8>>>;

/// The inputs made of the golden files below `tests/golden`.
pub fn seeds(golden: &Path) -> Seeds {
    let mut seeds = Seeds::new();
    let mut files = Vec::new();
    collect(&golden.join("log"), &mut files);
    files.sort();
    for path in &files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(path).unwrap();
        let mut put = |target, seed: Vec<u8>| seeds.entry(target).or_default().push(seed);
        match name.rsplit_once('.').map_or(name.as_str(), |(_, suffix)| suffix) {
            "log" => of_log(path, &bytes, &mut put),
            "snapshot" => (0..4).for_each(|bits| put("snapshots", pieces(&[bits], &[], &bytes))),
            "recovery-point-offset-checkpoint" | "cleaner-offset-checkpoint" => {
                put("checkpoints", pieces(&[0], &[], &bytes))
            }
            "leader-epoch-checkpoint" => put("checkpoints", pieces(&[1], &[], &bytes)),
            "properties" => put("checkpoints", pieces(&[2], &[], &bytes)),
            "metadata" => put("checkpoints", pieces(&[3], &[], &bytes)),
            _ => {}
        }
    }
    let sound = &indexes::sound().0;
    let of =
        |name: &str, extension: &str| sound.get(&format!("{name}.{extension}")).map_or(&[][..], |bytes| &bytes[..]);
    for (n, name) in sound.keys().filter_map(|name| name.strip_suffix(".log")).enumerate() {
        let indexes = [of(name, "index"), of(name, "timeindex"), of(name, "txnindex")];
        [15, 9, 10, 12, 7].into_iter().for_each(|bits| {
            seeds.entry("indexes").or_default().push(pieces(&[bits | (n as u8) << 4], &indexes, &[]));
        });
    }
    let frames = std::fs::read_dir(golden.join("frames")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let frames = frames.filter(|path| path.to_string_lossy().ends_with(".req.bin"));
    seeds.insert("request_frame", frames.map(|path| std::fs::read(path).unwrap().split_off(4)).collect());
    seeds
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => collect(&entry.path(), files),
            false => files.push(entry.path()),
        }
    }
}

fn of_log(path: &Path, bytes: &[u8], put: &mut impl FnMut(&'static str, Vec<u8>)) {
    if bytes.is_empty() {
        return;
    }
    let sound: Vec<Batch> = batches(bytes.to_vec().into()).map_while(Result::ok).collect();
    let mut end = 0;
    sound
        .iter()
        .take_while(|batch| {
            end += batch.bytes.len();
            end <= SEED_BYTES
        })
        .for_each(drop);
    let head = &bytes[..bytes.len().min(SEED_BYTES)];
    for bits in [2, 6, 14, 16 + 2, 32, 64 + 2, 128 + 2] {
        put("partition_dir", pieces(&[bits, 0, 0], &[], head));
    }
    if let [first, second, ..] = &sound[..] {
        let base = second.header.base_offset as u16;
        let log = pieces(&[&[3][..], &base.to_be_bytes()].concat(), &[&first.bytes], &second.bytes);
        put("partition_dir", log);
    }
    let internal = path.parent().unwrap().file_name().unwrap().to_string_lossy().starts_with("__");
    for batch in sound.iter().filter(|batch| batch.bytes.len() <= SEED_BYTES) {
        if internal {
            for record in batch.records().into_iter().flatten().flatten() {
                let (key, value) = (record.key.unwrap_or_default(), record.value);
                let bits = 2 | u8::from(value.is_some()) | if path.to_string_lossy().contains("__t") { 4 } else { 0 };
                put("coordinator_records", pieces(&[bits], &[&key], &value.unwrap_or_default()));
            }
        }
        of_batch(batch, put);
    }
}

fn of_batch(batch: &Batch, put: &mut impl FnMut(&'static str, Vec<u8>)) {
    let mut bytes = batch.bytes.to_vec();
    if batch.header.magic < 2 {
        for (target, mode) in [(0, 0), (1, 1), (2, 1), (1, 3)] {
            put("message_sets", pieces(&[target, 0, 0, 0, mode, 1 | (batch.header.magic as u8) << 7], &[], &bytes));
        }
        return;
    }
    // As a client sends it.
    bytes[..8].fill(0);
    put("batches", pieces(&[0, 0, 0, 0, 0], &[], &bytes));
    let codec = batch.header.attributes.codec().unwrap();
    if let Ok(plain) = codec.decompress(&batch.payload(), SEED_BYTES) {
        let mut open = bytes[..61].to_vec();
        open.extend_from_slice(&plain);
        for (target, source) in [(0, 1), (3, 0), (5, 3), (7, 2), (9, 4)] {
            put("batches", pieces(&[0, 0, target, 2, source], &[], &open));
        }
    }
    for target in [0, 1] {
        put("message_sets", pieces(&[target, 0, 0, 1, 1, 0], &[], &bytes));
    }
}
