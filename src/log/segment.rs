//! A segment: a `.log` file and its indexes.
//!
//! Readers share it without the log's lock. The active segment's file stays open if there is room for it ([`OPEN_FILES`]); a
//! closed one opens it when somebody reads and closes it after the last reader, so fifty thousand partitions do not need
//! as many descriptors.

use std::fs::File;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use parking_lot::{Mutex, RwLock};

use super::index::{OffsetIndex, TimeIndex, TimestampOffset};
use super::names::{INDEX, LOG, SEGMENT_FILES, SNAPSHOT, Suffix, TIME_INDEX, TXN_INDEX, suffixed_segment_file};
use super::open_files::{Kept, OPEN_FILES};
use super::scan::{Found, HEADERS_CHUNK_BYTES, Scan, ScanError, read_batch};
use super::txn_index::{self, AbortedTxn};
use super::{disk, scan};
use crate::record::{BatchHeader, RecordError};

/// The directory of a partition; renamed when the partition is deleted or moved.
#[derive(Debug)]
pub struct PartitionDir(RwLock<PathBuf>);

impl PartitionDir {
    pub fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self(RwLock::new(path)))
    }

    pub fn path(&self) -> PathBuf {
        self.0.read().clone()
    }

    /// Path of a segment's file.
    pub fn file(&self, base_offset: i64, extension: &str) -> PathBuf {
        self.suffixed(base_offset, extension, Suffix::Live)
    }

    /// Path of a file of a segment that is not, or no more, part of the log.
    pub fn suffixed(&self, base_offset: i64, extension: &str, suffix: Suffix) -> PathBuf {
        self.0.read().join(suffixed_segment_file(base_offset, extension, suffix))
    }

    /// Renames the directory within its parent.
    pub fn rename(&self, name: &str) -> io::Result<PathBuf> {
        let mut path = self.0.write();
        let to = path.with_file_name(name);
        disk::rename(&path, &to)?;
        *path = to.clone();
        Ok(to)
    }
}

/// The `.log` file: while the segment is active, among those that stay open if there is room.
#[derive(Debug)]
enum LogFile {
    Active(Kept),
    OnDemand(Weak<File>),
}

/// A file of batches and its indexes; see the head of this module.
#[derive(Debug)]
pub struct Segment {
    pub base_offset: i64,
    dir: Arc<PartitionDir>,
    file: Mutex<LogFile>,
    size: AtomicU64,
    offset_index: RwLock<OffsetIndex>,
    time_index: RwLock<TimeIndex>,
    /// Largest timestamp and its offset; loaded when first asked for.
    largest: Mutex<Option<TimestampOffset>>,
    /// Of the files' names. Held while they are renamed, and while one is opened by its name.
    suffix: RwLock<Suffix>,
}

/// What [`Segment::recover`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovered {
    /// So many bytes were cut off.
    Cut(u64),
    /// The segment holds offsets that its indexes cannot express: it must be split.
    TooWide,
}

impl Segment {
    /// Creates an empty segment; files of the same name are emptied.
    pub fn create(dir: &Arc<PartitionDir>, base_offset: i64) -> io::Result<Self> {
        Self::create_as(dir, base_offset, Suffix::Live)
    }

    /// As [`Self::create`], under names with a suffix.
    pub fn create_as(dir: &Arc<PartitionDir>, base_offset: i64, suffix: Suffix) -> io::Result<Self> {
        let file = disk::create(&dir.suffixed(base_offset, LOG, suffix))?;
        disk::remove(&dir.suffixed(base_offset, TXN_INDEX, suffix))?;
        Ok(Self {
            base_offset,
            dir: dir.clone(),
            file: Mutex::new(LogFile::Active(OPEN_FILES.keep(&Arc::new(file)))),
            size: AtomicU64::new(0),
            offset_index: RwLock::new(OffsetIndex::create(dir.clone(), base_offset, suffix)?),
            time_index: RwLock::new(TimeIndex::create(dir.clone(), base_offset, suffix)?),
            largest: Mutex::new(Some(TimestampOffset { timestamp: -1, offset: base_offset })),
            suffix: RwLock::new(suffix),
        })
    }

    /// Opens an existing segment. The flag says whether its indexes must be rebuilt by [`Self::recover`]; until then
    /// a missing one is empty.
    pub fn open(dir: &Arc<PartitionDir>, base_offset: i64) -> io::Result<(Self, bool)> {
        let size = std::fs::metadata(dir.file(base_offset, LOG))?.len();
        let offset_index = OffsetIndex::open(dir.clone(), base_offset)?;
        let time_index_missing = !dir.file(base_offset, TIME_INDEX).exists();
        let time_index = TimeIndex::open(dir.clone(), base_offset)?;
        // A missing time index alone is no fault: brokers before 0.10.1 wrote none.
        let broken = offset_index.is_none()
            || (time_index.is_none() && !time_index_missing)
            || !txn_index_is_sane(dir, base_offset);
        let segment = Self {
            base_offset,
            dir: dir.clone(),
            file: Mutex::new(LogFile::OnDemand(Weak::new())),
            size: AtomicU64::new(size),
            offset_index: RwLock::new(match offset_index {
                Some(index) => index,
                None => OffsetIndex::create(dir.clone(), base_offset, Suffix::Live)?,
            }),
            time_index: RwLock::new(match time_index {
                Some(index) => index,
                None => TimeIndex::create(dir.clone(), base_offset, Suffix::Live)?,
            }),
            largest: Mutex::new(None),
            suffix: RwLock::new(Suffix::Live),
        };
        Ok((segment, broken))
    }

    /// Bytes of the `.log` file.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Does something with a file by its name, which does not change meanwhile.
    fn with_path<T>(&self, extension: &str, act: impl FnOnce(&Path) -> T) -> T {
        let suffix = self.suffix.read();
        act(&self.dir.suffixed(self.base_offset, extension, *suffix))
    }

    /// The open `.log` file; opened if nobody has it open.
    pub fn file(&self) -> io::Result<Arc<File>> {
        let mut file = self.file.lock();
        let open = match &*file {
            LogFile::Active(kept) => kept.get(),
            LogFile::OnDemand(weak) => weak.upgrade(),
        };
        if let Some(open) = open {
            return Ok(open);
        }
        let opened = Arc::new(self.with_path(LOG, disk::open)?);
        *file = match &*file {
            LogFile::Active(_) => LogFile::Active(OPEN_FILES.keep(&opened)),
            LogFile::OnDemand(_) => LogFile::OnDemand(Arc::downgrade(&opened)),
        };
        Ok(opened)
    }

    /// The segment takes appends from now on: its file stays open if there is room.
    pub fn activate(&self) -> io::Result<()> {
        let open = self.file()?;
        let mut file = self.file.lock();
        if let LogFile::OnDemand(_) = &*file {
            *file = LogFile::Active(OPEN_FILES.keep(&open));
        }
        Ok(())
    }

    /// Reserves room on the disk for the segment's full size (`preallocate`). The file is no longer for it, so that a
    /// crash leaves no tail of zeros.
    pub fn reserve(&self, bytes: u64) -> io::Result<()> {
        disk::reserve(&*self.file()?, bytes)
    }

    /// Gives back what was reserved and not used.
    pub fn trim(&self) -> io::Result<()> {
        self.file()?.set_len(self.size())
    }

    /// Writes batches at the end. `largest` is the largest timestamp in them and its offset; an index entry is made
    /// for `last_offset` if `index` says so.
    pub fn append(
        &self,
        slices: &mut [IoSlice<'_>],
        bytes: u64,
        last_offset: i64,
        largest: TimestampOffset,
        index: bool,
    ) -> io::Result<()> {
        let position = self.size();
        let file = self.file()?;
        self.set_written(true);
        disk::write_all_at(&file, slices, position)?;
        let so_far = {
            let mut so_far = self.largest.lock();
            let known = so_far.get_or_insert(TimestampOffset { timestamp: -1, offset: self.base_offset });
            if largest.timestamp > known.timestamp {
                *known = largest;
            }
            *known
        };
        if index {
            self.offset_index.write().push(last_offset, position as u32)?;
            self.time_index.write().maybe_push(so_far)?;
        }
        self.size.store(position + bytes, Ordering::Release);
        Ok(())
    }

    /// Is one of the indexes full? The time index keeps one slot for the entry at close.
    pub fn index_full(&self, max_index_bytes: usize) -> bool {
        self.offset_index.read().len() >= max_index_bytes / 8
            || self.time_index.read().len() + 1 >= max_index_bytes / 12
    }

    /// The first batch whose last offset is at or after `target`, looking from `hint` or the index on to `end`.
    pub fn find(&self, file: &File, target: i64, hint: Option<u64>, end: u64) -> io::Result<Option<Found>> {
        let from = match hint {
            Some(position) => position,
            None => self.position_up_to(file, target, end)?,
        };
        let mut scan = Scan::new(file, from, end, HEADERS_CHUNK_BYTES);
        while let Some(found) = scan.next_header()? {
            if found.header.last_offset() >= target {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// A position not after the batch of `offset`: the index's if it fits.
    fn position_up_to(&self, file: &File, offset: i64, end: u64) -> io::Result<u64> {
        let position = u64::from(self.offset_index.read().lookup(offset)?);
        Ok(if self.fits(file, (offset, position), end)? { position } else { 0 })
    }

    /// Does an index entry lead to a batch that does not begin after the entry's offset? Indexes are not checked when a log
    /// is loaded; a flipped bit in one must not hide records.
    fn fits(&self, file: &File, (offset, position): (i64, u64), end: u64) -> io::Result<bool> {
        if position == 0 {
            return Ok(true);
        }
        let fits = match Scan::new(file, position, end, HEADERS_CHUNK_BYTES).next_header() {
            Ok(found) => found.is_some_and(|found| found.header.base_offset <= offset),
            Err(ScanError::Batch { .. }) => false,
            Err(ScanError::Io(error)) => return Err(error),
        };
        if !fits {
            let index = self.dir.file(self.base_offset, INDEX);
            tracing::warn!(index = %index.display(), offset, position, "index does not fit its log, reading without it");
        }
        Ok(fits)
    }

    /// An offset that is not smaller than those of the records before `position`, if the index knows one.
    pub fn offset_bound(&self, position: u64) -> io::Result<Option<i64>> {
        self.offset_index.read().offset_at_or_after(position)
    }

    /// The largest timestamp and its offset; (-1, base offset) if there is none.
    pub fn largest_timestamp(&self) -> io::Result<TimestampOffset> {
        if let Some(known) = *self.largest.lock() {
            return Ok(known);
        }
        let mut largest = self.time_index.read().last()?;
        let file = self.file()?;
        let from = self.position_up_to(&file, largest.offset, self.size())?;
        let mut scan = Scan::new(&file, from, self.size(), HEADERS_CHUNK_BYTES);
        while let Some(found) = scan.next_header()? {
            largest = larger(largest, &found.header);
        }
        Ok(*self.largest.lock().insert(largest))
    }

    /// The largest timestamp of the first batch; `None` for an empty segment.
    pub fn first_timestamp(&self) -> io::Result<Option<i64>> {
        let file = self.file()?;
        let first = Scan::new(&file, 0, self.size(), HEADERS_CHUNK_BYTES).next_header()?;
        Ok(first.map(|found| found.header.max_timestamp))
    }

    /// The first record at or after `from` whose timestamp is at least `target`: its timestamp, offset and epoch.
    pub fn find_timestamp(&self, target: i64, from: i64, end: u64) -> io::Result<Option<(TimestampOffset, i32)>> {
        let at = self.time_index.read().lookup(target)?.offset.max(from);
        let file = self.file()?;
        let position = self.position_up_to(&file, at, end)?;
        let mut scan = Scan::new(&file, position, end, HEADERS_CHUNK_BYTES);
        while let Some(found) = scan.next_header()? {
            if found.header.max_timestamp < target {
                continue;
            }
            for record in read_batch(&file, &found)?.records().map_err(no_sense)? {
                let record = record.map_err(no_sense)?;
                if record.timestamp >= target && record.offset >= from {
                    let found_at = TimestampOffset { timestamp: record.timestamp, offset: record.offset };
                    return Ok(Some((found_at, found.header.partition_leader_epoch)));
                }
            }
        }
        Ok(None)
    }

    /// The first record that has the segment's largest timestamp, and its epoch.
    pub fn find_largest_timestamp(&self, end: u64) -> io::Result<Option<(TimestampOffset, i32)>> {
        let largest = self.largest_timestamp()?;
        self.find_timestamp(largest.timestamp, self.base_offset, end)
    }

    /// The offset after the last batch; the base offset if there is none.
    pub fn next_offset(&self) -> io::Result<i64> {
        let file = self.file()?;
        let from = match self.offset_index.read().last()? {
            Some((offset, position)) if self.fits(&file, (offset, position.into()), self.size())? => position.into(),
            _ => 0,
        };
        let mut scan = Scan::new(&file, from, self.size(), HEADERS_CHUNK_BYTES);
        let mut next = self.base_offset;
        while let Some(found) = scan.next_header()? {
            next = found.header.next_offset();
        }
        Ok(next)
    }

    /// Rebuilds the indexes from the batches, which are all checked; the file is cut at the first that is not sound.
    /// `visit` is told each sound batch. Offsets must stay below `limit`, where the next segment begins. If a sound batch is
    /// too far from the base offset for the indexes, nothing is cut.
    pub fn recover(
        &self,
        limit: i64,
        index_interval_bytes: u64,
        mut visit: impl FnMut(&Self, &File, &Found) -> io::Result<()>,
    ) -> io::Result<Recovered> {
        let (mut offset_index, mut time_index) = (self.offset_index.write(), self.time_index.write());
        *offset_index = OffsetIndex::create(self.dir.clone(), self.base_offset, Suffix::Live)?;
        *time_index = TimeIndex::create(self.dir.clone(), self.base_offset, Suffix::Live)?;
        self.with_path(TXN_INDEX, disk::remove)?;

        let file = self.file()?;
        let size = file.metadata()?.len();
        let mut largest = TimestampOffset { timestamp: -1, offset: self.base_offset };
        let (mut valid, mut last_entry) = (0u64, 0u64);
        let mut last_offset = self.base_offset - 1;
        let mut scan = Scan::new(&file, 0, size, scan::WHOLE_CHUNK_BYTES);
        loop {
            let found = match scan.next_checked() {
                Ok(Some(found)) => found,
                Ok(None) => break,
                Err(scan::ScanError::Batch { position, source }) => {
                    let path = self.dir.file(self.base_offset, LOG);
                    tracing::warn!(path = %path.display(), position, %source, "found invalid messages, cutting there");
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            // Offsets are not covered by the CRC, but they only grow.
            let (first, last) = (found.header.base_offset, found.header.last_offset());
            if first <= last_offset || last < first || last >= limit {
                let path = self.dir.file(self.base_offset, LOG);
                tracing::warn!(path = %path.display(), position = valid, first, last, "found offsets out of order, cutting there");
                break;
            }
            last_offset = last;
            if last_offset - self.base_offset > i64::from(i32::MAX) {
                return Ok(Recovered::TooWide);
            }
            largest = larger(largest, &found.header);
            if valid - last_entry > index_interval_bytes {
                offset_index.push(last_offset, valid as u32)?;
                time_index.maybe_push(largest)?;
                last_entry = valid;
            }
            valid = found.end();
            visit(self, &file, &found)?;
        }
        if size > valid {
            file.set_len(valid)?;
        }
        time_index.maybe_push(largest)?;
        offset_index.write_out()?;
        time_index.write_out()?;
        *self.largest.lock() = Some(largest);
        self.size.store(valid, Ordering::Release);
        Ok(Recovered::Cut(size - valid))
    }

    /// Cuts away the batches that hold `offset` or later ones. Returns the bytes that are left.
    pub fn truncate_to(&self, offset: i64) -> io::Result<u64> {
        let file = self.file()?;
        let found = self.find(&file, offset, None, self.size())?;
        self.offset_index.write().truncate_to(offset)?;
        self.time_index.write().truncate_to(offset)?;
        self.with_path(TXN_INDEX, |path| txn_index::truncate_to(path, offset))?;
        if let Some(found) = found {
            file.set_len(found.position)?;
            self.size.store(found.position, Ordering::Release);
        }
        *self.largest.lock() = None;
        Ok(self.size())
    }

    /// The transactions whose abort markers are here.
    pub fn aborted_txns(&self) -> io::Result<Vec<AbortedTxn>> {
        self.with_path(TXN_INDEX, txn_index::read)
    }

    pub fn add_aborted_txn(&self, aborted: &AbortedTxn) -> io::Result<()> {
        self.with_path(TXN_INDEX, |path| txn_index::append(path, aborted))
    }

    /// Writes the last index entries: the segment takes no more appends, or the broker stops. The file stays open.
    pub fn close(&self) -> io::Result<()> {
        let largest = self.largest_timestamp()?;
        self.offset_index.write().close()?;
        let mut time_index = self.time_index.write();
        time_index.maybe_push(largest)?;
        time_index.close()
    }

    /// Lets the file be closed when the last reader is done. Only after a flush: a failed write must be heard of.
    pub fn release(&self) {
        let mut file = self.file.lock();
        if let LogFile::Active(kept) = &*file {
            let weak = kept.get().as_ref().map_or_else(Weak::new, Arc::downgrade);
            OPEN_FILES.forget(kept);
            *file = LogFile::OnDemand(weak);
        }
    }

    fn set_written(&self, written: bool) {
        if let LogFile::Active(kept) = &*self.file.lock() {
            kept.set_written(written);
        }
    }

    /// The file for a flush: if it was closed it is opened for that only, lest others are closed for it.
    fn file_to_flush(&self) -> io::Result<Arc<File>> {
        let open = match &*self.file.lock() {
            LogFile::Active(kept) => kept.get(),
            LogFile::OnDemand(weak) => weak.upgrade(),
        };
        match open {
            Some(open) => Ok(open),
            None => Ok(Arc::new(self.with_path(LOG, disk::open)?)),
        }
    }

    /// Brings everything written so far to the disk. A segment that waits to be deleted may be gone meanwhile.
    pub fn flush(&self) -> io::Result<()> {
        let flushed = self.try_flush();
        if *self.suffix.read() == Suffix::Deleted { Ok(()) } else { flushed }
    }

    fn try_flush(&self) -> io::Result<()> {
        self.offset_index.write().write_out()?;
        self.time_index.write().write_out()?;
        // First: what is appended from here on may miss the sync.
        self.set_written(false);
        self.file_to_flush()?.sync_all()?;
        for extension in [INDEX, TIME_INDEX, TXN_INDEX] {
            self.with_path(extension, disk::sync)?;
        }
        Ok(())
    }

    /// Gives all files names with another suffix. Whoever holds the segment can go on reading. Returns the paths.
    pub fn rename(&self, to: Suffix) -> io::Result<Vec<PathBuf>> {
        let (mut offset_index, mut time_index) = (self.offset_index.write(), self.time_index.write());
        let mut suffix = self.suffix.write();
        let mut paths = Vec::new();
        for extension in SEGMENT_FILES {
            let from = self.dir.suffixed(self.base_offset, extension, *suffix);
            let to = self.dir.suffixed(self.base_offset, extension, to);
            if from.exists() {
                disk::rename(&from, &to)?;
                paths.push(to);
            }
        }
        *suffix = to;
        offset_index.renamed(to);
        time_index.renamed(to);
        Ok(paths)
    }

    /// Renames the files to `.deleted`, the producer snapshot of the base offset too. Returns their new paths. Whoever
    /// holds the segment can go on reading until they are removed.
    pub fn mark_deleted(&self, with_snapshot: bool) -> io::Result<Vec<PathBuf>> {
        let mut paths = self.rename(Suffix::Deleted)?;
        let snapshot = self.dir.file(self.base_offset, SNAPSHOT);
        if with_snapshot && snapshot.exists() {
            let to = self.dir.suffixed(self.base_offset, SNAPSHOT, Suffix::Deleted);
            disk::rename(&snapshot, &to)?;
            paths.push(to);
        }
        Ok(paths)
    }

    /// Sets the time of [`Self::modified`], of the indexes too.
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        [LOG, INDEX, TIME_INDEX]
            .iter()
            .try_for_each(|extension| self.with_path(extension, |path| disk::set_modified(path, time)))
    }

    /// Bytes of the offset index and of the time index.
    pub fn index_bytes(&self) -> (u64, u64) {
        (self.offset_index.read().len() as u64 * 8, self.time_index.read().len() as u64 * 12)
    }

    /// A position at or before the batch that holds `offset`, by the index.
    pub fn position_before(&self, offset: i64) -> io::Result<u64> {
        self.offset_index.read().lookup(offset).map(u64::from)
    }

    /// When the `.log` file was last written.
    pub fn modified(&self) -> io::Result<SystemTime> {
        self.file()?.metadata()?.modified()
    }

    /// As [`Self::modified`], wall clock milliseconds.
    pub fn modified_ms(&self) -> io::Result<i64> {
        let since_1970 = self.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX))
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if let LogFile::Active(kept) = self.file.get_mut() {
            OPEN_FILES.forget(kept);
        }
    }
}

fn no_sense(error: RecordError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn larger(largest: TimestampOffset, header: &BatchHeader) -> TimestampOffset {
    if header.max_timestamp > largest.timestamp {
        TimestampOffset { timestamp: header.max_timestamp, offset: header.last_offset() }
    } else {
        largest
    }
}

fn txn_index_is_sane(dir: &PartitionDir, base_offset: i64) -> bool {
    txn_index::read(&dir.file(base_offset, TXN_INDEX))
        .is_ok_and(|entries| entries.iter().all(|entry| entry.last_offset >= base_offset))
}
