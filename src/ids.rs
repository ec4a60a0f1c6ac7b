//! Newtypes for the identifiers, offsets and epochs of Kafka's protocol and znodes.
//!
//! The wire layer carries plain integers; everything above it says which integer it means.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty), none = $none:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The value that Kafka uses for "none" or "not known".
            pub const NONE: Self = Self($none);

            /// Is this [`Self::NONE`]?
            pub fn is_none(self) -> bool {
                self == Self::NONE
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }

        impl From<$name> for $inner {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

newtype!(
    /// `broker.id`; -1 is "no broker" (no leader, an ordinary consumer).
    BrokerId(i32), none = -1
);
newtype!(
    /// Term of a partition's leader; grows with every change made by the controller.
    LeaderEpoch(i32), none = -1
);
newtype!(
    /// Version of a partition's state znode (`zkVersion`, `PartitionEpoch` on the wire).
    PartitionEpoch(i32), none = -1
);
newtype!(
    /// Value of `/controller_epoch`: the term of the controller.
    ControllerEpoch(i32), none = -1
);
newtype!(
    /// Version of a znode's data, as ZooKeeper counts it. -1 matches any version in a conditional write.
    ZkVersion(i32), none = -1
);
newtype!(
    /// czxid of a broker's registration: tells one life of a broker from the next (KIP-380).
    BrokerEpoch(i64), none = -1
);
newtype!(
    /// Position of a record in a partition's log.
    Offset(i64), none = -1
);
newtype!(
    /// Id of an idempotent or transactional producer.
    ProducerId(i64), none = -1
);
newtype!(
    /// Epoch of a producer id; a higher one fences a lower one.
    ProducerEpoch(i16), none = -1
);

/// A 128-bit id, written as 22 characters of URL-safe base64 (KIP-516). Zero is "none".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Uuid(pub u128);

/// The id of a topic's incarnation.
pub type TopicId = Uuid;

impl Uuid {
    /// No id: what a topic older than KIP-516 has.
    pub const ZERO: Self = Self(0);
    /// Reserved for the metadata topic of KRaft; never given to a topic.
    pub const METADATA_TOPIC: Self = Self(1);

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// A random (version 4) id that, like Kafka's, does not begin with `-` in text and is not reserved.
    /// `random` are 16 random bytes; `None` if they make an id that may not be used: draw again.
    pub fn from_random(mut random: [u8; 16]) -> Option<Self> {
        random[6] = (random[6] & 0x0f) | 0x40;
        random[8] = (random[8] & 0x3f) | 0x80;
        let id = Self(u128::from_be_bytes(random));
        (id != Self::ZERO && id != Self::METADATA_TOPIC && !id.to_string().starts_with('-')).then_some(id)
    }

    /// A fresh random id from the operating system.
    pub fn random() -> Self {
        loop {
            if let Some(id) = Self::from_random(crate::time::os_random()) {
                return id;
            }
        }
    }

    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// Parses the 22-character text form.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(u128::from_be_bytes(bytes.try_into().ok()?)))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.to_bytes()))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A topic's name, shared by everything that mentions it.
pub type TopicName = Arc<str>;

/// A partition of a topic, by name; prints as Kafka does: `topic-0`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: TopicName,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl Into<TopicName>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Topic that holds groups and their offsets.
pub const CONSUMER_OFFSETS: &str = "__consumer_offsets";
/// Topic that holds the state of transactions.
pub const TRANSACTION_STATE: &str = "__transaction_state";

/// Java's `String.hashCode`: the sum of `s[i] * 31^(n-1-i)` over UTF-16 units, wrapping. Kafka derives coordinator
/// partitions and fetcher threads from it.
pub fn java_string_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// Kafka's `Utils.abs`: the absolute value, with `i32::MIN` becoming 0.
pub fn kafka_abs(n: i32) -> i32 {
    n.checked_abs().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text_is_kafkas() {
        let id = Uuid::parse("jUEeFJP9TmaK2W8yiFCUvg").unwrap();
        assert_eq!(id.to_string(), "jUEeFJP9TmaK2W8yiFCUvg");
        assert_eq!(Uuid::parse("short"), None);
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
    }

    #[test]
    fn hash_is_javas() {
        assert_eq!(java_string_hash(""), 0);
        assert_eq!(java_string_hash("hello"), 99162322);
        assert_eq!(kafka_abs(i32::MIN), 0);
    }
}
