//! The usual requests, each in one line for its caller. The prefix `try_` and `Option` mean: absence is no error.

use bytes::Bytes;

use super::Client;
use crate::ids::ZkVersion;
use crate::zk::op::{Acl, CreateMode, Op, Outcome, Reply, Stat, Write, ZkError};
use crate::zk::path;

/// Data and Stat of a node.
pub type Node = (Option<Bytes>, Stat);

/// An operation that creates a persistent node with Kafka's open ACL.
pub fn create(path: impl Into<String>, data: Option<Bytes>) -> Write {
    Write::Create { path: path.into(), data, mode: CreateMode::Persistent, acl: Acl::open() }
}

/// An operation that replaces the data of a node; [`ZkVersion::NONE`] matches any version.
pub fn set_data(path: impl Into<String>, data: Bytes, version: ZkVersion) -> Write {
    Write::SetData { path: path.into(), data: Some(data), version }
}

/// A condition of a multi.
pub fn check(path: impl Into<String>, version: ZkVersion) -> Write {
    Write::Check { path: path.into(), version }
}

/// An operation that deletes a node; [`ZkVersion::NONE`] matches any version.
pub fn delete(path: impl Into<String>, version: ZkVersion) -> Write {
    Write::Delete { path: path.into(), version }
}

/// `None` for a missing node, else what `getData` answered.
pub fn try_node(outcome: Outcome) -> Result<Option<Node>, ZkError> {
    match outcome {
        Ok(Reply::Data { data, stat }) => Ok(Some((data, stat))),
        Err(ZkError::NoNode) => Ok(None),
        Err(error) => Err(error),
        Ok(_) => Err(ZkError::RuntimeInconsistency),
    }
}

impl Client {
    /// Data and Stat of a node; `None` if it is absent.
    pub async fn try_get(&self, path: &str, watch: bool) -> Result<Option<Node>, ZkError> {
        try_node(self.run(Op::GetData { path: path.into(), watch }).await)
    }

    /// Data and Stat of many nodes, pipelined.
    pub async fn try_get_all(&self, paths: impl IntoIterator<Item = String>) -> Result<Vec<Option<Node>>, ZkError> {
        let ops = paths.into_iter().map(|path| Op::GetData { path, watch: false }).collect();
        self.run_all(ops).await.into_iter().map(try_node).collect()
    }

    /// Stat of a node; `None` if it is absent.
    pub async fn exists(&self, path: &str, watch: bool) -> Result<Option<Stat>, ZkError> {
        match self.run(Op::Exists { path: path.into(), watch }).await {
            Ok(Reply::Exists { stat }) => Ok(Some(stat)),
            Err(ZkError::NoNode) => Ok(None),
            Err(error) => Err(error),
            Ok(_) => Err(ZkError::RuntimeInconsistency),
        }
    }

    /// Names of the children, in no order; none for an absent node.
    pub async fn children(&self, path: &str, watch: bool) -> Result<Vec<String>, ZkError> {
        match self.run(Op::GetChildren { path: path.into(), watch }).await {
            Ok(Reply::Children { names, .. }) => Ok(names),
            Err(ZkError::NoNode) => Ok(Vec::new()),
            Err(error) => Err(error),
            Ok(_) => Err(ZkError::RuntimeInconsistency),
        }
    }

    /// Runs a single write and returns its answer.
    pub async fn write(&self, write: Write) -> Outcome {
        self.run(Op::Write(write)).await
    }

    /// Runs writes all or none. `Ok` only if all succeeded; else the place of the first failure, and why.
    pub async fn write_all(&self, writes: Vec<Write>) -> Result<Vec<Reply>, (usize, ZkError)> {
        match self.run(Op::Multi(writes)).await {
            Ok(Reply::Multi(results)) => match results.iter().position(Result::is_err) {
                None => Ok(results.into_iter().flatten().collect()),
                Some(index) => Err((index, results[index].clone().err().unwrap_or(ZkError::RuntimeInconsistency))),
            },
            Ok(_) => Err((0, ZkError::RuntimeInconsistency)),
            Err(error) => Err((0, error)),
        }
    }

    /// Creates a persistent node, and its parents first if they are missing.
    pub async fn create_with_parents(&self, path: &str, data: Option<Bytes>) -> Result<(), ZkError> {
        loop {
            match self.write(create(path, data.clone())).await {
                Err(ZkError::NoNode) => match path::parent(path) {
                    Some(parent) if parent != "/" => self.create_path(parent).await?,
                    // The chroot is gone.
                    _ => return Err(ZkError::NoNode),
                },
                other => return other.map(|_| ()),
            }
        }
    }

    /// Makes sure that a node without data and its parents exist.
    pub async fn create_path(&self, path: &str) -> Result<(), ZkError> {
        match Box::pin(self.create_with_parents(path, None)).await {
            Err(ZkError::NodeExists) => Ok(()),
            other => other,
        }
    }
}
