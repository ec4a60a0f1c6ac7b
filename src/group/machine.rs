//! A classic group as a pure state machine: requests, log results and the clock go in, answers and log writes come out.
//!
//! Rows of the tables are those of Kafka's `GroupCoordinator` and `GroupMetadata`; answers to requests that wait
//! (JoinGroup until all have joined, SyncGroup until the leader has spoken) leave as effects with the token of the
//! request. Time comes in as an argument; [`Group::deadline`] says when [`Group::tick`] has something to do.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::member::{Member, Token};
use crate::error::ErrorCode;
use crate::time::Millis;

/// A new member that has never been answered may stay silent this long (Kafka's `NewMemberJoinTimeoutMs`).
pub const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1000;

/// States of a group, by their names on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
    Dead,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
            State::Dead => "Dead",
        }
    }
}

/// A JoinGroup, whatever its version.
#[derive(Clone, Debug, Default)]
pub struct Join {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocol_type: String,
    pub protocols: Vec<(String, Bytes)>,
    /// v4+: a dynamic member must come back with the id it is given (KIP-394).
    pub member_id_required: bool,
    /// v9+: the leader of an unchanged group may be told to skip the assignment (KIP-814).
    pub supports_skipping_assignment: bool,
}

/// The answer to a JoinGroup.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Joined {
    pub error: Option<ErrorCode>,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub leader: String,
    pub member_id: String,
    pub skip_assignment: bool,
    /// Only for the leader: member id, instance id, subscription under the chosen strategy.
    pub members: Vec<(String, Option<String>, Bytes)>,
}

impl Joined {
    pub fn failed(error: ErrorCode, member_id: &str) -> Self {
        Self { error: Some(error), generation: -1, member_id: member_id.into(), ..Self::default() }
    }
}

/// The answer to a SyncGroup.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Synced {
    pub error: Option<ErrorCode>,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignment: Bytes,
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    Joined(Token, Joined),
    Synced(Token, Synced),
    /// Append the group's record to `__consumer_offsets`, then report by [`Group::stored`] with this generation.
    Store {
        generation: i32,
    },
}

/// Why the running join phase ends at its deadline.
#[derive(Clone, Debug)]
pub(super) struct JoinPhase {
    pub(super) deadline: Millis,
    /// The first phase of an empty group: waits for more members to come, in steps.
    pub(super) initial: Option<Initial>,
}

#[derive(Clone, Debug)]
pub(super) struct Initial {
    pub(super) remaining_ms: i64,
    pub(super) new_member: bool,
}

/// Who may change a group: identity that a request claims.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    pub member_id: &'a str,
    pub instance_id: Option<&'a str>,
    pub generation: i32,
}

/// A group, its members and the phase it is in. Offsets live beside it (`super::offsets`).
#[derive(Debug)]
pub struct Group {
    pub id: String,
    pub state: State,
    pub protocol_type: Option<String>,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// Wall clock of the last change of state, for the expiry of offsets.
    pub current_state_timestamp: Option<Millis>,
    pub(super) members: HashMap<String, Member>,
    pub(super) static_members: HashMap<String, String>,
    /// Ids given out by error 79 and not used yet, with their deadline.
    pub(super) pending: HashMap<String, Millis>,
    pub(super) join_phase: Option<JoinPhase>,
    /// Members that owe a SyncGroup of this generation, and until when.
    pub(super) pending_sync: HashSet<String>,
    pub(super) pending_sync_deadline: Option<Millis>,
    pub(super) next_seq: u64,
}

impl Group {
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            state: State::Empty,
            protocol_type: None,
            generation: 0,
            protocol: None,
            leader: None,
            current_state_timestamp: None,
            members: HashMap::new(),
            static_members: HashMap::new(),
            pending: HashMap::new(),
            join_phase: None,
            pending_sync: HashSet::new(),
            pending_sync_deadline: None,
            next_seq: 0,
        }
    }

    /// Members in the order of their arrival.
    pub fn members(&self) -> Vec<&Member> {
        let mut members: Vec<&Member> = self.members.values().collect();
        members.sort_by_key(|member| member.seq);
        members
    }

    pub fn member(&self, id: &str) -> Option<&Member> {
        self.members.get(id)
    }

    pub fn has_member(&self, id: &str) -> bool {
        self.members.contains_key(id)
    }

    pub fn size(&self) -> usize {
        self.members.len()
    }

    pub(super) fn awaiting_join(&self) -> usize {
        self.members.values().filter(|member| member.awaiting_join.is_some()).count()
    }

    pub(super) fn rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|member| i64::from(member.rebalance_timeout_ms)).max().unwrap_or(0)
    }

    pub(super) fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    /// Puts a member back that the log told of.
    pub fn restore(&mut self, mut member: Member, now: Millis) {
        member.seq = self.next_seq;
        self.next_seq += 1;
        member.session_deadline = now + i64::from(member.session_timeout_ms);
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), member.id.clone());
        }
        self.members.insert(member.id.clone(), member);
    }

    /// May one more member come? (`group.max.size`)
    pub fn accepts(&self, member_id: &str, max_size: usize) -> bool {
        match self.state {
            State::Empty | State::Dead => true,
            State::PreparingRebalance => {
                self.members.get(member_id).is_some_and(|member| member.awaiting_join.is_some())
                    || self.awaiting_join() < max_size
            }
            State::CompletingRebalance | State::Stable => self.has_member(member_id) || self.members.len() < max_size,
        }
    }

    /// Is the claimed member known, and is it the current bearer of its instance id?
    pub fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance_id {
            return match self.static_members.get(instance) {
                None => Err(ErrorCode::UnknownMemberId),
                Some(current) if current != member_id => Err(ErrorCode::FencedInstanceId),
                Some(_) => Ok(()),
            };
        }
        if self.has_member(member_id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    fn check_claim(&self, claim: Claim<'_>) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        self.check_member(claim.member_id, claim.instance_id)?;
        if claim.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        Ok(())
    }

    /// SyncGroup. `protocol` is what a v5+ request says it joined with; `assignments` come from the leader only.
    pub fn sync(
        &mut self,
        claim: Claim<'_>,
        protocol_type: Option<&str>,
        protocol: Option<&str>,
        assignments: Vec<(String, Bytes)>,
        token: Token,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let fail = |error| Effect::Synced(token, Synced { error: Some(error), ..Synced::default() });
        if let Err(error) = self.check_claim(claim) {
            return out.push(fail(error));
        }
        let differs = |said: Option<&str>, is: &Option<String>| said.is_some_and(|said| Some(said) != is.as_deref());
        if differs(protocol_type, &self.protocol_type) || differs(protocol, &self.protocol) {
            return out.push(fail(ErrorCode::InconsistentGroupProtocol));
        }
        match self.state {
            State::Empty | State::Dead => out.push(fail(ErrorCode::UnknownMemberId)),
            State::PreparingRebalance => out.push(fail(ErrorCode::RebalanceInProgress)),
            State::CompletingRebalance => {
                self.owes_no_sync(claim.member_id);
                let member = self.members.get_mut(claim.member_id).expect("checked above");
                member.awaiting_sync = Some(token);
                if self.is_leader(claim.member_id) {
                    for member in self.members.values_mut() {
                        member.assignment = Bytes::new();
                    }
                    for (id, assignment) in assignments {
                        if let Some(member) = self.members.get_mut(&id) {
                            member.assignment = assignment;
                        }
                    }
                    out.push(Effect::Store { generation: self.generation });
                }
            }
            State::Stable => {
                self.owes_no_sync(claim.member_id);
                let synced = self.synced(claim.member_id);
                out.push(Effect::Synced(token, synced));
                self.heartbeat_now(claim.member_id, now);
            }
        }
    }

    fn owes_no_sync(&mut self, id: &str) {
        self.pending_sync.remove(id);
        if self.pending_sync.is_empty() {
            self.pending_sync_deadline = None;
        }
    }

    fn synced(&self, id: &str) -> Synced {
        Synced {
            error: None,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self.members.get(id).map(|member| member.assignment.clone()).unwrap_or_default(),
        }
    }

    fn heartbeat_now(&mut self, id: &str, now: Millis) {
        if let Some(member) = self.members.get_mut(id) {
            member.session_deadline = now + i64::from(member.session_timeout_ms);
        }
    }

    /// The record asked for by [`Effect::Store`] is in the log, or could not be written.
    pub fn stored(&mut self, generation: i32, result: Result<(), ErrorCode>, now: Millis, out: &mut Vec<Effect>) {
        if self.state != State::CompletingRebalance || self.generation != generation {
            return; // The group has moved on; the next generation will be written.
        }
        match result {
            Ok(()) => {
                self.state = State::Stable;
                let ids: Vec<String> = self.members().iter().map(|member| member.id.clone()).collect();
                for id in ids {
                    let synced = self.synced(&id);
                    let member = self.members.get_mut(&id).expect("listed above");
                    if let Some(token) = member.awaiting_sync.take() {
                        member.session_deadline = now + i64::from(member.session_timeout_ms);
                        out.push(Effect::Synced(token, synced));
                    }
                }
            }
            Err(error) => {
                self.fail_syncs(error, out);
                self.prepare_rebalance(0, now, out);
            }
        }
    }

    /// Heartbeat: error, or the news that a rebalance runs.
    pub fn heartbeat(&mut self, claim: Claim<'_>, now: Millis) -> Result<(), ErrorCode> {
        self.check_claim(claim)?;
        match self.state {
            State::Empty => Err(ErrorCode::UnknownMemberId),
            State::PreparingRebalance => {
                self.heartbeat_now(claim.member_id, now);
                Err(ErrorCode::RebalanceInProgress)
            }
            _ => {
                self.heartbeat_now(claim.member_id, now);
                Ok(())
            }
        }
    }

    /// LeaveGroup of one member; an empty member id with an instance id is an administrator's removal.
    pub fn leave(
        &mut self,
        member_id: &str,
        instance_id: Option<&str>,
        now: Millis,
        out: &mut Vec<Effect>,
    ) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let id = match instance_id {
            Some(instance) if member_id.is_empty() => {
                self.static_members.get(instance).cloned().ok_or(ErrorCode::UnknownMemberId)?
            }
            _ if self.pending.remove(member_id).is_some() => {
                self.maybe_complete_join(now, out);
                return Ok(());
            }
            _ => {
                self.check_member(member_id, instance_id)?;
                member_id.to_owned()
            }
        };
        self.remove(&id, now, out);
        Ok(())
    }

    /// May this OffsetCommit be stored? Resets the session of an active member.
    pub fn check_commit(&mut self, claim: Claim<'_>, now: Millis) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let anonymous = claim.member_id.is_empty() && claim.instance_id.is_none();
        if claim.generation < 0 && anonymous {
            // A consumer that assigns its partitions itself may commit while nobody else uses the group.
            return if self.state == State::Empty { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
        }
        self.check_claim(claim)?;
        match self.state {
            State::CompletingRebalance => Err(ErrorCode::RebalanceInProgress),
            _ => {
                self.heartbeat_now(claim.member_id, now);
                Ok(())
            }
        }
    }

    /// As [`check_commit`](Self::check_commit), for offsets of a transaction: clients before v3 name no member, so that
    /// is accepted from anybody; and a rebalance under way does not matter.
    pub fn check_txn_commit(&self, claim: Claim<'_>) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let anonymous = claim.member_id.is_empty() && claim.instance_id.is_none();
        if claim.generation < 0 && (anonymous || self.state == State::Empty) {
            return Ok(());
        }
        self.check_claim(claim)
    }

    /// When [`Self::tick`] has something to do.
    pub fn deadline(&self) -> Option<Millis> {
        let sessions = self.members.values().filter(|m| !m.is_waiting() || m.is_new).map(|m| m.session_deadline);
        sessions
            .chain(self.pending.values().copied())
            .chain(self.join_phase.as_ref().map(|phase| phase.deadline))
            .chain(self.pending_sync_deadline)
            .min()
    }

    /// Ends what has run out: sessions, ids never used, the join phase, the wait for SyncGroups.
    pub fn tick(&mut self, initial_delay_ms: i64, now: Millis, out: &mut Vec<Effect>) {
        let before = self.pending.len();
        self.pending.retain(|_, deadline| *deadline > now);
        if self.pending.len() != before {
            self.maybe_complete_join(now, out);
        }
        let mut gone: Vec<(u64, String)> = self
            .members
            .values()
            .filter(|m| (!m.is_waiting() || m.is_new) && m.session_deadline <= now)
            .map(|m| (m.seq, m.id.clone()))
            .collect();
        gone.sort();
        for (_, id) in gone {
            tracing::info!(target: "kafka.coordinator.group", group = self.id, member = id,
                "Member has failed, removing it from the group");
            self.remove(&id, now, out);
        }
        if self.pending_sync_deadline.is_some_and(|deadline| deadline <= now) {
            self.pending_sync_deadline = None;
            let late: Vec<String> = self.pending_sync.drain().collect();
            for id in &late {
                self.forget(id, out);
            }
            if !late.is_empty() {
                self.maybe_prepare_rebalance(initial_delay_ms, now, out);
            }
        }
        if self.join_phase.as_ref().is_some_and(|phase| phase.deadline <= now) {
            self.join_phase_over(initial_delay_ms, now, out);
        }
    }

    /// The coordinator moves away or the group is deleted: whoever waits is told so.
    pub fn die(&mut self, error: ErrorCode, out: &mut Vec<Effect>) {
        self.state = State::Dead;
        let ids: Vec<String> = self.members().iter().map(|member| member.id.clone()).collect();
        for id in ids {
            let member = self.members.get_mut(&id).expect("listed above");
            if let Some(token) = member.awaiting_join.take() {
                out.push(Effect::Joined(token, Joined::failed(error, &id)));
            }
            if let Some(token) = member.awaiting_sync.take() {
                out.push(Effect::Synced(token, Synced { error: Some(error), ..Synced::default() }));
            }
        }
        self.join_phase = None;
        self.pending_sync_deadline = None;
        self.pending.clear();
        self.members.clear();
    }
}
