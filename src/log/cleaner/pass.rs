//! One cleaning of one log.

use std::io::IoSlice;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::filter::{Filter, Kept, LastBatches, checked_header, each_key, marker_of};
use super::offset_map::OffsetMap;
use super::transactions::Transactions;
use super::{CleanError, Stats};
use crate::log::disk;
use crate::log::handle::LogHandle;
use crate::log::names::{SEGMENT_FILES, Suffix};
use crate::log::segment::Segment;
use crate::log::txn_index::AbortedTxn;
use crate::record::{BatchError, PREFIX_BYTES, frame};

/// Memory that a cleaning may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of the offset map.
    pub map_bytes: usize,
    /// How full the map may be, 0 to 1.
    pub map_load_factor: f64,
    /// Of the buffer that segments are read in; grows for larger batches. Another of that size holds what is written.
    pub io_buffer_bytes: usize,
}

/// Called with the bytes that were just read or written: waits if that is too fast, and says when to give up.
pub type Watch<'a> = dyn FnMut(usize) -> Result<(), CleanError> + 'a;

/// What to clean: the segments of a log up to (not including) `to`, those from `from` on for the first time.
#[derive(Clone, Debug)]
pub struct Pass {
    /// All segments of the log.
    pub(super) segments: Arc<[Arc<Segment>]>,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) truncations: u64,
}

/// Cleans a log. Returns the offset that cleaning came to, from which on the log is dirty.
pub fn clean(
    log: &LogHandle,
    pass: &Pass,
    limits: &Limits,
    now_ms: i64,
    watch: &mut Watch<'_>,
) -> Result<(i64, Stats), CleanError> {
    let mut run = Run { log, pass, limits, stats: Stats::default(), watch, old_tombstones_ms: 0 };
    run.clean(now_ms).map_err(|error| {
        // Whatever a truncation or deletion under our hands looked like.
        let changed = log.lock().changed_since(pass.truncations);
        match error {
            _ if changed => CleanError::GivenUp,
            CleanError::Io(error) => match log.log_dir().guard::<()>(Err(error)) {
                Err(error) => error.into(),
                Ok(()) => CleanError::GivenUp,
            },
            other => other,
        }
    })
}

struct Run<'a, 'w> {
    log: &'a LogHandle,
    pass: &'a Pass,
    limits: &'a Limits,
    stats: Stats,
    watch: &'a mut Watch<'w>,
    /// Tombstones before magic 2 go from segments that were last written before.
    old_tombstones_ms: i64,
}

impl Run<'_, '_> {
    fn clean(&mut self, now_ms: i64) -> Result<(i64, Stats), CleanError> {
        let (map, to) = self.build_map()?;
        self.stats.map_utilization = map.utilization();
        let config = self.log.config();
        let mut filter = Filter::new(&map, to, now_ms, config.delete_retention_ms);
        let cleaned_before = self.pass.segments.iter().rfind(|segment| segment.base_offset < self.pass.from);
        if let Some(segment) = cleaned_before {
            self.old_tombstones_ms = segment.modified_ms()?.saturating_sub(config.delete_retention_ms);
        }
        let sources = self.pass.segments.partition_point(|segment| segment.base_offset < to);
        let limits = GroupLimits {
            bytes: config.segment_bytes as u64,
            index_bytes: config.segment_index_bytes as u64,
            end: self.pass.to,
        };
        for group in group(&self.pass.segments[..sources], &limits) {
            self.clean_group(group, &mut filter, config.index_interval_bytes as u64)?;
        }
        self.log.lock().cleaned_to(to, self.pass.truncations);
        Ok((to, self.stats))
    }

    /// Notes the last offset of every key from `from` on. Returns the map and the offset that it is complete up to.
    fn build_map(&mut self) -> Result<(OffsetMap, i64), CleanError> {
        let Pass { segments, from, to, .. } = self.pass;
        let mut map = OffsetMap::new(self.limits.map_bytes, self.limits.map_load_factor);
        let mut transactions = Transactions::default();
        transactions.announce(aborted_txns(segments, *from, *to)?);
        let mut plain = Vec::new();
        let mut mapped_to = *from;
        let first = segments.partition_point(|segment| segment.base_offset <= *from).saturating_sub(1);
        for (index, segment) in segments.iter().enumerate().skip(first).take_while(|(_, s)| s.base_offset < *to) {
            let mut chunks = Chunks::new(segment, segment.position_before(*from)?, self.limits.io_buffer_bytes)?;
            while let Some((chunk, at)) = chunks.next()? {
                (self.watch)(chunk.len())?;
                self.stats.map_bytes_read += chunk.len() as u64;
                for (batch, position) in batches_in(chunk, at) {
                    let header = checked_header(batch, position)?;
                    if header.attributes.control() {
                        transactions.control(&header, marker_of(&header, batch).as_ref());
                    } else if !transactions.data(&header) {
                        let bad = |source| CleanError::Records { position, source };
                        let seen = each_key(&header, batch, &mut plain, |key, offset| {
                            if offset >= *from {
                                if map.is_full() {
                                    return ControlFlow::Break(());
                                }
                                map.put(key, offset);
                                mapped_to = offset + 1;
                            }
                            ControlFlow::Continue(())
                        });
                        if seen.map_err(bad)?.is_break() {
                            return Ok((map, mapped_to));
                        }
                    }
                    mapped_to = mapped_to.max(header.next_offset());
                }
            }
            let next = segments.get(index + 1).map_or(*to, |next| next.base_offset);
            mapped_to = next.min(*to);
        }
        Ok((map, mapped_to))
    }

    /// Writes one segment from a group of them, and puts it in their place.
    fn clean_group(
        &mut self,
        group: &[Arc<Segment>],
        filter: &mut Filter<'_>,
        index_interval_bytes: u64,
    ) -> Result<(), CleanError> {
        let output = Output::create(self.log, group[0].base_offset, index_interval_bytes)?;
        let replaced = self.fill(output, group, filter);
        match replaced {
            Ok(()) => Ok(()),
            Err(error) => {
                // A loader deletes it as well; nothing is lost if that fails.
                let dir = self.log.lock().dir.clone();
                for extension in SEGMENT_FILES {
                    let _ = disk::remove(&dir.suffixed(group[0].base_offset, extension, Suffix::Cleaned));
                }
                Err(error)
            }
        }
    }

    fn fill(&mut self, mut output: Output, group: &[Arc<Segment>], filter: &mut Filter<'_>) -> Result<(), CleanError> {
        filter.last_batches = LastBatches::of(self.log.lock().producers());
        let mut kept = Kept::new();
        for (index, source) in group.iter().enumerate() {
            let end = match group.get(index + 1) {
                Some(next) => next.base_offset,
                None => source.next_offset()?,
            };
            let aborted = aborted_txns(&self.pass.segments, source.base_offset, end)?;
            filter.transactions.announce(aborted);
            filter.keep_old_tombstones = source.modified_ms()? > self.old_tombstones_ms;
            let mut chunks = Chunks::new(source, 0, self.limits.io_buffer_bytes)?;
            while let Some((chunk, at)) = chunks.next()? {
                (self.watch)(chunk.len())?;
                self.stats.bytes_read += chunk.len() as u64;
                kept.clear();
                for (batch, position) in batches_in(chunk, at) {
                    filter.batch(batch, position, &mut kept, &mut self.stats)?;
                }
                output.append(&kept)?;
                self.stats.bytes_written += kept.bytes.len() as u64;
                (self.watch)(kept.bytes.len())?;
            }
        }
        let segment = output.finish(group.last().expect("a group has a segment"))?;
        let mut log = self.log.lock();
        if !log.replace_segments(&segment, group, self.pass.truncations)? {
            return Err(CleanError::GivenUp);
        }
        let dir = log.dir.path();
        drop(log);
        Ok(disk::sync_dir(&dir)?)
    }
}

/// Aborted transactions with a part in `[from, to)`; perhaps others.
fn aborted_txns(segments: &[Arc<Segment>], from: i64, to: i64) -> Result<Vec<AbortedTxn>, CleanError> {
    let first = segments.partition_point(|segment| segment.base_offset <= from).saturating_sub(1);
    let mut found = Vec::new();
    for segment in &segments[first..] {
        for txn in segment.aborted_txns()? {
            if txn.last_offset >= from && txn.first_offset < to {
                found.push(txn);
            }
            if txn.last_stable_offset >= to {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

/// The segment that is made of a group of others. Only the cleaner knows it until it takes their place.
struct Output {
    segment: Arc<Segment>,
    index_interval_bytes: u64,
    bytes_since_index_entry: u64,
}

impl Output {
    fn create(log: &LogHandle, base_offset: i64, index_interval_bytes: u64) -> Result<Self, CleanError> {
        let dir = log.lock().dir.clone();
        let segment = Arc::new(Segment::create_as(&dir, base_offset, Suffix::Cleaned)?);
        Ok(Self { segment, index_interval_bytes, bytes_since_index_entry: 0 })
    }

    /// Adds what was kept of a chunk: one append, as the index rule sees it.
    fn append(&mut self, kept: &Kept) -> Result<(), CleanError> {
        let bytes = kept.bytes.len() as u64;
        if bytes > 0 {
            if self.segment.size() + bytes > i32::MAX as u64 {
                return Err(CleanError::TooLarge);
            }
            let index = self.bytes_since_index_entry > self.index_interval_bytes;
            let mut slices = [IoSlice::new(&kept.bytes)];
            self.segment.append(&mut slices, bytes, kept.last_offset, kept.largest, index)?;
            self.bytes_since_index_entry = bytes + if index { 0 } else { self.bytes_since_index_entry };
        }
        Ok(kept.aborted.iter().try_for_each(|txn| self.segment.add_aborted_txn(txn))?)
    }

    /// Completes the files and brings them to the disk. They are as old as the last segment they were made of: the age
    /// of data counts, not that of its copy.
    fn finish(self, last_source: &Segment) -> Result<Arc<Segment>, CleanError> {
        self.segment.close()?;
        self.segment.flush()?;
        self.segment.set_modified(last_source.modified()?)?;
        self.segment.release();
        Ok(self.segment)
    }
}

/// How large a segment may get.
struct GroupLimits {
    bytes: u64,
    index_bytes: u64,
    /// Where the last segment ends at the latest, exclusive.
    end: i64,
}

/// Cuts a list of segments into groups, each to become one segment: as many as fit its limits, at least one.
fn group<'a>(segments: &'a [Arc<Segment>], limits: &GroupLimits) -> Vec<&'a [Arc<Segment>]> {
    let mut groups = Vec::new();
    let mut rest = segments;
    while let Some(first) = rest.first() {
        let (mut bytes, (mut index_bytes, mut time_index_bytes)) = (first.size(), first.index_bytes());
        let mut count = 1;
        while let Some(next) = rest.get(count) {
            let (index, time_index) = next.index_bytes();
            bytes += next.size();
            index_bytes += index;
            time_index_bytes += time_index;
            let end = rest.get(count + 1).map_or(limits.end, |after| after.base_offset);
            let fits = bytes <= limits.bytes
                && index_bytes <= limits.index_bytes
                && time_index_bytes <= limits.index_bytes
                // Offsets within a segment are 32-bit on disk.
                && (next.size() == 0 || end - 1 - first.base_offset <= i64::from(i32::MAX));
            if !fits {
                break;
            }
            count += 1;
        }
        let (group, others) = rest.split_at(count);
        groups.push(group);
        rest = others;
    }
    groups
}

/// A segment file, read in chunks of whole batches.
struct Chunks {
    file: Arc<std::fs::File>,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    capacity: usize,
}

impl Chunks {
    fn new(segment: &Segment, position: u64, capacity: usize) -> Result<Self, CleanError> {
        let (file, end) = (segment.file()?, segment.size());
        Ok(Self { file, position, end, buffer: Vec::new(), capacity: capacity.max(PREFIX_BYTES) })
    }

    /// The next chunk and its position.
    fn next(&mut self) -> Result<Option<(&[u8], u64)>, CleanError> {
        let (position, left) = (self.position, self.end.saturating_sub(self.position));
        if left == 0 {
            return Ok(None);
        }
        let bad = |source: BatchError| CleanError::Batch { position, source };
        loop {
            let wanted = self.capacity.min(left as usize);
            self.buffer.resize(wanted, 0);
            let read = disk::read_at(&self.file, &mut self.buffer, position)?;
            self.buffer.truncate(read);
            let mut whole = 0;
            while let Ok(Some((size, _))) = frame(&self.buffer[whole..])
                && size <= self.buffer.len() - whole
            {
                whole += size;
            }
            if whole > 0 {
                self.position += whole as u64;
                return Ok(Some((&self.buffer[..whole], position)));
            }
            match frame(&self.buffer).map_err(bad)? {
                // A larger buffer for a larger batch, never for more than the file has.
                Some((size, _)) if size as u64 <= left && read == wanted && size > read => {
                    self.capacity = size.max(self.capacity.saturating_mul(2));
                }
                _ => return Err(CleanError::Cut { position, left }),
            }
        }
    }
}

/// The batches of a chunk and their positions in the file.
fn batches_in(chunk: &[u8], at: u64) -> impl Iterator<Item = (&[u8], u64)> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let (size, _) = frame(&chunk[offset..]).ok()??;
        let (batch, position) = (chunk.get(offset..offset + size)?, at + offset as u64);
        offset += size;
        Some((batch, position))
    })
}
