//! Producer snapshots, against a replay of the batches.

use super::{Check, REBUILD, TAKEN_CARE_OF};
use crate::log::inspect::InspectError;
use crate::log::names::SNAPSHOT;
use crate::log::producers::Producers;
use crate::log::snapshot::{self, SnapshotEntry};

impl Check<'_> {
    /// Checks the snapshots up to `offset`, now that the batches before it have been seen.
    pub(super) fn snapshots_up_to(&mut self, offset: i64) -> Result<(), InspectError> {
        let files = self.files;
        while let Some(at) = files.snapshots.get(self.snapshots_checked).filter(|at| **at <= offset) {
            self.snapshot(*at)?;
            self.snapshots_checked += 1;
        }
        Ok(())
    }

    /// Snapshots above the log's end, and the one that should be there.
    pub(super) fn snapshot_at_end(&mut self) {
        let (files, end) = (self.files, self.end);
        for offset in &files.snapshots[self.snapshots_checked..] {
            let what = format!("is above the log's end {end}");
            self.remark(&files.file(*offset, SNAPSHOT), what, TAKEN_CARE_OF);
        }
        if files.snapshots.binary_search(&end).is_err() && !self.producers.is_empty() {
            let file = files.file(end, SNAPSHOT);
            if self.context.clean {
                let what = "is missing: the next start reads part of the log to know the producers";
                self.remark(&file, what, REBUILD);
            }
            self.repair(file, Some(snapshot::encode(&self.producers.to_snapshot())));
        }
    }

    fn snapshot(&mut self, offset: i64) -> Result<(), InspectError> {
        let file = self.files.file(offset, SNAPSHOT);
        let bytes = std::fs::read(&file).map_err(InspectError::file(&file))?;
        let Some(entries) = snapshot::decode(&bytes) else {
            self.fault(&file, None, "version, CRC or size is wrong: a broker deletes it and reads the log", REBUILD);
            self.repair(file, Some(snapshot::encode(&self.producers.to_snapshot())));
            return Ok(());
        };
        let replayed = self.producers.to_snapshot();
        let known = |id: i64| {
            let index = replayed.binary_search_by_key(&id, |entry| entry.producer_id).ok()?;
            Some(&replayed[index])
        };
        let mut wrong = entries.iter().find_map(|entry| disagreement(entry, known(entry.producer_id), offset));
        if wrong.is_none() {
            // A producer may have expired before the snapshot, but not with a transaction open.
            let missing = |open: &&SnapshotEntry| {
                open.txn_first_offset >= 0 && entries.iter().all(|entry| entry.producer_id != open.producer_id)
            };
            wrong = replayed.iter().find(missing).map(|open| {
                let SnapshotEntry { producer_id, txn_first_offset, .. } = open;
                format!("producer {producer_id} is missing; its transaction from offset {txn_first_offset} is open")
            });
        }
        match wrong {
            Some(what) if !self.broken => {
                self.fault(&file, None, what, REBUILD);
                self.repair(file, Some(snapshot::encode(&replayed)));
            }
            // What was before the log's start, and what compaction took away, is known from here alone.
            _ => self.producers = Producers::from_snapshot(&entries, offset, 0, i64::MAX),
        }
        Ok(())
    }
}

/// What of a snapshot's entry cannot be. Compaction may have removed the batch that it tells of, so the replay may be
/// behind; where both tell of the same batch, they must agree.
fn disagreement(entry: &SnapshotEntry, replayed: Option<&SnapshotEntry>, offset: i64) -> Option<String> {
    let id = entry.producer_id;
    if entry.last_offset >= offset || entry.txn_first_offset >= offset {
        return Some(format!("producer {id}: offset {} is not below the snapshot's", entry.last_offset));
    }
    let replayed = replayed?;
    if replayed.last_offset > entry.last_offset {
        let (stored, real) = (entry.last_offset, replayed.last_offset);
        return Some(format!("producer {id}: the last batch ends at offset {stored}, in the log at {real}"));
    }
    if replayed.last_offset < entry.last_offset || replayed.last_offset < 0 {
        return None;
    }
    let sequences = |entry: &SnapshotEntry| (entry.epoch, entry.last_sequence, entry.offset_delta);
    if sequences(entry) != sequences(replayed) {
        let (stored, real) = (sequences(entry), sequences(replayed));
        return Some(format!("producer {id}: epoch, last sequence and size {stored:?}, in the log {real:?}"));
    }
    // Compaction may have removed the transaction's first batch.
    if replayed.txn_first_offset >= 0 && !(0..=replayed.txn_first_offset).contains(&entry.txn_first_offset) {
        let (stored, real) = (entry.txn_first_offset, replayed.txn_first_offset);
        return Some(format!("producer {id}: the open transaction begins at offset {stored}, in the log at {real}"));
    }
    None
}
