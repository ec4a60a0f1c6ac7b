//! Every bound that is not a Kafka setting, with its reason.

use std::time::Duration;

/// Bytes of request frames, pending produce and conversion buffers that may be held at once when
/// `queued.max.request.bytes` is -1, its default, which in Kafka bounds nothing.
pub const REQUEST_MEMORY_BYTES: usize = 256 << 20;

/// The part of the request memory, as a divisor, that only the requests of other brokers may use: a flood of produce
/// must not stop replication or the controller.
pub const REQUEST_MEMORY_RESERVE: usize = 8;

/// Requests of one connection that may be undecided at once; further frames stay in the socket.
pub const REQUESTS_IN_FLIGHT_PER_CONNECTION: usize = 8;

/// Packets of clients of the embedded ZooKeeper that are longer are refused (`jute.maxbuffer`); Kafka's client
/// allows itself 4 MiB.
pub const ZK_PACKET_BYTES: usize = 4 << 20;

/// Answers and events that may wait in the embedded ZooKeeper for one slow client before its next request is read.
pub const ZK_UNSENT_BYTES: usize = 1 << 20;

/// ... and before it is disconnected: its watches would otherwise fill the memory.
pub const ZK_UNSENT_BYTES_FATAL: usize = 64 << 20;

/// Time that a client of the embedded ZooKeeper may take to say hello.
pub const ZK_HANDSHAKE_MS: u64 = 10_000;

/// Bytes that each connection may hold without a charge to the request memory: enough for the head of a frame, which
/// says who pays for the rest, and for most whole requests, which then cost one read.
pub const CONNECTION_HEAD_BYTES: usize = 1024;

/// First charge of a frame that is larger than the head. Later charges double what has arrived, so an announced length
/// costs nothing by itself.
pub const FRAME_FIRST_CHARGE_BYTES: usize = 16 << 10;

/// Largest single charge of a frame that is being read.
pub const FRAME_CHARGE_BYTES: usize = 1 << 20;

/// A frame that waits for request memory looks this often for somebody who keeps memory without using it.
pub const MEMORY_PATIENCE: Duration = Duration::from_millis(500);

/// While memory is short, a half-read frame may have kept us waiting for its bytes this long in total; then its
/// connection is closed. Without shortage a slow connection lives until `connections.max.idle.ms`.
pub const SLOW_FRAME_PATIENCE: Duration = Duration::from_secs(2);

/// Bytes that one system call may put into a socket before other connections of the thread get their turn.
pub const SEND_CHUNK_BYTES: usize = 256 << 10;

/// Answers to a client, in bytes, that are gathered into one write.
pub const COALESCED_ANSWER_BYTES: usize = 64 << 10;

/// Largest answer that our own client accepts from another broker; above the largest fetch that Kafka's settings allow
/// to be useful, below what would exhaust memory because of a corrupt length.
pub const CLIENT_MAX_ANSWER_BYTES: usize = 512 << 20;

/// After an error that accepting cannot get past (no descriptors left), the pause before the next attempt.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Unread bytes that are thrown away before a connection is closed, so that the peer sees the answers and the end of the
/// stream instead of a reset.
pub const DISCARD_BEFORE_CLOSE_BYTES: usize = 1 << 20;

/// Most bytes that an answer to an old Fetch (before v4) is made from: they are read and converted in memory, where Kafka
/// converts in chunks while it sends. A single larger batch still goes.
pub const CONVERTED_FETCH_BYTES: usize = 4 << 20;
