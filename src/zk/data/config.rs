//! `/config/TYPE/NAME` and `/config/changes/config_change_N`.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};

use super::{Data, DataError, from_json, to_json};
use crate::ids::java_string_hash;
use crate::zk::path::EntityType;

/// The configuration of an entity, version 1. All values are texts. An entity without data (an intermediate node) reads
/// as an empty configuration.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EntityConfig(pub BTreeMap<String, String>);

#[derive(Deserialize)]
struct ConfigJson {
    version: i32,
    config: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct WrittenJson<'a> {
    version: i32,
    config: InOrderOfJava<'a>,
}

/// Writes the entries in the order in which `java.util.Properties` gives them: that of the slots of its hash table, which
/// begins with 16 and doubles when three quarters of that are reached.
struct InOrderOfJava<'a>(&'a BTreeMap<String, String>);

impl Serialize for InOrderOfJava<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut slots = 16;
        while self.0.len() * 4 >= slots * 3 {
            slots *= 2;
        }
        let slot = |name: &str| {
            let hash = java_string_hash(name) as u32;
            (hash ^ (hash >> 16)) as usize & (slots - 1)
        };
        let mut entries: Vec<_> = self.0.iter().collect();
        // Kafka's order of two names in one slot depends on which was set first.
        entries.sort_by_key(|(name, _)| slot(name));
        serializer.collect_map(entries)
    }
}

impl Data for EntityConfig {
    fn encode(&self) -> Bytes {
        to_json(&WrittenJson { version: 1, config: InOrderOfJava(&self.0) })
    }

    fn decode(data: &[u8]) -> Result<Self, DataError> {
        if data.is_empty() {
            return Ok(Self::default());
        }
        let json: ConfigJson = from_json(data)?;
        if json.version != 1 {
            return Err(DataError::Version { what: "a configuration", version: json.version.into() });
        }
        Ok(Self(json.config))
    }
}

/// Tells all brokers whose configuration changed. Version 2 is written; version 1 (before 0.10.1, topics and clients
/// only) is read too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigChange {
    /// Below `/config`: `topics/T`, `brokers/<default>`, `users/U/clients/C`; names sanitized.
    pub entity_path: String,
}

impl ConfigChange {
    pub fn new(kind: EntityType, name: &str) -> Self {
        Self { entity_path: format!("{}/{name}", kind.as_str()) }
    }
}

#[derive(Serialize, Deserialize)]
struct ChangeJson {
    version: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entity_path: Option<String>,
    #[serde(default, skip_serializing)]
    entity_type: Option<String>,
    #[serde(default, skip_serializing)]
    entity_name: Option<String>,
}

impl Data for ConfigChange {
    fn encode(&self) -> Bytes {
        to_json(&ChangeJson {
            version: 2,
            entity_path: Some(self.entity_path.clone()),
            entity_type: None,
            entity_name: None,
        })
    }

    fn decode(data: &[u8]) -> Result<Self, DataError> {
        const WHAT: &str = "a configuration change";
        let json: ChangeJson = from_json(data)?;
        let missing = |field| DataError::Field { what: WHAT, field, value: "nothing".into() };
        match json.version {
            1 => {
                let kind = json.entity_type.ok_or_else(|| missing("entity_type"))?;
                if kind != "topics" && kind != "clients" {
                    return Err(DataError::Field { what: WHAT, field: "entity_type", value: kind });
                }
                let name = json.entity_name.ok_or_else(|| missing("entity_name"))?;
                Ok(Self { entity_path: format!("{kind}/{name}") })
            }
            2 => Ok(Self { entity_path: json.entity_path.ok_or_else(|| missing("entity_path"))? }),
            version => Err(DataError::Version { what: WHAT, version: version.into() }),
        }
    }
}
