//! The network part's options out of Kafka's settings.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use tracing::warn;

use super::client;
use super::listener::{ListenerOptions, Server, ServerOptions};
use super::quota::ConnectionLimits;
use crate::config::{Key, Settings, keys};
use crate::log::open_files;

impl ServerOptions {
    /// What `server.properties` asks for. Looks up the names in `max.connections.per.ip.overrides`.
    pub fn from_settings(settings: &Settings) -> Self {
        let listener = |listener: &crate::config::Listener| ListenerOptions {
            name: listener.name.as_str().into(),
            host: listener.host.clone().unwrap_or_default(),
            port: listener.port,
            max_connections: max_connections_of(settings, &listener.name),
        };
        Self {
            listeners: settings.listeners().iter().map(listener).collect(),
            limits: ConnectionLimits::from_settings(settings),
            max_idle: u64::try_from(settings.get(keys::CONNECTIONS_MAX_IDLE_MS)).ok().map(Duration::from_millis),
            max_request_bytes: count(settings.get(keys::SOCKET_REQUEST_MAX_BYTES)),
            request_memory_bytes: settings.get(keys::QUEUED_MAX_REQUEST_BYTES),
            receive_buffer_bytes: buffer_bytes(settings.get(keys::SOCKET_RECEIVE_BUFFER_BYTES)),
            send_buffer_bytes: buffer_bytes(settings.get(keys::SOCKET_SEND_BUFFER_BYTES)),
            backlog: settings.get(keys::SOCKET_LISTEN_BACKLOG_SIZE).max(1) as u32,
        }
    }
}

impl ConnectionLimits {
    /// The broker's limits. Looks up the names in `max.connections.per.ip.overrides`.
    pub fn from_settings(settings: &Settings) -> Self {
        Self {
            // More than there are descriptors for would take those of the logs.
            max_connections: count(settings.get(keys::MAX_CONNECTIONS)).min(open_files::connections()),
            max_connections_per_ip: count(settings.get(keys::MAX_CONNECTIONS_PER_IP)),
            per_ip_overrides: per_ip_overrides(&settings.get(keys::MAX_CONNECTIONS_PER_IP_OVERRIDES)),
            inter_broker_listener: settings.inter_broker_listener().name.as_str().into(),
        }
    }
}

impl client::Options {
    /// For connections to other brokers. `request_timeout_ms` is the setting of the kind of connection, for example
    /// `controller.socket.timeout.ms`; `receive_buffer_bytes` likewise, -1 for the system's.
    pub fn from_settings(settings: &Settings, request_timeout_ms: Key<i32>, receive_buffer_bytes: i32) -> Self {
        let connect_timeout = settings.get(keys::SOCKET_CONNECTION_SETUP_TIMEOUT_MS);
        Self {
            connect_timeout: Duration::from_millis(connect_timeout.max(0) as u64),
            request_timeout: Duration::from_millis(settings.get(request_timeout_ms).max(0) as u64),
            receive_buffer_bytes: buffer_bytes(receive_buffer_bytes),
            send_buffer_bytes: None,
        }
    }
}

impl Server {
    /// Goes by changed limits on connections from now on.
    pub fn limit_connections(&self, settings: &Settings) {
        let of_listeners = self.listeners().map(|name| (name.clone(), max_connections_of(settings, name)));
        self.connections().set_limits(ConnectionLimits::from_settings(settings), of_listeners);
    }
}

/// `listener.name.<name>.max.connections`; no limit of its own if it is not set.
fn max_connections_of(settings: &Settings, listener: &str) -> usize {
    let key = format!("listener.name.{}.max.connections", listener.to_lowercase());
    let own = settings.text(&key).and_then(|text| text.trim().parse().ok());
    own.map_or(usize::MAX, count)
}

/// `host:count,...`; the count of an IPv6 address follows the last colon.
fn per_ip_overrides(text: &str) -> HashMap<IpAddr, usize> {
    let mut overrides = HashMap::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let Some((host, allowed)) = entry.rsplit_once(':') else { continue };
        let host = host.trim().trim_start_matches('[').trim_end_matches(']');
        let (address, allowed) = ((host, 0).to_socket_addrs(), allowed.trim().parse());
        match (address.ok().and_then(|mut found| found.next()), allowed) {
            (Some(address), Ok(allowed)) => drop(overrides.insert(address.ip().to_canonical(), count(allowed))),
            _ => warn!(entry, "max.connections.per.ip.overrides: no such host"),
        }
    }
    overrides
}

fn count(setting: i32) -> usize {
    usize::try_from(setting).unwrap_or(0)
}

/// -1 leaves the size to the system.
fn buffer_bytes(setting: i32) -> Option<u32> {
    u32::try_from(setting).ok().filter(|&bytes| bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(given: &[(&str, &str)]) -> ServerOptions {
        let mut properties = std::collections::BTreeMap::new();
        properties.insert("zookeeper.connect".to_owned(), "localhost:2181".to_owned());
        properties.extend(given.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())));
        ServerOptions::from_settings(&Settings::from_properties(properties).unwrap())
    }

    #[test]
    fn defaults_are_kafkas() {
        let options = options(&[]);
        assert_eq!(options.max_request_bytes, 104_857_600);
        assert_eq!(options.max_idle, Some(Duration::from_secs(600)));
        assert_eq!((options.receive_buffer_bytes, options.send_buffer_bytes), (Some(102_400), Some(102_400)));
        assert_eq!(options.backlog, 50);
        assert_eq!((&*options.listeners[0].name, options.listeners[0].port), ("PLAINTEXT", 9092));
        // No limit in Kafka; here the share of the descriptors that logs leave.
        assert_eq!(options.limits.max_connections, open_files::connections());
    }

    #[test]
    fn limits_of_addresses_and_listeners() {
        let options = options(&[
            ("listeners", "INNER://127.0.0.1:1,OUTER://:2"),
            ("listener.security.protocol.map", "INNER:PLAINTEXT,OUTER:PLAINTEXT"),
            ("inter.broker.listener.name", "INNER"),
            ("listener.name.outer.max.connections", "7"),
            ("max.connections.per.ip", "3"),
            ("max.connections.per.ip.overrides", "127.0.0.1:5, ::1:6"),
            ("connections.max.idle.ms", "-1"),
        ]);
        assert_eq!(options.listeners[0].max_connections, usize::MAX);
        assert_eq!((options.listeners[1].max_connections, options.listeners[1].host.as_str()), (7, ""));
        assert_eq!(&*options.limits.inter_broker_listener, "INNER");
        let allowed = |ip: &str| options.limits.per_ip_overrides.get(&ip.parse().unwrap()).copied();
        assert_eq!((allowed("127.0.0.1"), allowed("::1"), allowed("9.9.9.9")), (Some(5), Some(6), None));
        assert_eq!(options.max_idle, None);
    }
}
