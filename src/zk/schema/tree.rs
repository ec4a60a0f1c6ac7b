//! Whole trees: reading one, and what must hold between its znodes.

use std::collections::BTreeMap;

use super::{Finding, Schema, Znode};
use crate::ids::{BrokerId, TopicPartition};
use crate::zk::data::{Controller, Data, PartitionState, TopicAssignment, decode_controller_epoch};
use crate::zk::op::{Op, Reply, ZkError};
use crate::zk::path;
use crate::zk::remote::Client;

/// Znodes by path, the root left out.
pub type Tree = BTreeMap<String, Znode>;

/// Reads `root` and everything below it, level by level. What vanishes meanwhile is left out.
pub async fn read_tree(zk: &Client, root: &str) -> Result<Tree, ZkError> {
    let mut tree = Tree::new();
    let mut level = vec![root.to_owned()];
    while !level.is_empty() {
        let ops = level.iter().flat_map(|path| {
            let path = || path.clone();
            [
                Op::GetData { path: path(), watch: false },
                Op::GetAcl { path: path() },
                Op::GetChildren { path: path(), watch: false },
            ]
        });
        let mut outcomes = zk.run_all(ops.collect()).await.into_iter();
        let mut next = Vec::new();
        for path in level {
            let node = (outcomes.next(), outcomes.next(), outcomes.next());
            let (Some(data), Some(acl), Some(children)) = node else { return Err(ZkError::RuntimeInconsistency) };
            let (data, acl, children) = match (data, acl, children) {
                (Ok(Reply::Data { data, stat }), Ok(Reply::Acl { acl, .. }), Ok(Reply::Children { names, .. })) => {
                    ((data, stat), acl, names)
                }
                (Err(ZkError::NoNode), ..) | (_, Err(ZkError::NoNode), _) | (.., Err(ZkError::NoNode)) => continue,
                (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => return Err(error),
                _ => return Err(ZkError::RuntimeInconsistency),
            };
            // ZooKeeper's own nodes.
            next.extend(children.iter().map(|name| path::join(&path, name)).filter(|child| child != "/zookeeper"));
            if path != "/" {
                let (data, stat) = data;
                let (ephemeral_owner, version) = (stat.ephemeral_owner, stat.version);
                tree.insert(path, Znode { data, ephemeral_owner, version, acl });
            }
        }
        level = next;
    }
    Ok(tree)
}

/// Everything wrong with a tree: each znode by itself, and what must hold between them in a cluster at rest.
pub fn check_tree(schema: &Schema, tree: &Tree) -> Vec<Finding> {
    let mut findings: Vec<_> = tree.iter().flat_map(|(path, node)| schema.check(path, node)).collect();
    let mut find = |path: &str, problem: String| findings.push(Finding { path: path.to_owned(), problem });
    let data = |path: &str| tree.get(path).map(|node| node.data.as_deref().unwrap_or_default());

    if let Some(Ok(controller)) = data(path::CONTROLLER).map(Controller::decode) {
        let id = controller.broker_id;
        if controller.kraft_controller_epoch < 0 && !tree.contains_key(&path::broker(id)) {
            find(path::CONTROLLER, format!("the controller, broker {id}, is not registered"));
        }
    }
    let epoch = data(path::CONTROLLER_EPOCH).and_then(|data| decode_controller_epoch(data).ok());
    for topic in tree.keys().filter_map(|path| path::parse_topic(path)) {
        if !tree.contains_key(&path::topic_config(topic)) {
            find(&path::topic(topic), "the topic has no configuration".into());
        }
    }
    for path in tree.keys() {
        let Some(tp) = path::parse_state(path) else { continue };
        let Some(Ok(state)) = data(path).map(PartitionState::decode) else { continue };
        if epoch.is_some_and(|epoch| state.controller_epoch > epoch) {
            find(path, format!("written by controller epoch {}, which has not begun", state.controller_epoch));
        }
        if state.isr.is_empty() {
            find(path, "nobody is in sync".into());
        }
        if state.leader != BrokerId::NONE && !state.isr.contains(&state.leader) {
            find(path, format!("the leader, {}, is not in sync", state.leader));
        }
        match replicas(tree, &tp) {
            None => find(path, "the topic has no such partition".into()),
            Some(replicas) => {
                for id in state.isr.iter().filter(|id| !replicas.contains(id)) {
                    find(path, format!("{id} is in sync but no replica"));
                }
            }
        }
    }
    findings
}

fn replicas(tree: &Tree, tp: &TopicPartition) -> Option<Vec<BrokerId>> {
    let data = tree.get(&path::topic(&tp.topic))?.data.as_deref()?;
    let topic = TopicAssignment::decode(data).ok()?;
    Some(topic.partitions.get(&tp.partition)?.replicas.clone())
}
