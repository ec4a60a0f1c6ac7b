//! ApiVersions (18), versions 0-4: what does this broker offer?
//!
//! - The list is the API table, in the order of API keys.
//! - A version that we lack is answered in the form of v0 with UNSUPPORTED_VERSION and our own range (KIP-511).
//! - From v3 a client names its software; a name or version outside `[a-zA-Z0-9]([a-zA-Z0-9\-.]*[a-zA-Z0-9])?` gets
//!   INVALID_REQUEST and an empty list.
//! - No features are supported or finalized with ZooKeeper; from v3 their epoch is the version of `/feature`.
//!
//! Studied: `KafkaApis.handleApiVersionsRequest`, `ApiVersionsRequest.isValid`.

use std::ops::RangeInclusive;

use super::prelude::*;
use super::{OFFERED, Offer};
use crate::wire::ApiKey;
use messages::api_versions::{ApiVersion, FinalizedFeatureKey, Request, Response};

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    let mut response = respond(ctx.api_version, &request, OFFERED);
    if response.error_code == 0
        && let Some(features) = &*broker.features.load()
    {
        response.finalized_features_epoch = features.epoch;
        response.finalized_features = features.levels.iter().map(finalized).collect();
    }
    response.into()
}

/// A finalized level is told as both bounds, as Kafka does.
fn finalized((name, &level): (&String, &i16)) -> FinalizedFeatureKey {
    FinalizedFeatureKey { name: name.as_str().into(), max_version_level: level, min_version_level: level }
}

/// The answer of a broker with this table.
pub fn respond<B>(version: i16, request: &Request, offered: &[Offer<B>]) -> Response {
    let named = is_software_word(&request.client_software_name) && is_software_word(&request.client_software_version);
    if version >= 3 && !named {
        return Response { error_code: ErrorCode::InvalidRequest.code(), ..Response::default() };
    }
    let mut api_keys: Vec<_> = offered.iter().map(|offer| entry(offer.api, offer.versions())).collect();
    api_keys.sort_by_key(|entry| entry.api_key);
    Response { api_keys, ..Response::default() }
}

/// The answer to a version that is not offered; encoded as v0.
pub(super) fn unsupported(offered: RangeInclusive<i16>) -> Response {
    Response {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: vec![entry(ApiKey::ApiVersions, offered)],
        ..Response::default()
    }
}

fn entry(api: ApiKey, versions: RangeInclusive<i16>) -> ApiVersion {
    ApiVersion { api_key: api.key(), min_version: *versions.start(), max_version: *versions.end() }
}

fn is_software_word(word: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(word.chars().next()) && edge(word.chars().next_back()) && word.chars().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_offer_is_listed_by_key() {
        let response = respond(0, &Request::default(), OFFERED);
        assert_eq!(response.api_keys.len(), OFFERED.len());
        assert!(response.api_keys.is_sorted_by_key(|entry| entry.api_key));
        for offer in OFFERED {
            let (offered, known) = (offer.versions(), offer.api.versions());
            assert!(known.contains(offered.start()) && known.contains(offered.end()), "{} {offered:?}", offer.api);
        }
    }

    #[test]
    fn software_is_named_properly_from_v3() {
        for (name, good) in
            [("librdkafka", true), ("a", true), ("a.b-1", true), ("", false), ("-a", false), ("ä", false)]
        {
            let request = Request { client_software_name: name.into(), client_software_version: "1.0".into() };
            assert_eq!(respond(3, &request, OFFERED).error_code == 0, good, "{name}");
            assert_eq!(respond(2, &request, OFFERED).error_code, 0);
        }
    }
}
