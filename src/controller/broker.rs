//! Brokers that come, go, come back, or lose a log directory.

use std::collections::{BTreeMap, BTreeSet};

use tracing::info;

use crate::controller::batch::log_error;
use crate::controller::context::{Broker, PartitionState, Replica, ReplicaState, join};
use crate::controller::io::Fail;
use crate::controller::machine::Controller;
use crate::controller::store::{decode_broker, get, node};
use crate::error::ErrorCode;
use crate::ids::{BrokerId, TopicPartition};
use crate::wire::messages::leader_and_isr;
use crate::zk::data::{Data, LogDirEvent};
use crate::zk::path;

/// What differs between the brokers known and those listed.
#[derive(Debug, PartialEq, Eq, Default)]
struct Change {
    new: BTreeSet<BrokerId>,
    /// Listed again with a higher epoch: gone and back between two looks.
    bounced: BTreeSet<BrokerId>,
    dead: BTreeSet<BrokerId>,
}

impl Change {
    fn between<'a>(known: impl Iterator<Item = &'a Broker>, listed: &BTreeMap<BrokerId, Broker>) -> Self {
        let mut change = Change { new: listed.keys().copied().collect(), ..Change::default() };
        for old in known {
            change.new.remove(&old.id);
            match listed.get(&old.id) {
                None => change.dead.insert(old.id),
                Some(now) if now.epoch > old.epoch => change.bounced.insert(old.id),
                Some(_) => false,
            };
        }
        change
    }
}

impl Controller {
    /// `/brokers/ids` changed. Compares ids *and* broker epochs: a broker that bounced must get full LeaderAndIsr again
    /// although the set of ids is the same.
    pub async fn broker_change(&mut self) -> Result<(), Fail> {
        let listed = self.read_brokers().await?;
        let Change { new, bounced, dead } = Change::between(self.context.brokers(), &listed);
        info!(target: "kafka.controller", "Newly added brokers: {}, deleted brokers: {}, bounced brokers: {}, all live brokers: {}", join(&new), join(&dead), join(&bounced), join(listed.keys()));
        for id in bounced.iter().chain(&dead) {
            self.close_channel(*id);
        }
        self.add_brokers(&listed, &new);
        self.brokers_up(&new).await?;

        self.remove_brokers(&bounced);
        self.brokers_down(&bounced).await?;
        self.add_brokers(&listed, &bounced);
        self.brokers_up(&bounced).await?;

        self.remove_brokers(&dead);
        self.brokers_down(&dead).await?;
        if !(new.is_empty() && bounced.is_empty() && dead.is_empty()) {
            let epochs = self.context.brokers().map(|broker| format!("{} -> {}", broker.id, broker.epoch));
            info!(target: "kafka.controller", "Updated broker epochs cache: {}", join(epochs));
        }
        Ok(())
    }

    fn add_brokers(&mut self, listed: &BTreeMap<BrokerId, Broker>, ids: &BTreeSet<BrokerId>) {
        for id in ids {
            if let Some(broker) = listed.get(id) {
                self.context.add_broker(broker.clone());
                self.open_channel(*id);
            }
        }
    }

    fn remove_brokers(&mut self, ids: &BTreeSet<BrokerId>) {
        for id in ids {
            self.context.remove_broker(*id);
        }
    }

    /// onBrokerStartup.
    async fn brokers_up(&mut self, ids: &BTreeSet<BrokerId>) -> Result<(), Fail> {
        if ids.is_empty() {
            return Ok(());
        }
        info!(target: "kafka.controller", "New broker startup callback for {}", join(ids));
        for id in ids {
            self.context.offline_dirs.remove(id);
        }
        // The others must know the newcomers before anything is moved to them, and the newcomers everything.
        let others = self.context.registered().difference(ids).copied().collect();
        self.send_update_metadata(others, &[]);
        self.send_update_metadata(ids.clone(), &self.context.partitions_with_leadership());
        let replicas = self.context.replicas_on(ids);
        self.move_replicas(replicas.clone(), ReplicaState::Online).await?;
        self.elect_leaderless().await?;
        self.resume_reassignments(|_, assignment| assignment.target().iter().any(|id| ids.contains(id))).await?;
        let topics: BTreeSet<_> = replicas
            .into_iter()
            .map(|replica| replica.partition.topic)
            .filter(|topic| self.context.is_queued_for_deletion(topic))
            .collect();
        if !topics.is_empty() {
            info!(target: "kafka.controller", "Some replicas for topics scheduled for deletion {} are on the newly restarted brokers {}. Signaling restart of topic deletion for these topics", join(&topics), join(ids));
            self.resume_deletion_of(&topics).await?;
        }
        self.watch_brokers(ids.clone()).await
    }

    /// onBrokerFailure.
    async fn brokers_down(&mut self, ids: &BTreeSet<BrokerId>) -> Result<(), Fail> {
        if ids.is_empty() {
            return Ok(());
        }
        info!(target: "kafka.controller", "Broker failure callback for {}", join(ids));
        for id in ids {
            self.context.offline_dirs.remove(id);
            if self.context.shutting_down.remove(id) {
                info!(target: "kafka.controller", "Removed {id} from list of shutting down brokers.");
            }
        }
        let replicas = self.context.replicas_on(ids);
        self.replicas_became_offline(replicas).await?;
        for id in ids {
            self.watched_brokers.remove(id);
        }
        Ok(())
    }

    /// onReplicasBecomeOffline: new leaders first, then the replicas leave the ISRs.
    async fn replicas_became_offline(&mut self, replicas: Vec<Replica>) -> Result<(), Fail> {
        let (deleting, living): (Vec<Replica>, Vec<Replica>) =
            replicas.into_iter().partition(|replica| self.context.is_queued_for_deletion(&replica.partition.topic));
        let leaderless = self.context.partitions_with_offline_leader();
        self.move_partitions(&leaderless, PartitionState::Offline);
        let elections = self.elect_leaderless().await?;
        let told = !living.is_empty() || elections.values().any(Result::is_ok);
        self.move_replicas(living, ReplicaState::Offline).await?;
        if !deleting.is_empty() {
            self.fail_replica_deletion(deleting).await?;
        }
        if !told {
            // Nothing that was sent says that the broker is gone.
            self.send_update_metadata(self.context.registered(), &[]);
        }
        Ok(())
    }

    /// A registration's data changed: other listeners, for example.
    pub async fn broker_modifications(&mut self, id: BrokerId) -> Result<(), Fail> {
        let Some(known) = self.context.broker(id).cloned() else { return Ok(()) };
        let Some(read) = self.read(&path::broker(id), true).await? else { return Ok(()) };
        let Some(now) = decode_broker(id, read) else { return Ok(()) };
        if now.endpoints != known.endpoints {
            info!(target: "kafka.controller", broker = id.0, "Updated broker metadata");
            // The epoch is that of the life that BrokerChange has seen.
            self.context.add_broker(Broker { epoch: known.epoch, ..now });
            self.send_update_metadata(self.context.registered(), &[]);
        }
        Ok(())
    }

    /// Brokers lost log directories: LeaderAndIsr to them makes them say which replicas are gone.
    pub async fn log_dir_event_notification(&mut self) -> Result<(), Fail> {
        let names = self.children(path::LOG_DIR_EVENTS, true).await?;
        let paths: Vec<String> = names.iter().map(|name| path::join(path::LOG_DIR_EVENTS, name)).collect();
        let reads = paths.iter().map(|path| get(path.clone(), false)).collect();
        let mut brokers = BTreeSet::new();
        for (path, outcome) in paths.iter().zip(self.io.zk_all(reads).await?) {
            if let Some((data, _)) = node(path, outcome)?
                && let Ok(event) = LogDirEvent::decode(&data.unwrap_or_default())
            {
                brokers.insert(event.broker);
            }
        }
        if !brokers.is_empty() {
            let replicas = self.context.replicas_on(&brokers);
            self.move_replicas(replicas, ReplicaState::Online).await?;
        }
        self.fenced_delete(paths).await
    }

    /// The answer says which replicas lie in log directories that failed.
    pub async fn leader_and_isr_response(
        &mut self,
        broker: BrokerId,
        response: leader_and_isr::Response,
    ) -> Result<(), Fail> {
        if log_error(broker, "LeaderAndIsr", response.error_code) {
            return Ok(());
        }
        let mut errors: Vec<(TopicPartition, ErrorCode)> = Vec::new();
        let code = |number: i16| ErrorCode::from_code(number);
        for error in &response.partition_errors {
            let partition = TopicPartition::new(&*error.topic_name, error.partition_index);
            errors.push((partition, code(error.error_code)));
        }
        for topic in &response.topics {
            let Some(name) = self.context.topic_name(topic.topic_id).cloned() else { continue };
            for error in &topic.partition_errors {
                let partition = TopicPartition::new(name.clone(), error.partition_index);
                errors.push((partition, code(error.error_code)));
            }
        }
        let offline = self.context.offline_dirs.entry(broker).or_default();
        let mut newly = Vec::new();
        for (partition, error) in errors {
            match error {
                ErrorCode::KafkaStorageError if offline.insert(partition.clone()) => {
                    newly.push(Replica { partition, broker });
                }
                ErrorCode::None => {
                    offline.remove(&partition);
                }
                _ => {}
            }
        }
        if offline.is_empty() {
            self.context.offline_dirs.remove(&broker);
        }
        if newly.is_empty() {
            return Ok(());
        }
        info!(target: "kafka.controller", "Mark replicas {} on broker {broker} as offline", join(newly.iter().map(|replica| &replica.partition)));
        self.replicas_became_offline(newly).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::BrokerEpoch;

    #[test]
    fn a_higher_epoch_is_a_bounce() {
        let broker =
            |id, epoch| Broker { id: BrokerId(id), epoch: BrokerEpoch(epoch), endpoints: Vec::new(), rack: None };
        let known = [broker(1, 10), broker(2, 20), broker(3, 30)];
        let listed: BTreeMap<_, _> = [broker(2, 25), broker(3, 30), broker(4, 40)].map(|b| (b.id, b)).into();
        let change = Change::between(known.iter(), &listed);
        let set = |id| BTreeSet::from([BrokerId(id)]);
        assert_eq!(change, Change { new: set(4), bounced: set(2), dead: set(1) });
    }
}
