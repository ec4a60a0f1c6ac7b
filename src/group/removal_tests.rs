//! What goes when, and the tombstones it leaves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use parking_lot::Mutex;

use super::*;
use crate::group::GroupConfig;
use crate::group::machine::Claim;
use crate::group::offsets::Committed;
use crate::group::records::Entry;
use crate::ids::{LeaderEpoch, Offset};
use crate::internal_log::InternalLog;
use crate::log::Guard;
use crate::record;
use crate::replica::txn::TxnProducer;
use crate::time::Clock;
use crate::wait::{BoxFuture, ManualRuntime};

/// A log of one partition in memory. While the second is set, no append is done.
#[derive(Default)]
struct MemoryLog(Mutex<Vec<Bytes>>, Arc<AtomicBool>);

impl InternalLog for MemoryLog {
    fn append_verified(
        &self,
        _: i32,
        batch: Bytes,
        _: i16,
        _: i32,
        _: Option<Guard>,
    ) -> BoxFuture<'static, Result<Offset, ErrorCode>> {
        let mut batches = self.0.lock();
        batches.push(batch);
        let base = Offset(batches.len() as i64 - 1);
        let stuck = self.1.clone();
        Box::pin(std::future::poll_fn(move |_| match stuck.load(Ordering::Relaxed) {
            true => Poll::Pending,
            false => Poll::Ready(Ok(base)),
        }))
    }

    fn verify_txn(&self, _: i32, _: TxnProducer) -> BoxFuture<'static, Result<Option<Guard>, ErrorCode>> {
        Box::pin(async { Ok(None) })
    }

    fn read(&self, _: i32, _: Offset, _: usize) -> Result<Option<Bytes>, ErrorCode> {
        Ok(None)
    }

    fn start(&self, _: i32) -> Result<Offset, ErrorCode> {
        Ok(Offset(0))
    }
}

impl MemoryLog {
    /// The entries of the last batch.
    fn last(&self) -> Vec<Entry> {
        let bytes = self.0.lock().last().cloned().unwrap();
        let batches = record::batches(bytes).map(Result::unwrap);
        let records = batches.flat_map(|batch| batch.records().unwrap().map(Result::unwrap).collect::<Vec<_>>());
        records.map(|record| records::parse(record.key.unwrap(), record.value).unwrap()).collect()
    }

    fn len(&self) -> usize {
        self.0.lock().len()
    }
}

fn coordinator() -> (Arc<Coordinator>, Arc<MemoryLog>, ManualRuntime) {
    let (log, runtime) = (Arc::new(MemoryLog::default()), ManualRuntime::new());
    let config = GroupConfig {
        min_session_timeout_ms: 1,
        max_session_timeout_ms: 100_000,
        initial_rebalance_delay_ms: 0,
        max_size: 10,
        offset_metadata_max_bytes: 100,
        load_buffer_bytes: 1000,
        commit_timeout_ms: 1000,
        commit_required_acks: -1,
        offsets_retention_ms: 1000,
    };
    let coordinator = Coordinator::new(log.clone(), Arc::new(runtime.clone()), Clock, config, 1);
    coordinator.elected(0, LeaderEpoch(0));
    runtime.run(2);
    (coordinator, log, runtime)
}

fn committed(at: Millis) -> Committed {
    Committed {
        offset: Offset(7),
        leader_epoch: LeaderEpoch(-1),
        metadata: String::new(),
        commit_timestamp: at,
        expire_timestamp: None,
    }
}

fn tp(topic: &str) -> TopicPartition {
    TopicPartition::new(topic, 0)
}

fn commit(coordinator: &Arc<Coordinator>, topic: &str, at: Millis) {
    let claim = Claim { member_id: "", instance_id: None, generation: -1 };
    let commit = coordinator.commit("g", claim, vec![(tp(topic), committed(at))]);
    let mut commit = std::pin::pin!(commit);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert_eq!(commit.as_mut().poll(&mut cx), Poll::Ready(Ok(())));
}

fn tombstone(topic: &str) -> Entry {
    Entry::Offset { group: "g".into(), partition: tp(topic), committed: None }
}

fn offsets_of(coordinator: &Coordinator) -> Vec<TopicPartition> {
    coordinator.fetch("g", None, false).unwrap().into_iter().map(|(partition, _)| partition).collect()
}

#[test]
fn a_deleted_group_leaves_tombstones() {
    let (coordinator, log, _) = coordinator();
    assert_eq!(coordinator.delete_group("g"), Err(ErrorCode::GroupIdNotFound));
    commit(&coordinator, "a", 0);
    commit(&coordinator, "b", 0);
    assert_eq!(coordinator.delete_group("g"), Ok(()));
    assert_eq!(log.last(), [tombstone("a"), tombstone("b")]);
    assert_eq!(coordinator.delete_group("g"), Err(ErrorCode::GroupIdNotFound));
}

#[test]
fn offsets_go_one_by_one_and_then_the_group() {
    let (coordinator, log, _) = coordinator();
    assert_eq!(coordinator.delete_offsets("g", vec![tp("a")]), Err(ErrorCode::GroupIdNotFound));
    commit(&coordinator, "a", 0);
    commit(&coordinator, "b", 0);
    assert_eq!(coordinator.delete_offsets("g", vec![tp("a"), tp("x")]), Ok(vec![]));
    assert_eq!((log.last(), offsets_of(&coordinator)), (vec![tombstone("a")], vec![tp("b")]));
    assert_eq!(coordinator.delete_offsets("g", vec![tp("b")]), Ok(vec![]));
    assert_eq!(coordinator.delete_group("g"), Err(ErrorCode::GroupIdNotFound));
}

#[test]
fn offsets_go_with_their_topic_and_with_time() {
    let (coordinator, log, runtime) = coordinator();
    let now = Clock.wall_ms();
    commit(&coordinator, "a", now);
    commit(&coordinator, "b", now);
    commit(&coordinator, "old", now - 1000);
    coordinator.partitions_deleted(vec![tp("a"), TopicPartition::new("a", 1)]);
    runtime.run(1);
    assert_eq!(log.last(), [tombstone("a")]);
    coordinator.expire_offsets();
    assert_eq!((log.last(), offsets_of(&coordinator)), (vec![tombstone("old")], vec![tp("b")]));
    let batches = log.len();
    coordinator.partitions_deleted(vec![tp("c")]);
    runtime.run(1);
    assert_eq!(log.len(), batches);
}

#[test]
fn an_offset_is_unstable_while_a_commit_is_under_way() {
    let (coordinator, log, _) = coordinator();
    let now = Clock.wall_ms();
    commit(&coordinator, "a", now);
    let stable =
        || coordinator.fetch("g", Some(&[tp("a")]), true).unwrap().remove(0).1.map(|c| c.unwrap().commit_timestamp);
    log.1.store(true, Ordering::Relaxed);
    let claim = || Claim { member_id: "", instance_id: None, generation: -1 };
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let mut first = Box::pin(coordinator.commit("g", claim(), vec![(tp("a"), committed(now + 1))]));
    let mut second = Box::pin(coordinator.commit("g", claim(), vec![(tp("a"), committed(now + 2))]));
    assert!(first.as_mut().poll(&mut cx).is_pending() && second.as_mut().poll(&mut cx).is_pending());
    assert_eq!(stable(), Err(ErrorCode::UnstableOffsetCommit));
    assert_eq!(offsets_of(&coordinator), [tp("a")]);
    log.1.store(false, Ordering::Relaxed);
    assert!(first.as_mut().poll(&mut cx).is_ready());
    assert_eq!(stable(), Err(ErrorCode::UnstableOffsetCommit));
    assert!(second.as_mut().poll(&mut cx).is_ready());
    assert_eq!(stable(), Ok(now + 2));
}

#[test]
fn when_offsets_expire() {
    let mut group = Group::new("g");
    let mut offsets = Offsets::default();
    offsets.apply(tp("a"), Offset(0), committed(100));
    offsets.apply(tp("b"), Offset(1), Committed { expire_timestamp: Some(105), ..committed(100) });
    let gone = |group: &Group, now| expired(group, &offsets, now, 50);
    // Consumers that assign partitions themselves: from the commit on, or as they said.
    assert_eq!(
        (gone(&group, 104), gone(&group, 105), gone(&group, 150)),
        (vec![], vec![tp("b")], vec![tp("a"), tp("b")])
    );
    // An empty group: from the moment on when it became empty.
    group.protocol_type = Some("consumer".into());
    group.current_state_timestamp = Some(200);
    assert_eq!((gone(&group, 249), gone(&group, 250)), (vec![tp("b")], vec![tp("a"), tp("b")]));
    // Groups at work: consumers keep what they subscribe to, others everything.
    group.state = State::Stable;
    assert_eq!(gone(&group, 1000), [tp("a"), tp("b")]);
    group.protocol_type = Some("connect".into());
    assert_eq!(gone(&group, 1000), []);
}
