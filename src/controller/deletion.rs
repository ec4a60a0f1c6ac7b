//! Deletion of topics (TopicDeletionManager): stop all replicas, delete them, then delete the znodes; wait while a replica
//! cannot be reached.

use std::collections::BTreeSet;

use tracing::{info, warn};

use crate::controller::batch::deleted_by;
use crate::controller::context::{PartitionState, Replica, ReplicaState, join};
use crate::controller::io::Fail;
use crate::controller::machine::Controller;
use crate::error::ErrorCode;
use crate::ids::{BrokerId, TopicName, TopicPartition};
use crate::wire::messages::stop_replica;
use crate::zk::path;

impl Controller {
    /// `/admin/delete_topics` changed.
    pub async fn topic_deletion(&mut self) -> Result<(), Fail> {
        let mut marked = self.read_marked().await?;
        if marked.iter().any(|topic| self.context.topic(topic).is_none()) {
            // The topic may be so new that its creation was not looked at yet: watches come in no sure order.
            self.topic_change().await?;
        }
        let unknown: BTreeSet<TopicName> =
            marked.iter().filter(|topic| self.context.topic(topic).is_none()).cloned().collect();
        if !unknown.is_empty() {
            warn!(target: "kafka.controller", "Ignoring request to delete non-existing topics {}", join(&unknown));
            self.fenced_delete(unknown.iter().map(|topic| path::delete_topic(topic))).await?;
            marked.retain(|topic| !unknown.contains(topic));
        }
        if !self.options.delete_topic_enable {
            info!(target: "kafka.controller", "Removing {} since delete topic is disabled", join(&marked));
            return self.fenced_delete(marked.iter().map(|topic| path::delete_topic(topic))).await;
        }
        if marked.is_empty() {
            return Ok(());
        }
        info!(target: "kafka.controller", "Starting topic deletion for topics {}", join(&marked));
        for topic in &marked {
            self.context.queue_for_deletion(topic);
        }
        let moving: BTreeSet<TopicName> = marked.into_iter().filter(|topic| self.is_being_reassigned(topic)).collect();
        self.mark_ineligible(&moving, "topic reassignment in progress");
        self.resume_deletions().await
    }

    fn is_being_reassigned(&self, topic: &TopicName) -> bool {
        self.context.being_reassigned.iter().any(|partition| partition.topic == *topic)
    }

    async fn read_marked(&self) -> Result<BTreeSet<TopicName>, Fail> {
        Ok(self.children(path::DELETE_TOPICS, true).await?.into_iter().map(TopicName::from).collect())
    }

    /// At failover: the topics marked for deletion, and all topics that would have to wait.
    pub async fn read_deletions(&mut self) -> Result<(BTreeSet<TopicName>, BTreeSet<TopicName>), Fail> {
        let marked = self.read_marked().await?;
        let mut waiting = BTreeSet::new();
        for (partition, known) in self.context.partitions() {
            if known.assignment.replicas.iter().any(|id| !self.context.is_online(*id, &partition)) {
                waiting.insert(partition.topic);
            }
        }
        waiting.extend(self.context.being_reassigned.iter().map(|partition| partition.topic.clone()));
        info!(target: "kafka.controller", "List of topics to be deleted: {}", join(&marked));
        Ok((marked, waiting))
    }

    /// At failover: queues the topics, or forgets them if topics may not be deleted.
    pub async fn init_deletions(
        &mut self,
        marked: BTreeSet<TopicName>,
        waiting: BTreeSet<TopicName>,
    ) -> Result<(), Fail> {
        if !self.options.delete_topic_enable {
            return self.fenced_delete(marked.iter().map(|topic| path::delete_topic(topic))).await;
        }
        for topic in &marked {
            self.context.queue_for_deletion(topic);
        }
        self.context.deletion_ineligible = marked.intersection(&waiting).cloned().collect();
        Ok(())
    }

    pub fn mark_ineligible(&mut self, topics: &BTreeSet<TopicName>, reason: &str) {
        let halted: Vec<TopicName> =
            topics.iter().filter(|topic| self.context.is_queued_for_deletion(topic)).cloned().collect();
        if !halted.is_empty() {
            info!(target: "kafka.controller", "Halted deletion of topics {} due to {reason}", join(&halted));
            self.context.deletion_ineligible.extend(halted);
        }
    }

    /// These topics need not wait any longer.
    pub async fn resume_deletion_of(&mut self, topics: &BTreeSet<TopicName>) -> Result<(), Fail> {
        let mut resumed = false;
        for topic in topics {
            if self.context.is_queued_for_deletion(topic) {
                self.context.deletion_ineligible.remove(topic);
                resumed = true;
            }
        }
        if resumed { self.resume_deletions().await } else { Ok(()) }
    }

    /// Does for each queued topic what can be done now.
    pub async fn resume_deletions(&mut self) -> Result<(), Fail> {
        let queued: Vec<TopicName> = self.context.queued_for_deletion().iter().cloned().collect();
        if queued.is_empty() {
            return Ok(());
        }
        info!(target: "kafka.controller", "Handling deletion for topics {}", join(&queued));
        let (mut retry, mut start) = (Vec::new(), BTreeSet::new());
        for topic in queued {
            if self.context.all_replicas_in_state(&topic, ReplicaState::DeletionSuccessful) {
                self.complete_deletion(&topic).await?;
                info!(target: "kafka.controller", "Deletion of topic {topic} successfully completed");
            } else if !self.context.any_replica_in_state(&topic, ReplicaState::DeletionStarted) {
                if self.context.any_replica_in_state(&topic, ReplicaState::DeletionIneligible) {
                    retry.extend(self.context.replicas_in_state(&topic, ReplicaState::DeletionIneligible));
                }
                if !self.context.deletion_ineligible.contains(&topic) {
                    info!(target: "kafka.controller", "Deletion of topic {topic} (re)started");
                    start.insert(topic);
                }
            }
        }
        self.move_replicas(retry, ReplicaState::Offline).await?;
        if start.is_empty() { Ok(()) } else { self.start_deletion(start).await }
    }

    /// onTopicDeletion.
    async fn start_deletion(&mut self, topics: BTreeSet<TopicName>) -> Result<(), Fail> {
        for topic in &topics {
            if self.context.deletion_started.insert(topic.clone()) {
                let partitions: Vec<TopicPartition> = self.context.partitions_of(topic).collect();
                self.move_partitions(&partitions, PartitionState::Offline);
                self.move_partitions(&partitions, PartitionState::NonExistent);
            }
        }
        let partitions: Vec<TopicPartition> =
            topics.iter().flat_map(|topic| self.context.partitions_of(topic)).collect();
        self.send_update_metadata(self.context.registered(), &partitions);

        let (mut dead, mut alive, mut halted) = (Vec::new(), Vec::new(), BTreeSet::new());
        for replica in topics.iter().flat_map(|topic| self.context.replicas_of(topic)) {
            if !self.context.is_online(replica.broker, &replica.partition) {
                halted.insert(replica.partition.topic.clone());
                dead.push(replica);
            } else if self.context.replica_state(&replica) != ReplicaState::DeletionSuccessful {
                alive.push(replica);
            }
        }
        self.move_replicas(dead, ReplicaState::DeletionIneligible).await?;
        // First nobody fetches any more, then the logs go.
        self.move_replicas(alive.clone(), ReplicaState::Offline).await?;
        self.move_replicas(alive, ReplicaState::DeletionStarted).await?;
        self.mark_ineligible(&halted, "offline replicas");
        Ok(())
    }

    /// The answer to a StopReplica; only deletions of replicas of queued topics matter.
    pub async fn stop_replica_response(
        &mut self,
        broker: BrokerId,
        request: &stop_replica::Request,
        response: stop_replica::Response,
    ) -> Result<(), Fail> {
        let deleted = deleted_by(request);
        let refused = response.error_code != ErrorCode::None.code();
        let (mut failed, mut done) = (Vec::new(), Vec::new());
        for error in response.partition_errors {
            let partition = TopicPartition::new(&*error.topic_name, error.partition_index);
            let under_way = self.context.any_replica_in_state(&partition.topic, ReplicaState::DeletionStarted);
            if !under_way || !deleted.contains(&partition) {
                continue;
            }
            let ok = !refused && error.error_code == ErrorCode::None.code();
            if ok { &mut done } else { &mut failed }.push(Replica { partition, broker });
        }
        if !failed.is_empty() {
            self.fail_replica_deletion(failed).await?;
        }
        if done.is_empty() {
            return Ok(());
        }
        self.move_replicas(done, ReplicaState::DeletionSuccessful).await?;
        self.resume_deletions().await
    }

    /// The deletion of these replicas failed, or their broker died.
    pub async fn fail_replica_deletion(&mut self, replicas: Vec<Replica>) -> Result<(), Fail> {
        let topics: BTreeSet<TopicName> = replicas.iter().map(|replica| replica.partition.topic.clone()).collect();
        self.move_replicas(replicas, ReplicaState::DeletionIneligible).await?;
        self.mark_ineligible(&topics, "replica deletion failure");
        self.resume_deletions().await
    }

    /// All replicas are gone. Should the controller die in between, the mark, which goes last, makes the next one finish.
    async fn complete_deletion(&mut self, topic: &TopicName) -> Result<(), Fail> {
        let replicas = self.context.replicas_in_state(topic, ReplicaState::DeletionSuccessful);
        self.move_replicas(replicas, ReplicaState::NonExistent).await?;
        self.fenced_delete_tree(path::topic(topic)).await?;
        self.fenced_delete([path::topic_config(topic)]).await?;
        self.fenced_delete([path::delete_topic(topic)]).await?;
        self.context.remove_topic(topic);
        Ok(())
    }
}
