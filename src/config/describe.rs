//! The answers of DescribeConfigs: values, where they come from, and what else was set for the same thing.
//!
//! Source: `ConfigHelper` of Kafka 3.9.1.

use super::alter::THROTTLES;
use super::settings::{Properties, known, listener_key, merged, synonyms};
use super::{KeyInfo, Kind, Mode, Settings, TopicKey, TopicOverrides, Value, keys, topic};

/// Where a value comes from (`ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    Topic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
    DynamicBrokerLogger = 6,
}

impl Source {
    /// The number on the wire.
    pub const fn wire_id(self) -> i8 {
        self as i8
    }

    /// The name in Kafka's admin client.
    pub const fn name(self) -> &'static str {
        match self {
            Source::Topic => "DYNAMIC_TOPIC_CONFIG",
            Source::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
            Source::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            Source::StaticBroker => "STATIC_BROKER_CONFIG",
            Source::Default => "DEFAULT_CONFIG",
            Source::DynamicBrokerLogger => "DYNAMIC_BROKER_LOGGER_CONFIG",
        }
    }
}

/// A value of the key or of one that means the same, at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synonym {
    pub name: String,
    /// `None` for secrets.
    pub value: Option<String>,
    pub source: Source,
}

/// One key in the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    /// `None` for secrets, and for null.
    pub value: Option<String>,
    pub source: Source,
    pub read_only: bool,
    pub sensitive: bool,
    /// The place that wins first.
    pub synonyms: Vec<Synonym>,
    /// `None` if nobody knows the key; on the wire 0.
    pub kind: Option<Kind>,
    pub documentation: Option<&'static str>,
}

impl Entry {
    /// The type's number in v3; 0 is unknown.
    pub fn wire_kind(&self) -> i8 {
        self.kind.map_or(0, Kind::wire_id)
    }
}

/// Every setting of a topic that has these overrides. Overrides that do not parse show the broker's default.
pub fn topic(overrides: &TopicOverrides, settings: &Settings) -> Vec<Entry> {
    let defaults = settings.log_config();
    let entry = |key: &TopicKey| {
        let own = overrides.get(key.name).and_then(|text| key.parse(text).ok());
        let value = own.clone().or_else(|| defaults.value(key.name)).and_then(|value| value.render());
        let mut synonyms = match key.broker_keys.first() {
            Some(first) => synonyms_of(settings, first, false),
            None => Vec::new(),
        };
        if own.is_some() {
            synonyms.insert(0, Synonym { name: key.name.to_owned(), value: value.clone(), source: Source::Topic });
        }
        Entry {
            name: key.name.to_owned(),
            value,
            source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
            read_only: false,
            sensitive: false,
            synonyms,
            kind: Some(key.kind),
            documentation: Some(key.meaning),
        }
    };
    topic::TOPIC_KEYS.iter().map(entry).collect()
}

/// Every setting of a broker: Kafka's keys without internal ones, then whatever else is set.
pub fn broker(settings: &Settings) -> Vec<Entry> {
    let shown = keys::TABLE.iter().filter(|key| !matches!(key.mode, Mode::Internal | Mode::Own));
    let mut entries: Vec<Entry> =
        shown.map(|key| broker_entry(settings, key.name, settings.value_of(key.name).render())).collect();
    for (name, text) in merged(settings.given(), settings.dynamic()) {
        if keys::find(&name).is_none_or(|key| matches!(key.mode, Mode::Internal | Mode::Own)) {
            entries.push(broker_entry(settings, &name, Some(text)));
        }
    }
    entries
}

/// What is set for all brokers together: the answer for the broker with the empty name.
pub fn cluster_default(settings: &Settings) -> Vec<Entry> {
    let entry = |(name, text): (&String, &String)| {
        let mut entry = broker_entry(settings, name, Some(text.clone()));
        entry.synonyms.retain(|synonym| synonym.source == Source::DynamicDefaultBroker);
        entry.source = entry.synonyms.first().map_or(Source::Default, |synonym| synonym.source);
        entry
    };
    settings.dynamic().cluster.iter().map(entry).collect()
}

fn broker_entry(settings: &Settings, name: &str, value: Option<String>) -> Entry {
    let throttle = THROTTLES.iter().find(|key| key.name == name);
    let key = known(name).or(throttle);
    // What nobody knows may be a secret of a plug-in.
    let sensitive = key.is_none_or(KeyInfo::sensitive);
    let synonyms = synonyms_of(settings, name, sensitive);
    Entry {
        name: name.to_owned(),
        value: value.filter(|_| !sensitive),
        source: synonyms.first().map_or(Source::Default, |synonym| synonym.source),
        read_only: !keys::find(name).is_some_and(|key| key.mode.dynamic()),
        sensitive,
        synonyms,
        kind: key.map(|key| key.kind),
        // Kafka has no text for the throttles.
        documentation: known(name).map(|key| key.meaning),
    }
}

/// All places where a broker key has a value: dynamic ones of the broker, of all brokers, the file, the default; at each
/// place first `name`, then its synonyms. What stands before the first value of `name` itself is left out, as in Kafka.
fn synonyms_of(settings: &Settings, name: &str, sensitive: bool) -> Vec<Synonym> {
    let names = match (keys::find(name), listener_key(name)) {
        (None, Some(plain)) => vec![name, plain],
        _ => synonyms(name),
    };
    let dynamic = settings.dynamic();
    let set = [
        (Source::DynamicBroker, &dynamic.broker),
        (Source::DynamicDefaultBroker, &dynamic.cluster),
        (Source::StaticBroker, settings.given()),
    ];
    let mut found = Vec::new();
    let mut add = |name: &str, value: Option<String>, source| {
        if let Some(value) = value {
            found.push(Synonym { name: name.to_owned(), value: Some(value).filter(|_| !sensitive), source });
        }
    };
    for (source, properties) in set {
        let properties: &Properties = properties;
        names.iter().for_each(|name| add(name, properties.get(*name).cloned(), source));
    }
    for name in &names {
        let default = keys::find(name).map_or(Value::Null, KeyInfo::default_value);
        add(name, default.render(), Source::Default);
    }
    found.into_iter().skip_while(|synonym| synonym.name != name).collect()
}
