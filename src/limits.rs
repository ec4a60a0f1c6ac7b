//! Every bound that is not a Kafka setting, with its reason.

/// Bytes of request frames, pending produce and conversion buffers that may be held at once when
/// `queued.max.request.bytes` is -1, its default, which in Kafka bounds nothing.
pub const REQUEST_MEMORY_BYTES: usize = 256 << 20;

/// Requests of one connection that may be undecided at once; further frames stay in the socket.
pub const REQUESTS_IN_FLIGHT_PER_CONNECTION: usize = 8;
