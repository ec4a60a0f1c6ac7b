//! DescribeConfigs (32), versions 0-4: settings of topics and of this broker, and where each comes from.
//!
//! - A broker answers for itself and, under the empty name, for what is set for all brokers; another id is 42.
//! - v1 has sources and synonyms instead of `is_default`, v3 types and documentation.
//! - Leaves out: broker loggers and client metrics (42). Studied: ConfigHelper.describeConfigs.
use super::prelude::*;
use crate::cluster::topics;
use crate::config::describe::{self, Entry};
use crate::zk::path::EntityType;
use messages::describe_configs::*;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
/// Group configurations of KIP-848: one such resource fails the request, as in Kafka's ZooKeeper mode.
const GROUP: i8 = 32;

pub async fn handle(broker: &Arc<Broker>, _ctx: &RequestContext, request: Request) -> Answer<Response> {
    let groups = request.resources.iter().any(|resource| resource.resource_type == GROUP);
    let mut results = Vec::with_capacity(request.resources.len());
    for resource in &request.resources {
        let described = if groups {
            Err((ErrorCode::InvalidRequest, "Group configs are not supported in ZooKeeper mode.".to_owned()))
        } else {
            describe(broker, resource).await
        };
        results.push(match described {
            Ok(entries) => DescribeConfigsResult {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                configs: entries
                    .into_iter()
                    .filter(|entry| wanted(resource, &entry.name))
                    .map(|entry| shown(entry, &request))
                    .collect(),
                ..DescribeConfigsResult::default()
            },
            Err((error, message)) => DescribeConfigsResult {
                error_code: error.code(),
                error_message: Some(message.into()),
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                ..DescribeConfigsResult::default()
            },
        });
    }
    Answer::Reply(Response { throttle_time_ms: 0, results })
}

async fn describe(broker: &Broker, resource: &DescribeConfigsResource) -> Result<Vec<Entry>, (ErrorCode, String)> {
    let name = &*resource.resource_name;
    match resource.resource_type {
        TOPIC => {
            topics::validate_name(name).map_err(|error| (ErrorCode::from(&error), error.to_string()))?;
            if broker.metadata.image().topic(name).is_none() {
                return Err((ErrorCode::UnknownTopicOrPartition, String::new()));
            }
            let overrides = topics::config(&broker.zk, EntityType::Topics, name)
                .await
                .map_err(|error| (ErrorCode::from(&error), error.to_string()))?;
            Ok(describe::topic(&overrides.0, &broker.settings.current()))
        }
        BROKER if name.is_empty() => Ok(describe::cluster_default(&broker.settings.current())),
        BROKER if name == broker.id.to_string() => Ok(describe::broker(&broker.settings.current())),
        BROKER => {
            let text = match name.parse::<i32>() {
                Ok(_) => format!("Unexpected broker id, expected {} or empty string, but received {name}", broker.id),
                Err(_) => format!("Broker id must be an integer, but it is: {name}"),
            };
            Err((ErrorCode::InvalidRequest, text))
        }
        LOGGER => {
            let text = match name.parse::<i32>() {
                Ok(id) if id == broker.id.0 => "Levels of loggers are not changed while this broker runs.".into(),
                Ok(_) => format!("Unexpected broker id, expected {} but received {name}", broker.id),
                Err(_) => format!("Broker id must be an integer, but it is: {name}"),
            };
            Err((ErrorCode::InvalidRequest, text))
        }
        CLIENT_METRICS => {
            Err((ErrorCode::InvalidRequest, "Config type client-metrics is only supported on KRaft clusters".into()))
        }
        _ => {
            let text = "This most likely occurs because of a request being malformed by the client library or the \
                        message was sent to an incompatible broker. See the broker logs for more details.";
            Err((ErrorCode::InvalidRequest, text.into()))
        }
    }
}

fn wanted(resource: &DescribeConfigsResource, name: &str) -> bool {
    match &resource.configuration_keys {
        Some(keys) if !keys.is_empty() => keys.iter().any(|key| &**key == name),
        _ => true,
    }
}

fn shown(entry: Entry, request: &Request) -> DescribeConfigsResourceResult {
    let synonyms = entry.synonyms.iter().filter(|_| request.include_synonyms).map(|synonym| DescribeConfigsSynonym {
        name: synonym.name.as_str().into(),
        value: synonym.value.as_deref().map(Into::into),
        source: synonym.source.wire_id(),
    });
    DescribeConfigsResourceResult {
        synonyms: synonyms.collect(),
        config_type: entry.wire_kind(),
        name: entry.name.into(),
        value: entry.value.map(Into::into),
        read_only: entry.read_only,
        // Kafka fills this field of v0 no more.
        is_default: false,
        config_source: entry.source.wire_id(),
        is_sensitive: entry.sensitive,
        documentation: entry.documentation.filter(|_| request.include_documentation).map(Into::into),
    }
}
