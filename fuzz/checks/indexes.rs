//! Any bytes as the indexes of a sound log. After a crash they are built anew; after a clean stop they are believed as
//! far as they can be, and what does not fit must not hide records.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use barnabas::config::LogConfig;
use barnabas::ids::{LeaderEpoch, Offset};
use barnabas::log::{LeaderAppend, TxnCheck};
use barnabas::record::{AppendOrigin, Attributes, BatchBuilder, EndTxn, end_txn_batch};

use super::input::Input;
use super::partition::{Partition, append, ask, read_all};

const SEGMENT_BYTES: i32 = 1_000;
const INDEXES: [&str; 3] = ["index", "timeindex", "txnindex"];

fn config() -> LogConfig {
    LogConfig { index_interval_bytes: 100, segment_bytes: SEGMENT_BYTES, ..LogConfig::default() }
}

/// The files of a log with several segments and an aborted transaction, and its end.
pub fn sound() -> &'static (BTreeMap<String, Vec<u8>>, Offset) {
    static SOUND: OnceLock<(BTreeMap<String, Vec<u8>>, Offset)> = OnceLock::new();
    SOUND.get_or_init(|| {
        let partition = Partition::new();
        let mut log = partition.open(&config(), true).expect("an empty directory");
        let params = |origin| LeaderAppend { leader_epoch: LeaderEpoch(0), origin, txn: TxnCheck::Off, now_ms: 1_000 };
        let mut put = |batch| log.append_as_leader(&batch, &params(AppendOrigin::Coordinator)).expect("an append");
        for n in 0..20i32 {
            let mut builder = BatchBuilder::new();
            if n % 4 == 1 {
                builder = builder.producer(7, 0, n / 4).attributes(Attributes::TRANSACTIONAL);
            }
            builder.push(1_000 + i64::from(n), Some(b"key"), Some(format!("value {n}").as_bytes()), &[]);
            put(builder.build());
            if n % 4 == 3 {
                put(end_txn_batch(EndTxn::Abort, 7, 0, 0, 1_000));
            }
        }
        log.close().expect("a clean stop");
        let files = std::fs::read_dir(partition.path()).unwrap().map(|entry| entry.unwrap());
        let files = files.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap()));
        (files.collect(), log.end_offset())
    })
}

pub fn check(data: &[u8]) {
    let mut input = Input(data);
    let bits = input.byte();
    let (files, end) = sound();
    let partition = Partition::new();
    files.iter().for_each(|(name, bytes)| partition.write(name, bytes));
    let bases: Vec<&str> = files.keys().filter_map(|name| name.strip_suffix(".log")).collect();
    let base = bases[usize::from(bits >> 4) % bases.len()];
    for (bit, extension) in INDEXES.into_iter().enumerate() {
        let bytes = input.piece();
        if bits >> bit & 1 != 0 {
            partition.write(&format!("{base}.{extension}"), bytes);
        }
    }
    let clean = bits & 8 != 0;
    let mut log = partition.open(&config(), clean).expect("a sound log with whatever indexes");
    assert_eq!(log.end_offset(), *end);
    assert_eq!(read_all(&log).last().map(|batch| batch.header.next_offset()), Some(end.0));
    ask(&log);
    let view = log.view();
    view.max_timestamp().expect("the largest timestamp of a sound log");
    view.offset_for_timestamp(1_010).expect("a timestamp of a sound log");
    if !clean {
        partition.assert_sound(&config());
        let found = view.offset_for_timestamp(1_010).unwrap().expect("a record is as late");
        assert_eq!(found.timestamp, 1_010);
    }
    append(&mut log);
    read_all(&log);
    log.truncate_to(Offset(end.0 / 2)).expect("a cut");
    assert_eq!(log.end_offset(), Offset(end.0 / 2));
    append(&mut log);
    read_all(&log);
    log.close().expect("a clean stop");
}
