//! What happens to the controller: the inputs of the machine and the events it makes of them.

use crate::controller::batch::Answered;
use crate::controller::io::Settled;
use crate::ids::{BrokerId, ControllerEpoch, TopicName, TopicPartition};
use crate::wire::messages::{
    allocate_producer_ids, alter_partition, alter_partition_reassignments, controlled_shutdown,
    list_partition_reassignments,
};
use crate::zk::op::{WatchEvent, WatchKind};
use crate::zk::path;

/// Names one call of a request handler until its answer.
pub type CallId = u64;

/// What the driver tells the machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// The broker is registered and wants to take part.
    Start,
    /// The answer to [`super::Effect::Zk`] or [`super::Effect::Register`]. Exactly one comes for each; one that comes
    /// after [`Input::Expired`] is dropped.
    Settled { id: u64, result: Settled },
    /// A watch fired. Also said of every armed watch after a reconnect, whether or not something changed.
    Watch(WatchEvent),
    /// The session is gone, and with it `/controller`.
    Expired,
    /// There is a new session.
    Established,
    /// A broker answered.
    Response { term: ControllerEpoch, broker: BrokerId, answer: Answered },
    /// The timer of [`super::Effect::StartTimer`] ended.
    TimerEnded,
    /// A request handler asks.
    Call { id: CallId, call: Call },
    /// `unclean.leader.election.enable` changed, for all topics or for one.
    UncleanElection { topic: Option<TopicName>, enabled: bool },
    /// The broker stops: nothing is done any more.
    Shutdown,
}

/// What a request handler may ask of the controller.
#[derive(Clone, Debug)]
pub enum Call {
    AlterPartition { version: i16, request: alter_partition::Request },
    ControlledShutdown(controlled_shutdown::Request),
    AllocateProducerIds(allocate_producer_ids::Request),
    ElectLeaders { election: Election, partitions: Option<Vec<TopicPartition>> },
    AlterPartitionReassignments(alter_partition_reassignments::Request),
    ListPartitionReassignments(list_partition_reassignments::Request),
}

/// What kind of leader ElectLeaders asks for (KIP-460).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Election {
    Preferred,
    Unclean,
}

/// One turn of the machine. Named and numbered as Kafka's ControllerEvent and ControllerState.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Startup,
    ControllerChange,
    Reelect,
    RegisterBrokerAndReelect,
    Expire,
    BrokerChange,
    BrokerModifications(BrokerId),
    TopicChange,
    PartitionModifications(TopicName),
    TopicDeletion,
    ZkPartitionReassignment,
    ZkReplicaLeaderElection,
    AutoPreferredReplicaLeaderElection,
    IsrChangeNotification,
    LogDirEventNotification,
    UncleanLeaderElection { topic: Option<TopicName>, enabled: bool },
    Response { term: ControllerEpoch, broker: BrokerId, answer: Answered },
    Call { id: CallId, call: Call },
    Shutdown,
}

impl Event {
    /// The event a fired watch stands for; none if it is not the controller's.
    pub fn of_watch(event: &WatchEvent) -> Option<Event> {
        let deleted = event.kind == WatchKind::Deleted;
        match event.path.as_str() {
            path::CONTROLLER if deleted => Some(Event::Reelect),
            path::CONTROLLER => Some(Event::ControllerChange),
            // The rest acts on what is there: a node that went away is noticed by its parent.
            _ if deleted => None,
            path::BROKER_IDS => Some(Event::BrokerChange),
            path::BROKER_TOPICS => Some(Event::TopicChange),
            path::DELETE_TOPICS => Some(Event::TopicDeletion),
            path::ISR_CHANGES => Some(Event::IsrChangeNotification),
            path::LOG_DIR_EVENTS => Some(Event::LogDirEventNotification),
            path::REASSIGN_PARTITIONS => Some(Event::ZkPartitionReassignment),
            path::PREFERRED_REPLICA_ELECTION => Some(Event::ZkReplicaLeaderElection),
            other => path::parse_broker(other)
                .map(Event::BrokerModifications)
                .or_else(|| path::parse_topic(other).map(|topic| Event::PartitionModifications(topic.into()))),
        }
    }

    /// Kafka's state of the controller while it works on this event.
    pub fn state(&self) -> ControllerState {
        use ControllerState as State;
        match self {
            Self::Startup | Self::ControllerChange | Self::Reelect | Self::RegisterBrokerAndReelect | Self::Expire => {
                State::ControllerChange
            }
            Self::BrokerChange | Self::BrokerModifications(_) => State::BrokerChange,
            Self::TopicChange | Self::PartitionModifications(_) => State::TopicChange,
            Self::TopicDeletion => State::TopicDeletion,
            Self::ZkPartitionReassignment => State::AlterPartitionReassignment,
            Self::AutoPreferredReplicaLeaderElection => State::AutoLeaderBalance,
            Self::ZkReplicaLeaderElection => State::ManualLeaderBalance,
            Self::IsrChangeNotification => State::IsrChange,
            Self::LogDirEventNotification => State::LogDirChange,
            Self::UncleanLeaderElection { topic: None, .. } => State::UncleanLeaderElectionEnable,
            Self::UncleanLeaderElection { .. } => State::TopicUncleanLeaderElectionEnable,
            Self::Response { answer, .. } => match answer {
                Answered::LeaderAndIsr(_) => State::LeaderAndIsrResponseReceived,
                Answered::UpdateMetadata(_) => State::UpdateMetadataResponseReceived,
                Answered::StopReplica { .. } => State::TopicDeletion,
            },
            Self::Call { call, .. } => match call {
                Call::AlterPartition { .. } => State::IsrChange,
                Call::ControlledShutdown(_) => State::ControlledShutdown,
                Call::AllocateProducerIds(_) => State::Idle,
                Call::ElectLeaders { .. } => State::ManualLeaderBalance,
                Call::AlterPartitionReassignments(_) => State::AlterPartitionReassignment,
                Call::ListPartitionReassignments(_) => State::ListPartitionReassignment,
            },
            Self::Shutdown => State::ControllerShutdown,
        }
    }

    /// For logs: the event in one line, without the bodies of requests.
    pub fn describe(&self) -> String {
        match self {
            Self::Response { broker, answer, .. } => format!("{}ResponseReceived({broker})", answer.name()),
            Self::Call { call, .. } => call.name().to_owned(),
            other => format!("{other:?}"),
        }
    }
}

impl Call {
    /// Kafka's name of the request.
    pub fn name(&self) -> &'static str {
        match self {
            Self::AlterPartition { .. } => "AlterPartitionReceived",
            Self::ControlledShutdown(_) => "ControlledShutdown",
            Self::AllocateProducerIds(_) => "AllocateProducerIds",
            Self::ElectLeaders { .. } => "ReplicaLeaderElection",
            Self::AlterPartitionReassignments(_) => "ApiPartitionReassignment",
            Self::ListPartitionReassignments(_) => "ListPartitionReassignments",
        }
    }
}

/// What the controller is busy with; the numbers are those of the metric `ControllerState`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum ControllerState {
    #[default]
    Idle = 0,
    ControllerChange = 1,
    BrokerChange = 2,
    TopicChange = 3,
    TopicDeletion = 4,
    AlterPartitionReassignment = 5,
    AutoLeaderBalance = 6,
    ManualLeaderBalance = 7,
    ControlledShutdown = 8,
    IsrChange = 9,
    LeaderAndIsrResponseReceived = 10,
    LogDirChange = 11,
    ControllerShutdown = 12,
    UncleanLeaderElectionEnable = 13,
    TopicUncleanLeaderElectionEnable = 14,
    ListPartitionReassignment = 15,
    UpdateMetadataResponseReceived = 16,
}
