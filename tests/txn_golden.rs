//! Records of `__transaction_state` and transactional records of `__consumer_offsets` that real Kafka wrote.

mod log_support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use barnabas::error::ErrorCode;
use barnabas::group::{Coordinator, GroupConfig};
use barnabas::ids::{LeaderEpoch, Offset};
use barnabas::internal_log::{InternalLog, for_each_batch};
use barnabas::log::Guard;
use barnabas::record::{self, EndMarker};
use barnabas::replica::txn::TxnProducer;
use barnabas::time::Clock;
use barnabas::txn::machine::State;
use barnabas::txn::records;
use barnabas::wait::{BoxFuture, ManualRuntime};
use bytes::Bytes;
use log_support::golden;

/// A segment that can only be read.
struct Segment(Bytes);

impl Segment {
    fn golden(partition: &str) -> Self {
        Self(std::fs::read(golden().join(partition).join("00000000000000000000.log")).unwrap().into())
    }

    /// Up to, and without, the batch at `offset`.
    fn cut(&self, offset: i64) -> Self {
        let batches = record::batches(self.0.clone()).map(Result::unwrap);
        let size: usize =
            batches.take_while(|batch| batch.header.base_offset < offset).map(|batch| batch.header.size()).sum();
        Self(self.0.slice(..size))
    }
}

impl InternalLog for Segment {
    fn append_verified(
        &self,
        _: i32,
        _: Bytes,
        _: i16,
        _: i32,
        _: Option<Guard>,
    ) -> BoxFuture<'static, Result<Offset, ErrorCode>> {
        Box::pin(async { Err(ErrorCode::KafkaStorageError) })
    }

    fn verify_txn(&self, _: i32, _: TxnProducer) -> BoxFuture<'static, Result<Option<Guard>, ErrorCode>> {
        Box::pin(async { Err(ErrorCode::CoordinatorNotAvailable) })
    }

    fn read(&self, _: i32, from: Offset, _: usize) -> Result<Option<Bytes>, ErrorCode> {
        Ok((from == Offset(0)).then(|| self.0.clone()))
    }

    fn start(&self, _: i32) -> Result<Offset, ErrorCode> {
        Ok(Offset(0))
    }
}

#[test]
fn states_of_transactions_are_read_and_written_byte_by_byte() {
    let mut last = BTreeMap::new();
    let mut count = 0;
    for_each_batch(&Segment::golden("__transaction_state-0"), 0, 1 << 20, |batch| {
        for record in batch.records().unwrap().map(Result::unwrap) {
            let (key, value) = (record.key.unwrap(), record.value.unwrap());
            let (id, image) = records::parse(key.clone(), Some(value.clone())).unwrap();
            let image = image.unwrap();
            assert_eq!(records::key(&id), key);
            let ours = records::value(&image);
            // Kafka writes several topics in the order of a hash map.
            let topics: BTreeSet<_> = image.partitions.iter().map(|partition| &partition.topic).collect();
            if topics.len() < 2 {
                assert_eq!(ours, value, "{id}: {image:?}");
            }
            assert_eq!(ours.len(), value.len());
            assert_eq!(records::parse(key.clone(), Some(ours)).unwrap().1.as_ref(), Some(&image));
            let before: Option<State> = last.insert(id, image.state);
            assert!(before.is_none_or(|before| image.state.may_follow(before)), "{before:?} then {:?}", image.state);
            // The whole batch as well: Kafka writes one record per batch.
            let ours = records::batch(&[(key, Some(value))], record.timestamp);
            let ours = record::batches(ours).next().unwrap().unwrap();
            assert_eq!(ours.payload(), batch.payload());
            count += 1;
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(count, 59);
    let states: Vec<_> = last.iter().map(|(id, state)| (id.as_str(), *state)).collect();
    assert_eq!(
        states,
        [
            ("golden-tx-1", State::Ongoing),
            ("golden-tx-2", State::CompleteCommit),
            ("golden-tx-3", State::CompleteCommit)
        ]
    );
}

#[test]
fn a_tombstone_and_unknown_versions() {
    let (id, image) = records::parse(records::key("gone"), None).unwrap();
    assert_eq!((id.as_str(), image), ("gone", None));
    assert!(records::parse(Bytes::from_static(b"\0\x01\0\0"), None).is_err());
    assert!(records::parse(records::key("x"), Some(Bytes::from_static(b"\0\0\x01"))).is_err());
    assert!(records::parse(records::key("x"), Some(Bytes::from_static(b"\0\x09"))).is_err());
}

fn loaded(log: Segment) -> Arc<Coordinator> {
    let runtime = ManualRuntime::new();
    let config = GroupConfig {
        min_session_timeout_ms: 1,
        max_session_timeout_ms: 100_000,
        initial_rebalance_delay_ms: 0,
        max_size: 10,
        offset_metadata_max_bytes: 100,
        load_buffer_bytes: 1 << 20,
        commit_timeout_ms: 1000,
        commit_required_acks: -1,
        offsets_retention_ms: i64::MAX,
    };
    let coordinator = Coordinator::new(Arc::new(log), Arc::new(runtime.clone()), Clock, config, 1);
    coordinator.elected(0, LeaderEpoch(0));
    runtime.run(1);
    coordinator
}

#[test]
fn offsets_of_a_transaction_hold_when_its_marker_comes() {
    let log = Segment::golden("__consumer_offsets-0");
    let markers: Vec<_> = record::batches(log.0.clone())
        .map(Result::unwrap)
        .filter(|batch| EndMarker::of(batch).is_some() && batch.header.attributes.control())
        .collect();
    let [marker] = &markers[..] else { panic!("one transaction") };
    let batches = record::batches(log.0.clone()).map(Result::unwrap);
    let data =
        batches.filter(|b| b.header.attributes.transactional()).find(|b| !b.header.attributes.control()).unwrap();
    let record = data.records().unwrap().next().unwrap().unwrap();
    let entry = barnabas::group::records::parse(record.key.unwrap(), record.value).unwrap();
    let barnabas::group::records::Entry::Offset { group, partition, committed } = entry else { panic!("an offset") };
    let asked = [partition.clone()];

    let open = loaded(log.cut(marker.header.base_offset));
    let before = open.fetch(&group, Some(&asked), false).unwrap()[0].1.clone().unwrap();
    assert_ne!(before, committed, "not in force yet");
    assert_eq!(open.fetch(&group, Some(&asked), true).unwrap()[0].1, Err(ErrorCode::UnstableOffsetCommit));
    // The marker comes after all was loaded.
    open.txn_ended(0, marker.header.producer_id, false);
    assert_eq!(open.fetch(&group, Some(&asked), true).unwrap()[0].1, Ok(before), "aborted");
    let open = loaded(log.cut(marker.header.base_offset));
    open.txn_ended(0, marker.header.producer_id, true);
    assert_eq!(open.fetch(&group, Some(&asked), true).unwrap()[0].1, Ok(committed.clone()), "committed");
    // The marker was there already.
    let ended = loaded(log.cut(marker.header.base_offset + 1));
    assert_eq!(ended.fetch(&group, Some(&asked), true).unwrap()[0].1, Ok(committed));
}
