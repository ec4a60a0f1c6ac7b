//! Who waits for a partition: acks=all writes for the high watermark, fetches for data. The place of Kafka's purgatories.
//!
//! A waiter is registered with each partition it waits for and is completed exactly once; dropping its guard removes it
//! everywhere. Marks and completions are made after the partition's other locks are released.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::error::ErrorCode;
use crate::ids::Offset;
use crate::wait::{Fill, Signal, Slot, slot};

/// An acks=all request that waits for several partitions.
pub struct ProduceWait {
    state: Mutex<ProduceWaitState>,
}

struct ProduceWaitState {
    outcomes: Vec<Option<ErrorCode>>,
    open: usize,
    done: Option<Fill<()>>,
}

impl ProduceWait {
    /// A wait for `partitions` partitions, and the slot that is filled when all are settled.
    pub fn new(partitions: usize) -> (Arc<Self>, Slot<()>) {
        let (fill, slot) = slot();
        let done = if partitions == 0 {
            fill.fill(());
            None
        } else {
            Some(fill)
        };
        let state = ProduceWaitState { outcomes: vec![None; partitions], open: partitions, done };
        (Arc::new(Self { state: Mutex::new(state) }), slot)
    }

    /// Settles one partition, by its index in the request; a second time does nothing.
    pub fn settle(&self, index: usize, outcome: ErrorCode) {
        let done = {
            let mut state = self.state.lock();
            if state.outcomes[index].is_some() {
                return;
            }
            state.outcomes[index] = Some(outcome);
            state.open -= 1;
            if state.open == 0 { state.done.take() } else { None }
        };
        if let Some(done) = done {
            done.fill(());
        }
    }

    /// The outcomes so far; `None` where the partition is not settled.
    pub fn outcomes(&self) -> Vec<Option<ErrorCode>> {
        self.state.lock().outcomes.clone()
    }
}

/// What a fetch waits for at a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Followers and debug readers: appends.
    LogEnd,
    /// Consumers: the high watermark, and with it the last stable offset.
    HighWatermark,
    /// DeleteRecords: the log starts of the replicas.
    LowWatermark,
}

/// A fetch that waits (or a DeleteRecords): a list of the partitions that changed since it looked last.
pub struct FetchWaiter {
    marked: Vec<AtomicBool>,
    dirty: Mutex<Vec<u32>>,
    signal: Signal,
}

impl FetchWaiter {
    /// A waiter over `partitions` partitions, named by their index.
    pub fn new(partitions: usize) -> Arc<Self> {
        let marked = std::iter::repeat_with(|| AtomicBool::new(false)).take(partitions).collect();
        Arc::new(Self { marked, dirty: Mutex::default(), signal: Signal::new() })
    }

    /// Notes that a partition changed, once, and wakes the fetch.
    pub fn mark(&self, index: u32) {
        if !self.marked[index as usize].swap(true, Ordering::AcqRel) {
            self.dirty.lock().push(index);
            self.signal.set();
        }
    }

    /// Waits for a change and returns the indexes of the changed partitions. Changes after this count anew.
    pub async fn changed(&self) -> Vec<u32> {
        loop {
            let dirty = std::mem::take(&mut *self.dirty.lock());
            if !dirty.is_empty() {
                for index in &dirty {
                    self.marked[*index as usize].store(false, Ordering::Release);
                }
                return dirty;
            }
            self.signal.wait().await;
        }
    }
}

/// The waiters of one partition.
#[derive(Default)]
pub struct Waits {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next_ticket: u64,
    /// By the offset that the high watermark must reach.
    produce: BTreeMap<(Offset, u64), (Arc<ProduceWait>, usize)>,
    fetch: Vec<(Arc<FetchWaiter>, u32, Interest)>,
}

/// Names a registered acks=all write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceTicket(Offset, u64);

impl Waits {
    /// Registers partition `index` of `wait`, which needs the high watermark to reach `required`.
    pub fn add_produce(&self, required: Offset, wait: Arc<ProduceWait>, index: usize) -> ProduceTicket {
        let mut inner = self.inner.lock();
        inner.next_ticket += 1;
        let ticket = ProduceTicket(required, inner.next_ticket);
        inner.produce.insert((ticket.0, ticket.1), (wait, index));
        ticket
    }

    /// Removes a write that gave up.
    pub fn remove_produce(&self, ticket: ProduceTicket) {
        self.inner.lock().produce.remove(&(ticket.0, ticket.1));
    }

    /// Settles the writes that need no more than `high_watermark`.
    pub fn settle_produce(&self, high_watermark: Offset, outcome: ErrorCode) {
        let done = {
            let mut inner = self.inner.lock();
            if inner.produce.first_key_value().is_none_or(|((required, _), _)| *required > high_watermark) {
                return;
            }
            let later = inner.produce.split_off(&(Offset(high_watermark.0.saturating_add(1)), 0));
            std::mem::replace(&mut inner.produce, later)
        };
        for (wait, index) in done.into_values() {
            wait.settle(index, outcome);
        }
    }

    /// Settles all writes, because the partition cannot commit them any more.
    pub fn fail_produce(&self, outcome: ErrorCode) {
        let all = std::mem::take(&mut self.inner.lock().produce);
        for (wait, index) in all.into_values() {
            wait.settle(index, outcome);
        }
    }

    /// Registers a waiting fetch.
    pub fn add_fetch(&self, waiter: Arc<FetchWaiter>, index: u32, interest: Interest) {
        self.inner.lock().fetch.push((waiter, index, interest));
    }

    /// Removes a waiting fetch.
    pub fn remove_fetch(&self, waiter: &Arc<FetchWaiter>) {
        self.inner.lock().fetch.retain(|(registered, _, _)| !Arc::ptr_eq(registered, waiter));
    }

    /// The log grew: tells those who read to its end.
    pub fn log_end_moved(&self) {
        self.mark(|interest| interest == Interest::LogEnd);
    }

    /// The high watermark moved: tells consumers.
    pub fn high_watermark_moved(&self) {
        self.mark(|interest| interest == Interest::HighWatermark);
    }

    /// A replica's log start moved, or a broker died.
    pub fn low_watermark_moved(&self) {
        self.mark(|interest| interest == Interest::LowWatermark);
    }

    /// The role, the epoch or the log's start changed: everybody looks again.
    pub fn everything_changed(&self) {
        self.mark(|_| true);
    }

    fn mark(&self, wanted: impl Fn(Interest) -> bool) {
        let waiters: Vec<(Arc<FetchWaiter>, u32)> = {
            let inner = self.inner.lock();
            inner.fetch.iter().filter(|entry| wanted(entry.2)).map(|(waiter, at, _)| (waiter.clone(), *at)).collect()
        };
        for (waiter, index) in waiters {
            waiter.mark(index);
        }
    }

    /// Numbers of waiting writes, fetches and deletions of records, for the purgatory metrics.
    pub fn sizes(&self) -> (usize, usize, usize) {
        let inner = self.inner.lock();
        let deletions = inner.fetch.iter().filter(|entry| entry.2 == Interest::LowWatermark).count();
        (inner.produce.len(), inner.fetch.len() - deletions, deletions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn high_watermark_settles_the_prefix() {
        let waits = Waits::default();
        let (wait, slot) = ProduceWait::new(2);
        let mut slot = pin!(slot);
        waits.add_produce(Offset(5), wait.clone(), 0);
        waits.add_produce(Offset(9), wait.clone(), 1);
        waits.settle_produce(Offset(4), ErrorCode::None);
        assert_eq!(wait.outcomes(), [None, None]);
        waits.settle_produce(Offset(5), ErrorCode::None);
        assert_eq!(wait.outcomes(), [Some(ErrorCode::None), None]);
        assert!(poll_once(slot.as_mut()).is_pending());
        waits.fail_produce(ErrorCode::NotLeaderOrFollower);
        assert_eq!(wait.outcomes()[1], Some(ErrorCode::NotLeaderOrFollower));
        assert_eq!(poll_once(slot.as_mut()), Poll::Ready(Some(())));
        assert_eq!(waits.sizes(), (0, 0, 0));
    }

    #[test]
    fn a_write_that_gave_up_is_gone() {
        let waits = Waits::default();
        let (wait, _slot) = ProduceWait::new(1);
        let ticket = waits.add_produce(Offset(5), wait.clone(), 0);
        waits.remove_produce(ticket);
        waits.settle_produce(Offset(9), ErrorCode::None);
        assert_eq!(wait.outcomes(), [None]);
    }

    #[test]
    fn nothing_to_wait_for_is_done_at_once() {
        let (_wait, slot) = ProduceWait::new(0);
        assert_eq!(poll_once(slot), Poll::Ready(Some(())));
    }

    #[test]
    fn each_partition_is_marked_once_and_only_for_its_readers() {
        let waits = Waits::default();
        let (consumer, follower) = (FetchWaiter::new(3), FetchWaiter::new(1));
        waits.add_fetch(consumer.clone(), 2, Interest::HighWatermark);
        waits.add_fetch(follower.clone(), 0, Interest::LogEnd);
        waits.log_end_moved();
        waits.log_end_moved();
        assert_eq!(poll_once(follower.changed()), Poll::Ready(vec![0]));
        assert!(poll_once(follower.changed()).is_pending());
        assert!(poll_once(consumer.changed()).is_pending());
        waits.everything_changed();
        assert_eq!(poll_once(consumer.changed()), Poll::Ready(vec![2]));
        assert_eq!(poll_once(follower.changed()), Poll::Ready(vec![0]));
        waits.remove_fetch(&consumer);
        waits.high_watermark_moved();
        assert!(poll_once(consumer.changed()).is_pending());
        assert_eq!(waits.sizes(), (0, 1, 0));
    }
}
