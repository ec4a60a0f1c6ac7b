//! CreatePartitions (37), versions 0-3: more partitions for a topic. Only the active controller's broker takes it.
//!
//! - The answer waits until this broker's metadata shows the new number of partitions, or `timeout_ms` (error 7).
//! - Studied: KafkaApis.handleCreatePartitionsRequest, ZkAdminManager.createPartitions.
use std::collections::{BTreeSet, HashMap};

use super::prelude::*;
use crate::cluster::assign::{Assignment, assign_more};
use crate::cluster::auto_create::candidates;
use crate::cluster::metadata::Image;
use crate::cluster::topics::{self, TopicError};
use crate::ids::BrokerId;
use crate::zk::data::TopicAssignment;
use messages::create_partitions::*;

/// Code, and a text where Kafka gives one.
type Refusal = (ErrorCode, Option<String>);

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let mut named: HashMap<&str, usize> = HashMap::new();
    for topic in &request.topics {
        *named.entry(&topic.name).or_default() += 1;
    }
    let mut results: Vec<CreatePartitionsTopicResult> = Vec::with_capacity(request.topics.len());
    let mut grown: Vec<(usize, usize)> = Vec::new();
    for topic in &request.topics {
        let outcome = if !broker.controller.is_active() {
            Err((ErrorCode::NotController, None))
        } else if named[&*topic.name] > 1 {
            if results.iter().any(|result| result.name == topic.name) {
                continue;
            }
            Err((ErrorCode::InvalidRequest, Some("Duplicate topic in request.".into())))
        } else {
            grow(broker, topic, request.validate_only).await
        };
        let (error, message) = match outcome {
            Ok(total) => {
                if !request.validate_only {
                    grown.push((results.len(), total));
                }
                (ErrorCode::None, None)
            }
            Err((error, text)) => (error, text.map(Into::into)),
        };
        let name = topic.name.clone();
        results.push(CreatePartitionsTopicResult { name, error_code: error.code(), error_message: message });
    }
    let there = |name: &str, total: usize, image: &Image| {
        image
            .topic(name)
            .is_some_and(|topic| topic.partitions.len() >= total && topic.partitions.values().all(|p| p.leader.0 >= 0))
    };
    let timeout_ms = i64::from(request.timeout_ms);
    let all_there = |image: &Image| grown.iter().all(|(at, total)| there(&results[*at].name, *total, image));
    let in_time = grown.is_empty() || (timeout_ms > 0 && broker.metadata.wait_until(timeout_ms, all_there).await);
    if !in_time {
        let image = broker.metadata.image();
        for (at, total) in grown {
            if timeout_ms <= 0 || !there(&results[at].name, total, &image) {
                results[at].error_code = ErrorCode::RequestTimedOut.code();
                results[at].error_message = Some("The request timed out.".into());
            }
        }
    }
    Answer::Reply(Response { throttle_time_ms: 0, results })
}

/// Checks the wish and, unless only validating, writes it. Returns the number of partitions to wait for.
async fn grow(broker: &Broker, topic: &CreatePartitionsTopic, validate_only: bool) -> Result<usize, Refusal> {
    let failed = |error: TopicError| (ErrorCode::from(&error), Some(error.to_string()));
    let existing = topics::assignment(&broker.zk, &topic.name).await.map_err(failed)?;
    let unknown = || failed(TopicError::Unknown(topic.name.to_string()));
    let existing = existing.filter(|existing| !existing.partitions.is_empty()).ok_or_else(unknown)?;
    let moving = |p: &crate::zk::data::TopicPartitionReplicas| !p.adding.is_empty() || !p.removing.is_empty();
    if existing.partitions.values().any(moving) {
        return Err(failed(TopicError::ReassignmentInProgress(topic.name.to_string())));
    }
    let has = existing.partitions.len() as i32;
    if topic.count == has {
        return Err((ErrorCode::InvalidPartitions, Some(format!("Topic already has {has} partitions."))));
    }
    if topic.count < has {
        let text = format!("Topic currently has {has} partitions, which is higher than the requested {}.", topic.count);
        return Err((ErrorCode::InvalidPartitions, Some(text)));
    }
    let added = match &topic.assignments {
        Some(given) => given_assignment(broker, &existing, topic.count, given)?,
        None => {
            let current: Assignment = existing.partitions.iter().map(|(p, r)| (*p, r.replicas.clone())).collect();
            assign_more(&current, &candidates(&broker.metadata.image()), topic.count)
                .map_err(|error| (ErrorCode::from(&error), Some(error.to_string())))?
        }
    };
    if !validate_only {
        topics::add_partitions(&broker.zk, &topic.name, &existing, &added).await.map_err(failed)?;
    }
    Ok(topic.count as usize)
}

fn given_assignment(
    broker: &Broker,
    existing: &TopicAssignment,
    total: i32,
    given: &[CreatePartitionsAssignment],
) -> Result<Assignment, Refusal> {
    let invalid = |text: String| Err((ErrorCode::InvalidReplicaAssignment, Some(text)));
    let has = existing.partitions.len() as i32;
    if given.len() as i32 != total - has {
        return invalid(format!(
            "Increasing the number of partitions by {} but {} assignments provided.",
            total - has,
            given.len()
        ));
    }
    let image = broker.metadata.image();
    let replication_factor = existing.partitions.values().next().map_or(0, |p| p.replicas.len());
    let mut added = Assignment::new();
    for (n, assignment) in given.iter().enumerate() {
        let replicas: Vec<BrokerId> = assignment.broker_ids.iter().copied().map(BrokerId).collect();
        let partition = has + n as i32;
        if replicas.is_empty() {
            return invalid(format!("Cannot have replication factor of 0 for partition id {partition}."));
        }
        if replicas.iter().collect::<BTreeSet<_>>().len() != replicas.len() {
            let list = replicas.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return invalid(format!(
                "Duplicate brokers not allowed in replica assignment: {list} for partition id {partition}."
            ));
        }
        if let Some(dead) = replicas.iter().find(|id| !image.is_alive(**id)) {
            return invalid(format!("Unknown broker(s) in replica assignment: {dead}."));
        }
        if replicas.len() != replication_factor {
            return invalid("Inconsistent replication factor between partitions.".into());
        }
        added.insert(has + n as i32, replicas);
    }
    Ok(added)
}
