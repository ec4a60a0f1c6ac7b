//! A partition that this broker hosts: the pure state, the log, and who waits for it, joined by locks.
//!
//! Locks are taken in the order log, state, waits. The log's lock is held across an append, so it also keeps the role
//! from changing under one; the state's lock is held for microseconds, never over a system call. Readers need the state
//! and an immutable view of the log. Whoever waits is woken after the others are released.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::error::ErrorCode;
use crate::ids::{BrokerId, LeaderEpoch, Offset, TopicId, TopicPartition};
use crate::log::{
    AppendError, AppendInfo, FollowerAppendError, Guard, LeaderAppend, Log, LogHandle, LogView, OpenError,
    StorageError, TxnCheck,
};
use crate::record::AppendOrigin;
use crate::time::Millis;

use super::alter_partition::IsrChange;
use super::env::{Counters, Env};
use super::isr::{Accepted, Proposal, Settled};
use super::metrics::Traffic;
use super::partition::{BecameLeader, Committed, NewState, PartitionState, Rules, Verdict};
use super::waits::{ProduceTicket, ProduceWait, Waits};

/// A hosted partition.
pub struct Partition {
    pub tp: TopicPartition,
    pub waits: Waits,
    pub traffic: Traffic,
    state: Mutex<PartitionState>,
    log: Arc<LogHandle>,
    /// Stopped or deleted: whoever still holds the partition finds it not here.
    stopped: AtomicBool,
}

/// Why the leader did not append.
#[derive(Debug, thiserror::Error)]
pub enum LeaderAppendError {
    /// Not leader here or in this epoch.
    #[error("{0}")]
    NotLeader(ErrorCode),
    /// acks=all, and fewer replicas in sync than min.insync.replicas.
    #[error("{in_sync} replicas in sync, {needed} needed")]
    NotEnoughReplicas { in_sync: usize, needed: usize },
    #[error(transparent)]
    Log(#[from] AppendError),
}

impl From<&LeaderAppendError> for ErrorCode {
    fn from(error: &LeaderAppendError) -> ErrorCode {
        match error {
            LeaderAppendError::NotLeader(code) => *code,
            LeaderAppendError::NotEnoughReplicas { .. } => ErrorCode::NotEnoughReplicas,
            LeaderAppendError::Log(error) => error.into(),
        }
    }
}

/// Where a follower's log stands after an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerAppended {
    pub log_end: Offset,
    /// Epoch of the last record, if anything is known.
    pub last_epoch: Option<LeaderEpoch>,
}

/// Why a follower's log was not changed.
#[derive(Debug, thiserror::Error)]
pub enum FollowerError {
    /// It follows nobody in this epoch any more.
    #[error("not a follower in this epoch")]
    NotFollower,
    /// The bytes are damaged; fetching again may help.
    #[error("{0}")]
    Corrupt(FollowerAppendError),
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// The leader's answer does not fit the log.
    #[error("{0}")]
    Unexpected(String),
}

impl Partition {
    /// A partition over its log, with the high watermark of the checkpoint.
    pub fn new(me: BrokerId, tp: TopicPartition, log: Arc<LogHandle>) -> Self {
        let view = log.view();
        let hw = log.high_watermark().max(view.start_offset()).min(view.end_offset());
        let state = Mutex::new(PartitionState::new(me, hw));
        Self { tp, waits: Waits::default(), traffic: Traffic::default(), state, log, stopped: AtomicBool::new(false) }
    }

    /// Looks at the state. The closure runs under its lock: no system calls, no other locks.
    pub fn with_state<T>(&self, look: impl FnOnce(&PartitionState) -> T) -> T {
        look(&self.state.lock())
    }

    /// The log as it is now.
    pub fn view(&self) -> Arc<LogView> {
        self.log.view()
    }

    pub fn log(&self) -> &Arc<LogHandle> {
        &self.log
    }

    pub fn topic_id(&self) -> TopicId {
        self.log.view().topic_id()
    }

    pub fn log_start(&self) -> Offset {
        self.log.view().start_offset()
    }

    pub fn log_end(&self) -> Offset {
        self.log.view().end_offset()
    }

    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.log.view().latest_epoch()
    }

    pub fn high_watermark(&self) -> Offset {
        self.state.lock().high_watermark()
    }

    /// Where the largest known epoch not after `epoch` ends; `None` if none is known.
    pub fn end_offset_for_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let (found, end) = self.log.view().end_offset_for_epoch(epoch);
        (!end.is_none()).then_some((found, end))
    }

    pub fn min_insync_replicas(&self) -> usize {
        self.log.config().min_insync_replicas.max(0) as usize
    }

    /// Is its log dir offline?
    pub fn is_offline(&self) -> bool {
        self.log.view().is_offline()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Changes the state by the rules, and shows its high watermark to the log's readers and the checkpoint before the
    /// state's lock is released, so that an older one never replaces a newer one.
    fn change<T>(&self, env: &Env, change: impl FnOnce(&mut PartitionState, Millis, Rules<'_>) -> T) -> T {
        let now = env.now_ms();
        env.with_rules(self.min_insync_replicas(), |rules| {
            let mut state = self.state.lock();
            let before = state.high_watermark();
            let result = change(&mut state, now, rules);
            if state.high_watermark() != before {
                self.log.set_high_watermark(state.high_watermark());
            }
            result
        })
    }

    /// Appends as leader. Everything that needs no lock is checked first; the batch gets its offset under the log's
    /// lock, where the role cannot change. `guard` shows that a transaction that begins here was verified.
    pub fn append_as_leader(
        &self,
        env: &Env,
        records: &Bytes,
        origin: AppendOrigin,
        acks_all: bool,
        guard: Option<Guard>,
    ) -> Result<AppendInfo, LeaderAppendError> {
        self.state.lock().check_leader(LeaderEpoch::NONE).map_err(LeaderAppendError::NotLeader)?;
        let min_isr = self.min_insync_replicas();
        self.check_min_isr(acks_all, min_isr)?;
        let txn = if env.verifies_txns() { TxnCheck::Verified(guard) } else { TxnCheck::Off };
        let mut append = LeaderAppend { leader_epoch: LeaderEpoch::NONE, origin, txn, now_ms: env.clock.wall_ms() };
        let prepared = Log::prepare(records, &append, &self.log.config())?;

        let (appended, hw_moved) = {
            let mut log = self.log.lock();
            append.leader_epoch = self.leader_epoch_to_append()?;
            self.check_min_isr(acks_all, min_isr)?;
            let info = log.append_prepared(prepared, &append)?;
            let end = log.end_offset();
            let hw_moved = self.change(env, |state, now, rules| state.appended(end, now, rules));
            (info, hw_moved)
        };
        self.waits.log_end_moved();
        if hw_moved {
            self.high_watermark_moved();
        }
        Ok(appended)
    }

    pub(super) fn leader_epoch_to_append(&self) -> Result<LeaderEpoch, LeaderAppendError> {
        let state = self.state.lock();
        if self.is_stopped() || !state.is_leader() {
            return Err(LeaderAppendError::NotLeader(ErrorCode::NotLeaderOrFollower));
        }
        Ok(state.leader_epoch())
    }

    fn check_min_isr(&self, acks_all: bool, min_isr: usize) -> Result<(), LeaderAppendError> {
        let state = self.state.lock();
        if acks_all && state.is_under_min_isr(min_isr) {
            return Err(LeaderAppendError::NotEnoughReplicas {
                in_sync: state.isr().members().len(),
                needed: state.effective_min_isr(min_isr),
            });
        }
        Ok(())
    }

    /// Registers an acks=all write that needs everything below `required`; it may be settled before this returns.
    pub fn wait_committed(&self, required: Offset, wait: &Arc<ProduceWait>, index: usize) -> ProduceTicket {
        let ticket = self.waits.add_produce(required, wait.clone(), index);
        // What happened between the append and now woke nobody.
        self.settle_produce();
        ticket
    }

    /// Settles the acks=all writes that can be settled.
    fn settle_produce(&self) {
        if self.is_stopped() {
            return self.waits.fail_produce(ErrorCode::NotLeaderOrFollower);
        }
        let min_isr = self.min_insync_replicas();
        let (hw, verdict) = {
            let state = self.state.lock();
            (state.high_watermark(), state.committed(state.high_watermark(), min_isr))
        };
        match verdict {
            Committed::Done(ErrorCode::NotLeaderOrFollower) => self.waits.fail_produce(ErrorCode::NotLeaderOrFollower),
            Committed::Done(outcome) => self.waits.settle_produce(hw, outcome),
            Committed::NotYet => {}
        }
    }

    /// After the high watermark moved: acks=all writes and consumers go on.
    fn high_watermark_moved(&self) {
        self.settle_produce();
        self.waits.high_watermark_moved();
    }

    /// A follower's fetch was answered from `offset`; called once per request, after the answer was planned.
    pub(super) fn follower_fetched(
        &self,
        env: &Env,
        broker: BrokerId,
        asked_epoch: LeaderEpoch,
        offset: Offset,
        follower_log_start: Offset,
        leader_end: Offset,
    ) -> Result<(), ErrorCode> {
        let fetched = self.change(env, |state, now, rules| {
            state.check_leader(asked_epoch)?;
            state.follower_fetched(broker, asked_epoch, offset, follower_log_start, leader_end, now, rules)
        })?;
        if let Some(proposal) = fetched.expand {
            tracing::info!(partition = %self.tp, isr = ?proposal.isr, version = %proposal.partition_epoch, "Expanding ISR");
            self.propose(env, proposal);
        }
        if fetched.hw_moved {
            self.high_watermark_moved();
        }
        if fetched.log_start_moved {
            self.waits.low_watermark_moved();
        }
        Ok(())
    }

    fn propose(&self, env: &Env, proposal: Proposal) {
        env.isr_updates.submit(self.tp.clone(), IsrChange { topic_id: self.topic_id(), proposal });
    }

    /// Looks again whether the high watermark may move, though nothing was appended or fetched.
    pub fn recheck_high_watermark(&self, env: &Env) {
        let end = self.log_end();
        if self.change(env, |state, now, rules| state.recheck(end, now, rules)) {
            self.high_watermark_moved();
        }
    }

    /// Proposes to drop members of the in-sync set that lag too far behind; the periodic scan.
    pub fn shrink_isr(&self, env: &Env) {
        let end = self.log_end();
        let proposal = self.change(env, |state, now, rules| state.shrink(end, now, rules));
        if let Some(proposal) = proposal {
            tracing::info!(partition = %self.tp, isr = ?proposal.isr, version = %proposal.partition_epoch,
                log_end = %end, high_watermark = %self.high_watermark(), "Shrinking ISR");
            self.propose(env, proposal);
        }
    }

    /// The controller answered a proposal; returns the one to send again, if it must be.
    pub fn isr_answered(&self, env: &Env, ticket: u64, answer: Result<Accepted, ErrorCode>) -> Option<IsrChange> {
        let end = self.log_end();
        let shown = format!("{answer:?}");
        let done = self.change(env, |state, now, rules| state.isr_answered(ticket, answer, end, now, rules));
        match done.settled {
            Settled::Expanded => Counters::add(&env.counters.isr_expands),
            Settled::Shrunk => Counters::add(&env.counters.isr_shrinks),
            settled if settled.failed() => Counters::add(&env.counters.failed_isr_updates),
            _ => {}
        }
        tracing::info!(partition = %self.tp, settled = ?done.settled, answer = shown, "AlterPartition answered");
        if done.hw_moved {
            self.high_watermark_moved();
        } else {
            // The set may have become large enough for writes that wait at the high watermark.
            self.settle_produce();
        }
        let topic_id = self.topic_id();
        done.again.map(|proposal| IsrChange { topic_id, proposal })
    }

    /// What to do with this partition of a LeaderAndIsr request.
    pub fn judge(&self, leader_epoch: LeaderEpoch, replicas: &[BrokerId]) -> Verdict {
        self.state.lock().judge(leader_epoch, replicas)
    }

    /// Becomes leader, or takes over a new assignment. `None`: skipped, a newer partition epoch is known.
    pub fn become_leader(&self, env: &Env, new: &NewState) -> Result<Option<BecameLeader>, StorageError> {
        let became = {
            let mut log = self.log.lock();
            let end = log.end_offset();
            let became = self.change(env, |state, now, rules| state.become_leader(new, end, now, rules));
            if became.is_some_and(|became| became.new_epoch) {
                log.assign_epoch(new.leader_epoch, end)?;
            }
            became
        };
        if let Some(became) = became {
            if became.hw_moved {
                self.high_watermark_moved();
            }
            // Fetches that were parked at a follower look again, now at a leader.
            self.waits.everything_changed();
        }
        Ok(became)
    }

    /// Follows another leader. `None`: skipped; else whether the leader epoch is new.
    pub fn become_follower(&self, new: &NewState) -> Option<bool> {
        let became = {
            let _no_append = self.log.lock();
            self.state.lock().become_follower(new)
        };
        if became == Some(true) {
            self.waits.fail_produce(ErrorCode::NotLeaderOrFollower);
            self.waits.everything_changed();
        }
        became
    }

    /// This broker stops hosting the partition: all who wait are answered 6.
    pub fn stop(&self) {
        {
            let _no_append = self.log.lock();
            self.stopped.store(true, Ordering::Release);
        }
        self.waits.fail_produce(ErrorCode::NotLeaderOrFollower);
        self.waits.everything_changed();
    }

    /// The log dir failed: nobody needs to wait any longer.
    pub fn went_offline(&self) {
        self.waits.fail_produce(ErrorCode::KafkaStorageError);
        self.waits.everything_changed();
    }

    fn check_following(&self, epoch: LeaderEpoch) -> Result<(), FollowerError> {
        let state = self.state.lock();
        let follows = !self.is_stopped() && !state.is_leader() && state.leader_epoch() == epoch;
        if follows { Ok(()) } else { Err(FollowerError::NotFollower) }
    }

    /// Appends what the leader answered to a fetch at `fetch_offset` in `epoch`, and takes over its high watermark and
    /// log start. Wakes consumers that read here.
    pub fn append_as_follower(
        &self,
        env: &Env,
        epoch: LeaderEpoch,
        fetch_offset: Offset,
        records: &Bytes,
        leader_hw: Offset,
        leader_log_start: Offset,
    ) -> Result<FollowerAppended, FollowerError> {
        let (appended, hw_moved) = {
            let mut log = self.log.lock();
            self.check_following(epoch)?;
            let end = log.end_offset();
            if end != fetch_offset {
                let text = format!("fetched from {fetch_offset}, but the log ends at {end}");
                return Err(FollowerError::Unexpected(text));
            }
            if !records.is_empty() {
                log.append_as_follower(records).map_err(follower_error)?;
            }
            let (start, end) = (log.start_offset(), log.end_offset());
            let hw_moved = self.change(env, |state, _, _| state.leader_hw_seen(leader_hw, start, end));
            if leader_log_start > start {
                log.increment_start_offset(leader_log_start.min(self.high_watermark()))?;
            }
            (FollowerAppended { log_end: end, last_epoch: log.epochs().latest() }, hw_moved)
        };
        self.waits.log_end_moved();
        if hw_moved {
            self.waits.high_watermark_moved();
        }
        Ok(appended)
    }

    /// Cuts the log to end at `to`, as a follower in `epoch`. Returns the new log end.
    pub fn truncate_as_follower(&self, env: &Env, epoch: LeaderEpoch, to: Offset) -> Result<Offset, FollowerError> {
        let end = {
            let mut log = self.log.lock();
            self.check_following(epoch)?;
            let hw = self.state.lock().high_watermark();
            if to < hw {
                tracing::warn!(partition = %self.tp, offset = %to, high_watermark = %hw, "Truncating below high watermark");
            }
            log.truncate_to(to)?;
            self.bounds_changed(env, &log)
        };
        self.waits.everything_changed();
        Ok(end)
    }

    /// Drops the whole log and starts it at `at`, as a follower in `epoch`. Returns the new log end.
    pub fn restart_as_follower(&self, env: &Env, epoch: LeaderEpoch, at: Offset) -> Result<Offset, FollowerError> {
        let end = {
            let mut log = self.log.lock();
            self.check_following(epoch)?;
            log.truncate_fully_and_start_at(at)?;
            self.bounds_changed(env, &log)
        };
        self.waits.everything_changed();
        Ok(end)
    }

    fn bounds_changed(&self, env: &Env, log: &Log) -> Offset {
        let (start, end) = (log.start_offset(), log.end_offset());
        self.change(env, |state, _, _| state.log_bounds_changed(start, end));
        end
    }

    /// Gives the log its topic's id.
    pub fn assign_topic_id(&self, id: TopicId) -> Result<(), OpenError> {
        self.log.lock().assign_topic_id(id)
    }
}

fn follower_error(error: FollowerAppendError) -> FollowerError {
    match error {
        FollowerAppendError::Batch(_) => FollowerError::Corrupt(error),
        FollowerAppendError::Storage(error) => FollowerError::Storage(error),
        other => FollowerError::Unexpected(other.to_string()),
    }
}
