//! Watches of one kind (data or child): who wants to hear about which path.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::sessions::SessionId;
use crate::zk::op::WatchKind;

/// How long a watch lasts and how far it reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum WatchMode {
    /// Fires once.
    OneShot,
    /// Stays until removed.
    Persistent,
    /// Stays until removed and covers all nodes below; tells of no changed children, their own events say it all.
    PersistentRecursive,
}

/// Which watches a removal means (`WatcherType`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum WatchTarget {
    Children,
    Data,
    Any,
}

impl WatchTarget {
    pub(super) fn covers_children(self) -> bool {
        self != Self::Data
    }

    pub(super) fn covers_data(self) -> bool {
        self != Self::Children
    }
}

/// A session has at most one watch per path; a later one replaces it, whatever its mode (as `WatchManager` does).
#[derive(Debug, Default)]
pub(super) struct Watches {
    by_path: HashMap<String, BTreeMap<SessionId, WatchMode>>,
    by_session: HashMap<SessionId, BTreeSet<String>>,
    /// Number of recursive watches; without any, events need not look at the parents.
    recursive: usize,
}

impl Watches {
    pub(super) fn add(&mut self, session: SessionId, path: &str, mode: WatchMode) {
        self.remove(session, path);
        self.by_path.entry(path.to_owned()).or_default().insert(session, mode);
        self.by_session.entry(session).or_default().insert(path.to_owned());
        self.recursive += usize::from(mode == WatchMode::PersistentRecursive);
    }

    pub(super) fn remove(&mut self, session: SessionId, path: &str) -> bool {
        let Some(watchers) = self.by_path.get_mut(path) else { return false };
        let Some(mode) = watchers.remove(&session) else { return false };
        if watchers.is_empty() {
            self.by_path.remove(path);
        }
        if let Some(paths) = self.by_session.get_mut(&session) {
            paths.remove(path);
            if paths.is_empty() {
                self.by_session.remove(&session);
            }
        }
        self.recursive -= usize::from(mode == WatchMode::PersistentRecursive);
        true
    }

    /// Removes all watches of a session.
    pub(super) fn forget(&mut self, session: SessionId) {
        for path in self.by_session.get(&session).cloned().unwrap_or_default() {
            self.remove(session, &path);
        }
    }

    pub(super) fn is_watched(&self, path: &str) -> bool {
        self.by_path.contains_key(path)
    }

    pub(super) fn len(&self) -> usize {
        self.by_path.values().map(BTreeMap::len).sum()
    }

    /// Something happened at `path`: who hears of it? Uses up the one-shot watches.
    pub(super) fn fire(&mut self, path: &str, kind: WatchKind) -> BTreeSet<SessionId> {
        let mut told = BTreeSet::new();
        let mut spent = Vec::new();
        for (session, mode) in self.by_path.get(path).into_iter().flatten() {
            match mode {
                WatchMode::OneShot => spent.push(*session),
                WatchMode::Persistent => {}
                WatchMode::PersistentRecursive if kind == WatchKind::ChildrenChanged => continue,
                WatchMode::PersistentRecursive => {}
            }
            told.insert(*session);
        }
        for session in spent {
            self.remove(session, path);
        }
        if self.recursive > 0 && kind != WatchKind::ChildrenChanged {
            for ancestor in ancestors(path) {
                let watchers = self.by_path.get(ancestor).into_iter().flatten();
                let recursive = watchers.filter(|(_, mode)| **mode == WatchMode::PersistentRecursive);
                told.extend(recursive.map(|(session, _)| *session));
            }
        }
        told
    }
}

/// The paths above `path`, nearest first.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(path), |path| parent(path))
}

fn parent(path: &str) -> Option<&str> {
    match path.rfind('/') {
        _ if path == "/" => None,
        None => None,
        Some(0) => Some("/"),
        Some(slash) => Some(&path[..slash]),
    }
}
