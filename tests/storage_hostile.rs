//! The fuzzer's checks of storage on a few thousand damaged golden inputs, always the same ones. `scripts/soak fuzz` runs
//! them for longer.

#[path = "../fuzz/checks/lib.rs"]
#[allow(dead_code)] // Not all targets are of storage.
mod checks;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use barnabas::log::snapshot::{SnapshotEntry, encode};
use barnabas::record::{BatchBuilder, Codec, HEADER_BYTES};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

static SEEDS: LazyLock<BTreeMap<&str, Vec<Vec<u8>>>> =
    LazyLock::new(|| checks::seeds::seeds(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")));

/// Values that are lengths, counts and offsets of somebody hostile.
const NASTY: [&[u8]; 6] =
    [&[0x7f, 0xff, 0xff, 0xff], &[0xff; 4], &[0xff; 8], &[0x80, 0, 0, 0, 0, 0, 0, 0], &[0x7f, 0xff], &[0]];

/// Runs a check on the seeds of its target, and on `count` that were changed.
fn run(target: &str, count: usize, check: fn(&[u8])) {
    let seeds = &SEEDS[target];
    assert!(seeds.len() >= 10, "{target} has {} seeds", seeds.len());
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for n in 0..count {
        let mut input = seeds[n % seeds.len()].clone();
        for _ in 0..random.random_range(0..4) {
            let at = random.random_range(0..=input.len());
            match random.random_range(0..5) {
                0 if at < input.len() => input[at] ^= 1 << random.random_range(0..8),
                1 => input.truncate(at),
                2 => {
                    let nasty = NASTY[random.random_range(0..NASTY.len())];
                    let end = (at + nasty.len()).min(input.len());
                    input.splice(at..end, nasty.iter().copied());
                }
                3 => {
                    let other = &seeds[random.random_range(0..seeds.len())];
                    input.extend_from_slice(&other[random.random_range(0..=other.len())..]);
                }
                _ if !input.is_empty() => input[0] = random.random(),
                _ => {}
            }
        }
        if std::panic::catch_unwind(|| check(&input)).is_err() {
            panic!("{target}, case {n}: {input:02x?}");
        }
    }
}

/// A log of these batches, each with an offset of its own, after a crash: as the target `partition_dir` reads it.
fn log_of(offsets: &[i64], mut change: impl FnMut(usize, &mut Vec<u8>)) -> Vec<u8> {
    let mut log = vec![2, 0, 0];
    for (n, offset) in offsets.iter().enumerate() {
        let mut builder = BatchBuilder::new().base_offset(*offset).leader_epoch(0);
        builder.push(1_000, Some(b"key"), Some(b"value"), &[]);
        let mut batch = builder.build().to_vec();
        change(n, &mut batch);
        log.extend(batch);
    }
    log
}

#[test]
fn records_that_make_no_sense_do_not_take_the_log_dir_offline() {
    checks::partition_dir::check(&log_of(&[0, 1], |_, batch| batch[HEADER_BYTES] = 0x7f));
}

#[test]
fn a_flipped_offset_before_an_unsound_batch_does_not_keep_a_log_from_loading() {
    checks::partition_dir::check(&log_of(&[0, 1 << 50, 2], |n, batch| batch[16] = if n == 2 { 0x80 } else { 2 }));
}

#[test]
fn offsets_that_overlap_go_back_or_end_all_are_cut_off() {
    let delta = |n, delta: i32| {
        move |m: usize, batch: &mut Vec<u8>| {
            if n == m {
                batch[23..27].copy_from_slice(&delta.to_be_bytes())
            }
        }
    };
    checks::partition_dir::check(&log_of(&[0, 1, 5], delta(1, 7)));
    checks::partition_dir::check(&log_of(&[0, 1, 100], delta(2, -50)));
    checks::partition_dir::check(&log_of(&[0, i64::MAX], delta(0, 0)));
    checks::partition_dir::check(&log_of(&[0, i64::MAX - 1], delta(1, 7)));
}

#[test]
fn offsets_that_reach_into_the_next_segment_are_cut_off() {
    let first = log_of(&[0, 1], |n, batch| batch[23..27].copy_from_slice(&[[0; 4], [0, 0, 1, 0]][n]));
    let second = log_of(&[10], |_, _| {});
    checks::partition_dir::check(&checks::input::pieces(&[3, 0, 10], &[&first[3..]], &second[3..]));
}

#[test]
fn a_record_of_1970_leaves_an_index_entry_of_zeros() {
    checks::partition_dir::check(&log_of(&[0], |_, batch| batch[27..43].fill(0)));
}

#[test]
fn what_a_follower_accepts_stays() {
    for offsets in
        [&[5, 1 << 40][..], &[5, 1 << 40, (1 << 40) + 1, 1 << 50], &[7, i64::MAX - 1], &[7, i64::MAX], &[5, 4]]
    {
        let mut log = log_of(offsets, |_, _| {});
        log[0] |= 128;
        checks::partition_dir::check(&log);
    }
    let messages = [5i64, 1 << 40].map(|offset| checks::input::wrapper(0, Codec::Gzip, offset, &[0; 30]));
    checks::partition_dir::check(&[&[128 | 2, 0, 0], &messages.concat()[..]].concat());
}

#[test]
fn leader_epochs_that_go_back_are_not_followed() {
    checks::partition_dir::check(&log_of(&[0, 1, 2], |n, batch| {
        batch[12..16].copy_from_slice(&[0, 0, 0, [0, 9, 3][n]])
    }));
}

#[test]
fn a_snapshot_tells_any_delta() {
    let offset_delta = i32::MIN;
    let entry = SnapshotEntry {
        producer_id: 5,
        epoch: 0,
        last_sequence: 9,
        last_offset: 2,
        offset_delta,
        timestamp: 1_000,
        coordinator_epoch: -1,
        txn_first_offset: -1,
    };
    checks::snapshots::check(&[&[2], &encode(&[entry])[..]].concat());
}

macro_rules! hostile {
    ($($target:ident: $count:literal,)*) => {
        $(#[test]
        fn $target() {
            run(stringify!($target), $count, checks::$target::check);
        })*
    };
}

hostile! {
    batches: 2000,
    checkpoints: 500,
    coordinator_records: 1500,
    indexes: 150,
    message_sets: 2000,
    partition_dir: 300,
    snapshots: 300,
}
