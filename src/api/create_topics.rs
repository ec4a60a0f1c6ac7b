//! CreateTopics (19), versions 0-7: only the active controller's broker takes it (41 on each topic elsewhere).
//!
//! - v1 may only validate, v4 leaves numbers to the broker by -1, v5 returns the settings made, v7 the topic id.
//! - The answer waits until this broker's own metadata shows a leader of every partition, or `timeout_ms` (error 7,
//!   although the topic will be there).
//! - Leaves out: policies and mutation quotas, which no setting can turn on here. Studied:
//!   KafkaApis.handleCreateTopicsRequest, ZkAdminManager.createTopics.
use std::collections::{BTreeMap, HashMap};

use super::prelude::*;
use crate::cluster::assign::{Assignment, Start, assign};
use crate::cluster::auto_create::candidates;
use crate::cluster::metadata::Image;
use crate::cluster::topics::{self, TopicError};
use crate::config::{describe, keys};
use crate::ids::{BrokerId, TopicId, Uuid};
use messages::create_topics::*;

/// A refusal: code and text.
type Refusal = (ErrorCode, String);

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    if !broker.controller.is_active() {
        let topics = request.topics.iter().map(|topic| refused(topic, ErrorCode::NotController, None));
        return Answer::Reply(Response { topics: topics.collect(), ..Response::default() });
    }
    let mut named: HashMap<&str, usize> = HashMap::new();
    for topic in &request.topics {
        *named.entry(&topic.name).or_default() += 1;
    }
    let mut results: Vec<CreatableTopicResult> = Vec::with_capacity(request.topics.len());
    // Places in `results` of topics that were created, to be waited for.
    let mut created: Vec<(usize, usize)> = Vec::new();
    for topic in &request.topics {
        if named[&*topic.name] > 1 {
            results.push(refused(topic, ErrorCode::InvalidRequest, Some("Found multiple entries for this topic.")));
            continue;
        }
        let result = match create(broker, topic, request.validate_only).await {
            Ok((result, partitions)) => {
                if !request.validate_only {
                    created.push((results.len(), partitions));
                }
                result
            }
            Err((error, reason)) => {
                tracing::info!(topic = &*topic.name, %error, reason, "CreateTopics refused");
                refused(topic, error, Some(&reason))
            }
        };
        results.push(result);
    }
    let led = |name: &str, partitions: usize, image: &Image| {
        image.topic(name).is_some_and(|topic| {
            topic.partitions.len() >= partitions && topic.partitions.values().all(|p| p.leader.0 >= 0)
        })
    };
    let timeout_ms = i64::from(request.timeout_ms);
    let all_led = |image: &Image| created.iter().all(|(at, partitions)| led(&results[*at].name, *partitions, image));
    let in_time = created.is_empty() || (timeout_ms > 0 && broker.metadata.wait_until(timeout_ms, all_led).await);
    if !in_time {
        let image = broker.metadata.image();
        for (at, partitions) in created {
            if timeout_ms <= 0 || !led(&results[at].name, partitions, &image) {
                // What was made is not told, but for its id.
                results[at] = CreatableTopicResult {
                    name: results[at].name.clone(),
                    topic_id: results[at].topic_id,
                    error_code: ErrorCode::RequestTimedOut.code(),
                    error_message: None,
                    ..CreatableTopicResult::default()
                };
            }
        }
    }
    Answer::Reply(Response { throttle_time_ms: 0, topics: results })
}

fn refused(topic: &CreatableTopic, error: ErrorCode, reason: Option<&str>) -> CreatableTopicResult {
    CreatableTopicResult {
        name: topic.name.clone(),
        error_code: error.code(),
        error_message: reason.map(Into::into),
        ..CreatableTopicResult::default()
    }
}

fn from_topic(error: TopicError) -> Refusal {
    (ErrorCode::from(&error), error.to_string())
}

/// Checks one topic and, unless only validating, writes it. Returns its answer and its number of partitions.
async fn create(
    broker: &Arc<Broker>,
    topic: &CreatableTopic,
    validate_only: bool,
) -> Result<(CreatableTopicResult, usize), Refusal> {
    let overrides = overrides(topic)?;
    broker.settings.log_config().validate(&overrides).map_err(|error| (ErrorCode::InvalidConfig, error.to_string()))?;
    if let Some(key) = crate::config::LogConfig::refused(&overrides).first() {
        return Err((
            ErrorCode::InvalidConfig,
            format!("{key} is not honoured by this broker yet, and ignoring it would weaken durability"),
        ));
    }
    topics::validate_name(&topic.name).map_err(from_topic)?;
    if broker.metadata.image().topic(&topic.name).is_some() {
        return Err(from_topic(TopicError::Exists(topic.name.to_string())));
    }
    let assignment = assignment(broker, topic)?;
    topics::validate_new(&broker.zk, &topic.name, &assignment).await.map_err(from_topic)?;
    let topic_id = if validate_only { TopicId::ZERO } else { Uuid::random() };
    if !validate_only {
        topics::create_topic(&broker.zk, &topic.name, Some(topic_id), &assignment, overrides.clone())
            .await
            .map_err(from_topic)?;
    }
    let configs =
        describe::topic(&overrides, &broker.settings.current()).into_iter().map(|entry| CreatableTopicConfigs {
            name: entry.name.into(),
            value: entry.value.map(Into::into),
            read_only: false,
            config_source: entry.source.wire_id(),
            is_sensitive: entry.sensitive,
        });
    let replication_factor = assignment.values().next().map_or(0, Vec::len);
    let result = CreatableTopicResult {
        name: topic.name.clone(),
        topic_id,
        error_code: 0,
        error_message: None,
        topic_config_error_code: 0,
        num_partitions: assignment.len() as i32,
        replication_factor: replication_factor as i16,
        configs: Some(configs.collect()),
    };
    Ok((result, assignment.len()))
}

fn overrides(topic: &CreatableTopic) -> Result<BTreeMap<String, String>, Refusal> {
    let mut overrides = BTreeMap::new();
    let mut nulls = Vec::new();
    for config in &topic.configs {
        match &config.value {
            Some(value) => drop(overrides.insert(config.name.to_string(), value.to_string())),
            None => nulls.push(config.name.to_string()),
        }
    }
    if nulls.is_empty() {
        return Ok(overrides);
    }
    Err((ErrorCode::InvalidConfig, format!("Null value not supported for topic configs: {}", nulls.join(","))))
}

fn assignment(broker: &Broker, topic: &CreatableTopic) -> Result<Assignment, Refusal> {
    if !topic.assignments.is_empty() {
        if topic.num_partitions != -1 || topic.replication_factor != -1 {
            let text = "Both numPartitions or replicationFactor and replicasAssignments were set. Both cannot be used at the same time.";
            return Err((ErrorCode::InvalidRequest, text.into()));
        }
        let given = topic.assignments.iter();
        return Ok(given.map(|a| (a.partition_index, a.broker_ids.iter().copied().map(BrokerId).collect())).collect());
    }
    // Clients may leave out the numbers from v4 on; the broker does not look at the version.
    let or_default = |given: i32, default: i32| if given == -1 { default } else { given };
    let partitions = or_default(topic.num_partitions, broker.settings.get(keys::NUM_PARTITIONS));
    let replication_factor =
        or_default(i32::from(topic.replication_factor), broker.settings.get(keys::DEFAULT_REPLICATION_FACTOR));
    let brokers = candidates(&broker.metadata.image());
    assign(&brokers, partitions, replication_factor, Start::random())
        .map_err(|error| (ErrorCode::from(&error), error.to_string()))
}
