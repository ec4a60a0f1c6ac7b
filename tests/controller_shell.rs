//! The controller's shell against the embedded ZooKeeper server and brokers that only answer: sessions, sockets, retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use barnabas::cluster::registration::{Registrar, create_persistent_paths};
use barnabas::controller::channel;
use barnabas::controller::driver::{self, Shell, Unobserved};
use barnabas::controller::{Handle, Options};
use barnabas::error::ErrorCode;
use barnabas::ids::{BrokerId, TopicId};
use barnabas::time::Clock;
use barnabas::wire::frame::{encode_response, read_request_header};
use barnabas::wire::messages::{controlled_shutdown, leader_and_isr, stop_replica, update_metadata};
use barnabas::wire::{ApiKey, Message};
use barnabas::zk::data::{BrokerRegistration, Data, Endpoint, EntityConfig, TopicAssignment};
use barnabas::zk::model::SessionId;
use barnabas::zk::op::{Acl, CreateMode, Op, Write};
use barnabas::zk::path;
use barnabas::zk::remote::{Client, Options as ZkOptions};
use barnabas::zk::server::Server;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

/// A broker that notes and answers the controller's requests.
struct Toy {
    port: i32,
    log: watch::Sender<Vec<String>>,
    /// So many of the next LeaderAndIsr find the connection closed instead of an answer.
    hang_ups: AtomicUsize,
}

impl Toy {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().into();
        let toy = Arc::new(Self { port, log: watch::Sender::new(Vec::new()), hang_ups: AtomicUsize::new(0) });
        let server = toy.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(socket));
            }
        });
        toy
    }

    async fn serve(self: Arc<Self>, mut socket: TcpStream) {
        while let Ok(length) = socket.read_i32().await {
            let mut frame = vec![0; length as usize];
            if socket.read_exact(&mut frame).await.is_err() {
                return;
            }
            let (header, mut body) = read_request_header(Bytes::from(frame)).unwrap();
            let (version, id) = (header.api_version, header.correlation_id);
            let api = header.api_key;
            let (note, answer) = match api {
                ApiKey::LeaderAndIsr => {
                    let request = leader_and_isr::Request::read(&mut body, version).unwrap();
                    let topics: Vec<_> =
                        request.topic_states.iter().map(|topic| topic.topic_name.to_string()).collect();
                    let note = format!("lisr v{version} epoch {} {topics:?}", request.controller_epoch);
                    (note, encode_response(api, version, id, &leader_and_isr::Response::default()))
                }
                ApiKey::UpdateMetadata => {
                    let request = update_metadata::Request::read(&mut body, version).unwrap();
                    let note = format!("umr v{version} epoch {}", request.controller_epoch);
                    (note, encode_response(api, version, id, &update_metadata::Response::default()))
                }
                ApiKey::StopReplica => {
                    let request = stop_replica::Request::read(&mut body, version).unwrap();
                    let note = format!("stop v{version} epoch {}", request.controller_epoch);
                    let states = request.topic_states.iter().flat_map(|topic| {
                        topic.partition_states.iter().map(|state| stop_replica::StopReplicaPartitionError {
                            topic_name: topic.topic_name.clone(),
                            partition_index: state.partition_index,
                            error_code: 0,
                        })
                    });
                    let response = stop_replica::Response { partition_errors: states.collect(), ..Default::default() };
                    (note, encode_response(api, version, id, &response))
                }
                other => panic!("{other:?}"),
            };
            self.log.send_modify(|log| log.push(note));
            if api == ApiKey::LeaderAndIsr
                && self.hang_ups.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
            {
                return;
            }
            if socket.write_all(&answer.unwrap().into_bytes().unwrap()).await.is_err() {
                return;
            }
        }
    }

    /// Waits until `what` was noted so often.
    async fn seen(&self, what: &str, times: usize) {
        let mut log = self.log.subscribe();
        let seen = log.wait_for(|log| log.iter().filter(|line| line.starts_with(what)).count() >= times);
        timeout(SOON, seen).await.unwrap_or_else(|_| panic!("{what}: not in {:?}", *self.log.borrow())).unwrap();
    }
}

/// A registered broker with its controller.
struct Node {
    zk: Client,
    toy: Arc<Toy>,
    handle: Handle,
}

async fn node(server: &Server, id: i32) -> Node {
    let options = ZkOptions::new(server.connect_string().parse().unwrap());
    let (zk, _) = Client::connect(options).await.unwrap();
    create_persistent_paths(&zk).await.unwrap();
    let toy = Toy::start().await;
    let registration = BrokerRegistration {
        version: 5,
        endpoints: vec![Endpoint {
            listener: "PLAINTEXT".into(),
            host: "127.0.0.1".into(),
            port: toy.port,
            protocol: "PLAINTEXT".into(),
        }],
        rack: None,
        jmx_port: -1,
        timestamp_ms: 0,
        features: Default::default(),
    };
    let registrar = Arc::new(Mutex::new(Registrar::new(zk.clone(), BrokerId(id))));
    registrar.lock().await.register(&registration).await.unwrap();
    let register: driver::Register = Arc::new(move || {
        let (registrar, registration) = (registrar.clone(), registration.clone());
        Box::pin(async move { registrar.lock().await.register(&registration).await.map_err(|error| error.to_string()) })
    });
    let handle = driver::start(Shell {
        options: Options::new(BrokerId(id), 1),
        zk: zk.clone(),
        register,
        channel: channel::Options { client: Default::default(), controller_id: BrokerId(id) },
        clock: Clock,
        observer: Arc::new(Unobserved),
    });
    Node { zk, toy, handle }
}

async fn create_topic(zk: &Client, name: &str, replicas: &[i32]) {
    let create = |path: String, data: Bytes| {
        Op::Write(Write::Create { path, data: Some(data), mode: CreateMode::Persistent, acl: Acl::open() })
    };
    let replicas = replicas.iter().map(|id| BrokerId(*id)).collect();
    let assignment = TopicAssignment::new(Some(TopicId::random()), &[(0, replicas)].into());
    for op in [
        create(path::topic_config(name), EntityConfig::default().encode()),
        create(path::topic(name), assignment.encode()),
    ] {
        zk.run(op).await.unwrap();
    }
}

#[tokio::test]
async fn a_request_is_repeated_until_it_is_answered() {
    let server = Server::start("127.0.0.1:0").await.unwrap();
    let one = node(&server, 1).await;
    one.toy.seen("umr v8 epoch 1", 1).await;
    let two = node(&server, 2).await;
    two.toy.seen("umr v8 epoch 1", 1).await;
    assert!(one.handle.is_active() && !two.handle.is_active());

    two.toy.hang_ups.store(2, Relaxed);
    create_topic(&one.zk, "t", &[1, 2]).await;
    two.toy.seen(r#"lisr v7 epoch 1 ["t"]"#, 3).await;
    one.toy.seen(r#"lisr v7 epoch 1 ["t"]"#, 1).await;

    // The other one learned who leads, and refuses.
    assert_eq!(two.handle.active_controller_id(), Some(BrokerId(1)));
    let refused = two.handle.controlled_shutdown(controlled_shutdown::Request::default()).await;
    assert_eq!(refused.error_code, ErrorCode::StaleControllerEpoch.code());
    let done = one.handle.controlled_shutdown(controlled_shutdown::Request { broker_id: 2, broker_epoch: -1 }).await;
    assert_eq!((done.error_code, done.remaining_partitions.len()), (0, 0));
    two.toy.seen("stop v4 epoch 1", 2).await;

    // A clean stop: the controller ends, then its session; the other one takes over.
    timeout(SOON, one.handle.shutdown()).await.unwrap();
    let refused = one.handle.elect_leaders(barnabas::controller::event::Election::Preferred, None).await;
    assert_eq!(refused, Err(ErrorCode::NotController));
    one.zk.close().await;
    two.toy.seen("umr v8 epoch 2", 1).await;
    timeout(SOON, two.handle.shutdown()).await.unwrap();
    two.zk.close().await;
    server.shutdown().await;
}

#[tokio::test]
async fn an_expired_session_moves_the_controller_and_back() {
    let server = Server::start("127.0.0.1:0").await.unwrap();
    let one = node(&server, 1).await;
    one.toy.seen("umr v8 epoch 1", 1).await;
    let two = node(&server, 2).await;
    two.toy.seen("umr v8 epoch 1", 1).await;
    create_topic(&one.zk, "t", &[1, 2]).await;
    two.toy.seen(r#"lisr v7 epoch 1 ["t"]"#, 1).await;

    // Reconnecting changes nothing; the watches live on.
    server.disconnect_session(SessionId(one.zk.session_id()));
    create_topic(&two.zk, "u", &[2]).await;
    two.toy.seen(r#"lisr v7 epoch 1 ["u"]"#, 1).await;
    assert!(one.handle.is_active());

    let first = one.zk.session_id();
    server.expire_session(SessionId(first));
    two.toy.seen("umr v8 epoch 2", 1).await;
    // The old controller is a broker again, with everything it has to know.
    one.toy.seen(r#"lisr v7 epoch 2 ["t"]"#, 1).await;
    assert!(!one.handle.is_active() && two.handle.is_active());
    assert_ne!(one.zk.session_id(), first);

    server.expire_session(SessionId(two.zk.session_id()));
    one.toy.seen("umr v8 epoch 3", 1).await;
    two.toy.seen("lisr v7 epoch 3", 1).await;
    for node in [one, two] {
        timeout(SOON, node.handle.shutdown()).await.unwrap();
        node.zk.close().await;
    }
    server.shutdown().await;
}
