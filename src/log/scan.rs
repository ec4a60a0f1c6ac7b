//! A forward walk over the batches of a segment file, reading in chunks.

use std::fs::File;
use std::io;

use super::disk;
use crate::record::{Batch, BatchError, BatchHeader, HEADER_BYTES, PREFIX_BYTES, check_crc, frame};

/// Chunk for walks that look at a few headers.
pub const HEADERS_CHUNK_BYTES: usize = 4 * 1024;
/// Chunk for walks that read everything.
pub const WHOLE_CHUNK_BYTES: usize = 256 * 1024;

/// Why a walk stopped before the end.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes there are no valid batch.
    #[error("at position {position}: {source}")]
    Batch { position: u64, source: BatchError },
}

impl From<ScanError> for io::Error {
    fn from(error: ScanError) -> io::Error {
        match error {
            ScanError::Io(error) => error,
            batch => io::Error::new(io::ErrorKind::InvalidData, batch),
        }
    }
}

/// A batch found by a walk.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub position: u64,
    pub header: BatchHeader,
}

impl Found {
    pub fn end(&self) -> u64 {
        self.position + self.header.size() as u64
    }
}

/// The walk.
pub struct Scan<'a> {
    file: &'a File,
    position: u64,
    end: u64,
    chunk_bytes: usize,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl<'a> Scan<'a> {
    /// Walks from `position`, which must be the start of a batch, to `end`.
    pub fn new(file: &'a File, position: u64, end: u64, chunk_bytes: usize) -> Self {
        Self { file, position, end, chunk_bytes, buffer: Vec::new(), buffer_at: 0 }
    }

    /// Bytes `[position, position + len)`, fewer only at the end.
    fn bytes(&mut self, len: usize) -> io::Result<&[u8]> {
        let len = len.min((self.end - self.position) as usize);
        let there =
            self.position >= self.buffer_at && self.position + len as u64 <= self.buffer_at + self.buffer.len() as u64;
        if !there {
            let wanted = self.chunk_bytes.max(len).min((self.end - self.position) as usize);
            self.buffer.resize(wanted, 0);
            let read = disk::read_at(self.file, &mut self.buffer, self.position)?;
            self.buffer.truncate(read);
            self.buffer_at = self.position;
        }
        let from = (self.position - self.buffer_at) as usize;
        Ok(&self.buffer[from..self.buffer.len().min(from + len)])
    }

    /// The next batch's header. `None` at the end, or where the rest is shorter than the batch it announces.
    pub fn next_header(&mut self) -> Result<Option<Found>, ScanError> {
        let (position, left) = (self.position, self.end.saturating_sub(self.position));
        if left < PREFIX_BYTES as u64 {
            return Ok(None);
        }
        let bytes = self.bytes(HEADER_BYTES)?;
        let bad = |source| ScanError::Batch { position, source };
        let (size, _) = match frame(bytes).map_err(bad)? {
            Some(found) => found,
            None => return Ok(None),
        };
        if left < size as u64 {
            return Ok(None);
        }
        let header = BatchHeader::read(bytes).map_err(bad)?;
        self.position += size as u64;
        Ok(Some(Found { position, header }))
    }

    /// The next batch, its CRC checked. `None` as in [`Self::next_header`].
    pub fn next_checked(&mut self) -> Result<Option<Found>, ScanError> {
        let Some(found) = self.next_header()? else { return Ok(None) };
        self.position = found.position;
        let checked = check_crc(&found.header, self.bytes(found.header.size())?);
        self.position = found.end();
        checked.map_err(|source| ScanError::Batch { position: found.position, source })?;
        Ok(Some(found))
    }
}

/// Reads the batch that a header walk found.
pub fn read_batch(file: &File, found: &Found) -> io::Result<Batch> {
    let mut bytes = vec![0; found.header.size()];
    if disk::read_at(file, &mut bytes, found.position)? < bytes.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Batch { header: found.header, bytes: bytes.into() })
}
