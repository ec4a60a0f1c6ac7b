//! No bytes that a client sends make the reader panic, or allocate much more than the frame itself.

#[path = "../fuzz/checks/request_frame.rs"]
mod fuzz;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use bytes::Bytes;
use proptest::prelude::*;

thread_local! {
    /// Bytes that this thread has allocated; what it gives back is not taken off.
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends may allocate after its variables are gone.
        let _ = ALLOCATED.try_with(|bytes| bytes.set(bytes.get() + layout.size()));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Allocated in all for each byte of a frame, over two readings and two writings: a compact string of one byte is a
/// `Str` of 32 in a vector that doubles.
const BYTES_PER_FRAME_BYTE: usize = 512;

/// Allocated for an empty frame.
const BYTES_PER_FRAME: usize = 16 << 10;

/// Runs the check of the fuzz target with an eye on memory.
fn check(frame: Vec<u8>) -> bool {
    let most = frame.len() * BYTES_PER_FRAME_BYTE + BYTES_PER_FRAME;
    let frame = Bytes::from(frame);
    let before = ALLOCATED.get();
    let read = fuzz::check(frame);
    let allocated = ALLOCATED.get() - before;
    assert!(allocated <= most, "{allocated} bytes allocated, at most {most} expected");
    read
}

/// The request frames of a directory, without their lengths.
fn frames(directory: &str, suffix: &str, skip: usize) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(suffix));
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap().split_off(skip)).collect()
}

static GOLDEN: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| frames("tests/golden/frames", ".req.bin", 4));

#[test]
fn corpus() {
    let corpus = frames("fuzz/corpus/request_frame", "", 0);
    assert!(corpus.len() >= 20);
    let readable = corpus.into_iter().filter(|frame| check(frame.clone())).count();
    assert!(readable >= 15, "{readable}");
}

#[test]
fn recorded_requests_cut_short_are_errors_or_shorter_requests() {
    for frame in GOLDEN.iter() {
        for length in 0..frame.len().min(200) {
            check(frame[..length].to_vec());
        }
    }
}

/// Values that are lengths, counts and tags of a hostile client.
fn nasty_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![0x7f, 0xff, 0xff, 0xff]),
        Just(vec![0xff, 0xff, 0xff, 0xff]),
        Just(vec![0xff, 0xff, 0xff, 0xff, 0x0f]),
        Just(vec![0x7f, 0xff]),
        Just(vec![0x00]),
        prop::collection::vec(any::<u8>(), 1..5),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn mutated_requests(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), nasty_bytes()), 1..4),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut frame = which.get(&GOLDEN).clone();
        for (place, bytes) in edits {
            let place = place.index(frame.len());
            let end = (place + bytes.len()).min(frame.len());
            frame.splice(place..end, bytes);
        }
        if let Some(cut) = cut {
            frame.truncate(cut.index(frame.len()));
        }
        check(frame);
    }

    #[test]
    fn random_bodies(which in any::<prop::sample::Index>(), body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut frame = which.get(&GOLDEN)[..8].to_vec();
        frame.extend([0xff, 0xff, 0x00]);
        frame.extend(body);
        check(frame);
    }
}
