//! The rules of appending: what a leader refuses, idempotence, transactions, rolling, reading, log dirs.

mod log_support;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use barnabas::config::{CompressionType, LogConfig, TimestampType};
use barnabas::error::ErrorCode;
use barnabas::ids::{BrokerId, LeaderEpoch, Offset, TopicId, TopicPartition};
use barnabas::log::*;
use barnabas::record::*;
use bytes::Bytes;
use log_support::*;

fn code(result: Result<AppendInfo, AppendError>) -> ErrorCode {
    result.map_or_else(|error| ErrorCode::from(&error), |_| ErrorCode::None)
}

/// A batch with a changed header under a right CRC.
fn altered(bytes: &Bytes, change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let batch = Batch::read(bytes).unwrap().unwrap();
    let mut header = batch.header;
    change(&mut header);
    header.crc = header.compute_crc(&batch.payload());
    [&header.encode()[..], &batch.payload()].concat().into()
}

#[test]
fn what_a_leader_refuses() {
    let dir = tempdir();
    let mut config = LogConfig { max_message_bytes: 1000, segment_bytes: 2000, ..LogConfig::default() };
    let mut log = open_clean(&dir.path().join("t-0"), &config);
    let plain = batch_of(3, 500, "v");
    let mut append = |bytes: &Bytes| code(log.append_as_leader(bytes, &client(0, 1000)));

    assert_eq!(append(&plain), ErrorCode::None);
    assert_eq!(append(&altered(&plain, |h| h.base_offset = 5)), ErrorCode::InvalidRecord);
    assert_eq!(append(&altered(&plain, |h| h.records_count = 2)), ErrorCode::InvalidRecord);
    assert_eq!(append(&altered(&plain, |h| h.last_offset_delta = 5)), ErrorCode::InvalidRecord);
    assert_eq!(append(&altered(&plain, |h| (h.records_count, h.last_offset_delta) = (4, 3))), ErrorCode::InvalidRecord);
    assert_eq!(append(&altered(&plain, |h| (h.records_count, h.last_offset_delta) = (2, 1))), ErrorCode::InvalidRecord);
    assert_eq!(append(&altered(&plain, |h| h.attributes.0 |= Attributes::CONTROL)), ErrorCode::InvalidRecord);
    assert_eq!(append(&altered(&plain, |h| h.producer_id = 5)), ErrorCode::InvalidRecord);
    assert_eq!(append(&altered(&plain, |h| h.attributes.0 |= 5)), ErrorCode::UnknownServerError);
    assert_eq!(append(&altered(&plain, |h| h.attributes.0 |= 1)), ErrorCode::UnknownServerError);
    assert_eq!(append(&[&plain[..], &plain[..]].concat().into()), ErrorCode::InvalidRecord);
    // Nothing whole is nothing to write; requests that must bring a batch are refused before the log is asked.
    for nothing in [plain.slice(..70), Bytes::new()] {
        assert_eq!(append(&nothing), ErrorCode::None);
        assert_eq!(check_produce(&nothing, 3).map_err(|error| ErrorCode::from(&error)), Err(ErrorCode::InvalidRecord));
    }
    assert_eq!(append(&batch_of(20, 500, &"x".repeat(50))), ErrorCode::MessageTooLarge);
    let mut corrupt = plain.to_vec();
    corrupt[70] ^= 1;
    assert_eq!(append(&corrupt.into()), ErrorCode::CorruptMessage);
    let mut old = plain.to_vec();
    // Read as a message of magic 1, its checksum is wrong.
    old[16] = 1;
    assert_eq!(append(&old.into()), ErrorCode::CorruptMessage);
    let marker = end_txn_batch(EndTxn::Commit, 1, 0, 0, 500);
    assert_eq!(append(&marker), ErrorCode::InvalidRecord);
    assert_eq!(append(&altered(&plain, |h| h.attributes.0 |= Attributes::LOG_APPEND_TIME)), ErrorCode::None);

    config.segment_bytes = 100;
    config.message_timestamp_before_max_ms = 100;
    config.cleanup_policy.compact = true;
    log.set_config(Arc::new(config));
    let mut append = |bytes: &Bytes| log.append_as_leader(bytes, &client(0, 1000));
    assert_eq!(code(append(&batch_of(5, 950, "v"))), ErrorCode::RecordListTooLarge);
    let mut mixed = BatchBuilder::new();
    mixed.push(950, Some(b"k"), None, &[]);
    mixed.push(800, Some(b"k"), None, &[]);
    mixed.push(950, None, None, &[]);
    let Err(AppendError::Invalid(ValidateError::Records { code, faults })) = append(&mixed.build()) else { panic!() };
    assert_eq!(code, ErrorCode::InvalidTimestamp);
    assert_eq!(faults.iter().map(|fault| fault.index).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(faults[1].message, "Compacted topic cannot accept message without key");
    assert_eq!(log.end_offset(), Offset(6));
}

#[test]
fn what_a_produce_request_may_hold() {
    let plain = batch_of(1, 0, "v");
    assert!(check_produce(&plain, 3).is_ok());
    assert!(check_produce(&Bytes::new(), 3).is_err());
    assert!(check_produce(&[&plain[..], &plain[..]].concat().into(), 9).is_err());
    let mut builder = BatchBuilder::new().compression(Codec::Zstd);
    builder.push(0, None, None, &[]);
    let zstd = builder.build();
    assert_eq!(ErrorCode::from(&check_produce(&zstd, 6).unwrap_err()), ErrorCode::UnsupportedCompressionType);
    assert!(check_produce(&zstd, 7).is_ok());
}

#[test]
fn the_header_is_rewritten_and_the_records_are_not() {
    let dir = tempdir();
    let mut config = LogConfig::default();
    let mut log = open_clean(&dir.path().join("t-0"), &config);
    for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let mut builder = BatchBuilder::new().compression(codec);
        (0..50).for_each(|n| builder.push(n, Some(b"key"), Some(b"value"), &[(b"h", None)]));
        let sent = builder.build();
        let info = log.append_as_leader(&sent, &client(4, 1000)).unwrap();
        let stored = read_all(&log.view()).pop().unwrap();
        assert_eq!(stored.bytes[16..], sent[16..], "{codec:?}");
        assert_eq!((stored.header.base_offset, stored.header.partition_leader_epoch), (info.first_offset.0, 4));
    }
    config.message_timestamp_type = TimestampType::LogAppendTime;
    config.compression_type = CompressionType::Lz4;
    log.set_config(Arc::new(config));
    let info = log.append_as_leader(&batch_of(100, 5, "value"), &client(4, 7777)).unwrap();
    assert_eq!((info.log_append_time_ms, info.max_timestamp), (7777, 7777));
    let stored = read_all(&log.view()).pop().unwrap();
    assert_eq!(stored.header.attributes.codec(), Some(Codec::Lz4));
    let records: Vec<_> = stored.records().unwrap().map(|record| record.unwrap()).collect();
    assert_eq!(records.len(), 100);
    assert!(records.iter().all(|record| record.timestamp == 7777 && record.value.as_deref() == Some(b"value")));
    // Inner offsets that are not dense make a compressed batch be built anew.
    let mut gaps = BatchBuilder::new().compression(Codec::Lz4);
    [0, 2, 1].into_iter().for_each(|delta| gaps.push_at(delta, 1, Some(b"k"), None, &[]));
    let gaps = altered(&gaps.build(), |h| h.last_offset_delta = 2);
    log.append_as_leader(&gaps, &client(4, 7778)).unwrap();
    let stored = read_all(&log.view()).pop().unwrap();
    let offsets: Vec<_> =
        stored.records().unwrap().map(|record| record.unwrap().offset - stored.header.base_offset).collect();
    assert_eq!(offsets, [0, 1, 2]);
}

#[test]
fn a_batch_that_is_not_written_may_roll_the_log() {
    let dir = tempdir();
    let first = idempotent(1, 0, 0, 2);
    let config = LogConfig { segment_bytes: first.len() as i32 * 3 / 2, ..LogConfig::default() };
    let mut log = open_clean(&dir.path().join("t-0"), &config);
    assert_eq!(code(log.append_as_leader(&first, &client(0, 2000))), ErrorCode::None);
    assert!(log.append_as_leader(&first, &client(0, 2000)).unwrap().duplicate);
    assert_eq!(log.view().segment_starts(None, 2000, 9).unwrap(), [Offset(2), Offset(0)]);
    assert_eq!(log.append_as_leader(&idempotent(1, 0, 2, 2), &client(0, 2000)).unwrap().first_offset, Offset(2));
}

#[test]
fn idempotent_producers() {
    let dir = tempdir();
    let mut log = open_clean(&dir.path().join("t-0"), &LogConfig::default());
    let mut append =
        |pid, epoch, sequence, count| log.append_as_leader(&idempotent(pid, epoch, sequence, count), &client(0, 2000));

    assert_eq!(append(1, 0, 77, 2).unwrap().first_offset, Offset(0)); // unknown producer: any sequence
    for n in 0..6 {
        assert_eq!(append(1, 0, 79 + 2 * n, 2).unwrap().first_offset, Offset(2 + 2 * i64::from(n)));
    }
    let again = append(1, 0, 81, 2).unwrap(); // the fifth newest
    assert!(again.duplicate && again.bytes == 0);
    assert_eq!((again.first_offset, again.last_offset), (Offset(4), Offset(5)));
    assert_eq!(code(append(1, 0, 79, 2)), ErrorCode::OutOfOrderSequenceNumber); // forgotten
    assert_eq!(code(append(1, 0, 89, 1)), ErrorCode::OutOfOrderSequenceNumber); // part of a known batch
    assert_eq!(code(append(1, 0, 95, 1)), ErrorCode::OutOfOrderSequenceNumber); // gap
    assert_eq!(code(append(1, 1, 5, 1)), ErrorCode::OutOfOrderSequenceNumber); // new epoch must begin at 0
    assert_eq!(code(append(1, 1, 0, 1)), ErrorCode::None);
    assert_eq!(code(append(1, 0, 91, 1)), ErrorCode::InvalidProducerEpoch);
    assert_eq!(append(2, 0, i32::MAX - 1, 2).unwrap().first_offset, Offset(15)); // sequences wrap
    assert_eq!(append(2, 0, 0, 1).unwrap().first_offset, Offset(17));
    assert_eq!(append(3, 0, i32::MAX, 3).unwrap().first_offset, Offset(18)); // inside a batch too
    assert!(append(3, 0, i32::MAX, 3).unwrap().duplicate);
    assert_eq!(append(3, 0, 2, 1).unwrap().first_offset, Offset(21));
    assert_eq!(code(append(4, -1, 0, 1)), ErrorCode::None); // without an epoch
    assert_eq!(code(append(4, 0, 7, 1)), ErrorCode::None); // then any sequence
    log.close().unwrap();

    // After a restart the newest batch of each producer is known.
    let mut log = open_clean(&dir.path().join("t-0"), &LogConfig::default());
    assert!(log.append_as_leader(&idempotent(3, 0, 2, 1), &client(0, 0)).unwrap().duplicate);
    assert_eq!(
        code(log.append_as_leader(&idempotent(3, 0, i32::MAX, 3), &client(0, 0))),
        ErrorCode::OutOfOrderSequenceNumber
    );
}

fn transactional(pid: i64, sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new().producer(pid, 0, sequence).attributes(Attributes::TRANSACTIONAL);
    builder.push(1000, None, Some(b"v"), &[]);
    builder.build()
}

#[test]
fn a_transaction_begins_only_under_the_guard_of_its_verification() {
    let dir = tempdir();
    let mut log = open_clean(&dir.path().join("t-0"), &LogConfig::default());
    let with = |guard| LeaderAppend { txn: TxnCheck::Verified(guard), ..client(0, 1000) };
    let coordinator = LeaderAppend { origin: AppendOrigin::Coordinator, ..with(None) };
    let first = log.begin_verification(1, 0, 1);
    assert!(first.is_some() && log.begin_verification(1, 0, 0) == first, "one verification at a time");
    assert_eq!(
        code(log.append_as_leader(&transactional(1, 1), &with(first))),
        ErrorCode::OutOfOrderSequenceNumber,
        "the lower sequence comes first"
    );
    assert_eq!(code(log.append_as_leader(&transactional(1, 0), &with(None))), ErrorCode::InvalidTxnState);
    // A marker overtakes the verification.
    log.append_as_leader(&end_txn_batch(EndTxn::Abort, 1, 0, 0, 1000), &coordinator).unwrap();
    assert_eq!(code(log.append_as_leader(&transactional(1, 0), &with(first))), ErrorCode::InvalidTxnState);
    let second = log.begin_verification(1, 0, 0);
    assert_ne!(second, first);
    log.append_as_leader(&transactional(1, 0), &with(second)).unwrap();
    assert_eq!(log.begin_verification(1, 0, 1), None, "it is open");
    log.append_as_leader(&transactional(1, 1), &with(None)).unwrap();
    // The group coordinator's batches are held to it as well.
    assert_eq!(code(log.append_as_leader(&transactional(2, 0), &coordinator)), ErrorCode::InvalidTxnState);
}

#[test]
fn a_transaction_that_is_open_too_long_is_late() {
    let dir = tempdir();
    let mut log = open_clean(&dir.path().join("t-0"), &LogConfig::default());
    assert!(!log.view().has_late_transaction(i64::MAX, 0));
    log.append_as_leader(&transactional(1, 0), &client(0, 1000)).unwrap(); // Its timestamp is 1000.
    let late_after = 1000 + 900_000 + 300_000;
    assert!(
        !log.view().has_late_transaction(late_after, 900_000)
            && log.view().has_late_transaction(late_after + 1, 900_000)
    );
    let coordinator = LeaderAppend { origin: AppendOrigin::Coordinator, ..client(0, 1000) };
    log.append_as_leader(&end_txn_batch(EndTxn::Commit, 1, 0, 0, 1000), &coordinator).unwrap();
    assert!(!log.view().has_late_transaction(late_after + 1, 900_000));
}

#[test]
fn transactions_hold_back_committed_reads() {
    let dir = tempdir();
    let mut log = open_clean(&dir.path().join("t-0"), &LogConfig::default());
    let coordinator = LeaderAppend { origin: AppendOrigin::Coordinator, ..client(0, 1000) };
    let verifying = LeaderAppend { txn: TxnCheck::Verified(None), ..client(0, 1000) };
    assert_eq!(code(log.append_as_leader(&transactional(1, 0), &verifying)), ErrorCode::InvalidTxnState);
    log.append_as_leader(&batch_of(1, 0, "v"), &client(0, 1000)).unwrap(); // 0
    log.append_as_leader(&transactional(1, 0), &client(0, 1000)).unwrap(); // 1
    log.append_as_leader(&transactional(1, 1), &verifying).unwrap(); // 2
    log.append_as_leader(&transactional(2, 0), &client(0, 1000)).unwrap(); // 3
    assert_eq!(code(log.append_as_leader(&idempotent(2, 0, 1, 1), &client(0, 1000))), ErrorCode::InvalidTxnState);
    assert_eq!(log.view().last_stable_offset(Offset(4)), Offset(1));
    assert_eq!(log.view().last_stable_offset(Offset(1)), Offset(1));

    let marker = |end, pid, epoch, coordinator_epoch| end_txn_batch(end, pid, epoch, coordinator_epoch, 1000);
    log.append_as_leader(&marker(EndTxn::Abort, 1, 0, 3), &coordinator).unwrap(); // 4
    assert_eq!(
        code(log.append_as_leader(&marker(EndTxn::Commit, 1, 0, 2), &coordinator)),
        ErrorCode::TransactionCoordinatorFenced
    );
    assert_eq!(
        code(log.append_as_leader(&marker(EndTxn::Commit, 1, -1, 3), &coordinator)),
        ErrorCode::InvalidProducerEpoch
    );
    // Ended, but not known to be replicated.
    assert_eq!(log.view().last_stable_offset(Offset(4)), Offset(1));
    assert_eq!(log.view().last_stable_offset(Offset(5)), Offset(3));
    log.append_as_leader(&marker(EndTxn::Commit, 2, 1, 3), &coordinator).unwrap(); // 5
    assert_eq!(log.view().last_stable_offset(Offset(6)), Offset(6));
    let view = log.view();
    let read = view.read(Offset(0), 1 << 20, Offset(6), true).unwrap();
    let aborted = view.aborted_transactions(&read).unwrap();
    let expected = AbortedTxn { producer_id: 1, first_offset: 1, last_offset: 4, last_stable_offset: 3 };
    assert_eq!(aborted, [expected]);
    // A kill loses the state in memory; recovery builds it again.
    drop(log);
    let log = open_killed(&dir.path().join("t-0"), &LogConfig::default(), 0);
    assert_eq!(log.view().aborted_transactions(&read).unwrap(), [expected]);
    assert_eq!(log.producers().get(2).unwrap().epoch, 1);
}

#[test]
fn segments_roll_by_size_time_index_and_offset() {
    let roll_at = |config: &LogConfig, appends: &[Bytes]| {
        let dir = tempdir();
        let mut log = open_clean(&dir.path().join("t-0"), config);
        appends.iter().for_each(|bytes| _ = log.append_as_leader(bytes, &client(0, 1_000_000)).unwrap());
        assert_eq!(read_all(&log.view()).len(), appends.len());
        log_files(&dir.path().join("t-0")).len()
    };
    let plain = LogConfig::default();
    let batch = batch_of(1, 1000, "v");
    let by_size = LogConfig { segment_bytes: batch.len() as i32 * 2, ..plain.clone() };
    assert_eq!(roll_at(&by_size, &[batch.clone(), batch.clone(), batch.clone()]), 2);
    let by_time = LogConfig { segment_ms: 100, ..plain.clone() };
    assert_eq!(roll_at(&by_time, &[batch_of(1, 1000, "v"), batch_of(1, 1100, "v"), batch_of(1, 1101, "v")]), 2);
    // Message time counts, and going back in time is no reason.
    assert_eq!(roll_at(&by_time, &[batch_of(1, 1000, "v"), batch_of(1, 10, "v"), batch_of(1, 1100, "v")]), 1);
    let by_index = LogConfig { segment_index_bytes: 24, index_interval_bytes: 0, ..plain.clone() };
    assert_eq!(
        roll_at(&by_index, &[batch_of(1, 1, "v"), batch_of(1, 2, "v"), batch_of(1, 3, "v"), batch_of(1, 4, "v")]),
        2
    );
    let dir = tempdir();
    let mut log = open_clean(&dir.path().join("t-0"), &plain);
    for offset in [0, i64::from(i32::MAX), i64::from(i32::MAX) + 1] {
        log.append_as_follower(&altered(&batch, |h| h.base_offset = offset)).unwrap();
    }
    assert_eq!(log_files(&dir.path().join("t-0")).len(), 2);
}

#[test]
fn reads_obey_their_limits() {
    let dir = tempdir();
    let size = batch_of(2, 0, "value").len();
    let config = LogConfig { segment_bytes: 3 * size as i32, ..LogConfig::default() };
    let mut log = open_clean(&dir.path().join("t-0"), &config);
    (0..7).for_each(|_| _ = log.append_as_leader(&batch_of(2, 0, "value"), &client(0, 0)).unwrap());
    let view = log.view();
    let read = |start, max, upper, at_least_one| {
        let read = view.read(Offset(start), max, Offset(upper), at_least_one).unwrap();
        (read.position.segment_base.0, read.position.position as usize / size, read.len())
    };
    assert_eq!(read(0, 1 << 20, 14, true), (0, 0, 3 * size)); // one segment only
    assert_eq!(read(3, 1 << 20, 14, true), (0, 1, 2 * size)); // from the start of the batch
    assert_eq!(read(0, 10, 14, true), (0, 0, size));
    assert_eq!(read(0, 10, 14, false), (0, 0, 10));
    assert_eq!(read(0, 0, 14, false), (0, 0, 0));
    assert_eq!(read(0, 1 << 20, 4, true), (0, 0, 2 * size));
    assert_eq!(read(4, 1 << 20, 4, true), (0, 2, 0));
    assert_eq!(read(6, 1 << 20, 14, true), (6, 0, 3 * size));
    assert_eq!(read(13, 1 << 20, 100, true), (12, 0, size));
    assert_eq!(read(14, 1 << 20, 14, true), (12, 1, 0));
    assert!(matches!(view.read(Offset(15), 1, Offset(15), true), Err(ReadError::OffsetOutOfRange { .. })));
    assert!(matches!(view.read(Offset(-1), 1, Offset(15), true), Err(ReadError::OffsetOutOfRange { .. })));
    log.increment_start_offset(Offset(5)).unwrap();
    assert!(matches!(log.view().read(Offset(4), 1, Offset(14), true), Err(ReadError::OffsetOutOfRange { .. })));
    // An old view still reads what it saw.
    assert_eq!(read(0, 10, 14, true), (0, 0, size));
    log.truncate_fully_and_start_at(Offset(100)).unwrap();
    assert_eq!(read(0, 10, 14, true), (0, 0, size));
    assert_eq!((log.start_offset(), log.end_offset()), (Offset(100), Offset(100)));
}

#[test]
fn what_a_follower_refuses() {
    let dir = tempdir();
    let mut log = open_clean(&dir.path().join("t-0"), &LogConfig::default());
    let at = |offset| altered(&batch_of(2, 0, "v"), |h| h.base_offset = offset);
    let both = Bytes::from([&at(0)[..], &at(2)[..], &at(4)[..40]].concat());
    assert_eq!(log.append_as_follower(&both).unwrap().bytes, 2 * at(0).len());
    assert_eq!(log.end_offset(), Offset(4));
    assert!(matches!(log.append_as_follower(&at(3)), Err(FollowerAppendError::UnexpectedOffset { .. })));
    let backwards = Bytes::from([&at(8)[..], &at(6)[..]].concat());
    assert!(matches!(log.append_as_follower(&backwards), Err(FollowerAppendError::OffsetsOutOfOrder { .. })));
    let mut corrupt = at(4).to_vec();
    *corrupt.last_mut().unwrap() ^= 1;
    assert!(matches!(log.append_as_follower(&corrupt.into()), Err(FollowerAppendError::Batch(BatchError::Crc { .. }))));
    assert_eq!(log.append_as_follower(&Bytes::new()).unwrap().bytes, 0);
    assert_eq!(log.append_as_follower(&at(10)).unwrap().first_offset, Offset(10)); // gaps are fine
}

fn manager_options(dirs: &[&Path]) -> ManagerOptions {
    ManagerOptions {
        dirs: dirs.iter().map(|dir| dir.to_path_buf()).collect(),
        broker_id: BrokerId(3),
        cluster_id: "c".into(),
        default_config: Arc::new(LogConfig { file_delete_delay_ms: 0, ..LogConfig::default() }),
        topic_configs: HashMap::new(),
        recovery_threads_per_dir: 1,
        producer_expiration_ms: 86_400_000,
        on_dir_failure: Arc::new(|_, _| {}),
    }
}

#[test]
fn a_manager_keeps_its_partitions() {
    let (one, two) = (tempdir(), tempdir());
    let dirs = [one.path(), two.path()];
    let manager = Manager::start(manager_options(&dirs)).unwrap();
    let (a, b) = (TopicPartition::new("a", 0), TopicPartition::new("a", 1));
    let id = TopicId::random();
    let log = manager.get_or_create(&a, id, true).unwrap();
    assert!(Arc::ptr_eq(&log, &manager.get_or_create(&a, id, false).unwrap()));
    assert!(matches!(manager.get_or_create(&a, TopicId::random(), false), Err(OpenError::InconsistentTopicId { .. })));
    manager.get_or_create(&b, id, true).unwrap();
    assert!(manager.dirs().iter().all(|dir| dir.logs.len() == 1 && !dir.offline));

    let allowed = |_: &Log| Ok::<(), AppendError>(());
    log.append_as_leader(&batch_of(10, 0, "v"), &client(7, 0), allowed).unwrap();
    log.set_high_watermark(Offset(8));
    log.lock().increment_start_offset(Offset(4)).unwrap();
    manager.shutdown();
    let sealed = std::fs::read(one.path().join(".kafka_cleanshutdown")).unwrap();
    assert_eq!(sealed, br#"{"version":0,"brokerEpoch":-1}"#);
    drop((log, manager));

    let manager = Manager::start(manager_options(&dirs)).unwrap();
    assert!(!one.path().join(".kafka_cleanshutdown").exists());
    let log = manager.get(&a).unwrap();
    let view = log.view();
    assert_eq!((view.start_offset(), view.end_offset(), log.high_watermark()), (Offset(4), Offset(10), Offset(8)));
    assert_eq!((view.topic_id(), view.latest_epoch()), (id, Some(LeaderEpoch(7))));

    manager.delete(std::slice::from_ref(&a)).unwrap();
    assert!(manager.get(&a).is_none());
    assert!(log.append_as_leader(&batch_of(1, 0, "v"), &client(7, 0), allowed).is_err());
    assert_eq!(read_all(&view).len(), 1); // whoever reads goes on
    manager.delete_due_files();
    let left =
        |dir: &Path| std::fs::read_dir(dir).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(left(one.path()) + left(two.path()), 1);
    // Made again, it begins anew.
    assert_eq!(manager.get_or_create(&a, TopicId::ZERO, true).unwrap().view().end_offset(), Offset(0));
}

#[test]
fn a_manager_refuses_what_is_not_its_own() {
    let (one, two) = (tempdir(), tempdir());
    let (one, two) = (one.path(), two.path());
    let start = |options| Manager::start(options).map(|manager| manager.shutdown());
    start(manager_options(&[one])).unwrap();
    assert!(matches!(start(manager_options(&[one, one])), Err(StartError::DuplicateDir(_))));
    let other = ManagerOptions { broker_id: BrokerId(4), ..manager_options(&[one]) };
    assert!(matches!(start(other), Err(StartError::InconsistentBrokerId { stored: 3, .. })));
    let other = ManagerOptions { cluster_id: "d".into(), ..manager_options(&[one]) };
    assert!(matches!(start(other), Err(StartError::InconsistentClusterId { .. })));
    assert_eq!(stored_broker_id(&[one.into(), two.into()]).unwrap(), Some(BrokerId(3)));
    for dir in [one, two] {
        std::fs::create_dir(dir.join("t-0")).unwrap();
    }
    assert!(matches!(start(manager_options(&[one, two])), Err(StartError::DuplicatePartition { .. })));
    std::fs::create_dir(one.join("lost+found")).unwrap();
    assert!(matches!(start(manager_options(&[one])), Err(StartError::UnknownDirectory(_))));
    std::fs::remove_dir(one.join("lost+found")).unwrap();
    std::fs::write(one.join("recovery-point-offset-checkpoint"), "garbage").unwrap();
    assert!(matches!(start(manager_options(&[one])), Err(StartError::AllDirsFailed)));
    std::fs::write(one.join("meta.properties"), "version=1\nnode.id=3\n").unwrap();
    assert!(matches!(start(manager_options(&[one])), Err(StartError::BadMetaProperties(_))));
}

#[test]
fn closed_segments_are_flushed_and_the_recovery_point_moves() {
    let dir = tempdir();
    let mut options = manager_options(&[dir.path()]);
    options.default_config = Arc::new(LogConfig { segment_bytes: 100, ..LogConfig::default() });
    let manager = Manager::start(options).unwrap();
    let log = manager.get_or_create(&TopicPartition::new("t", 0), TopicId::ZERO, true).unwrap();
    let batch = batch_of(1, 0, "v");
    (0..3).for_each(|_| _ = log.append_as_leader(&batch, &client(0, 0), |_| Ok::<(), AppendError>(())).unwrap());
    log.flush(true).unwrap();
    assert_eq!(log.lock().recovery_point(), Offset(2));
    log.flush(false).unwrap();
    assert_eq!(log.lock().recovery_point(), Offset(3));
    manager.checkpoint_recovery_points();
    let text = std::fs::read_to_string(dir.path().join("recovery-point-offset-checkpoint")).unwrap();
    assert_eq!(text, "0\n1\nt 0 3\n");
}
