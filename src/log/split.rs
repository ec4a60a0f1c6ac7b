//! Offsets too far from each other for the 32 bits of an index: splitting a segment, as old brokers' compaction wrote them,
//! and what such a leader sends. Source: `LogLoader`, `LocalLog.splitOverflowedSegment` of Kafka 3.9 (KAFKA-6264).

use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::disk;
use super::error::FollowerAppendError;
use super::log::{AppendInfo, Log, MAX_RELATIVE_OFFSET};
use super::names::{INDEX, LOG, Suffix, TIME_INDEX, TXN_INDEX};
use super::scan::{HEADERS_CHUNK_BYTES, Scan, ScanError};
use super::segment::{PartitionDir, Segment};
use crate::record::BatchHeader;

/// Bytes that are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Puts several segments in the place of one. They get no indexes: who opens the log next rebuilds them. Returns the old
/// files, to be deleted later. A crash at any point leaves files that the rules of loading put right.
pub fn split(dir: &Arc<PartitionDir>, segment: &Segment) -> io::Result<Vec<PathBuf>> {
    let parts = parts(segment)?;
    let file = segment.file()?;
    let modified = file.metadata()?.modified()?;
    for (base, from, to) in &parts {
        let copy = disk::create(&dir.suffixed(*base, LOG, Suffix::Cleaned))?;
        let mut buffer = vec![0; COPY_BYTES];
        let mut at = *from;
        while at < *to {
            let want = buffer.len().min((to - at) as usize);
            let read = disk::read_at(&file, &mut buffer[..want], at)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            disk::write_all_at(&copy, &mut [IoSlice::new(&buffer[..read])], at - from)?;
            at += read as u64;
        }
        copy.set_modified(modified)?;
        copy.sync_all()?;
    }
    // The last first: as long as a `.cleaned` file is left, the `.swap` files after it are not complete.
    for (base, _, _) in parts.iter().rev() {
        disk::rename(&dir.suffixed(*base, LOG, Suffix::Cleaned), &dir.suffixed(*base, LOG, Suffix::Swap))?;
    }
    disk::sync_dir(&dir.path())?;
    let replaced = segment.mark_deleted(false)?;
    for (base, _, _) in &parts {
        for index in [INDEX, TIME_INDEX, TXN_INDEX] {
            disk::remove(&dir.file(*base, index))?;
        }
        disk::rename(&dir.suffixed(*base, LOG, Suffix::Swap), &dir.file(*base, LOG))?;
    }
    disk::sync_dir(&dir.path())?;
    Ok(replaced)
}

impl Log {
    /// Appends a leader's batches, whose headers these are, in parts that each have room in a segment. If a part is refused,
    /// those before it stay.
    pub(super) fn append_in_parts<'a>(
        &mut self,
        records: &Bytes,
        headers: impl Iterator<Item = &'a BatchHeader>,
    ) -> Result<AppendInfo, FollowerAppendError> {
        let (mut parts, mut from, mut to, mut first) = (Vec::new(), 0, 0, None);
        for header in headers {
            if header.last_offset() - *first.get_or_insert(header.base_offset) > MAX_RELATIVE_OFFSET {
                parts.push(from..to);
                (from, first) = (to, Some(header.base_offset));
            }
            to += header.size();
        }
        parts.push(from..to);
        let mut whole: Option<AppendInfo> = None;
        for part in parts {
            let info = self.append_as_follower(&records.slice(part))?;
            let before = whole.unwrap_or(AppendInfo { bytes: 0, records: 0, ..info });
            whole = Some(AppendInfo {
                last_offset: info.last_offset,
                leader_epoch: info.leader_epoch,
                bytes: before.bytes + info.bytes,
                max_timestamp: before.max_timestamp.max(info.max_timestamp),
                records: before.records + info.records,
                ..before
            });
        }
        Ok(whole.expect("there is a last part"))
    }
}

/// Base offset and range of bytes of each new segment.
fn parts(segment: &Segment) -> io::Result<Vec<(i64, u64, u64)>> {
    let file = segment.file()?;
    let mut scan = Scan::new(&file, 0, segment.size(), HEADERS_CHUNK_BYTES);
    let mut parts = vec![(segment.base_offset, 0, 0)];
    loop {
        let found = match scan.next_header() {
            Ok(Some(found)) => found,
            Ok(None) | Err(ScanError::Batch { .. }) => break,
            Err(error) => return Err(error.into()),
        };
        let last = parts.last_mut().expect("never empty");
        if found.header.last_offset().saturating_sub(last.0) > i64::from(i32::MAX) {
            parts.push((found.header.base_offset, found.position, found.end()));
        } else {
            last.2 = found.end();
        }
    }
    // What follows the last sound batch stays with it, for recovery to judge.
    if let Some(last) = parts.last_mut() {
        last.2 = segment.size();
    }
    parts.retain(|(_, from, to)| from < to);
    Ok(parts)
}
