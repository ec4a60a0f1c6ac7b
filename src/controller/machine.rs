//! The controller as one deterministic value: `step(inputs) -> effects`.
//!
//! Inside is a single coroutine that owns all state and handles one event after the other to its end, ZooKeeper round
//! trips included, as Kafka's controller-event-thread does. The same inputs give the same effects.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Waker};

use tracing::{error, info, warn};

use crate::config::Release;
use crate::controller::context::Context;
use crate::controller::effect::{Answer, Effect, Snapshot};
use crate::controller::event::{Call, CallId, ControllerState, Event, Input};
use crate::controller::io::{Fail, Io};
use crate::error::ErrorCode;
use crate::ids::BrokerId;
use crate::time::Millis;
use crate::wire::messages::{
    allocate_producer_ids, alter_partition, alter_partition_reassignments, controlled_shutdown,
    list_partition_reassignments,
};
use crate::zk::op::Acl;

/// The settings a controller needs; names are those of the broker settings where there is one.
#[derive(Clone, Debug)]
pub struct Options {
    pub broker_id: BrokerId,
    pub inter_broker_protocol_version: Release,
    pub inter_broker_listener: String,
    /// Listener for the controller's own requests; the inter-broker listener if there is none.
    pub control_plane_listener: Option<String>,
    pub unclean_leader_election_enable: bool,
    pub delete_topic_enable: bool,
    pub auto_leader_rebalance_enable: bool,
    pub leader_imbalance_per_broker_percentage: i32,
    pub leader_imbalance_check_interval_seconds: i64,
    /// ACL of the nodes the controller creates.
    pub acl: Vec<Acl>,
    /// Seed of the topic ids given to topics that have none.
    pub seed: u64,
}

impl Options {
    /// Kafka's defaults for this broker.
    pub fn new(broker_id: BrokerId, seed: u64) -> Self {
        Self {
            broker_id,
            inter_broker_protocol_version: Release::MAX,
            inter_broker_listener: "PLAINTEXT".into(),
            control_plane_listener: None,
            unclean_leader_election_enable: false,
            delete_topic_enable: true,
            auto_leader_rebalance_enable: true,
            leader_imbalance_per_broker_percentage: 10,
            leader_imbalance_check_interval_seconds: 300,
            acl: Acl::open(),
            seed,
        }
    }
}

/// See the module.
pub struct Machine {
    io: Io,
    coroutine: Pin<Box<dyn Future<Output = ()> + Send>>,
    done: bool,
}

impl Machine {
    pub fn new(options: Options) -> Self {
        let io = Io::new(options.seed);
        let controller = Controller::new(options, io.clone());
        Self { io, coroutine: Box::pin(controller.run()), done: false }
    }

    /// Takes the inputs in, works as far as possible, and gives what is to be done, in order. `wall_ms` is the calendar
    /// time; it only gets into JSON.
    pub fn step(&mut self, wall_ms: Millis, inputs: impl IntoIterator<Item = Input>) -> Vec<Effect> {
        self.io.set_wall_ms(wall_ms);
        for input in inputs {
            for dropped in self.io.deliver(input) {
                if let Event::Call { id, call } = dropped {
                    self.io.emit(Effect::Answer { id, answer: refusal(&call) });
                }
            }
        }
        if !self.done {
            let mut context = TaskContext::from_waker(Waker::noop());
            self.done = self.coroutine.as_mut().poll(&mut context).is_ready();
        }
        self.io.take_effects()
    }
}

/// Everything the handlers work on. The handlers are in the files named after their subject.
pub(super) struct Controller {
    pub options: Options,
    pub io: Io,
    pub context: Context,
    /// Whom `/controller` names, as last read.
    pub controller: Option<BrokerId>,
    /// Was this broker elected, and has it not resigned?
    pub active: bool,
    /// Brokers with an open channel.
    pub channels: BTreeSet<BrokerId>,
    /// Brokers whose registration is watched.
    pub watched_brokers: BTreeSet<BrokerId>,
    published: Snapshot,
}

impl Controller {
    fn new(options: Options, io: Io) -> Self {
        Self {
            options,
            io,
            context: Context::default(),
            controller: None,
            active: false,
            channels: BTreeSet::new(),
            watched_brokers: BTreeSet::new(),
            published: Snapshot::default(),
        }
    }

    async fn run(mut self) {
        loop {
            let event = self.io.next_event().await;
            let (name, stop) = (event.describe(), matches!(event, Event::Shutdown));
            self.io.emit(Effect::Working(event.state()));
            let mut outcome = self.process(event).await;
            if outcome == Err(Fail::Moved) {
                info!(target: "kafka.controller", event = name, "Controller moved to another broker when processing event");
                outcome = self.step_back().await;
            }
            match outcome {
                Ok(()) => {}
                Err(Fail::SessionExpired) => {
                    warn!(target: "kafka.controller", event = name, "Session expired when processing event");
                }
                Err(fail) => error!(target: "kafka.controller", event = name, "Error processing event: {fail}"),
            }
            self.publish();
            self.io.emit(Effect::Working(ControllerState::Idle));
            if stop {
                self.io.emit(Effect::Stopped);
                return;
            }
        }
    }

    async fn process(&mut self, event: Event) -> Result<(), Fail> {
        match event {
            Event::Startup | Event::Reelect | Event::ControllerChange => return self.reelect().await,
            Event::RegisterBrokerAndReelect => {
                self.io.register().await?;
                return self.reelect().await;
            }
            Event::Expire => {
                self.controller = None;
                self.resign();
                return Ok(());
            }
            Event::Shutdown => {
                self.resign();
                return Ok(());
            }
            Event::Call { id, call } => return self.call(id, call).await,
            Event::UncleanLeaderElection { topic, enabled } => {
                return self.unclean_leader_election(topic, enabled).await;
            }
            _ if !self.active => return Ok(()),
            Event::BrokerChange => self.broker_change().await,
            Event::BrokerModifications(id) => self.broker_modifications(id).await,
            Event::TopicChange => self.topic_change().await,
            Event::PartitionModifications(topic) => self.partition_modifications(topic).await,
            Event::TopicDeletion => self.topic_deletion().await,
            Event::ZkPartitionReassignment => self.zk_reassignment().await.map(|_| ()),
            Event::ZkReplicaLeaderElection => self.zk_leader_election().await,
            Event::AutoPreferredReplicaLeaderElection => self.auto_leader_rebalance().await,
            Event::IsrChangeNotification => self.isr_change_notification().await,
            Event::LogDirEventNotification => self.log_dir_event_notification().await,
            Event::Response { term, broker, answer } => self.response(term, broker, answer).await,
        }
    }

    async fn call(&mut self, id: CallId, call: Call) -> Result<(), Fail> {
        if !self.active {
            self.answer(id, refusal(&call));
            return Ok(());
        }
        match call {
            Call::AlterPartition { version, request } => self.alter_partition(id, version, request).await,
            Call::ControlledShutdown(request) => self.controlled_shutdown(id, request).await,
            Call::AllocateProducerIds(request) => self.allocate_producer_ids(id, request).await,
            Call::ElectLeaders { election, partitions } => self.elect_leaders(id, election, partitions).await,
            Call::AlterPartitionReassignments(request) => self.alter_reassignments(id, request).await,
            Call::ListPartitionReassignments(request) => {
                let response = self.list_reassignments(request);
                self.answer(id, Answer::ListPartitionReassignments(response));
                Ok(())
            }
        }
    }

    pub fn answer(&self, id: CallId, answer: Answer) {
        self.io.emit(Effect::Answer { id, answer });
    }

    /// Tells the rest of the broker what has changed, if anything has.
    pub fn publish(&mut self) {
        let snapshot = self.snapshot();
        if snapshot != self.published {
            self.published = snapshot.clone();
            self.io.emit(Effect::Publish(Arc::new(snapshot)));
        }
    }

    fn snapshot(&self) -> Snapshot {
        if !self.active {
            return Snapshot { controller: self.controller, ..Snapshot::default() };
        }
        let context = &self.context;
        let (replicas_to_delete, replicas_ineligible_to_delete) = self.replicas_to_delete();
        Snapshot {
            active: true,
            controller: self.controller,
            epoch: context.epoch.0,
            active_brokers: context.brokers().count(),
            topics: context.topics().count(),
            partitions: context.led_partitions(),
            offline_partitions: context.offline_partitions(),
            preferred_replica_imbalance: context.preferred_replica_imbalance(),
            topics_to_delete: context.queued_for_deletion().len(),
            replicas_to_delete,
            topics_ineligible_to_delete: context.deletion_ineligible.len(),
            replicas_ineligible_to_delete,
            reassigning: context.being_reassigned.len(),
        }
    }
}

/// The answer to a call that reaches a broker that is not the controller, or no longer.
fn refusal(call: &Call) -> Answer {
    let not_controller = ErrorCode::NotController.code();
    match call {
        Call::AlterPartition { .. } => {
            Answer::AlterPartition(alter_partition::Response { error_code: not_controller, ..Default::default() })
        }
        // Kafka throws ControllerMovedException there.
        Call::ControlledShutdown(_) => Answer::ControlledShutdown(controlled_shutdown::Response {
            error_code: ErrorCode::StaleControllerEpoch.code(),
            ..Default::default()
        }),
        Call::AllocateProducerIds(_) => Answer::AllocateProducerIds(allocate_producer_ids::Response {
            error_code: not_controller,
            ..Default::default()
        }),
        Call::ElectLeaders { .. } => Answer::ElectLeaders(Err(ErrorCode::NotController)),
        Call::AlterPartitionReassignments(_) => {
            Answer::AlterPartitionReassignments(alter_partition_reassignments::Response {
                error_code: not_controller,
                ..Default::default()
            })
        }
        Call::ListPartitionReassignments(_) => {
            Answer::ListPartitionReassignments(list_partition_reassignments::Response {
                error_code: not_controller,
                ..Default::default()
            })
        }
    }
}
