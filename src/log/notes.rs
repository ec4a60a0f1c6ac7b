//! Notes of a partition that are written down late: whose it is (`partition.metadata`) and its leader epochs.
//!
//! A controller makes thousands of partitions leaders at once, and each of the files costs two fsyncs. Neither means
//! anything before there are records: the topic's id says whose records they are, and an epoch that begins at the log's end
//! is forgotten by every load. So they are written before the log grows, or when the manager's thread for them comes by,
//! whatever is first; never later than Kafka, which writes epochs at once and topic ids as here.

use std::io;
use std::sync::Arc;

use super::dir::Errand;
use super::epochs::Epochs;
use super::error::{OpenError, StorageError};
use super::log::Log;
use super::names::LEADER_EPOCHS;
use super::{checkpoint, disk, meta};
use crate::ids::{LeaderEpoch, Offset, TopicId};

/// What the files say.
#[derive(Debug)]
pub(super) struct Notes {
    /// Is the topic id to be written yet?
    pub topic_id_waits: bool,
    /// The very same as the log's, as long as nothing is to be written.
    pub epochs: Arc<Epochs>,
}

impl Log {
    /// Notes that this broker leads in `epoch` from `start`, the log's end, on.
    pub fn assign_epoch(&mut self, epoch: LeaderEpoch, start: Offset) -> Result<(), StorageError> {
        if self.config.target_magic() < 2 {
            // Older formats do not carry it.
            return Ok(());
        }
        let mut epochs = Epochs::clone(&self.epochs);
        if epochs.assign(epoch.0, start.0) {
            self.check()?;
            self.epochs = Arc::new(epochs);
            self.publish();
            if self.epochs != self.notes.epochs {
                self.log_dir.ask_for(&self.tp, Errand::WriteNotes);
            }
        }
        Ok(())
    }

    /// Gives the log its topic's id, for good. Zero ids say nothing.
    pub fn assign_topic_id(&mut self, id: TopicId) -> Result<(), OpenError> {
        if id.is_zero() || self.topic_id == id {
            return Ok(());
        }
        if !self.topic_id.is_zero() {
            return Err(OpenError::InconsistentTopicId { stored: self.topic_id, requested: id });
        }
        self.check()?;
        self.topic_id = id;
        self.notes.topic_id_waits = true;
        self.publish();
        self.log_dir.ask_for(&self.tp, Errand::WriteNotes);
        Ok(())
    }

    /// Writes down what waits for it.
    pub fn write_notes(&mut self) -> Result<(), StorageError> {
        self.check()?;
        let written = self.try_write_notes();
        self.log_dir.guard(written)
    }

    pub(super) fn try_write_notes(&mut self) -> io::Result<()> {
        if !self.notes.topic_id_waits && Arc::ptr_eq(&self.epochs, &self.notes.epochs) {
            return Ok(());
        }
        let epochs_wait = self.epochs != self.notes.epochs;
        if !self.notes.topic_id_waits && !epochs_wait {
            // What the last load took away has come again.
            self.notes.epochs = self.epochs.clone();
            return Ok(());
        }
        let dir = self.dir.path();
        if self.notes.topic_id_waits {
            meta::write_topic_id(&dir, self.topic_id)?;
        }
        if epochs_wait {
            let text = checkpoint::epochs_text(self.epochs.entries());
            disk::put_in_place(&dir.join(LEADER_EPOCHS), text.as_bytes())?;
        }
        disk::sync_dir(&dir)?;
        self.notes = Notes { topic_id_waits: false, epochs: self.epochs.clone() };
        Ok(())
    }

    /// Takes over other epochs, and writes them down at once.
    pub(super) fn replace_epochs(&mut self, epochs: Epochs) -> io::Result<()> {
        checkpoint::write_epochs(&self.dir.path().join(LEADER_EPOCHS), epochs.entries())?;
        self.epochs = Arc::new(epochs);
        self.notes.epochs = self.epochs.clone();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LogConfig;
    use crate::ids::{TopicPartition, Uuid};
    use crate::log::{LeaderAppend, LogDir, OpenOptions, TxnCheck, open};
    use crate::record::{AppendOrigin, BatchBuilder};

    fn open_log(root: &std::path::Path) -> Log {
        open(OpenOptions {
            tp: TopicPartition::new("t", 0),
            log_dir: LogDir::standalone(root.to_owned()),
            path: root.join("t-0"),
            config: Arc::new(LogConfig::default()),
            clean: true,
            recovery_point: 0,
            log_start: 0,
            producer_expiration_ms: i64::MAX,
        })
        .unwrap()
    }

    fn append(log: &mut Log, epoch: i32) {
        let mut batch = BatchBuilder::new();
        batch.push(1, None, Some(b"value"), &[]);
        let (origin, txn) = (AppendOrigin::Client, TxnCheck::Off);
        let how = LeaderAppend { leader_epoch: LeaderEpoch(epoch), origin, txn, now_ms: 1 };
        log.append_as_leader(&batch.build(), &how).unwrap();
    }

    fn epochs_in(root: &std::path::Path) -> Vec<(i32, i64)> {
        checkpoint::read_epochs(&root.join("t-0").join(LEADER_EPOCHS)).unwrap()
    }

    #[test]
    fn written_before_the_first_record() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open_log(dir.path());
        let id = Uuid(7);
        log.assign_topic_id(id).unwrap();
        log.assign_epoch(LeaderEpoch(3), Offset(0)).unwrap();
        assert_eq!((log.view().topic_id(), log.epochs().latest()), (id, Some(LeaderEpoch(3))));
        assert!(epochs_in(dir.path()).is_empty());
        append(&mut log, 3);
        assert_eq!(epochs_in(dir.path()), [(3, 0)]);
        assert_eq!(meta::read_topic_id(&dir.path().join("t-0")).unwrap(), Some(id));

        log.assign_epoch(LeaderEpoch(5), Offset(1)).unwrap();
        assert_eq!(epochs_in(dir.path()), [(3, 0)]);
        log.write_notes().unwrap();
        assert_eq!(epochs_in(dir.path()), [(3, 0), (5, 1)]);
    }

    #[test]
    fn an_epoch_without_records_goes_at_the_load_and_from_the_file_before_records_come() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open_log(dir.path());
        log.assign_epoch(LeaderEpoch(3), Offset(0)).unwrap();
        append(&mut log, 3);
        log.assign_epoch(LeaderEpoch(5), Offset(1)).unwrap();
        log.write_notes().unwrap();
        log.close().unwrap();

        // The same again: the file is right as it is, nothing is written.
        let mut log = open_log(dir.path());
        assert_eq!(log.epochs().entries(), [(3, 0)]);
        log.assign_epoch(LeaderEpoch(5), Offset(1)).unwrap();
        disk::crash::after(Some(0));
        log.write_notes().unwrap();
        disk::crash::after(None);

        let mut log = open_log(dir.path());
        append(&mut log, 3);
        assert_eq!(epochs_in(dir.path()), [(3, 0)]);
        assert_eq!(log.epochs().entries(), [(3, 0)]);
    }
}
