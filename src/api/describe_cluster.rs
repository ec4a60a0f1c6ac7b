//! DescribeCluster (60), versions 0-1: brokers, controller and id of the cluster.
//!
//! - Brokers are those alive with an address under the name of the listener that the request came in on; the controller is
//!   -1 if it is not among them.
//! - v1 names a kind of end point: brokers (1) only. Controllers (2): MISMATCHED_ENDPOINT_TYPE, anything else
//!   UNSUPPORTED_ENDPOINT_TYPE.
//! - Operations of the cluster are all that exist, if asked for: there is no authorizer.
//!
//! Studied: `KafkaApis.handleDescribeCluster`, `AuthHelper.computeDescribeClusterResponse`.

use super::prelude::*;
use crate::cluster::metadata::Image;
use messages::describe_cluster::{DescribeClusterBroker, Request, Response};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;
/// CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE: bits 5 and 7 to 12.
const ALL_CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;

pub async fn handle(broker: &Arc<Broker>, ctx: &RequestContext, request: Request) -> Answer<Response> {
    describe(&broker.metadata.image(), &broker.cluster_id, &ctx.listener, &request).into()
}

fn describe(image: &Image, cluster_id: &str, listener: &str, request: &Request) -> Response {
    let refused = match request.endpoint_type {
        BROKERS => None,
        CONTROLLERS => Some((
            ErrorCode::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
                .to_owned(),
        )),
        other => Some((ErrorCode::UnsupportedEndpointType, format!("Unsupported endpoint type {other}"))),
    };
    if let Some((error, message)) = refused {
        let error_message = Some(message.into());
        return Response { error_code: error.code(), error_message, ..Response::default() };
    }
    let described = |broker: &crate::cluster::metadata::AliveBroker| {
        let endpoint = broker.endpoint(listener)?;
        Some(DescribeClusterBroker {
            broker_id: broker.id.0,
            host: (&*endpoint.host).into(),
            port: endpoint.port,
            rack: broker.rack.as_deref().map(Str::from),
        })
    };
    let brokers: Vec<_> = image.brokers.values().filter_map(described).collect();
    let controller = image.controller_id.filter(|id| brokers.iter().any(|broker| broker.broker_id == id.0));
    let mut response = Response { cluster_id: cluster_id.into(), brokers, ..Response::default() };
    response.controller_id = controller.map_or(-1, |id| id.0);
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = ALL_CLUSTER_OPERATIONS;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::metadata::MetadataCache;
    use messages::update_metadata::{self, UpdateMetadataBroker, UpdateMetadataEndpoint};

    fn image() -> Arc<Image> {
        let endpoint = |listener: &str, port| UpdateMetadataEndpoint {
            host: "h".into(),
            port,
            listener: listener.into(),
            security_protocol: 0,
        };
        let broker = |id, endpoints| UpdateMetadataBroker {
            id,
            endpoints,
            rack: (id == 1).then(|| "r1".into()),
            ..Default::default()
        };
        let live_brokers =
            vec![broker(1, vec![endpoint("IN", 1), endpoint("OUT", 2)]), broker(2, vec![endpoint("IN", 3)])];
        let cache = MetadataCache::default();
        cache.update(&update_metadata::Request { controller_id: 2, live_brokers, ..Default::default() });
        cache.image()
    }

    #[test]
    fn brokers_are_those_of_the_listener() {
        let inside = describe(
            &image(),
            "c",
            "IN",
            &Request { include_cluster_authorized_operations: true, ..Default::default() },
        );
        let ids: Vec<_> = inside.brokers.iter().map(|broker| (broker.broker_id, broker.port)).collect();
        assert_eq!((ids, inside.controller_id), (vec![(1, 1), (2, 3)], 2));
        assert_eq!(inside.cluster_authorized_operations, 8096);
        assert_eq!(inside.brokers[0].rack.as_deref(), Some("r1"));
        let outside = describe(&image(), "c", "OUT", &Request::default());
        assert_eq!((outside.brokers.len(), outside.controller_id), (1, -1));
        assert_eq!(outside.cluster_authorized_operations, i32::MIN);
    }

    #[test]
    fn only_brokers_are_described() {
        let code =
            |endpoint_type| describe(&image(), "c", "IN", &Request { endpoint_type, ..Default::default() }).error_code;
        assert_eq!((code(1), code(2), code(3)), (0, 114, 115));
    }
}
