//! The group machine against the tables of Kafka's coordinator.

use bytes::Bytes;

use super::machine::*;
use super::member::Token;
use crate::error::ErrorCode;

const DELAY_MS: i64 = 3000;

struct World {
    group: Group,
    now: i64,
    next: u64,
    out: Vec<Effect>,
}

impl World {
    fn new() -> Self {
        Self { group: Group::new("g"), now: 0, next: 1, out: Vec::new() }
    }

    fn token(&mut self) -> Token {
        self.next += 1;
        Token(self.next)
    }

    fn join_as(&mut self, join: Join) -> Token {
        let token = self.token();
        let fresh = format!("{}-{}", join.instance_id.as_deref().unwrap_or("c"), token.0);
        self.group.join(join, token, fresh, DELAY_MS, self.now, &mut self.out);
        token
    }

    fn join(&mut self, id: &str, protocols: &[&str]) -> Token {
        self.join_as(Join { member_id: id.into(), ..request(protocols) })
    }

    fn joined(&mut self, token: Token) -> Option<Joined> {
        let at = self.out.iter().position(|e| matches!(e, Effect::Joined(t, _) if *t == token))?;
        match self.out.remove(at) {
            Effect::Joined(_, joined) => Some(joined),
            _ => None,
        }
    }

    fn sync(&mut self, id: &str, generation: i32, assignments: &[(&str, &'static [u8])]) -> Token {
        let token = self.token();
        let assignments = assignments.iter().map(|(id, a)| (id.to_string(), Bytes::from_static(a))).collect();
        let claim = Claim { member_id: id, instance_id: None, generation };
        self.group.sync(claim, None, None, assignments, token, self.now, &mut self.out);
        token
    }

    fn synced(&mut self, token: Token) -> Option<Synced> {
        let at = self.out.iter().position(|e| matches!(e, Effect::Synced(t, _) if *t == token))?;
        match self.out.remove(at) {
            Effect::Synced(_, synced) => Some(synced),
            _ => None,
        }
    }

    fn after(&mut self, ms: i64) {
        self.now += ms;
        while self.group.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.group.tick(DELAY_MS, self.now, &mut self.out);
        }
    }

    fn stored(&mut self, result: Result<(), ErrorCode>) {
        let at = self.out.iter().position(|e| matches!(e, Effect::Store { .. })).expect("a record to write");
        let Effect::Store { generation } = self.out.remove(at) else { unreachable!() };
        self.group.stored(generation, result, self.now, &mut self.out);
    }

    /// A stable group of two dynamic members; returns leader and follower.
    fn two() -> (Self, String, String) {
        let mut w = Self::new();
        let (a, b) = (w.join("", &["range"]), w.join("", &["range"]));
        w.after(DELAY_MS);
        w.after(DELAY_MS);
        let (a, b) = (w.joined(a).unwrap(), w.joined(b).unwrap());
        assert_eq!(a.leader, a.member_id);
        let (s, t) =
            (w.sync(&a.member_id, 1, &[(&a.member_id, b"A"), (&b.member_id, b"B")]), w.sync(&b.member_id, 1, &[]));
        w.stored(Ok(()));
        assert_eq!(w.synced(s).unwrap().assignment, Bytes::from_static(b"A"));
        assert_eq!(w.synced(t).unwrap().assignment, Bytes::from_static(b"B"));
        assert_eq!(w.group.state, State::Stable);
        (w, a.member_id, b.member_id)
    }
}

fn request(protocols: &[&str]) -> Join {
    Join {
        client_id: "c".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: protocols.iter().map(|p| (p.to_string(), Bytes::from(p.to_string()))).collect(),
        ..Join::default()
    }
}

fn claim(id: &str, generation: i32) -> Claim<'_> {
    Claim { member_id: id, instance_id: None, generation }
}

#[test]
fn an_empty_group_waits_for_more_members_and_then_forms_a_generation() {
    let mut w = World::new();
    let a = w.join("", &["range", "sticky"]);
    w.after(DELAY_MS - 1);
    let b = w.join("", &["sticky"]);
    w.after(2);
    assert_eq!(w.joined(a), None, "a new member prolongs the wait");
    w.after(DELAY_MS);
    let (a, b) = (w.joined(a).unwrap(), w.joined(b).unwrap());
    assert_eq!((a.error, a.generation, b.generation), (None, 1, 1));
    assert_eq!(a.protocol.as_deref(), Some("sticky"), "the only strategy that both know");
    assert_eq!(a.members.len(), 2);
    assert!(b.members.is_empty());
    assert_eq!(b.leader, a.member_id);
}

#[test]
fn a_dynamic_member_has_to_come_back_with_the_id_it_is_given() {
    let mut w = World::new();
    let first = w.join_as(Join { member_id_required: true, ..request(&["range"]) });
    let first = w.joined(first).unwrap();
    assert_eq!(first.error, Some(ErrorCode::MemberIdRequired));
    let again = w.join(&first.member_id, &["range"]);
    w.after(DELAY_MS);
    assert_eq!(w.joined(again).unwrap().member_id, first.member_id);
}

#[test]
fn an_id_that_is_never_used_expires() {
    let mut w = World::new();
    let first = w.join_as(Join { member_id_required: true, ..request(&["range"]) });
    let id = w.joined(first).unwrap().member_id;
    w.after(10_000);
    let late = w.join(&id, &["range"]);
    assert_eq!(w.joined(late).unwrap().error, Some(ErrorCode::UnknownMemberId));
}

#[test]
fn protocols_must_meet() {
    let (mut w, _, _) = World::two();
    let other = w.join("", &["cooperative"]);
    assert_eq!(w.joined(other).unwrap().error, Some(ErrorCode::InconsistentGroupProtocol));
    let mut empty = World::new();
    let none = empty.join("", &[]);
    assert_eq!(empty.joined(none).unwrap().error, Some(ErrorCode::InconsistentGroupProtocol));
}

#[test]
fn heartbeats_tell_of_generation_and_rebalance() {
    let (mut w, a, _) = World::two();
    assert_eq!(w.group.heartbeat(claim(&a, 1), w.now), Ok(()));
    assert_eq!(w.group.heartbeat(claim(&a, 0), w.now), Err(ErrorCode::IllegalGeneration));
    assert_eq!(w.group.heartbeat(claim("nobody", 1), w.now), Err(ErrorCode::UnknownMemberId));
    w.join("", &["range"]);
    assert_eq!(w.group.heartbeat(claim(&a, 1), w.now), Err(ErrorCode::RebalanceInProgress));
}

#[test]
fn a_silent_member_expires_and_the_others_go_on() {
    let (mut w, a, b) = World::two();
    w.after(9_000);
    w.group.heartbeat(claim(&a, 1), w.now).unwrap();
    w.after(2_000);
    assert!(!w.group.has_member(&b));
    assert_eq!(w.group.state, State::PreparingRebalance);
    let again = w.join(&a, &["range"]);
    let joined = w.joined(again).unwrap();
    assert_eq!((joined.generation, joined.members.len()), (2, 1));
}

#[test]
fn those_who_do_not_rejoin_are_dropped_when_the_rebalance_times_out() {
    let (mut w, a, b) = World::two();
    let third = w.join("", &["range"]);
    let again = w.join(&a, &["range"]);
    for _ in 0..11 {
        w.after(5_500);
        let _ = w.group.heartbeat(claim(&b, 1), w.now);
    }
    assert_eq!(w.joined(third).unwrap().generation, 2);
    assert_eq!(w.joined(again).unwrap().members.len(), 2);
    assert!(!w.group.has_member(&b));
}

#[test]
fn a_missing_sync_removes_the_member() {
    let mut w = World::new();
    let (a, b) = (w.join("", &["range"]), w.join("", &["range"]));
    w.after(DELAY_MS);
    w.after(DELAY_MS);
    let (a, b) = (w.joined(a).unwrap().member_id, w.joined(b).unwrap().member_id);
    let waiting = w.sync(&a, 1, &[(&a, b"A")]);
    w.stored(Ok(()));
    w.synced(waiting).unwrap();
    for _ in 0..12 {
        w.after(5_000);
        let _ = w.group.heartbeat(claim(&a, 1), w.now);
        let _ = w.group.heartbeat(claim(&b, 1), w.now);
    }
    assert!(!w.group.has_member(&b));
    assert_eq!(w.group.state, State::PreparingRebalance);
}

#[test]
fn a_record_that_cannot_be_written_fails_the_syncs_and_starts_again() {
    let mut w = World::new();
    let a = w.join("", &["range"]);
    w.after(DELAY_MS);
    let a = w.joined(a).unwrap().member_id;
    let waiting = w.sync(&a, 1, &[(&a, b"A")]);
    w.stored(Err(ErrorCode::NotCoordinator));
    assert_eq!(w.synced(waiting).unwrap().error, Some(ErrorCode::NotCoordinator));
    assert_eq!(w.group.state, State::PreparingRebalance);
}

#[test]
fn leaving_rebalances_and_the_last_one_empties_the_group() {
    let (mut w, a, b) = World::two();
    assert_eq!(w.group.leave("nobody", None, w.now, &mut w.out), Err(ErrorCode::UnknownMemberId));
    w.group.leave(&a, None, w.now, &mut w.out).unwrap();
    assert_eq!(w.group.state, State::PreparingRebalance);
    w.group.leave(&b, None, w.now, &mut w.out).unwrap();
    assert_eq!((w.group.state, w.group.generation), (State::Empty, 2));
    assert!(w.out.contains(&Effect::Store { generation: 2 }));
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    let mut w = World::new();
    let with_instance = || Join { instance_id: Some("i".into()), ..request(&["range"]) };
    let first = w.join_as(with_instance());
    w.after(DELAY_MS);
    let old = w.joined(first).unwrap().member_id;
    let waiting = w.sync(&old, 1, &[(&old, b"A")]);
    w.stored(Ok(()));
    w.synced(waiting).unwrap();
    let again = w.join_as(Join { supports_skipping_assignment: true, ..with_instance() });
    let joined = w.joined(again).unwrap();
    assert_eq!((joined.error, joined.generation, joined.skip_assignment), (None, 1, true));
    assert_ne!(joined.member_id, old);
    let fenced = Claim { member_id: &old, instance_id: Some("i"), generation: 1 };
    assert_eq!(w.group.heartbeat(fenced, w.now), Err(ErrorCode::FencedInstanceId));
    let again = w.join_as(with_instance());
    let told = w.joined(again).unwrap();
    assert_eq!(told.leader, joined.member_id, "an old leader is told that its former self leads");
}

#[test]
fn commits_are_checked() {
    let (mut w, a, _) = World::two();
    assert_eq!(w.group.check_commit(claim(&a, 1), w.now), Ok(()));
    assert_eq!(w.group.check_commit(claim(&a, 2), w.now), Err(ErrorCode::IllegalGeneration));
    assert_eq!(w.group.check_commit(claim("", -1), w.now), Err(ErrorCode::UnknownMemberId));
    assert_eq!(Group::new("g").check_commit(claim("", -1), 0), Ok(()));
}
