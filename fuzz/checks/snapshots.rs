//! Any bytes as a snapshot of producers.

use barnabas::config::LogConfig;
use barnabas::ids::{LeaderEpoch, Offset};
use barnabas::log::producers::Producers;
use barnabas::log::snapshot::{decode, encode};
use barnabas::log::{LeaderAppend, TxnCheck};
use barnabas::record::{AppendOrigin, Attributes, BatchBuilder, EndTxn, end_txn_batch};

use super::input::Input;
use super::partition::{Partition, ask};

/// Where the log ends whose producers the snapshot tells.
const END: i64 = 3;

pub fn check(data: &[u8]) {
    let mut input = Input(data);
    let bits = input.byte();
    let mut bytes = input.rest().to_vec();
    if bits & 1 != 0 && bytes.len() >= 6 {
        let crc = crc32c::crc32c(&bytes[6..]);
        bytes[..2].copy_from_slice(&1i16.to_be_bytes());
        bytes[2..6].copy_from_slice(&crc.to_be_bytes());
    }
    let Some(entries) = decode(&bytes) else { return load(&bytes, bits) };
    assert_eq!(encode(&entries), bytes);
    for expiration_ms in [0, 1_000, i64::MAX] {
        let producers = Producers::from_snapshot(&entries, END, 1_000_000, expiration_ms);
        let known = producers.to_snapshot();
        assert!(known.len() <= entries.len());
        assert_eq!(decode(&encode(&known)).as_ref(), Some(&known));
        assert_eq!(Producers::from_snapshot(&known, END, 1_000_000, expiration_ms).to_snapshot(), known);
        let _ = producers.unstable().last_stable_offset(END, 0);
        let _ = producers.unstable().has_late_transaction(1_000_000, 900_000);
    }
    load(&bytes, bits);
}

/// A log of three records with this snapshot at its end: it loads, and takes what producers send.
fn load(bytes: &[u8], bits: u8) {
    let partition = Partition::new();
    let mut builder = BatchBuilder::new();
    (0..END).for_each(|n| builder.push(1_000 + n, None, Some(b"value"), &[]));
    partition.write("00000000000000000000.log", &builder.build());
    partition.write("00000000000000000000.index", &[]);
    partition.write("00000000000000000000.timeindex", &[]);
    partition.write(&format!("{END:020}.snapshot"), bytes);
    let mut log = partition.open(&LogConfig::default(), bits & 2 != 0).expect("a sound log with whatever snapshot");
    assert_eq!(log.end_offset(), Offset(END));
    ask(&log);
    let producer_id = decode(bytes).and_then(|entries| entries.first().map(|entry| entry.producer_id)).unwrap_or(7);
    let (epoch, sequence) =
        log.producers().get(producer_id).map_or((0, -1), |known| (known.epoch, known.last_sequence()));
    let params = |origin| LeaderAppend { leader_epoch: LeaderEpoch(0), origin, txn: TxnCheck::Off, now_ms: 1_000 };
    for attributes in [0, Attributes::TRANSACTIONAL] {
        for sequence in [0, sequence, sequence.wrapping_add(1)] {
            let mut builder = BatchBuilder::new().producer(producer_id, epoch, sequence).attributes(attributes);
            builder.push(1_000, None, Some(b"value"), &[]);
            let _ = log.append_as_leader(&builder.build(), &params(AppendOrigin::Client));
        }
    }
    let marker = end_txn_batch(EndTxn::Abort, producer_id, epoch, 0, 1_000);
    let _ = log.append_as_leader(&marker, &params(AppendOrigin::Coordinator));
    ask(&log);
    log.expire_producers(1_000_000);
    log.truncate_to(Offset(END)).expect("a cut");
    log.close().expect("a clean stop");
}
