//! Which version of the controller's requests an inter-broker protocol speaks.

/// A Kafka release as `inter.broker.protocol.version` names it: `3.9`, `2.8-IV1`, `0.10.0-IV1`.
///
/// Ordered as the releases are. A name without `-IV` means the last internal version of its release.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ProtocolVersion {
    /// `[0, 10, 2]` for 0.10.2, `[3, 9, 0]` for 3.9.
    release: [u16; 3],
    internal: u16,
}

impl ProtocolVersion {
    /// The newest release of the ZooKeeper era, and the default.
    pub const LATEST: Self = Self { release: [3, 9, 0], internal: u16::MAX };

    /// Parses the value of the setting; `None` if it is not a version.
    pub fn parse(text: &str) -> Option<Self> {
        let (numbers, internal) = match text.split_once("-IV") {
            Some((numbers, internal)) => (numbers, internal.parse().ok()?),
            None => (text, u16::MAX),
        };
        let mut release = [0; 3];
        let mut parts = 0;
        for (slot, part) in numbers.split('.').enumerate() {
            *release.get_mut(slot)? = part.parse().ok()?;
            parts = slot + 1;
        }
        // Since 1.0 the third number does not change the protocol.
        if release[0] > 0 {
            release[2] = 0;
        }
        (parts >= 2).then_some(Self { release, internal })
    }

    const fn of(release: [u16; 3], internal: u16) -> Self {
        Self { release, internal }
    }

    /// Versions of the three requests a controller sends.
    pub fn rpc(self) -> RpcVersions {
        let (_, leader_and_isr, update_metadata, stop_replica) =
            TABLE.iter().rev().find(|(since, ..)| *since <= self).copied().unwrap_or(TABLE[0]);
        RpcVersions { leader_and_isr, update_metadata, stop_replica }
    }

    /// Topics have ids (KIP-516).
    pub fn has_topic_ids(self) -> bool {
        self >= Self::of([2, 8, 0], 0)
    }

    /// The leader recovery state exists (KIP-704).
    pub fn has_leader_recovery(self) -> bool {
        self >= Self::of([3, 2, 0], 0)
    }

    /// Leaders change their ISR through the controller (KIP-497), and `/feature` is enabled.
    pub fn has_alter_partition(self) -> bool {
        self >= Self::of([2, 7, 0], 2)
    }

    /// `/feature` has no minimum levels.
    pub fn has_feature_v2(self) -> bool {
        self >= Self::of([3, 3, 0], 0)
    }

    /// `/controller` names the epoch of a KRaft controller.
    pub fn has_kraft_migration(self) -> bool {
        self >= Self::of([3, 4, 0], 0)
    }
}

/// See [`ProtocolVersion::rpc`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RpcVersions {
    pub leader_and_isr: i16,
    pub update_metadata: i16,
    pub stop_replica: i16,
}

/// Since which version: LeaderAndIsr, UpdateMetadata, StopReplica.
const TABLE: [(ProtocolVersion, i16, i16, i16); 12] = [
    (ProtocolVersion::of([0, 8, 0], 0), 0, 0, 0),
    (ProtocolVersion::of([0, 9, 0], 0), 0, 1, 0),
    (ProtocolVersion::of([0, 10, 0], 1), 0, 2, 0),
    (ProtocolVersion::of([0, 10, 2], 0), 0, 3, 0),
    (ProtocolVersion::of([1, 0, 0], 0), 1, 4, 0),
    (ProtocolVersion::of([2, 2, 0], 0), 2, 5, 1),
    (ProtocolVersion::of([2, 4, 0], 0), 3, 5, 1),
    (ProtocolVersion::of([2, 4, 0], 1), 4, 6, 2),
    (ProtocolVersion::of([2, 6, 0], 0), 4, 6, 3),
    (ProtocolVersion::of([2, 8, 0], 1), 5, 7, 3),
    (ProtocolVersion::of([3, 2, 0], 0), 6, 7, 3),
    (ProtocolVersion::of([3, 4, 0], 0), 7, 8, 4),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_follow_the_protocol() {
        let rpc = |text: &str| {
            let RpcVersions { leader_and_isr, update_metadata, stop_replica } =
                ProtocolVersion::parse(text).unwrap().rpc();
            (leader_and_isr, update_metadata, stop_replica)
        };
        assert_eq!(rpc("3.9"), (7, 8, 4));
        assert_eq!(rpc("3.4-IV0"), (7, 8, 4));
        assert_eq!(rpc("3.3.2"), (6, 7, 3));
        assert_eq!(rpc("2.8-IV0"), (4, 6, 3));
        assert_eq!(rpc("2.8"), (5, 7, 3));
        assert_eq!(rpc("2.4-IV0"), (3, 5, 1));
        assert_eq!(rpc("0.10.0-IV0"), (0, 1, 0));
        assert_eq!(rpc("0.10.0"), (0, 2, 0));
        assert_eq!(rpc("0.8.2"), (0, 0, 0));
        assert_eq!(ProtocolVersion::parse("three"), None);
        assert_eq!(ProtocolVersion::parse("3"), None);
        assert!(ProtocolVersion::parse("2.7").unwrap().has_alter_partition());
        assert!(!ProtocolVersion::parse("2.6").unwrap().has_alter_partition());
    }
}
