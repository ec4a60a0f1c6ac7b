//! Reading frames: a 4-byte length, then that many bytes.
//!
//! Bytes land first in a small head that belongs to the connection; it holds most requests whole, and of the others the API
//! key, which decides who pays for the rest. The rest is read straight into the frame, at most the charged part at a time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{BufMut, Bytes};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::OwnedReadHalf;

use crate::limits::{CONNECTION_HEAD_BYTES, FRAME_CHARGE_BYTES, FRAME_FIRST_CHARGE_BYTES};
use crate::net::memory::{Charge, Class, GivenUp, Memory};

const LENGTH_BYTES: usize = 4;
/// Length and API key.
const CLASSIFIED_BYTES: usize = LENGTH_BYTES + 2;
/// A frame's buffer is allocated ahead of its charge by this factor: memory that is not written to costs nothing, and
/// moving the bytes to a larger buffer becomes rare.
const ALLOCATION_AHEAD: usize = 8;

/// Why no further frame comes from a connection. All of them end it.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a request of {length} bytes from {peer} is larger than socket.request.max.bytes ({max})")]
    TooLarge { length: i32, max: usize, peer: SocketAddr },
    #[error("a request of negative length {length} from {peer}")]
    Negative { length: i32, peer: SocketAddr },
    #[error(transparent)]
    GivenUp(#[from] GivenUp),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A whole request and what it has charged.
pub struct Frame {
    /// Without the length.
    pub bytes: Bytes,
    pub charge: Charge,
}

/// The reading side of a connection. Its methods may be dropped at any await and called again.
pub struct FrameReader {
    memory: Arc<Memory>,
    peer: SocketAddr,
    max_frame_bytes: usize,
    /// Requests of this connection may use the reserve whatever their API.
    privileged: bool,
    head: Box<[u8; CONNECTION_HEAD_BYTES]>,
    head_len: usize,
    body: Option<Body>,
}

/// A frame that does not fit into the head.
struct Body {
    bytes: Vec<u8>,
    announced: usize,
    /// How far it may be read with the charge so far.
    paid: usize,
    charge: Charge,
}

impl FrameReader {
    /// `is_privileged`: the connection came in on a listener of its own for brokers.
    pub fn new(memory: Arc<Memory>, peer: SocketAddr, max_frame_bytes: usize, privileged: bool) -> Self {
        let head = Box::new([0; CONNECTION_HEAD_BYTES]);
        Self { memory, peer, max_frame_bytes, privileged, head, head_len: 0, body: None }
    }

    /// The next frame, or `None` at the end of the stream. A frame that the end cuts short is dropped silently, as in Kafka.
    pub async fn next(&mut self, stream: &mut OwnedReadHalf) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(body) = &mut self.body {
                if !body.fill(stream).await? {
                    return Ok(None);
                }
                return Ok(self.body.take().map(Body::finish));
            }
            if let Some(announced) = self.announced()? {
                if self.head_len >= LENGTH_BYTES + announced {
                    return Ok(Some(self.cut(announced).await?));
                }
                if self.head_len >= CLASSIFIED_BYTES {
                    self.begin_body(announced);
                    continue;
                }
            }
            match stream.read(&mut self.head[self.head_len..]).await? {
                0 => return Ok(None),
                read => self.head_len += read,
            }
        }
    }

    /// The length at the front of the head.
    fn announced(&self) -> Result<Option<usize>, FrameError> {
        let Some(length) = self.head[..self.head_len].first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let (length, peer) = (i32::from_be_bytes(*length), self.peer);
        let announced = usize::try_from(length).map_err(|_| FrameError::Negative { length, peer })?;
        if announced > self.max_frame_bytes {
            return Err(FrameError::TooLarge { length, max: self.max_frame_bytes, peer });
        }
        Ok(Some(announced))
    }

    /// A whole frame out of the head.
    async fn cut(&mut self, announced: usize) -> Result<Frame, FrameError> {
        let end = LENGTH_BYTES + announced;
        let mut charge = self.memory.begin_frame(self.class());
        charge.grow(announced).await?;
        charge.complete();
        let bytes = Bytes::copy_from_slice(&self.head[LENGTH_BYTES..end]);
        self.head.copy_within(end..self.head_len, 0);
        self.head_len -= end;
        Ok(Frame { bytes, charge })
    }

    fn begin_body(&mut self, announced: usize) {
        let arrived = &self.head[LENGTH_BYTES..self.head_len];
        let charge = self.memory.begin_frame(self.class());
        self.body = Some(Body { bytes: arrived.to_vec(), announced, paid: 0, charge });
        self.head_len = 0;
    }

    fn class(&self) -> Class {
        let api_key = self.head[..self.head_len].get(LENGTH_BYTES..CLASSIFIED_BYTES);
        let between_brokers = api_key.is_some_and(|key| is_broker_api(i16::from_be_bytes([key[0], key[1]])));
        if self.privileged || between_brokers { Class::Broker } else { Class::Client }
    }
}

/// APIs that brokers send to each other: replication, the controller's orders and requests to it. On a listener shared with
/// clients they are told apart only by their key; a client may pretend, but then it holds up brokers no more than by
/// sending such requests.
fn is_broker_api(key: i16) -> bool {
    use crate::wire::ApiKey;
    ApiKey::from_key(key).is_some_and(|api| {
        matches!(
            api,
            ApiKey::Fetch
                | ApiKey::LeaderAndIsr
                | ApiKey::StopReplica
                | ApiKey::UpdateMetadata
                | ApiKey::ControlledShutdown
                | ApiKey::OffsetForLeaderEpoch
                | ApiKey::AlterPartition
                | ApiKey::AllocateProducerIds
        )
    })
}

impl Body {
    /// Reads until the frame is whole; false at the end of the stream.
    async fn fill(&mut self, stream: &mut OwnedReadHalf) -> Result<bool, FrameError> {
        while self.bytes.len() < self.announced {
            let arrived = self.bytes.len();
            if arrived >= self.paid {
                let step = arrived.clamp(FRAME_FIRST_CHARGE_BYTES, FRAME_CHARGE_BYTES).min(self.announced - self.paid);
                self.charge.grow(step).await?;
                self.paid += step;
                if self.bytes.capacity() < self.paid {
                    let capacity = (self.paid * ALLOCATION_AHEAD).min(self.announced);
                    self.bytes.reserve_exact(capacity - arrived);
                }
                continue;
            }
            let mut room = (&mut self.bytes).limit(self.paid - arrived);
            if self.charge.waiting_for_socket(stream.read_buf(&mut room)).await?? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn finish(mut self) -> Frame {
        self.charge.complete();
        Frame { bytes: self.bytes.into(), charge: self.charge }
    }
}
