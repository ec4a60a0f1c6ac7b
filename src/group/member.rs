//! One member of a classic group.

use bytes::Bytes;

use crate::time::Millis;

/// Names one request that waits for an answer; the shell gives it out and gets it back with the answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Token(pub u64);

/// A member, from its first JoinGroup to its leaving or expiry.
#[derive(Clone, Debug)]
pub struct Member {
    /// `<client id or instance id>-<uuid>`, given by the coordinator.
    pub id: String,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance_id: Option<String>,
    pub client_id: String,
    /// With the leading slash of a Java address: `/127.0.0.1`.
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// Assignment strategies in order of preference, each with its subscription.
    pub protocols: Vec<(String, Bytes)>,
    pub assignment: Bytes,
    /// The JoinGroup that waits for the next generation.
    pub awaiting_join: Option<Token>,
    /// The SyncGroup that waits for the leader's assignment.
    pub awaiting_sync: Option<Token>,
    /// Has never been answered: a dead new member must not hold the group for ever.
    pub is_new: bool,
    /// When the session ends without a sign of life; not counted while a request of the member waits.
    pub session_deadline: Millis,
    /// Order of arrival: the first to join leads.
    pub seq: u64,
}

impl Member {
    /// The subscription under this strategy; empty if it does not know the strategy.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        self.protocols.iter().find(|(name, _)| name == protocol).map(|(_, bytes)| bytes.clone()).unwrap_or_default()
    }

    pub fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| name == protocol)
    }

    /// Is a request of the member waiting, so that its silence means nothing?
    pub fn is_waiting(&self) -> bool {
        self.awaiting_join.is_some() || self.awaiting_sync.is_some()
    }

    /// The first of the member's strategies that all members know.
    pub fn vote<'a>(&'a self, candidates: &[&str]) -> Option<&'a str> {
        self.protocols.iter().map(|(name, _)| name.as_str()).find(|name| candidates.contains(name))
    }
}
