//! Two replicas of a partition: where and why they part.

use std::path::{Path, PathBuf};

use super::InspectError;
use super::frames::{Frame, SegmentFile, WINDOW_BYTES};
use super::partition::PartitionFiles;
use crate::ids::{LeaderEpoch, Offset};
use crate::log::checkpoint;
use crate::log::epochs::Epochs;
use crate::log::names::{LEADER_EPOCHS, LOG};
use crate::record::{BatchHeader, Record, Records};

/// A batch at the place where two replicas part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Side {
    pub file: PathBuf,
    pub position: u64,
    pub header: BatchHeader,
    pub crc_holds: bool,
}

/// What is different.
#[derive(Clone, Debug, PartialEq)]
pub enum Difference {
    /// The logs begin at different offsets: one deleted more than the other.
    Starts { first: i64, second: i64 },
    /// The logs end at different offsets, and are the same up to where the shorter one ends.
    Ends { first: i64, second: i64 },
    /// The first batches that are not the same. By the leader epochs' checkpoints the logs may be taken for one up to
    /// `agreed`: the last epoch that both know, and the offset where it ends on the side where it ends first.
    Batches { first: Option<Box<Side>>, second: Option<Box<Side>>, agreed: Option<(LeaderEpoch, Offset)> },
    /// The first records of the same offset that are not the same.
    Records { first: Box<Record>, second: Box<Record> },
    /// Records that one side alone has: how many, and the offset of the first.
    Missing { only_in_first: bool, count: u64, offset: i64 },
}

impl Difference {
    /// Is it more than one log being ahead of the other?
    pub fn diverges(&self) -> bool {
        !matches!(self, Self::Starts { .. } | Self::Ends { .. })
    }
}

/// Compares the batches in two partitions' directories, byte by byte, up to the first divergence.
pub fn batches(first: &Path, second: &Path, tell: &mut dyn FnMut(Difference)) -> Result<(), InspectError> {
    let (mut a, mut b) = (Batches::open(first)?, Batches::open(second)?);
    let (mut left, mut right) = starts(&mut a, &mut b, tell)?;
    loop {
        match (&left, &right) {
            (None, None) => return Ok(()),
            (None, Some((_, header))) if header.base_offset >= a.end => return ends(&mut a, &mut b, tell),
            (Some((_, header)), None) if header.base_offset >= b.end => return ends(&mut a, &mut b, tell),
            (Some(one), Some(other)) if a.same(one, &mut b, other)? => {}
            _ => {
                let (first, second) = (a.side(left)?, b.side(right)?);
                let (a_end, b_end) = (a.log_end()?, b.log_end()?);
                let agreed = agreement(&epochs(&a.files)?, a_end, &epochs(&b.files)?, b_end);
                tell(Difference::Batches { first, second, agreed });
                return Ok(());
            }
        }
        (left, right) = (a.next()?, b.next()?);
    }
}

/// Compares the records in two partitions' directories: offset, timestamp, key, value, headers. How they were batched
/// and compressed does not matter; what is missing on one side is counted.
pub fn records(first: &Path, second: &Path, tell: &mut dyn FnMut(Difference)) -> Result<(), InspectError> {
    let (mut a, mut b) = (Batches::open(first)?, Batches::open(second)?);
    let (left, right) = starts(&mut a, &mut b, tell)?;
    // A wrapper's offset is that of its last message, so that its batch is not known to begin late.
    let begin = |found: &Option<Found>| {
        found.as_ref().filter(|found| !found.1.is_wrapper()).map_or(0, |found| found.1.base_offset)
    };
    let from = begin(&left).max(begin(&right));
    let (mut a, mut b) = (RecordWalk::new(a, left)?, RecordWalk::new(b, right)?);
    let (mut left, mut right) = (a.next_from(from)?, b.next_from(from)?);
    let mut missing = [None::<(u64, i64)>; 2];
    let mut count = |side: usize, offset: i64| missing[side].get_or_insert((0, offset)).0 += 1;
    let end = a.batches.log_end()?.min(b.batches.log_end()?);
    loop {
        let (l, r) = match (&left, &right) {
            (None, None) => break,
            (l, r) => (
                l.as_ref().map_or(i64::MAX, |record| record.offset),
                r.as_ref().map_or(i64::MAX, |record| record.offset),
            ),
        };
        if l.min(r) >= end {
            break;
        }
        if l == r && left != right {
            if let (Some(first), Some(second)) = (left, right) {
                tell(Difference::Records { first: Box::new(first), second: Box::new(second) });
            }
            return Ok(());
        }
        if l < r {
            count(0, l);
        } else if r < l {
            count(1, r);
        }
        if l <= r {
            left = a.next()?;
        }
        if r <= l {
            right = b.next()?;
        }
    }
    for (side, found) in missing.into_iter().enumerate() {
        if let Some((count, offset)) = found {
            tell(Difference::Missing { only_in_first: side == 0, count, offset });
        }
    }
    ends(&mut a.batches, &mut b.batches, tell)
}

type Found = (Frame, BatchHeader);

/// The first batches that both sides have.
fn starts(
    a: &mut Batches,
    b: &mut Batches,
    tell: &mut dyn FnMut(Difference),
) -> Result<(Option<Found>, Option<Found>), InspectError> {
    let (mut left, mut right) = (a.next()?, b.next()?);
    let (Some(one), Some(other)) = (&left, &right) else { return Ok((left, right)) };
    let (first, second) = (one.1.base_offset, other.1.base_offset);
    if first != second {
        tell(Difference::Starts { first, second });
    }
    while left.as_ref().is_some_and(|found| found.1.last_offset() < second) {
        left = a.next()?;
    }
    while right.as_ref().is_some_and(|found| found.1.last_offset() < first) {
        right = b.next()?;
    }
    Ok((left, right))
}

fn ends(a: &mut Batches, b: &mut Batches, tell: &mut dyn FnMut(Difference)) -> Result<(), InspectError> {
    let (first, second) = (a.log_end()?, b.log_end()?);
    if first != second {
        tell(Difference::Ends { first, second });
    }
    Ok(())
}

fn epochs(files: &PartitionFiles) -> Result<Epochs, InspectError> {
    let path = files.path.join(LEADER_EPOCHS);
    Ok(Epochs::from_entries(checkpoint::read_epochs(&path).map_err(InspectError::file(&path))?))
}

/// The last leader epoch that both sides know, and where it ends (KIP-101).
fn agreement(a: &Epochs, a_end: i64, b: &Epochs, b_end: i64) -> Option<(LeaderEpoch, Offset)> {
    a.entries().iter().rev().find_map(|(epoch, _)| {
        let epoch = LeaderEpoch(*epoch);
        let (known, end) = b.end_offset_for(epoch, Offset(b_end));
        let (_, own_end) = a.end_offset_for(epoch, Offset(a_end));
        (known == epoch).then(|| (epoch, end.min(own_end)))
    })
}

/// The batches of a partition, over all its segments.
struct Batches {
    files: PartitionFiles,
    next_segment: usize,
    log: Option<SegmentFile>,
    position: u64,
    /// The offset after the last batch that was walked over.
    end: i64,
}

impl Batches {
    fn open(path: &Path) -> Result<Self, InspectError> {
        let files = PartitionFiles::read(path)?;
        let end = files.segments.first().copied().unwrap_or(0);
        Ok(Self { files, next_segment: 0, log: None, position: 0, end })
    }

    /// The next batch; it is in the log at hand. What is cut off at a segment's end is passed over.
    fn next(&mut self) -> Result<Option<Found>, InspectError> {
        loop {
            if let Some(log) = &mut self.log
                && let Some(frame) = log.frame_at(self.position, u64::MAX)?
            {
                let header = log.batch_header(&frame)?;
                self.position = frame.end();
                self.end = header.next_offset();
                return Ok(Some((frame, header)));
            }
            let Some(base) = self.files.segments.get(self.next_segment) else { return Ok(None) };
            self.log = Some(SegmentFile::open(&self.files.file(*base, LOG))?);
            (self.next_segment, self.position) = (self.next_segment + 1, 0);
        }
    }

    fn log(&mut self) -> &mut SegmentFile {
        self.log.as_mut().expect("a batch was found in it")
    }

    fn same(&mut self, own: &Found, other: &mut Self, found: &Found) -> Result<bool, InspectError> {
        if own.1 != found.1 {
            return Ok(false);
        }
        let mut at = 0;
        while at < own.0.size {
            let len = WINDOW_BYTES.min(own.0.size - at);
            let one = self.log().read(own.0.position + at as u64, len)?;
            if one != other.log().read(found.0.position + at as u64, len)? {
                return Ok(false);
            }
            at += len;
        }
        Ok(true)
    }

    fn side(&mut self, found: Option<Found>) -> Result<Option<Box<Side>>, InspectError> {
        let Some((frame, header)) = found else { return Ok(None) };
        let log = self.log();
        let crc_holds = log.computed_crc(&frame)? == header.crc;
        Ok(Some(Box::new(Side { file: log.path.clone(), position: frame.position, header, crc_holds })))
    }

    /// The offset after the last batch of the log.
    fn log_end(&self) -> Result<i64, InspectError> {
        let Some(base) = self.files.segments.last() else { return Ok(0) };
        let mut log = SegmentFile::open(&self.files.file(*base, LOG))?;
        let (mut position, mut end) = (0, *base);
        while let Some(frame) = log.frame_at(position, u64::MAX)? {
            end = log.batch_header(&frame)?.next_offset();
            position = frame.end();
        }
        Ok(end)
    }
}

/// The records of a partition.
struct RecordWalk {
    batches: Batches,
    records: Option<Records>,
}

impl RecordWalk {
    /// Goes on with a batch that was found already.
    fn new(mut batches: Batches, found: Option<Found>) -> Result<Self, InspectError> {
        let records = found.map(|found| Self::open(&mut batches, &found)).transpose()?;
        Ok(Self { batches, records })
    }

    fn open(batches: &mut Batches, found: &Found) -> Result<Records, InspectError> {
        let (log, position) = (batches.log(), found.0.position);
        let records = log.batch(&found.0)?.records();
        records.map_err(|error| InspectError::corrupt(&log.path, format!("at position {position}: {error}")))
    }

    /// The first record at or after an offset.
    fn next_from(&mut self, offset: i64) -> Result<Option<Record>, InspectError> {
        loop {
            match self.next()? {
                Some(record) if record.offset < offset => {}
                other => return Ok(other),
            }
        }
    }

    fn next(&mut self) -> Result<Option<Record>, InspectError> {
        loop {
            if let Some(record) = self.records.as_mut().and_then(Iterator::next) {
                let end = self.batches.position;
                let path = &self.batches.log().path;
                let corrupt =
                    |error| InspectError::corrupt(path, format!("in the batch before position {end}: {error}"));
                return record.map(Some).map_err(corrupt);
            }
            let Some(found) = self.batches.next()? else { return Ok(None) };
            self.records = Some(Self::open(&mut self.batches, &found)?);
        }
    }
}
