//! How a group comes to its next generation: who joins, who is waited for, who leads, which strategy is chosen.
//!
//! The other half of [`super::machine`]: JoinGroup (coordinators' table 2.2) and the rebalance that it starts.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::machine::{Effect, Group, Initial, Join, JoinPhase, Joined, NEW_MEMBER_JOIN_TIMEOUT_MS, State, Synced};
use super::member::{Member, Token};
use crate::error::ErrorCode;
use crate::time::Millis;

impl Group {
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
    pub(super) fn touch(&mut self, now: Millis, token: Token, out: &[Effect]) {
        if let Some(Effect::Joined(answered, joined)) = out.last()
            && *answered == token
            && joined.error.is_none()
            && let Some(member) = self.members.get_mut(&joined.member_id)
        {
            member.session_deadline = now + i64::from(member.session_timeout_ms);
        }
    }

    /// The generation as it stands, for a member that missed its answer.
    pub(super) fn current_generation(&self, id: &str, token: Token) -> Effect {
        let members = if self.is_leader(id) { self.subscriptions() } else { Vec::new() };
        Effect::Joined(token, self.joined(id, members))
    }

    pub(super) fn joined(&self, id: &str, members: Vec<(String, Option<String>, Bytes)>) -> Joined {
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

    pub(super) fn subscriptions(&self) -> Vec<(String, Option<String>, Bytes)> {
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

    pub(super) fn maybe_prepare_rebalance(&mut self, initial_delay_ms: i64, now: Millis, out: &mut Vec<Effect>) {
        match self.state {
            State::Stable | State::CompletingRebalance | State::Empty => {
                self.prepare_rebalance(initial_delay_ms, now, out)
            }
            State::PreparingRebalance => self.maybe_complete_join(now, out),
            State::Dead => {}
        }
    }

    pub(super) fn prepare_rebalance(&mut self, initial_delay_ms: i64, now: Millis, out: &mut Vec<Effect>) {
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

    pub(super) fn fail_syncs(&mut self, error: ErrorCode, out: &mut Vec<Effect>) {
        let mut members: Vec<&mut Member> = self.members.values_mut().collect();
        members.sort_by_key(|member| member.seq);
        for member in members {
            member.assignment = Bytes::new();
            if let Some(token) = member.awaiting_sync.take() {
                out.push(Effect::Synced(token, Synced { error: Some(error), ..Synced::default() }));
            }
        }
    }

    pub(super) fn maybe_complete_join(&mut self, now: Millis, out: &mut Vec<Effect>) {
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
    pub(super) fn forget(&mut self, id: &str, out: &mut Vec<Effect>) {
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
    pub(super) fn remove(&mut self, id: &str, now: Millis, out: &mut Vec<Effect>) {
        self.forget(id, out);
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(0, now, out),
            State::PreparingRebalance => self.maybe_complete_join(now, out),
            State::Empty | State::Dead => {}
        }
    }
    pub(super) fn join_phase_over(&mut self, initial_delay_ms: i64, now: Millis, out: &mut Vec<Effect>) {
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
}
