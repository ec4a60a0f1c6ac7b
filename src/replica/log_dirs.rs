//! Replicas and log dirs: where they are, and moving them to another one.
//! Studied: `ReplicaManager.{describeLogDirs, alterReplicaLogDirs}`.

use crate::error::ErrorCode;
use crate::ids::TopicPartition;
use crate::log::{LogInfo, MoveError};

use super::hosted_map::Hosted;
use super::manager::Manager;

/// Offset lag of a replica that is not hosted, or offline.
const UNKNOWN_LAG: i64 = -1;

impl Manager {
    /// How much a log in a log dir lacks: of a current one, what of the committed it does not have; of a copy in
    /// progress, what the log has and the copy has not. -1 if not known.
    pub fn offset_lag(&self, log: &LogInfo) -> i64 {
        match self.hosted.get(&log.tp.topic, log.tp.partition) {
            Some(Hosted::Online(partition)) if log.future => partition.log_end().0 - log.log_end.0,
            Some(Hosted::Online(partition)) => (partition.high_watermark().0 - log.log_end.0).max(0),
            Some(Hosted::Offline) | None => UNKNOWN_LAG,
        }
    }

    /// Begins to move a replica to the log dir `to`; a move to yet another dir ends. A partition that is not here will be
    /// created there when it comes.
    ///
    /// Errors: 57 `to` is none of our dirs; 56 it, the replica's or any dir is offline; 17 the name is too long; 9 the
    /// replica is not here; 3 nobody knows the partition.
    pub fn move_replica(&self, tp: &TopicPartition, to: &str) -> Result<(), ErrorCode> {
        let _one_at_a_time = self.changes.lock();
        let logs = &self.env.logs;
        let refused = |error: MoveError| {
            tracing::warn!(partition = %tp, to, %error, "Unable to alter log dirs");
            ErrorCode::from(&error)
        };
        logs.check_move(tp, to).map_err(refused)?;
        match self.hosted.get(&tp.topic, tp.partition) {
            Some(Hosted::Online(_)) => logs.cancel_move_elsewhere(tp, to).map_err(refused)?,
            Some(Hosted::Offline) => return Err(ErrorCode::KafkaStorageError),
            None => {}
        }
        logs.prefer_dir(tp, to);
        self.partition(&tp.topic, tp.partition).map_err(|error| match error {
            ErrorCode::NotLeaderOrFollower => ErrorCode::ReplicaNotAvailable,
            other => other,
        })?;
        logs.begin_move(tp, to).map_err(refused).map(|_| ())
    }
}
