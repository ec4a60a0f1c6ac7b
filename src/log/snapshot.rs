//! `.snapshot` files: the producers as of an offset, which is the file's name.

use std::io;
use std::path::{Path, PathBuf};

use bytes::{Buf, BufMut};

use super::names::{SNAPSHOT, parse_segment_file, segment_file};
use super::{disk, producers::Producers};

const VERSION: i16 = 1;
/// Version and CRC; the CRC covers what follows.
const HEAD_BYTES: usize = 6;
pub const ENTRY_BYTES: usize = 46;

/// One producer in a snapshot; -1 is "none" everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotEntry {
    pub producer_id: i64,
    pub epoch: i16,
    pub last_sequence: i32,
    pub last_offset: i64,
    pub offset_delta: i32,
    pub timestamp: i64,
    pub coordinator_epoch: i32,
    pub txn_first_offset: i64,
}

/// The bytes of a snapshot file.
pub fn encode(entries: &[SnapshotEntry]) -> Vec<u8> {
    let mut body = Vec::with_capacity(4 + entries.len() * ENTRY_BYTES);
    body.put_i32(entries.len() as i32);
    for entry in entries {
        body.put_i64(entry.producer_id);
        body.put_i16(entry.epoch);
        body.put_i32(entry.last_sequence);
        body.put_i64(entry.last_offset);
        body.put_i32(entry.offset_delta);
        body.put_i64(entry.timestamp);
        body.put_i32(entry.coordinator_epoch);
        body.put_i64(entry.txn_first_offset);
    }
    let mut out = Vec::with_capacity(HEAD_BYTES + body.len());
    out.put_i16(VERSION);
    out.put_u32(crc32c::crc32c(&body));
    out.extend_from_slice(&body);
    out
}

/// The entries of a snapshot file; `None` if the file is not a sound snapshot.
pub fn decode(bytes: &[u8]) -> Option<Vec<SnapshotEntry>> {
    let (mut head, body) = bytes.split_at_checked(HEAD_BYTES)?;
    if head.get_i16() != VERSION || head.get_u32() != crc32c::crc32c(body) {
        return None;
    }
    let mut rest = body;
    let count = usize::try_from(rest.try_get_i32().ok()?).ok()?;
    if rest.len() != count.checked_mul(ENTRY_BYTES)? {
        return None;
    }
    let entry = |mut bytes: &[u8]| SnapshotEntry {
        producer_id: bytes.get_i64(),
        epoch: bytes.get_i16(),
        last_sequence: bytes.get_i32(),
        last_offset: bytes.get_i64(),
        offset_delta: bytes.get_i32(),
        timestamp: bytes.get_i64(),
        coordinator_epoch: bytes.get_i32(),
        txn_first_offset: bytes.get_i64(),
    };
    Some(rest.chunks_exact(ENTRY_BYTES).map(entry).collect())
}

/// Path of the snapshot as of `offset`.
pub fn path(dir: &Path, offset: i64) -> PathBuf {
    dir.join(segment_file(offset, SNAPSHOT))
}

/// Writes the state as of its end; not synced: a lost snapshot is rebuilt.
pub fn write(dir: &Path, producers: &Producers) -> io::Result<()> {
    let path = path(dir, producers.end());
    disk::remove(&path)?;
    disk::append(&path, &encode(&producers.to_snapshot()))
}

/// As [`write`], unless there is a snapshot as of that offset, or the log is empty, as in Kafka.
pub fn write_if_new(dir: &Path, producers: &Producers, log_start: i64) -> io::Result<()> {
    let news = producers.end() > log_start && !path(dir, producers.end()).exists();
    if news { write(dir, producers) } else { Ok(()) }
}

/// Offsets of the snapshots in a directory, ascending.
pub fn list(dir: &Path) -> io::Result<Vec<i64>> {
    let mut offsets = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        if let Some((offset, SNAPSHOT)) = entry?.file_name().to_str().and_then(parse_segment_file) {
            offsets.push(offset);
        }
    }
    offsets.sort_unstable();
    Ok(offsets)
}

/// The newest sound snapshot in `(after, up_to]`; unsound and later ones are deleted.
pub fn load_newest(
    dir: &Path,
    after: i64,
    up_to: i64,
    now_ms: i64,
    expiration_ms: i64,
) -> io::Result<Option<Producers>> {
    for offset in list(dir)?.into_iter().rev() {
        let path = path(dir, offset);
        if offset > up_to {
            disk::remove(&path)?;
        } else if offset <= after {
            break;
        } else if let Some(entries) = decode(&std::fs::read(&path)?) {
            return Ok(Some(Producers::from_snapshot(&entries, offset, now_ms, expiration_ms)));
        } else {
            tracing::warn!(path = %path.display(), "producer snapshot is not sound; deleted");
            disk::remove(&path)?;
        }
    }
    Ok(None)
}
