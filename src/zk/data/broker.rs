//! `/brokers/ids/N`, `/cluster/id`, `/controller`, `/feature`.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Data, DataError, from_json, to_json};
use crate::ids::BrokerId;

/// One advertised endpoint of a broker: `LISTENER://host:port`, an IPv6 address in brackets.
#[derive(Clone, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct Endpoint {
    pub listener: String,
    pub host: String,
    pub port: i32,
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub protocol: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}://[{}]:{}", self.listener, self.host, self.port)
        } else {
            write!(f, "{}://{}:{}", self.listener, self.host, self.port)
        }
    }
}

/// The registration of a broker, an ephemeral node. Versions 1 to 5 read; 5 (or 4, without `features`) is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerRegistration {
    /// 5 from inter.broker.protocol.version 2.7 on, 4 before.
    pub version: i32,
    pub endpoints: Vec<Endpoint>,
    pub rack: Option<String>,
    /// -1 without remote JMX.
    pub jmx_port: i32,
    /// Wall clock when it was written, ms since 1970.
    pub timestamp_ms: i64,
    /// Supported features: name -> (lowest, highest version).
    pub features: BTreeMap<String, FeatureRange>,
}

/// Versions of a feature that a broker supports.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FeatureRange {
    pub min_version: i16,
    pub max_version: i16,
}

#[derive(Serialize, Deserialize)]
struct RegistrationJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    features: Option<BTreeMap<String, FeatureRange>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listener_security_protocol_map: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    endpoints: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rack: Option<String>,
    #[serde(default = "no_port")]
    jmx_port: i32,
    #[serde(default = "no_port")]
    port: i32,
    #[serde(default)]
    host: Option<String>,
    version: i32,
    #[serde(default)]
    timestamp: Option<Timestamp>,
}

fn no_port() -> i32 {
    -1
}

/// Text in every version we know of; a number is accepted, because 0.8.0 wrote one.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Timestamp {
    Text(String),
    Number(i64),
}

impl Timestamp {
    fn ms(&self) -> i64 {
        match self {
            Self::Text(text) => text.parse().unwrap_or(-1),
            Self::Number(ms) => *ms,
        }
    }
}

const WHAT: &str = "a broker's registration";

impl Data for BrokerRegistration {
    fn encode(&self) -> Bytes {
        let plaintext = self.endpoints.iter().find(|endpoint| endpoint.protocol == "PLAINTEXT");
        to_json(&RegistrationJson {
            features: (self.version >= 5).then(|| self.features.clone()),
            listener_security_protocol_map: (self.version >= 4)
                .then(|| self.endpoints.iter().map(|e| (e.listener.clone(), e.protocol.clone())).collect()),
            endpoints: Some(self.endpoints.iter().map(Endpoint::to_string).collect()),
            rack: self.rack.clone(),
            jmx_port: self.jmx_port,
            port: plaintext.map_or(-1, |endpoint| endpoint.port),
            host: plaintext.map(|endpoint| endpoint.host.clone()),
            version: self.version,
            timestamp: Some(Timestamp::Text(self.timestamp_ms.to_string())),
        })
    }

    fn decode(data: &[u8]) -> Result<Self, DataError> {
        let json: RegistrationJson = from_json(data)?;
        if json.version < 1 {
            return Err(DataError::Version { what: WHAT, version: json.version.into() });
        }
        let endpoints = if json.version == 1 {
            let host = json.host.ok_or(DataError::Field { what: WHAT, field: "host", value: "null".into() })?;
            vec![Endpoint { listener: "PLAINTEXT".into(), host, port: json.port, protocol: "PLAINTEXT".into() }]
        } else {
            let protocols = json.listener_security_protocol_map.unwrap_or_default();
            let texts = json.endpoints.unwrap_or_default();
            texts.iter().map(|text| parse_endpoint(text, &protocols)).collect::<Result<_, _>>()?
        };
        Ok(Self {
            version: json.version,
            endpoints,
            rack: json.rack,
            jmx_port: json.jmx_port,
            timestamp_ms: json.timestamp.map_or(-1, |timestamp| timestamp.ms()),
            features: json.features.unwrap_or_default(),
        })
    }
}

fn parse_endpoint(text: &str, protocols: &BTreeMap<String, String>) -> Result<Endpoint, DataError> {
    let bad = || DataError::Field { what: WHAT, field: "endpoint", value: text.into() };
    let (listener, address) = text.split_once("://").ok_or_else(bad)?;
    let (host, port) = address.rsplit_once(':').ok_or_else(bad)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    // Without the map (before version 4) a listener's name is its protocol.
    let protocol = protocols.get(listener).map_or(listener, String::as_str);
    Ok(Endpoint {
        listener: listener.into(),
        host: host.into(),
        port: port.parse().map_err(|_| bad())?,
        protocol: protocol.into(),
    })
}

/// `/cluster/id`. Its version is a text, by an accident of 2016.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClusterId {
    version: String,
    /// 16 random bytes as 22 characters of URL-safe base64.
    pub id: String,
}

impl ClusterId {
    pub fn new(id: String) -> Self {
        Self { version: "1".into(), id }
    }
}

impl Data for ClusterId {
    fn encode(&self) -> Bytes {
        to_json(self)
    }

    fn decode(data: &[u8]) -> Result<Self, DataError> {
        #[derive(Deserialize)]
        struct Json {
            id: String,
        }
        from_json::<Json>(data).map(|json| Self::new(json.id))
    }
}

/// `/controller`, an ephemeral node. Version 1 (before 3.4) has no `kraftControllerEpoch`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Controller {
    pub broker_id: BrokerId,
    /// Wall clock of the election, ms since 1970.
    pub timestamp_ms: i64,
    /// -1 unless a KRaft controller holds the node during a migration.
    pub kraft_controller_epoch: i32,
}

#[derive(Serialize, Deserialize)]
struct ControllerJson {
    #[serde(default)]
    version: i32,
    brokerid: BrokerId,
    #[serde(default)]
    timestamp: Option<Timestamp>,
    #[serde(default = "no_port", rename = "kraftControllerEpoch")]
    kraft_controller_epoch: i32,
}

impl Data for Controller {
    fn encode(&self) -> Bytes {
        to_json(&ControllerJson {
            version: 2,
            brokerid: self.broker_id,
            timestamp: Some(Timestamp::Text(self.timestamp_ms.to_string())),
            kraft_controller_epoch: self.kraft_controller_epoch,
        })
    }

    fn decode(data: &[u8]) -> Result<Self, DataError> {
        let json: ControllerJson = from_json(data)?;
        Ok(Self {
            broker_id: json.brokerid,
            timestamp_ms: json.timestamp.map_or(-1, |timestamp| timestamp.ms()),
            kraft_controller_epoch: json.kraft_controller_epoch,
        })
    }
}

/// `/feature`: finalized features. Version 1 also has lowest levels; they are read and not kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeatureNode {
    /// 2 from inter.broker.protocol.version 3.3 on, 1 before.
    pub version: i32,
    /// Enabled from inter.broker.protocol.version 2.7 on.
    pub enabled: bool,
    /// Name -> highest finalized level.
    pub features: BTreeMap<String, i16>,
}

#[derive(Serialize, Deserialize)]
struct FeatureJson {
    #[serde(default)]
    features: BTreeMap<String, LevelJson>,
    version: i32,
    status: i32,
}

#[derive(Serialize, Deserialize)]
struct LevelJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_version_level: Option<i16>,
    max_version_level: i16,
}

impl Data for FeatureNode {
    fn encode(&self) -> Bytes {
        let min_version_level = (self.version < 2).then_some(1);
        to_json(&FeatureJson {
            features: (self.features.iter())
                .map(|(name, &level)| (name.clone(), LevelJson { min_version_level, max_version_level: level }))
                .collect(),
            version: self.version,
            status: i32::from(self.enabled),
        })
    }

    fn decode(data: &[u8]) -> Result<Self, DataError> {
        const WHAT: &str = "the feature node";
        let json: FeatureJson = from_json(data)?;
        if !(1..=2).contains(&json.version) {
            return Err(DataError::Version { what: WHAT, version: json.version.into() });
        }
        if !(0..=1).contains(&json.status) {
            return Err(DataError::Field { what: WHAT, field: "status", value: json.status.to_string() });
        }
        Ok(Self {
            version: json.version,
            enabled: json.status == 1,
            features: json.features.into_iter().map(|(name, level)| (name, level.max_version_level)).collect(),
        })
    }
}
