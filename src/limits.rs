//! Every bound that is not a Kafka setting, with its reason.

/// Bytes of request frames, pending produce and conversion buffers that may be held at once when
/// `queued.max.request.bytes` is -1, its default, which in Kafka bounds nothing.
pub const REQUEST_MEMORY_BYTES: usize = 256 << 20;

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
