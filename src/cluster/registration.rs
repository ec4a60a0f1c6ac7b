//! A broker's entry into the cluster: the paths that must exist, the cluster's id, the registration.
//!
//! Source: `kafka.server.KafkaServer.startup`, `kafka.zk.KafkaZkClient.{registerBroker, CheckedEphemeral}`.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::ids::{BrokerEpoch, BrokerId, Uuid, ZkVersion};
use crate::zk::data::{BrokerRegistration, ClusterId, Data, DataError, ProducerIdBlock};
use crate::zk::op::{Acl, CreateMode, Op, Reply, Stat, Write, ZkError};
use crate::zk::path;
use crate::zk::remote::calls::{Node, create, delete, set_data};
use crate::zk::remote::{Client, SessionEvent};

/// How long past the session time-out a start waits for an old registration of its own id to vanish.
const EXPIRY_GRACE: Duration = Duration::from_secs(2);

/// Why a broker could not enter the cluster.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum RegistrationError {
    #[error("ZooKeeper answered {0}")]
    Zk(#[from] ZkError),
    #[error("{path}: {source}")]
    Data { path: String, source: DataError },
    /// Another session, alive, owns the registration.
    #[error(
        "broker id {id} is taken: {path} exists and its owner, session {owner:#x}{details}, is not this session {session:#x}"
    )]
    Taken { id: BrokerId, path: String, owner: i64, session: i64, details: String },
    #[error("the advertised endpoints {endpoints} are already registered by broker {by}")]
    EndpointsTaken { endpoints: String, by: BrokerId },
}

/// Creates what every broker expects, in Kafka's order, but parents first and all in one go: the ensemble writes them to
/// disk together, where Kafka waits for each.
pub async fn create_persistent_paths(zk: &Client) -> Result<(), ZkError> {
    let mut nodes: Vec<&str> = Vec::new();
    for path in path::PERSISTENT {
        let mut missing: Vec<&str> = std::iter::successors(Some(path), |path| path::parent(path))
            .take_while(|path| *path != "/")
            .filter(|path| !nodes.contains(path))
            .collect();
        missing.reverse();
        nodes.extend(missing);
    }
    let creates = nodes.into_iter().map(|path| Op::Write(create(path, first_data(path)))).collect();
    for outcome in zk.run_all(creates).await {
        match outcome {
            Ok(_) | Err(ZkError::NodeExists) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// All of them begin without data, but see [`ProducerIdBlock::NONE_YET`].
fn first_data(path: &str) -> Option<bytes::Bytes> {
    (path == path::PRODUCER_ID_BLOCK).then(|| ProducerIdBlock::NONE_YET.encode())
}

/// The id of the cluster; the first broker makes one up.
pub async fn cluster_id(zk: &Client) -> Result<String, RegistrationError> {
    let bad = |source| RegistrationError::Data { path: path::CLUSTER_ID.into(), source };
    loop {
        if let Some((data, _)) = zk.try_get(path::CLUSTER_ID, false).await? {
            return Ok(ClusterId::decode(&data.unwrap_or_default()).map_err(bad)?.id);
        }
        let new = ClusterId::new(Uuid::random().to_string());
        match zk.create_with_parents(path::CLUSTER_ID, Some(new.encode())).await {
            Ok(()) => {
                tracing::info!(cluster_id = new.id, "made the id of a new cluster");
                return Ok(new.id);
            }
            Err(ZkError::NodeExists) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A broker id for `broker.id=-1`: above `reserved.broker.max.id`, never given twice.
pub async fn generate_broker_id(zk: &Client, reserved_max: i32) -> Result<BrokerId, ZkError> {
    loop {
        match zk.write(set_data(path::BROKER_SEQUENCE, Default::default(), ZkVersion::NONE)).await {
            Ok(Reply::Set { stat }) => return Ok(BrokerId(stat.version + reserved_max)),
            Err(ZkError::NoNode) => zk.create_path(path::BROKER_SEQUENCE).await?,
            Err(error) => return Err(error),
            Ok(_) => return Err(ZkError::RuntimeInconsistency),
        }
    }
}

/// All registered brokers with their epochs (`Stat::czxid`); registrations that do not read are left out with a
/// warning.
pub async fn brokers(zk: &Client) -> Result<Vec<(BrokerId, BrokerRegistration, Stat)>, ZkError> {
    let mut ids: Vec<_> = (zk.children(path::BROKER_IDS, false).await?.iter())
        .filter_map(|name| name.parse().ok().map(BrokerId))
        .collect();
    ids.sort();
    let nodes = zk.try_get_all(ids.iter().map(|&id| path::broker(id))).await?;
    let mut brokers = Vec::with_capacity(ids.len());
    for (id, node) in ids.into_iter().zip(nodes) {
        let Some((data, stat)) = node else { continue };
        match BrokerRegistration::decode(&data.unwrap_or_default()) {
            Ok(registration) => brokers.push((id, registration, stat)),
            Err(error) => tracing::warn!(%id, %error, "unreadable broker registration"),
        }
    }
    Ok(brokers)
}

/// Refuses to go on if another broker advertises one of our addresses.
pub async fn check_endpoints(
    zk: &Client,
    id: BrokerId,
    registration: &BrokerRegistration,
) -> Result<(), RegistrationError> {
    for (other, theirs, _) in brokers(zk).await?.into_iter().filter(|(other, ..)| *other != id) {
        let same = |ours: &&crate::zk::data::Endpoint| {
            theirs.endpoints.iter().any(|theirs| (&theirs.host, theirs.port) == (&ours.host, ours.port))
        };
        let taken: Vec<_> =
            registration.endpoints.iter().filter(same).map(|e| format!("{}:{}", e.host, e.port)).collect();
        if !taken.is_empty() {
            return Err(RegistrationError::EndpointsTaken { endpoints: taken.join(","), by: other });
        }
    }
    Ok(())
}

/// Registers one broker, again and again as its sessions come and go.
#[derive(Debug)]
pub struct Registrar {
    zk: Client,
    id: BrokerId,
    /// The session that registered last: what it left behind is ours to remove (KAFKA-7165).
    session: Option<i64>,
}

impl Registrar {
    pub fn new(zk: Client, id: BrokerId) -> Self {
        Self { zk, id, session: None }
    }

    /// Creates `/brokers/ids/N` for the current session. Returns the broker epoch: the transaction that created it.
    pub async fn register(&mut self, registration: &BrokerRegistration) -> Result<BrokerEpoch, RegistrationError> {
        let path = path::broker(self.id);
        let data = registration.encode();
        loop {
            // The second operation is there for its Stat, which `create` does not give (KAFKA-7235).
            let create =
                Write::Create { path: path.clone(), data: None, mode: CreateMode::Ephemeral, acl: Acl::open() };
            let multi = vec![create, set_data(path.as_str(), data.clone(), ZkVersion(0))];
            let stat = match self.zk.write_all(multi).await {
                Ok(replies) => match replies.as_slice() {
                    [_, Reply::Set { stat }] => *stat,
                    _ => return Err(ZkError::RuntimeInconsistency.into()),
                },
                Err((0, ZkError::NodeExists)) => match self.owned(&path).await? {
                    Some(stat) => stat,
                    None => continue,
                },
                Err((0, ZkError::NoNode)) => {
                    self.zk.create_path(path::BROKER_IDS).await?;
                    continue;
                }
                Err((_, error)) => return Err(error.into()),
            };
            self.session = Some(self.zk.session_id());
            let endpoints: Vec<_> = registration.endpoints.iter().map(ToString::to_string).collect();
            tracing::info!(
                "Registered broker {} at path {path} with addresses: {}, czxid (broker epoch): {}",
                self.id,
                endpoints.join(","),
                stat.czxid
            );
            return Ok(BrokerEpoch(stat.czxid));
        }
    }

    /// The node exists. Its Stat if it is ours, `None` if it has gone now.
    async fn owned(&self, path: &str) -> Result<Option<Stat>, RegistrationError> {
        let Some((data, stat)) = self.zk.try_get(path, false).await? else { return Ok(None) };
        let session = self.zk.session_id();
        if stat.ephemeral_owner == session {
            // Our own first try, whose answer was lost.
            return Ok(Some(stat));
        }
        if self.session == Some(stat.ephemeral_owner) {
            tracing::info!(path, "removing the registration of this broker's expired session");
            return match self.zk.write(delete(path, ZkVersion::NONE)).await {
                Ok(_) | Err(ZkError::NoNode) => Ok(None),
                Err(error) => Err(error.into()),
            };
        }
        Err(self.taken(path, &(data, stat)))
    }

    fn taken(&self, path: &str, (data, stat): &Node) -> RegistrationError {
        let details = match data.as_deref().map(BrokerRegistration::decode) {
            Some(Ok(broker)) => {
                let endpoints: Vec<_> = broker.endpoints.iter().map(ToString::to_string).collect();
                format!(" at {}", endpoints.join(","))
            }
            _ => String::new(),
        };
        RegistrationError::Taken {
            id: self.id,
            path: path.into(),
            owner: stat.ephemeral_owner,
            session: self.zk.session_id(),
            details,
        }
    }

    /// The registration of a start. If another session has our id, it may be that of our own process before it was
    /// killed: waits for it to expire, up to `session_timeout_ms` and two seconds; Kafka would exit at once.
    pub async fn register_at_start(
        &mut self,
        registration: &BrokerRegistration,
        session_timeout_ms: u32,
    ) -> Result<BrokerEpoch, RegistrationError> {
        let deadline = Instant::now() + Duration::from_millis(session_timeout_ms.into()) + EXPIRY_GRACE;
        let path = path::broker(self.id);
        let mut said = false;
        loop {
            let taken = match self.register(registration).await {
                Err(taken @ RegistrationError::Taken { .. }) => taken,
                other => return other,
            };
            if Instant::now() >= deadline {
                return Err(taken);
            }
            if !said {
                tracing::warn!(
                    "{taken}; waiting up to {} ms for it to vanish",
                    (deadline - Instant::now()).as_millis()
                );
                said = true;
            }
            self.until_gone(&path, deadline).await?;
        }
    }

    /// Returns when `path` is gone, changed, or the deadline has passed.
    async fn until_gone(&self, path: &str, deadline: Instant) -> Result<(), ZkError> {
        let mut events = self.zk.subscribe();
        if self.zk.exists(path, true).await?.is_none() {
            return Ok(());
        }
        let changed = async {
            while let Some(event) = events.recv().await {
                if matches!(event, SessionEvent::Watch(event) if event.path == path) {
                    return;
                }
            }
        };
        // A time-out is no error here: the caller looks again.
        let _ = timeout_at(deadline, changed).await;
        Ok(())
    }
}
