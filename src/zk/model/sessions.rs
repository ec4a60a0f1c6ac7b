//! Sessions: who is there, until when, and who they say they are.

use std::collections::{BTreeMap, BTreeSet};

use super::acl::Identity;
use crate::time::Millis;

/// Number of a session, as in `ephemeralOwner`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(pub i64);

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

/// What a client must show to take its session to a new connection.
pub type Password = [u8; 16];

/// A living session, for operators and tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    pub id: SessionId,
    pub timeout_ms: i32,
    /// Has it a connection at the moment?
    pub connected: bool,
}

#[derive(Debug)]
struct Session {
    password: Password,
    timeout_ms: i32,
    deadline_ms: Millis,
    connected: bool,
    identities: Vec<Identity>,
}

#[derive(Debug)]
pub(super) struct Sessions {
    next_id: i64,
    by_id: BTreeMap<SessionId, Session>,
    deadlines: BTreeSet<(Millis, SessionId)>,
}

impl Sessions {
    pub(super) fn new(first_id: i64) -> Self {
        Self { next_id: first_id, by_id: BTreeMap::new(), deadlines: BTreeSet::new() }
    }

    pub(super) fn open(
        &mut self,
        password: Password,
        timeout_ms: i32,
        address: Option<Identity>,
        now_ms: Millis,
    ) -> SessionId {
        let id = SessionId(self.next_id);
        self.next_id += 1;
        let deadline_ms = now_ms + Millis::from(timeout_ms);
        let identities = address.into_iter().collect();
        self.by_id.insert(id, Session { password, timeout_ms, deadline_ms, connected: true, identities });
        self.deadlines.insert((deadline_ms, id));
        id
    }

    pub(super) fn knows(&self, id: SessionId, password: &[u8]) -> bool {
        self.by_id.get(&id).is_some_and(|session| session.password == password)
    }

    pub(super) fn reopen(&mut self, id: SessionId, timeout_ms: i32, address: Option<Identity>, now_ms: Millis) -> bool {
        let Some(session) = self.by_id.get_mut(&id) else { return false };
        session.timeout_ms = timeout_ms;
        session.connected = true;
        session.identities = address.into_iter().collect();
        self.touch(id, now_ms)
    }

    pub(super) fn touch(&mut self, id: SessionId, now_ms: Millis) -> bool {
        let Some(session) = self.by_id.get_mut(&id) else { return false };
        self.deadlines.remove(&(session.deadline_ms, id));
        session.deadline_ms = now_ms + Millis::from(session.timeout_ms);
        self.deadlines.insert((session.deadline_ms, id));
        true
    }

    pub(super) fn disconnect(&mut self, id: SessionId) {
        if let Some(session) = self.by_id.get_mut(&id) {
            session.connected = false;
            session.identities.clear();
        }
    }

    pub(super) fn remove(&mut self, id: SessionId) {
        if let Some(session) = self.by_id.remove(&id) {
            self.deadlines.remove(&(session.deadline_ms, id));
        }
    }

    pub(super) fn contains(&self, id: SessionId) -> bool {
        self.by_id.contains_key(&id)
    }

    pub(super) fn next_expiry(&self) -> Option<Millis> {
        self.deadlines.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    pub(super) fn expired(&self, now_ms: Millis) -> Vec<SessionId> {
        self.deadlines.iter().take_while(|(deadline_ms, _)| *deadline_ms <= now_ms).map(|(_, id)| *id).collect()
    }

    pub(super) fn add_identity(&mut self, id: SessionId, identity: Identity) {
        if let Some(session) = self.by_id.get_mut(&id)
            && !session.identities.contains(&identity)
        {
            session.identities.push(identity);
        }
    }

    pub(super) fn identities(&self, id: SessionId) -> &[Identity] {
        self.by_id.get(&id).map_or(&[], |session| &session.identities)
    }

    pub(super) fn list(&self) -> Vec<SessionInfo> {
        let info = |(id, session): (&SessionId, &Session)| SessionInfo {
            id: *id,
            timeout_ms: session.timeout_ms,
            connected: session.connected,
        };
        self.by_id.iter().map(info).collect()
    }
}
