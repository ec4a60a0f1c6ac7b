//! One-shot watches, emulated.

use std::collections::HashMap;

use crate::zk::op::{Stat, WatchEvent, WatchKind};
use crate::zk::path;

/// What a watch looks at: `exists` and `getData` watch the node, `getChildren` its list of children.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Interest {
    Node,
    Children,
}

/// Names one arming read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ArmId(u64);

/// What the arming read saw; the next event is a difference from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Seen {
    Absent,
    /// The transaction that last changed what is watched.
    At(i64),
}

#[derive(Debug)]
struct Armed {
    /// The newest read that armed it.
    by: ArmId,
    /// A read has armed it for certain; otherwise one is under way.
    certain: bool,
    seen: Option<Seen>,
}

#[derive(Debug, Default)]
struct Slots {
    node: Option<Armed>,
    children: Option<Armed>,
}

impl Slots {
    fn slot(&mut self, interest: Interest) -> &mut Option<Armed> {
        match interest {
            Interest::Node => &mut self.node,
            Interest::Children => &mut self.children,
        }
    }

    fn is_empty(&self) -> bool {
        self.node.is_none() && self.children.is_none()
    }
}

/// The armed watches of a session. A watch is armed by a read and disarmed by the event that it delivers.
///
/// It is armed when its read is sent, not when the answer comes, because a change between the two must not be missed.
/// A change just before the server answers can therefore fire once too often; it never fires too seldom.
#[derive(Debug, Default)]
pub struct Watches {
    slots: HashMap<String, Slots>,
    last_id: u64,
}

impl Watches {
    /// A read that arms is about to be sent.
    pub fn arm(&mut self, path: &str, interest: Interest) -> ArmId {
        self.last_id += 1;
        let id = ArmId(self.last_id);
        let slots = match self.slots.get_mut(path) {
            Some(slots) => slots,
            None => self.slots.entry(path.to_owned()).or_default(),
        };
        match slots.slot(interest) {
            Some(armed) => armed.by = id,
            empty => *empty = Some(Armed { by: id, certain: false, seen: None }),
        }
        id
    }

    /// The read succeeded: with the node's Stat, or finding (by `exists`) that there is none.
    pub fn armed(&mut self, path: &str, interest: Interest, id: ArmId, stat: Option<&Stat>) {
        let Some(armed) = self.slots.get_mut(path).and_then(|slots| slots.slot(interest).as_mut()) else { return };
        armed.certain = true;
        if armed.by == id {
            armed.seen = Some(seen(interest, stat));
        }
    }

    /// The read failed, so it armed nothing.
    pub fn not_armed(&mut self, path: &str, interest: Interest, id: ArmId) {
        let Some(slots) = self.slots.get_mut(path) else { return };
        let slot = slots.slot(interest);
        if slot.as_ref().is_some_and(|armed| armed.by == id && !armed.certain) {
            *slot = None;
            if slots.is_empty() {
                self.slots.remove(path);
            }
        }
    }

    /// Is a watch certainly armed?
    pub fn is_armed(&self, path: &str, interest: Interest) -> bool {
        let slots = self.slots.get(path);
        let slot = slots.and_then(|slots| match interest {
            Interest::Node => slots.node.as_ref(),
            Interest::Children => slots.children.as_ref(),
        });
        slot.is_some_and(|armed| armed.certain)
    }

    /// Something happened to a node (`ChildrenChanged` comes only from servers without recursive watches); returns what
    /// the armed watches make of it, in ZooKeeper's order: the node's own watches, then its parent's.
    pub fn happened(&mut self, event: WatchEvent) -> Vec<WatchEvent> {
        let WatchEvent { kind, path } = event;
        let mut fired = Vec::new();
        let hit = match kind {
            WatchKind::Created | WatchKind::DataChanged => self.disarm(&path, Interest::Node),
            WatchKind::ChildrenChanged => self.disarm(&path, Interest::Children),
            // One event, even if both were armed.
            WatchKind::Deleted => self.disarm(&path, Interest::Node) | self.disarm(&path, Interest::Children),
        };
        let parent = match kind {
            WatchKind::Created | WatchKind::Deleted => path::parent(&path),
            _ => None,
        };
        if let Some(parent) = parent
            && self.disarm(parent, Interest::Children)
        {
            fired.push(WatchEvent { kind: WatchKind::ChildrenChanged, path: parent.to_owned() });
        }
        if hit {
            fired.insert(0, WatchEvent { kind, path });
        }
        fired
    }

    fn disarm(&mut self, path: &str, interest: Interest) -> bool {
        let Some(slots) = self.slots.get_mut(path) else { return false };
        let hit = slots.slot(interest).take().is_some();
        if slots.is_empty() {
            self.slots.remove(path);
        }
        hit
    }

    /// The paths with an armed watch, and the newest read of all: what [`Self::compare`] needs after a reconnect.
    pub fn snapshot(&self) -> (Vec<String>, ArmId) {
        (self.slots.keys().cloned().collect(), ArmId(self.last_id))
    }

    /// After a reconnect, events may have been missed: `now` is what `exists` says about `path`. Fires the watches that
    /// were armed up to `newest` and that saw something else or nothing yet, all of them if `all`.
    pub fn compare(&mut self, path: &str, now: Option<&Stat>, newest: ArmId, all: bool) -> Vec<WatchEvent> {
        let Some(slots) = self.slots.get(path) else { return Vec::new() };
        let kind = |armed: &Option<Armed>, interest| {
            let armed = armed.as_ref().filter(|armed| armed.by <= newest)?;
            let changed = all || armed.seen != Some(seen(interest, now));
            changed.then_some(match (armed.seen, now, interest) {
                (Some(Seen::Absent), Some(_), _) => WatchKind::Created,
                (_, None, _) => WatchKind::Deleted,
                (_, Some(_), Interest::Node) => WatchKind::DataChanged,
                (_, Some(_), Interest::Children) => WatchKind::ChildrenChanged,
            })
        };
        let node = kind(&slots.node, Interest::Node);
        let children = kind(&slots.children, Interest::Children);
        let kinds: Vec<_> = match (node, children) {
            (Some(WatchKind::Deleted), Some(WatchKind::Deleted)) => vec![WatchKind::Deleted],
            _ => node.into_iter().chain(children).collect(),
        };
        if node.is_some() {
            self.disarm(path, Interest::Node);
        }
        if children.is_some() {
            self.disarm(path, Interest::Children);
        }
        kinds.into_iter().map(|kind| WatchEvent { kind, path: path.to_owned() }).collect()
    }

    /// Drops the watches on `root` and everything below it, without an event.
    pub fn forget_under(&mut self, root: &str) {
        self.slots.retain(|path, _| !is_under(path, root));
    }

    /// Is anything on `root` or below it armed?
    pub fn any_under(&self, root: &str) -> bool {
        self.slots.keys().any(|path| is_under(path, root))
    }

    /// The session is over: nothing is armed.
    pub fn clear(&mut self) {
        self.slots.clear();
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

fn seen(interest: Interest, stat: Option<&Stat>) -> Seen {
    match (stat, interest) {
        (None, _) => Seen::Absent,
        (Some(stat), Interest::Node) => Seen::At(stat.mzxid),
        (Some(stat), Interest::Children) => Seen::At(stat.pzxid),
    }
}

fn is_under(path: &str, root: &str) -> bool {
    root == "/" || path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Interest::{Children, Node};
    use WatchKind::*;

    fn event(kind: WatchKind, path: &str) -> WatchEvent {
        WatchEvent { kind, path: path.into() }
    }

    fn stat(mzxid: i64, pzxid: i64) -> Stat {
        Stat { mzxid, pzxid, ..Stat::default() }
    }

    fn armed(watches: &mut Watches, path: &str, interest: Interest, stat: Option<Stat>) {
        let id = watches.arm(path, interest);
        watches.armed(path, interest, id, stat.as_ref());
    }

    #[test]
    fn a_watch_fires_once_and_only_for_what_it_looks_at() {
        let mut watches = Watches::default();
        armed(&mut watches, "/brokers/topics", Children, Some(stat(1, 1)));
        armed(&mut watches, "/brokers/topics/t", Node, Some(stat(2, 2)));
        let state = "/brokers/topics/t/partitions/0/state";
        for kind in [Created, DataChanged, Deleted] {
            assert_eq!(watches.happened(event(kind, state)), []);
        }
        assert_eq!(watches.happened(event(DataChanged, "/brokers/topics")), []);
        let changed = event(DataChanged, "/brokers/topics/t");
        assert_eq!(watches.happened(changed.clone()), [changed.clone()]);
        assert_eq!(watches.happened(changed), []);
        let created = event(Created, "/brokers/topics/u");
        assert_eq!(watches.happened(created.clone()), [event(ChildrenChanged, "/brokers/topics")]);
        assert_eq!(watches.happened(created), []);
        assert!(watches.is_empty());
    }

    #[test]
    fn deletion_is_one_event_for_the_node_and_one_for_its_parent() {
        let mut watches = Watches::default();
        armed(&mut watches, "/a", Children, Some(stat(1, 1)));
        armed(&mut watches, "/a/b", Children, Some(stat(1, 1)));
        armed(&mut watches, "/a/b", Node, Some(stat(1, 1)));
        let fired = watches.happened(event(Deleted, "/a/b"));
        assert_eq!(fired, [event(Deleted, "/a/b"), event(ChildrenChanged, "/a")]);
    }

    #[test]
    fn a_failed_read_arms_nothing_but_spares_an_older_watch() {
        let mut watches = Watches::default();
        let id = watches.arm("/a", Node);
        watches.not_armed("/a", Node, id);
        assert!(watches.is_empty());
        armed(&mut watches, "/a", Node, None);
        let id = watches.arm("/a", Node);
        watches.not_armed("/a", Node, id);
        assert_eq!(watches.happened(event(Created, "/a")), [event(Created, "/a")]);
        // Two reads under way, the first succeeds: armed.
        let (first, second) = (watches.arm("/a", Node), watches.arm("/a", Node));
        watches.armed("/a", Node, first, Some(&stat(1, 1)));
        watches.not_armed("/a", Node, second);
        assert_eq!(watches.happened(event(DataChanged, "/a")).len(), 1);
    }

    #[test]
    fn an_event_before_the_answer_is_not_missed() {
        let mut watches = Watches::default();
        let id = watches.arm("/a", Node);
        assert_eq!(watches.happened(event(DataChanged, "/a")).len(), 1);
        watches.armed("/a", Node, id, Some(&stat(1, 1)));
        assert!(watches.is_empty());
    }

    #[test]
    fn a_reconnect_fires_what_changed() {
        let mut watches = Watches::default();
        armed(&mut watches, "/same", Node, Some(stat(1, 1)));
        armed(&mut watches, "/same", Children, Some(stat(1, 1)));
        armed(&mut watches, "/data", Node, Some(stat(1, 1)));
        armed(&mut watches, "/data", Children, Some(stat(1, 1)));
        armed(&mut watches, "/gone", Node, Some(stat(1, 1)));
        armed(&mut watches, "/gone", Children, Some(stat(1, 1)));
        armed(&mut watches, "/new", Node, None);
        armed(&mut watches, "/still absent", Node, None);
        watches.arm("/unknown", Node);
        let (mut paths, newest) = watches.snapshot();
        paths.sort();
        assert_eq!(paths, ["/data", "/gone", "/new", "/same", "/still absent", "/unknown"]);
        let mut compare = |path, now: Option<Stat>| watches.compare(path, now.as_ref(), newest, false);
        assert_eq!(compare("/same", Some(stat(1, 1))), []);
        assert_eq!(compare("/data", Some(stat(9, 1))), [event(DataChanged, "/data")]);
        assert_eq!(compare("/data", Some(stat(9, 8))), [event(ChildrenChanged, "/data")]);
        assert_eq!(compare("/gone", None), [event(Deleted, "/gone")]);
        assert_eq!(compare("/new", Some(stat(3, 3))), [event(Created, "/new")]);
        assert_eq!(compare("/still absent", None), []);
        assert_eq!(compare("/unknown", Some(stat(3, 3))), [event(DataChanged, "/unknown")]);
        let later = watches.arm("/data", Node);
        assert_eq!(watches.compare("/data", None, newest, true), []);
        assert!(later > newest);
        assert_eq!(watches.compare("/same", Some(&stat(1, 1)), newest, true).len(), 2);
    }

    #[test]
    fn forgetting_is_silent_and_by_whole_names() {
        let mut watches = Watches::default();
        armed(&mut watches, "/brokers/topics", Children, Some(stat(1, 1)));
        armed(&mut watches, "/brokers/topics/t", Node, Some(stat(1, 1)));
        armed(&mut watches, "/brokers/topics2", Node, Some(stat(1, 1)));
        watches.forget_under("/brokers/topics");
        assert!(!watches.any_under("/brokers/topics"));
        assert!(watches.any_under("/brokers/topics2") && watches.any_under("/"));
        assert_eq!(watches.len(), 1);
    }
}
