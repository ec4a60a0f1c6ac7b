//! The aborted transactions whose markers are in a segment: `.txnindex`. Exists only if there is one.

use std::io;
use std::path::Path;

use bytes::{Buf, BufMut};

use super::disk;

/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 34;

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTxn {
    pub producer_id: i64,
    pub first_offset: i64,
    /// Offset of the abort marker.
    pub last_offset: i64,
    /// First offset of the oldest transaction still open then, else the offset after the marker.
    pub last_stable_offset: i64,
}

impl AbortedTxn {
    /// The bytes of its entry.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ENTRY_BYTES);
        out.put_i16(0);
        out.put_i64(self.producer_id);
        out.put_i64(self.first_offset);
        out.put_i64(self.last_offset);
        out.put_i64(self.last_stable_offset);
        out
    }
}

/// The entries in a file's bytes with their versions; what is cut off at the end is left out.
pub fn decode(bytes: &[u8]) -> impl Iterator<Item = (i16, AbortedTxn)> {
    bytes.chunks_exact(ENTRY_BYTES).map(|mut entry| {
        let version = entry.get_i16();
        let txn = AbortedTxn {
            producer_id: entry.get_i64(),
            first_offset: entry.get_i64(),
            last_offset: entry.get_i64(),
            last_stable_offset: entry.get_i64(),
        };
        (version, txn)
    })
}

/// Reads a file's entries; none if there is no file. An unknown version or a cut entry is `InvalidData`.
pub fn read(path: &Path) -> io::Result<Vec<AbortedTxn>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("malformed {}", path.display()));
    let whole = bytes.len().is_multiple_of(ENTRY_BYTES);
    let entries: Option<Vec<_>> = decode(&bytes).map(|(version, txn)| (version == 0).then_some(txn)).collect();
    entries.filter(|_| whole).ok_or_else(malformed)
}

/// Adds an entry at the end.
pub fn append(path: &Path, aborted: &AbortedTxn) -> io::Result<()> {
    disk::append(path, &aborted.encode())
}

/// Drops the entries whose marker is at or after an offset; an empty file goes.
pub fn truncate_to(path: &Path, offset: i64) -> io::Result<()> {
    let entries = read(path)?;
    let keep = entries.iter().position(|entry| entry.last_offset >= offset).unwrap_or(entries.len());
    if keep == 0 { disk::remove(path) } else { disk::truncate(path, (keep * ENTRY_BYTES) as u64) }
}
