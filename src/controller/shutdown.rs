//! ControlledShutdown: a broker asks to be relieved of its partitions before it stops.

use std::collections::BTreeSet;

use tracing::{info, trace};

use crate::controller::batch::Batch;
use crate::controller::context::{Replica, ReplicaState};
use crate::controller::effect::Answer;
use crate::controller::election::Strategy;
use crate::controller::event::CallId;
use crate::controller::io::Fail;
use crate::controller::machine::Controller;
use crate::error::ErrorCode;
use crate::ids::{BrokerEpoch, BrokerId, TopicPartition};
use crate::wire::messages::controlled_shutdown::{RemainingPartition, Request, Response};

impl Controller {
    pub async fn controlled_shutdown(&mut self, call: CallId, request: Request) -> Result<(), Fail> {
        let id = BrokerId(request.broker_id);
        let epoch = BrokerEpoch(request.broker_epoch);
        let outcome = match self.refuse_shutdown(id, epoch) {
            Some(error) => Ok(Err(error)),
            None => self.relieve(id).await.map(Ok),
        };
        let (response, outcome) = match outcome {
            Ok(Ok(remaining)) => {
                let remaining_partitions = remaining.iter().map(|partition| RemainingPartition {
                    topic_name: (&*partition.topic).into(),
                    partition_index: partition.partition,
                });
                let remaining_partitions = remaining_partitions.collect();
                (Response { error_code: ErrorCode::None.code(), remaining_partitions }, Ok(()))
            }
            Ok(Err(error)) => (Response { error_code: error.code(), ..Response::default() }, Ok(())),
            Err(fail) => {
                let error =
                    if fail == Fail::Moved { ErrorCode::StaleControllerEpoch } else { ErrorCode::UnknownServerError };
                (Response { error_code: error.code(), ..Response::default() }, Err(fail))
            }
        };
        self.answer(call, Answer::ControlledShutdown(response));
        outcome
    }

    fn refuse_shutdown(&self, id: BrokerId, epoch: BrokerEpoch) -> Option<ErrorCode> {
        match self.context.broker(id) {
            // Kafka looks the epoch up first and stumbles over the missing entry.
            None if epoch.is_none() => Some(ErrorCode::BrokerNotAvailable),
            None => Some(ErrorCode::UnknownServerError),
            Some(known) if !epoch.is_none() && epoch < known.epoch => Some(ErrorCode::StaleBrokerEpoch),
            Some(_) => None,
        }
    }

    /// Moves leaders away and takes the broker out of the ISRs. Returns what it still leads; partitions with a single
    /// replica do not count.
    async fn relieve(&mut self, id: BrokerId) -> Result<Vec<TopicPartition>, Fail> {
        info!(target: "kafka.controller", "Shutting down broker {id}");
        self.context.shutting_down.insert(id);
        let replicas = self.context.replicas_on(&BTreeSet::from([id])).into_iter().map(|replica| replica.partition);
        let (mut led, mut followed) = (Vec::new(), Vec::new());
        for partition in replicas {
            let alone = self.context.replicas(&partition).len() < 2;
            if alone || self.context.is_queued_for_deletion(&partition.topic) {
                continue;
            }
            match self.context.leadership(&partition) {
                Some(leadership) if leadership.state.leader == id => led.push(partition),
                Some(_) => followed.push(partition),
                None => {}
            }
        }
        self.elect_online(led, Strategy::ControlledShutdown).await?;
        // The followers stop fetching at once; the second StopReplica, of the state change, carries the new epochs.
        let mut batch = Batch::default();
        for partition in &followed {
            batch.add_stop_replica(&self.context, &[id], partition, false);
        }
        self.send(batch);
        let followed = followed.into_iter().map(|partition| Replica { partition, broker: id }).collect();
        self.move_replicas(followed, ReplicaState::Offline).await?;
        let remaining = self.context.living_partitions().filter(|(_, known)| {
            let leads = known.leadership.as_ref().is_some_and(|led| led.state.leader == id);
            leads && known.assignment.replicas.len() > 1
        });
        let remaining: Vec<TopicPartition> = remaining.map(|(partition, _)| partition).collect();
        trace!(target: "kafka.controller", "All leaders = {remaining:?}");
        Ok(remaining)
    }
}
