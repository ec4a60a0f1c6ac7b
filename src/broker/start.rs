//! From settings to a broker that serves, in Kafka's order: ZooKeeper, identity, log dirs, registration, controller,
//! sockets. Studied: `kafka.server.KafkaServer.startup`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::Broker;
use super::configs::{self, Configs};
use super::internal_topics::{InternalTopic, Roles};
use super::log_dirs;
use super::metrics::{Stage, stage};
use super::transactions;
use crate::api::Dispatcher;
use crate::cluster::features::FeatureWatch;
use crate::cluster::metadata::MetadataCache;
use crate::cluster::registration::{self, Registrar, RegistrationError};
use crate::cluster::topics;
use crate::cluster::watch::ConfigWatch;
use crate::config::{ConfigErrors, LogConfig, Release, Settings, alter, keys};
use crate::controller::{self, channel, driver};
use crate::group::{self, GroupConfig};
use crate::ids::{BrokerEpoch, BrokerId, CONSUMER_OFFSETS, TRANSACTION_STATE, TopicName};
use crate::log::OnFailure;
use crate::log::cleaner::{self, Cleaner};
use crate::log::{self, ManagerOptions, MoverOptions};
use crate::metrics::Metrics;
use crate::net::client::Options as ClientOptions;
use crate::net::listener::{BindError, Server, ServerOptions};
use crate::producer_ids::{ControllerBlocks, ProducerIds};
use crate::replica::links::{ActiveController, BrokerLinks};
use crate::replica::{self, Parts};
use crate::time::Clock;
use crate::txn::verifier::{PartitionCount, Verifier};
use crate::txn::{self, TxnParts};
use crate::wait::{Runtime, TokioRuntime};
use crate::zk::data::{BrokerRegistration, Endpoint};
use crate::zk::op::ZkError;
use crate::zk::remote::{Client, ConnectError, ConnectString, InvalidConnectString, Options as ZkOptions};

/// Why a broker does not come up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    ConnectString(#[from] InvalidConnectString),
    #[error("{0}")]
    Connect(#[from] ConnectError),
    #[error("ZooKeeper answered {0}")]
    Zk(#[from] ZkError),
    #[error("{0}")]
    Registration(#[from] RegistrationError),
    #[error("{0}")]
    LogDirs(#[from] log::StartError),
    #[error("{0}")]
    Bind(#[from] BindError),
    #[error("{0}")]
    Topic(#[from] topics::TopicError),
    #[error("/config/brokers/{name} in ZooKeeper: {errors}")]
    Dynamic { name: String, errors: ConfigErrors },
    #[error(
        "broker.id is not set and {0}. Set broker.id, or let ids be generated with broker.id.generation.enable=true"
    )]
    NoBrokerId(&'static str),
    #[error(
        "inter.broker.protocol.version={0} is older than 2.7-IV2: this broker changes in-sync replicas only through the controller. Set it to 2.7 or newer"
    )]
    ProtocolTooOld(&'static str),
}

/// A broker that serves.
pub struct Started {
    pub broker: Arc<Broker>,
    pub server: Arc<Server>,
    /// Background tasks that end with the process.
    pub(super) tasks: Vec<tokio::task::JoinHandle<()>>,
    /// Does the logs' regular work.
    pub(super) housekeeper: log::Housekeeper,
}

/// Starts a broker; returns when it is registered and its sockets are served.
pub async fn start(settings: Settings, metrics: Metrics) -> Result<Started, StartError> {
    let clock = Clock;
    let protocol = protocol_version(&settings)?;
    stage(&metrics, Stage::Starting);

    let zk = connect(&settings).await?;
    registration::create_persistent_paths(&zk).await?;
    let cluster_id = registration::cluster_id(&zk).await?;
    tracing::info!(target: "kafka.server.KafkaServer", "Cluster ID = {cluster_id}");
    let id = broker_id(&settings, &zk).await?;

    let (config_events, feature_events) = (zk.subscribe(), zk.subscribe());
    let live = Arc::new(configs::live(settings, id, &zk).await?);
    let settings = live.current();
    let overrides = configs::topic_overrides(&zk).await?;
    stage(&metrics, Stage::Recovery);
    let (on_dir_failure, dir_failures) = log_dirs::failures();
    let logs =
        load_logs(&settings, id, &cluster_id, overrides.log_configs(&settings), on_dir_failure, &metrics).await?;
    logs.start_mover(mover_options(&settings));
    if let Some(mover) = logs.mover() {
        mover.set_rate(alter::move_bytes_per_s(settings.dynamic()));
    }
    let offsets_partitions = match topics::assignment(&zk, CONSUMER_OFFSETS).await? {
        Some(topic) => topic.partitions.len() as i32,
        None => settings.get(keys::OFFSETS_TOPIC_NUM_PARTITIONS),
    };
    let txn_partitions = match topics::assignment(&zk, TRANSACTION_STATE).await? {
        Some(topic) => topic.partitions.len() as i32,
        None => settings.get(keys::TRANSACTION_STATE_LOG_NUM_PARTITIONS),
    };
    let txn_partitions = Arc::new(PartitionCount(txn_partitions.into()));

    let server = Arc::new(Server::bind(ServerOptions::from_settings(&settings)).await?);
    let registration = broker_registration(&settings, &server, clock, protocol);
    registration::check_endpoints(&zk, id, &registration).await?;
    let mut registrar = Registrar::new(zk.clone(), id);
    let session_timeout_ms = settings.get(keys::ZOOKEEPER_SESSION_TIMEOUT_MS) as u32;
    let epoch = registrar.register_at_start(&registration, session_timeout_ms).await?;
    let broker_epoch = Arc::new(AtomicI64::new(epoch.0));

    let metadata = Arc::new(MetadataCache::default());
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
    let links = links(&settings, &metadata);
    let replicas = replica::Manager::new(
        Parts {
            me: id,
            clock,
            metadata: metadata.clone(),
            broker_epoch: broker_epoch.clone(),
            logs: logs.clone(),
            runtime: runtime.clone(),
            leaders: Arc::new(links.clone()),
        },
        replica::Options::from_settings(&settings),
    );
    let peers = Arc::new(transactions::peers(&settings, id, &metadata));
    let verifier =
        Verifier::new(metadata.clone(), txn_partitions.clone(), peers.clone(), runtime.clone(), clock, &metrics);
    replicas.set_txn_verifier(Arc::new(verifier));
    let producer_ids = ProducerIds::new(
        ControllerBlocks {
            broker_id: id,
            broker_epoch: broker_epoch.clone(),
            metadata: metadata.clone(),
            listener: settings.inter_broker_listener().name.as_str().into(),
            options: ClientOptions::from_settings(&settings, keys::REQUEST_TIMEOUT_MS, -1),
        },
        runtime.clone(),
        clock,
    );
    let internal = |name| Arc::new(InternalTopic { replicas: replicas.clone(), name });
    let group_log = internal(CONSUMER_OFFSETS);
    let groups =
        group::Coordinator::new(group_log, runtime.clone(), clock, group_config(&settings), offsets_partitions);
    let transactions = txn::Coordinator::new(
        TxnParts {
            log: internal(TRANSACTION_STATE),
            runtime,
            clock,
            metadata: metadata.clone(),
            producer_ids: producer_ids.clone(),
            peers,
            partitions: txn_partitions,
        },
        transactions::config(&settings),
        &metrics,
    );
    replicas.set_role_listener(Arc::new(Roles {
        groups: Arc::downgrade(&groups),
        transactions: Arc::downgrade(&transactions),
    }));
    replica::metrics::register(&metrics, &replicas);
    replicas.start(Box::new(ActiveController::new(links, id.to_string())));

    let controller = driver::start(driver::Shell {
        options: controller_options(&settings, id, protocol),
        zk: zk.clone(),
        register: register_again(registrar, registration, broker_epoch.clone()),
        channel: channel::Options {
            client: ClientOptions::from_settings(&settings, keys::CONTROLLER_SOCKET_TIMEOUT_MS, -1),
            controller_id: id,
        },
        clock,
        observer: Arc::new(super::metrics::ControllerTimers::new(&metrics)),
    });

    let features = FeatureWatch::start(zk.clone()).await?;
    let cleaner = Cleaner::start(logs.clone(), cleaner::Options::from_settings(&settings));
    let configs = Arc::new(Configs {
        id,
        live: live.clone(),
        logs: logs.clone(),
        cleaner: cleaner.clone(),
        controller: controller.clone(),
        replicas: replicas.clone(),
        server: server.clone(),
        overrides: Mutex::new(overrides),
    });
    let broker = Arc::new(Broker {
        id,
        cluster_id,
        settings: live,
        configs: configs.clone(),
        clock,
        metadata,
        broker_epoch,
        features: features.cache(),
        zk: zk.clone(),
        logs: logs.clone(),
        cleaner,
        replicas,
        controller,
        groups,
        transactions,
        producer_ids,
        metrics,
    });
    super::metrics::show(&broker);
    server.serve(Dispatcher::new(broker.clone(), crate::api::OFFERED), &broker.metrics);

    let watch = ConfigWatch::start(zk.clone(), configs).await?;
    let tasks = vec![
        tokio::spawn(watch.run(config_events)),
        tokio::spawn(features.run(feature_events)),
        tokio::spawn(log_dirs::follow(dir_failures, id, logs.clone(), broker.replicas.clone(), zk)),
        tokio::spawn(expire_offsets(settings.clone(), broker.groups.clone())),
        tokio::spawn(transactions::tend(settings.clone(), broker.transactions.clone())),
    ];
    let housekeeper = log::Housekeeper::start(&logs, log_schedule(&settings));
    stage(&broker.metrics, Stage::Running);
    tracing::info!(target: "kafka.server.KafkaServer", "[KafkaServer id={id}] started");
    Ok(Started { broker, server, tasks, housekeeper })
}

fn protocol_version(settings: &Settings) -> Result<Release, StartError> {
    let release = settings.inter_broker_protocol();
    if release.has_alter_partition() { Ok(release) } else { Err(StartError::ProtocolTooOld(release.name())) }
}

async fn connect(settings: &Settings) -> Result<Client, StartError> {
    let servers: ConnectString = settings.zookeeper_connect().parse()?;
    tracing::info!(target: "kafka.zookeeper.ZooKeeperClient", "Connecting to ZooKeeper on {servers}");
    let options = ZkOptions {
        servers,
        session_timeout_ms: settings.get(keys::ZOOKEEPER_SESSION_TIMEOUT_MS) as u32,
        connection_timeout_ms: settings.zookeeper_connection_timeout_ms() as u32,
        max_in_flight: settings.get(keys::ZOOKEEPER_MAX_IN_FLIGHT_REQUESTS) as usize,
        create_chroot: true,
    };
    let (client, _) = Client::connect(options).await?;
    Ok(client)
}

/// `broker.id`, or what the log dirs remember, or a new one from ZooKeeper.
async fn broker_id(settings: &Settings, zk: &Client) -> Result<BrokerId, StartError> {
    let configured = BrokerId(settings.get(keys::BROKER_ID));
    if configured.0 >= 0 {
        return Ok(configured);
    }
    if let Some(stored) = log::stored_broker_id(&settings.log_dirs())? {
        return Ok(stored);
    }
    if !settings.get(keys::BROKER_ID_GENERATION_ENABLE) {
        return Err(StartError::NoBrokerId("meta.properties has none"));
    }
    Ok(registration::generate_broker_id(zk, settings.get(keys::RESERVED_BROKER_MAX_ID)).await?)
}

async fn load_logs(
    settings: &Settings,
    broker_id: BrokerId,
    cluster_id: &str,
    topic_configs: HashMap<TopicName, Arc<LogConfig>>,
    on_dir_failure: Arc<OnFailure>,
    metrics: &Metrics,
) -> Result<Arc<log::Manager>, StartError> {
    let options = ManagerOptions {
        dirs: settings.log_dirs(),
        broker_id,
        cluster_id: cluster_id.to_owned(),
        default_config: Arc::new(settings.log_config()),
        topic_configs,
        recovery_threads_per_dir: settings.get(keys::NUM_RECOVERY_THREADS_PER_DATA_DIR).max(1) as usize,
        producer_expiration_ms: i64::from(settings.get(keys::PRODUCER_ID_EXPIRATION_MS)),
        on_dir_failure,
    };
    let progress = Arc::new(log::LoadProgress::default());
    super::metrics::show_recovery(metrics, &progress);
    let loaded = tokio::task::spawn_blocking(move || log::Manager::start_watched(options, &progress)).await;
    Ok(loaded.expect("loading does not panic")?)
}

fn mover_options(settings: &Settings) -> MoverOptions {
    let threads = settings.get(keys::NUM_REPLICA_ALTER_LOG_DIRS_THREADS);
    MoverOptions {
        threads: threads.map_or_else(|| settings.log_dirs().len(), |threads| threads.max(1) as usize),
        read_bytes: settings.get(keys::REPLICA_FETCH_MAX_BYTES).max(1) as usize,
        backoff_ms: settings.get(keys::REPLICA_FETCH_BACKOFF_MS).into(),
    }
}

fn broker_registration(settings: &Settings, server: &Server, clock: Clock, protocol: Release) -> BrokerRegistration {
    let own_name = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let endpoints = settings.advertised_listeners().iter().map(|listener| Endpoint {
        listener: listener.name.clone(),
        host: listener.host.clone().unwrap_or_else(own_name),
        port: match listener.port {
            0 => server.address(&listener.name).map_or(0, |address| i32::from(address.port())),
            port => i32::from(port),
        },
        protocol: listener.protocol.name().into(),
    });
    BrokerRegistration {
        version: if protocol.has_alter_partition() { 5 } else { 4 },
        endpoints: endpoints.collect(),
        rack: settings.get(keys::BROKER_RACK),
        jmx_port: -1,
        timestamp_ms: clock.wall_ms(),
        features: Default::default(),
    }
}

/// Registration after a session was lost: the same endpoints, a new epoch.
fn register_again(
    registrar: Registrar,
    registration: BrokerRegistration,
    broker_epoch: Arc<AtomicI64>,
) -> driver::Register {
    let registrar = Arc::new(tokio::sync::Mutex::new(registrar));
    Arc::new(move || {
        let (registrar, broker_epoch) = (registrar.clone(), broker_epoch.clone());
        let registration = BrokerRegistration { timestamp_ms: Clock.wall_ms(), ..registration.clone() };
        Box::pin(async move {
            let result = registrar.lock().await.register(&registration).await;
            let epoch: BrokerEpoch = result.map_err(|error| error.to_string())?;
            broker_epoch.store(epoch.0, Ordering::Release);
            Ok(epoch)
        })
    })
}

fn links(settings: &Settings, metadata: &Arc<MetadataCache>) -> BrokerLinks {
    let client = ClientOptions::from_settings(
        settings,
        keys::REPLICA_SOCKET_TIMEOUT_MS,
        settings.get(keys::REPLICA_SOCKET_RECEIVE_BUFFER_BYTES),
    );
    BrokerLinks {
        metadata: metadata.clone(),
        listener: settings.inter_broker_listener().name.as_str().into(),
        request_timeout: client.request_timeout,
        connect_timeout: client.connect_timeout,
        receive_buffer_bytes: client.receive_buffer_bytes,
    }
}

fn group_config(settings: &Settings) -> GroupConfig {
    GroupConfig {
        min_session_timeout_ms: settings.get(keys::GROUP_MIN_SESSION_TIMEOUT_MS),
        max_session_timeout_ms: settings.get(keys::GROUP_MAX_SESSION_TIMEOUT_MS),
        initial_rebalance_delay_ms: i64::from(settings.get(keys::GROUP_INITIAL_REBALANCE_DELAY_MS)),
        max_size: settings.get(keys::GROUP_MAX_SIZE).max(0) as usize,
        offset_metadata_max_bytes: settings.get(keys::OFFSET_METADATA_MAX_BYTES).max(0) as usize,
        load_buffer_bytes: settings.get(keys::OFFSETS_LOAD_BUFFER_SIZE).max(1) as usize,
        commit_timeout_ms: settings.get(keys::OFFSETS_COMMIT_TIMEOUT_MS),
        commit_required_acks: settings.get(keys::OFFSETS_COMMIT_REQUIRED_ACKS),
        offsets_retention_ms: i64::from(settings.get(keys::OFFSETS_RETENTION_MINUTES)) * 60_000,
    }
}

fn controller_options(settings: &Settings, id: BrokerId, protocol: Release) -> controller::Options {
    controller::Options {
        inter_broker_protocol_version: protocol,
        inter_broker_listener: settings.inter_broker_listener().name.clone(),
        unclean_leader_election_enable: settings.log_config().unclean_leader_election_enable,
        delete_topic_enable: settings.get(keys::DELETE_TOPIC_ENABLE),
        auto_leader_rebalance_enable: settings.get(keys::AUTO_LEADER_REBALANCE_ENABLE),
        leader_imbalance_per_broker_percentage: settings.get(keys::LEADER_IMBALANCE_PER_BROKER_PERCENTAGE),
        leader_imbalance_check_interval_seconds: settings.get(keys::LEADER_IMBALANCE_CHECK_INTERVAL_SECONDS),
        ..controller::Options::new(id, u64::from_ne_bytes(crate::time::os_random()))
    }
}

/// Removes offsets that nobody needs any more, at intervals.
async fn expire_offsets(settings: Arc<Settings>, groups: Arc<group::Coordinator>) {
    let every_ms = settings.get(keys::OFFSETS_RETENTION_CHECK_INTERVAL_MS).max(1) as u64;
    let mut ticks = tokio::time::interval(Duration::from_millis(every_ms));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let groups = groups.clone();
        // A panic ends the process, and there is no other error.
        let _ = tokio::task::spawn_blocking(move || groups.expire_offsets()).await;
    }
}

/// When the logs' regular work is done.
fn log_schedule(settings: &Settings) -> log::Schedule {
    log::Schedule {
        initial_delay_ms: settings.get(keys::LOG_INITIAL_TASK_DELAY_MS),
        retention_ms: settings.get(keys::LOG_RETENTION_CHECK_INTERVAL_MS),
        flush_ms: settings.get(keys::LOG_FLUSH_SCHEDULER_INTERVAL_MS),
        recovery_points_ms: i64::from(settings.get(keys::LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS)),
        log_starts_ms: i64::from(settings.get(keys::LOG_FLUSH_START_OFFSET_CHECKPOINT_INTERVAL_MS)),
        producers_ms: i64::from(settings.get(keys::PRODUCER_ID_EXPIRATION_CHECK_INTERVAL_MS)),
    }
}
