//! The checks that look at more than one key: `KafkaConfig.validateValues` of Kafka 3.9.1 in ZooKeeper mode, its texts.

use super::{InvalidConfig, Release, Settings, keys};
use std::collections::BTreeSet;

/// Adds a message for every check that fails.
pub(super) fn check(settings: &Settings, errors: &mut Vec<InvalidConfig>) {
    let mut demand = |holds: bool, text: &str| {
        if !holds {
            errors.push(InvalidConfig::Conflict(text.to_owned()));
        }
    };
    let get = |key| settings.get(key);
    let id = get(keys::BROKER_ID);
    demand(id == get(keys::NODE_ID), "You must set `node.id` to the same value as `broker.id`.");
    match settings.get(keys::ZOOKEEPER_CONNECT) {
        None => demand(
            false,
            "Missing required configuration `zookeeper.connect` which has no default value. Set it to the servers of the \
             ensemble: host:port,host:port/chroot",
        ),
        Some(text) => {
            demand(!text.trim().is_empty(), "zookeeper.connect is empty; set it to host:port,host:port/chroot")
        }
    }
    if settings.get(keys::BROKER_ID_GENERATION_ENABLE) {
        demand(
            (-1..=get(keys::RESERVED_BROKER_MAX_ID)).contains(&id),
            "broker.id must be greater than or equal to -1 and not greater than reserved.broker.max.id",
        );
    } else {
        demand(id >= 0, "broker.id must be greater than or equal to 0");
    }
    demand(
        settings.get(keys::CONTROLLER_LISTENER_NAMES).is_none_or(|names| names.is_empty()),
        "controller.listener.names must be empty when not running in KRaft mode",
    );
    let release = settings.inter_broker_protocol();
    demand(
        (Release::MIN..=Release::MAX).contains(&release),
        &format!(
            "inter.broker.protocol.version={release}: brokers of {} to {} can share a cluster with this one. First bring \
             the cluster to a release in that range.",
            Release::MIN,
            Release::MAX
        ),
    );
    listeners(settings, &mut demand);

    let log = settings.log_config();
    demand(log.segment_ms >= 1, "log.roll.ms must be greater than or equal to 1");
    demand(log.segment_jitter_ms >= 0, "log.roll.jitter.ms must be greater than or equal to 0");
    demand(
        retention_ms(settings) == -1 || retention_ms(settings) >= 1,
        "log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
    );
    let dirs = settings.log_dirs();
    demand(!dirs.is_empty(), "At least one log directory must be defined via log.dirs or log.dir.");
    demand(dirs.iter().collect::<BTreeSet<_>>().len() == dirs.len(), "log.dirs: one directory stands there twice");
    let cleaner_threads = i64::from(get(keys::LOG_CLEANER_THREADS)).max(1);
    demand(
        settings.get(keys::LOG_CLEANER_DEDUPE_BUFFER_SIZE) / cleaner_threads > 1024 * 1024,
        "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.",
    );
    demand(
        get(keys::REPLICA_FETCH_WAIT_MAX_MS) <= get(keys::REPLICA_SOCKET_TIMEOUT_MS),
        "replica.socket.timeout.ms should always be at least replica.fetch.wait.max.ms to prevent unnecessary socket \
         timeouts",
    );
    demand(
        i64::from(get(keys::REPLICA_FETCH_WAIT_MAX_MS)) <= settings.get(keys::REPLICA_LAG_TIME_MAX_MS),
        "replica.fetch.wait.max.ms should always be less than or equal to replica.lag.time.max.ms to prevent frequent \
         changes in ISR",
    );
    let acks = settings.get(keys::OFFSETS_COMMIT_REQUIRED_ACKS);
    demand(
        (-1..=settings.get(keys::OFFSETS_TOPIC_REPLICATION_FACTOR)).contains(&acks),
        "offsets.commit.required.acks must be greater or equal -1 and less or equal to offsets.topic.replication.factor",
    );
    demand(
        settings.get(keys::GROUP_COORDINATOR_REBALANCE_PROTOCOLS).iter().any(|protocol| protocol == "classic"),
        "group.coordinator.rebalance.protocols: Disabling the 'classic' protocol is not supported.",
    );
    let per_ip = settings.get(keys::MAX_CONNECTIONS_PER_IP_OVERRIDES);
    demand(
        get(keys::MAX_CONNECTIONS_PER_IP) != 0 || !per_ip.is_empty(),
        "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.",
    );
    for entry in per_ip.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let fine = entry.rsplit_once(':').is_some_and(|(_, count)| count.trim().parse::<u32>().is_ok());
        demand(fine, &format!("max.connections.per.ip.overrides: `{entry}` is not host:count"));
    }
    if let Some(text) = settings.get(keys::BARNABAS_METRICS_LISTENER) {
        let fine = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        demand(fine, &format!("barnabas.metrics.listener={text} is not host:port; `:9404` means loopback"));
    }
}

/// The time retention before Kafka makes every negative value -1.
fn retention_ms(settings: &Settings) -> i64 {
    let minutes = || settings.get(keys::LOG_RETENTION_MINUTES).map(|minutes| i64::from(minutes) * 60_000);
    let hours = || i64::from(settings.get(keys::LOG_RETENTION_HOURS)) * 3_600_000;
    settings.get(keys::LOG_RETENTION_MS).or_else(minutes).unwrap_or_else(hours).max(-1)
}

fn listeners(settings: &Settings, demand: &mut impl FnMut(bool, &str)) {
    let names = |listeners: &[super::Listener]| listeners.iter().map(|l| l.name.clone()).collect::<Vec<_>>();
    let (opened, advertised) = (names(settings.listeners()), names(settings.advertised_listeners()));
    demand(!opened.is_empty(), "listeners is empty: a broker needs at least one, as PLAINTEXT://:9092");
    demand(
        !advertised.is_empty(),
        "There must be at least one broker advertised listener. Perhaps all listeners appear in controller.listener.names?",
    );
    let chosen_by = match settings.get(keys::INTER_BROKER_LISTENER_NAME) {
        Some(_) => keys::INTER_BROKER_LISTENER_NAME.name(),
        None => keys::SECURITY_INTER_BROKER_PROTOCOL.name(),
    };
    demand(
        advertised.contains(&settings.inter_broker_listener_name().to_owned()),
        &format!(
            "{chosen_by} must be a listener name defined in advertised.listeners. The valid options based on \
             currently configured listeners are {}; it is {}",
            advertised.join(","),
            settings.inter_broker_listener_name()
        ),
    );
    demand(
        advertised.iter().all(|name| opened.contains(name)),
        &format!(
            "advertised.listeners listener names must be equal to or a subset of the ones defined in listeners. Found {}. \
             The valid options based on the current configuration are {}",
            advertised.join(","),
            opened.join(",")
        ),
    );
    demand(
        !settings.advertised_listeners().iter().any(|listener| listener.host.as_deref() == Some("0.0.0.0")),
        "advertised.listeners cannot use the nonroutable meta-address 0.0.0.0. Use a routable IP address. (Without \
         advertised.listeners, the addresses of listeners are advertised.)",
    );
}
