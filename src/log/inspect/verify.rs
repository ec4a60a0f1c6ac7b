//! Checks of whole log dirs: identity, checkpoints, and every partition.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::InspectError;
use super::check::{self, Context, Finding, Report, Severity, Totals};
use super::partition::{is_log_dir, log_dir_entries};
use crate::ids::TopicPartition;
use crate::log::checkpoint::OffsetCheckpoint;
use crate::log::meta::MetaProperties;
use crate::log::names::{
    CLEAN_SHUTDOWN, CLEANER_OFFSETS, HIGH_WATERMARKS, LOG_STARTS, META_PROPERTIES, PartitionDirName, RECOVERY_POINTS,
};

type Offsets = BTreeMap<TopicPartition, i64>;

/// Checks a log dir or a partition's directory. What is known of a partition from elsewhere is in `context`; the
/// checkpoints of a log dir add to it.
pub fn verify(
    path: &Path,
    context: &Context,
    totals: &mut Totals,
    report: &mut dyn Report,
) -> Result<(), InspectError> {
    if !is_log_dir(path)? {
        return match log_dir_of(path) {
            Some(dir) => {
                let checkpoints = Checkpoints::read(&dir, &mut Quiet);
                check::partition(path, &checkpoints.context(path, context), totals, report)
            }
            None => check::partition(path, context, totals, report),
        };
    }
    identity(path, report);
    let checkpoints = Checkpoints::read(path, report);
    let entries = log_dir_entries(path)?;
    for entry in &entries {
        match &entry.name {
            None => {
                let what = "is no partition's directory";
                fault(report, &entry.path, what, "move it away: a broker does not start with it");
            }
            Some(PartitionDirName::Deleted(_)) => {
                remark(report, &entry.path, "is being deleted", "the next start of the broker takes care of it");
            }
            Some(PartitionDirName::Stray(_)) => {
                remark(report, &entry.path, "is of no known replica", "it is kept and never served");
            }
            Some(PartitionDirName::Current(_) | PartitionDirName::Future(_)) => {
                check::partition(&entry.path, &checkpoints.context(&entry.path, context), totals, report)?;
            }
        }
    }
    checkpoints.without_directory(path, &entries, report);
    Ok(())
}

/// The log dir that a partition's directory is in.
pub fn log_dir_of(partition: &Path) -> Option<PathBuf> {
    let dir = std::path::absolute(partition).ok()?.parent()?.to_owned();
    [META_PROPERTIES, RECOVERY_POINTS].iter().any(|name| dir.join(name).exists()).then_some(dir)
}

struct Quiet;

impl Report for Quiet {
    fn finding(&mut self, _: Finding) {}
    fn repair(&mut self, _: check::Repair) {}
}

fn fault(report: &mut dyn Report, file: &Path, what: impl Into<String>, advice: &'static str) {
    let (file, what) = (file.to_owned(), what.into());
    report.finding(Finding { severity: Severity::Fault, file, position: None, what, advice });
}

fn remark(report: &mut dyn Report, file: &Path, what: impl Into<String>, advice: &'static str) {
    let (file, what) = (file.to_owned(), what.into());
    report.finding(Finding { severity: Severity::Remark, file, position: None, what, advice });
}

fn identity(path: &Path, report: &mut dyn Report) {
    let file = path.join(META_PROPERTIES);
    match MetaProperties::read(path) {
        Ok(None) => remark(report, &file, "is missing", "the broker writes it at its next start"),
        Ok(Some(meta)) if meta.broker_id.is_none() => {
            remark(report, &file, "has no broker.id", "the broker writes it at its next start");
        }
        Ok(Some(_)) => {}
        Err(error) => fault(report, &file, error.to_string(), "restore the line: a broker does not start with it"),
    }
}

/// The checkpoints of a log dir.
struct Checkpoints {
    clean: bool,
    recovery_points: Offsets,
    high_watermarks: Offsets,
    log_starts: Offsets,
    cleaner_offsets: Offsets,
}

impl Checkpoints {
    fn read(dir: &Path, report: &mut dyn Report) -> Self {
        let mut read = |name: &str| match OffsetCheckpoint::new(dir, name).read() {
            Ok(offsets) => offsets,
            Err(error) => {
                let advice = "delete the file while the broker is stopped: with it the log dir goes offline, without it \
                              more is recovered";
                fault(report, &dir.join(name), error.to_string(), advice);
                Offsets::new()
            }
        };
        Self {
            clean: dir.join(CLEAN_SHUTDOWN).exists(),
            recovery_points: read(RECOVERY_POINTS),
            high_watermarks: read(HIGH_WATERMARKS),
            log_starts: read(LOG_STARTS),
            cleaner_offsets: read(CLEANER_OFFSETS),
        }
    }

    fn context(&self, partition: &Path, context: &Context) -> Context {
        let name = partition.file_name().and_then(|name| name.to_str());
        let name = name.and_then(crate::log::names::parse_partition_dir);
        let of = |offsets: &Offsets| match &name {
            Some(PartitionDirName::Current(tp)) => offsets.get(tp).copied(),
            _ => None,
        };
        Context {
            clean: self.clean,
            recovery_point: of(&self.recovery_points),
            high_watermark: of(&self.high_watermarks),
            log_start: of(&self.log_starts),
            ..*context
        }
    }

    /// Entries of partitions that are not here.
    fn without_directory(&self, dir: &Path, entries: &[super::partition::LogDirEntry], report: &mut dyn Report) {
        let here: Vec<&TopicPartition> = entries
            .iter()
            .filter_map(|entry| match &entry.name {
                Some(PartitionDirName::Current(tp)) => Some(tp),
                _ => None,
            })
            .collect();
        for (name, offsets) in [
            (RECOVERY_POINTS, &self.recovery_points),
            (HIGH_WATERMARKS, &self.high_watermarks),
            (LOG_STARTS, &self.log_starts),
            (CLEANER_OFFSETS, &self.cleaner_offsets),
        ] {
            for (tp, offset) in offsets.iter().filter(|(tp, _)| !here.contains(tp)) {
                let what = format!("has offset {offset} of {tp}, which is not here");
                remark(report, &dir.join(name), what, "nothing, if the partition was deleted or moved");
            }
        }
    }
}
