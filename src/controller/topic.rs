//! Topics that appear, disappear or grow.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{info, warn};

use crate::controller::context::{PartitionState, ReplicaState, join};
use crate::controller::election::Strategy;
use crate::controller::io::Fail;
use crate::controller::machine::Controller;
use crate::ids::{TopicName, TopicPartition};
use crate::zk::op::ZkError;
use crate::zk::path;

impl Controller {
    /// `/brokers/topics` changed.
    pub async fn topic_change(&mut self) -> Result<(), Fail> {
        let listed: BTreeSet<TopicName> =
            self.children(path::BROKER_TOPICS, true).await?.into_iter().map(TopicName::from).collect();
        let known: BTreeSet<TopicName> = self.context.topics().map(|(name, _)| name.clone()).collect();
        let gone: Vec<TopicName> = known.difference(&listed).cloned().collect();
        let new: Vec<TopicName> = listed.difference(&known).cloned().collect();
        for topic in &gone {
            self.context.remove_topic(topic);
        }
        let partitions = self.learn_topics(&new).await?;
        info!(target: "kafka.controller", "New topics: [{}], deleted topics: [{}], new partition replica assignment [{}]", join(&new), join(&gone), join(&partitions));
        self.create_partitions(partitions).await
    }

    /// Reads topics, arms their watches, and puts them into the context; topics without an id are given one. Returns
    /// their partitions.
    pub async fn learn_topics(&mut self, names: &[TopicName]) -> Result<Vec<TopicPartition>, Fail> {
        let mut topics = self.read_topics(names).await?;
        let mut writes = Vec::new();
        if self.options.inter_broker_protocol_version.has_topic_ids() {
            for topic in topics.iter_mut().filter(|topic| topic.id.is_zero()) {
                topic.id = self.io.random_topic_id();
                writes.push((topic.name.clone(), self.write_topic(&topic.name, topic.id, &topic.partitions)));
            }
        }
        let (named, writes): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
        for (name, outcome) in named.into_iter().zip(self.fenced(writes).await?) {
            match outcome {
                // Gone meanwhile: TopicChange will say so.
                Ok(_) | Err(ZkError::NoNode) => {}
                Err(error) => return Err(Fail::Zk { path: path::topic(&name), error }),
            }
        }
        let mut partitions = Vec::new();
        for topic in topics {
            self.context.add_topic(&topic.name, topic.id);
            for (index, assignment) in topic.partitions {
                let partition = TopicPartition::new(topic.name.clone(), index);
                self.context.set_assignment(&partition, assignment);
                partitions.push(partition);
            }
        }
        Ok(partitions)
    }

    /// onNewPartitionCreation. Only the third step writes and sends.
    pub async fn create_partitions(&mut self, partitions: Vec<TopicPartition>) -> Result<(), Fail> {
        if partitions.is_empty() {
            return Ok(());
        }
        info!(target: "kafka.controller", "New partition creation callback for {}", join(&partitions));
        let replicas = self.context.replicas_of_partitions(&partitions);
        self.move_partitions(&partitions, PartitionState::New);
        self.move_replicas(replicas.clone(), ReplicaState::New).await?;
        self.elect_online(partitions, Strategy::Offline { unclean: false }).await?;
        self.move_replicas(replicas, ReplicaState::Online).await
    }

    /// A topic's node changed: only added partitions matter. Changed replicas are this controller's own work.
    pub async fn partition_modifications(&mut self, name: TopicName) -> Result<(), Fail> {
        let Some(known) = self.context.topic(&name) else { return Ok(()) };
        let id = known.id;
        let Some(topic) = self.read_topics(std::slice::from_ref(&name)).await?.pop() else { return Ok(()) };
        let partition = |index: &i32| TopicPartition::new(name.clone(), *index);
        let added: Vec<TopicPartition> = topic
            .partitions
            .keys()
            .map(partition)
            .filter(|partition| self.context.replicas(partition).is_empty())
            .collect();
        if self.context.is_queued_for_deletion(&name) {
            if added.is_empty() {
                info!(target: "kafka.controller", topic = &*name, "Ignoring partition change during topic deletion as no new partitions are added");
                return Ok(());
            }
            warn!(target: "kafka.controller", "Skipping adding partitions {} for topic {name} since it is currently being deleted", join(&added));
            let existing = self.children(&path::partitions(&name), false).await?;
            let mut partitions = topic.partitions;
            partitions.retain(|index, _| existing.contains(&index.to_string()));
            let write = self.write_topic(&name, id, &partitions);
            return match self.fenced(vec![write]).await?.pop() {
                Some(Err(error)) => Err(Fail::Zk { path: path::topic(&name), error }),
                _ => Ok(()),
            };
        }
        if added.is_empty() {
            return Ok(());
        }
        info!(target: "kafka.controller", "New partitions to be added {}", join(&added));
        let assignments: BTreeMap<_, _> = topic.partitions;
        for partition in &added {
            self.context.set_assignment(partition, assignments[&partition.partition].clone());
        }
        self.create_partitions(added).await
    }
}
