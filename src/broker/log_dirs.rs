//! What a broker does when one of its log dirs fails: the partitions there go offline, the controller hears of it and
//! elects other leaders, the rest goes on. Without any log dir left the process ends.
//! Studied: `ReplicaManager.LogDirFailureHandler`, `LogManager.handleLogDirFailure`.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::ids::BrokerId;
use crate::log;
use crate::log::OnFailure;
use crate::replica;
use crate::zk::data::{Data, LogDirEvent};
use crate::zk::op::{Acl, CreateMode, Write, ZkError};
use crate::zk::path;
use crate::zk::remote::Client;

/// The handler for the log manager, and the failures that it was told of. Whoever finds a failure may hold locks of the
/// log, so that the handler only writes it down.
pub(super) fn failures() -> (Arc<OnFailure>, mpsc::UnboundedReceiver<PathBuf>) {
    let (failed, failures) = mpsc::unbounded_channel();
    let handler = move |dir: &std::path::Path, error: &std::io::Error| {
        tracing::error!(target: "kafka.log.LogManager", dir = %dir.display(), %error, "Stopping serving logs in this dir");
        // While the broker goes down nobody listens any more.
        let _ = failed.send(dir.to_owned());
    };
    (Arc::new(handler), failures)
}

/// Acts on the failures of log dirs, for as long as the broker runs.
pub(super) async fn follow(
    mut failures: mpsc::UnboundedReceiver<PathBuf>,
    id: BrokerId,
    logs: Arc<log::Manager>,
    replicas: Arc<replica::Manager>,
    zk: Client,
) {
    while let Some(dir) = failures.recv().await {
        if logs.dir_states().iter().all(|(_, offline)| *offline) {
            tracing::error!(target: "kafka.log.LogManager", "Shutdown broker because all log dirs have failed");
            std::process::exit(1);
        }
        let (logs, replicas, failed) = (logs.clone(), replicas.clone(), dir.clone());
        let lost = tokio::task::spawn_blocking(move || {
            replicas.log_dir_failed();
            logs.drop_failed_dir(&failed)
        });
        let lost = lost.await.map_or(0, |partitions| partitions.len());
        tracing::warn!(target: "kafka.server.ReplicaManager", partitions = lost, "Stopped serving replicas in dir {}", dir.display());
        match announce(&zk, id).await {
            Ok(()) => {}
            // With the new session the broker registers again, and the controller asks for every replica.
            Err(ZkError::SessionExpired) => {}
            Err(error) => {
                tracing::error!(target: "kafka.server.ReplicaManager", %error, "The controller could not be told of the failed log dir")
            }
        }
    }
}

/// Tells the controller to ask this broker which of its replicas are offline.
async fn announce(zk: &Client, id: BrokerId) -> Result<(), ZkError> {
    let event = Write::Create {
        path: path::LOG_DIR_EVENT_PREFIX.into(),
        data: Some(LogDirEvent { broker: id }.encode()),
        mode: CreateMode::PersistentSequential,
        acl: Acl::open(),
    };
    zk.write(event).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::registration::create_persistent_paths;
    use crate::zk::remote::Options;
    use crate::zk::server::Server;

    #[tokio::test]
    async fn the_controller_is_told_in_kafka_s_words() {
        let server = Server::start("127.0.0.1:0").await.unwrap();
        let options = Options::new(server.addr().to_string().parse().unwrap());
        let (zk, _) = Client::connect(options).await.unwrap();
        create_persistent_paths(&zk).await.unwrap();
        announce(&zk, BrokerId(8)).await.unwrap();
        let events = zk.children(path::LOG_DIR_EVENTS, false).await.unwrap();
        assert_eq!(events, ["log_dir_event_0000000000"]);
        let (data, _) = zk.try_get(&path::join(path::LOG_DIR_EVENTS, &events[0]), false).await.unwrap().unwrap();
        assert_eq!(&data.unwrap()[..], br#"{"version":1,"broker":8,"event":1}"#);
        zk.close().await;
        server.shutdown().await;
    }

    #[test]
    fn a_failure_is_written_down_without_waiting() {
        let (handler, mut failures) = failures();
        handler(std::path::Path::new("/d1"), &std::io::Error::other("broken"));
        assert_eq!(failures.try_recv().unwrap(), PathBuf::from("/d1"));
        drop(failures);
        handler(std::path::Path::new("/d2"), &std::io::Error::other("broken"));
    }
}
