//! A segment's batches and messages of any format, sound or not, with as little judgement as possible: what a frame
//! holds is looked at only when asked for. Source of the rules: Kafka's `FileLogInputStream` and `FileRecords`.

use std::fs::File;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::InspectError;
use crate::log::disk;
use crate::record::{Batch, BatchHeader, HEADER_BYTES, PREFIX_BYTES};

/// Bytes read from the file together.
pub const WINDOW_BYTES: usize = 256 * 1024;
/// Most bytes of one frame that are held at once; Kafka's own limit is the segment's size.
const WHOLE_LIMIT_BYTES: usize = 256 << 20;
/// Offset and size: what the size does not count.
const OVERHEAD_BYTES: i64 = 12;
/// The smallest size field: a message of magic 0 without key and value.
const MIN_SIZE: i32 = 14;

/// A batch (magic 2) or message (magic 0 and 1) as its first 17 bytes announce it; all of it is in the file.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub position: u64,
    /// Base offset of a batch; for older formats the offset of the (last) message.
    pub offset: i64,
    /// Bytes with offset and size field.
    pub size: usize,
    pub magic: i8,
}

impl Frame {
    pub fn end(&self) -> u64 {
        self.position + self.size as u64
    }
}

/// An open `.log` file and the bytes read last.
pub struct SegmentFile {
    pub path: PathBuf,
    pub len: u64,
    file: File,
    window: Vec<u8>,
    window_at: u64,
}

impl SegmentFile {
    pub fn open(path: &Path) -> Result<Self, InspectError> {
        let file = File::open(path).map_err(InspectError::file(path))?;
        let len = file.metadata().map_err(InspectError::file(path))?.len();
        if len > i32::MAX as u64 {
            return Err(InspectError::corrupt(path, format!("{len} bytes are more than a segment can have")));
        }
        Ok(Self { path: path.to_owned(), len, file, window: Vec::new(), window_at: 0 })
    }

    /// Bytes `[at, at + len)`, fewer only at the end of the file.
    pub fn read(&mut self, at: u64, len: usize) -> Result<&[u8], InspectError> {
        let there = at >= self.window_at && at + len as u64 <= self.window_at + self.window.len() as u64;
        if !there {
            self.window.resize(WINDOW_BYTES.max(len).min(self.len.saturating_sub(at) as usize), 0);
            let read = disk::read_at(&self.file, &mut self.window, at).map_err(InspectError::file(&self.path))?;
            self.window.truncate(read);
            self.window_at = at;
        }
        let from = (at - self.window_at) as usize;
        Ok(&self.window[from..self.window.len().min(from + len)])
    }

    /// The frame at a position. `None` where fewer bytes are left before `end` than a frame has or than it announces.
    pub fn frame_at(&mut self, position: u64, end: u64) -> Result<Option<Frame>, InspectError> {
        let end = end.min(self.len);
        if position + PREFIX_BYTES as u64 >= end {
            return Ok(None);
        }
        let Some(prefix) = self.read(position, PREFIX_BYTES)?.first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let offset = i64::from_be_bytes(prefix[..8].try_into().expect("eight bytes"));
        let size = i32::from_be_bytes(prefix[8..12].try_into().expect("four bytes"));
        let magic = prefix[16] as i8;
        if size < MIN_SIZE {
            let what = format!("at position {position}: record size {size} is smaller than any can be ({MIN_SIZE})");
            return Err(InspectError::corrupt(&self.path, what));
        }
        let size = i64::from(size) + OVERHEAD_BYTES;
        Ok((position + size as u64 <= end).then_some(Frame { position, offset, size: size as usize, magic }))
    }

    /// The header of a frame, of which only the magic is judged: it is not negative, and what is above 2 is read as 2.
    pub fn header(&mut self, frame: &Frame) -> Result<BatchHeader, InspectError> {
        let corrupt = |path: &Path, what: &dyn std::fmt::Display| {
            InspectError::corrupt(path, format!("at position {}: {what}", frame.position))
        };
        let mut bytes = [0; HEADER_BYTES];
        let there = self.read(frame.position, HEADER_BYTES)?;
        bytes[..there.len()].copy_from_slice(there);
        if there.len() < HEADER_BYTES && frame.magic >= 2 {
            return Err(corrupt(&self.path, &"the header is cut off"));
        }
        bytes[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
        bytes[16] = frame.magic.min(2) as u8;
        let header = BatchHeader::read(&bytes).map_err(|error| corrupt(&self.path, &error))?;
        Ok(BatchHeader { batch_length: (frame.size as i64 - OVERHEAD_BYTES) as i32, ..header })
    }

    /// The header of a frame that is large enough to be what its magic says.
    pub fn batch_header(&mut self, frame: &Frame) -> Result<BatchHeader, InspectError> {
        let header = self.header(frame)?;
        if frame.magic >= 2 && frame.size < HEADER_BYTES {
            let what = format!("at position {}: {} bytes are no batch", frame.position, frame.size);
            return Err(InspectError::corrupt(&self.path, what));
        }
        Ok(header)
    }

    /// The batch of a frame.
    pub fn batch(&mut self, frame: &Frame) -> Result<Batch, InspectError> {
        Ok(Batch { header: self.batch_header(frame)?, bytes: self.whole(frame)? })
    }

    /// All bytes of a frame.
    fn whole(&mut self, frame: &Frame) -> Result<Bytes, InspectError> {
        if frame.size > WHOLE_LIMIT_BYTES {
            let what = format!("at position {}: {} bytes are too many for one batch", frame.position, frame.size);
            return Err(InspectError::corrupt(&self.path, what));
        }
        Ok(Bytes::copy_from_slice(self.read(frame.position, frame.size)?))
    }

    /// Feeds the bytes of a frame from `from` on to a checksum, however many they are.
    fn checksum(
        &mut self,
        frame: &Frame,
        from: usize,
        mut step: impl FnMut(u32, &[u8]) -> u32,
    ) -> Result<u32, InspectError> {
        let (mut at, mut sum) = (frame.position + from as u64, 0);
        while at < frame.end() {
            let piece = self.read(at, WINDOW_BYTES.min((frame.end() - at) as usize))?;
            if piece.is_empty() {
                break;
            }
            sum = step(sum, piece);
            at += piece.len() as u64;
        }
        Ok(sum)
    }

    /// The checksum that the frame should have: CRC-32C for batches, CRC-32 for messages.
    pub fn computed_crc(&mut self, frame: &Frame) -> Result<u32, InspectError> {
        if frame.magic < 2 {
            self.checksum(frame, 16, |sum, piece| {
                let mut hasher = crc32fast::Hasher::new_with_initial(sum);
                hasher.update(piece);
                hasher.finalize()
            })
        } else {
            self.checksum(frame, 21, crc32c::crc32c_append)
        }
    }
}
