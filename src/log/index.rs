//! The sparse indexes of a segment: offset to position, and timestamp to offset.
//!
//! The entries of an active segment live in memory and are appended to the file in blocks: all of them are there
//! before the segment is closed or the recovery point passes it. A closed segment's index is searched in its file.
//! Files are never preallocated, so they never have the tail of zeros that a killed Kafka leaves.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use super::disk;
use super::names::{INDEX, Suffix, TIME_INDEX};
use super::segment::PartitionDir;

/// Entries that are written to the file together.
const BLOCK_ENTRIES: usize = 512;

/// A file of entries of `N` bytes.
#[derive(Debug)]
struct IndexFile<const N: usize> {
    dir: Arc<PartitionDir>,
    base_offset: i64,
    extension: &'static str,
    /// Of the file's name.
    suffix: Suffix,
    entries: Entries<N>,
}

#[derive(Debug)]
enum Entries<const N: usize> {
    /// The first `written` are in the file too.
    Memory {
        list: Vec<[u8; N]>,
        written: usize,
    },
    File {
        count: usize,
    },
}

impl<const N: usize> IndexFile<N> {
    /// A new, empty file.
    fn create(dir: Arc<PartitionDir>, base_offset: i64, extension: &'static str, suffix: Suffix) -> io::Result<Self> {
        disk::create(&dir.suffixed(base_offset, extension, suffix))?;
        let entries = Entries::Memory { list: Vec::new(), written: 0 };
        Ok(Self { dir, base_offset, extension, suffix, entries })
    }

    /// An existing file. `None` if it is missing or no whole number of entries: it must be rebuilt.
    fn open(dir: Arc<PartitionDir>, base_offset: i64, extension: &'static str) -> io::Result<Option<Self>> {
        let len = match std::fs::metadata(dir.file(base_offset, extension)) {
            Ok(metadata) => metadata.len() as usize,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let entries = Entries::File { count: len / N };
        Ok((len % N == 0).then_some(Self { dir, base_offset, extension, suffix: Suffix::Live, entries }))
    }

    fn len(&self) -> usize {
        match &self.entries {
            Entries::Memory { list, .. } => list.len(),
            Entries::File { count } => *count,
        }
    }

    fn path(&self) -> PathBuf {
        self.dir.suffixed(self.base_offset, self.extension, self.suffix)
    }

    fn file(&self) -> io::Result<File> {
        disk::open_to_read(&self.path())
    }

    fn get(&self, index: usize) -> io::Result<[u8; N]> {
        match &self.entries {
            Entries::Memory { list, .. } => Ok(list[index]),
            Entries::File { .. } => read_entry(&self.file()?, index),
        }
    }

    fn last(&self) -> io::Result<Option<[u8; N]>> {
        self.len().checked_sub(1).map(|last| self.get(last)).transpose()
    }

    /// How many entries at the front satisfy `before`; entries are ordered so that those come first.
    fn partition_point(&self, before: impl Fn(&[u8; N]) -> bool) -> io::Result<usize> {
        match &self.entries {
            Entries::Memory { list, .. } => Ok(list.partition_point(before)),
            Entries::File { count: 0 } => Ok(0),
            Entries::File { count } => {
                let file = self.file()?;
                let (mut low, mut high) = (0, *count);
                while low < high {
                    let middle = low + (high - low) / 2;
                    if before(&read_entry(&file, middle)?) { low = middle + 1 } else { high = middle }
                }
                Ok(low)
            }
        }
    }

    /// Brings the entries into memory so that more can be added.
    fn activate(&mut self) -> io::Result<&mut Vec<[u8; N]>> {
        if let Entries::File { count } = self.entries {
            let mut bytes = vec![0; count * N];
            self.file()?.read_exact_at(&mut bytes, 0)?;
            let list = bytes.chunks_exact(N).map(|entry| entry.try_into().expect("chunks of N bytes")).collect();
            self.entries = Entries::Memory { list, written: count };
        }
        match &mut self.entries {
            Entries::Memory { list, .. } => Ok(list),
            Entries::File { .. } => unreachable!("entries were brought into memory"),
        }
    }

    fn push(&mut self, entry: [u8; N]) -> io::Result<()> {
        let list = self.activate()?;
        list.push(entry);
        match &self.entries {
            Entries::Memory { list, written } if list.len() - written >= BLOCK_ENTRIES => self.write_out(),
            _ => Ok(()),
        }
    }

    /// Appends what is only in memory to the file.
    fn write_out(&mut self) -> io::Result<()> {
        let path = self.path();
        if let Entries::Memory { list, written } = &mut self.entries
            && *written < list.len()
        {
            disk::append(&path, list[*written..].as_flattened())?;
            *written = list.len();
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        self.write_out()?;
        self.entries = Entries::File { count: self.len() };
        Ok(())
    }

    fn truncate(&mut self, count: usize) -> io::Result<()> {
        if count < self.len() {
            let path = self.path();
            self.activate()?.truncate(count);
            if let Entries::Memory { written, .. } = &mut self.entries
                && *written > count
            {
                disk::truncate(&path, (count * N) as u64)?;
                *written = count;
            }
        }
        Ok(())
    }
}

fn read_entry<const N: usize>(file: &File, index: usize) -> io::Result<[u8; N]> {
    let mut entry = [0; N];
    file.read_exact_at(&mut entry, (index * N) as u64)?;
    Ok(entry)
}

fn u32_at(entry: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(entry[at..at + 4].try_into().expect("four bytes"))
}

fn i64_at(entry: &[u8], at: usize) -> i64 {
    i64::from_be_bytes(entry[at..at + 8].try_into().expect("eight bytes"))
}

/// `.index`: offset (relative, 4 bytes) to position in the `.log` (4 bytes).
#[derive(Debug)]
pub struct OffsetIndex(IndexFile<8>);

impl OffsetIndex {
    pub fn create(dir: Arc<PartitionDir>, base_offset: i64, suffix: Suffix) -> io::Result<Self> {
        IndexFile::create(dir, base_offset, INDEX, suffix).map(Self)
    }

    pub fn open(dir: Arc<PartitionDir>, base_offset: i64) -> io::Result<Option<Self>> {
        Ok(IndexFile::open(dir, base_offset, INDEX)?.map(Self))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds an entry unless its offset is not greater than the last.
    pub fn push(&mut self, offset: i64, position: u32) -> io::Result<()> {
        let relative = (offset - self.0.base_offset) as u32;
        if self.0.last()?.is_some_and(|last| u32_at(&last, 0) >= relative) {
            return Ok(());
        }
        let mut entry = [0; 8];
        entry[..4].copy_from_slice(&relative.to_be_bytes());
        entry[4..].copy_from_slice(&position.to_be_bytes());
        self.0.push(entry)
    }

    /// Position of the entry with the greatest offset not after `target`; 0 if there is none.
    pub fn lookup(&self, target: i64) -> io::Result<u32> {
        let relative = target - self.0.base_offset;
        let after = self.0.partition_point(|entry| i64::from(u32_at(entry, 0)) <= relative)?;
        after.checked_sub(1).map_or(Ok(0), |index| self.0.get(index).map(|entry| u32_at(&entry, 4)))
    }

    /// Offset of the first entry whose position is at or after `position`.
    pub fn offset_at_or_after(&self, position: u64) -> io::Result<Option<i64>> {
        let index = self.0.partition_point(|entry| u64::from(u32_at(entry, 4)) < position)?;
        let found = (index < self.0.len()).then(|| self.0.get(index)).transpose()?;
        Ok(found.map(|entry| self.0.base_offset + i64::from(u32_at(&entry, 0))))
    }

    /// Offset and position of the last entry.
    pub fn last(&self) -> io::Result<Option<(i64, u32)>> {
        let base_offset = self.0.base_offset;
        Ok(self.0.last()?.map(|entry| (base_offset + i64::from(u32_at(&entry, 0)), u32_at(&entry, 4))))
    }

    /// Drops the entries at or after an offset.
    pub fn truncate_to(&mut self, offset: i64) -> io::Result<()> {
        let relative = offset - self.0.base_offset;
        let keep = self.0.partition_point(|entry| i64::from(u32_at(entry, 0)) < relative)?;
        self.0.truncate(keep)
    }

    /// The file's name has another suffix now.
    pub fn renamed(&mut self, suffix: Suffix) {
        self.0.suffix = suffix;
    }

    /// See the head of the file.
    pub fn close(&mut self) -> io::Result<()> {
        self.0.close()
    }

    pub fn write_out(&mut self) -> io::Result<()> {
        self.0.write_out()
    }
}

/// A timestamp and the offset that it belongs to; (-1, base offset) is "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    pub timestamp: i64,
    pub offset: i64,
}

/// `.timeindex`: largest timestamp so far (8 bytes) to the offset that has it (relative, 4 bytes).
#[derive(Debug)]
pub struct TimeIndex(IndexFile<12>);

impl TimeIndex {
    pub fn create(dir: Arc<PartitionDir>, base_offset: i64, suffix: Suffix) -> io::Result<Self> {
        IndexFile::create(dir, base_offset, TIME_INDEX, suffix).map(Self)
    }

    pub fn open(dir: Arc<PartitionDir>, base_offset: i64) -> io::Result<Option<Self>> {
        Ok(IndexFile::open(dir, base_offset, TIME_INDEX)?.map(Self))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn decode(&self, entry: Option<[u8; 12]>) -> TimestampOffset {
        let base = self.0.base_offset;
        match entry {
            Some(entry) => {
                TimestampOffset { timestamp: i64_at(&entry, 0), offset: base + i64::from(u32_at(&entry, 8)) }
            }
            None => TimestampOffset { timestamp: -1, offset: base },
        }
    }

    /// The last entry, or (-1, base offset).
    pub fn last(&self) -> io::Result<TimestampOffset> {
        Ok(self.decode(self.0.last()?))
    }

    /// Adds an entry if its timestamp is greater than the last entry's.
    pub fn maybe_push(&mut self, largest: TimestampOffset) -> io::Result<()> {
        if largest.timestamp <= self.last()?.timestamp {
            return Ok(());
        }
        let mut entry = [0; 12];
        entry[..8].copy_from_slice(&largest.timestamp.to_be_bytes());
        entry[8..].copy_from_slice(&((largest.offset - self.0.base_offset) as u32).to_be_bytes());
        self.0.push(entry)
    }

    /// The entry with the greatest timestamp not after `target`, or (-1, base offset).
    pub fn lookup(&self, target: i64) -> io::Result<TimestampOffset> {
        let after = self.0.partition_point(|entry| i64_at(entry, 0) <= target)?;
        Ok(self.decode(after.checked_sub(1).map(|index| self.0.get(index)).transpose()?))
    }

    /// Drops the entries at or after an offset.
    pub fn truncate_to(&mut self, offset: i64) -> io::Result<()> {
        let relative = offset - self.0.base_offset;
        let keep = self.0.partition_point(|entry| i64::from(u32_at(entry, 8)) < relative)?;
        self.0.truncate(keep)
    }

    /// The file's name has another suffix now.
    pub fn renamed(&mut self, suffix: Suffix) {
        self.0.suffix = suffix;
    }

    pub fn close(&mut self) -> io::Result<()> {
        self.0.close()
    }

    pub fn write_out(&mut self) -> io::Result<()> {
        self.0.write_out()
    }
}
