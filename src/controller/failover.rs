//! Who is the controller: election, failover, resignation.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{error, info};

use crate::controller::context::Context;
use crate::controller::effect::Effect;
use crate::controller::event::Event;
use crate::controller::io::Fail;
use crate::controller::machine::Controller;
use crate::controller::store::{exists, set};
use crate::ids::{BrokerId, ControllerEpoch, TopicName, TopicPartition, ZkVersion};
use crate::zk::data::{self, Controller as ControllerNode, Data, FeatureNode};
use crate::zk::op::{CreateMode, Op, Reply, Write, ZkError};
use crate::zk::path;

/// Time between a failover and the first look at the balance of leaders.
const FIRST_REBALANCE_MS: i64 = 5_000;

impl Controller {
    /// `/controller` changed, vanished, or the broker has just come up: see who it is, and stand if it is nobody.
    pub async fn reelect(&mut self) -> Result<(), Fail> {
        self.maybe_resign().await?;
        if self.controller.is_none() { self.elect().await } else { Ok(()) }
    }

    /// Arms the watch, reads `/controller`, and resigns if this broker was the controller and is no longer.
    async fn maybe_resign(&mut self) -> Result<(), Fail> {
        // The watch is armed by a node that does not exist, too: first exists, then the data.
        self.is_there(path::CONTROLLER, true).await?;
        self.read_controller().await?;
        if self.active && self.controller != Some(self.options.broker_id) {
            self.resign();
        }
        Ok(())
    }

    /// Reads whom `/controller` names, and gives the version of the node.
    async fn read_controller(&mut self) -> Result<Option<ZkVersion>, Fail> {
        let read = self.read(path::CONTROLLER, true).await?;
        self.controller = match &read {
            None => None,
            Some((bytes, _)) => {
                let node = ControllerNode::decode(bytes.as_deref().unwrap_or_default())
                    .map_err(|error| Fail::Other(format!("{}: {error}", path::CONTROLLER)))?;
                Some(node.broker_id)
            }
        };
        Ok(read.map(|(_, stat)| ZkVersion(stat.version)))
    }

    /// Stands for election unless there is a controller.
    async fn elect(&mut self) -> Result<(), Fail> {
        let me = self.options.broker_id;
        self.read_controller().await?;
        if let Some(other) = self.controller {
            info!(target: "kafka.controller", controller = other.0, "Broker has been elected as the controller, so stopping the election process");
            return Ok(());
        }
        let (epoch, version) = self.read_or_create_epoch().await?;
        let next = ControllerEpoch(epoch.0 + 1);
        let timestamp_ms = self.io.wall_ms();
        let node = ControllerNode { broker_id: me, timestamp_ms, kraft_controller_epoch: -1 };
        let claim = Op::Multi(vec![
            self.create(path::CONTROLLER, Some(node.encode()), CreateMode::Ephemeral),
            set(path::CONTROLLER_EPOCH, data::encode_controller_epoch(next), version),
        ]);
        let results = match self.io.zk(claim).await? {
            Ok(Reply::Multi(results)) => results,
            Ok(other) => return Err(Fail::Other(format!("{other:?} answers no multi"))),
            Err(error) => return Err(Fail::Zk { path: path::CONTROLLER.into(), error }),
        };
        let won = match results.as_slice() {
            [Ok(_), Ok(Reply::Set { stat })] => Some(ZkVersion(stat.version)),
            [Err(ZkError::NodeExists | ZkError::BadVersion), _] | [_, Err(ZkError::BadVersion)] => {
                self.won_after_all(next).await?
            }
            [Err(error), _] | [_, Err(error)] => {
                return Err(Fail::Zk { path: path::CONTROLLER.into(), error: *error });
            }
            _ => return Err(Fail::Other("the claim has a strange answer".into())),
        };
        let Some(epoch_zk_version) = won else {
            match self.controller {
                Some(other) => {
                    info!(target: "kafka.controller", controller = other.0, "Broker was elected as controller instead of this one")
                }
                None => {
                    info!(target: "kafka.controller", "A controller has been elected but just resigned, this will result in another round of election")
                }
            }
            return Ok(());
        };
        self.controller = Some(me);
        self.active = true;
        self.context = Context::elected(next, epoch_zk_version);
        info!(target: "kafka.controller", "{me} successfully elected as the controller. Epoch incremented to {next} and epoch zk version is now {epoch_zk_version}");
        self.publish();
        match self.failover().await {
            Err(fail @ Fail::Other(_) | fail @ Fail::Zk { .. }) => {
                error!(target: "kafka.controller", "Error while electing or becoming controller on broker {me}. Trigger controller movement immediately: {fail}");
                self.move_controller().await
            }
            done => done,
        }
    }

    /// A claim was refused: was it because an earlier try of the same claim was done and its reply lost? If so, the
    /// version of `/controller_epoch`; else the broker that won is remembered.
    async fn won_after_all(&mut self, claimed: ControllerEpoch) -> Result<Option<ZkVersion>, Fail> {
        self.read_controller().await?;
        if self.controller != Some(self.options.broker_id) {
            return Ok(None);
        }
        let read = self.read(path::CONTROLLER_EPOCH, false).await?;
        let Some((bytes, stat)) = read else { return Err(Fail::Moved) };
        let epoch = data::decode_controller_epoch(&bytes.unwrap_or_default())
            .map_err(|error| Fail::Other(error.to_string()))?;
        if epoch == claimed { Ok(Some(ZkVersion(stat.version))) } else { Err(Fail::Moved) }
    }

    async fn read_or_create_epoch(&self) -> Result<(ControllerEpoch, ZkVersion), Fail> {
        loop {
            if let Some((bytes, stat)) = self.read(path::CONTROLLER_EPOCH, false).await? {
                let epoch = data::decode_controller_epoch(&bytes.unwrap_or_default())
                    .map_err(|error| Fail::Other(error.to_string()))?;
                return Ok((epoch, ZkVersion(stat.version)));
            }
            let first = data::encode_controller_epoch(ControllerEpoch(0));
            let create = self.create(path::CONTROLLER_EPOCH, Some(first), CreateMode::Persistent);
            match self.io.zk(Op::Write(create)).await? {
                Ok(_) => return Ok((ControllerEpoch(0), ZkVersion(0))),
                Err(ZkError::NodeExists) => continue,
                Err(error) => return Err(Fail::Zk { path: path::CONTROLLER_EPOCH.into(), error }),
            }
        }
    }

    /// The work of a new controller. The order is Kafka's: mixed clusters depend on it.
    async fn failover(&mut self) -> Result<(), Fail> {
        self.enable_features().await?;

        info!(target: "kafka.controller", "Registering handlers");
        self.is_there(path::PREFERRED_REPLICA_ELECTION, true).await?;
        self.is_there(path::REASSIGN_PARTITIONS, true).await?;
        info!(target: "kafka.controller", "Deleting log dir event notifications");
        self.delete_children(path::LOG_DIR_EVENTS).await?;
        info!(target: "kafka.controller", "Deleting isr change notifications");
        self.delete_children(path::ISR_CHANGES).await?;

        info!(target: "kafka.controller", "Initializing controller context");
        self.load().await?;
        info!(target: "kafka.controller", "Fetching topic deletions in progress");
        let (deletions, ineligible) = self.read_deletions().await?;
        info!(target: "kafka.controller", "Initializing topic deletion manager");
        self.init_deletions(deletions, ineligible).await?;

        // Brokers must know where the leaders are before they are told to follow them.
        info!(target: "kafka.controller", "Sending update metadata request");
        self.send_update_metadata(self.context.registered(), &[]);
        self.start_replicas().await?;
        self.start_partitions().await?;
        info!(target: "kafka.controller", epoch = self.context.epoch.0, "Ready to serve as the new controller");

        let resumed = self.zk_reassignment().await?;
        self.resume_reassignments(|partition, _| !resumed.contains(partition)).await?;
        self.resume_deletions().await?;
        let pending = self.read_preferred_election().await?;
        self.run_pending_preferred_election(pending).await?;
        if self.options.auto_leader_rebalance_enable {
            info!(target: "kafka.controller", "Starting the controller scheduler");
            self.io.emit(Effect::StartTimer { after_ms: FIRST_REBALANCE_MS });
        }
        Ok(())
    }

    /// Creates `/feature`, or flips its status to what the inter-broker protocol says.
    async fn enable_features(&mut self) -> Result<(), Fail> {
        let protocol = self.options.inter_broker_protocol_version;
        let enabled = protocol.has_alter_partition();
        let version = if protocol.has_feature_v2() { 2 } else { 1 };
        let Some((bytes, _)) = self.read(path::FEATURE, false).await? else {
            let node = FeatureNode { version, enabled, features: BTreeMap::new() };
            let create = self.create(path::FEATURE, Some(node.encode()), CreateMode::Persistent);
            return match self.io.zk(Op::Write(create)).await? {
                Ok(_) | Err(ZkError::NodeExists) => Ok(()),
                Err(error) => Err(Fail::Zk { path: path::FEATURE.into(), error }),
            };
        };
        let current = FeatureNode::decode(&bytes.unwrap_or_default())
            .map_err(|error| Fail::Other(format!("{}: {error}", path::FEATURE)))?;
        // Features are kept when they stay enabled; without them there is nothing to finalise.
        let features = if enabled && current.enabled { current.features.clone() } else { BTreeMap::new() };
        let wanted = FeatureNode { version, enabled, features };
        if wanted == current {
            return Ok(());
        }
        match self.io.zk(Op::Write(set(path::FEATURE, wanted.encode(), ZkVersion::NONE))).await? {
            Ok(_) => Ok(()),
            Err(error) => Err(Fail::Zk { path: path::FEATURE.into(), error }),
        }
    }

    async fn delete_children(&mut self, parent: &str) -> Result<(), Fail> {
        let names = self.children(parent, true).await?;
        self.fenced_delete(names.iter().map(|name| path::join(parent, name))).await
    }

    /// Reads brokers, topics and partition states, and opens the channels.
    async fn load(&mut self) -> Result<(), Fail> {
        self.watched_brokers.clear();
        let brokers = self.read_brokers().await?;
        info!(target: "kafka.controller", brokers = ?brokers.keys(), "Initialized broker epochs cache");
        for broker in brokers.into_values() {
            self.context.add_broker(broker);
        }
        let names: Vec<TopicName> =
            self.children(path::BROKER_TOPICS, true).await?.into_iter().map(TopicName::from).collect();
        self.learn_topics(&names).await?;
        let moving = |(partition, known): (TopicPartition, &crate::controller::context::Partition)| {
            known.assignment.is_being_reassigned().then_some(partition)
        };
        self.context.being_reassigned = self.context.partitions().filter_map(moving).collect();

        self.watch_brokers(self.context.registered()).await?;
        let partitions: Vec<TopicPartition> = self.context.partitions().map(|(partition, _)| partition).collect();
        self.refresh_leadership(&partitions).await?;
        self.channels.clear();
        for id in self.context.registered() {
            self.open_channel(id);
        }
        let live: BTreeSet<BrokerId> = self.context.registered();
        info!(target: "kafka.controller", brokers = ?live, "Currently active brokers in the cluster");
        Ok(())
    }

    /// Reads these states into the cache; what has none is left as it is.
    pub async fn refresh_leadership(&mut self, partitions: &[TopicPartition]) -> Result<(), Fail> {
        let states = self.read_states(partitions).await?;
        for (partition, read) in partitions.iter().zip(states) {
            match read {
                Ok(Some(led)) => self.context.set_leadership(partition, led.state, led.controller_epoch),
                Ok(None) => {}
                Err(error) => return Err(Fail::Zk { path: path::state(partition), error }),
            }
        }
        Ok(())
    }

    /// Arms watches on the registrations of these brokers.
    pub async fn watch_brokers(&mut self, ids: BTreeSet<BrokerId>) -> Result<(), Fail> {
        for id in &ids {
            self.watched_brokers.insert(*id);
            self.io.zk(exists(path::broker(*id), true)).await?.ok();
        }
        Ok(())
    }

    /// Stops being the controller. Touches nothing in ZooKeeper.
    pub fn resign(&mut self) {
        if !self.active {
            return;
        }
        info!(target: "kafka.controller", epoch = self.context.epoch.0, "Resigning");
        self.active = false;
        self.watched_brokers.clear();
        self.channels.clear();
        self.context = Context::default();
        self.io.emit(Effect::CancelTimer);
        self.io.emit(Effect::CloseChannels);
        self.publish();
        info!(target: "kafka.controller", "Resigned");
    }

    /// The failover did not work out: let somebody else try, or this broker again.
    async fn move_controller(&mut self) -> Result<(), Fail> {
        self.read_controller().await?;
        if self.controller != Some(self.options.broker_id) {
            self.resign();
            return Ok(());
        }
        let write = Write::Delete { path: path::CONTROLLER.into(), version: ZkVersion::NONE };
        let fence = Write::Check { path: path::CONTROLLER_EPOCH.into(), version: self.context.epoch_zk_version };
        self.controller = None;
        self.resign();
        match self.io.zk(Op::Multi(vec![fence, write])).await? {
            Ok(Reply::Multi(results)) if matches!(results.first(), Some(Err(ZkError::BadVersion))) => Err(Fail::Moved),
            _ => Ok(()),
        }
    }

    /// A fence did not hold. Usually another broker has been elected; but if `/controller` still names this one, then
    /// somebody has written `/controller_epoch` by hand, and nothing this controller does will ever work again. Kafka
    /// stays so until `/controller` is deleted; here the controller deletes it and stands again.
    pub async fn step_back(&mut self) -> Result<(), Fail> {
        let was_active = self.active;
        self.maybe_resign().await?;
        if !was_active || !self.active {
            return if self.controller.is_none() { self.stand_again().await } else { Ok(()) };
        }
        self.resign();
        if let Some(version) = self.read_controller().await?
            && self.controller == Some(self.options.broker_id)
        {
            let write = Write::Delete { path: path::CONTROLLER.into(), version };
            info!(target: "kafka.controller", "Fenced although still named as the controller: deleting {}", path::CONTROLLER);
            self.io.zk(Op::Write(write)).await?.ok();
        }
        self.controller = None;
        self.stand_again().await
    }

    /// An election of its own turn, so that its failure has a handler.
    async fn stand_again(&mut self) -> Result<(), Fail> {
        self.io.enqueue(Event::Reelect);
        Ok(())
    }
}
