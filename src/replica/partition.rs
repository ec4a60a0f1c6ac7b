//! What a broker knows about one partition that it hosts: role, epochs, assignment, in-sync set, the replicas that
//! follow it, and the high watermark. Pure: time, the log's end and the settings come in as arguments, and every method
//! says what changed, so that the shell wakes whom it must after its locks are gone.
//!
//! Rule of the high watermark: the smallest log end among the leader, everybody in the *maximal* in-sync set, and
//! everybody who has caught up and may join; upward only, and not at all while the in-sync set is smaller than
//! min.insync.replicas. Studied: `Partition.scala`, `Replica.scala`.

use crate::error::ErrorCode;
use crate::ids::{BrokerId, ControllerEpoch, LeaderEpoch, Offset, PartitionEpoch};
use crate::time::Millis;

use super::isr::{Accepted, Isr, Proposal, Settled};

/// The settings that the rules depend on, and who may join the in-sync set.
#[derive(Clone, Copy)]
pub struct Rules<'a> {
    /// `replica.lag.time.max.ms`.
    pub lag_max_ms: Millis,
    /// `min.insync.replicas` of the topic.
    pub min_insync_replicas: usize,
    /// Is this broker alive in the metadata cache?
    pub eligible: &'a dyn Fn(BrokerId) -> bool,
}

/// The replicas of a partition and, during a reassignment, who comes and who goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    pub replicas: Vec<BrokerId>,
    pub adding: Vec<BrokerId>,
    pub removing: Vec<BrokerId>,
}

impl Assignment {
    /// Number of replicas that the partition should have when no reassignment runs.
    pub fn replication_factor(&self) -> usize {
        self.replicas.len().saturating_sub(self.adding.len())
    }
}

/// A partition's state as LeaderAndIsr tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewState {
    pub leader: BrokerId,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub controller_epoch: ControllerEpoch,
    pub isr: Vec<BrokerId>,
    pub assignment: Assignment,
}

/// What this broker does for the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Created, but no LeaderAndIsr was applied.
    Unassigned,
    Leader,
    Follower,
}

/// What to do with one partition of a LeaderAndIsr request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Apply,
    /// The same epoch again: only the topic id may be news.
    SameEpoch,
    /// Refused with this code.
    Refuse(ErrorCode),
}

/// A replica on another broker, as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    pub broker: BrokerId,
    /// Its log end: the offset it fetched at; [`Offset::NONE`] until it has fetched once in this epoch.
    pub log_end: Offset,
    pub log_start: Offset,
    leader_end_at_last_fetch: Offset,
    last_fetch_ms: Millis,
    /// When it last had everything that the leader had; `None` if never in this epoch.
    last_caught_up_ms: Option<Millis>,
}

impl Remote {
    fn new(broker: BrokerId) -> Self {
        Self {
            broker,
            log_end: Offset::NONE,
            log_start: Offset::NONE,
            leader_end_at_last_fetch: Offset::NONE,
            last_fetch_ms: 0,
            last_caught_up_ms: None,
        }
    }

    fn is_caught_up(&self, leader_end: Offset, now: Millis, lag_max_ms: Millis) -> bool {
        self.log_end == leader_end || self.last_caught_up_ms.is_some_and(|at| now - at <= lag_max_ms)
    }

    fn reset(&mut self, now: Millis, leader_end: Offset, newly_leader: bool, in_sync: bool) {
        self.last_caught_up_ms = in_sync.then_some(now);
        if newly_leader {
            self.log_end = Offset::NONE;
            self.log_start = Offset::NONE;
            self.leader_end_at_last_fetch = Offset::NONE;
            self.last_fetch_ms = 0;
        } else {
            self.leader_end_at_last_fetch = leader_end;
            self.last_fetch_ms = if in_sync { now } else { 0 };
        }
    }

    fn fetched(&mut self, at: Offset, log_start: Offset, leader_end: Offset, now: Millis) {
        if at >= leader_end {
            self.last_caught_up_ms = self.last_caught_up_ms.max(Some(now));
        } else if self.leader_end_at_last_fetch >= Offset(0) && at >= self.leader_end_at_last_fetch {
            self.last_caught_up_ms = self.last_caught_up_ms.max(Some(self.last_fetch_ms));
        }
        self.log_end = at;
        self.log_start = log_start;
        self.leader_end_at_last_fetch = self.leader_end_at_last_fetch.max(leader_end);
        self.last_fetch_ms = now;
    }
}

/// Result of becoming leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BecameLeader {
    /// It was not leader before: coordinators take over.
    pub newly_leader: bool,
    /// The leader epoch is new: the log's epoch cache gets (epoch, log end).
    pub new_epoch: bool,
    pub hw_moved: bool,
}

/// Result of a follower's fetch at the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowerFetched {
    /// The high watermark before this fetch; it goes into the answer.
    pub hw_before: Offset,
    pub hw_moved: bool,
    /// The smallest log start of the replicas may have moved.
    pub log_start_moved: bool,
    /// The follower may join: ask the controller.
    pub expand: Option<Proposal>,
}

/// Result of an answer to AlterPartition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsrAnswered {
    pub settled: Settled,
    pub hw_moved: bool,
    /// Set with [`Settled::Retry`].
    pub again: Option<Proposal>,
}

/// How far an acks=all write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    NotYet,
    /// Answer with this code: `None`, or why the write cannot be called committed.
    Done(ErrorCode),
}

/// The state of one partition on this broker.
#[derive(Clone, Debug)]
pub struct PartitionState {
    me: BrokerId,
    role: Role,
    leader: BrokerId,
    leader_epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
    controller_epoch: ControllerEpoch,
    /// The log's end when this broker became leader in this epoch; `None` on followers.
    epoch_start: Option<Offset>,
    assignment: Assignment,
    isr: Isr,
    remotes: Vec<Remote>,
    high_watermark: Offset,
}

impl PartitionState {
    /// A partition that no LeaderAndIsr has told anything about yet.
    pub fn new(me: BrokerId, high_watermark: Offset) -> Self {
        Self {
            me,
            role: Role::Unassigned,
            leader: BrokerId::NONE,
            leader_epoch: LeaderEpoch::NONE,
            partition_epoch: PartitionEpoch::NONE,
            controller_epoch: ControllerEpoch(0),
            epoch_start: None,
            assignment: Assignment::default(),
            isr: Isr::committed(Vec::new()),
            remotes: Vec::new(),
            high_watermark,
        }
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn is_leader(&self) -> bool {
        self.role == Role::Leader
    }

    /// The leader's id, [`BrokerId::NONE`] if there is none.
    pub fn leader(&self) -> BrokerId {
        self.leader
    }

    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    pub fn partition_epoch(&self) -> PartitionEpoch {
        self.partition_epoch
    }

    pub fn controller_epoch(&self) -> ControllerEpoch {
        self.controller_epoch
    }

    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    pub fn isr(&self) -> &Isr {
        &self.isr
    }

    pub fn remotes(&self) -> &[Remote] {
        &self.remotes
    }

    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    pub fn epoch_start(&self) -> Option<Offset> {
        self.epoch_start
    }

    /// A new leader does not know yet which offsets of earlier epochs were committed: until its high watermark
    /// reaches the start of its epoch it cannot tell consumers what is latest.
    pub fn latest_is_known(&self) -> bool {
        self.epoch_start.is_none_or(|start| self.high_watermark >= start)
    }

    /// Checks a `current_leader_epoch` of a request; negative means that the client does not know one.
    pub fn check_epoch(&self, asked: LeaderEpoch) -> Result<(), ErrorCode> {
        if asked < LeaderEpoch(0) || asked == self.leader_epoch {
            Ok(())
        } else if asked < self.leader_epoch {
            Err(ErrorCode::FencedLeaderEpoch)
        } else {
            Err(ErrorCode::UnknownLeaderEpoch)
        }
    }

    /// Checks the epoch first, then that this broker leads.
    pub fn check_leader(&self, asked: LeaderEpoch) -> Result<(), ErrorCode> {
        self.check_epoch(asked)?;
        if self.is_leader() { Ok(()) } else { Err(ErrorCode::NotLeaderOrFollower) }
    }

    /// What to do with this partition of a LeaderAndIsr request, by epoch and assignment.
    pub fn judge(&self, leader_epoch: LeaderEpoch, replicas: &[BrokerId]) -> Verdict {
        match leader_epoch.cmp(&self.leader_epoch) {
            std::cmp::Ordering::Greater if replicas.contains(&self.me) => Verdict::Apply,
            std::cmp::Ordering::Greater => Verdict::Refuse(ErrorCode::UnknownTopicOrPartition),
            std::cmp::Ordering::Equal => Verdict::SameEpoch,
            std::cmp::Ordering::Less => Verdict::Refuse(ErrorCode::StaleControllerEpoch),
        }
    }

    /// Takes over leadership, or a new assignment of a partition that it leads already. `None`: skipped, because a
    /// newer partition epoch is known.
    pub fn become_leader(
        &mut self,
        new: &NewState,
        log_end: Offset,
        now: Millis,
        rules: Rules<'_>,
    ) -> Option<BecameLeader> {
        if new.partition_epoch < self.partition_epoch {
            return None;
        }
        let newly_leader = self.role != Role::Leader;
        let new_epoch = new.leader_epoch > self.leader_epoch;
        self.controller_epoch = new.controller_epoch;
        self.partition_epoch = new.partition_epoch;
        self.assignment = new.assignment.clone();
        self.isr.replace(new.isr.clone());
        let assigned = &self.assignment.replicas;
        self.remotes.retain(|remote| assigned.contains(&remote.broker));
        for broker in assigned.iter().copied().filter(|broker| *broker != self.me) {
            if !self.remotes.iter().any(|remote| remote.broker == broker) {
                self.remotes.push(Remote::new(broker));
            }
        }
        if new_epoch {
            self.epoch_start = Some(log_end);
            for remote in &mut self.remotes {
                let in_sync = self.isr.members().contains(&remote.broker);
                remote.reset(now, log_end, newly_leader, in_sync);
            }
        }
        self.leader_epoch = new.leader_epoch;
        self.leader = self.me;
        self.role = Role::Leader;
        let hw_moved = self.advance(log_end, now, rules);
        Some(BecameLeader { newly_leader, new_epoch, hw_moved })
    }

    /// Follows another leader. `None`: skipped, because a newer partition epoch is known; else whether the leader
    /// epoch is new, so that the fetcher must start again.
    pub fn become_follower(&mut self, new: &NewState) -> Option<bool> {
        if new.partition_epoch < self.partition_epoch {
            return None;
        }
        let new_epoch = new.leader_epoch > self.leader_epoch;
        self.controller_epoch = new.controller_epoch;
        self.partition_epoch = new.partition_epoch;
        self.assignment = new.assignment.clone();
        self.isr.replace(Vec::new());
        self.remotes.clear();
        self.leader_epoch = new.leader_epoch;
        self.leader = new.leader;
        self.epoch_start = None;
        self.role = Role::Follower;
        Some(new_epoch)
    }

    /// The in-sync set that an acks=all write needs: never more than there are replicas.
    pub fn effective_min_isr(&self, min_insync_replicas: usize) -> usize {
        min_insync_replicas.min(self.assignment.replicas.len())
    }

    /// Is the committed in-sync set too small to commit anything?
    pub fn is_under_min_isr(&self, min_insync_replicas: usize) -> bool {
        self.isr.members().len() < self.effective_min_isr(min_insync_replicas)
    }

    /// The leader appended up to `log_end`. Returns whether the high watermark moved.
    pub fn appended(&mut self, log_end: Offset, now: Millis, rules: Rules<'_>) -> bool {
        self.advance(log_end, now, rules)
    }

    /// Time has passed or a broker has died: a replica outside the in-sync set that held the high watermark back, because
    /// it might have come in, may count no more. Kafka looks again only at the next append or fetch, so that an acks=all
    /// write may wait until its time-out.
    pub fn recheck(&mut self, log_end: Offset, now: Millis, rules: Rules<'_>) -> bool {
        self.advance(log_end, now, rules)
    }

    /// A follower fetched at `offset`, so it has everything below it.
    ///
    /// Errors: 6 for a broker that is not assigned (75 if the request carried a leader epoch).
    pub fn follower_fetched(
        &mut self,
        broker: BrokerId,
        asked_epoch: LeaderEpoch,
        offset: Offset,
        follower_log_start: Offset,
        log_end: Offset,
        now: Millis,
        rules: Rules<'_>,
    ) -> Result<FollowerFetched, ErrorCode> {
        let hw_before = self.high_watermark;
        let remote = self.remote_mut(broker, asked_epoch)?;
        let (old_end, old_start) = (remote.log_end, remote.log_start);
        remote.fetched(offset, follower_log_start, log_end, now);
        let expand = self.expand(broker, offset, rules);
        let hw_moved = old_end != offset && self.advance(log_end, now, rules);
        Ok(FollowerFetched { hw_before, hw_moved, log_start_moved: old_start != follower_log_start, expand })
    }

    /// May `broker` fetch here as a replica? Same errors as [`Self::follower_fetched`].
    pub fn check_follower(&self, broker: BrokerId, asked_epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        if self.remotes.iter().any(|remote| remote.broker == broker) {
            Ok(())
        } else if asked_epoch >= LeaderEpoch(0) {
            // Its LeaderAndIsr reached it before ours reached us: it shall try again.
            Err(ErrorCode::UnknownLeaderEpoch)
        } else {
            Err(ErrorCode::NotLeaderOrFollower)
        }
    }

    fn remote_mut(&mut self, broker: BrokerId, asked_epoch: LeaderEpoch) -> Result<&mut Remote, ErrorCode> {
        self.check_follower(broker, asked_epoch)?;
        self.remotes.iter_mut().find(|remote| remote.broker == broker).ok_or(ErrorCode::NotLeaderOrFollower)
    }

    /// A replica may join if it has everything that was committed, and has reached this leader's own epoch.
    fn expand(&mut self, broker: BrokerId, offset: Offset, rules: Rules<'_>) -> Option<Proposal> {
        let reached = offset >= self.high_watermark && self.epoch_start.is_some_and(|start| offset >= start);
        if self.isr.is_pending() || self.isr.members().contains(&broker) || !reached || !(rules.eligible)(broker) {
            return None;
        }
        self.isr.expand(broker)?;
        self.proposal()
    }

    /// Proposes to drop the members that have not caught up within `replica.lag.time.max.ms`.
    pub fn shrink(&mut self, log_end: Offset, now: Millis, rules: Rules<'_>) -> Option<Proposal> {
        if !self.is_leader() || self.isr.is_pending() {
            return None;
        }
        let late = self.out_of_sync(log_end, now, rules.lag_max_ms);
        self.isr.shrink(late)?;
        self.proposal()
    }

    /// The members of the in-sync set that lag too far behind.
    pub fn out_of_sync(&self, log_end: Offset, now: Millis, lag_max_ms: Millis) -> Vec<BrokerId> {
        self.remotes
            .iter()
            .filter(|remote| self.isr.members().contains(&remote.broker))
            .filter(|remote| !remote.is_caught_up(log_end, now, lag_max_ms))
            .map(|remote| remote.broker)
            .collect()
    }

    fn proposal(&self) -> Option<Proposal> {
        self.isr.proposal(self.leader_epoch, self.partition_epoch)
    }

    /// The controller answered the proposal `ticket`.
    pub fn isr_answered(
        &mut self,
        ticket: u64,
        answer: Result<Accepted, ErrorCode>,
        log_end: Offset,
        now: Millis,
        rules: Rules<'_>,
    ) -> IsrAnswered {
        let partition_epoch = answer.as_ref().ok().map(|state| state.partition_epoch);
        let settled = self.isr.answered(ticket, answer, self.leader_epoch, self.partition_epoch);
        if let (Settled::Expanded | Settled::Shrunk, Some(partition_epoch)) = (settled, partition_epoch) {
            self.partition_epoch = partition_epoch;
        }
        // A proposal that was rolled back no longer counts the replica that it would have let in.
        let changed = matches!(settled, Settled::Expanded | Settled::Shrunk | Settled::RolledBack);
        let hw_moved = changed && self.advance(log_end, now, rules);
        let again = if settled == Settled::Retry { self.proposal() } else { None };
        IsrAnswered { settled, hw_moved, again }
    }

    /// Moves the high watermark up if the rule allows it.
    fn advance(&mut self, log_end: Offset, now: Millis, rules: Rules<'_>) -> bool {
        if !self.is_leader() || self.is_under_min_isr(rules.min_insync_replicas) {
            return false;
        }
        let mut target = log_end;
        for remote in self.remotes.iter().filter(|remote| remote.log_end < log_end) {
            let counts = self.isr.maximal_contains(remote.broker)
                || (remote.is_caught_up(log_end, now, rules.lag_max_ms) && (rules.eligible)(remote.broker));
            if counts {
                target = target.min(remote.log_end);
            }
        }
        let moves = target > self.high_watermark;
        if moves {
            self.high_watermark = target;
        }
        moves
    }

    /// A follower learned the leader's high watermark: takes it, as far as its own log goes.
    pub fn leader_hw_seen(&mut self, leader_hw: Offset, log_start: Offset, log_end: Offset) -> bool {
        let hw = leader_hw.max(log_start).min(log_end);
        let moved = hw != self.high_watermark;
        self.high_watermark = hw;
        moved
    }

    /// The log was cut or its start moved: keeps the high watermark inside the log.
    pub fn log_bounds_changed(&mut self, log_start: Offset, log_end: Offset) -> bool {
        let hw = self.high_watermark.max(log_start).min(log_end);
        let moved = hw != self.high_watermark;
        self.high_watermark = hw;
        moved
    }

    /// Is everything below `required` committed? Asked on every change for an acks=all write that waits.
    pub fn committed(&self, required: Offset, min_insync_replicas: usize) -> Committed {
        if !self.is_leader() {
            Committed::Done(ErrorCode::NotLeaderOrFollower)
        } else if self.high_watermark < required {
            Committed::NotYet
        } else if self.effective_min_isr(min_insync_replicas) <= self.isr.maximal_len() {
            Committed::Done(ErrorCode::None)
        } else {
            Committed::Done(ErrorCode::NotEnoughReplicasAfterAppend)
        }
    }

    /// The smallest log start of the leader and the replicas that are alive; DeleteRecords waits for it.
    pub fn low_watermark(&self, own_log_start: Offset, alive: impl Fn(BrokerId) -> bool) -> Offset {
        self.remotes
            .iter()
            .filter(|remote| alive(remote.broker))
            .map(|remote| remote.log_start)
            .fold(own_log_start, Offset::min)
    }

    /// Fewer in-sync replicas than the partition should have? Only a leader can tell.
    pub fn is_under_replicated(&self) -> bool {
        self.is_leader() && self.isr.members().len() < self.assignment.replication_factor()
    }

    /// Exactly as many in-sync replicas as min.insync.replicas asks for?
    pub fn is_at_min_isr(&self, min_insync_replicas: usize) -> bool {
        self.is_leader() && self.isr.members().len() == self.effective_min_isr(min_insync_replicas)
    }
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
