//! Sending a rope: `sendmsg` for bytes, `sendfile` for slices of segment files.
//!
//! An [`Outbox`] keeps its place between calls, so that a send may be interrupted at any await and taken up again. One call
//! moves at most [`SEND_CHUNK_BYTES`]: a large fetch shares its thread with the other connections.
//!
//! `sendfile` reads the page cache; on a miss it would block the whole network thread on the disk. So both ends of a chunk
//! are probed first (`preadv2` with `RWF_NOWAIT`), and a cold chunk is read once by a blocking thread before it is sent.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::AsFd;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use rustix::io::ReadWriteFlags;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::limits::SEND_CHUNK_BYTES;
use crate::wire::{FileSlice, Out, Part};

/// Slices given to one `sendmsg`; Linux takes up to 1,024, more than a few dozen gain nothing.
const MAX_IO_SLICES: usize = 64;

/// Unit of the page cache.
const PAGE_BYTES: u64 = 4096;

/// What is still to be sent on one connection.
#[derive(Default)]
pub struct Outbox {
    parts: VecDeque<Part>,
    /// The front part is a file slice whose first chunk is known to be in the page cache.
    warm: bool,
    queued_bytes: usize,
}

impl Outbox {
    /// Puts a message behind those already waiting.
    pub fn push(&mut self, message: Out) {
        for part in message.into_parts() {
            if !part.is_empty() {
                self.queued_bytes += part.len();
                self.parts.push_back(part);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Bytes that wait to be sent.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Sends one chunk; returns its length, 0 only if nothing was waiting. Dropping the future loses nothing.
    ///
    /// # Errors
    /// Those of the socket; `UnexpectedEof` if a file has become shorter than the slice promised, after which the stream
    /// cannot be continued and must be closed.
    pub async fn send_chunk(&mut self, stream: &TcpStream) -> io::Result<usize> {
        let sent = match self.parts.front() {
            None => return Ok(0),
            Some(Part::Bytes(_)) => self.send_bytes(stream).await?,
            Some(Part::File(slice)) => {
                let chunk = FileSlice {
                    file: slice.file.clone(),
                    position: slice.position,
                    len: slice.len.min(SEND_CHUNK_BYTES),
                };
                if !self.warm {
                    warm_up(&chunk).await?;
                    self.warm = true;
                }
                send_file_chunk(stream, &chunk).await?
            }
        };
        self.advance(sent);
        Ok(sent)
    }

    /// Sends everything.
    pub async fn send_all(&mut self, stream: &TcpStream) -> io::Result<()> {
        while !self.is_empty() {
            self.send_chunk(stream).await?;
        }
        Ok(())
    }

    async fn send_bytes(&self, stream: &TcpStream) -> io::Result<usize> {
        let mut slices = Vec::with_capacity(self.parts.len().min(MAX_IO_SLICES));
        let mut room = SEND_CHUNK_BYTES;
        for part in self.parts.iter().take(MAX_IO_SLICES) {
            let Part::Bytes(bytes) = part else { break };
            let taken = &bytes[..bytes.len().min(room)];
            slices.push(IoSlice::new(taken));
            room -= taken.len();
            if room == 0 {
                break;
            }
        }
        // Before a file the kernel may wait for its bytes: a small fetch is then one packet instead of two.
        let file_follows = matches!(self.parts.get(slices.len()), Some(Part::File(_)));
        let flags = if file_follows { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
        let send = || Ok(sendmsg(stream, &slices, &mut SendAncillaryBuffer::default(), flags)?);
        stream.async_io(Interest::WRITABLE, send).await
    }

    fn advance(&mut self, mut sent: usize) {
        self.queued_bytes -= sent;
        while sent > 0 {
            let front = self.parts.front_mut().expect("no more is sent than was queued");
            let left = match front {
                Part::Bytes(bytes) => {
                    let step = sent.min(bytes.len());
                    bytes.advance(step);
                    sent -= step;
                    bytes.len()
                }
                Part::File(slice) => {
                    let step = sent.min(slice.len);
                    slice.position += step as u64;
                    slice.len -= step;
                    sent -= step;
                    self.warm = false;
                    slice.len
                }
            };
            if left == 0 {
                self.parts.pop_front();
            }
        }
    }
}

async fn send_file_chunk(stream: &TcpStream, chunk: &FileSlice) -> io::Result<usize> {
    let send = || {
        let mut position = chunk.position;
        Ok(rustix::fs::sendfile(stream.as_fd(), chunk.file.as_fd(), Some(&mut position), chunk.len)?)
    };
    match stream.async_io(Interest::WRITABLE, send).await? {
        // Only a follower truncates its log; whoever was reading it has to ask again.
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than the answer promised")),
        sent => Ok(sent),
    }
}

/// Makes it likely that `chunk` is in the page cache.
async fn warm_up(chunk: &FileSlice) -> io::Result<()> {
    let last = chunk.position + chunk.len as u64 - 1;
    let one_page = chunk.position / PAGE_BYTES == last / PAGE_BYTES;
    if in_page_cache(&chunk.file, last) && (one_page || in_page_cache(&chunk.file, chunk.position)) {
        return Ok(());
    }
    let (file, position, len) = (chunk.file.clone(), chunk.position, chunk.len);
    let read = move || {
        let mut scratch = vec![0; len];
        std::os::unix::fs::FileExt::read_at(&*file, &mut scratch, position).map(drop)
    };
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}

/// Would a read at `position` return without waiting for the disk? File systems that cannot say count as "yes".
fn in_page_cache(file: &Arc<File>, position: u64) -> bool {
    let mut byte = [0];
    let probe = rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut byte)], position, ReadWriteFlags::NOWAIT);
    !matches!(probe, Err(rustix::io::Errno::AGAIN))
}

/// Bytes as a message of its own; for peers that speak no Kafka (tests).
impl From<Bytes> for Outbox {
    fn from(bytes: Bytes) -> Self {
        let queued_bytes = bytes.len();
        let parts = if bytes.is_empty() { VecDeque::new() } else { VecDeque::from([Part::Bytes(bytes)]) };
        Self { parts, warm: false, queued_bytes }
    }
}
