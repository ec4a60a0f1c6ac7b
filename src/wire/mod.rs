//! Kafka's wire protocol: messages printed from `schema/*.messages`, read from frames without copying, written as ropes.
//!
//! Nothing here knows sockets, tasks or time.

mod api_key;
pub mod frame;
pub mod messages;
mod read;
mod rope;
mod types;
mod write;

pub use messages::ApiKey;
pub use read::Reader;
pub use rope::{FileSlice, Out, Part};
pub use types::{Records, Str};

/// A message, or a struct inside one, in any version of the schema.
pub trait Message: Sized + Default {
    /// Reads the struct; fields that the version lacks get Kafka's defaults.
    fn read(r: &mut Reader, version: i16) -> Result<Self, WireError>;

    /// Writes the struct; fields that the version lacks are left out.
    fn write(&self, out: &mut Out, version: i16) -> Result<(), WireError>;
}

/// The request of an API.
pub trait Request: Message {
    const API: ApiKey;
    type Response: Message;
}

/// Why bytes are no message, or a message has no bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("the frame ends early: {needed} bytes needed, {left} left")]
    Truncated { needed: usize, left: usize },
    #[error("length {0} is not possible")]
    Length(i64),
    #[error("a variable-length number of more than five bytes")]
    Varint,
    #[error("{0} is null in a version that does not allow it")]
    Null(&'static str),
    #[error("a string of {0} bytes; at most 32767 can be written")]
    StringTooLong(usize),
    #[error("{0} bytes or elements in one field; at most 2147483647 can be written")]
    TooLong(usize),
    #[error("no API with key {0}")]
    UnknownApi(i16),
    #[error("version {version} of {} is not known", api.name())]
    UnknownVersion { api: ApiKey, version: i16 },
}
