//! The sockets of a broker: `listeners`, `advertised.listeners` and the map to security protocols.
//!
//! Source: `CoreUtils.listenerListToEndPoints`, `KafkaConfig`, `SocketServerConfigs` of Kafka 3.9.1.

use super::InvalidConfig;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// What a connection speaks below the protocol of Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecurityProtocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl SecurityProtocol {
    pub const ALL: [SecurityProtocol; 4] = [
        SecurityProtocol::Plaintext,
        SecurityProtocol::Ssl,
        SecurityProtocol::SaslPlaintext,
        SecurityProtocol::SaslSsl,
    ];

    /// Kafka's name, also in `/brokers/ids`.
    pub const fn name(self) -> &'static str {
        match self {
            SecurityProtocol::Plaintext => "PLAINTEXT",
            SecurityProtocol::Ssl => "SSL",
            SecurityProtocol::SaslPlaintext => "SASL_PLAINTEXT",
            SecurityProtocol::SaslSsl => "SASL_SSL",
        }
    }

    /// The number in UpdateMetadata.
    pub const fn id(self) -> i16 {
        self as i16
    }

    /// By its name, in any case.
    pub fn from_name(name: &str) -> Option<SecurityProtocol> {
        SecurityProtocol::ALL.into_iter().find(|protocol| protocol.name().eq_ignore_ascii_case(name))
    }

    /// By its number in UpdateMetadata.
    pub fn from_id(id: i16) -> Option<SecurityProtocol> {
        SecurityProtocol::ALL.into_iter().find(|protocol| protocol.id() == id)
    }
}

impl fmt::Display for SecurityProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One socket, or one address that clients are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Upper case.
    pub name: String,
    /// `None` means all interfaces.
    pub host: Option<String>,
    /// 0 lets the system choose.
    pub port: u16,
    pub protocol: SecurityProtocol,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.host.as_deref().unwrap_or_default();
        match host.contains(':') {
            true => write!(f, "{}://[{host}]:{}", self.name, self.port),
            false => write!(f, "{}://{host}:{}", self.name, self.port),
        }
    }
}

/// Which protocol each listener name means: `listener.security.protocol.map`.
pub type ProtocolMap = BTreeMap<String, SecurityProtocol>;

/// Reads `NAME:PROTOCOL,...`.
pub(super) fn parse_protocol_map(text: &str) -> Result<ProtocolMap, InvalidConfig> {
    let key = "listener.security.protocol.map";
    let mut map = ProtocolMap::new();
    for entry in elements(text) {
        let Some((name, protocol)) = entry.rsplit_once(':') else {
            return Err(InvalidConfig::value(key, text, format!("`{entry}` is not NAME:PROTOCOL")));
        };
        let Some(protocol) = SecurityProtocol::from_name(protocol.trim()) else {
            let known = SecurityProtocol::ALL.map(SecurityProtocol::name).join(", ");
            let reason = format!("no security protocol is named `{}`; there are {known}", protocol.trim());
            return Err(InvalidConfig::value(key, text, reason));
        };
        if map.insert(name.trim().to_uppercase(), protocol).is_some() {
            return Err(InvalidConfig::value(key, text, format!("the listener `{}` stands there twice", name.trim())));
        }
    }
    Ok(map)
}

/// Reads `NAME://host:port,...`. `key` is the setting's name, for the messages.
///
/// Each name may stand once. Each port too, if `distinct_ports`, save that one IPv4 and one IPv6 address may share it.
pub(super) fn parse_listeners(
    key: &str,
    text: &str,
    protocols: &ProtocolMap,
    distinct_ports: bool,
) -> Result<Vec<Listener>, InvalidConfig> {
    let refuse = |reason: String| Err(InvalidConfig::value(key, text, reason));
    let mut listeners: Vec<Listener> = Vec::new();
    for entry in elements(text) {
        let Some((name, host, port)) = split_endpoint(entry) else {
            return refuse(format!("Unable to parse {entry} to a broker endpoint; the form is NAME://host:port"));
        };
        let name = name.to_uppercase();
        let Some(&protocol) = protocols.get(&name) else {
            return refuse(format!(
                "No security protocol defined for listener {name}; add {name}:PLAINTEXT to listener.security.protocol.map"
            ));
        };
        let Ok(port) = port.parse::<u16>() else {
            return refuse(format!("the port {port} of listener {name} is not a number from 0 to 65535"));
        };
        if listeners.iter().any(|other| other.name == name) {
            return refuse(format!("Each listener must have a different name, {name} stands there twice"));
        }
        let listener = Listener { name, host: (!host.is_empty()).then(|| host.to_owned()), port, protocol };
        let sharing: Vec<&Listener> = listeners.iter().filter(|other| port != 0 && other.port == port).collect();
        let fine = match sharing.as_slice() {
            [] => true,
            [other] => other.is_ipv4() && listener.is_ipv6() || other.is_ipv6() && listener.is_ipv4(),
            _ => false,
        };
        if distinct_ports && !fine {
            return refuse(format!(
                "Each listener must have a different port, unless one has an IPv4 and the other an IPv6 address; \
                 {port} stands there twice"
            ));
        }
        listeners.push(listener);
    }
    Ok(listeners)
}

impl Listener {
    fn is_ipv4(&self) -> bool {
        self.host.as_deref().is_some_and(|host| host.parse::<Ipv4Addr>().is_ok())
    }

    fn is_ipv6(&self) -> bool {
        self.host.as_deref().is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())
    }
}

/// `NAME://[host]:port`, with or without the brackets.
fn split_endpoint(text: &str) -> Option<(&str, &str, &str)> {
    let (name, address) = text.rsplit_once("://")?;
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-%._:".contains(&byte);
    (!name.is_empty() && host.bytes().all(allowed)).then_some((name, host, port))
}

/// The elements of a comma-separated list, trimmed, without empty ones.
fn elements(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Listener>, InvalidConfig> {
        let map = parse_protocol_map("PLAINTEXT:PLAINTEXT,SSL:SSL,in:plaintext").unwrap();
        parse_listeners("listeners", text, &map, true)
    }

    #[test]
    fn hosts_may_be_empty_names_or_addresses() {
        let listeners = parse("PLAINTEXT://:9092, in://[::1]:0,ssl://b-1.example:9093").unwrap();
        assert_eq!(listeners[0].host, None);
        assert_eq!((listeners[1].name.as_str(), listeners[1].host.as_deref()), ("IN", Some("::1")));
        assert_eq!(listeners[1].to_string(), "IN://[::1]:0");
        assert_eq!(listeners[2].protocol, SecurityProtocol::Ssl);
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn what_kafka_refuses_is_refused() {
        for (text, word) in [
            ("PLAINTEXT://a:1,PLAINTEXT://b:2", "different name"),
            ("PLAINTEXT://a:1,IN://b:1", "different port"),
            ("PLAINTEXT://1.2.3.4:1,IN://1.2.3.5:1", "different port"),
            ("PLAINTEXT://a:1,SSL://b:2,OTHER://c:3", "No security protocol defined for listener OTHER"),
            ("a:1", "Unable to parse"),
            ("PLAINTEXT://a:70000", "65535"),
            ("PLAINTEXT://a:-1", "65535"),
            ("PLAINTEXT://a b:1", "Unable to parse"),
        ] {
            assert!(parse(text).unwrap_err().to_string().contains(word), "{text}");
        }
        assert!(parse("PLAINTEXT://1.2.3.4:1,IN://[::1]:1").is_ok());
        assert!(parse("PLAINTEXT://:0,IN://:0").is_ok());
    }
}
