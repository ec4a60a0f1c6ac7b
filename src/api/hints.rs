//! Who leads a partition, for clients that asked the wrong broker (KIP-951); Produce v10 and Fetch v16 carry it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::RequestContext;
use crate::ids::BrokerId;
use crate::replica::Manager;

/// The address of a leader, on the listener that the client came in on.
pub struct Endpoint {
    pub id: i32,
    pub host: Arc<str>,
    pub port: i32,
    pub rack: Option<Arc<str>>,
}

/// Collects the leaders' addresses while an answer is built.
#[derive(Default)]
pub struct LeaderHints {
    endpoints: BTreeMap<i32, Endpoint>,
}

impl LeaderHints {
    /// Leader and epoch of a partition: as its replica here knows them, else from the metadata image; -1 if unknown.
    pub fn leader(&mut self, replicas: &Manager, ctx: &RequestContext, topic: &str, partition: i32) -> (i32, i32) {
        let image = replicas.env().metadata.image();
        let (leader, epoch) = match replicas.partition(topic, partition) {
            Ok(partition) => partition.with_state(|state| (state.leader(), state.leader_epoch())),
            Err(_) => match image.partition(topic, partition) {
                Some(info) => (info.leader, info.leader_epoch),
                None => return (-1, -1),
            },
        };
        if let Some(endpoint) = image.endpoint(leader, &ctx.listener) {
            let rack = image.brokers.get(&leader).and_then(|broker| broker.rack.clone());
            let BrokerId(id) = leader;
            self.endpoints.insert(id, Endpoint { id, host: endpoint.host.clone(), port: endpoint.port, rack });
        }
        (leader.0, epoch.0)
    }

    /// The addresses, each leader once.
    pub fn into_endpoints(self) -> impl Iterator<Item = Endpoint> {
        self.endpoints.into_values()
    }
}
