//! The words of the crate zookeeper-client, and ours.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use zookeeper_client as zk;

use crate::ids::ZkVersion;
use crate::zk::op::{Acl, CreateMode, Op, Outcome, Reply, Stat, WatchEvent, WatchKind, Write, ZkError};

/// The answer did not come: whether the request was applied is not known.
pub(super) enum Failure {
    Lost,
}

/// An answer, with the watcher of a read that armed a one-shot watch of the server.
pub(super) type Answer = Result<(Outcome, Option<zk::OneshotWatcher>), Failure>;

pub(super) type Request = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// The request, sent when first polled. `watch` arms a one-shot watch of the server, whatever the operation says.
pub(super) fn request(client: zk::Client, op: Arc<Op>, watch: bool) -> Request {
    Box::pin(async move {
        let mut watcher = None;
        match run(&client, &op, watch, &mut watcher).await {
            Ok(reply) => Ok((Ok(reply), watcher)),
            Err(error) => verdict(error).map(|error| (Err(error), watcher)),
        }
    })
}

async fn run(
    client: &zk::Client,
    op: &Op,
    watch: bool,
    watcher: &mut Option<zk::OneshotWatcher>,
) -> Result<Reply, zk::Error> {
    match op {
        Op::Write(write) => run_write(client, write).await,
        Op::Multi(writes) => run_multi(client, writes).await,
        Op::Exists { path, .. } => {
            let stat = if watch {
                let (stat, armed) = client.check_and_watch_stat(path).await?;
                *watcher = Some(armed);
                stat
            } else {
                client.check_stat(path).await?
            };
            stat.map(|stat| Reply::Exists { stat: from_stat(&stat) }).ok_or(zk::Error::NoNode)
        }
        Op::GetData { path, .. } => {
            let (data, stat) = if watch {
                let (data, stat, armed) = client.get_and_watch_data(path).await?;
                *watcher = Some(armed);
                (data, stat)
            } else {
                client.get_data(path).await?
            };
            Ok(Reply::Data { data: (!data.is_empty()).then(|| data.into()), stat: from_stat(&stat) })
        }
        Op::GetChildren { path, .. } => {
            let (names, stat) = if watch {
                let (names, stat, armed) = client.get_and_watch_children(path).await?;
                *watcher = Some(armed);
                (names, stat)
            } else {
                client.get_children(path).await?
            };
            Ok(Reply::Children { names, stat: from_stat(&stat) })
        }
        Op::GetAcl { path } => {
            let (acl, stat) = client.get_acl(path).await?;
            Ok(Reply::Acl { acl: acl.iter().map(from_acl).collect(), stat: from_stat(&stat) })
        }
        Op::SetAcl { path, acl, version } => {
            let stat = client.set_acl(path, &to_acl(acl), to_version(*version)).await?;
            Ok(Reply::Set { stat: from_stat(&stat) })
        }
        Op::Sync { path } => {
            client.sync(path).await?;
            Ok(Reply::Synced { path: path.clone() })
        }
    }
}

async fn run_write(client: &zk::Client, write: &Write) -> Result<Reply, zk::Error> {
    match write {
        Write::Create { path, data, mode, acl } => {
            let acl = to_acl(acl);
            let options = to_mode(*mode).with_acls(zk::Acls::new(&acl));
            let (stat, sequence) = client.create(path, to_data(data), &options).await?;
            let path = if mode.is_sequential() { format!("{path}{sequence}") } else { path.clone() };
            Ok(Reply::Created { path, stat: valid_stat(&stat) })
        }
        Write::Delete { path, version } => client.delete(path, to_version(*version)).await.map(|()| Reply::Deleted),
        Write::SetData { path, data, version } => {
            let stat = client.set_data(path, to_data(data), to_version(*version)).await?;
            Ok(Reply::Set { stat: from_stat(&stat) })
        }
        Write::Check { .. } => Err(zk::Error::BadArguments(&"check is for multi only")),
    }
}

async fn run_multi(client: &zk::Client, writes: &[Write]) -> Result<Reply, zk::Error> {
    let mut writer = client.new_multi_writer();
    for write in writes {
        match write {
            Write::Create { path, data, mode, acl } => {
                let acl = to_acl(acl);
                writer.add_create(path, to_data(data), &to_mode(*mode).with_acls(zk::Acls::new(&acl)))?;
            }
            Write::Delete { path, version } => writer.add_delete(path, to_version(*version))?,
            Write::SetData { path, data, version } => writer.add_set_data(path, to_data(data), to_version(*version))?,
            Write::Check { path, version } => writer.add_check_version(path, version.0)?,
        }
    }
    match writer.commit().await {
        Ok(results) => Ok(Reply::Multi(results.into_iter().map(from_result).collect())),
        Err(zk::MultiWriteError::RequestFailed { source }) => Err(source),
        Err(zk::MultiWriteError::OperationFailed { index, source }) => {
            let source = verdict(source.clone()).map_err(|_| source)?;
            let result = |i: usize| match i.cmp(&index) {
                std::cmp::Ordering::Less => Ok(Reply::Checked),
                std::cmp::Ordering::Equal => Err(source),
                std::cmp::Ordering::Greater => Err(ZkError::RuntimeInconsistency),
            };
            Ok(Reply::Multi((0..writes.len()).map(result).collect()))
        }
    }
}

fn from_result(result: zk::MultiWriteResult) -> Result<Reply, ZkError> {
    Ok(match result {
        zk::MultiWriteResult::Check => Reply::Checked,
        zk::MultiWriteResult::Delete => Reply::Deleted,
        zk::MultiWriteResult::Create { path, stat } => Reply::Created { path, stat: valid_stat(&stat) },
        zk::MultiWriteResult::SetData { stat } => Reply::Set { stat: from_stat(&stat) },
        // The enum may grow; nothing else is ever asked for.
        _ => return Err(ZkError::Unimplemented),
    })
}

/// Is the error an answer of the server, or a sign that there is none?
fn verdict(error: zk::Error) -> Result<ZkError, Failure> {
    Ok(match error {
        zk::Error::NoNode => ZkError::NoNode,
        zk::Error::NoAuth => ZkError::NoAuth,
        zk::Error::BadVersion => ZkError::BadVersion,
        zk::Error::NoChildrenForEphemerals => ZkError::NoChildrenForEphemerals,
        zk::Error::NodeExists => ZkError::NodeExists,
        zk::Error::NotEmpty => ZkError::NotEmpty,
        zk::Error::InvalidAcl => ZkError::InvalidAcl,
        zk::Error::NotReadOnly => ZkError::NotReadOnly,
        zk::Error::NoWatcher => ZkError::NoWatcher,
        zk::Error::MarshallingError | zk::Error::UnmarshalError { .. } => ZkError::MarshallingError,
        zk::Error::Unimplemented => ZkError::Unimplemented,
        zk::Error::BadArguments(_) => ZkError::BadArguments,
        zk::Error::RuntimeInconsistent => ZkError::RuntimeInconsistency,
        error @ (zk::Error::QuotaExceeded | zk::Error::ReconfigDisabled | zk::Error::UnexpectedErrorCode(_)) => {
            tracing::warn!(%error, "a ZooKeeper error that Kafka does not know");
            ZkError::RuntimeInconsistency
        }
        // The link or the session broke, or (Throttled, SessionMoved) the server wants us to try again.
        _ => return Err(Failure::Lost),
    })
}

/// A watch event of the server; `None` for changes of the session.
pub(super) fn from_event(event: zk::WatchedEvent) -> Option<WatchEvent> {
    let kind = match event.event_type {
        zk::EventType::NodeCreated => WatchKind::Created,
        zk::EventType::NodeDeleted => WatchKind::Deleted,
        zk::EventType::NodeDataChanged => WatchKind::DataChanged,
        zk::EventType::NodeChildrenChanged => WatchKind::ChildrenChanged,
        zk::EventType::Session => return None,
    };
    Some(WatchEvent { kind, path: event.path })
}

fn to_data(data: &Option<Bytes>) -> &[u8] {
    data.as_deref().unwrap_or_default()
}

fn to_version(version: ZkVersion) -> Option<i32> {
    (!version.is_none()).then_some(version.0)
}

fn to_mode(mode: CreateMode) -> zk::CreateMode {
    match mode {
        CreateMode::Persistent => zk::CreateMode::Persistent,
        CreateMode::Ephemeral => zk::CreateMode::Ephemeral,
        CreateMode::PersistentSequential => zk::CreateMode::PersistentSequential,
        CreateMode::EphemeralSequential => zk::CreateMode::EphemeralSequential,
    }
}

const PERMISSIONS: [(i32, zk::Permission); 5] = [
    (1, zk::Permission::READ),
    (2, zk::Permission::WRITE),
    (4, zk::Permission::CREATE),
    (8, zk::Permission::DELETE),
    (16, zk::Permission::ADMIN),
];

fn to_acl(acl: &[Acl]) -> Vec<zk::Acl> {
    let perms = |bits: i32| {
        (PERMISSIONS.iter().filter(|(bit, _)| bits & bit != 0))
            .fold(zk::Permission::NONE, |all, &(_, permission)| all | permission)
    };
    acl.iter().map(|acl| zk::Acl::new(perms(acl.perms), zk::AuthId::new(&acl.scheme, &acl.id))).collect()
}

fn from_acl(acl: &zk::Acl) -> Acl {
    let has = |&(bit, permission): &(i32, zk::Permission)| if acl.permission().has(permission) { bit } else { 0 };
    Acl { perms: PERMISSIONS.iter().map(has).sum(), scheme: acl.scheme().to_owned(), id: acl.id().to_owned() }
}

fn from_stat(stat: &zk::Stat) -> Stat {
    Stat {
        czxid: stat.czxid,
        mzxid: stat.mzxid,
        ctime: stat.ctime,
        mtime: stat.mtime,
        version: stat.version,
        cversion: stat.cversion,
        aversion: stat.aversion,
        ephemeral_owner: stat.ephemeral_owner,
        data_length: stat.data_length,
        num_children: stat.num_children,
        pzxid: stat.pzxid,
    }
}

/// Servers give no Stat of a node created inside a multi (ZOOKEEPER-4026).
fn valid_stat(stat: &zk::Stat) -> Option<Stat> {
    (!stat.is_invalid() && stat.czxid != 0).then(|| from_stat(stat))
}

/// Does the error say that no answer came?
pub(super) fn is_lost(error: &zk::Error) -> bool {
    verdict(error.clone()).is_err()
}
