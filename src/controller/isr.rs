//! Leaders change their ISR: AlterPartition (KIP-497), or, before inter-broker protocol 2.7, notifications in ZooKeeper.

use std::collections::BTreeMap;

use tracing::{debug, info};

use crate::controller::context::LeaderAndIsr;
use crate::controller::effect::Answer;
use crate::controller::event::CallId;
use crate::controller::io::Fail;
use crate::controller::machine::Controller;
use crate::controller::store::{StateWrite, get, node};
use crate::error::ErrorCode;
use crate::ids::{BrokerEpoch, BrokerId, LeaderEpoch, PartitionEpoch, TopicPartition};
use crate::wire::messages::alter_partition::{
    PartitionData, Request, Response, ResponsePartitionData, ResponseTopicData, TopicData,
};
use crate::zk::data::{Data, IsrChange};
use crate::zk::path;

/// Since this version of AlterPartition topics have ids, and a replica that may not join has an error of its own.
const TOPIC_IDS: i16 = 2;
/// Since this version the members of the ISR come with their broker epochs.
const ISR_WITH_EPOCHS: i16 = 3;

type Verdicts = BTreeMap<TopicPartition, Result<LeaderAndIsr, ErrorCode>>;

impl Controller {
    pub async fn alter_partition(&mut self, call: CallId, version: i16, request: Request) -> Result<(), Fail> {
        let (broker, epoch) = (BrokerId(request.broker_id), BrokerEpoch(request.broker_epoch));
        let refuse =
            |error: ErrorCode| Answer::AlterPartition(Response { error_code: error.code(), ..Response::default() });
        // A larger epoch is as wrong as a smaller one: this controller has not seen that life of the broker yet.
        if self.context.broker(broker).is_none_or(|known| known.epoch != epoch) {
            info!(target: "kafka.controller", "Rejecting AlterPartition request from node {broker} with broker epoch {epoch}: stale or unknown");
            self.answer(call, refuse(ErrorCode::StaleBrokerEpoch));
            return Ok(());
        }
        let verdicts = match self.alter(broker, version, &request).await {
            Ok(verdicts) => verdicts,
            Err(fail) => {
                self.answer(call, refuse(ErrorCode::UnknownServerError));
                return Err(fail);
            }
        };
        let response = self.alter_response(version, &request, &verdicts);
        self.answer(call, Answer::AlterPartition(response));
        for (partition, _) in verdicts.into_iter().filter(|(_, verdict)| verdict.is_ok()) {
            if self.context.being_reassigned.contains(&partition) {
                self.maybe_complete_reassignment(&partition).await?;
            }
        }
        Ok(())
    }

    async fn alter(&mut self, broker: BrokerId, version: i16, request: &Request) -> Result<Verdicts, Fail> {
        let mut verdicts = Verdicts::new();
        let mut writes = Vec::new();
        for topic in &request.topics {
            let Some(name) = self.altered_topic(version, topic) else { continue };
            for data in &topic.partitions {
                let partition = TopicPartition::new(name.clone(), data.partition_index);
                let wanted = wanted_state(broker, version, data);
                match self.check_alter(version, &partition, &wanted) {
                    Check::Write => writes.push((partition, wanted)),
                    Check::Same(state) => {
                        verdicts.insert(partition, Ok(state));
                    }
                    Check::Refuse(error) => {
                        info!(target: "kafka.controller", "Rejecting AlterPartition request from node {broker} for {partition}: {}", error.name());
                        verdicts.insert(partition, Err(error));
                    }
                }
            }
        }
        let results = self.write_states(&writes).await?;
        let mut reread = Vec::new();
        for ((partition, wanted), result) in writes.iter().zip(results) {
            match result {
                StateWrite::Done(state) => {
                    debug!(target: "kafka.controller", "ISR for partition {partition} updated to {:?} and zkVersion updated to {}", state.isr, state.partition_epoch);
                    verdicts.insert(partition.clone(), Ok(state));
                }
                StateWrite::BadVersion => {
                    verdicts.insert(partition.clone(), self.altered_before(partition, wanted).await?);
                }
                StateWrite::Failed(_) => {
                    verdicts.insert(partition.clone(), Err(ErrorCode::UnknownServerError));
                }
            }
            if verdicts[partition].is_ok() {
                reread.push(partition.clone());
            }
        }
        self.refresh_leadership(&reread).await?;
        let partitions: Vec<TopicPartition> = verdicts.keys().cloned().collect();
        self.send_update_metadata(self.context.registered(), &partitions);
        Ok(verdicts)
    }

    /// The name a topic of the request goes by; `None` if its id is unknown.
    fn altered_topic(&self, version: i16, topic: &TopicData) -> Option<crate::ids::TopicName> {
        if version >= TOPIC_IDS {
            self.context.topic_name(topic.topic_id).cloned()
        } else {
            Some((*topic.topic_name).into())
        }
    }

    fn check_alter(&self, version: i16, partition: &TopicPartition, wanted: &LeaderAndIsr) -> Check {
        let Some(led) = self.context.leadership(partition) else {
            return Check::Refuse(ErrorCode::UnknownTopicOrPartition);
        };
        let current = &led.state;
        let refuse = Check::Refuse;
        if wanted.partition_epoch > current.partition_epoch || wanted.leader_epoch > current.leader_epoch {
            // The leader knows more than this broker: probably another one is the controller by now.
            refuse(ErrorCode::NotController)
        } else if wanted.leader_epoch < current.leader_epoch {
            refuse(ErrorCode::FencedLeaderEpoch)
        } else if wanted.same_state(current) {
            // An answer was lost (KAFKA-14144).
            Check::Same(current.clone())
        } else if wanted.partition_epoch < current.partition_epoch {
            refuse(ErrorCode::InvalidUpdateVersion)
        } else if wanted.leader != current.leader || wanted.recovering && (wanted.isr.len() > 1 || !current.recovering)
        {
            refuse(ErrorCode::InvalidRequest)
        } else if wanted.isr.iter().any(|id| !self.context.is_live(*id)) {
            let named = version >= TOPIC_IDS;
            refuse(if named { ErrorCode::IneligibleReplica } else { ErrorCode::OperationNotAttempted })
        } else {
            Check::Write
        }
    }

    /// The version did not fit. If that is because a first try of this very write was done and its reply lost, all is
    /// well; else somebody else has written, and the cache is brought up to date.
    async fn altered_before(
        &mut self,
        partition: &TopicPartition,
        wanted: &LeaderAndIsr,
    ) -> Result<Result<LeaderAndIsr, ErrorCode>, Fail> {
        let read = self.read_states(std::slice::from_ref(partition)).await?.pop();
        let Some(Ok(Some(led))) = read else { return Ok(Err(ErrorCode::InvalidUpdateVersion)) };
        let mine = led.controller_epoch == self.context.epoch && led.state.same_state(wanted);
        let state = led.state.clone();
        self.context.set_leadership(partition, led.state, led.controller_epoch);
        Ok(if mine { Ok(state) } else { Err(ErrorCode::InvalidUpdateVersion) })
    }

    fn alter_response(&self, version: i16, request: &Request, verdicts: &Verdicts) -> Response {
        let topic = |topic: &TopicData| {
            let name = self.altered_topic(version, topic);
            let partition = |data: &PartitionData| {
                let index = data.partition_index;
                let verdict = match &name {
                    None => Err(ErrorCode::UnknownTopicId),
                    Some(name) => verdicts
                        .get(&TopicPartition::new(name.clone(), index))
                        .cloned()
                        .unwrap_or(Err(ErrorCode::UnknownTopicOrPartition)),
                };
                match verdict {
                    Err(error) => ResponsePartitionData {
                        partition_index: index,
                        error_code: error.code(),
                        ..ResponsePartitionData::default()
                    },
                    Ok(state) => ResponsePartitionData {
                        partition_index: index,
                        error_code: ErrorCode::None.code(),
                        leader_id: state.leader.0,
                        leader_epoch: state.leader_epoch.0,
                        isr: state.isr.iter().map(|id| id.0).collect(),
                        leader_recovery_state: state.recovering.into(),
                        partition_epoch: state.partition_epoch.0,
                    },
                }
            };
            ResponseTopicData {
                topic_name: topic.topic_name.clone(),
                topic_id: topic.topic_id,
                partitions: topic.partitions.iter().map(partition).collect(),
            }
        };
        Response { topics: request.topics.iter().map(topic).collect(), ..Response::default() }
    }

    /// Leaders with an old inter-broker protocol wrote states themselves and say which.
    pub async fn isr_change_notification(&mut self) -> Result<(), Fail> {
        let names = self.children(path::ISR_CHANGES, true).await?;
        let paths: Vec<String> = names.iter().map(|name| path::join(path::ISR_CHANGES, name)).collect();
        let reads = paths.iter().map(|path| get(path.clone(), false)).collect();
        let mut partitions = Vec::new();
        for (path, outcome) in paths.iter().zip(self.io.zk_all(reads).await?) {
            if let Some((data, _)) = node(path, outcome)?
                && let Ok(changes) = IsrChange::decode(&data.unwrap_or_default())
            {
                partitions.extend(changes.0.iter().map(TopicPartition::from));
            }
        }
        partitions.sort();
        partitions.dedup();
        // A notification may outlive its topic.
        partitions.retain(|partition| self.context.partition(partition).is_some());
        if !partitions.is_empty() {
            self.refresh_leadership(&partitions).await?;
            self.send_update_metadata(self.context.registered(), &partitions);
            for partition in partitions {
                if self.context.being_reassigned.contains(&partition) {
                    self.maybe_complete_reassignment(&partition).await?;
                }
            }
        }
        self.fenced_delete(paths).await
    }
}

enum Check {
    Write,
    /// It is so already.
    Same(LeaderAndIsr),
    Refuse(ErrorCode),
}

fn wanted_state(leader: BrokerId, version: i16, data: &PartitionData) -> LeaderAndIsr {
    let isr = if version >= ISR_WITH_EPOCHS {
        data.new_isr_with_epochs.iter().map(|member| BrokerId(member.broker_id)).collect()
    } else {
        data.new_isr.iter().map(|id| BrokerId(*id)).collect()
    };
    LeaderAndIsr {
        leader,
        leader_epoch: LeaderEpoch(data.leader_epoch),
        isr,
        recovering: data.leader_recovery_state == 1,
        partition_epoch: PartitionEpoch(data.partition_epoch),
    }
}
