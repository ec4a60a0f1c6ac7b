//! What the machine wants done. The driver carries effects out in the order in which they are given.

use std::sync::Arc;

use crate::controller::batch::Rpc;
use crate::controller::event::{CallId, ControllerState};
use crate::error::ErrorCode;
use crate::ids::{BrokerEpoch, BrokerId, ControllerEpoch, TopicPartition};
use crate::time::Millis;
use crate::wire::messages::{
    allocate_producer_ids, alter_partition, alter_partition_reassignments, controlled_shutdown,
    list_partition_reassignments,
};
use crate::zk::op::Op;

/// See the module.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Run these operations, in this order, pipelined; answer with all outcomes.
    Zk {
        id: u64,
        ops: Vec<Op>,
    },
    /// Register this broker under `/brokers/ids`, as after a start; answer with the broker epoch.
    Register {
        id: u64,
    },
    /// Start talking to a broker.
    OpenChannel(Target),
    /// Stop talking to a broker; what is queued for it is thrown away.
    CloseChannel(BrokerId),
    /// Stop talking to all brokers.
    CloseChannels,
    /// Send to a broker whose channel is open, after everything sent before.
    Send {
        term: ControllerEpoch,
        broker: BrokerId,
        rpc: Rpc,
    },
    /// Answer a request handler.
    Answer {
        id: CallId,
        answer: Answer,
    },
    /// Give [`super::Input::TimerEnded`] after this time; an older timer is forgotten. The only timer is that of the leader
    /// rebalance.
    StartTimer {
        after_ms: Millis,
    },
    CancelTimer,
    /// What others may see of the controller has changed.
    Publish(Arc<Snapshot>),
    /// The work on an event begins (a state other than idle) or ends; for the timers of the metrics.
    Working(ControllerState),
    /// A leader was elected that was not in the ISR.
    UncleanElection(TopicPartition),
    /// The machine has come to its end after [`super::Input::Shutdown`].
    Stopped,
}

/// A broker to talk to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    pub id: BrokerId,
    pub epoch: BrokerEpoch,
    /// Name of the listener that controllers use.
    pub listener: String,
    /// Security protocol of the listener.
    pub protocol: String,
    pub host: String,
    pub port: i32,
}

/// The answer to a [`super::Call`], of the same kind.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    AlterPartition(alter_partition::Response),
    ControlledShutdown(controlled_shutdown::Response),
    AllocateProducerIds(allocate_producer_ids::Response),
    ElectLeaders(ElectionResults),
    AlterPartitionReassignments(alter_partition_reassignments::Response),
    ListPartitionReassignments(list_partition_reassignments::Response),
}

/// Outcome of ElectLeaders: an error for the whole request (NOT_CONTROLLER), or the new leader, or the error and its
/// text, of each partition. Elections that were not needed are among the errors; a request for all partitions leaves
/// them out of its response.
pub type ElectionResults = Result<Vec<(TopicPartition, Result<BrokerId, (ErrorCode, String)>)>, ErrorCode>;

/// What the rest of the broker may see of the controller; gauges are 0 on other brokers, as in Kafka.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// Is this broker the controller?
    pub active: bool,
    /// Whom `/controller` names.
    pub controller: Option<BrokerId>,
    /// Term of this controller; 0 if not active.
    pub epoch: i32,
    /// Registered brokers, those shutting down included.
    pub active_brokers: usize,
    pub topics: usize,
    /// Partitions with leadership.
    pub partitions: i64,
    pub offline_partitions: i64,
    pub preferred_replica_imbalance: i64,
    pub topics_to_delete: usize,
    pub replicas_to_delete: usize,
    pub topics_ineligible_to_delete: usize,
    pub replicas_ineligible_to_delete: usize,
    /// Partitions being reassigned.
    pub reassigning: usize,
}
