//! Replaces derived files that do not agree with the batches. `.log` files are never touched.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::InspectError;
use super::check::{Context, Finding, Repair, Report, Severity, Totals};
use super::partition::is_log_dir;
use super::verify::{log_dir_of, verify};
use crate::log::{disk, start};

/// What a rebuild says.
#[derive(Debug)]
pub enum Told<'a> {
    /// The file was replaced, or would be.
    Written(&'a Path),
    /// The file was removed, or would be.
    Removed(&'a Path),
    /// A fault of a log itself, which is not for a rebuild to mend.
    Left(&'a Finding),
}

/// Holds a log dir against a broker's start.
#[derive(Debug)]
pub struct Held {
    _lock: Option<File>,
}

/// Takes the lock of the log dir that a directory is, or is in. Errors if a broker has it.
pub fn hold(path: &Path) -> Result<Held, InspectError> {
    let dir = if is_log_dir(path)? { Some(path.to_owned()) } else { log_dir_of(path) };
    let Some(dir) = dir else { return Ok(Held { _lock: None }) };
    match start::lock_dir(&dir).map_err(InspectError::file(&dir))? {
        Some(lock) => Ok(Held { _lock: Some(lock) }),
        None => Err(InspectError::Refused(format!("{} is in use: stop the broker first", dir.display()))),
    }
}

/// Replaces what `verify` finds wrong in a directory that is held; with `dry_run` says only what it would do.
pub fn rebuild(
    path: &Path,
    context: &Context,
    dry_run: bool,
    _held: &Held,
    tell: &mut dyn FnMut(Told<'_>),
) -> Result<Totals, InspectError> {
    let mut work = Work { dry_run, tell, faults: Vec::new(), repaired: Vec::new(), failed: None };
    let mut totals = Totals::default();
    verify(path, context, &mut totals, &mut work)?;
    let Work { tell, faults, repaired, failed, .. } = work;
    faults.iter().filter(|finding| !repaired.contains(&finding.file)).for_each(|finding| tell(Told::Left(finding)));
    match failed {
        Some(error) => Err(error),
        None => Ok(totals),
    }
}

struct Work<'a> {
    dry_run: bool,
    tell: &'a mut dyn FnMut(Told<'_>),
    faults: Vec<Finding>,
    repaired: Vec<PathBuf>,
    failed: Option<InspectError>,
}

impl Report for Work<'_> {
    fn finding(&mut self, finding: Finding) {
        if finding.severity == Severity::Fault {
            self.faults.push(finding);
        }
    }

    fn repair(&mut self, Repair { file, bytes }: Repair) {
        if !self.dry_run && self.failed.is_none() {
            let result = match &bytes {
                Some(bytes) => disk::replace(&file, bytes),
                None => disk::remove(&file),
            };
            if let Err(error) = result {
                self.failed = Some(InspectError::file(&file)(error));
                return;
            }
        }
        (self.tell)(if bytes.is_some() { Told::Written(&file) } else { Told::Removed(&file) });
        self.repaired.push(file);
    }
}
