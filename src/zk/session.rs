//! Rules about a session that need no socket: which watches are armed, and whose request is next.
//!
//! Kafka knows only one-shot watches. Ours are kept here and fed from a few persistent recursive watches of the server
//! (see [`crate::zk::remote`]), so that a reconnect does not have to register thousands of paths again.

mod queue;
mod watches;

pub use queue::Queue;
pub use watches::{ArmId, Interest, Watches};

/// What happens to a session, apart from the answers to requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionEvent {
    /// An armed watch fired; it is no longer armed.
    Watch(super::op::WatchEvent),
    /// The server says that the session is over: its ephemeral nodes and all watches are gone. Every request ends with
    /// [`super::op::ZkError::SessionExpired`] until a new session is asked for.
    Expired,
    /// A new session took the place of an expired one; nothing is watched yet.
    Established { session_id: i64 },
    /// The servers refuse our authentication; the client goes on trying.
    AuthFailed,
}
