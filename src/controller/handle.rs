//! What the rest of the broker holds of the controller.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering::Relaxed};

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use crate::controller::effect::{Answer, ElectionResults, Snapshot};
use crate::controller::event::{Call, Election, Input};
use crate::error::ErrorCode;
use crate::ids::{BrokerId, TopicName, TopicPartition};
use crate::wire::messages::{
    allocate_producer_ids, alter_partition, alter_partition_reassignments, controlled_shutdown,
    list_partition_reassignments,
};

/// What goes to the driver.
pub(super) enum Command {
    Input(Input),
    Call(Call, oneshot::Sender<Answer>),
}

/// What the driver shows.
#[derive(Default)]
pub(super) struct Shown {
    pub snapshot: ArcSwap<Snapshot>,
    pub queue_size: AtomicUsize,
    pub state: AtomicU8,
    pub channel_queue_size: AtomicUsize,
}

/// A cheap handle to this broker's controller, whether or not it is the active one. A call to one that is not, or that has
/// stopped, is answered NOT_CONTROLLER (ControlledShutdown: STALE_CONTROLLER_EPOCH), as in Kafka.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    shown: Arc<Shown>,
}

impl Handle {
    pub(super) fn new(commands: mpsc::UnboundedSender<Command>, shown: Arc<Shown>) -> Self {
        Self { commands, shown }
    }

    /// Is this broker the active controller?
    pub fn is_active(&self) -> bool {
        self.shown.snapshot.load().active
    }

    /// Whom `/controller` named when this broker last looked.
    pub fn active_controller_id(&self) -> Option<BrokerId> {
        self.shown.snapshot.load().controller
    }

    /// State and gauges of the controller.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shown.snapshot.load_full()
    }

    /// Kafka's number of what the controller is doing; 0 is idle.
    pub fn state(&self) -> u8 {
        self.shown.state.load(Relaxed)
    }

    /// Inputs that the machine has not seen yet (`EventQueueSize`).
    pub fn queue_size(&self) -> usize {
        self.shown.queue_size.load(Relaxed)
    }

    /// Requests to brokers that are queued or in flight (`TotalQueueSize`).
    pub fn channel_queue_size(&self) -> usize {
        self.shown.channel_queue_size.load(Relaxed)
    }

    /// AlterPartition: a leader changes its ISR.
    pub async fn alter_partition(&self, version: i16, request: alter_partition::Request) -> alter_partition::Response {
        match self.call(Call::AlterPartition { version, request }).await {
            Some(Answer::AlterPartition(response)) => response,
            _ => alter_partition::Response { error_code: NOT_CONTROLLER, ..Default::default() },
        }
    }

    /// ControlledShutdown: a broker wants to stop.
    pub async fn controlled_shutdown(&self, request: controlled_shutdown::Request) -> controlled_shutdown::Response {
        match self.call(Call::ControlledShutdown(request)).await {
            Some(Answer::ControlledShutdown(response)) => response,
            _ => controlled_shutdown::Response {
                error_code: ErrorCode::StaleControllerEpoch.code(),
                ..Default::default()
            },
        }
    }

    /// AllocateProducerIds: a broker needs a block of producer ids.
    pub async fn allocate_producer_ids(
        &self,
        request: allocate_producer_ids::Request,
    ) -> allocate_producer_ids::Response {
        match self.call(Call::AllocateProducerIds(request)).await {
            Some(Answer::AllocateProducerIds(response)) => response,
            _ => allocate_producer_ids::Response { error_code: NOT_CONTROLLER, ..Default::default() },
        }
    }

    /// ElectLeaders for these partitions, or all. Does not wait until brokers have heard of the new leaders.
    pub async fn elect_leaders(&self, election: Election, partitions: Option<Vec<TopicPartition>>) -> ElectionResults {
        match self.call(Call::ElectLeaders { election, partitions }).await {
            Some(Answer::ElectLeaders(results)) => results,
            _ => Err(ErrorCode::NotController),
        }
    }

    /// AlterPartitionReassignments.
    pub async fn alter_partition_reassignments(
        &self,
        request: alter_partition_reassignments::Request,
    ) -> alter_partition_reassignments::Response {
        match self.call(Call::AlterPartitionReassignments(request)).await {
            Some(Answer::AlterPartitionReassignments(response)) => response,
            _ => alter_partition_reassignments::Response { error_code: NOT_CONTROLLER, ..Default::default() },
        }
    }

    /// ListPartitionReassignments.
    pub async fn list_partition_reassignments(
        &self,
        request: list_partition_reassignments::Request,
    ) -> list_partition_reassignments::Response {
        match self.call(Call::ListPartitionReassignments(request)).await {
            Some(Answer::ListPartitionReassignments(response)) => response,
            _ => list_partition_reassignments::Response { error_code: NOT_CONTROLLER, ..Default::default() },
        }
    }

    /// `unclean.leader.election.enable` changed, for one topic or as the default of all.
    pub fn unclean_election_changed(&self, topic: Option<TopicName>, enabled: bool) {
        self.input(Input::UncleanElection { topic, enabled });
    }

    /// Stops the controller; the broker's session is still needed for what is under way. Ends when it has stopped.
    pub async fn shutdown(&self) {
        self.input(Input::Shutdown);
        self.commands.closed().await;
    }

    fn input(&self, input: Input) {
        // A driver that is gone needs no inputs.
        if self.commands.send(Command::Input(input)).is_ok() {
            self.shown.queue_size.fetch_add(1, Relaxed);
        }
    }

    async fn call(&self, call: Call) -> Option<Answer> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Call(call, reply)).ok()?;
        self.shown.queue_size.fetch_add(1, Relaxed);
        answer.await.ok()
    }
}

const NOT_CONTROLLER: i16 = ErrorCode::NotController.code();
