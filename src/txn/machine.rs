//! A transactional id as a pure state machine: requests, log results and the clock go in, images to be logged come out.
//!
//! The states are those of KIP-98 (section "Transaction Coordinator"), the epochs follow KIP-360:
//!
//! ```text
//!              AddPartitionsToTxn           EndTxn(commit)               all markers written
//!      Empty ──────────────────► Ongoing ────────────────► PrepareCommit ──────────────────► CompleteCommit
//!        ▲                        │   ▲                                                        │    │
//!        │                        │   └──────────────── AddPartitionsToTxn ────────────────────┤    │
//!        │                        │ EndTxn(abort), or a fence                                  │    │
//!        │                        └──────────────────► PrepareAbort ──────────────────► CompleteAbort
//!        └───────────────────────────────── InitProducerId ─────────────────────────────────────────┘
//! ```
//!
//! Every change is first an [`Image`] that is written to `__transaction_state`; while that is under way the change is
//! pending and other requests are told CONCURRENT_TRANSACTIONS. [`Txn::written`] makes it the state, [`Txn::not_written`]
//! drops it. Studied: `TransactionMetadata` and `TransactionCoordinator` of Kafka 3.9.

use std::collections::BTreeSet;

use crate::error::ErrorCode;
use crate::ids::TopicPartition;
use crate::time::Millis;

/// A producer may use epochs below this one; the one left over lets the coordinator always fence it.
const EXHAUSTED_EPOCH: i16 = i16::MAX - 1;
const NO_EPOCH: i16 = -1;

/// Where a transactional id stands; the numbers are those of the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(i8)]
pub enum State {
    /// No transaction was begun by the present producer.
    Empty = 0,
    Ongoing = 1,
    /// Decided; the markers are being written.
    PrepareCommit = 2,
    PrepareAbort = 3,
    /// Over; all partitions have their marker.
    CompleteCommit = 4,
    CompleteAbort = 5,
    /// Expired, and about to be forgotten. Never written.
    Dead = 6,
    /// A new producer fences the old one, whose transaction is about to be aborted. Never written.
    PrepareEpochFence = 7,
}

impl State {
    pub const ALL: [State; 8] = [
        State::Empty,
        State::Ongoing,
        State::PrepareCommit,
        State::PrepareAbort,
        State::CompleteCommit,
        State::CompleteAbort,
        State::Dead,
        State::PrepareEpochFence,
    ];

    pub fn from_id(id: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as i8 == id)
    }

    /// The name in DescribeTransactions and ListTransactions.
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Ongoing => "Ongoing",
            State::PrepareCommit => "PrepareCommit",
            State::PrepareAbort => "PrepareAbort",
            State::CompleteCommit => "CompleteCommit",
            State::CompleteAbort => "CompleteAbort",
            State::Dead => "Dead",
            State::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Is the step from `previous` one of KIP-98?
    pub fn may_follow(self, previous: State) -> bool {
        use State::*;
        match self {
            Empty => matches!(previous, Empty | CompleteCommit | CompleteAbort),
            Ongoing => matches!(previous, Ongoing | Empty | CompleteCommit | CompleteAbort),
            PrepareCommit => previous == Ongoing,
            PrepareAbort => matches!(previous, Ongoing | PrepareEpochFence),
            CompleteCommit => previous == PrepareCommit,
            CompleteAbort => previous == PrepareAbort,
            Dead => matches!(previous, Empty | CompleteCommit | CompleteAbort),
            PrepareEpochFence => previous == Ongoing,
        }
    }

    /// Is no transaction open or being ended?
    pub fn is_at_rest(self) -> bool {
        matches!(self, State::Empty | State::CompleteCommit | State::CompleteAbort)
    }

    fn is_prepared(self) -> bool {
        matches!(self, State::PrepareCommit | State::PrepareAbort)
    }
}

/// What is known of a transactional id; all but the `last` fields is in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    pub producer_id: i64,
    pub epoch: i16,
    /// Producer id and epoch before the last InitProducerId, -1 each if that named none: tells a retry from a zombie.
    pub last_producer_id: i64,
    pub last_epoch: i16,
    pub timeout_ms: i32,
    pub state: State,
    /// Of the transaction; while it is being ended, those whose marker is not known to be written.
    pub partitions: BTreeSet<TopicPartition>,
    /// Wall clock, ms; -1 if no transaction was begun.
    pub start_ms: Millis,
    pub update_ms: Millis,
}

/// What an InitProducerId leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Init {
    /// Written, this answers the request.
    Give(Image),
    /// The transaction of the producer before is aborted first; the client asks again.
    Abort(Image),
}

/// A transactional id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Txn {
    image: Image,
    pending: Option<State>,
    /// The epoch was raised to fence a producer, but that may not be in the log: it is not raised once more.
    fence_not_written: bool,
}

impl Txn {
    /// An id that nobody has used, with the producer id that it is going to have.
    pub fn new(producer_id: i64, timeout_ms: i32, now: Millis) -> Self {
        Self::restore(Image {
            producer_id,
            epoch: NO_EPOCH,
            last_producer_id: -1,
            last_epoch: NO_EPOCH,
            timeout_ms,
            state: State::Empty,
            partitions: BTreeSet::new(),
            start_ms: -1,
            update_ms: now,
        })
    }

    /// As the log tells.
    pub fn restore(image: Image) -> Self {
        Self { image, pending: None, fence_not_written: false }
    }

    pub fn image(&self) -> &Image {
        &self.image
    }

    pub fn state(&self) -> State {
        self.image.state
    }

    /// The state that is being written.
    pub fn pending(&self) -> Option<State> {
        self.pending
    }

    // --- Requests ---

    /// InitProducerId: a producer begins, or goes on after an error, and fences those before it. `expected` is the
    /// producer id and epoch that it believes to have; `fresh_id` gives an unused producer id.
    pub fn init(
        &mut self,
        expected: Option<(i64, i16)>,
        timeout_ms: i32,
        now: Millis,
        fresh_id: impl FnOnce() -> Result<i64, ErrorCode>,
    ) -> Result<Init, ErrorCode> {
        if self.pending.is_some() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        if expected.is_some_and(|expected| !self.is_own(expected)) {
            return Err(ErrorCode::ProducerFenced);
        }
        let expected_epoch = expected.map(|(_, epoch)| epoch);
        match self.image.state {
            state if state.is_prepared() => Err(ErrorCode::ConcurrentTransactions),
            State::Ongoing => Ok(Init::Abort(self.fence(now))),
            state => {
                assert!(state.is_at_rest(), "{state:?} is never a state, only pending");
                let (producer_id, epoch, last_epoch) = self.next_epoch(expected_epoch, fresh_id)?;
                Ok(Init::Give(self.begin(Image {
                    producer_id,
                    epoch,
                    last_producer_id: self.image.producer_id,
                    last_epoch,
                    timeout_ms,
                    state: State::Empty,
                    partitions: BTreeSet::new(),
                    start_ms: -1,
                    update_ms: now,
                })))
            }
        }
    }

    /// Is the producer that names this id and epoch the present one, or one that did not get the answer in which its id
    /// was exchanged? A fresh id belongs to whoever comes first.
    fn is_own(&self, (producer_id, epoch): (i64, i16)) -> bool {
        let Image { last_producer_id, .. } = self.image;
        self.image.epoch == NO_EPOCH
            || producer_id == self.image.producer_id
            || (producer_id == last_producer_id && epoch >= EXHAUSTED_EPOCH)
    }

    /// Producer id, epoch, and the epoch to remember as the last one.
    fn next_epoch(
        &self,
        expected: Option<i16>,
        fresh_id: impl FnOnce() -> Result<i64, ErrorCode>,
    ) -> Result<(i64, i16, i16), ErrorCode> {
        let Image { producer_id, epoch, last_epoch, .. } = self.image;
        if epoch >= EXHAUSTED_EPOCH && expected.is_none_or(|expected| expected == epoch) {
            return Ok((fresh_id()?, 0, if expected.is_some() { epoch } else { NO_EPOCH }));
        }
        match expected {
            None => Ok((producer_id, epoch + 1, NO_EPOCH)),
            Some(expected) if epoch == NO_EPOCH || expected == epoch => Ok((producer_id, epoch + 1, epoch)),
            // A retry: its answer was lost.
            Some(expected) if expected == last_epoch => Ok((producer_id, epoch, last_epoch)),
            Some(_) => Err(ErrorCode::ProducerFenced),
        }
    }

    /// AddPartitionsToTxn and AddOffsetsToTxn. `None`: they are all part of it already.
    pub fn add_partitions(
        &mut self,
        producer_id: i64,
        epoch: i16,
        partitions: BTreeSet<TopicPartition>,
        now: Millis,
    ) -> Result<Option<Image>, ErrorCode> {
        self.check_producer(producer_id, epoch)?;
        if self.pending.is_some() || self.image.state.is_prepared() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let ongoing = self.image.state == State::Ongoing;
        if ongoing && partitions.is_subset(&self.image.partitions) {
            return Ok(None);
        }
        let mut next = self.image.clone();
        next.state = State::Ongoing;
        next.partitions.extend(partitions);
        next.start_ms = if ongoing { next.start_ms } else { now };
        next.update_ms = now;
        Ok(Some(self.begin(next)))
    }

    /// Is the partition part of the transaction (KIP-890)? Asked by its leader before the first write.
    pub fn verify(&self, producer_id: i64, epoch: i16) -> Result<&BTreeSet<TopicPartition>, ErrorCode> {
        self.check_producer(producer_id, epoch)?;
        if self.image.state.is_prepared() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        Ok(&self.image.partitions)
    }

    /// EndTxn. `None`: that is how it has ended already.
    pub fn end(&mut self, producer_id: i64, epoch: i16, commit: bool, now: Millis) -> Result<Option<Image>, ErrorCode> {
        self.check_producer(producer_id, epoch)?;
        if self.pending.is_some() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        match (self.image.state, commit) {
            (State::Ongoing, _) => Ok(Some(self.prepare(commit, now))),
            (State::CompleteCommit, true) | (State::CompleteAbort, false) => Ok(None),
            (State::PrepareCommit, true) | (State::PrepareAbort, false) => Err(ErrorCode::ConcurrentTransactions),
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    fn check_producer(&self, producer_id: i64, epoch: i16) -> Result<(), ErrorCode> {
        if producer_id != self.image.producer_id {
            Err(ErrorCode::InvalidProducerIdMapping)
        } else if epoch != self.image.epoch {
            Err(ErrorCode::ProducerFenced)
        } else {
            Ok(())
        }
    }

    // --- What the coordinator does by itself ---

    /// Aborts an ongoing transaction under a higher epoch, so that its producer can write no more. The epoch counts at
    /// once, also if it cannot be written.
    pub fn fence(&mut self, now: Millis) -> Image {
        assert!(self.pending.is_none() && State::PrepareEpochFence.may_follow(self.image.state));
        if !self.fence_not_written {
            self.image.epoch = self.image.epoch.saturating_add(1);
        }
        self.image.last_epoch = NO_EPOCH;
        self.prepare(false, now)
    }

    fn prepare(&mut self, commit: bool, now: Millis) -> Image {
        let state = if commit { State::PrepareCommit } else { State::PrepareAbort };
        self.begin(Image { state, update_ms: now, ..self.image.clone() })
    }

    /// The decision is in the log: from now until all markers are written the end is pending. Gives its image.
    pub fn complete(&mut self, now: Millis) -> Image {
        let state = if self.image.state == State::PrepareCommit { State::CompleteCommit } else { State::CompleteAbort };
        self.fence_not_written = false;
        self.begin(Image { state, partitions: BTreeSet::new(), update_ms: now, ..self.image.clone() })
    }

    /// The marker of a partition is written, or nobody waits for it any more.
    pub fn marked(&mut self, partition: &TopicPartition) {
        assert!(self.image.state.is_prepared());
        self.image.partitions.remove(partition);
    }

    /// Is the transaction open for longer than its producer wanted?
    pub fn is_timed_out(&self, now: Millis) -> bool {
        let Image { state, start_ms, timeout_ms, .. } = self.image;
        self.pending.is_none() && state == State::Ongoing && start_ms + Millis::from(timeout_ms) < now
    }

    /// Has the id been unused for so long that it may be forgotten?
    pub fn is_expired(&self, now: Millis, expiration_ms: Millis) -> bool {
        self.pending.is_none() && self.image.state.is_at_rest() && self.image.update_ms <= now - expiration_ms
    }

    /// The id is about to be forgotten.
    pub fn bury(&mut self) {
        assert!(self.pending.is_none() && State::Dead.may_follow(self.image.state));
        self.pending = Some(State::Dead);
    }

    // --- The log ---

    fn begin(&mut self, next: Image) -> Image {
        assert!(
            self.pending.is_none() && next.state.may_follow(self.image.state),
            "{:?} (pending {:?}) cannot become {:?}",
            self.image.state,
            self.pending,
            next.state
        );
        self.pending = Some(next.state);
        next
    }

    /// The image is in the log, on all replicas in sync.
    pub fn written(&mut self, image: Image) {
        assert_eq!(self.pending, Some(image.state), "only what is pending can be written");
        self.pending = None;
        // As in Kafka the start of the transaction before stays in sight, though the record does not tell it.
        let start_ms = if image.state == State::Empty { self.image.start_ms } else { image.start_ms };
        self.image = Image { start_ms, ..image };
    }

    /// The image could not be written. `fencing`: it was to raise the epoch.
    pub fn not_written(&mut self, fencing: bool) {
        self.pending = None;
        self.fence_not_written |= fencing;
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
