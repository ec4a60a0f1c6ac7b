//! Brokers without sockets: replica managers over real logs in temporary directories, joined by links that encode every
//! message and decode it again. The test is the controller.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};

use barnabas::api::{self, Answer, RequestContext};
use barnabas::cluster::metadata::MetadataCache;
use barnabas::config::LogConfig;
use barnabas::error::ErrorCode;
use barnabas::ids::{BrokerId, Offset, TopicPartition, Uuid};
use barnabas::log;
use barnabas::record::BatchBuilder;
use barnabas::replica::alter_partition::ControllerLink;
use barnabas::replica::fetcher::FetchOptions;
use barnabas::replica::links::{LeaderLink, LeaderLinks, LinkError};
use barnabas::replica::{Manager, Options, Partition, Parts, Versions};
use barnabas::time::Clock;
use barnabas::wait::{BoxFuture, TokioRuntime};
use barnabas::wire::frame::{decode_response, encode_request, encode_response, read_request_header};
use barnabas::wire::messages::*;
use barnabas::wire::{Records, Request};
use bytes::Bytes;
use parking_lot::Mutex;

pub const TOPIC: &str = "t";
pub const TOPIC_ID: Uuid = Uuid(77);
pub const LAG_MAX_MS: i64 = 400;

/// One broker.
pub struct Node {
    pub id: i32,
    pub manager: Arc<Manager>,
    pub logs: Arc<log::Manager>,
    /// No request of this broker reaches another one while set.
    pub cut: Arc<AtomicBool>,
    dir: tempfile::TempDir,
}

/// The cluster as the test, being the controller, wants it.
pub struct Cluster {
    pub nodes: BTreeMap<i32, Node>,
    pub controller: Arc<Controller>,
    peers: Arc<Mutex<HashMap<i32, Weak<Manager>>>>,
}

/// Answers AlterPartition by accepting, and remembers what was asked.
#[derive(Default)]
pub struct Controller {
    pub asked: Mutex<Vec<(i32, Vec<i32>)>>,
    pub refuse: Mutex<Option<ErrorCode>>,
}

struct Accepting(Arc<Controller>);

impl ControllerLink for Accepting {
    fn alter_partition(
        &mut self,
        version: i16,
        request: alter_partition::Request,
    ) -> BoxFuture<'_, Result<alter_partition::Response, LinkError>> {
        let request: alter_partition::Request = over_the_wire(version, &request);
        let mut response = alter_partition::Response::default();
        for topic in request.topics {
            let answer = |partition: alter_partition::PartitionData| {
                let isr: Vec<i32> = partition.new_isr_with_epochs.iter().map(|state| state.broker_id).collect();
                self.0.asked.lock().push((partition.partition_index, isr.clone()));
                alter_partition::ResponsePartitionData {
                    partition_index: partition.partition_index,
                    error_code: self.0.refuse.lock().map_or(0, |error| error.code()),
                    leader_id: request.broker_id,
                    leader_epoch: partition.leader_epoch,
                    partition_epoch: partition.partition_epoch + 1,
                    isr,
                    ..Default::default()
                }
            };
            response.topics.push(alter_partition::ResponseTopicData {
                topic_id: topic.topic_id,
                partitions: topic.partitions.into_iter().map(answer).collect(),
                ..Default::default()
            });
        }
        Box::pin(async move { Ok(response) })
    }
}

/// Encodes a request and decodes it again.
pub fn over_the_wire<R: Request>(version: i16, request: &R) -> R {
    let frame = encode_request(version, 5, None, request).unwrap().into_bytes().unwrap();
    let (_, mut body) = read_request_header(frame.slice(4..)).unwrap();
    R::read(&mut body, version).unwrap()
}

fn back<R: Request>(version: i16, response: &R::Response) -> R::Response {
    let frame = encode_response(R::API, version, 5, response).unwrap().into_bytes().unwrap();
    decode_response::<R>(frame.slice(4..), version).unwrap().1
}

pub fn context<R: Request>(version: i16) -> RequestContext {
    RequestContext {
        api: R::API,
        api_version: version,
        correlation_id: 5,
        client_id: Some("test".into()),
        listener: "PLAINTEXT".into(),
        peer: "127.0.0.1:1".parse().unwrap(),
        principal: "User:ANONYMOUS".into(),
    }
}

struct Links {
    peers: Arc<Mutex<HashMap<i32, Weak<Manager>>>>,
    cut: Arc<AtomicBool>,
}

impl LeaderLinks for Links {
    fn link(&self, leader: BrokerId, _client_id: &str) -> Box<dyn LeaderLink> {
        Box::new(Link { leader, peers: self.peers.clone(), cut: self.cut.clone() })
    }
}

struct Link {
    leader: BrokerId,
    peers: Arc<Mutex<HashMap<i32, Weak<Manager>>>>,
    cut: Arc<AtomicBool>,
}

impl Link {
    fn peer(&self) -> Result<Arc<Manager>, LinkError> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(LinkError::NoAddress(self.leader));
        }
        self.peers.lock().get(&self.leader.0).and_then(Weak::upgrade).ok_or(LinkError::NoAddress(self.leader))
    }
}

impl LeaderLink for Link {
    fn fetch(&mut self, version: i16, request: fetch::Request) -> BoxFuture<'_, Result<fetch::Response, LinkError>> {
        Box::pin(async move {
            let request = over_the_wire(version, &request);
            let peer = self.peer()?;
            let response = api::fetch::serve(&peer, &context::<fetch::Request>(version), request).await;
            self.peer()?;
            Ok(back::<fetch::Request>(version, &response))
        })
    }

    fn list_offsets(
        &mut self,
        version: i16,
        request: list_offsets::Request,
    ) -> BoxFuture<'_, Result<list_offsets::Response, LinkError>> {
        Box::pin(async move {
            let request = over_the_wire(version, &request);
            let context = context::<list_offsets::Request>(version);
            let response = api::list_offsets::serve(&*self.peer()?, &context, request);
            Ok(back::<list_offsets::Request>(version, &response))
        })
    }

    fn offset_for_leader_epoch(
        &mut self,
        version: i16,
        request: offset_for_leader_epoch::Request,
    ) -> BoxFuture<'_, Result<offset_for_leader_epoch::Response, LinkError>> {
        Box::pin(async move {
            let request = over_the_wire(version, &request);
            let response = api::offset_for_leader_epoch::serve(&*self.peer()?, request);
            Ok(back::<offset_for_leader_epoch::Request>(version, &response))
        })
    }
}

/// What a test says of the one partition in a LeaderAndIsr.
#[derive(Clone, Copy)]
pub struct State<'a> {
    pub leader: i32,
    pub epoch: i32,
    pub version: i32,
    pub isr: &'a [i32],
    pub replicas: &'a [i32],
}

pub fn leader_and_isr(state: State<'_>) -> leader_and_isr::Request {
    let partition = leader_and_isr::LeaderAndIsrPartitionState {
        partition_index: 0,
        controller_epoch: 1,
        leader: state.leader,
        leader_epoch: state.epoch,
        isr: state.isr.to_vec(),
        partition_epoch: state.version,
        replicas: state.replicas.to_vec(),
        is_new: true,
        ..Default::default()
    };
    let topic = leader_and_isr::LeaderAndIsrTopicState {
        topic_name: TOPIC.into(),
        topic_id: TOPIC_ID,
        partition_states: vec![partition],
    };
    leader_and_isr::Request { controller_id: 1, controller_epoch: 1, topic_states: vec![topic], ..Default::default() }
}

impl Cluster {
    /// Brokers with these ids, each knowing of all.
    pub fn new(ids: &[i32], min_isr: i32) -> Self {
        Self::with_versions(ids, min_isr, Versions::LATEST)
    }

    pub fn with_versions(ids: &[i32], min_isr: i32, versions: Versions) -> Self {
        let controller = Arc::new(Controller::default());
        let peers = Arc::new(Mutex::new(HashMap::new()));
        let mut nodes = BTreeMap::new();
        for id in ids {
            let dir = tempfile::tempdir().unwrap();
            let config = LogConfig { min_insync_replicas: min_isr, ..LogConfig::default() };
            let logs = log::Manager::start(log::ManagerOptions {
                dirs: vec![dir.path().to_owned()],
                broker_id: BrokerId(*id),
                cluster_id: "c".repeat(22),
                default_config: Arc::new(config),
                topic_configs: HashMap::new(),
                recovery_threads_per_dir: 1,
                producer_expiration_ms: 86_400_000,
                on_dir_failure: Arc::new(|_, _| {}),
            })
            .unwrap();
            let cut = Arc::new(AtomicBool::new(false));
            let parts = Parts {
                me: BrokerId(*id),
                clock: Clock,
                metadata: Arc::new(MetadataCache::default()),
                broker_epoch: Arc::new(AtomicI64::new(100)),
                logs: logs.clone(),
                runtime: Arc::new(TokioRuntime),
                leaders: Arc::new(Links { peers: peers.clone(), cut: cut.clone() }),
            };
            let options = Options {
                lag_max_ms: LAG_MAX_MS,
                verify_txns: true,
                txn_max_timeout_ms: 900_000,
                checkpoint_interval_ms: 5_000,
                fetchers_per_leader: 1,
                fetch_session_slots: 1_000,
                fetch_max_bytes: 57_671_680,
                fetch: FetchOptions {
                    wait_max_ms: 100,
                    min_bytes: 1,
                    response_max_bytes: 10_485_760,
                    partition_max_bytes: 1_048_576,
                    backoff_ms: 20,
                    versions,
                },
            };
            let manager = Manager::new(parts, options);
            manager.start(Box::new(Accepting(controller.clone())));
            peers.lock().insert(*id, Arc::downgrade(&manager));
            nodes.insert(*id, Node { id: *id, manager, logs, cut, dir });
        }
        Self { nodes, controller, peers }
    }

    pub fn node(&self, id: i32) -> &Node {
        &self.nodes[&id]
    }

    /// Tells all brokers the state: UpdateMetadata, then LeaderAndIsr.
    pub fn announce(&self, state: State<'_>) {
        for node in self.nodes.values() {
            node.update_metadata(state, self.nodes.keys().copied());
        }
        for id in state.replicas {
            let response = self.node(*id).leader_and_isr(state);
            assert_eq!(response.topics[0].partition_errors[0].error_code, 0, "broker {id}");
        }
    }
}

impl Cluster {
    /// Tells one broker.
    pub fn announce_to(&self, id: i32, state: State<'_>) {
        let node = self.node(id);
        node.update_metadata(state, self.nodes.keys().copied());
        assert_eq!(node.leader_and_isr(state).topics[0].partition_errors[0].error_code, 0, "broker {id}");
    }
}

impl Node {
    pub fn update_metadata(&self, state: State<'_>, alive: impl Iterator<Item = i32>) {
        let broker = |id| update_metadata::UpdateMetadataBroker {
            id,
            endpoints: vec![update_metadata::UpdateMetadataEndpoint {
                port: 9000 + id,
                host: "localhost".into(),
                listener: "PLAINTEXT".into(),
                security_protocol: 0,
            }],
            ..Default::default()
        };
        let partition = update_metadata::UpdateMetadataPartitionState {
            controller_epoch: 1,
            leader: state.leader,
            leader_epoch: state.epoch,
            isr: state.isr.to_vec(),
            zk_version: state.version,
            replicas: state.replicas.to_vec(),
            ..Default::default()
        };
        let request = update_metadata::Request {
            controller_id: 1,
            controller_epoch: 1,
            topic_states: vec![update_metadata::UpdateMetadataTopicState {
                topic_name: TOPIC.into(),
                topic_id: TOPIC_ID,
                partition_states: vec![partition],
            }],
            live_brokers: alive.map(broker).collect(),
            ..Default::default()
        };
        self.manager.update_metadata(&over_the_wire(8, &request)).unwrap();
    }

    pub fn leader_and_isr(&self, state: State<'_>) -> leader_and_isr::Response {
        let request = over_the_wire(7, &leader_and_isr(state));
        back::<leader_and_isr::Request>(7, &self.manager.become_leader_or_follower(&request, 7))
    }

    pub fn partition(&self) -> Arc<Partition> {
        self.manager.partition(TOPIC, 0).unwrap()
    }

    /// A produce request of one record; the answer of its partition, `None` if the connection was closed.
    pub async fn try_produce(
        &self,
        acks: i16,
        timeout_ms: i32,
        value: &str,
    ) -> Option<produce::PartitionProduceResponse> {
        let data = produce::PartitionProduceData { index: 0, records: Records::Bytes(batch(value)) };
        let topic = produce::TopicProduceData { name: TOPIC.into(), partition_data: vec![data] };
        let request = produce::Request { acks, timeout_ms, topic_data: vec![topic], ..Default::default() };
        match api::produce::serve(&self.manager, &context::<produce::Request>(11), over_the_wire(11, &request)).await {
            Answer::Reply(response) => {
                Some(back::<produce::Request>(11, &response).responses.remove(0).partition_responses.remove(0))
            }
            _ => None,
        }
    }

    pub async fn produce(&self, acks: i16, value: &str) -> i64 {
        let response = self.try_produce(acks, 10_000, value).await.unwrap();
        assert_eq!(response.error_code, 0, "{response:?}");
        response.base_offset
    }

    /// A fetch as a client sends it.
    pub async fn fetch(&self, version: i16, request: fetch::Request) -> fetch::Response {
        let context = context::<fetch::Request>(version);
        let response = api::fetch::serve(&self.manager, &context, over_the_wire(version, &request)).await;
        back::<fetch::Request>(version, &response)
    }

    /// The bytes of the partition's log file.
    pub fn log_file(&self) -> Vec<u8> {
        std::fs::read(self.path().join("00000000000000000000.log")).unwrap()
    }

    pub fn epochs_file(&self) -> String {
        std::fs::read_to_string(self.path().join("leader-epoch-checkpoint")).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(TopicPartition::new(TOPIC, 0).to_string())
    }
}

pub fn batch(value: &str) -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(1, None, Some(value.as_bytes()), &[]);
    builder.build()
}

/// A consumer's request for the one partition, without a session.
pub fn consumer_fetch(offset: i64, max_wait_ms: i32, min_bytes: i32) -> fetch::Request {
    let partition = fetch::FetchPartition {
        partition: 0,
        fetch_offset: offset,
        partition_max_bytes: 1_048_576,
        ..Default::default()
    };
    fetch::Request {
        max_wait_ms,
        min_bytes,
        topics: vec![fetch::FetchTopic { topic_id: TOPIC_ID, partitions: vec![partition], ..Default::default() }],
        ..Default::default()
    }
}

/// Waits until `condition` holds; panics with `what` after ten seconds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..5_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    panic!("waited in vain until {what}");
}

pub fn offsets(node: &Node) -> (Offset, Offset) {
    (node.partition().high_watermark(), node.partition().log_end())
}
