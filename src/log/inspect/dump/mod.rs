//! The files of a log directory as text, byte for byte as Kafka 3.9's `kafka.tools.DumpLogSegments` prints them (its
//! bracket after the checksum of old messages included).
//!
//! Where the bytes make no sense the tool ends with an exception and status 1; here that is an [`InspectError`], after
//! the same output. Nothing is created or changed; Kafka's tool creates indexes that are missing.

mod decode;
mod indexes;
mod segment;
mod state;

use std::io::Write;
use std::path::{Path, PathBuf};

use super::InspectError;
use super::text::ScalaTable;
use crate::ids::java_string_hash;
use crate::log::names::{INDEX, LOG, SNAPSHOT, TIME_INDEX, TXN_INDEX};

/// How keys and values of records are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decoder {
    /// As UTF-8 text, or what comes out if they are none.
    #[default]
    Text,
    /// As 4-byte numbers.
    Integer,
    /// As 8-byte numbers.
    Long,
}

/// What the records of a log are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Records {
        key: Decoder,
        value: Decoder,
    },
    /// Those of `__consumer_offsets`.
    Offsets,
    /// Those of `__transaction_state`.
    TransactionLog,
}

/// The options of the tool.
#[derive(Clone, Debug)]
pub struct Options {
    /// Print each record, not only batches.
    pub deep: bool,
    /// Print keys and values of records.
    pub print_content: Option<Content>,
    /// Leave out offsets, timestamps, sizes and headers of records.
    pub skip_record_metadata: bool,
    /// Check indexes without printing their entries.
    pub verify_index_only: bool,
    /// Only the check that a broker makes at its start.
    pub index_sanity_only: bool,
    /// Bytes of a log looked at per index entry.
    pub max_message_bytes: i32,
    /// Bytes of a log that are read at all; `i32::MAX` is no limit.
    pub max_bytes: i32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deep: false,
            print_content: None,
            skip_record_metadata: false,
            verify_index_only: false,
            index_sanity_only: false,
            max_message_bytes: 5 << 20,
            max_bytes: i32::MAX,
        }
    }
}

/// Pairs of numbers found per file.
#[derive(Debug, Default)]
struct Findings {
    files: Vec<(PathBuf, Vec<(i64, i64)>)>,
}

impl Findings {
    fn add(&mut self, file: &Path, pair: (i64, i64)) {
        match self.files.iter_mut().rev().find(|(known, _)| known == file) {
            Some((_, pairs)) => pairs.push(pair),
            None => self.files.push((file.to_owned(), vec![pair])),
        }
    }

    /// By file with its absolute path, in the order of Kafka's hash table.
    fn in_order(&self) -> impl Iterator<Item = (String, &[(i64, i64)])> {
        let absolute =
            |file: &Path| std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string();
        let files: Vec<_> = self.files.iter().map(|(file, pairs)| (absolute(file), &pairs[..])).collect();
        let mut table = ScalaTable::default();
        files.iter().for_each(|(name, _)| table.add(java_string_hash(name)));
        table.order().into_iter().map(move |index| files[index].clone())
    }
}

/// Prints files. `out` takes the content, `err` what is wrong with it.
pub struct Dump<'a> {
    options: &'a Options,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    index_mismatches: Findings,
    time_mismatches: Findings,
    times_out_of_order: Findings,
    times_not_found: Findings,
    gaps: Findings,
}

impl<'a> Dump<'a> {
    pub fn new(options: &'a Options, out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self {
            options,
            out,
            err,
            index_mismatches: Findings::default(),
            time_mismatches: Findings::default(),
            times_out_of_order: Findings::default(),
            times_not_found: Findings::default(),
            gaps: Findings::default(),
        }
    }

    /// Prints one file, by the kind that its name tells.
    pub fn file(&mut self, path: &Path) -> Result<(), InspectError> {
        writeln!(self.out, "Dumping {}", path.display())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match name.rsplit_once('.').map(|(_, suffix)| suffix) {
            Some(LOG) => self.segment(path),
            Some(INDEX) => self.offset_index(path),
            Some(TIME_INDEX) => self.time_index(path),
            Some(SNAPSHOT) => self.snapshot(path),
            Some(TXN_INDEX) => self.txn_index(path),
            Some("checkpoint") => Err(InspectError::Refused(format!(
                "{} is a snapshot of a KRaft cluster's metadata; there is none in a ZooKeeper cluster",
                path.display()
            ))),
            Some(_) => self.complain(format_args!("Ignoring unknown file {}", path.display())),
            None => Err(InspectError::corrupt(path, "the name does not tell what kind of file this is")),
        }
    }

    /// A line about something wrong, in order with what was printed before.
    fn complain(&mut self, line: std::fmt::Arguments<'_>) -> Result<(), InspectError> {
        self.out.flush()?;
        Ok(writeln!(self.err, "{line}")?)
    }

    /// Prints what was found to be wrong in all files.
    pub fn finish(self) -> Result<(), InspectError> {
        let Self { out, err, index_mismatches, time_mismatches, times_out_of_order, times_not_found, gaps, .. } = self;
        out.flush()?;
        for (file, pairs) in index_mismatches.in_order() {
            writeln!(err, "Mismatches in :{file}")?;
            for (index, log) in pairs.iter().rev() {
                writeln!(err, "  Index offset: {index}, log offset: {log}")?;
            }
        }
        for (file, pairs) in time_mismatches.in_order() {
            writeln!(err, "Found timestamp mismatch in :{file}")?;
            for (index, log) in pairs {
                writeln!(err, "  Index timestamp: {index}, log timestamp: {log}")?;
            }
        }
        for (file, pairs) in times_out_of_order.in_order() {
            writeln!(err, "Found out of order timestamp in :{file}")?;
            for (index, before) in pairs {
                writeln!(err, "  Index timestamp: {index}, Previously indexed timestamp: {before}")?;
            }
        }
        for (_, pairs) in times_not_found.in_order() {
            writeln!(err, "The following indexed offsets are not found in the log.")?;
            for (index, log) in pairs {
                writeln!(err, "Indexed offset: {index}, found log offset: {log}")?;
            }
        }
        for (file, pairs) in gaps.in_order() {
            writeln!(err, "Non-consecutive offsets in {file}")?;
            for (first, second) in pairs.iter().rev() {
                writeln!(err, "  {first} is followed by {second}")?;
            }
        }
        Ok(())
    }
}

/// The offset that begins a file's name.
fn base_offset(path: &Path) -> Result<i64, InspectError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let digits = name.split('.').next().unwrap_or_default();
    digits.parse().map_err(|_| InspectError::corrupt(path, "the name does not begin with an offset"))
}

/// The file beside this one with the same offset and another extension.
fn sibling(path: &Path, extension: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{}.{extension}", name.split('.').next().unwrap_or_default()))
}
