//! `.index` and `.timeindex` files, held against the log beside them.

use std::path::Path;

use super::{Dump, base_offset, sibling};
use crate::log::inspect::InspectError;
use crate::log::inspect::frames::{Frame, SegmentFile};
use crate::log::names::{INDEX, LOG};
use crate::record::{RecordError, walk};

/// Entries at the end of an index that Kafka looks through first (`AbstractIndex`: 8192 bytes).
const WARM_BYTES: usize = 8192;

/// The entries of an index file, read alike whether they are in order or not.
struct Entries<const N: usize> {
    base: i64,
    bytes: Vec<u8>,
}

impl<const N: usize> Entries<N> {
    fn read(path: &Path) -> Result<Self, InspectError> {
        let base = base_offset(path)?;
        Ok(Self { base, bytes: std::fs::read(path).map_err(InspectError::file(path))? })
    }

    fn len(&self) -> usize {
        self.bytes.len() / N
    }

    fn entry(&self, index: usize) -> [u8; N] {
        self.bytes[index * N..][..N].try_into().expect("an entry's size")
    }

    /// A field of four bytes.
    fn int(&self, index: usize, at: usize) -> i32 {
        i32::from_be_bytes(self.entry(index)[at..at + 4].try_into().expect("four bytes"))
    }

    fn check_length(&self, path: &Path) -> Result<(), InspectError> {
        let len = self.bytes.len();
        if len.is_multiple_of(N) {
            return Ok(());
        }
        Err(InspectError::corrupt(path, format!("length {len} is no multiple of {N}: the index is corrupt")))
    }
}

impl Entries<8> {
    fn offset(&self, index: usize) -> i64 {
        self.base.wrapping_add(i64::from(self.int(index, 0)))
    }

    fn position(&self, index: usize) -> i32 {
        self.int(index, 4)
    }

    /// Position for an offset by Kafka's search, which tells what comes of an index that is not in order.
    fn lookup(&self, target: i64) -> i32 {
        let Some(last) = self.len().checked_sub(1) else { return 0 };
        let first_warm = last.saturating_sub(WARM_BYTES / 8);
        let (mut low, mut high) = if self.offset(first_warm) < target {
            (first_warm, last)
        } else if self.offset(0) > target {
            return 0;
        } else {
            (0, first_warm)
        };
        while low < high {
            let middle = (low + high).div_ceil(2);
            match self.offset(middle).cmp(&target) {
                std::cmp::Ordering::Greater => high = middle - 1,
                std::cmp::Ordering::Less => low = middle,
                std::cmp::Ordering::Equal => return self.position(middle),
            }
        }
        self.position(low)
    }
}

impl Entries<12> {
    fn timestamp(&self, index: usize) -> i64 {
        i64::from_be_bytes(self.entry(index)[..8].try_into().expect("eight bytes"))
    }

    fn offset(&self, index: usize) -> i64 {
        self.base.wrapping_add(i64::from(self.int(index, 8)))
    }
}

impl Dump<'_> {
    pub(super) fn offset_index(&mut self, path: &Path) -> Result<(), InspectError> {
        base_offset(path)?;
        let mut log = SegmentFile::open(&sibling(path, LOG))?;
        let index = Entries::<8>::read(path)?;
        if index.len() == 0 {
            return Ok(writeln!(self.out, "{} is empty.", path.display())?);
        }
        if self.options.index_sanity_only {
            let last = index.offset(index.len() - 1);
            if last < index.base {
                let what = format!("the last offset {last} is below the base offset: the index is corrupt");
                return Err(InspectError::corrupt(path, what));
            }
            index.check_length(path)?;
            return Ok(writeln!(self.out, "{} passed sanity check.", path.display())?);
        }
        for n in 0..index.len() {
            let (offset, position) = (index.offset(n), index.position(n));
            // The zeros of an index that was not closed.
            if offset == index.base && n > 0 {
                return Ok(());
            }
            let from = slice(&log, position)?;
            let size = u64::try_from(self.options.max_message_bytes);
            let size = size.map_err(|_| InspectError::Refused("the maximum message size is negative".to_owned()))?;
            let Some(frame) = log.frame_at(from, from + size)? else {
                let what = format!("no batch at position {position}, where the index has offset {offset}");
                return Err(InspectError::corrupt(&log.path, what));
            };
            let last_offset = last_offset(&mut log, &frame)?;
            if last_offset != offset {
                self.index_mismatches.add(path, (offset, last_offset));
            }
            if !self.options.verify_index_only {
                writeln!(self.out, "offset: {offset} position: {position}")?;
            }
        }
        Ok(())
    }

    pub(super) fn time_index(&mut self, path: &Path) -> Result<(), InspectError> {
        base_offset(path)?;
        let mut log = SegmentFile::open(&sibling(path, LOG))?;
        let index = Entries::<8>::read(&sibling(path, INDEX))?;
        let times = Entries::<12>::read(path)?;
        if self.options.index_sanity_only {
            if let Some(last) = times.len().checked_sub(1) {
                let what = if times.timestamp(last) < times.timestamp(0) {
                    Some("the last timestamp is below the first")
                } else if times.offset(last) < times.base {
                    Some("the last offset is below the base offset")
                } else {
                    None
                };
                if let Some(what) = what {
                    return Err(InspectError::corrupt(path, format!("{what}: the index is corrupt")));
                }
            }
            times.check_length(path)?;
            return Ok(writeln!(self.out, "{} passed sanity check.", path.display())?);
        }
        let mut before = -1;
        for n in 0..times.len() {
            let (timestamp, offset) = (times.timestamp(n), times.offset(n));
            if offset == times.base && n > 0 {
                return Ok(());
            }
            let mut position = slice(&log, index.lookup(offset))?;
            let found = loop {
                let Some(frame) = log.frame_at(position, u64::MAX)? else { break None };
                let last = last_offset(&mut log, &frame)?;
                if last >= offset {
                    break Some((frame, last));
                }
                position = frame.end();
            };
            match found {
                None => self.times_not_found.add(path, (offset, -1)),
                Some((_, last)) if last != offset => self.times_not_found.add(path, (offset, last)),
                Some((frame, _)) => {
                    let largest = largest_timestamp(&mut log, &frame)?;
                    if largest != timestamp {
                        self.time_mismatches.add(path, (timestamp, largest));
                    }
                    if before >= timestamp {
                        self.times_out_of_order.add(path, (timestamp, before));
                    }
                }
            }
            if !self.options.verify_index_only {
                writeln!(self.out, "timestamp: {timestamp} offset: {offset}")?;
            }
            before = timestamp;
        }
        Ok(())
    }
}

/// A position of an index, as a place in the log where one may begin to read.
fn slice(log: &SegmentFile, position: i32) -> Result<u64, InspectError> {
    let place = u64::try_from(position).ok().filter(|place| *place <= log.len);
    place.ok_or_else(|| {
        InspectError::corrupt(&log.path, format!("the index leads to position {position}, the log has {}", log.len))
    })
}

fn last_offset(log: &mut SegmentFile, frame: &Frame) -> Result<i64, InspectError> {
    if frame.magic < 2 { Ok(frame.offset) } else { Ok(log.header(frame)?.last_offset()) }
}

/// The largest timestamp of the records in a batch, whatever its header says.
fn largest_timestamp(log: &mut SegmentFile, frame: &Frame) -> Result<i64, InspectError> {
    let batch = log.batch(frame)?;
    let corrupt =
        |error: RecordError| InspectError::corrupt(&log.path, format!("at position {}: {error}", frame.position));
    let mut largest = -1;
    if frame.magic < 2 {
        for message in batch.messages().map_err(corrupt)? {
            largest = largest.max(message.map_err(corrupt)?.timestamp);
        }
    } else if batch.header.records_count != 0 {
        walk(&batch, |record| largest = largest.max(record.timestamp)).map_err(corrupt)?;
    }
    Ok(largest)
}
