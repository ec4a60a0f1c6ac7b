//! The tree of nodes and the writes that change it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::acl::{self, Identity, PERM_ADMIN, PERM_CREATE, PERM_DELETE, PERM_READ, PERM_WRITE, check_permission};
use super::sessions::SessionId;
use crate::time::Millis;
use crate::zk::op::{Acl, Reply, Stat, WatchKind, ZkError};

/// How long a node lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum NodeKind {
    Persistent,
    /// Until its session ends.
    Ephemeral,
    /// Until its last child is gone; looks persistent to clients.
    Container,
}

/// One write of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    Create {
        path: String,
        data: Option<Bytes>,
        kind: NodeKind,
        sequential: bool,
        acl: Vec<Acl>,
    },
    Delete {
        path: String,
        version: i32,
    },
    SetData {
        path: String,
        data: Option<Bytes>,
        version: i32,
    },
    Check {
        path: String,
        version: i32,
    },
    /// A write that was understood but is not offered.
    Refused(ZkError),
}

/// Something happened to a node; `acl` says who may know.
#[derive(Debug)]
pub(super) struct Trigger {
    pub(super) kind: WatchKind,
    pub(super) path: String,
    pub(super) acl: Arc<[Acl]>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    Nobody,
    Session(SessionId),
    Container,
}

#[derive(Debug)]
struct Node {
    data: Option<Bytes>,
    acl: Arc<[Acl]>,
    owner: Owner,
    czxid: i64,
    mzxid: i64,
    pzxid: i64,
    ctime: Millis,
    mtime: Millis,
    version: i32,
    aversion: i32,
    /// Children ever created: the next sequence number. Clients see changes instead, see [`Node::stat`].
    created_children: i32,
    children: BTreeSet<Box<str>>,
}

impl Node {
    fn new(data: Option<Bytes>, acl: Arc<[Acl]>, owner: Owner, zxid: i64, wall_ms: Millis) -> Self {
        Self {
            data,
            acl,
            owner,
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: wall_ms,
            mtime: wall_ms,
            version: 0,
            aversion: 0,
            created_children: 0,
            children: BTreeSet::new(),
        }
    }

    fn stat(&self) -> Stat {
        let num_children = self.children.len() as i32;
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            // Every created child that is not there any more was deleted once.
            cversion: self.created_children.wrapping_mul(2).wrapping_sub(num_children),
            aversion: self.aversion,
            ephemeral_owner: if let Owner::Session(session) = self.owner { session.0 } else { 0 },
            data_length: self.data.as_ref().map_or(0, Bytes::len) as i32,
            num_children,
            pzxid: self.pzxid,
        }
    }
}

/// How to take back one applied step.
enum Undo {
    Create { path: String, parent_pzxid: i64 },
    Delete { path: String, node: Node, parent_pzxid: i64 },
    SetData { path: String, data: Option<Bytes>, mzxid: i64, mtime: Millis },
}

/// The transaction under way.
struct Transaction<'a> {
    session: SessionId,
    caller: &'a [Identity],
    zxid: i64,
    wall_ms: Millis,
    undo: Vec<Undo>,
    triggers: Vec<Trigger>,
}

const ROOT: &str = "/";
/// Nodes that ZooKeeper owns: nobody deletes them.
const SYSTEM: [&str; 4] = [ROOT, "/zookeeper", "/zookeeper/quota", "/zookeeper/config"];

#[derive(Debug)]
pub(super) struct Tree {
    nodes: HashMap<String, Node>,
    ephemerals: BTreeMap<SessionId, BTreeSet<String>>,
    containers: BTreeSet<String>,
}

impl Tree {
    /// The root and ZooKeeper's own nodes: created by no transaction, so that their `cversion` is negative.
    pub(super) fn new() -> Self {
        let mut tree = Self { nodes: HashMap::new(), ephemerals: BTreeMap::new(), containers: BTreeSet::new() };
        let open: Arc<[Acl]> = Acl::open().into();
        for path in SYSTEM {
            tree.nodes.insert(path.to_owned(), Node::new(Some(Bytes::new()), open.clone(), Owner::Nobody, 0, 0));
            if path != ROOT {
                let (parent, name) = split(path).expect("system paths begin with a slash");
                tree.node_mut(parent).children.insert(name.into());
            }
        }
        let config = tree.node_mut("/zookeeper/config");
        config.acl = vec![Acl { perms: PERM_READ, scheme: "world".into(), id: "anyone".into() }].into();
        config.aversion = -1;
        tree
    }

    // ---- reads ----------------------------------------------------------------------------------------------

    pub(super) fn stat(&self, path: &str) -> Option<Stat> {
        self.nodes.get(path).map(Node::stat)
    }

    pub(super) fn data(&self, path: &str) -> Option<Bytes> {
        self.nodes.get(path).and_then(|node| node.data.clone())
    }

    pub(super) fn children(&self, path: &str) -> Vec<String> {
        self.nodes.get(path).into_iter().flat_map(|node| &node.children).map(|name| name.to_string()).collect()
    }

    pub(super) fn acl(&self, path: &str) -> Arc<[Acl]> {
        self.nodes.get(path).map_or_else(|| Arc::from([]), |node| node.acl.clone())
    }

    pub(super) fn ephemerals(&self, session: SessionId) -> Vec<String> {
        self.ephemerals.get(&session).into_iter().flatten().cloned().collect()
    }

    pub(super) fn count_below(&self, path: &str) -> usize {
        if path == ROOT {
            return self.nodes.len() - 1;
        }
        let below = format!("{path}/");
        self.nodes.keys().filter(|path| path.starts_with(&below)).count()
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn approximate_size(&self) -> usize {
        self.nodes.iter().map(|(path, node)| path.len() + node.data.as_ref().map_or(0, Bytes::len)).sum()
    }

    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = self.nodes.keys().filter(|path| *path != ROOT).cloned().collect();
        paths.sort();
        paths
    }

    // ---- writes ---------------------------------------------------------------------------------------------

    /// Applies all steps or none. See [`super::Model::multi`] for the results.
    pub(super) fn transact(
        &mut self,
        session: SessionId,
        caller: &[Identity],
        steps: Vec<Step>,
        zxid: i64,
        wall_ms: Millis,
    ) -> (Vec<Result<Reply, ZkError>>, Vec<Trigger>) {
        let mut transaction = Transaction { session, caller, zxid, wall_ms, undo: Vec::new(), triggers: Vec::new() };
        let count = steps.len();
        let mut results = Vec::with_capacity(count);
        for (index, step) in steps.into_iter().enumerate() {
            match self.step(&mut transaction, step) {
                Ok(reply) => results.push(Ok(reply)),
                Err(error) => {
                    for undo in transaction.undo.drain(..).rev() {
                        self.take_back(undo);
                    }
                    results.fill_with(|| Ok(Reply::Checked));
                    results.push(Err(error));
                    results.resize(count, Err(ZkError::RuntimeInconsistency));
                    debug_assert!(results[index].is_err());
                    return (results, Vec::new());
                }
            }
        }
        (results, transaction.triggers)
    }

    fn step(&mut self, transaction: &mut Transaction<'_>, step: Step) -> Result<Reply, ZkError> {
        match step {
            Step::Create { path, data, kind, sequential, acl } => {
                self.create(transaction, path, data, kind, sequential, &acl)
            }
            Step::Delete { path, version } => self.delete(transaction, path, version),
            Step::SetData { path, data, version } => self.set_data(transaction, path, data, version),
            Step::Check { path, version } => {
                let node = self.addressed(&path)?;
                check_permission(&node.acl, PERM_READ, transaction.caller)?;
                check_version(node.version, version)?;
                Ok(Reply::Checked)
            }
            Step::Refused(error) => Err(error),
        }
    }

    /// The checks come in the order of `PrepRequestProcessor.pRequest2TxnCreate`, which decides what error wins.
    fn create(
        &mut self,
        transaction: &mut Transaction<'_>,
        mut path: String,
        data: Option<Bytes>,
        kind: NodeKind,
        sequential: bool,
        acl: &[Acl],
    ) -> Result<Reply, ZkError> {
        if path.contains('\0') {
            return Err(ZkError::BadArguments);
        }
        let (parent_path, _) = split(&path).ok_or(ZkError::BadArguments)?;
        let acl = acl::complete(acl, transaction.caller)?;
        let parent = self.nodes.get(parent_path).ok_or(ZkError::NoNode)?;
        check_permission(&parent.acl, PERM_CREATE, transaction.caller)?;
        let parent_path = parent_path.to_owned();
        if sequential {
            path.push_str(&format!("{:010}", parent.created_children));
        }
        if !is_valid_path(&path) {
            return Err(ZkError::BadArguments);
        }
        if self.nodes.contains_key(&path) {
            return Err(ZkError::NodeExists);
        }
        if matches!(parent.owner, Owner::Session(_)) {
            return Err(ZkError::NoChildrenForEphemerals);
        }
        let owner = match kind {
            NodeKind::Persistent => Owner::Nobody,
            NodeKind::Ephemeral => Owner::Session(transaction.session),
            NodeKind::Container => Owner::Container,
        };
        let node = Node::new(data, acl.clone(), owner, transaction.zxid, transaction.wall_ms);
        let stat = node.stat();
        let parent = self.node_mut(&parent_path);
        let parent_acl = parent.acl.clone();
        transaction.undo.push(Undo::Create { path: path.clone(), parent_pzxid: parent.pzxid });
        parent.created_children = parent.created_children.wrapping_add(1);
        parent.pzxid = transaction.zxid;
        self.link(&path, node);
        transaction.triggers.push(Trigger { kind: WatchKind::Created, path: path.clone(), acl });
        transaction.triggers.push(Trigger { kind: WatchKind::ChildrenChanged, path: parent_path, acl: parent_acl });
        Ok(Reply::Created { path, stat: Some(stat) })
    }

    fn delete(&mut self, transaction: &mut Transaction<'_>, path: String, version: i32) -> Result<Reply, ZkError> {
        if path.contains('\0') || SYSTEM.contains(&path.as_str()) {
            return Err(ZkError::BadArguments);
        }
        let (parent_path, _) = split(&path).ok_or(ZkError::BadArguments)?;
        let parent = self.nodes.get(parent_path).ok_or(ZkError::NoNode)?;
        check_permission(&parent.acl, PERM_DELETE, transaction.caller)?;
        let node = self.nodes.get(&path).ok_or(ZkError::NoNode)?;
        check_version(node.version, version)?;
        if !node.children.is_empty() {
            return Err(ZkError::NotEmpty);
        }
        let parent_pzxid = parent.pzxid;
        let node = self.remove(&path, transaction.zxid, &mut transaction.triggers);
        transaction.undo.push(Undo::Delete { path, node, parent_pzxid });
        Ok(Reply::Deleted)
    }

    fn set_data(
        &mut self,
        transaction: &mut Transaction<'_>,
        path: String,
        data: Option<Bytes>,
        version: i32,
    ) -> Result<Reply, ZkError> {
        let node = self.addressed(&path)?;
        check_permission(&node.acl, PERM_WRITE, transaction.caller)?;
        let next = check_version(node.version, version)?;
        let node = self.node_mut(&path);
        let before = std::mem::replace(&mut node.data, data);
        transaction.undo.push(Undo::SetData { path: path.clone(), data: before, mzxid: node.mzxid, mtime: node.mtime });
        node.version = next;
        node.mzxid = transaction.zxid;
        node.mtime = transaction.wall_ms;
        transaction.triggers.push(Trigger { kind: WatchKind::DataChanged, path, acl: node.acl.clone() });
        Ok(Reply::Set { stat: node.stat() })
    }

    /// Changes a node's list; never part of a transaction of several steps, and no watch tells of it.
    pub(super) fn set_acl(
        &mut self,
        caller: &[Identity],
        path: &str,
        wanted: &[Acl],
        version: i32,
    ) -> Result<Stat, ZkError> {
        if !is_valid_path(path) {
            return Err(ZkError::BadArguments);
        }
        let acl = acl::complete(wanted, caller)?;
        let node = self.nodes.get_mut(path).ok_or(ZkError::NoNode)?;
        check_permission(&node.acl, PERM_ADMIN, caller)?;
        node.aversion = check_version(node.aversion, version)?;
        node.acl = acl;
        Ok(node.stat())
    }

    /// The session ended: its nodes go.
    pub(super) fn remove_ephemerals(&mut self, session: SessionId, zxid: i64) -> Vec<Trigger> {
        let mut triggers = Vec::new();
        for path in self.ephemerals.remove(&session).unwrap_or_default() {
            self.remove(&path, zxid, &mut triggers);
        }
        triggers
    }

    /// Containers that had children and have none now.
    pub(super) fn empty_containers(&self) -> Vec<String> {
        let is_used_up = |path: &&String| {
            self.nodes.get(*path).is_some_and(|node| node.children.is_empty() && node.created_children > 0)
        };
        self.containers.iter().filter(is_used_up).cloned().collect()
    }

    pub(super) fn remove_container(&mut self, path: &str, zxid: i64) -> Vec<Trigger> {
        let mut triggers = Vec::new();
        self.remove(path, zxid, &mut triggers);
        triggers
    }

    // ---- parts ----------------------------------------------------------------------------------------------

    /// The node that a request names; the path is checked first, as the original does.
    fn addressed(&self, path: &str) -> Result<&Node, ZkError> {
        if is_valid_path(path) { self.nodes.get(path).ok_or(ZkError::NoNode) } else { Err(ZkError::BadArguments) }
    }

    fn node_mut(&mut self, path: &str) -> &mut Node {
        self.nodes.get_mut(path).expect("the node is known to exist")
    }

    /// Removes an existing node without children and notes whom to tell.
    fn remove(&mut self, path: &str, zxid: i64, triggers: &mut Vec<Trigger>) -> Node {
        let node = self.unlink(path);
        let (parent_path, _) = split(path).expect("only the root has no parent");
        let parent = self.node_mut(parent_path);
        parent.pzxid = zxid;
        let parent_acl = parent.acl.clone();
        triggers.push(Trigger { kind: WatchKind::Deleted, path: path.to_owned(), acl: node.acl.clone() });
        triggers.push(Trigger { kind: WatchKind::ChildrenChanged, path: parent_path.to_owned(), acl: parent_acl });
        node
    }

    fn link(&mut self, path: &str, node: Node) {
        let (parent, name) = split(path).expect("only the root has no parent");
        self.node_mut(parent).children.insert(name.into());
        match node.owner {
            Owner::Nobody => {}
            Owner::Session(session) => {
                self.ephemerals.entry(session).or_default().insert(path.to_owned());
            }
            Owner::Container => {
                self.containers.insert(path.to_owned());
            }
        }
        self.nodes.insert(path.to_owned(), node);
    }

    fn unlink(&mut self, path: &str) -> Node {
        let node = self.nodes.remove(path).expect("the node is known to exist");
        let (parent, name) = split(path).expect("only the root has no parent");
        self.node_mut(parent).children.remove(name);
        match node.owner {
            Owner::Nobody => {}
            Owner::Session(session) => {
                if let Some(paths) = self.ephemerals.get_mut(&session) {
                    paths.remove(path);
                    if paths.is_empty() {
                        self.ephemerals.remove(&session);
                    }
                }
            }
            Owner::Container => {
                self.containers.remove(path);
            }
        }
        node
    }

    fn take_back(&mut self, undo: Undo) {
        match undo {
            Undo::Create { path, parent_pzxid } => {
                self.unlink(&path);
                let parent = self.parent_mut(&path);
                parent.created_children = parent.created_children.wrapping_sub(1);
                parent.pzxid = parent_pzxid;
            }
            Undo::Delete { path, node, parent_pzxid } => {
                self.link(&path, node);
                self.parent_mut(&path).pzxid = parent_pzxid;
            }
            Undo::SetData { path, data, mzxid, mtime } => {
                let node = self.node_mut(&path);
                node.data = data;
                node.mzxid = mzxid;
                node.mtime = mtime;
                node.version = node.version.wrapping_sub(1);
            }
        }
    }

    fn parent_mut(&mut self, path: &str) -> &mut Node {
        let (parent, _) = split(path).expect("only the root has no parent");
        self.node_mut(parent)
    }
}

/// -1 matches every version. Returns the version after the change.
fn check_version(current: i32, expected: i32) -> Result<i32, ZkError> {
    if expected != -1 && expected != current { Err(ZkError::BadVersion) } else { Ok(current.wrapping_add(1)) }
}

/// Parent and name; `None` without any slash. The parent of `/a` is `/`.
fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/')?;
    Some((if parent.is_empty() { ROOT } else { parent }, name))
}

/// Is this a path of a node (`PathUtils.validatePath`)? The original looks at UTF-16 units, so that characters
/// beyond the first plane are refused as surrogates.
pub fn is_valid_path(path: &str) -> bool {
    let is_refused =
        |c: char| matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..);
    match path.strip_prefix('/') {
        None => false,
        Some("") => true,
        Some(rest) => !rest.contains(is_refused) && rest.split('/').all(|name| !matches!(name, "" | "." | "..")),
    }
}
