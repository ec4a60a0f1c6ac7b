//! `barnabas diff`: are two replicas the same, and if not, where do they part?

use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::log::inspect::diff::{self, Difference, Side};
use crate::log::inspect::partition::{is_log_dir, log_dir_entries};

/// What to compare.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// A partition's directory, or a log dir
    #[arg(value_name = "DIR1")]
    first: PathBuf,
    /// The same of another broker
    #[arg(value_name = "DIR2")]
    second: PathBuf,
    /// Compare decoded records, however they are batched, compressed and compacted
    #[arg(long)]
    records: bool,
}

/// Runs the command; a divergence is an error.
pub fn run(options: Options) -> anyhow::Result<()> {
    let Options { first, second, records } = &options;
    let mut pairs = Vec::new();
    match (is_log_dir(first)?, is_log_dir(second)?) {
        (false, false) => pairs.push((first.clone(), second.clone())),
        (true, true) => {
            let names = |dir: &Path| -> anyhow::Result<Vec<_>> {
                let entries = log_dir_entries(dir)?;
                Ok(entries.into_iter().filter_map(|entry| entry.path.file_name().map(ToOwned::to_owned)).collect())
            };
            let (ours, theirs) = (names(first)?, names(second)?);
            for (names, others, dir) in [(&ours, &theirs, first), (&theirs, &ours, second)] {
                for name in names.iter().filter(|name| !others.contains(name)) {
                    super::print(&format!("{}: only in {}\n", name.display(), dir.display()))?;
                }
            }
            let both = ours.iter().filter(|name| theirs.contains(name));
            pairs.extend(both.map(|name| (first.join(name), second.join(name))));
        }
        _ => bail!("one is a log dir and the other a partition's directory"),
    }
    let mut diverged = 0;
    for (first, second) in &pairs {
        let (mut page, mut diverges) = (String::new(), false);
        let mut tell = |difference: Difference| {
            diverges |= difference.diverges();
            page.push_str(&explain(&difference, first, second));
        };
        match records {
            true => diff::records(first, second, &mut tell)?,
            false => diff::batches(first, second, &mut tell)?,
        }
        diverged += u64::from(diverges);
        if !page.is_empty() {
            super::print(&format!("{} and {}:\n{page}", first.display(), second.display()))?;
        }
    }
    super::print(&format!("{} partitions compared, {diverged} diverge\n", pairs.len()))?;
    if diverged > 0 {
        bail!("{diverged} partitions diverge");
    }
    Ok(())
}

fn explain(difference: &Difference, first: &Path, second: &Path) -> String {
    let (first, second) = (first.display(), second.display());
    match difference {
        Difference::Starts { first: one, second: other } => format!(
            "  the logs begin at offsets {one} and {other}: retention, DeleteRecords or compaction took more from one\n"
        ),
        Difference::Ends { first: one, second: other } => {
            let (short, missing) = if one < other { (first, other - one) } else { (second, one - other) };
            format!(
                "  the logs end at offsets {one} and {other}: {short} is {missing} offsets behind, and equal so far\n"
            )
        }
        Difference::Batches { first: one, second: other, agreed } => {
            let mut page = "  these batches are the first that are not the same:\n".to_owned();
            for side in [one, other] {
                page.push_str(&format!("    {}\n", side.as_ref().map_or("no batch".to_owned(), |side| batch(side))));
            }
            if let (Some(one), Some(other)) = (one, other) {
                page.push_str(&format!("  {}\n", reason(one, other)));
            }
            let damaged = [one, other].into_iter().flatten().any(|side| !side.crc_holds);
            if let Some((epoch, offset)) = agreed.filter(|_| !damaged) {
                page.push_str(&format!(
                    "  by their leader epochs the logs are one up to offset {offset} (epoch {epoch}): a follower truncates there\n"
                ));
            }
            page
        }
        Difference::Records { first: one, second: other } => {
            format!("  the records at offset {} are not the same:\n    {one:?}\n    {other:?}\n", one.offset)
        }
        Difference::Missing { only_in_first, count, offset } => {
            let side = if *only_in_first { first } else { second };
            format!(
                "  {count} records from offset {offset} on are only in {side}: compaction of the other explains that\n"
            )
        }
    }
}

fn batch(side: &Side) -> String {
    let Side { file, position, header, crc_holds } = side;
    format!(
        "{}, position {position}: offsets {} to {}, leader epoch {}, {} bytes, {} records, producer {}/{} from {}, CRC {:#010x}{}",
        file.display(),
        header.base_offset,
        header.last_offset(),
        header.partition_leader_epoch,
        header.size(),
        header.records_count,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.crc,
        if *crc_holds { "" } else { " (WRONG)" },
    )
}

fn reason(one: &Side, other: &Side) -> &'static str {
    let epochs = (one.header.partition_leader_epoch, other.header.partition_leader_epoch);
    match (one.crc_holds, other.crc_holds) {
        (false, true) => "the first is damaged; the second is sound",
        (true, false) => "the second is damaged; the first is sound",
        (false, false) => "both are damaged",
        (true, true) if epochs.0 != epochs.1 => {
            "different leaders wrote them: the side with the older epoch has not truncated, or an unclean election lost it"
        }
        (true, true) if one.header.base_offset != other.header.base_offset || one.header.is_wrapper() => {
            "one epoch, but other batches: one side was compacted or compressed anew (try --records)"
        }
        (true, true) => "one epoch and one offset, but other contents: try --records to see whether the records differ",
    }
}
