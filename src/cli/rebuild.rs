//! `barnabas rebuild`: new indexes, snapshots and epochs for a stopped broker's logs, where the old ones are wrong.

use std::path::PathBuf;

use anyhow::bail;

use crate::log::inspect::check::Context;
use crate::log::inspect::rebuild::{Told, hold, rebuild};

/// What to rebuild.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// A log dir or the directory of a partition; its broker must be stopped
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Bytes of log between two index entries, as index.interval.bytes of the topic
    #[arg(long, value_name = "BYTES", default_value_t = 4096)]
    index_interval_bytes: u64,
}

/// Runs the command; an error if a log itself is broken.
pub fn run(options: Options) -> anyhow::Result<()> {
    let held = hold(&options.directory)?;
    let context = Context { index_interval_bytes: options.index_interval_bytes, ..Context::default() };
    let (mut files, mut faults, mut failed) = (0, 0, None);
    let would = if options.dry_run { "would be " } else { "" };
    let totals = rebuild(&options.directory, &context, options.dry_run, &held, &mut |told| {
        let line = match told {
            Told::Written(file) => format!("{}: {would}written\n", file.display()),
            Told::Removed(file) => format!("{}: {would}removed\n", file.display()),
            Told::Left(finding) => super::verify::lines(finding),
        };
        match told {
            Told::Left(_) => faults += 1,
            _ => files += 1,
        }
        failed = failed.take().or(super::print(&line).err());
    })?;
    super::print(&format!(
        "{} partitions, {} segments, {} bytes read: {files} files, {faults} faults left\n",
        totals.partitions, totals.segments, totals.bytes
    ))?;
    if let Some(error) = failed {
        return Err(error);
    }
    if faults > 0 {
        bail!("{faults} faults cannot be mended here: the logs themselves are never changed");
    }
    Ok(())
}
