//! What is written to a socket: bytes, with slices of frames and of log files between them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

/// Bytes shorter than this are copied between their neighbours; a part of their own would cost more.
const COPY_BELOW_BYTES: usize = 1024;

/// A piece of a file that stays open while the piece is alive.
#[derive(Clone, Debug)]
pub struct FileSlice {
    pub file: Arc<File>,
    /// Where the piece begins in the file, in bytes.
    pub position: u64,
    /// Length in bytes.
    pub len: usize,
}

impl FileSlice {
    /// Reads the piece. Errors: those of the file, also when it has become shorter.
    pub fn read(&self) -> io::Result<Bytes> {
        let mut buffer = vec![0; self.len];
        self.file.read_exact_at(&mut buffer, self.position)?;
        Ok(buffer.into())
    }
}

/// Equal if they are the same piece of the same open file.
impl PartialEq for FileSlice {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.file, &other.file) && self.position == other.position && self.len == other.len
    }
}

/// One piece of a rope.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Bytes(Bytes),
    File(FileSlice),
}

impl Part {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Part::Bytes(bytes) => bytes.len(),
            Part::File(slice) => slice.len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A rope under construction. All small values go into one buffer; shared slices are kept aside with their place in it,
/// so the length is known before anything is sent and a length prefix can be filled in at the end.
#[derive(Default, Debug)]
pub struct Out {
    buffer: BytesMut,
    /// A part, and how many bytes of the buffer come before it.
    shared: Vec<(usize, Part)>,
    shared_len: usize,
}

impl Out {
    pub fn new() -> Self {
        Self::default()
    }

    /// Length in bytes of everything put so far.
    pub fn len(&self) -> usize {
        self.buffer.len() + self.shared_len
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends a slice without copying it, unless it is short.
    pub fn put_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < COPY_BELOW_BYTES {
            self.buffer.put_slice(bytes);
        } else {
            self.put_part(Part::Bytes(bytes.clone()));
        }
    }

    /// Appends a part.
    pub fn put_part(&mut self, part: Part) {
        self.shared_len += part.len();
        self.shared.push((self.buffer.len(), part));
    }

    /// Appends everything of another rope.
    pub fn put_rope(&mut self, other: Out) {
        if other.shared.is_empty() {
            self.buffer.put_slice(&other.buffer);
            return;
        }
        for part in other.into_parts() {
            match part {
                Part::Bytes(bytes) => self.put_shared(&bytes),
                file => self.put_part(file),
            }
        }
    }

    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Overwrites four bytes put before any shared part.
    pub(super) fn set_i32(&mut self, position: usize, value: i32) {
        self.buffer[position..position + 4].copy_from_slice(&value.to_be_bytes());
    }

    /// The pieces in order; none is empty.
    pub fn into_parts(self) -> Vec<Part> {
        let mut rest = self.buffer.freeze();
        let mut taken = 0;
        let mut parts = Vec::with_capacity(self.shared.len() * 2 + 1);
        for (place, part) in self.shared {
            if place > taken {
                parts.push(Part::Bytes(rest.split_to(place - taken)));
                taken = place;
            }
            if !part.is_empty() {
                parts.push(part);
            }
        }
        if !rest.is_empty() {
            parts.push(Part::Bytes(rest));
        }
        parts
    }

    /// Everything in one piece; pieces of files are read. Errors: those of the files.
    pub fn into_bytes(self) -> io::Result<Bytes> {
        if self.shared.is_empty() {
            return Ok(self.buffer.freeze());
        }
        let mut whole = BytesMut::with_capacity(self.len());
        for part in self.into_parts() {
            match part {
                Part::Bytes(bytes) => whole.put_slice(&bytes),
                Part::File(slice) => whole.put_slice(&slice.read()?),
            }
        }
        Ok(whole.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn parts_keep_their_order_and_long_bytes_are_not_copied() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let long = Bytes::from(vec![7; COPY_BELOW_BYTES]);
        let mut out = Out::new();
        out.put_i8(1);
        out.put_shared(&long);
        out.put_shared(&Bytes::from_static(b"ab"));
        out.put_part(Part::File(FileSlice { file: Arc::new(file), position: 2, len: 3 }));
        out.put_i8(2);
        assert_eq!(out.len(), 1 + long.len() + 2 + 3 + 1);
        let mut outer = Out::new();
        outer.put_i8(0);
        outer.put_rope(out);
        let whole: Vec<u8> = [&[0, 1][..], &long, b"ab234", &[2]].concat();
        let parts = outer.into_parts();
        assert!(matches!(&parts[1], Part::Bytes(bytes) if bytes.as_ptr() == long.as_ptr()));
        let mut again = Out::new();
        parts.into_iter().for_each(|part| again.put_part(part));
        assert_eq!(again.into_bytes().unwrap(), whole);
    }
}
