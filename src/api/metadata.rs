//! Metadata (3), versions 0-12: brokers, controller, topics with leaders and replicas.
//!
//! - v0 asks for all topics by an empty list, later versions by null. v4 may forbid auto creation; v8 adds authorised
//!   operations, v10 topic ids, v12 look-up by id.
//! - Brokers and leaders are shown by their address on the listener that the request came in on.
//! - Studied: KafkaApis.handleTopicMetadataRequest, ZkMetadataCache.getPartitionMetadata.
use super::prelude::*;
use crate::cluster::auto_create;
use crate::cluster::metadata::{Image, PartitionInfo, Topic};
use crate::ids::{BrokerId, CONSUMER_OFFSETS, TRANSACTION_STATE, TopicId};
use messages::metadata::*;

/// All operations that exist for a topic (bits 3 to 8, 10, 11): what everybody may do without an authorizer.
const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;
/// The same for the cluster (bits 5, 7 to 12).
const CLUSTER_OPERATIONS: i32 = 8096;

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    let version = ctx.api_version;
    if let Some(error) = refused(&request, version) {
        return Answer::Reply(failed_whole(request.topics.unwrap_or_default(), error, version));
    }
    let mut topics = Vec::new();
    match &request.topics {
        None => topics.extend(all_topics(broker, ctx)),
        Some(asked) if asked.is_empty() && version == 0 => topics.extend(all_topics(broker, ctx)),
        Some(asked) => {
            let by_id = asked.iter().any(|topic| !topic.topic_id.is_zero());
            let mut seen = std::collections::HashSet::new();
            for topic in asked {
                if by_id {
                    topics.push(by_topic_id(broker, ctx, topic.topic_id));
                } else if let Some(name) = topic.name.clone().filter(|name| seen.insert(name.clone())) {
                    let auto_create = request.allow_auto_topic_creation || version < 4;
                    topics.push(by_topic_name(broker, ctx, name, auto_create).await);
                }
            }
        }
    }
    if request.include_topic_authorized_operations {
        for topic in topics.iter_mut().filter(|topic| topic.error_code == 0) {
            topic.topic_authorized_operations = TOPIC_OPERATIONS;
        }
    }
    let image = broker.metadata.image();
    let brokers = image.brokers.values().filter_map(|alive| {
        let endpoint = alive.endpoint(&ctx.listener)?;
        Some(MetadataResponseBroker {
            node_id: alive.id.0,
            host: (&*endpoint.host).into(),
            port: endpoint.port,
            rack: alive.rack.as_deref().map(Into::into),
        })
    });
    Answer::Reply(Response {
        throttle_time_ms: 0,
        brokers: brokers.collect(),
        cluster_id: Some(broker.cluster_id.as_str().into()),
        controller_id: image.controller_id.filter(|id| image.is_alive(*id)).unwrap_or(BrokerId::NONE).0,
        topics,
        cluster_authorized_operations: if request.include_cluster_authorized_operations {
            CLUSTER_OPERATIONS
        } else {
            i32::MIN
        },
    })
}

/// Why a request is refused as a whole: topic ids are for v12 and for all topics of a request, or for none.
fn refused(request: &Request, version: i16) -> Option<ErrorCode> {
    let asked = request.topics.as_deref().unwrap_or_default();
    let by_id = asked.iter().any(|topic| !topic.topic_id.is_zero());
    let by_name = asked.iter().any(|topic| topic.topic_id.is_zero());
    let nameless = asked.iter().any(|topic| topic.name.is_none());
    if (by_id && (by_name || version < 12)) || (version < 12 && nameless) {
        return Some(ErrorCode::InvalidRequest);
    }
    // Neither name nor id: Kafka stumbles over the missing name.
    (by_name && nameless).then_some(ErrorCode::UnknownServerError)
}

/// The answer to a refused request tells nothing about the cluster.
fn failed_whole(asked: Vec<MetadataRequestTopic>, error: ErrorCode, version: i16) -> Response {
    let topics = asked.into_iter().map(|topic| match error {
        ErrorCode::UnknownServerError => failed(Some(topic.name.unwrap_or_default()), topic.topic_id, error, version),
        _ => failed(topic.name, topic.topic_id, error, version),
    });
    Response { topics: topics.collect(), ..Response::default() }
}

fn all_topics(broker: &Broker, ctx: &RequestContext) -> Vec<MetadataResponseTopic> {
    let image = broker.metadata.image();
    let mut topics: Vec<_> = image.topics().collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    topics.into_iter().map(|topic| shown(&image, topic, ctx)).collect()
}

fn by_topic_id(broker: &Broker, ctx: &RequestContext, id: TopicId) -> MetadataResponseTopic {
    let image = broker.metadata.image();
    match image.topic_by_id(id) {
        Some(topic) => shown(&image, topic, ctx),
        None => failed(None, id, ErrorCode::UnknownTopicId, ctx.api_version),
    }
}

async fn by_topic_name(
    broker: &Arc<Broker>,
    ctx: &RequestContext,
    name: Str,
    auto_create: bool,
) -> MetadataResponseTopic {
    let image = broker.metadata.image();
    if let Some(topic) = image.topic(&name) {
        return shown(&image, topic, ctx);
    }
    let error = if crate::cluster::topics::validate_name(&name).is_err() {
        ErrorCode::InvalidTopicException
    } else if auto_create && broker.settings.get(crate::config::keys::AUTO_CREATE_TOPICS_ENABLE) {
        auto_create::create(broker, &name).await
    } else {
        ErrorCode::UnknownTopicOrPartition
    };
    failed(Some(name), TopicId::ZERO, error, ctx.api_version)
}

fn failed(name: Option<Str>, id: TopicId, error: ErrorCode, version: i16) -> MetadataResponseTopic {
    let is_internal = name.as_deref().is_some_and(is_internal);
    MetadataResponseTopic {
        error_code: error.code(),
        // Only v12 can say that there is no name.
        name: if version < 12 { Some(name.unwrap_or_default()) } else { name },
        topic_id: id,
        is_internal,
        ..MetadataResponseTopic::default()
    }
}

fn is_internal(name: &str) -> bool {
    name == CONSUMER_OFFSETS || name == TRANSACTION_STATE
}

fn shown(image: &Image, topic: &Topic, ctx: &RequestContext) -> MetadataResponseTopic {
    let partitions = topic.partitions.iter().map(|(index, info)| shown_partition(image, *index, info, ctx));
    MetadataResponseTopic {
        error_code: 0,
        name: Some((&*topic.name).into()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: partitions.collect(),
        ..MetadataResponseTopic::default()
    }
}

fn shown_partition(image: &Image, index: i32, info: &PartitionInfo, ctx: &RequestContext) -> MetadataResponsePartition {
    let reachable = |id: &BrokerId| image.endpoint(*id, &ctx.listener).is_some();
    // Version 0 has no list of offline replicas: it leaves them out, and says that something is missing.
    let filter = |ids: &[BrokerId]| -> Vec<i32> {
        ids.iter().filter(|id| ctx.api_version > 0 || reachable(id)).map(|id| id.0).collect()
    };
    let (replica_nodes, isr_nodes) = (filter(&info.replicas), filter(&info.isr));
    let (leader_id, error) = if reachable(&info.leader) {
        let missing = replica_nodes.len() < info.replicas.len() || isr_nodes.len() < info.isr.len();
        (info.leader.0, if missing { ErrorCode::ReplicaNotAvailable } else { ErrorCode::None })
    } else if image.is_alive(info.leader) && ctx.api_version >= 6 {
        (-1, ErrorCode::ListenerNotFound)
    } else {
        (-1, ErrorCode::LeaderNotAvailable)
    };
    MetadataResponsePartition {
        error_code: error.code(),
        partition_index: index,
        leader_id,
        leader_epoch: info.leader_epoch.0,
        replica_nodes,
        isr_nodes,
        offline_replicas: filter(&info.offline_replicas),
    }
}
