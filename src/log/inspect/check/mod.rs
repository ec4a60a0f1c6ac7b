//! Everything that a partition's directory says, held against its batches; and what the files that do not agree should
//! hold instead.
//!
//! The batches are walked once, in chunks; what is held in memory is one segment's indexes and the producers.

mod indexes;
mod segment;
mod snapshots;

use std::path::{Path, PathBuf};

use super::InspectError;
use super::partition::PartitionFiles;
use crate::log::epochs::Epochs;
use crate::log::names::{CLEANED, DELETED, LEADER_EPOCHS, PARTITION_METADATA, SWAP};
use crate::log::producers::Producers;
use crate::log::{checkpoint, meta};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// To be expected after a crash, or of no consequence.
    Remark,
    /// Data or what is derived from it is not as it must be.
    Fault,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub file: PathBuf,
    /// Byte in the file.
    pub position: Option<u64>,
    pub what: String,
    /// What to do about it.
    pub advice: &'static str,
}

/// A file of derived data that should be replaced; `None` means that it should not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    pub file: PathBuf,
    pub bytes: Option<Vec<u8>>,
}

/// Takes what a check finds, as it is found.
pub trait Report {
    fn finding(&mut self, finding: Finding);
    fn repair(&mut self, repair: Repair);
}

/// What is known of a partition beside its directory, and how closely to look.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// From the log dir's checkpoints.
    pub recovery_point: Option<i64>,
    pub log_start: Option<i64>,
    pub high_watermark: Option<i64>,
    /// Did the broker stop cleanly? Else the next start checks what is not flushed, and rebuilds it.
    pub clean: bool,
    /// Decode every record.
    pub deep: bool,
    /// `index.interval.bytes` of rebuilt indexes.
    pub index_interval_bytes: u64,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            recovery_point: None,
            log_start: None,
            high_watermark: None,
            clean: true,
            deep: false,
            index_interval_bytes: 4096,
        }
    }
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub partitions: u64,
    pub segments: u64,
    pub batches: u64,
    pub bytes: u64,
}

const REPLICATE_AGAIN: &str = "a broker serves these bytes as they are and clients reject them: if another replica is \
                               in sync, stop this broker, delete the partition's directory and start it again";
const CUT_AT_START: &str =
    "the next start of the broker cuts the log here; what follows comes back only from other replicas";
const REBUILD: &str = "stop the broker and run `barnabas rebuild` on this directory";
const TAKEN_CARE_OF: &str = "the next start of the broker takes care of it";

/// Checks a partition's directory.
pub fn partition(
    path: &Path,
    context: &Context,
    totals: &mut Totals,
    report: &mut dyn Report,
) -> Result<(), InspectError> {
    let files = PartitionFiles::read(path)?;
    totals.partitions += 1;
    let mut check = Check {
        files: &files,
        context,
        totals,
        report,
        producers: Producers::default(),
        stored_epochs: None,
        epochs: Epochs::default(),
        epochs_disagree: false,
        snapshots_checked: 0,
        end: files.segments.first().copied().unwrap_or(0),
        broken: false,
    };
    check.small_files();
    for (n, base) in files.segments.iter().enumerate() {
        check.segment(*base, files.segments.get(n + 1).copied())?;
    }
    check.snapshots_up_to(check.end)?;
    check.snapshot_at_end();
    check.finish();
    Ok(())
}

struct Check<'a> {
    files: &'a PartitionFiles,
    context: &'a Context,
    totals: &'a mut Totals,
    report: &'a mut dyn Report,
    /// As of `end`.
    producers: Producers,
    /// As the checkpoint says; `None` if there is none that can be read.
    stored_epochs: Option<Epochs>,
    /// As the batches say.
    epochs: Epochs,
    epochs_disagree: bool,
    /// Snapshots that were looked at.
    snapshots_checked: usize,
    /// The offset after the last batch so far.
    end: i64,
    /// A batch was not sound: nothing can be rebuilt from here on.
    broken: bool,
}

impl Check<'_> {
    fn fault(&mut self, file: &Path, position: Option<u64>, what: impl Into<String>, advice: &'static str) {
        let finding = Finding { severity: Severity::Fault, file: file.to_owned(), position, what: what.into(), advice };
        self.report.finding(finding);
    }

    fn remark(&mut self, file: &Path, what: impl Into<String>, advice: &'static str) {
        let what = what.into();
        let finding = Finding { severity: Severity::Remark, file: file.to_owned(), position: None, what, advice };
        self.report.finding(finding);
    }

    fn repair(&mut self, file: PathBuf, bytes: Option<Vec<u8>>) {
        if !self.broken {
            self.report.repair(Repair { file, bytes });
        }
    }

    /// Will the next start of a broker check this offset by itself?
    fn will_be_recovered(&self, offset: i64) -> bool {
        !self.context.clean && self.context.recovery_point.is_none_or(|point| offset >= point)
    }

    fn small_files(&mut self) {
        if let Err(error) = meta::read_topic_id(&self.files.path) {
            let file = self.files.path.join(PARTITION_METADATA);
            self.fault(&file, None, error.to_string(), "copy the file from another replica, or delete it");
        }
        let file = self.files.path.join(LEADER_EPOCHS);
        match checkpoint::read_epochs(&file) {
            Ok(entries) => {
                if !entries.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1) {
                    self.fault(&file, None, "epochs and offsets do not both grow", REBUILD);
                    self.epochs_disagree = true;
                }
                self.stored_epochs = Some(Epochs::from_entries(entries));
            }
            Err(error) => {
                self.fault(&file, None, format!("{error}: a broker takes its whole log dir offline"), REBUILD);
                self.epochs_disagree = true;
            }
        }
        for (suffix, what) in [
            (DELETED, "files were being deleted"),
            (SWAP, "files of a compaction were being swapped in"),
            (CLEANED, "files of a compaction that was not finished"),
        ] {
            let count = self.files.ending_in(suffix);
            if count > 0 {
                self.remark(&self.files.path, format!("{count} {what}"), TAKEN_CARE_OF);
            }
        }
        let files = self.files;
        for (offset, extension) in &files.beside {
            if !extension.contains('.') && files.segments.binary_search(offset).is_err() {
                self.remark(&files.file(*offset, extension), "belongs to no segment", TAKEN_CARE_OF);
            }
        }
        if files.segments.is_empty() {
            self.remark(&files.path, "holds no segment", TAKEN_CARE_OF);
        }
    }

    /// An epoch of a batch, against the checkpoint.
    fn epoch(&mut self, file: &Path, position: u64, epoch: i32, offset: i64) {
        if epoch < 0 {
            return;
        }
        if self.epochs.latest().is_some_and(|latest| epoch < latest.0) {
            let what = format!("leader epoch {epoch} at offset {offset} comes after a later one");
            self.fault(file, Some(position), what, REPLICATE_AGAIN);
            return; // Recovery does not follow it back either.
        }
        self.epochs.assign(epoch, offset);
        if offset < self.context.log_start.unwrap_or(0) {
            return;
        }
        let stored = self.stored_epochs.as_ref().map(|epochs| epochs.epoch_at(crate::ids::Offset(offset)));
        if let Some(stored) = stored
            && stored.is_none_or(|stored| stored.0 != epoch)
            && !self.epochs_disagree
        {
            let stored = stored.map_or("none".to_owned(), |stored| stored.0.to_string());
            let what = format!("says leader epoch {stored} for offset {offset}, the batch has {epoch}");
            let checkpoint = self.files.path.join(LEADER_EPOCHS);
            if self.will_be_recovered(offset) {
                self.remark(&checkpoint, what, TAKEN_CARE_OF);
            } else {
                self.fault(&checkpoint, None, what, REBUILD);
            }
            self.epochs_disagree = true;
        }
    }

    fn finish(&mut self) {
        let Context { recovery_point, log_start, high_watermark, clean, .. } = *self.context;
        let (path, end) = (&self.files.path, self.end);
        for (name, offset) in [("recovery point", recovery_point), ("high watermark", high_watermark)] {
            if let Some(offset) = offset.filter(|offset| *offset > end) {
                let what = format!("the checkpoint's {name} {offset} is above the log's end {end}");
                if clean {
                    self.fault(path, None, what, "data was lost after a clean stop: compare with another replica");
                } else {
                    self.remark(path, what, TAKEN_CARE_OF);
                }
            }
        }
        if let Some(start) = log_start.filter(|start| *start > end) {
            let what = format!("the checkpoint's log start {start} is above the log's end {end}");
            self.fault(path, None, what, "the next start of the broker deletes everything and begins there");
        }
        if self.epochs_disagree {
            if let Some(start) = log_start {
                self.epochs.truncate_from_start(start);
            }
            let entries = checkpoint::epochs_text(self.epochs.entries());
            self.repair(path.join(LEADER_EPOCHS), Some(entries.into_bytes()));
        }
    }
}
