//! Produce (0), versions 0-11: appends batches to partitions that this broker leads.
//!
//! - acks 0: no answer, but an error closes the connection; 1: answered after the append; -1: when every partition's
//!   high watermark has passed the batch, or `timeout_ms` is over (7, the data stays).
//! - Partitions fail one by one. All appends happen before the first await, so requests of one connection keep their
//!   order; only the wait for replicas overlaps with later requests.
//! - A transaction that is not open yet in a partition is verified with its coordinator first (KIP-890); requests with
//!   a transactional id therefore run one after another.
//! - Versions 0-2 bring messages of magic 0 and 1, which the log converts.
//! - Leaves out: quotas.
//!   Studied: `KafkaApis.handleProduceRequest`, `ReplicaManager.{handleProduceAppend, appendRecords}`.

use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;

use super::hints::LeaderHints;
use super::prelude::*;
use crate::ids::{CONSUMER_OFFSETS, Offset, TRANSACTION_STATE, TopicPartition};
use crate::log::{AppendError, Guard};
use crate::record::{AppendOrigin, BatchHeader, ValidateError, check_produce};
use crate::replica::txn::TxnProducer;
use crate::replica::{CommitWait, LeaderAppendError, Manager, Partition};
use crate::time::Millis;
use messages::produce::*;

/// The client that may write to internal topics.
const ADMIN_CLIENT: &str = "__admin_client";

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    serve(&broker.replicas, ctx, request).await
}

/// Serves the request; the replica manager is all it needs.
pub async fn serve(replicas: &Manager, ctx: &RequestContext, mut request: Request) -> Answer<Response> {
    keep_last(&mut request.topic_data);
    let acks = request.acks;
    if is_transactional(&request) && request.transactional_id.is_none() {
        let refuse =
            |_: &str, data: PartitionProduceData| failed(data.index, ErrorCode::TransactionalIdAuthorizationFailed);
        return answer(acks, each(request.topic_data, refuse));
    }
    if (3..7).contains(&ctx.api_version) && asks_unknown_codec(replicas, &request) {
        return answer(acks, each(request.topic_data, |_, data| failed(data.index, ErrorCode::UnknownServerError)));
    }
    let mut guards = match verify(replicas, ctx, &request).await {
        Ok(guards) => guards,
        Err(error) => return answer(acks, each(request.topic_data, |_, data| failed(data.index, error))),
    };
    let timeout_ms = Millis::from(request.timeout_ms);
    let mut waiting: BTreeMap<(usize, usize), (Arc<Partition>, Offset)> = BTreeMap::new();
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for (t, topic) in request.topic_data.into_iter().enumerate() {
        let mut partition_responses = Vec::with_capacity(topic.partition_data.len());
        for (p, data) in topic.partition_data.into_iter().enumerate() {
            let (response, appended) = match guards.remove(&(t, p)).unwrap_or(Ok(None)) {
                Ok(guard) => append(replicas, ctx, acks, &topic.name, data, guard),
                Err(error) => (unverified(data.index, error, ctx.api_version), None),
            };
            partition_responses.push(response);
            if let Some(appended) = appended {
                waiting.insert((t, p), appended);
            }
        }
        responses.push(TopicProduceResponse { name: topic.name, partition_responses });
    }
    if acks == -1 && !waiting.is_empty() {
        let (places, waits): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        let outcomes = CommitWait::new(waits).outcomes(replicas, timeout_ms).await;
        for ((t, p), outcome) in places.into_iter().zip(outcomes) {
            responses[t].partition_responses[p].error_code = wire_code(outcome, ctx.api_version);
        }
    }
    let mut response = Response { responses, ..Default::default() };
    if ctx.api_version >= 10 {
        add_leaders(replicas, ctx, &mut response);
    }
    answer(acks, response)
}

/// Does a partition that exists bring a codec that nobody knows? Kafka trips over it while it looks for zstd, which these
/// versions may not send, and fails the whole request; later versions fail the partition.
fn asks_unknown_codec(replicas: &Manager, request: &Request) -> bool {
    let image = replicas.env().metadata.image();
    request.topic_data.iter().any(|topic| {
        topic.partition_data.iter().any(|data| {
            matches!(&data.records, Records::Bytes(bytes)
                if BatchHeader::read(bytes).is_ok_and(|h| h.magic == 2 && h.attributes.codec().is_none()))
                && image.partition(&topic.name, data.index).is_some()
        })
    })
}

/// Of a partition that stands there several times, the last data count, as in Kafka.
fn keep_last(topics: &mut Vec<TopicProduceData>) {
    if let [topic] = topics.as_slice()
        && topic.partition_data.len() == 1
    {
        return;
    }
    let mut seen = HashSet::new();
    for topic in topics.iter_mut().rev() {
        let mut kept: Vec<_> = std::mem::take(&mut topic.partition_data)
            .into_iter()
            .rev()
            .filter(|data| seen.insert((topic.name.clone(), data.index)))
            .collect();
        kept.reverse();
        topic.partition_data = kept;
    }
    topics.retain(|topic| !topic.partition_data.is_empty());
}

/// With acks 0 nobody reads an answer; an error can only be shown by closing the connection.
fn answer(acks: i16, response: Response) -> Answer<Response> {
    if acks != 0 {
        return Answer::Reply(response);
    }
    let failed = |topic: &TopicProduceResponse| topic.partition_responses.iter().any(|p| p.error_code != 0);
    if response.responses.iter().any(failed) { Answer::Close } else { Answer::NoReply }
}

fn each(
    topics: Vec<TopicProduceData>,
    respond: impl Fn(&str, PartitionProduceData) -> PartitionProduceResponse,
) -> Response {
    let topic = |topic: TopicProduceData| TopicProduceResponse {
        partition_responses: topic.partition_data.into_iter().map(|data| respond(&topic.name, data)).collect(),
        name: topic.name,
    };
    Response { responses: topics.into_iter().map(topic).collect(), ..Default::default() }
}

fn failed(index: i32, error: ErrorCode) -> PartitionProduceResponse {
    PartitionProduceResponse { index, error_code: error.code(), base_offset: -1, ..Default::default() }
}

/// Storage errors are told as "not leader" to clients that do not know them.
fn wire_code(error: ErrorCode, version: i16) -> i16 {
    if error == ErrorCode::KafkaStorageError && version <= 3 {
        return ErrorCode::NotLeaderOrFollower.code();
    }
    error.code()
}

fn is_transactional(request: &Request) -> bool {
    request.topic_data.iter().flat_map(|topic| &topic.partition_data).any(|data| match &data.records {
        Records::Bytes(bytes) => BatchHeader::read(bytes).is_ok_and(|header| header.attributes.transactional()),
        _ => false,
    })
}

/// By place in the request: what an append needs, or why the batch must not be written.
type Guards = HashMap<(usize, usize), Result<Option<Guard>, ErrorCode>>;

/// Verifies the transaction for the partitions where it is about to begin.
///
/// # Errors
/// INVALID_PRODUCER_ID_MAPPING for the whole request if it carries more than one transactional producer.
async fn verify(replicas: &Manager, ctx: &RequestContext, request: &Request) -> Result<Guards, ErrorCode> {
    let Some(transactional_id) = &request.transactional_id else { return Ok(Guards::new()) };
    let image = replicas.env().metadata.image();
    let (mut places, mut partitions) = (Vec::new(), Vec::new());
    let mut producer: Option<(i64, i16)> = None;
    for (t, topic) in request.topic_data.iter().enumerate() {
        for (p, data) in topic.partition_data.iter().enumerate() {
            let Records::Bytes(bytes) = &data.records else { continue };
            let Ok(header) = BatchHeader::read(bytes) else { continue };
            let known =
                image.partition(&topic.name, data.index).is_some() && check_produce(bytes, ctx.api_version).is_ok();
            if !known || !header.has_producer_id() || !header.attributes.transactional() {
                continue;
            }
            if *producer.get_or_insert((header.producer_id, header.producer_epoch))
                != (header.producer_id, header.producer_epoch)
            {
                return Err(ErrorCode::InvalidProducerIdMapping);
            }
            places.push((t, p));
            partitions.push((TopicPartition::new(&*topic.name, data.index), header.base_sequence));
        }
    }
    let Some((producer_id, epoch)) = producer else { return Ok(Guards::new()) };
    let transactional_id = transactional_id.to_string();
    let producer = TxnProducer { transactional_id, producer_id, epoch, knows_abortable: ctx.api_version > 10 };
    let results = replicas.verify_txn(&producer, &partitions).await;
    Ok(places.into_iter().zip(results).collect())
}

/// The answer for a batch whose transaction could not be verified. Where asking again may help, it is told as an error
/// that every client generation retries without looking for another leader.
fn unverified(index: i32, error: ErrorCode, version: i16) -> PartitionProduceResponse {
    let (error, message) = match error {
        ErrorCode::InvalidTxnState => (error, Some("Partition was not added to the transaction".to_owned())),
        ErrorCode::ConcurrentTransactions
        | ErrorCode::NetworkException
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => {
            let text = "Unable to verify the partition has been added to the transaction. Underlying error";
            (ErrorCode::NotEnoughReplicas, Some(format!("{text}: {}", error.name())))
        }
        other => (other, None),
    };
    let error_code = wire_code(error, version);
    PartitionProduceResponse { error_code, error_message: message.map(Str::from), ..failed(index, error) }
}

/// Appends one partition's records; also returns what an acks=all answer has to wait for.
fn append(
    replicas: &Manager,
    ctx: &RequestContext,
    acks: i16,
    topic: &str,
    data: PartitionProduceData,
    guard: Option<Guard>,
) -> (PartitionProduceResponse, Option<(Arc<Partition>, Offset)>) {
    let index = data.index;
    let refuse = |error| (failed(index, error), None);
    let records = match data.records {
        Records::Bytes(bytes) => bytes,
        _ => Bytes::new(),
    };
    if replicas.env().metadata.image().partition(topic, index).is_none() {
        return refuse(ErrorCode::UnknownTopicOrPartition);
    }
    if let Err(error) = check_produce(&records, ctx.api_version) {
        return refuse(ErrorCode::from(&error));
    }
    if !(-1..=1).contains(&acks) {
        return refuse(ErrorCode::InvalidRequiredAcks);
    }
    if (topic == CONSUMER_OFFSETS || topic == TRANSACTION_STATE) && ctx.client_id() != ADMIN_CLIENT {
        return refuse(ErrorCode::InvalidTopicException);
    }
    match replicas.append_verified(topic, index, &records, AppendOrigin::Client, acks == -1, guard) {
        Ok((partition, info)) => {
            let response = PartitionProduceResponse {
                index,
                base_offset: info.first_offset.0,
                log_append_time_ms: info.log_append_time_ms,
                log_start_offset: info.log_start_offset.0,
                ..Default::default()
            };
            (response, Some((partition, Offset(info.last_offset.0 + 1))))
        }
        Err(error) => (append_failed(replicas, ctx, topic, index, &error), None),
    }
}

/// The answer to a refused append. What the log refused carries the log's start; what did not get that far, or is about
/// whole batches, does not.
fn append_failed(
    replicas: &Manager,
    ctx: &RequestContext,
    topic: &str,
    index: i32,
    error: &LeaderAppendError,
) -> PartitionProduceResponse {
    let code = ErrorCode::from(error);
    if code == ErrorCode::UnknownServerError {
        tracing::error!(topic, partition = index, %error, "Error processing append operation");
    } else {
        tracing::debug!(topic, partition = index, %error, "Append refused");
    }
    let mut response = failed(index, code);
    response.error_code = wire_code(code, ctx.api_version);
    let tells_start = !matches!(
        code,
        ErrorCode::UnknownTopicOrPartition
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::MessageTooLarge
            | ErrorCode::RecordListTooLarge
            | ErrorCode::CorruptMessage
            | ErrorCode::KafkaStorageError
    );
    if tells_start && let Ok(partition) = replicas.partition(topic, index) {
        response.log_start_offset = partition.log_start().0;
    }
    if let LeaderAppendError::Log(AppendError::Invalid(invalid @ ValidateError::Records { faults, .. })) = error {
        response.error_message = Some(invalid.to_string().into());
        response.record_errors = faults
            .iter()
            .map(|fault| BatchIndexAndErrorMessage {
                batch_index: fault.index,
                batch_index_error_message: Some(fault.message.as_str().into()),
            })
            .collect();
    }
    response
}

/// Tells clients that asked the wrong broker who leads (KIP-951).
fn add_leaders(replicas: &Manager, ctx: &RequestContext, response: &mut Response) {
    let mut hints = LeaderHints::default();
    for topic in &mut response.responses {
        for partition in &mut topic.partition_responses {
            if partition.error_code == ErrorCode::NotLeaderOrFollower.code() {
                let (leader_id, leader_epoch) = hints.leader(replicas, ctx, &topic.name, partition.index);
                partition.current_leader = LeaderIdAndEpoch { leader_id, leader_epoch };
            }
        }
    }
    let endpoint = |hint: super::hints::Endpoint| NodeEndpoint {
        node_id: hint.id,
        host: hint.host.into(),
        port: hint.port,
        rack: hint.rack.map(Str::from),
    };
    response.node_endpoints = hints.into_endpoints().map(endpoint).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_data_of_a_partition_count() {
        let data = |index, byte: &'static [u8]| PartitionProduceData {
            index,
            records: Records::Bytes(Bytes::from_static(byte)),
        };
        let topic = |name: &str, partition_data| TopicProduceData { name: name.into(), partition_data };
        let mut topics = vec![
            topic("a", vec![data(0, b"1"), data(1, b"2"), data(0, b"3")]),
            topic("b", vec![data(0, b"4")]),
            topic("a", vec![data(1, b"5")]),
        ];
        keep_last(&mut topics);
        let kept = [topic("a", vec![data(0, b"3")]), topic("b", vec![data(0, b"4")]), topic("a", vec![data(1, b"5")])];
        assert_eq!(topics, kept);
    }
}
