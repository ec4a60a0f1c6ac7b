//! `barnabas verify`: is everything in a log dir, or in a partition's directory, as it must be?

use std::path::PathBuf;

use anyhow::bail;

use crate::log::inspect::check::{Context, Finding, Repair, Report, Severity, Totals};
use crate::log::inspect::verify::verify;

/// What to check.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Log dirs or directories of partitions; best while no broker uses them
    #[arg(required = true, value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// Decode every record, also in compressed batches
    #[arg(long)]
    deep: bool,
    /// Print faults only
    #[arg(long)]
    quiet: bool,
}

struct Printed {
    quiet: bool,
    faults: u64,
    remarks: u64,
    failed: Option<anyhow::Error>,
}

impl Report for Printed {
    fn finding(&mut self, finding: Finding) {
        match finding.severity {
            Severity::Fault => self.faults += 1,
            Severity::Remark => self.remarks += 1,
        }
        if finding.severity == Severity::Fault || !self.quiet {
            self.failed = self.failed.take().or(super::print(&lines(&finding)).err());
        }
    }

    fn repair(&mut self, _: Repair) {}
}

/// Two lines: what is where, and what to do.
pub(super) fn lines(finding: &Finding) -> String {
    let word = match finding.severity {
        Severity::Fault => "FAULT",
        Severity::Remark => "remark",
    };
    let position = finding.position.map_or(String::new(), |position| format!(", position {position}"));
    format!("{word} {}{position}: {}\n    {}\n", finding.file.display(), finding.what, finding.advice)
}

/// Runs the command; faults are an error.
pub fn run(options: Options) -> anyhow::Result<()> {
    let mut report = Printed { quiet: options.quiet, faults: 0, remarks: 0, failed: None };
    let mut totals = Totals::default();
    let context = Context { deep: options.deep, ..Context::default() };
    for directory in &options.directories {
        verify(directory, &context, &mut totals, &mut report)?;
    }
    if let Some(error) = report.failed {
        return Err(error);
    }
    let Totals { partitions, segments, batches, bytes } = totals;
    super::print(&format!(
        "{partitions} partitions, {segments} segments, {batches} batches, {bytes} bytes: {} faults, {} remarks\n",
        report.faults, report.remarks
    ))?;
    if report.faults > 0 {
        bail!("{} faults were found", report.faults);
    }
    Ok(())
}
