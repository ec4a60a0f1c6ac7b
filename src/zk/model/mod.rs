//! ZooKeeper as a pure model: requests and times go in, answers and watch events come out.
//!
//! One value stands for the whole ensemble: sessions, the tree, the watches. It opens no socket and reads no clock,
//! so the embedded server, tests and simulations share it. What it answers is what Apache ZooKeeper 3.8 answers
//! (`PrepRequestProcessor`, `DataTree`, `WatchManager`, `FinalRequestProcessor`), which `tests/zk_conformance.rs`
//! checks against the original.
//!
//! Two kinds of time, as everywhere: `wall_ms` (calendar) ends up in `ctime` and `mtime`; `now_ms` (monotonic)
//! decides about expiry.
//!
//! Left out, because no client of Kafka notices: quotas, TTL nodes (refused as by a server without
//! `zookeeper.extendedTypesEnabled`), reconfiguration, SASL.

mod acl;
mod sessions;
mod tree;
mod watches;

use std::collections::BTreeSet;

pub use acl::{Identity, PERM_ADMIN, PERM_CREATE, PERM_DELETE, PERM_READ, PERM_WRITE};
pub use sessions::{Password, SessionId, SessionInfo};
pub use tree::{NodeKind, Step, is_valid_path};
pub use watches::{WatchMode, WatchTarget};

use acl::{check_permission, mask_digests};
use sessions::Sessions;
use tree::{Tree, Trigger};
use watches::Watches;

use super::op::{Acl, CreateMode, Op, Outcome, Reply, Stat, WatchEvent, WatchKind, Write, ZkError};
use crate::time::Millis;

/// Watch events that a request caused, in the order in which their sessions must see them.
pub type Events = Vec<(SessionId, WatchEvent)>;

/// Watches that a client had before it lost its connection (`setWatches`, `setWatches2`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OldWatches {
    /// Last transaction that the client has seen; what changed after it has been missed.
    pub relative_zxid: i64,
    pub data: Vec<String>,
    pub exist: Vec<String>,
    pub child: Vec<String>,
    pub persistent: Vec<String>,
    pub persistent_recursive: Vec<String>,
}

/// How often empty containers are looked for, as `znode.container.checkIntervalMs` of ZooKeeper.
const CONTAINER_CHECK_MS: Millis = 60_000;

/// A whole ZooKeeper ensemble as a value.
#[derive(Debug)]
pub struct Model {
    tree: Tree,
    sessions: Sessions,
    data_watches: Watches,
    child_watches: Watches,
    zxid: i64,
    next_container_check_ms: Millis,
}

impl Default for Model {
    fn default() -> Self {
        Self::new(0, 1)
    }
}

impl Model {
    /// An ensemble without sessions whose tree holds only `/zookeeper`. The first transaction gets number
    /// `last_zxid + 1`, the first session `first_session`.
    pub fn new(last_zxid: i64, first_session: i64) -> Self {
        Self {
            tree: Tree::new(),
            sessions: Sessions::new(first_session),
            data_watches: Watches::default(),
            child_watches: Watches::default(),
            zxid: last_zxid,
            next_container_check_ms: 0,
        }
    }

    /// Number of the last transaction. Failed writes and the coming and going of sessions count too.
    pub fn last_zxid(&self) -> i64 {
        self.zxid
    }

    /// Counts a write that failed before it was understood.
    pub fn spend_transaction(&mut self) {
        self.zxid += 1;
    }

    // ---- sessions -------------------------------------------------------------------------------------------

    /// Opens a session; `address` is the identity that the connection brings by itself (scheme `ip`).
    pub fn open_session(
        &mut self,
        password: Password,
        timeout_ms: i32,
        address: Option<Identity>,
        now_ms: Millis,
    ) -> SessionId {
        self.zxid += 1;
        self.sessions.open(password, timeout_ms, address, now_ms)
    }

    /// Gives a living session to a new connection; false if there is none with that id and password. The watches
    /// and identities of the former connection are gone: clients send them again.
    pub fn reopen_session(
        &mut self,
        id: SessionId,
        password: &[u8],
        timeout_ms: i32,
        address: Option<Identity>,
        now_ms: Millis,
    ) -> bool {
        if !self.sessions.knows(id, password) {
            return false;
        }
        self.disconnect(id);
        self.sessions.reopen(id, timeout_ms, address, now_ms)
    }

    /// The session's client was heard of; false if the session is gone.
    pub fn touch(&mut self, id: SessionId, now_ms: Millis) -> bool {
        self.sessions.touch(id, now_ms)
    }

    /// The session's connection broke. The session lives on until it expires, its watches do not.
    pub fn disconnect(&mut self, id: SessionId) {
        self.data_watches.forget(id);
        self.child_watches.forget(id);
        self.sessions.disconnect(id);
    }

    /// Ends a session at its own wish or by force: its ephemeral nodes go in one transaction.
    pub fn close_session(&mut self, id: SessionId) -> Events {
        if !self.sessions.contains(id) {
            return Vec::new();
        }
        self.zxid += 1;
        let triggers = self.tree.remove_ephemerals(id, self.zxid);
        let events = self.fire(&triggers);
        self.disconnect(id);
        self.sessions.remove(id);
        events
    }

    /// When the next session expires unless its client is heard of.
    pub fn next_expiry(&self) -> Option<Millis> {
        self.sessions.next_expiry()
    }

    /// Ends the sessions whose time is over and removes used, empty containers. Says which sessions ended.
    pub fn tick(&mut self, now_ms: Millis) -> (Vec<SessionId>, Events) {
        let expired = self.sessions.expired(now_ms);
        let mut events = Vec::new();
        for id in &expired {
            events.extend(self.close_session(*id));
        }
        if now_ms >= self.next_container_check_ms {
            self.next_container_check_ms = now_ms + CONTAINER_CHECK_MS;
            for path in self.tree.empty_containers() {
                self.zxid += 1;
                let triggers = self.tree.remove_container(&path, self.zxid);
                events.extend(self.fire(&triggers));
            }
        }
        (expired, events)
    }

    /// Adds what an `auth` packet proved.
    pub fn add_identity(&mut self, id: SessionId, identity: Identity) {
        self.sessions.add_identity(id, identity);
    }

    /// All living sessions, by id.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.sessions.list()
    }

    // ---- requests -------------------------------------------------------------------------------------------

    /// Carries out one operation of the shared vocabulary.
    pub fn apply(&mut self, session: SessionId, op: Op, wall_ms: Millis) -> (Outcome, Events) {
        if !self.sessions.contains(session) {
            return (Err(ZkError::SessionExpired), Vec::new());
        }
        let read = match op {
            Op::Write(write) => return self.write(session, write.into(), wall_ms),
            Op::Multi(writes) => {
                let (results, events) = self.multi(session, writes.into_iter().map(Step::from).collect(), wall_ms);
                return (Ok(Reply::Multi(results)), events);
            }
            Op::SetAcl { path, acl, version } => {
                self.zxid += 1;
                let ids = self.sessions.identities(session);
                return (self.tree.set_acl(ids, &path, &acl, version.0).map(|stat| Reply::Set { stat }), Vec::new());
            }
            Op::Exists { path, watch } => self.exists(session, &path, watch),
            Op::GetData { path, watch } => self.get_data(session, &path, watch),
            Op::GetChildren { path, watch } => self.get_children(session, &path, watch),
            Op::GetAcl { path } => self.get_acl(session, &path),
            Op::Sync { path } => Ok(Reply::Synced { path }),
        };
        (read, Vec::new())
    }

    /// One write that stands alone.
    pub fn write(&mut self, session: SessionId, step: Step, wall_ms: Millis) -> (Outcome, Events) {
        let (mut results, events) = self.multi(session, vec![step], wall_ms);
        (results.pop().expect("one result per step"), events)
    }

    /// Several writes, all or none, in one transaction. If one fails, those before it answer [`Reply::Checked`],
    /// those after it [`ZkError::RuntimeInconsistency`].
    pub fn multi(
        &mut self,
        session: SessionId,
        steps: Vec<Step>,
        wall_ms: Millis,
    ) -> (Vec<Result<Reply, ZkError>>, Events) {
        self.zxid += 1;
        let ids = self.sessions.identities(session);
        let (results, triggers) = self.tree.transact(session, ids, steps, self.zxid, wall_ms);
        let events = self.fire(&triggers);
        (results, events)
    }

    fn exists(&mut self, session: SessionId, path: &str, watch: bool) -> Outcome {
        if path.contains('\0') {
            return Err(ZkError::BadArguments);
        }
        let found = match self.readable(session, path, PERM_READ) {
            Err(ZkError::NoNode) => Err(ZkError::NoNode),
            Err(other) => return Err(other),
            Ok(stat) => Ok(Reply::Exists { stat }),
        };
        if watch {
            self.data_watches.add(session, path, WatchMode::OneShot);
        }
        found
    }

    fn get_data(&mut self, session: SessionId, path: &str, watch: bool) -> Outcome {
        let stat = self.readable(session, path, PERM_READ)?;
        if watch {
            self.data_watches.add(session, path, WatchMode::OneShot);
        }
        Ok(Reply::Data { data: self.tree.data(path), stat })
    }

    fn get_children(&mut self, session: SessionId, path: &str, watch: bool) -> Outcome {
        let stat = self.readable(session, path, PERM_READ)?;
        if watch {
            self.child_watches.add(session, path, WatchMode::OneShot);
        }
        Ok(Reply::Children { names: self.tree.children(path), stat })
    }

    /// Whoever may only read sees digests masked (ZOOKEEPER-1392).
    fn get_acl(&mut self, session: SessionId, path: &str) -> Outcome {
        let stat = self.readable(session, path, PERM_READ | PERM_ADMIN)?;
        let acl = self.tree.acl(path);
        let ids = self.sessions.identities(session);
        let acl = if check_permission(&acl, PERM_ADMIN, ids).is_ok() { acl.to_vec() } else { mask_digests(&acl) };
        Ok(Reply::Acl { acl, stat })
    }

    fn readable(&self, session: SessionId, path: &str, perms: i32) -> Result<Stat, ZkError> {
        let stat = self.tree.stat(path).ok_or(ZkError::NoNode)?;
        check_permission(&self.tree.acl(path), perms, self.sessions.identities(session))?;
        Ok(stat)
    }

    /// Paths of the session's ephemeral nodes that begin with `prefix` (`getEphemerals`).
    pub fn ephemerals(&self, session: SessionId, prefix: &str) -> Vec<String> {
        let prefix = if matches!(prefix.trim(), "" | "/") { "" } else { prefix };
        self.tree.ephemerals(session).into_iter().filter(|path| path.starts_with(prefix)).collect()
    }

    /// Number of nodes below `path` at any depth (`getAllChildrenNumber`).
    pub fn count_below(&self, session: SessionId, path: &str) -> Result<i32, ZkError> {
        self.readable(session, path, PERM_READ)?;
        Ok(self.tree.count_below(path) as i32)
    }

    /// Who the session's connection has proved to be (`whoAmI`).
    pub fn identities(&self, session: SessionId) -> &[Identity] {
        self.sessions.identities(session)
    }

    // ---- watches --------------------------------------------------------------------------------------------

    /// Adds a watch that stays (`addWatch`).
    pub fn add_watch(&mut self, session: SessionId, path: &str, mode: WatchMode) {
        self.data_watches.add(session, path, mode);
        self.child_watches.add(session, path, mode);
    }

    /// Removes the session's watch on `path`.
    pub fn remove_watch(&mut self, session: SessionId, path: &str, target: WatchTarget) -> Result<(), ZkError> {
        let child = target.covers_children() && self.child_watches.remove(session, path);
        let data = target.covers_data() && self.data_watches.remove(session, path);
        if child || data { Ok(()) } else { Err(ZkError::NoWatcher) }
    }

    /// Is `path` watched? As in ZooKeeper 3.8, by whomever: clients ask only about watches that they have.
    pub fn check_watch(&self, path: &str, target: WatchTarget) -> Result<(), ZkError> {
        let child = target.covers_children() && self.child_watches.is_watched(path);
        let data = target.covers_data() && self.data_watches.is_watched(path);
        if child || data { Ok(()) } else { Err(ZkError::NoWatcher) }
    }

    /// Takes over the watches of the session's former connection: what was missed fires at once, the rest is armed.
    pub fn set_watches(&mut self, session: SessionId, old: &OldWatches) -> Events {
        let mut events = Vec::new();
        let mut missed = |kind, path: &String| events.push((session, WatchEvent { kind, path: path.clone() }));
        for path in &old.data {
            match self.tree.stat(path) {
                None => missed(WatchKind::Deleted, path),
                Some(stat) if stat.mzxid > old.relative_zxid => missed(WatchKind::DataChanged, path),
                Some(_) => self.data_watches.add(session, path, WatchMode::OneShot),
            }
        }
        for path in &old.exist {
            match self.tree.stat(path) {
                Some(_) => missed(WatchKind::Created, path),
                None => self.data_watches.add(session, path, WatchMode::OneShot),
            }
        }
        for path in &old.child {
            match self.tree.stat(path) {
                None => missed(WatchKind::Deleted, path),
                Some(stat) if stat.pzxid > old.relative_zxid => missed(WatchKind::ChildrenChanged, path),
                Some(_) => self.child_watches.add(session, path, WatchMode::OneShot),
            }
        }
        for path in &old.persistent {
            self.add_watch(session, path, WatchMode::Persistent);
        }
        for path in &old.persistent_recursive {
            self.add_watch(session, path, WatchMode::PersistentRecursive);
        }
        events
    }

    /// A session that may not read a node is not told about it either (ZOOKEEPER-4799).
    fn fire(&mut self, triggers: &[Trigger]) -> Events {
        let mut events = Vec::new();
        for Trigger { kind, path, acl } in triggers {
            let mut told = BTreeSet::new();
            if *kind != WatchKind::ChildrenChanged {
                told.extend(self.data_watches.fire(path, *kind));
            }
            if matches!(kind, WatchKind::ChildrenChanged | WatchKind::Deleted) {
                told.extend(self.child_watches.fire(path, *kind));
            }
            for session in told {
                if check_permission(acl, PERM_READ, self.sessions.identities(session)).is_ok() {
                    events.push((session, WatchEvent { kind: *kind, path: path.clone() }));
                }
            }
        }
        events
    }

    // ---- figures for operators ------------------------------------------------------------------------------

    /// Number of nodes, the root included.
    pub fn node_count(&self) -> usize {
        self.tree.len()
    }

    /// Number of watches of all sessions.
    pub fn watch_count(&self) -> usize {
        self.data_watches.len() + self.child_watches.len()
    }

    /// Number of ephemeral nodes of all sessions.
    pub fn ephemeral_count(&self) -> usize {
        self.sessions.list().iter().map(|session| self.tree.ephemerals(session.id).len()).sum()
    }

    /// Bytes of all paths and data.
    pub fn approximate_data_size(&self) -> usize {
        self.tree.approximate_size()
    }

    /// Data, Stat and ACL of a node, whoever asks: for tests and operators.
    pub fn inspect(&self, path: &str) -> Option<(Option<bytes::Bytes>, Stat, Vec<Acl>)> {
        Some((self.tree.data(path), self.tree.stat(path)?, self.tree.acl(path).to_vec()))
    }

    /// Paths of all nodes but the root, sorted: for tests and operators.
    pub fn paths(&self) -> Vec<String> {
        self.tree.paths()
    }
}

impl From<Write> for Step {
    fn from(write: Write) -> Self {
        match write {
            Write::Create { path, data, mode, acl } => Step::Create {
                path,
                data,
                kind: if mode.is_ephemeral() { NodeKind::Ephemeral } else { NodeKind::Persistent },
                sequential: matches!(mode, CreateMode::PersistentSequential | CreateMode::EphemeralSequential),
                acl,
            },
            Write::Delete { path, version } => Step::Delete { path, version: version.0 },
            Write::SetData { path, data, version } => Step::SetData { path, data, version: version.0 },
            Write::Check { path, version } => Step::Check { path, version: version.0 },
        }
    }
}

#[cfg(test)]
mod tests;
