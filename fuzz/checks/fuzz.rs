//! The fuzzer. One program for all targets, since linking takes long: `BARNABAS_FUZZ_TARGET` names the one to run.
#![no_main]

use std::sync::LazyLock;

use barnabas_fuzz::*;

static CHECK: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let target = std::env::var("BARNABAS_FUZZ_TARGET").expect("BARNABAS_FUZZ_TARGET names a target");
    match target.as_str() {
        "batches" => batches::check,
        "checkpoints" => checkpoints::check,
        "coordinator_records" => coordinator_records::check,
        "indexes" => indexes::check,
        "message_sets" => message_sets::check,
        "partition_dir" => partition_dir::check,
        "request_frame" => |frame| _ = request_frame::check(bytes::Bytes::copy_from_slice(frame)),
        "snapshots" => snapshots::check,
        "zk_packet" => zk_packet::check,
        _ => panic!("no target is called {target}"),
    }
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| CHECK(data));
