//! The ZooKeeper client, and what the cluster does through it, against Apache ZooKeeper and the embedded server.
//!
//! The real one needs Java and a directory with the jars of ZooKeeper 3.8: `BARNABAS_KAFKA_LIBS`.

mod zk_ensemble;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use barnabas::cluster::registration::{self, Registrar, RegistrationError};
use barnabas::cluster::topics::{self, TopicError};
use barnabas::cluster::watch::{ConfigHandler, ConfigWatch, Entity};
use barnabas::ids::{BrokerId, Uuid, ZkVersion};
use barnabas::zk::data::{BrokerRegistration, Controller, Data, Endpoint, EntityConfig, TopicAssignment};
use barnabas::zk::op::{Acl, CreateMode, Op, Reply, WatchEvent, WatchKind, Write, ZkError};
use barnabas::zk::path::{self, EntityType};
use barnabas::zk::remote::calls::{check, create, delete, set_data};
use barnabas::zk::remote::{Client, ConnectError, Options, SessionEvent, State};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, timeout};
use zk_ensemble::{Ensemble, Link, RealServer};

const ANY: ZkVersion = ZkVersion::NONE;
/// The longest session of the test servers.
const LONG_MS: u32 = 4_000;
/// For sessions that are to expire; long enough for a busy machine.
const SHORT_MS: u32 = 2_000;

type Events = UnboundedReceiver<SessionEvent>;

fn options(addr: SocketAddr, chroot: &str, session_timeout_ms: u32) -> Options {
    Options {
        session_timeout_ms,
        connection_timeout_ms: 20_000,
        ..Options::new(format!("{addr}{chroot}").parse().unwrap())
    }
}

async fn connect(addr: SocketAddr, chroot: &str, session_timeout_ms: u32) -> (Client, Events) {
    Client::connect(options(addr, chroot, session_timeout_ms)).await.unwrap()
}

async fn next(events: &mut Events) -> SessionEvent {
    timeout(Duration::from_secs(20), events.recv()).await.expect("an event within 20 s").expect("the client lives")
}

fn event(kind: WatchKind, path: &str) -> SessionEvent {
    SessionEvent::Watch(WatchEvent { kind, path: path.into() })
}

/// What has been delivered once everything that the server has sent is here.
async fn settled(zk: &Client, events: &mut Events) -> Vec<SessionEvent> {
    zk.run(Op::Sync { path: "/".into() }).await.unwrap();
    zk.exists("/", false).await.unwrap();
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}

async fn put(zk: &Client, path: &str, data: &'static str) {
    zk.create_with_parents(path, Some(data.into())).await.unwrap();
}

async fn set(zk: &Client, path: &str, data: &'static str) {
    zk.write(set_data(path, data.into(), ANY)).await.unwrap();
}

#[test]
fn against_apache_zookeeper() {
    run(async {
        suite(Ensemble::real().await).await;
        sessions_survive_a_restart_of_the_server().await;
    });
}

#[test]
fn against_the_embedded_server() {
    run(async { suite(Ensemble::embedded().await).await });
}

fn run(test: impl Future<Output = ()>) {
    // `RUST_LOG=barnabas=debug,zookeeper_client=debug` shows what happens.
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}

/// All of them at once, each in a chroot of its own.
async fn suite(ensemble: Ensemble) {
    let addr = ensemble.addr();
    macro_rules! all {
        ($($test:ident),*) => {
            tokio::join!($(async {
                $test(addr).await;
                println!("{} ok", stringify!($test));
            }),*)
        };
    }
    all!(
        operations,
        multis,
        one_shot_watches,
        chroots,
        order_and_fairness,
        a_cut_link_with_thousands_of_watches,
        expiry,
        registration_of_a_broker,
        a_start_waits_for_the_old_registration,
        topics_and_configs,
        forgotten_watches
    );
    no_server().await;
    ensemble.stop().await;
}

async fn operations(addr: SocketAddr) {
    let (zk, _events) = connect(addr, "/operations", LONG_MS).await;
    assert_eq!(zk.state(), State::Connected);
    assert_eq!(zk.try_get("/a", false).await, Ok(None));
    assert_eq!(zk.write(create("/a/b", None)).await, Err(ZkError::NoNode));
    zk.create_with_parents("/a/b", Some("x".into())).await.unwrap();
    assert_eq!(zk.write(create("/a", None)).await, Err(ZkError::NodeExists));
    assert_eq!(zk.try_get("/a", false).await.unwrap().unwrap().0, None);
    let (data, stat) = zk.try_get("/a/b", false).await.unwrap().unwrap();
    assert_eq!((data.as_deref(), stat.version, stat.data_length), (Some(b"x".as_slice()), 0, 1));
    assert_eq!(zk.children("/a", false).await.unwrap(), ["b"]);
    assert_eq!(zk.write(set_data("/a/b", "y".into(), ZkVersion(7))).await, Err(ZkError::BadVersion));
    let Ok(Reply::Set { stat }) = zk.write(set_data("/a/b", "y".into(), ZkVersion(0))).await else { panic!() };
    assert_eq!(stat.version, 1);
    assert_eq!(zk.write(delete("/a", ANY)).await, Err(ZkError::NotEmpty));
    assert_eq!(zk.write(delete("/a/b", ZkVersion(1))).await, Ok(Reply::Deleted));
    let numbered =
        Write::Create { path: "/a/n-".into(), data: None, mode: CreateMode::PersistentSequential, acl: Acl::open() };
    for expected in ["/a/n-0000000001", "/a/n-0000000002"] {
        let Ok(Reply::Created { path, .. }) = zk.write(numbered.clone()).await else { panic!() };
        assert_eq!(path, expected);
    }
    let Ok(Reply::Acl { acl, stat }) = zk.run(Op::GetAcl { path: "/a".into() }).await else { panic!() };
    assert_eq!((acl, stat.aversion), (Acl::open(), 0));
    let read_only = vec![Acl { perms: 1, scheme: "world".into(), id: "anyone".into() }];
    let set_acl = Op::SetAcl { path: "/a".into(), acl: read_only.clone(), version: ANY };
    assert!(zk.run(set_acl).await.is_ok());
    let Ok(Reply::Acl { acl, .. }) = zk.run(Op::GetAcl { path: "/a".into() }).await else { panic!() };
    assert_eq!(acl, read_only);
    assert_eq!(zk.write(create("/a/c", None)).await, Err(ZkError::NoAuth));
    assert_eq!(zk.write(create("/bad//path", None)).await, Err(ZkError::BadArguments));
    zk.close().await;
    assert_eq!(zk.state(), State::Closed);
    assert_eq!(zk.exists("/a", false).await, Err(ZkError::SessionExpired));
}

async fn multis(addr: SocketAddr) {
    let (zk, _events) = connect(addr, "/multis", LONG_MS).await;
    put(&zk, "/epoch", "1").await;
    let good = vec![check("/epoch", ZkVersion(0)), create("/x", None), set_data("/x", "d".into(), ZkVersion(0))];
    let Ok(Reply::Multi(results)) = zk.run(Op::Multi(good)).await else { panic!() };
    assert_eq!(results[0], Ok(Reply::Checked));
    assert!(matches!(&results[1], Ok(Reply::Created { path, .. }) if path == "/x"), "{results:?}");
    assert!(matches!(results[2], Ok(Reply::Set { stat }) if stat.version == 1 && stat.czxid > 0), "{results:?}");
    let fenced = vec![check("/epoch", ZkVersion(9)), delete("/x", ANY)];
    let Ok(Reply::Multi(results)) = zk.run(Op::Multi(fenced)).await else { panic!() };
    assert_eq!(results, [Err(ZkError::BadVersion), Err(ZkError::RuntimeInconsistency)]);
    let absent = vec![check("/epoch", ZkVersion(0)), delete("/y", ANY), create("/z", None)];
    let Ok(Reply::Multi(results)) = zk.run(Op::Multi(absent.clone())).await else { panic!() };
    assert_eq!(results, [Ok(Reply::Checked), Err(ZkError::NoNode), Err(ZkError::RuntimeInconsistency)]);
    assert_eq!(zk.write_all(absent).await, Err((1, ZkError::NoNode)));
    assert_eq!(zk.exists("/z", false).await, Ok(None));
    zk.close().await;
}

async fn one_shot_watches(addr: SocketAddr) {
    use WatchKind::*;
    let (zk, mut events) = connect(addr, "/watches", LONG_MS).await;
    let (other, _other_events) = connect(addr, "/watches", LONG_MS).await;
    put(&other, "/brokers/topics/t/partitions/0/state", "s").await;
    assert_eq!(zk.children("/brokers/topics", true).await.unwrap(), ["t"]);
    assert!(zk.try_get("/brokers/topics/t", true).await.unwrap().is_some());
    assert_eq!(zk.exists("/controller", true).await, Ok(None));
    // A read that fails arms nothing.
    assert_eq!(zk.try_get("/feature", true).await, Ok(None));

    // States, partitions and the data of the parent are none of their business.
    set(&other, "/brokers/topics/t/partitions/0/state", "u").await;
    put(&other, "/brokers/topics/t/partitions/1/state", "s").await;
    other.write(delete("/brokers/topics/t/partitions/0/state", ANY)).await.unwrap();
    set(&other, "/brokers/topics", "x").await;
    put(&other, "/feature", "f").await;
    assert_eq!(settled(&zk, &mut events).await, []);

    put(&other, "/controller", "1").await;
    assert_eq!(next(&mut events).await, event(Created, "/controller"));
    set(&other, "/brokers/topics/t", "x").await;
    assert_eq!(next(&mut events).await, event(DataChanged, "/brokers/topics/t"));
    put(&other, "/brokers/topics/u", "").await;
    assert_eq!(next(&mut events).await, event(ChildrenChanged, "/brokers/topics"));
    // Once only.
    set(&other, "/controller", "2").await;
    set(&other, "/brokers/topics/t", "y").await;
    put(&other, "/brokers/topics/v", "").await;
    assert_eq!(settled(&zk, &mut events).await, []);

    // Deletion: one event for the node, one for its parent.
    zk.try_get("/brokers/topics/u", true).await.unwrap();
    zk.children("/brokers/topics/u", true).await.unwrap();
    zk.children("/brokers/topics", true).await.unwrap();
    zk.try_get("/controller", true).await.unwrap();
    other.write(delete("/brokers/topics/u", ANY)).await.unwrap();
    assert_eq!(next(&mut events).await, event(Deleted, "/brokers/topics/u"));
    assert_eq!(next(&mut events).await, event(ChildrenChanged, "/brokers/topics"));
    other.write(delete("/controller", ANY)).await.unwrap();
    assert_eq!(next(&mut events).await, event(Deleted, "/controller"));
    assert_eq!(settled(&zk, &mut events).await, []);

    // Our own write: the event is here before the answer.
    zk.children("/brokers/topics", true).await.unwrap();
    put(&zk, "/brokers/topics/w", "").await;
    assert_eq!(events.try_recv(), Ok(event(ChildrenChanged, "/brokers/topics")));
    let mut second = zk.subscribe();
    zk.children("/brokers/topics", true).await.unwrap();
    zk.write(delete("/brokers/topics/w", ANY)).await.unwrap();
    assert_eq!(events.try_recv(), Ok(event(ChildrenChanged, "/brokers/topics")));
    assert_eq!(second.try_recv(), Ok(event(ChildrenChanged, "/brokers/topics")));
    zk.close().await;
    other.close().await;
}

async fn forgotten_watches(addr: SocketAddr) {
    let (zk, mut events) = connect(addr, "/forgotten", LONG_MS).await;
    put(&zk, "/brokers/topics/t", "").await;
    put(&zk, "/controller", "").await;
    zk.children("/brokers/topics", true).await.unwrap();
    zk.try_get("/controller", true).await.unwrap();
    zk.forget_watches(&["/brokers/topics"]);
    put(&zk, "/brokers/topics/u", "").await;
    set(&zk, "/controller", "x").await;
    assert_eq!(settled(&zk, &mut events).await, [event(WatchKind::DataChanged, "/controller")]);
    zk.children("/brokers/topics", true).await.unwrap();
    put(&zk, "/brokers/topics/v", "").await;
    assert_eq!(settled(&zk, &mut events).await, [event(WatchKind::ChildrenChanged, "/brokers/topics")]);
    zk.close().await;
}

async fn chroots(addr: SocketAddr) {
    let (root, _events) = connect(addr, "", LONG_MS).await;
    let missing = Options { create_chroot: false, ..options(addr, "/roots/none", LONG_MS) };
    let (zk, _events) = Client::connect(missing).await.unwrap();
    assert_eq!(zk.create_with_parents("/a", None).await, Err(ZkError::NoNode));
    zk.close().await;
    for _ in 0..2 {
        let (zk, mut events) = connect(addr, "/roots/deep/kafka", LONG_MS).await;
        zk.create_path("/brokers/ids").await.unwrap();
        zk.exists("/brokers/ids/1", true).await.unwrap();
        let path = format!("/brokers/ids/{}", 1);
        zk.write(create(path.as_str(), None)).await.unwrap();
        assert_eq!(next(&mut events).await, event(WatchKind::Created, &path));
        assert!(root.exists("/roots/deep/kafka/brokers/ids/1", false).await.unwrap().is_some());
        zk.write(delete(path, ANY)).await.unwrap();
        zk.close().await;
    }
    root.close().await;
}

async fn order_and_fairness(addr: SocketAddr) {
    let (zk, _events) = connect(addr, "/order", LONG_MS).await;
    put(&zk, "/n", "").await;
    // Each write needs the version that the one before it made.
    let writes = (0..500).map(|v| Op::Write(set_data("/n", v.to_string().into(), ZkVersion(v))));
    for (v, outcome) in zk.run_all(writes.collect()).await.into_iter().enumerate() {
        assert!(matches!(outcome, Ok(Reply::Set { stat }) if stat.version == v as i32 + 1), "{v}: {outcome:?}");
    }
    assert_eq!(zk.run_all(Vec::new()).await, []);

    let many = vec![Op::GetData { path: "/n".into(), watch: false }; 20_000];
    let busy = tokio::spawn({
        let zk = zk.clone();
        async move { zk.run_all(many).await }
    });
    tokio::task::yield_now().await;
    // One among twenty thousand: served in its turn, not after all of them.
    zk.write(create("/urgent", None)).await.unwrap();
    assert!(!busy.is_finished(), "the single request waited for the whole batch");
    assert!(busy.await.unwrap().iter().all(Result::is_ok));
    assert!(zk.counts().requests.load(std::sync::atomic::Ordering::Relaxed) > 20_500);
    zk.close().await;
}

/// More than 128 KiB of watched paths, the limit of the crate's own way to restore watches.
async fn a_cut_link_with_thousands_of_watches(addr: SocketAddr) {
    use WatchKind::*;
    const TOPICS: usize = 5_000;
    let link = Link::to(addr).await;
    let (other, _other_events) = connect(addr, "/cut", LONG_MS).await;
    let (zk, mut events) = connect(link.addr, "/cut", LONG_MS).await;
    let session = zk.session_id();
    other.create_path("/brokers/topics").await.unwrap();
    let topic = |i: usize| format!("/brokers/topics/a-topic-with-a-rather-long-name-{i}");
    let creates = (0..TOPICS).map(|i| Op::Write(create(topic(i), None))).collect();
    assert!(other.run_all(creates).await.iter().all(Result::is_ok));
    zk.children("/brokers/topics", true).await.unwrap();
    let reads = (0..TOPICS).map(|i| Op::GetData { path: topic(i), watch: true }).collect();
    assert!(zk.run_all(reads).await.iter().all(Result::is_ok));
    zk.exists("/controller", true).await.unwrap();
    let own = Write::Create { path: "/own".into(), data: None, mode: CreateMode::Ephemeral, acl: Acl::open() };
    zk.write(own).await.unwrap();

    link.cut();
    // Requests wait for the link; a batch keeps its order across the cut.
    let waiting = tokio::spawn({
        let zk = zk.clone();
        let ops = (0..50).map(|v| Op::Write(create(format!("/waiting-{v}"), None))).collect();
        async move { zk.run_all(ops).await }
    });
    set(&other, &topic(17), "changed").await;
    other.write(delete(topic(18), ANY)).await.unwrap();
    put(&other, "/controller", "1").await;
    sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    assert_eq!(zk.state(), State::Connecting);
    link.restore();

    let mut fired = Vec::new();
    for _ in 0..4 {
        fired.push(next(&mut events).await);
    }
    for expected in [
        event(DataChanged, &topic(17)),
        event(Deleted, &topic(18)),
        event(ChildrenChanged, "/brokers/topics"),
        event(Created, "/controller"),
    ] {
        assert!(fired.contains(&expected), "{expected:?} is missing in {fired:?}");
    }
    let outcomes = waiting.await.unwrap();
    // What was applied before the cut, and whose answer was lost, exists already.
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(ZkError::NodeExists))), "{outcomes:?}");
    assert_eq!(zk.session_id(), session, "the session survived");
    assert!(other.exists("/own", false).await.unwrap().is_some());

    // The other watches are still armed, and those that fired are not.
    set(&other, &topic(19), "changed").await;
    set(&other, &topic(17), "again").await;
    assert_eq!(next(&mut events).await, event(DataChanged, &topic(19)));
    link.cut();
    link.restore();
    zk.exists("/", false).await.unwrap();
    set(&other, &topic(20), "changed").await;
    assert_eq!(next(&mut events).await, event(DataChanged, &topic(20)));
    assert_eq!(settled(&zk, &mut events).await, []);
    zk.close().await;
    assert_eq!(other.exists("/own", false).await, Ok(None), "closing a session removes its nodes at once");
    other.close().await;
}

async fn expiry(addr: SocketAddr) {
    let link = Link::to(addr).await;
    let (other, mut other_events) = connect(addr, "/expiry", LONG_MS).await;
    let (zk, mut events) = connect(link.addr, "/expiry", SHORT_MS).await;
    assert_eq!(zk.session_timeout_ms(), u64::from(SHORT_MS));
    let old = zk.session_id();
    let own =
        |path: &str| Write::Create { path: path.into(), data: None, mode: CreateMode::Ephemeral, acl: Acl::open() };
    zk.write(own("/own")).await.unwrap();
    zk.exists("/controller", true).await.unwrap();
    other.exists("/own", true).await.unwrap();
    link.stall();
    let pending = tokio::spawn({
        let zk = zk.clone();
        async move { zk.exists("/own", false).await }
    });
    assert_eq!(next(&mut other_events).await, event(WatchKind::Deleted, "/own"));
    assert!(!pending.is_finished(), "only the server says that a session is over");
    link.restore();
    assert_eq!(next(&mut events).await, SessionEvent::Expired);
    assert_eq!(pending.await.unwrap(), Err(ZkError::SessionExpired));
    assert_eq!(zk.state(), State::Expired);
    assert_eq!(zk.exists("/own", false).await, Err(ZkError::SessionExpired));

    let new = zk.new_session().await;
    assert_ne!(new, old);
    assert_eq!(zk.session_id(), new);
    assert_eq!(next(&mut events).await, SessionEvent::Established { session_id: new });
    // Nothing is watched any more; then everything works again.
    put(&other, "/controller", "1").await;
    assert_eq!(settled(&zk, &mut events).await, []);
    zk.write(own("/own")).await.unwrap();
    zk.try_get("/controller", true).await.unwrap();
    set(&other, "/controller", "2").await;
    assert_eq!(next(&mut events).await, event(WatchKind::DataChanged, "/controller"));
    assert_eq!(zk.new_session().await, new, "the session lives: nothing to do");
    // Dropping the last handle closes the session.
    other.exists("/own", true).await.unwrap();
    drop(zk);
    assert_eq!(next(&mut other_events).await, event(WatchKind::Deleted, "/own"));
    other.close().await;
}

fn broker(port: i32) -> BrokerRegistration {
    BrokerRegistration {
        version: 5,
        endpoints: vec![Endpoint {
            listener: "PLAINTEXT".into(),
            host: "127.0.0.1".into(),
            port,
            protocol: "PLAINTEXT".into(),
        }],
        rack: None,
        jmx_port: -1,
        timestamp_ms: 1,
        features: BTreeMap::new(),
    }
}

async fn registration_of_a_broker(addr: SocketAddr) {
    let link = Link::to(addr).await;
    let (zk, mut events) = connect(link.addr, "/registration", SHORT_MS).await;
    registration::create_persistent_paths(&zk).await.unwrap();
    registration::create_persistent_paths(&zk).await.unwrap();
    for path in path::PERSISTENT {
        assert!(zk.exists(path, false).await.unwrap().is_some(), "{path}");
    }
    let id = registration::cluster_id(&zk).await.unwrap();
    assert!(Uuid::parse(&id).is_some(), "{id}");
    assert_eq!(registration::cluster_id(&zk).await.unwrap(), id);
    assert_eq!(registration::generate_broker_id(&zk, 1000).await, Ok(BrokerId(1001)));
    assert_eq!(registration::generate_broker_id(&zk, 1000).await, Ok(BrokerId(1002)));

    let mut registrar = Registrar::new(zk.clone(), BrokerId(1));
    let epoch = registrar.register(&broker(9092)).await.unwrap();
    let (data, stat) = zk.try_get("/brokers/ids/1", false).await.unwrap().unwrap();
    assert_eq!(BrokerRegistration::decode(&data.unwrap()), Ok(broker(9092)));
    assert_eq!((stat.czxid, stat.version, stat.ephemeral_owner), (epoch.0, 1, zk.session_id()));
    // The second try of a multi whose answer was lost.
    assert_eq!(registrar.register(&broker(9092)).await, Ok(epoch));
    assert_eq!(registration::brokers(&zk).await.unwrap()[0].0, BrokerId(1));
    assert_eq!(registration::check_endpoints(&zk, BrokerId(1), &broker(9092)).await, Ok(()));
    let taken = registration::check_endpoints(&zk, BrokerId(2), &broker(9092)).await;
    assert_eq!(taken, Err(RegistrationError::EndpointsTaken { endpoints: "127.0.0.1:9092".into(), by: BrokerId(1) }));

    // Another process with the same id.
    let (rival, _rival_events) = connect(addr, "/registration", LONG_MS).await;
    let refused = Registrar::new(rival.clone(), BrokerId(1)).register(&broker(9093)).await;
    assert!(matches!(refused, Err(RegistrationError::Taken { owner, .. }) if owner == zk.session_id()), "{refused:?}");

    // A new session registers again, with a later epoch.
    link.stall();
    rival.exists("/brokers/ids/1", true).await.unwrap();
    let mut rival_events = rival.subscribe();
    assert_eq!(next(&mut rival_events).await, event(WatchKind::Deleted, "/brokers/ids/1"));
    link.restore();
    assert_eq!(next(&mut events).await, SessionEvent::Expired);
    let old_session = zk.session_id();
    zk.new_session().await;
    // What the old session left behind (here made up) is removed.
    assert_ne!(old_session, zk.session_id());
    let later = registrar.register(&broker(9092)).await.unwrap();
    assert!(later > epoch);
    zk.close().await;
    rival.close().await;
}

async fn a_start_waits_for_the_old_registration(addr: SocketAddr) {
    let (old, _old_events) = connect(addr, "/start", LONG_MS).await;
    let (zk, _events) = connect(addr, "/start", LONG_MS).await;
    registration::create_persistent_paths(&zk).await.unwrap();
    Registrar::new(old.clone(), BrokerId(1)).register(&broker(9092)).await.unwrap();
    let begin = Instant::now();
    let refused = Registrar::new(zk.clone(), BrokerId(1)).register_at_start(&broker(9092), 500).await.unwrap_err();
    assert!(begin.elapsed() >= Duration::from_millis(2_500));
    assert!(refused.to_string().contains("broker id 1 is taken"), "{refused}");
    let mut registrar = Registrar::new(zk.clone(), BrokerId(1));
    let registration = broker(9092);
    let (registered, ()) = tokio::join!(registrar.register_at_start(&registration, 60_000), old.close());
    assert!(registered.is_ok());
    zk.close().await;
}

async fn topics_and_configs(addr: SocketAddr) {
    let (zk, _events) = connect(addr, "/topics", LONG_MS).await;
    registration::create_persistent_paths(&zk).await.unwrap();
    let assignment = BTreeMap::from([(0, vec![BrokerId(1), BrokerId(2)])]);
    let id = Uuid::random();
    let config = BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]);
    // Without a controller no configuration is written.
    let refused = topics::create_topic(&zk, "t.1", Some(id), &assignment, config.clone()).await;
    assert_eq!(refused, Err(TopicError::ControllerMoved));
    let controller = Controller { broker_id: BrokerId(1), timestamp_ms: 1, kraft_controller_epoch: -1 };
    zk.write(create(path::CONTROLLER, Some(controller.encode()))).await.unwrap();
    topics::validate_new(&zk, "t.1", &assignment).await.unwrap();
    topics::create_topic(&zk, "t.1", Some(id), &assignment, config.clone()).await.unwrap();
    assert_eq!(topics::config(&zk, EntityType::Topics, "t.1").await.unwrap().0, config);
    assert_eq!(topics::assignment(&zk, "t.1").await.unwrap(), Some(TopicAssignment::new(Some(id), &assignment)));
    assert_eq!(topics::validate_new(&zk, "t.1", &assignment).await, Err(TopicError::Exists("t.1".into())));
    let collision = topics::validate_new(&zk, "t_1", &assignment).await;
    assert!(matches!(collision, Err(TopicError::Collision { .. })), "{collision:?}");
    let again = topics::create_topic(&zk, "t.1", Some(id), &assignment, config.clone()).await;
    assert_eq!(again, Err(TopicError::Exists("t.1".into())));
    assert_eq!(zk.children(path::CONFIG_CHANGES, false).await.unwrap(), [""; 0]);

    let existing = topics::assignment(&zk, "t.1").await.unwrap().unwrap();
    let added = BTreeMap::from([(1, vec![BrokerId(2), BrokerId(1)])]);
    let grown = topics::add_partitions(&zk, "t.1", &existing, &added).await.unwrap();
    assert_eq!(topics::assignment(&zk, "t.1").await.unwrap(), Some(grown));
    assert_eq!(topics::mark_for_deletion(&zk, "t.1").await, Ok(true));
    assert_eq!(topics::mark_for_deletion(&zk, "t.1").await, Ok(false));
    let marked = topics::validate_new(&zk, "t.1", &assignment).await;
    assert_eq!(marked, Err(TopicError::MarkedForDeletion("t.1".into())));

    // Changes reach a watcher, first those that were there before it.
    let change = |value: &str| EntityConfig([("retention.ms".to_owned(), value.to_owned())].into());
    topics::change_config(&zk, EntityType::Topics, "t.1", &change("5")).await.unwrap();
    let (applied, mut seen) = tokio::sync::mpsc::unbounded_channel();
    struct Told(tokio::sync::mpsc::UnboundedSender<String>);
    impl ConfigHandler for Told {
        fn apply(&self, entity: Entity) {
            let value = entity.config.get("retention.ms").cloned().unwrap_or_default();
            assert!(entity.mzxid.is_some_and(|zxid| zxid > 0));
            self.0.send(format!("{}/{}={value}", entity.kind.as_str(), entity.name)).unwrap();
        }
    }
    let events = zk.subscribe();
    let watch = ConfigWatch::start(zk.clone(), Arc::new(Told(applied))).await.unwrap();
    let following = tokio::spawn(watch.run(events));
    assert_eq!(seen.recv().await.unwrap(), "topics/t.1=5");
    assert_eq!(seen.recv().await.unwrap(), "topics/t.1=5", "once as a change, once as a configuration");
    topics::change_config(&zk, EntityType::Topics, "t.1", &change("6")).await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), "topics/t.1=6");
    topics::change_config(&zk, EntityType::Brokers, "<default>", &change("7")).await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), "brokers/<default>=7");
    topics::change_config(&zk, EntityType::Users, "alice/clients/app", &change("8")).await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), "users/alice/clients/app=8");
    following.abort();

    // A KRaft controller in a migration.
    let kraft = Controller { kraft_controller_epoch: 1, ..controller };
    zk.write(set_data(path::CONTROLLER, kraft.encode(), ANY)).await.unwrap();
    let refused = topics::change_config(&zk, EntityType::Topics, "t.1", &change("9")).await;
    assert_eq!(refused, Err(TopicError::ControllerMoved));
    zk.close().await;
}

async fn no_server() {
    let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = Options { connection_timeout_ms: 200, ..options(addr, "", LONG_MS) };
    let error = Client::connect(options).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }));
    assert!(error.to_string().starts_with("Timed out waiting for connection while in state: CONNECTING"), "{error}");
}

/// The crate gives a session up by its own clock, but a server that comes back knows it still.
async fn sessions_survive_a_restart_of_the_server() {
    let mut server = RealServer::start().await;
    let (zk, mut events) = connect(server.addr(), "/restart", SHORT_MS).await;
    let session = zk.session_id();
    let own = Write::Create { path: "/own".into(), data: None, mode: CreateMode::Ephemeral, acl: Acl::open() };
    zk.write(own).await.unwrap();
    zk.try_get("/own", true).await.unwrap();
    zk.exists("/controller", true).await.unwrap();
    server.kill();
    // Past the 7/5 of the session time-out after which the crate declares the session expired.
    sleep(Duration::from_millis(3_500)).await;
    server.run().await;
    assert!(zk.exists("/own", false).await.unwrap().is_some());
    assert_eq!(zk.session_id(), session);
    // All watches fire, to be armed again.
    let mut fired = vec![next(&mut events).await, next(&mut events).await];
    fired.sort_by_key(|event| format!("{event:?}"));
    assert_eq!(fired, [event(WatchKind::DataChanged, "/own"), event(WatchKind::Deleted, "/controller")]);
    zk.exists("/controller", true).await.unwrap();
    put(&zk, "/controller", "1").await;
    assert_eq!(next(&mut events).await, event(WatchKind::Created, "/controller"));
    zk.close().await;
}
