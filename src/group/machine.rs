//! A classic group as a pure state machine: requests, log results and the clock go in, answers and log writes come out.
//!
//! Rows of the tables are those of Kafka's `GroupCoordinator` and `GroupMetadata`; answers to requests that wait
//! (JoinGroup until all have joined, SyncGroup until the leader has spoken) leave as effects with the token of the
//! request. Time comes in as an argument; [`Group::deadline`] says when [`Group::tick`] has something to do.

use std::collections::{BTreeMap, HashMap, HashSet};

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
struct JoinPhase {
    deadline: Millis,
    /// The first phase of an empty group: waits for more members to come, in steps.
    initial: Option<Initial>,
}

#[derive(Clone, Debug)]
struct Initial {
    remaining_ms: i64,
    new_member: bool,
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
    members: HashMap<String, Member>,
    static_members: HashMap<String, String>,
    /// Ids given out by error 79 and not used yet, with their deadline.
    pending: HashMap<String, Millis>,
    join_phase: Option<JoinPhase>,
    /// Members that owe a SyncGroup of this generation, and until when.
    pending_sync: HashSet<String>,
    pending_sync_deadline: Option<Millis>,
    next_seq: u64,
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

    fn awaiting_join(&self) -> usize {
        self.members.values().filter(|member| member.awaiting_join.is_some()).count()
    }

    fn rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|member| i64::from(member.rebalance_timeout_ms)).max().unwrap_or(0)
    }

    fn is_leader(&self, id: &str) -> bool {
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

    fn supports_protocols(&self, join: &Join) -> bool {
        if self.members.is_empty() {
            return !join.protocol_type.is_empty() && !join.protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(&*join.protocol_type)
            && join.protocols.iter().any(|(name, _)| self.members.values().all(|member| member.supports(name)))
    }

    /// JoinGroup, from the group's own check on (coordinators.md 2.2, rows 6 to 15). `fresh_id` is the member id to
    /// give to a new member; `initial_delay_ms` is `group.initial.rebalance.delay.ms`.
    pub fn join(
        &mut self,
        join: Join,
        token: Token,
        fresh_id: String,
        initial_delay_ms: i64,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let fail = |error, id: &str| Effect::Joined(token, Joined::failed(error, id));
        if self.state == State::Dead {
            return out.push(fail(ErrorCode::CoordinatorNotAvailable, &join.member_id));
        }
        if !self.supports_protocols(&join) {
            return out.push(fail(ErrorCode::InconsistentGroupProtocol, &join.member_id));
        }
        if join.member_id.is_empty() {
            return self.join_unknown(join, token, fresh_id, initial_delay_ms, now, out);
        }
        if self.pending.contains_key(&join.member_id) {
            // A static member never gets a pending id.
            if join.instance_id.is_some() {
                return out.push(fail(ErrorCode::UnknownMemberId, &join.member_id));
            }
            let id = join.member_id.clone();
            return self.add_member(id, join, token, initial_delay_ms, now, out);
        }
        if let Err(error) = self.check_member(&join.member_id, join.instance_id.as_deref()) {
            return out.push(fail(error, &join.member_id));
        }
        let member = &self.members[&join.member_id];
        let same = member.protocols == join.protocols;
        match self.state {
            State::PreparingRebalance => self.update_member(join, token, now, out),
            State::CompletingRebalance if same => out.push(self.current_generation(&join.member_id, token)),
            State::CompletingRebalance => self.update_and_rebalance(join, token, initial_delay_ms, now, out),
            State::Stable if self.is_leader(&join.member_id) || !same => {
                self.update_and_rebalance(join, token, initial_delay_ms, now, out)
            }
            State::Stable => out.push(self.current_generation(&join.member_id, token)),
            State::Empty | State::Dead => out.push(fail(ErrorCode::UnknownMemberId, &join.member_id)),
        }
        self.touch(now, token, out);
    }

    /// A member that got an answer at once starts its session anew.
    fn touch(&mut self, now: Millis, token: Token, out: &[Effect]) {
        if let Some(Effect::Joined(answered, joined)) = out.last()
            && *answered == token
            && joined.error.is_none()
            && let Some(member) = self.members.get_mut(&joined.member_id)
        {
            member.session_deadline = now + i64::from(member.session_timeout_ms);
        }
    }

    /// The generation as it stands, for a member that missed its answer.
    fn current_generation(&self, id: &str, token: Token) -> Effect {
        let members = if self.is_leader(id) { self.subscriptions() } else { Vec::new() };
        Effect::Joined(token, self.joined(id, members))
    }

    fn joined(&self, id: &str, members: Vec<(String, Option<String>, Bytes)>) -> Joined {
        Joined {
            error: None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            member_id: id.into(),
            skip_assignment: false,
            members,
        }
    }

    fn subscriptions(&self) -> Vec<(String, Option<String>, Bytes)> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members();
        members.iter().map(|m| (m.id.clone(), m.instance_id.clone(), m.metadata(protocol))).collect()
    }

    fn join_unknown(
        &mut self,
        join: Join,
        token: Token,
        fresh_id: String,
        initial_delay_ms: i64,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        if let Some(instance) = join.instance_id.clone() {
            return match self.static_members.get(&instance).cloned() {
                Some(old) => self.replace_static(&old, fresh_id, join, token, initial_delay_ms, now, out),
                None => self.add_member(fresh_id, join, token, initial_delay_ms, now, out),
            };
        }
        if join.member_id_required {
            self.pending.insert(fresh_id.clone(), now + i64::from(join.session_timeout_ms));
            return out.push(Effect::Joined(token, Joined::failed(ErrorCode::MemberIdRequired, &fresh_id)));
        }
        self.add_member(fresh_id, join, token, initial_delay_ms, now, out);
    }

    fn add_member(
        &mut self,
        id: String,
        join: Join,
        token: Token,
        initial_delay_ms: i64,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        self.pending.remove(&id);
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(id.clone());
        }
        if let Some(instance) = &join.instance_id {
            self.static_members.insert(instance.clone(), id.clone());
        }
        let member = Member {
            id: id.clone(),
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols,
            assignment: Bytes::new(),
            awaiting_join: Some(token),
            awaiting_sync: None,
            is_new: true,
            session_deadline: now + NEW_MEMBER_JOIN_TIMEOUT_MS,
            seq: self.next_seq,
        };
        self.next_seq += 1;
        self.members.insert(id, member);
        if let Some(JoinPhase { initial: Some(initial), .. }) = &mut self.join_phase {
            initial.new_member = true;
        }
        self.maybe_prepare_rebalance(initial_delay_ms, now, out);
    }

    /// A static member came back without its id: it takes the place of its old self (KIP-345).
    #[allow(clippy::too_many_arguments)]
    fn replace_static(
        &mut self,
        old_id: &str,
        new_id: String,
        join: Join,
        token: Token,
        initial_delay_ms: i64,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        let Some(mut member) = self.members.remove(old_id) else {
            return out.push(Effect::Joined(token, Joined::failed(ErrorCode::UnknownMemberId, "")));
        };
        if let Some(waiting) = member.awaiting_join.take() {
            out.push(Effect::Joined(waiting, Joined::failed(ErrorCode::FencedInstanceId, old_id)));
        }
        if let Some(waiting) = member.awaiting_sync.take() {
            out.push(Effect::Synced(waiting, Synced { error: Some(ErrorCode::FencedInstanceId), ..Synced::default() }));
        }
        let was_leader = self.is_leader(old_id);
        member.id = new_id.clone();
        if was_leader {
            self.leader = Some(new_id.clone());
        }
        if self.pending_sync.remove(old_id) {
            self.pending_sync.insert(new_id.clone());
        }
        if let Some(instance) = &join.instance_id {
            self.static_members.insert(instance.clone(), new_id.clone());
        }
        member.client_id = join.client_id.clone();
        member.client_host = join.client_host.clone();
        member.session_timeout_ms = join.session_timeout_ms;
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_deadline = now + i64::from(member.session_timeout_ms);
        self.members.insert(new_id.clone(), member);

        let old_protocol = self.protocol.clone();
        let skipping = join.supports_skipping_assignment;
        let protocols = join.protocols.clone();
        if self.state == State::Stable {
            if let Some(member) = self.members.get_mut(&new_id) {
                member.protocols = protocols;
            }
            if self.select_protocol() == old_protocol {
                // Nothing that matters has changed: the same generation goes on, under the new id.
                let mut joined = self.joined(&new_id, Vec::new());
                if was_leader && skipping {
                    joined.members = self.subscriptions();
                    joined.skip_assignment = true;
                } else if was_leader {
                    // Older leaders must not assign again: they are told that the old one leads.
                    joined.leader = old_id.into();
                }
                out.push(Effect::Store { generation: self.generation });
                out.push(Effect::Joined(token, joined));
                return;
            }
        }
        let join = Join { member_id: new_id, ..join };
        match self.state {
            State::PreparingRebalance => self.update_member(join, token, now, out),
            _ => self.update_and_rebalance(join, token, initial_delay_ms, now, out),
        }
    }

    fn update_member(&mut self, join: Join, token: Token, now: Millis, out: &mut Vec<Effect>) {
        let Some(member) = self.members.get_mut(&join.member_id) else { return };
        member.protocols = join.protocols;
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        // A second JoinGroup of the member replaces the first, which nobody reads any more.
        if let Some(old) = member.awaiting_join.replace(token)
            && old != token
        {
            out.push(Effect::Joined(old, Joined::failed(ErrorCode::UnknownMemberId, &join.member_id)));
        }
        self.maybe_complete_join(now, out);
    }

    fn update_and_rebalance(
        &mut self,
        join: Join,
        token: Token,
        initial_delay_ms: i64,
        now: Millis,
        out: &mut Vec<Effect>,
    ) {
        self.update_member(join, token, now, out);
        self.maybe_prepare_rebalance(initial_delay_ms, now, out);
    }

    fn maybe_prepare_rebalance(&mut self, initial_delay_ms: i64, now: Millis, out: &mut Vec<Effect>) {
        match self.state {
            State::Stable | State::CompletingRebalance | State::Empty => {
                self.prepare_rebalance(initial_delay_ms, now, out)
            }
            State::PreparingRebalance => self.maybe_complete_join(now, out),
            State::Dead => {}
        }
    }

    fn prepare_rebalance(&mut self, initial_delay_ms: i64, now: Millis, out: &mut Vec<Effect>) {
        if self.state == State::CompletingRebalance {
            self.fail_syncs(ErrorCode::RebalanceInProgress, out);
        }
        self.pending_sync.clear();
        self.pending_sync_deadline = None;
        self.join_phase = Some(if self.state == State::Empty {
            let remaining_ms = (self.rebalance_timeout_ms() - initial_delay_ms).max(0);
            JoinPhase { deadline: now + initial_delay_ms, initial: Some(Initial { remaining_ms, new_member: false }) }
        } else {
            JoinPhase { deadline: now + self.rebalance_timeout_ms(), initial: None }
        });
        self.state = State::PreparingRebalance;
        self.maybe_complete_join(now, out);
    }

    fn fail_syncs(&mut self, error: ErrorCode, out: &mut Vec<Effect>) {
        let mut members: Vec<&mut Member> = self.members.values_mut().collect();
        members.sort_by_key(|member| member.seq);
        for member in members {
            member.assignment = Bytes::new();
            if let Some(token) = member.awaiting_sync.take() {
                out.push(Effect::Synced(token, Synced { error: Some(error), ..Synced::default() }));
            }
        }
    }

    fn maybe_complete_join(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let ready = self.join_phase.as_ref().is_some_and(|phase| phase.initial.is_none())
            && self.pending.is_empty()
            && self.members.values().all(|member| member.awaiting_join.is_some());
        if self.state == State::PreparingRebalance && ready {
            self.complete_join(now, out);
        }
    }

    fn complete_join(&mut self, now: Millis, out: &mut Vec<Effect>) {
        let late: Vec<String> = self
            .members
            .values()
            .filter(|member| member.awaiting_join.is_none() && member.instance_id.is_none())
            .map(|member| member.id.clone())
            .collect();
        for id in late {
            self.forget(&id, out);
        }
        if !self.elect_joined_leader() && !self.members.is_empty() {
            // Only static members are left and none has joined: wait for them another round.
            self.join_phase = Some(JoinPhase { deadline: now + self.rebalance_timeout_ms(), initial: None });
            return;
        }
        self.join_phase = None;
        self.generation += 1;
        if self.members.is_empty() {
            self.protocol = None;
            self.leader = None;
            self.state = State::Empty;
            return out.push(Effect::Store { generation: self.generation });
        }
        self.protocol = self.select_protocol();
        self.state = State::CompletingRebalance;
        let ids: Vec<String> = self.members().iter().map(|member| member.id.clone()).collect();
        for id in &ids {
            let members = if self.is_leader(id) { self.subscriptions() } else { Vec::new() };
            let joined = self.joined(id, members);
            let member = self.members.get_mut(id).expect("listed above");
            if let Some(token) = member.awaiting_join.take() {
                member.is_new = false;
                member.session_deadline = now + i64::from(member.session_timeout_ms);
                out.push(Effect::Joined(token, joined));
            }
        }
        self.pending_sync = ids.into_iter().collect();
        self.pending_sync_deadline = Some(now + self.rebalance_timeout_ms());
    }

    /// The leader stays if it has joined; else the first that has. False if none has.
    fn elect_joined_leader(&mut self) -> bool {
        let joined = |id: &str| self.members.get(id).is_some_and(|member| member.awaiting_join.is_some());
        if self.leader.as_deref().is_some_and(joined) {
            return true;
        }
        let first = self.members().into_iter().find(|member| member.awaiting_join.is_some()).map(|m| m.id.clone());
        let found = first.is_some();
        if found || self.members.is_empty() {
            self.leader = first;
        }
        found
    }

    fn select_protocol(&self) -> Option<String> {
        let members = self.members();
        let first = members.first()?;
        let candidates: Vec<&str> = first
            .protocols
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| members.iter().all(|member| member.supports(name)))
            .collect();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for vote in members.iter().filter_map(|member| member.vote(&candidates)) {
            *votes.entry(vote).or_default() += 1;
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(name, _)| name.to_owned())
    }

    /// Removes a member without starting a rebalance; whoever waits in its name is told that it is unknown.
    fn forget(&mut self, id: &str, out: &mut Vec<Effect>) {
        let Some(member) = self.members.remove(id) else { return };
        if let Some(token) = member.awaiting_join {
            out.push(Effect::Joined(token, Joined::failed(ErrorCode::UnknownMemberId, "")));
        }
        if let Some(token) = member.awaiting_sync {
            out.push(Effect::Synced(token, Synced { error: Some(ErrorCode::UnknownMemberId), ..Synced::default() }));
        }
        if let Some(instance) = &member.instance_id
            && self.static_members.get(instance) == Some(&member.id)
        {
            self.static_members.remove(instance);
        }
        self.pending_sync.remove(id);
        if self.is_leader(id) {
            self.leader = self.members().first().map(|member| member.id.clone());
        }
    }

    /// Removes a member and lets the others rebalance.
    fn remove(&mut self, id: &str, now: Millis, out: &mut Vec<Effect>) {
        self.forget(id, out);
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(0, now, out),
            State::PreparingRebalance => self.maybe_complete_join(now, out),
            State::Empty | State::Dead => {}
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

    fn join_phase_over(&mut self, initial_delay_ms: i64, now: Millis, out: &mut Vec<Effect>) {
        if let Some(JoinPhase { deadline, initial: Some(initial) }) = &mut self.join_phase
            && initial.new_member
            && initial.remaining_ms > 0
        {
            let step = initial_delay_ms.min(initial.remaining_ms);
            initial.new_member = false;
            initial.remaining_ms -= step;
            *deadline = now + step;
            return;
        }
        self.complete_join(now, out);
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
