//! Which version of the controller's requests an inter-broker protocol speaks.

use crate::config::Release;

/// Versions of the three requests a controller sends. Source: `MetadataVersion`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RpcVersions {
    pub leader_and_isr: i16,
    pub update_metadata: i16,
    pub stop_replica: i16,
}

impl RpcVersions {
    /// The versions that brokers of this protocol understand.
    pub fn of(release: Release) -> Self {
        let (_, leader_and_isr, update_metadata, stop_replica) =
            TABLE.iter().rev().find(|(since, ..)| *since <= release).copied().unwrap_or(TABLE[0]);
        RpcVersions { leader_and_isr, update_metadata, stop_replica }
    }
}

/// Since which release: LeaderAndIsr, UpdateMetadata, StopReplica.
const TABLE: [(Release, i16, i16, i16); 6] = [
    (Release::named("2.4-IV0"), 3, 5, 1),
    (Release::named("2.4-IV1"), 4, 6, 2),
    (Release::named("2.6-IV0"), 4, 6, 3),
    (Release::named("2.8-IV1"), 5, 7, 3),
    (Release::named("3.2-IV0"), 6, 7, 3),
    (Release::named("3.4-IV0"), 7, 8, 4),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_follow_the_protocol() {
        let rpc = |text: &str| {
            let RpcVersions { leader_and_isr, update_metadata, stop_replica } = RpcVersions::of(text.parse().unwrap());
            (leader_and_isr, update_metadata, stop_replica)
        };
        assert_eq!(rpc("3.9"), (7, 8, 4));
        assert_eq!(rpc("3.4-IV0"), (7, 8, 4));
        assert_eq!(rpc("3.3.2"), (6, 7, 3));
        assert_eq!(rpc("2.8-IV0"), (4, 6, 3));
        assert_eq!(rpc("2.8"), (5, 7, 3));
        assert_eq!(rpc("2.4-IV0"), (3, 5, 1));
    }
}
