//! Fetch (1), versions 0-17: records for consumers and followers.
//!
//! - Consumers read up to the high watermark, or to the last stable offset; followers to the log's end, and what they
//!   ask for tells how far they are.
//! - Waits for `min_bytes` up to `max_wait_ms`, unless a partition has something to tell at once. The first partition with
//!   data gives at least one batch, whatever the limits.
//! - Incremental sessions since v7 (KIP-227), topic ids since v13, leaders for the misled since v16. Records leave as
//!   slices of the log's files.
//! - Versions 0-3 get messages of magic 0 or 1, converted unless `message.downconversion.enable` forbids it.
//! - Leaves out: quotas, preferred read replicas (no selector is honoured yet).
//!   Studied: `KafkaApis.handleFetchRequest`, `FetchSession`, `ReplicaManager.fetchMessages`.

use super::hints::LeaderHints;
use super::prelude::*;
use crate::config::{CompressionType, LogConfig};
use crate::ids::{LeaderEpoch, Offset, TopicName};
use crate::limits::CONVERTED_FETCH_BYTES;
use crate::record::{DownConvertError, down_convert};
use crate::replica::Manager;
use crate::replica::fetch_plan::Reader;
use crate::replica::fetch_session::{Answered, Asked, Asking, Finished, Key, Topic};
use crate::replica::reader::{FetchParams, PartitionRead, Target};
use crate::time::Millis;
use crate::wire::Part;
use messages::fetch::*;

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    serve(&broker.replicas, ctx, request).await.into()
}

/// The answer to a request that makes no sense. Up to v12 every partition has the error, too.
fn refused_whole(request: &Request, version: i16) -> Response {
    let error = ErrorCode::UnknownServerError;
    let answered = request.topics.iter().filter(|_| version < 13).map(|topic| FetchableTopicResponse {
        topic: topic.topic.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|asked| PartitionData {
                aborted_transactions: Some(Vec::new()),
                records: Records::Null,
                ..failed(asked.partition, error)
            })
            .collect(),
        ..Default::default()
    });
    Response {
        error_code: error.code(),
        session_id: request.session_id,
        responses: answered.collect(),
        ..Default::default()
    }
}

/// Serves the request; the replica manager is all it needs.
pub async fn serve(replicas: &Manager, ctx: &RequestContext, request: Request) -> Response {
    let version = ctx.api_version;
    let replica_id = if version >= 15 { request.replica_state.replica_id } else { request.replica_id };
    if !matches!(request.isolation_level, 0 | 1) {
        return refused_whole(&request, version);
    }
    let reader = Reader::from_wire(replica_id, request.isolation_level);
    let asking = Asking {
        session_id: request.session_id,
        session_epoch: request.session_epoch,
        uses_topic_ids: version >= 13,
        from_follower: reader.replica().is_some(),
    };
    let sessions = &replicas.sessions;
    let (wanted, forgotten) = (wanted(&request, version), forgotten(&request, version));
    let context = match sessions.open(asking, wanted, &forgotten, replicas.env().now_ms()) {
        Ok(context) => context,
        Err(error) => return Response { error_code: error.code(), ..Default::default() },
    };
    let max_bytes = request.max_bytes.min(replicas.options.fetch_max_bytes).max(0);
    let params = FetchParams {
        reader,
        leader_only: matches!(reader, Reader::Replica(_))
            || (matches!(reader, Reader::Consumer { .. }) && version < 11),
        max_wait_ms: Millis::from(request.max_wait_ms),
        min_bytes: request.min_bytes.min(max_bytes).max(0) as usize,
        max_bytes: if version < 4 { CONVERTED_FETCH_BYTES.min(max_bytes as usize) } else { max_bytes as usize },
        hard_max_bytes: version < 3,
    };
    let from_follower = asking.from_follower;
    // The frame of the request need not live while it waits.
    drop(request);

    let resolved: Vec<Result<TopicName, ErrorCode>> =
        context.partitions.iter().map(|(key, _)| resolve(replicas, key)).collect();
    // What is refused here does not end the wait of the others; what the replicas refuse does.
    let targets: Vec<Target> = resolved
        .iter()
        .zip(&context.partitions)
        .filter_map(|(name, (key, asked))| {
            Some(target(replicas, name.as_ref().ok()?, key, *asked, version, from_follower))
        })
        .collect();
    let mut reads =
        if targets.is_empty() { Vec::new().into_iter() } else { replicas.fetch(params, &targets).await.into_iter() };
    let magics: Vec<Option<i8>> = targets.iter().map(|target| converts_to(target, version)).collect();
    let mut magics = magics.into_iter();
    drop(targets);
    let mut answers: Vec<PartitionData> = Vec::with_capacity(resolved.len());
    for (name, (key, asked)) in resolved.iter().zip(&context.partitions) {
        answers.push(match name {
            // Kafka's answer object of a partition that it does not even try has an empty list here, not null.
            Err(error) => PartitionData { aborted_transactions: Some(Vec::new()), ..failed(key.partition, *error) },
            Ok(_) => {
                let magic = magics.next().flatten();
                let read = reads.next().unwrap_or(Err(ErrorCode::UnknownServerError));
                match read.and_then(|read| found(key.partition, read, magic, asked.fetch_offset)) {
                    Ok(data) => data,
                    // As real Kafka answers what the client could not read.
                    Err(error @ (ErrorCode::UnsupportedVersion | ErrorCode::UnsupportedCompressionType)) => {
                        let refused = failed(key.partition, error);
                        PartitionData { aborted_transactions: Some(Vec::new()), records: Records::Null, ..refused }
                    }
                    Err(error) => failed(key.partition, wire_error(error, version)),
                }
            }
        });
    }
    let answered: Vec<Answered> = answers.iter().map(session_view).collect();
    let keys: Vec<Key> = context.partitions.iter().map(|(key, _)| key.clone()).collect();
    let now = replicas.env().now_ms();
    let Finished { session_id, error, include } = context.finish(sessions, &answered, now, &mut || replicas.random());

    let mut response = Response { session_id, error_code: error.code(), ..Default::default() };
    let mut hints = LeaderHints::default();
    for (((key, name), include), mut data) in keys.into_iter().zip(resolved).zip(include).zip(answers) {
        if !include {
            continue;
        }
        let misled = [ErrorCode::NotLeaderOrFollower.code(), ErrorCode::FencedLeaderEpoch.code()];
        if let (true, true, Ok(name)) = (version >= 16, misled.contains(&data.error_code), name) {
            let (leader_id, leader_epoch) = hints.leader(replicas, ctx, &name, key.partition);
            data.current_leader = LeaderIdAndEpoch { leader_id, leader_epoch };
        }
        add(&mut response.responses, key.topic, data);
    }
    let endpoint = |hint: super::hints::Endpoint| NodeEndpoint {
        node_id: hint.id,
        host: hint.host.into(),
        port: hint.port,
        rack: hint.rack.map(Str::from),
    };
    response.node_endpoints = hints.into_endpoints().map(endpoint).collect();
    response
}

fn topic_key(name: &Str, id: crate::ids::TopicId, version_has_ids: bool) -> Topic {
    if version_has_ids { Topic::Id(id) } else { Topic::Name(name.into()) }
}

fn wanted(request: &Request, version: i16) -> Vec<(Key, Asked)> {
    let mut wanted = Vec::new();
    for topic in &request.topics {
        let key = topic_key(&topic.topic, topic.topic_id, version >= 13);
        for partition in &topic.partitions {
            let asked = Asked {
                fetch_offset: Offset(partition.fetch_offset),
                log_start: Offset(partition.log_start_offset),
                leader_epoch: LeaderEpoch(partition.current_leader_epoch),
                last_fetched_epoch: LeaderEpoch(partition.last_fetched_epoch),
                max_bytes: partition.partition_max_bytes,
            };
            wanted.push((Key { topic: key.clone(), partition: partition.partition }, asked));
        }
    }
    wanted
}

fn forgotten(request: &Request, version: i16) -> Vec<Key> {
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        let key = topic_key(&topic.topic, topic.topic_id, version >= 13);
        forgotten.extend(topic.partitions.iter().map(|p| Key { topic: key.clone(), partition: *p }));
    }
    forgotten
}

/// The topic's name, if the cluster has the partition.
fn resolve(replicas: &Manager, key: &Key) -> Result<TopicName, ErrorCode> {
    let image = replicas.env().metadata.image();
    let topic = match &key.topic {
        Topic::Id(id) => image.topic_by_id(*id).ok_or(ErrorCode::UnknownTopicId)?,
        Topic::Name(name) => image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?,
    };
    if topic.partitions.contains_key(&key.partition) {
        Ok(topic.name.clone())
    } else {
        Err(ErrorCode::UnknownTopicOrPartition)
    }
}

fn target(replicas: &Manager, name: &TopicName, key: &Key, asked: Asked, version: i16, from_follower: bool) -> Target {
    let partition = match replicas.partition(name, key.partition) {
        Ok(partition) => partition,
        Err(error) => return Target::Refused(error),
    };
    if let Topic::Id(id) = key.topic {
        let log_id = partition.topic_id();
        if !log_id.is_zero() && log_id != id {
            return Target::Refused(ErrorCode::InconsistentTopicId);
        }
    }
    let config = partition.log().config();
    // Clients before v10 cannot read zstd.
    if version < 10 && config.compression_type == CompressionType::Zstd {
        return Target::Refused(ErrorCode::UnsupportedCompressionType);
    }
    let consumer = !from_follower && !config.message_downconversion_enable;
    if consumer && conversion(&config, version).is_some() {
        return Target::Refused(ErrorCode::UnsupportedVersion);
    }
    Target::Hosted(partition, asked)
}

/// The format that a client of this version needs, if it is older than the log's.
fn conversion(config: &LogConfig, version: i16) -> Option<i8> {
    let newest = match version {
        0..=1 => 0,
        2..=3 => 1,
        _ => return None,
    };
    (config.target_magic() > newest).then_some(newest)
}

fn converts_to(target: &Target, version: i16) -> Option<i8> {
    match target {
        Target::Hosted(partition, _) if version < 4 => conversion(&partition.log().config(), version),
        _ => None,
    }
}

fn wire_error(error: ErrorCode, version: i16) -> ErrorCode {
    if error == ErrorCode::KafkaStorageError && version <= 5 { ErrorCode::NotLeaderOrFollower } else { error }
}

fn failed(partition_index: i32, error: ErrorCode) -> PartitionData {
    PartitionData {
        partition_index,
        error_code: error.code(),
        high_watermark: -1,
        aborted_transactions: None,
        records: Records::Bytes(Default::default()),
        ..Default::default()
    }
}

/// The answer for what was read, converted to `magic` if need be. Errors: 76 if the first batch cannot be, -1 if it cannot
/// be read.
fn found(
    partition_index: i32,
    read: PartitionRead,
    magic: Option<i8>,
    fetch_offset: Offset,
) -> Result<PartitionData, ErrorCode> {
    let records = match (read.records, magic) {
        (None, _) => Records::Bytes(Default::default()),
        (Some(slice), None) => Records::Rope(vec![Part::File(slice)]),
        (Some(slice), Some(magic)) => {
            let bytes = slice.read().map_err(|_| ErrorCode::KafkaStorageError)?;
            let parts = down_convert(&bytes, magic, fetch_offset.0).map_err(|error| match error {
                DownConvertError::Zstd => ErrorCode::UnsupportedCompressionType,
                DownConvertError::Records(error) => {
                    tracing::error!(partition = partition_index, %error, "Records cannot be converted");
                    ErrorCode::UnknownServerError
                }
            })?;
            Records::Rope(parts.into_iter().map(Part::Bytes).collect())
        }
    };
    let aborted = |list: Vec<crate::log::AbortedTxn>| {
        let txn = |txn: crate::log::AbortedTxn| AbortedTransaction {
            producer_id: txn.producer_id,
            first_offset: txn.first_offset,
        };
        list.into_iter().map(txn).collect()
    };
    Ok(PartitionData {
        partition_index,
        error_code: 0,
        high_watermark: read.high_watermark.0,
        last_stable_offset: read.last_stable_offset.0,
        log_start_offset: read.log_start.0,
        diverging_epoch: match read.diverging {
            Some((epoch, end)) => EpochEndOffset { epoch: epoch.0, end_offset: end.0 },
            None => Default::default(),
        },
        aborted_transactions: read.aborted.map(aborted),
        records,
        ..Default::default()
    })
}

fn session_view(data: &PartitionData) -> Answered {
    Answered {
        high_watermark: data.high_watermark,
        log_start: data.log_start_offset,
        has_records: !data.records.is_empty(),
        is_error: data.error_code != 0,
        is_redirect: data.diverging_epoch.epoch >= 0 || data.preferred_read_replica >= 0,
    }
}

/// Adds a partition; neighbours of one topic share its entry.
fn add(responses: &mut Vec<FetchableTopicResponse>, topic: Topic, data: PartitionData) {
    let (name, topic_id) = match topic {
        Topic::Id(id) => (Str::default(), id),
        Topic::Name(name) => (Str::from(name), Default::default()),
    };
    match responses.last_mut().filter(|last| last.topic == name && last.topic_id == topic_id) {
        Some(last) => last.partitions.push(data),
        None => responses.push(FetchableTopicResponse { topic: name, topic_id, partitions: vec![data] }),
    }
}
