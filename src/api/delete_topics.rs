//! DeleteTopics (20), versions 0-6: marks topics for deletion; the controller does the rest.
//!
//! - Only the active controller's broker takes it. v6 names topics by id as well.
//! - The answer waits until the topic has left this broker's metadata, or `timeout_ms` (error 7).
//! - Studied: KafkaApis.handleDeleteTopicsRequest, ZkAdminManager.deleteTopics.
use super::prelude::*;
use crate::cluster::metadata::Image;
use crate::cluster::topics;
use crate::config::keys;
use crate::ids::TopicId;
use messages::delete_topics::*;

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    let mut asked: Vec<(Option<Str>, TopicId)> = if ctx.api_version >= 6 {
        request.topics.into_iter().map(|topic| (topic.name, topic.topic_id)).collect()
    } else {
        request.topic_names.into_iter().map(|name| (Some(name), TopicId::ZERO)).collect()
    };
    if asked.iter().any(|(name, id)| name.is_some() && !id.is_zero()) {
        let both = |(name, topic_id)| answer(name, topic_id, ErrorCode::InvalidRequest, ctx);
        return Answer::Reply(Response { responses: asked.into_iter().map(both).collect(), ..Response::default() });
    }
    let whole = if !broker.controller.is_active() {
        Some(ErrorCode::NotController)
    } else if !broker.settings.get(keys::DELETE_TOPIC_ENABLE) {
        Some(if ctx.api_version < 3 { ErrorCode::InvalidRequest } else { ErrorCode::TopicDeletionDisabled })
    } else {
        None
    };
    if let Some(error) = whole {
        let all = asked.into_iter().map(|(name, id)| answer(name, id, error, ctx));
        return Answer::Reply(Response { responses: all.collect(), ..Response::default() });
    }
    let image = broker.metadata.image();
    let mut responses = Vec::with_capacity(asked.len());
    let mut marked: Vec<usize> = Vec::new();
    for (name, id) in asked.drain(..) {
        let topic = match &name {
            Some(name) => image.topic(name),
            None => image.topic_by_id(id),
        };
        if name.is_none() && id.is_zero() {
            // Kafka takes the missing name for one that the client may not see.
            responses.push(answer(None, id, ErrorCode::TopicAuthorizationFailed, ctx));
            continue;
        }
        let missing = if name.is_some() { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::UnknownTopicId };
        let Some(topic) = topic else {
            responses.push(answer(name, id, missing, ctx));
            continue;
        };
        let known: Str = (&*topic.name).into();
        let error = match topics::mark_for_deletion(&broker.zk, &topic.name).await {
            Ok(_) => {
                marked.push(responses.len());
                ErrorCode::None
            }
            Err(error) => ErrorCode::from(&error),
        };
        // The id is only told to who asked by it.
        responses.push(answer(Some(known), id, error, ctx));
    }
    let gone = |response: &DeletableTopicResult, image: &Image| {
        response.name.as_deref().is_none_or(|name| image.topic(name).is_none())
    };
    let timeout_ms = i64::from(request.timeout_ms);
    let all_gone = |image: &Image| marked.iter().all(|at| gone(&responses[*at], image));
    let in_time = marked.is_empty() || (timeout_ms > 0 && broker.metadata.wait_until(timeout_ms, all_gone).await);
    if !in_time {
        let image = broker.metadata.image();
        for at in marked {
            if timeout_ms <= 0 || !gone(&responses[at], &image) {
                responses[at].error_code = ErrorCode::RequestTimedOut.code();
            }
        }
    }
    Answer::Reply(Response { throttle_time_ms: 0, responses })
}

fn answer(name: Option<Str>, topic_id: TopicId, error: ErrorCode, ctx: &RequestContext) -> DeletableTopicResult {
    DeletableTopicResult {
        // Only v6 can say that there is no name.
        name: if ctx.api_version < 6 { Some(name.unwrap_or_default()) } else { name },
        topic_id,
        error_code: error.code(),
        error_message: None,
    }
}
