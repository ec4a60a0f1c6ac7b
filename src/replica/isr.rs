//! The in-sync set of a partition at its leader, and how an AlterPartition request (KIP-497) changes it. Pure.
//!
//! While a change is on its way, the leader must assume whatever is worse: the *maximal* ISR holds everybody who is in
//! the committed set or may be in it soon, and the high watermark respects all of them. So nobody who could be elected
//! lacks a record that was called committed. Studied: `Partition.scala`, `PartitionState` and its three cases.

use crate::error::ErrorCode;
use crate::ids::{BrokerId, LeaderEpoch, PartitionEpoch};

/// The in-sync set with its pending change, of which there is at most one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Isr {
    committed: Vec<BrokerId>,
    pending: Option<Pending>,
    next_ticket: u64,
}

/// A change that the controller has not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pending {
    ticket: u64,
    change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Expand(BrokerId),
    Shrink(Vec<BrokerId>),
}

/// A change to ask the controller for: one partition's part of an AlterPartition request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Tells the answer to this proposal from an answer to an older one.
    pub ticket: u64,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    /// The new in-sync set, with the leader.
    pub isr: Vec<BrokerId>,
}

/// The controller's answer for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub isr: Vec<BrokerId>,
}

/// What an answer did to the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Committed; the kind decides which meter is marked.
    Expanded,
    Shrunk,
    /// Answer to a proposal that something newer replaced: nothing changed.
    Superseded,
    /// A success that tells of an older state than ours: nothing changed, a LeaderAndIsr will come.
    Stale,
    /// Refused for sure: back to the committed set; the next fetch or scan may propose again.
    RolledBack,
    /// The controller knows something newer: wait for its LeaderAndIsr with the change still pending.
    AwaitingLeaderAndIsr,
    /// Unclear: the same proposal must be sent again.
    Retry,
}

impl Settled {
    /// Does the meter FailedIsrUpdatesPerSec count it?
    pub fn failed(self) -> bool {
        !matches!(self, Settled::Expanded | Settled::Shrunk | Settled::Superseded)
    }
}

impl Isr {
    /// A set that the controller committed.
    pub fn committed(isr: Vec<BrokerId>) -> Self {
        Self { committed: isr, pending: None, next_ticket: 0 }
    }

    /// Replaces everything by a set from LeaderAndIsr; answers to a pending proposal will be ignored.
    pub fn replace(&mut self, isr: Vec<BrokerId>) {
        self.committed = isr;
        self.pending = None;
    }

    /// The set that the controller committed last; counts for min.insync.replicas before an append.
    pub fn members(&self) -> &[BrokerId] {
        &self.committed
    }

    /// Is a change on its way?
    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Is `broker` in the maximal set?
    pub fn maximal_contains(&self, broker: BrokerId) -> bool {
        self.committed.contains(&broker) || self.joining() == Some(broker)
    }

    /// Size of the maximal set; counts for min.insync.replicas when an acks=all write completes.
    pub fn maximal_len(&self) -> usize {
        self.committed.len() + usize::from(self.joining().is_some())
    }

    fn joining(&self) -> Option<BrokerId> {
        match &self.pending {
            Some(Pending { change: Change::Expand(broker), .. }) => Some(*broker),
            _ => None,
        }
    }

    /// Starts to add `broker`; `None` if it is there already or a change is pending.
    pub fn expand(&mut self, broker: BrokerId) -> Option<u64> {
        if self.committed.contains(&broker) {
            return None;
        }
        self.start(Change::Expand(broker))
    }

    /// Starts to remove `brokers`; `None` if there are none or a change is pending.
    pub fn shrink(&mut self, brokers: Vec<BrokerId>) -> Option<u64> {
        if brokers.is_empty() {
            return None;
        }
        self.start(Change::Shrink(brokers))
    }

    fn start(&mut self, change: Change) -> Option<u64> {
        if self.pending.is_some() {
            return None;
        }
        self.next_ticket += 1;
        self.pending = Some(Pending { ticket: self.next_ticket, change });
        Some(self.next_ticket)
    }

    /// The pending change as a proposal.
    pub fn proposal(&self, leader_epoch: LeaderEpoch, partition_epoch: PartitionEpoch) -> Option<Proposal> {
        let pending = self.pending.as_ref()?;
        let mut isr = self.committed.clone();
        match &pending.change {
            Change::Expand(broker) => isr.push(*broker),
            Change::Shrink(leaving) => isr.retain(|member| !leaving.contains(member)),
        }
        Some(Proposal { ticket: pending.ticket, leader_epoch, partition_epoch, isr })
    }

    /// Applies the controller's answer to the proposal `ticket`, made while the partition is at `leader_epoch` and
    /// `partition_epoch`. On success the caller takes over the partition epoch of the answer.
    pub fn answered(
        &mut self,
        ticket: u64,
        answer: Result<Accepted, ErrorCode>,
        leader_epoch: LeaderEpoch,
        partition_epoch: PartitionEpoch,
    ) -> Settled {
        let Some(pending) = self.pending.as_ref().filter(|pending| pending.ticket == ticket) else {
            return Settled::Superseded;
        };
        match answer {
            Ok(state) if state.leader_epoch != leader_epoch || state.partition_epoch < partition_epoch => {
                Settled::Stale
            }
            Ok(state) => {
                let settled = match pending.change {
                    Change::Expand(_) => Settled::Expanded,
                    Change::Shrink(_) => Settled::Shrunk,
                };
                self.replace(state.isr);
                settled
            }
            Err(error) => match error {
                // The controller says for certain that nothing was applied.
                ErrorCode::OperationNotAttempted | ErrorCode::IneligibleReplica => {
                    self.pending = None;
                    Settled::RolledBack
                }
                ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId
                | ErrorCode::FencedLeaderEpoch
                | ErrorCode::InvalidUpdateVersion
                | ErrorCode::InvalidRequest
                | ErrorCode::NewLeaderElected => Settled::AwaitingLeaderAndIsr,
                _ => Settled::Retry,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: LeaderEpoch = LeaderEpoch(4);
    const VERSION: PartitionEpoch = PartitionEpoch(9);

    fn ids(ids: &[i32]) -> Vec<BrokerId> {
        ids.iter().map(|id| BrokerId(*id)).collect()
    }

    fn accepted(epoch: i32, version: i32, isr: &[i32]) -> Result<Accepted, ErrorCode> {
        Ok(Accepted { leader_epoch: LeaderEpoch(epoch), partition_epoch: PartitionEpoch(version), isr: ids(isr) })
    }

    #[test]
    fn pending_expand_counts_the_joining_replica() {
        let mut isr = Isr::committed(ids(&[1, 2]));
        let ticket = isr.expand(BrokerId(3)).unwrap();
        assert!(isr.maximal_contains(BrokerId(3)));
        assert_eq!((isr.members().len(), isr.maximal_len()), (2, 3));
        assert_eq!(isr.proposal(EPOCH, VERSION).unwrap().isr, ids(&[1, 2, 3]));
        assert_eq!(isr.shrink(ids(&[2])), None, "one change at a time");
        assert_eq!(isr.answered(ticket, accepted(4, 10, &[1, 2, 3]), EPOCH, VERSION), Settled::Expanded);
        assert_eq!(isr, Isr { committed: ids(&[1, 2, 3]), pending: None, next_ticket: 1 });
    }

    #[test]
    fn pending_shrink_still_counts_the_leaving_replica() {
        let mut isr = Isr::committed(ids(&[1, 2, 3]));
        let ticket = isr.shrink(ids(&[3])).unwrap();
        assert!(isr.maximal_contains(BrokerId(3)));
        assert_eq!(isr.maximal_len(), 3);
        assert_eq!(isr.proposal(EPOCH, VERSION).unwrap().isr, ids(&[1, 2]));
        assert_eq!(
            isr.answered(ticket, accepted(4, 9, &[1, 2]), EPOCH, VERSION),
            Settled::Shrunk,
            "same version is fine"
        );
    }

    #[test]
    fn answers_by_kind() {
        use ErrorCode::*;
        let rows = [
            (Err(OperationNotAttempted), Settled::RolledBack, false),
            (Err(IneligibleReplica), Settled::RolledBack, false),
            (Err(UnknownTopicOrPartition), Settled::AwaitingLeaderAndIsr, true),
            (Err(UnknownTopicId), Settled::AwaitingLeaderAndIsr, true),
            (Err(FencedLeaderEpoch), Settled::AwaitingLeaderAndIsr, true),
            (Err(InvalidUpdateVersion), Settled::AwaitingLeaderAndIsr, true),
            (Err(InvalidRequest), Settled::AwaitingLeaderAndIsr, true),
            (Err(NewLeaderElected), Settled::AwaitingLeaderAndIsr, true),
            (Err(NotController), Settled::Retry, true),
            (Err(UnknownServerError), Settled::Retry, true),
            (accepted(3, 10, &[1]), Settled::Stale, true),
            (accepted(4, 8, &[1]), Settled::Stale, true),
        ];
        for (answer, want, pending) in rows {
            let mut isr = Isr::committed(ids(&[1, 2]));
            let ticket = isr.shrink(ids(&[2])).unwrap();
            assert_eq!(isr.answered(ticket, answer.clone(), EPOCH, VERSION), want, "{answer:?}");
            assert_eq!(isr.is_pending(), pending, "{answer:?}");
            assert_eq!(isr.members(), ids(&[1, 2]));
        }
    }

    #[test]
    fn leader_and_isr_supersedes_a_pending_change() {
        let mut isr = Isr::committed(ids(&[1, 2]));
        let old = isr.shrink(ids(&[2])).unwrap();
        isr.replace(ids(&[1, 2]));
        assert_eq!(isr.answered(old, accepted(4, 9, &[1]), EPOCH, VERSION), Settled::Superseded);
        let new = isr.shrink(ids(&[2])).unwrap();
        assert_ne!(old, new);
        assert_eq!(isr.answered(old, accepted(4, 9, &[1]), EPOCH, VERSION), Settled::Superseded);
        assert!(isr.is_pending());
    }
}
