//! AlterConfigs (33), versions 0-2: replaces all settings of topics, of this broker, or of all brokers.
//!
//! Every broker takes it for topics and for the empty broker name. Kafka has deprecated it, but its own tools still use it
//! for brokers. Studied: KafkaApis.handleAlterConfigsRequest.
use super::config_changes::{self, Change, Entry, How};
use super::prelude::*;
use messages::alter_configs::*;

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let changes: Vec<Change<'_>> = request.resources.iter().map(change).collect();
    let outcomes = config_changes::make(broker, &changes, How::Replace, request.validate_only).await;
    let responses = request.resources.iter().zip(outcomes).map(|(resource, outcome)| {
        let (error, message) = outcome.err().unwrap_or((ErrorCode::None, None));
        AlterConfigsResourceResponse {
            error_code: error.code(),
            error_message: message.map(Into::into),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
        }
    });
    Answer::Reply(Response { throttle_time_ms: 0, responses: responses.collect() })
}

fn change(resource: &AlterConfigsResource) -> Change<'_> {
    const SET: i8 = 0;
    let entries =
        resource.configs.iter().map(|config| Entry { name: &config.name, op: SET, value: config.value.as_deref() });
    Change { kind: resource.resource_type, name: &resource.resource_name, entries: entries.collect() }
}
