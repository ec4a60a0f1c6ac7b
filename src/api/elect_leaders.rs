//! ElectLeaders (43), versions 0-2: the controller elects preferred leaders, or (v1+) unclean ones where none is live.
//!
//! - The answer waits until this broker's metadata shows the new leaders, or `timeout_ms` (error 7).
//! - A request for all partitions is not told of those that needed no election.
//! - Studied: KafkaApis.handleElectLeaders, ReplicaManager.electLeaders, DelayedElectLeader (KIP-183, KIP-460).
use super::prelude::*;
use crate::cluster::metadata::Image;
use crate::controller::event::Election;
use crate::ids::{BrokerId, TopicPartition};
use messages::elect_leaders::*;

/// Outcome of one partition: code, and a text where Kafka gives one.
type Result = (TopicPartition, ErrorCode, Option<String>);

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    let of_all = request.topic_partitions.is_none();
    let partitions = match &request.topic_partitions {
        Some(topics) => asked(topics),
        None => all(&broker.metadata.image()),
    };
    let election = match request.election_type {
        0 => Election::Preferred,
        1 => Election::Unclean,
        // Kafka fails to make an election type of it.
        _ => return refuse(ctx, ErrorCode::UnknownServerError, partitions),
    };
    let elected = match broker.controller.elect_leaders(election, Some(partitions.clone())).await {
        Ok(elected) => elected,
        Err(error) => return refuse(ctx, error, partitions),
    };
    let mut results: Vec<Result> = Vec::with_capacity(elected.len());
    let mut expected: Vec<(TopicPartition, BrokerId)> = Vec::new();
    for (partition, outcome) in elected {
        match outcome {
            Ok(leader) => expected.push((partition, leader)),
            Err((error, text)) => results.push((partition, error, Some(text))),
        }
    }
    let metadata = &broker.metadata;
    let timeout_ms = i64::from(request.timeout_ms);
    metadata.wait_until(timeout_ms, |image| expected.iter().all(|(tp, leader)| is_shown(image, tp, *leader))).await;
    let image = metadata.image();
    results.extend(expected.into_iter().map(|(tp, leader)| match is_shown(&image, &tp, leader) {
        true => (tp, ErrorCode::None, None),
        false => (tp, ErrorCode::RequestTimedOut, None),
    }));
    Answer::Reply(response(ErrorCode::None, results, of_all))
}

fn asked(topics: &[TopicPartitions]) -> Vec<TopicPartition> {
    let mut partitions = Vec::new();
    for topic in topics {
        let name: Arc<str> = (&*topic.topic).into();
        partitions.extend(topic.partitions.iter().map(|index| TopicPartition::new(name.clone(), *index)));
    }
    partitions
}

fn all(image: &Image) -> Vec<TopicPartition> {
    let of = |topic: &crate::cluster::metadata::Topic| {
        topic.partitions.keys().map(|index| TopicPartition::new(topic.name.clone(), *index)).collect::<Vec<_>>()
    };
    image.topics().flat_map(|topic| of(topic)).collect()
}

fn is_shown(image: &Image, tp: &TopicPartition, leader: BrokerId) -> bool {
    image.partition(&tp.topic, tp.partition).is_some_and(|info| info.leader == leader)
}

/// The same error for every partition, and on top where the version has a place for it.
fn refuse(ctx: &RequestContext, error: ErrorCode, partitions: Vec<TopicPartition>) -> Answer<Response> {
    let top = if ctx.api_version == 0 { ErrorCode::None } else { error };
    Answer::Reply(response(top, partitions.into_iter().map(|tp| (tp, error, None)).collect(), false))
}

/// Results by topic; those that needed nothing are left out if all partitions were meant.
fn response(top: ErrorCode, results: Vec<Result>, of_all: bool) -> Response {
    let mut topics: Vec<ReplicaElectionResult> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (tp, error, text) in results {
        if of_all && error == ErrorCode::ElectionNotNeeded {
            continue;
        }
        let place = *places.entry(tp.topic.clone()).or_insert_with(|| {
            topics.push(ReplicaElectionResult { topic: (&*tp.topic).into(), partition_result: Vec::new() });
            topics.len() - 1
        });
        topics[place].partition_result.push(PartitionResult {
            partition_id: tp.partition,
            error_code: error.code(),
            error_message: text.map(Into::into),
        });
    }
    Response { throttle_time_ms: 0, error_code: top.code(), replica_election_results: topics }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_by_topic() {
        let tp = TopicPartition::new;
        let fine = || (tp("a", 1), ErrorCode::ElectionNotNeeded, Some("not needed".to_owned()));
        let results = || vec![(tp("a", 0), ErrorCode::None, None), (tp("b", 0), ErrorCode::None, None), fine()];
        let shape = |of_all| {
            let topics = response(ErrorCode::None, results(), of_all).replica_election_results.into_iter();
            let codes = |topic: ReplicaElectionResult| {
                let codes: Vec<_> = topic.partition_result.iter().map(|p| (p.partition_id, p.error_code)).collect();
                (topic.topic.to_string(), codes)
            };
            topics.map(codes).collect::<Vec<_>>()
        };
        assert_eq!(shape(false), [("a".into(), vec![(0, 0), (1, 84)]), ("b".into(), vec![(0, 0)])]);
        assert_eq!(shape(true), [("a".into(), vec![(0, 0)]), ("b".into(), vec![(0, 0)])]);
    }
}
