//! Who leads a partition: pure functions of its state and of what is alive (Election.scala).

use crate::controller::context::{Context, LeaderAndIsr, Partition};
use crate::ids::{BrokerId, TopicPartition};

/// Why a leader is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Strategy {
    /// The leader is gone or there was none. `unclean`: a replica outside of the ISR will do for all partitions; else
    /// the topic's configuration decides.
    Offline { unclean: bool },
    /// The leader leaves by reassignment.
    Reassign,
    /// Back to the first replica of the assignment.
    Preferred,
    /// The leader is about to stop.
    ControlledShutdown,
}

impl Strategy {
    /// Kafka's name of the strategy, for logs and error messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Offline { .. } => "OfflinePartitionLeaderElectionStrategy",
            Self::Reassign => "ReassignPartitionLeaderElectionStrategy",
            Self::Preferred => "PreferredReplicaPartitionLeaderElectionStrategy",
            Self::ControlledShutdown => "ControlledShutdownPartitionLeaderElectionStrategy",
        }
    }
}

/// The outcome of an election.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Elected {
    /// To be written, its partition epoch being that of the state it replaces. None: nobody may lead.
    pub state: Option<LeaderAndIsr>,
    /// Who gets the LeaderAndIsr.
    pub recipients: Vec<BrokerId>,
    /// The leader was not in the ISR: acknowledged records may be lost.
    pub unclean: bool,
}

/// Elects a leader for `partition`, whose state znode says `current`. `unclean` counts for the offline strategy only;
/// `recovery` says whether the cluster knows the leader recovery state (inter-broker protocol 3.2).
pub fn elect(
    strategy: Strategy,
    context: &Context,
    partition: &TopicPartition,
    known: &Partition,
    current: &LeaderAndIsr,
    unclean: bool,
    recovery: bool,
) -> Elected {
    let online = |id: &BrokerId| context.is_online(*id, partition);
    let in_isr = |id: &BrokerId| current.isr.contains(id);
    let assignment = &known.assignment.replicas;
    let kept_isr = |leader: BrokerId| current.next(leader, current.isr.clone());
    let clean = |state: Option<LeaderAndIsr>, recipients: Vec<BrokerId>| Elected { state, recipients, unclean: false };
    match strategy {
        Strategy::Offline { .. } => {
            let live: Vec<BrokerId> = assignment.iter().copied().filter(online).collect();
            if let Some(leader) = live.iter().copied().find(in_isr) {
                let isr = current.isr.iter().copied().filter(online).collect();
                return clean(Some(current.next(leader, isr)), live);
            }
            let state = live.first().filter(|_| unclean).map(|leader| {
                let state = current.next(*leader, vec![*leader]);
                LeaderAndIsr { recovering: state.recovering || recovery, ..state }
            });
            Elected { unclean: state.is_some(), state, recipients: live }
        }
        Strategy::Reassign => {
            let target = known.assignment.target();
            let leader = target.iter().copied().find(|id| online(id) && in_isr(id));
            clean(leader.map(kept_isr), target)
        }
        Strategy::Preferred => {
            let leader = assignment.first().copied().filter(|id| online(id) && in_isr(id));
            clean(leader.map(kept_isr), assignment.clone())
        }
        Strategy::ControlledShutdown => {
            let stopping = |id: &BrokerId| context.shutting_down.contains(id);
            let reachable = |id: &BrokerId| context.is_registered_and_online(*id, partition);
            let recipients: Vec<BrokerId> = assignment.iter().copied().filter(reachable).collect();
            let leader = recipients.iter().copied().find(|id| in_isr(id) && !stopping(id));
            let isr = current.isr.iter().copied().filter(|id| !stopping(id)).collect();
            clean(leader.map(|leader| current.next(leader, isr)), recipients)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::context::{Broker, ReplicaAssignment};
    use crate::ids::{BrokerEpoch, LeaderEpoch, PartitionEpoch};

    fn ids(ids: &[i32]) -> Vec<BrokerId> {
        ids.iter().map(|id| BrokerId(*id)).collect()
    }

    /// `(leader, isr, recovering)` and recipients of an election with these live brokers.
    fn run(strategy: Strategy, live: &[i32], stopping: &[i32], replicas: &[i32], isr: &[i32], unclean: bool) -> String {
        let mut context = Context::default();
        for id in live.iter().chain(stopping) {
            context.add_broker(Broker { id: BrokerId(*id), epoch: BrokerEpoch(1), endpoints: vec![], rack: None });
        }
        context.shutting_down = stopping.iter().map(|id| BrokerId(*id)).collect();
        let partition = TopicPartition::new("t", 0);
        let known = Partition { assignment: ReplicaAssignment::of(ids(replicas)), ..Partition::default() };
        let current = LeaderAndIsr {
            leader: BrokerId(isr[0]),
            leader_epoch: LeaderEpoch(4),
            isr: ids(isr),
            recovering: false,
            partition_epoch: PartitionEpoch(7),
        };
        let elected = elect(strategy, &context, &partition, &known, &current, unclean, true);
        let Some(state) = elected.state else { return format!("none -> {:?}", elected.recipients) };
        assert_eq!((state.leader_epoch, state.partition_epoch), (LeaderEpoch(5), PartitionEpoch(7)));
        let recovering = if state.recovering { " recovering" } else { "" };
        format!("{} {:?}{recovering} -> {:?}", state.leader, state.isr, elected.recipients)
    }

    #[test]
    fn the_table_of_strategies() {
        let offline = Strategy::Offline { unclean: false };
        assert_eq!(run(offline, &[2, 3], &[], &[1, 2, 3], &[1, 3, 2], false), "2 [3, 2] -> [2, 3]");
        assert_eq!(run(offline, &[2, 3], &[], &[1, 2, 3], &[1], false), "none -> [2, 3]");
        assert_eq!(run(offline, &[2, 3], &[], &[1, 2, 3], &[1], true), "2 [2] recovering -> [2, 3]");
        assert_eq!(run(offline, &[], &[], &[1, 2, 3], &[1], true), "none -> []");
        assert_eq!(run(offline, &[3], &[2], &[1, 2, 3], &[1, 2], false), "none -> [3]");

        assert_eq!(run(Strategy::Preferred, &[1, 2], &[], &[1, 2], &[2, 1], false), "1 [2, 1] -> [1, 2]");
        assert_eq!(run(Strategy::Preferred, &[1, 2], &[], &[1, 2], &[2], false), "none -> [1, 2]");
        assert_eq!(run(Strategy::Preferred, &[2], &[], &[1, 2], &[2, 1], false), "none -> [1, 2]");

        let stop = Strategy::ControlledShutdown;
        assert_eq!(run(stop, &[2, 3], &[1], &[1, 2, 3], &[1, 2, 3], false), "2 [2, 3] -> [1, 2, 3]");
        assert_eq!(run(stop, &[2, 3], &[1], &[1, 2, 3], &[1], false), "none -> [1, 2, 3]");

        assert_eq!(run(Strategy::Reassign, &[1, 2], &[], &[2, 1], &[1, 2], false), "2 [1, 2] -> [2, 1]");
    }
}
