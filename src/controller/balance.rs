//! Elections that somebody asks for: ElectLeaders, `/admin/preferred_replica_election`, and the regular return to the
//! preferred leaders.

use std::collections::BTreeMap;

use tracing::{debug, info, warn};

use crate::controller::context::join;
use crate::controller::effect::{Answer, Effect};
use crate::controller::election::Strategy;
use crate::controller::event::{CallId, Election, Event};
use crate::controller::io::Fail;
use crate::controller::machine::Controller;
use crate::controller::partition_state::Elections;
use crate::error::ErrorCode;
use crate::ids::{BrokerId, TopicPartition};
use crate::zk::data::{Data, ElectionRequest};
use crate::zk::path;

/// Who started an election; the names are those in Kafka's logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trigger {
    AutoTriggered,
    ZkTriggered,
    AdminClientTriggered,
}

/// Of each partition, the elected leader, or the error and its text.
type Results = Vec<(TopicPartition, Result<BrokerId, (ErrorCode, String)>)>;

impl Controller {
    pub async fn elect_leaders(
        &mut self,
        call: CallId,
        election: Election,
        partitions: Option<Vec<TopicPartition>>,
    ) -> Result<(), Fail> {
        let partitions =
            partitions.unwrap_or_else(|| self.context.partitions().map(|(partition, _)| partition).collect());
        let outcome = self.run_election(partitions, election, Trigger::AdminClientTriggered).await;
        let (answer, outcome) = match outcome {
            Ok(results) => (Ok(results), Ok(())),
            Err(fail) => (Err(ErrorCode::UnknownServerError), Err(fail)),
        };
        self.answer(call, Answer::ElectLeaders(answer));
        outcome
    }

    /// `/admin/preferred_replica_election` appeared, or its watch has to be armed again.
    pub async fn zk_leader_election(&mut self) -> Result<(), Fail> {
        if !self.is_there(path::PREFERRED_REPLICA_ELECTION, true).await? {
            return Ok(());
        }
        let partitions = self.read_preferred_election().await?;
        self.run_election(partitions, Election::Preferred, Trigger::ZkTriggered).await?;
        Ok(())
    }

    /// The partitions `/admin/preferred_replica_election` names.
    pub async fn read_preferred_election(&self) -> Result<Vec<TopicPartition>, Fail> {
        let read = self.read(path::PREFERRED_REPLICA_ELECTION, true).await?;
        let data = read.and_then(|(data, _)| data).unwrap_or_default();
        let request = ElectionRequest::decode(&data).unwrap_or_default();
        Ok(request.0.iter().map(TopicPartition::from).collect())
    }

    /// At failover: finishes what the last controller may have begun. The node is deleted even if it is not there.
    pub async fn run_pending_preferred_election(&mut self, partitions: Vec<TopicPartition>) -> Result<(), Fail> {
        let partitions = partitions
            .into_iter()
            .filter(|partition| {
                let leader = self.context.leadership(partition).map(|led| led.state.leader);
                let preferred = self.context.replicas(partition).first().copied();
                preferred.is_some() && leader != preferred && !self.context.is_queued_for_deletion(&partition.topic)
            })
            .collect();
        self.start_election(partitions, Election::Preferred, Trigger::ZkTriggered).await?;
        Ok(())
    }

    async fn run_election(
        &mut self,
        partitions: Vec<TopicPartition>,
        election: Election,
        trigger: Trigger,
    ) -> Result<Results, Fail> {
        let mut results = Results::new();
        let mut wanted = Vec::new();
        for partition in partitions {
            let refusal = match self.context.partition(&partition) {
                None => {
                    info!(target: "kafka.controller", "Skipping replica leader election for partition {partition} by {trigger:?} since it doesn't exist.");
                    Some((ErrorCode::UnknownTopicOrPartition, "The partition does not exist."))
                }
                Some(_) if self.context.is_queued_for_deletion(&partition.topic) => {
                    Some((ErrorCode::InvalidTopicException, "The topic is being deleted"))
                }
                Some(known) => {
                    let leader = known.leadership.as_ref().map(|led| led.state.leader);
                    let fine = match election {
                        Election::Preferred => leader.as_ref() == known.assignment.replicas.first(),
                        Election::Unclean => leader.is_some_and(|id| self.context.is_live(id)),
                    };
                    fine.then_some((ErrorCode::ElectionNotNeeded, "Leader election not needed for topic partition."))
                }
            };
            match refusal {
                Some((error, text)) => results.push((partition, Err((error, text.into())))),
                None => wanted.push(partition),
            }
        }
        let failed = match election {
            Election::Preferred => ErrorCode::PreferredLeaderNotAvailable,
            Election::Unclean => ErrorCode::EligibleLeadersNotAvailable,
        };
        let mut elections = self.start_election(wanted.clone(), election, trigger).await?;
        for partition in wanted {
            let result = match elections.remove(&partition) {
                Some(Ok(state)) => Ok(state.leader),
                Some(Err(why)) => Err((failed, why.to_string())),
                // A new partition that was created on the way, or could not be.
                None => match self.context.leadership(&partition) {
                    Some(led) => Ok(led.state.leader),
                    None => Err((failed, "No assigned replica is alive.".into())),
                },
            };
            results.push((partition, result));
        }
        Ok(results)
    }

    /// onReplicaElection.
    async fn start_election(
        &mut self,
        partitions: Vec<TopicPartition>,
        election: Election,
        trigger: Trigger,
    ) -> Result<Elections, Fail> {
        let kind = if election == Election::Preferred { "PREFERRED" } else { "UNCLEAN" };
        info!(target: "kafka.controller", "Starting replica leader election ({kind}) for partitions {} triggered by {trigger:?}", join(&partitions));
        let by_admin = trigger == Trigger::AdminClientTriggered;
        let strategy = match election {
            Election::Preferred => Strategy::Preferred,
            Election::Unclean => Strategy::Offline { unclean: by_admin },
        };
        let elections = self.elect_online(partitions.clone(), strategy).await?;
        if by_admin {
            return Ok(elections);
        }
        for partition in &partitions {
            let leader = self.context.leadership(partition).map_or(BrokerId::NONE, |led| led.state.leader);
            match self.context.replicas(partition).first() {
                Some(preferred) if *preferred == leader => {
                    info!(target: "kafka.controller", "Partition {partition} completed preferred replica leader election. New leader is {leader}");
                }
                _ => {
                    warn!(target: "kafka.controller", "Partition {partition} failed to complete preferred replica leader election. Leader is still {leader}");
                }
            }
        }
        if trigger == Trigger::ZkTriggered {
            self.fenced_delete([path::PREFERRED_REPLICA_ELECTION.to_owned()]).await?;
            // Arms the watch again.
            self.io.enqueue(Event::ZkReplicaLeaderElection);
        }
        Ok(elections)
    }

    /// Brokers that lead too few of the partitions they are preferred for get them back.
    pub async fn auto_leader_rebalance(&mut self) -> Result<(), Fail> {
        info!(target: "kafka.controller", "Processing automatic preferred replica leader election");
        let outcome = self.rebalance().await;
        let after_ms = self.options.leader_imbalance_check_interval_seconds.saturating_mul(1000);
        self.io.emit(Effect::StartTimer { after_ms });
        outcome
    }

    async fn rebalance(&mut self) -> Result<(), Fail> {
        let mut preferred_for: BTreeMap<BrokerId, (usize, Vec<TopicPartition>)> = BTreeMap::new();
        for (partition, known) in self.context.living_partitions() {
            let Some(preferred) = known.assignment.replicas.first() else { continue };
            let (total, elsewhere) = preferred_for.entry(*preferred).or_default();
            *total += 1;
            if known.leadership.as_ref().is_some_and(|led| led.state.leader != *preferred) {
                elsewhere.push(partition);
            }
        }
        for (broker, (total, elsewhere)) in preferred_for {
            debug!(target: "kafka.controller", "Topics not in preferred replica for broker {broker} {}", join(&elsewhere));
            let ratio = elsewhere.len() as f64 / total as f64;
            debug!(target: "kafka.controller", "Leader imbalance ratio for broker {broker} is {ratio}");
            if ratio <= f64::from(self.options.leader_imbalance_per_broker_percentage) / 100.0 {
                continue;
            }
            let may_lead = |partition: &TopicPartition| {
                let in_isr = |led: &crate::controller::context::Leadership| led.state.isr.contains(&broker);
                self.context.is_online(broker, partition) && self.context.leadership(partition).is_some_and(in_isr)
            };
            let candidates: Vec<TopicPartition> = elsewhere.into_iter().filter(may_lead).collect();
            if !candidates.is_empty() {
                self.start_election(candidates, Election::Preferred, Trigger::AutoTriggered).await?;
            }
        }
        Ok(())
    }
}
