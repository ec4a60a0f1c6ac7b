//! What the table of keys says about one key, and the typed handle that reads it.

use super::{Importance, InvalidConfig, Kind, Password, Valid, Value};
use std::marker::PhantomData;

/// When a key may change (KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only by a restart.
    ReadOnly,
    /// At runtime, for one broker.
    PerBroker,
    /// At runtime, for one broker or for all.
    ClusterWide,
    /// Only by a restart; Kafka does not show it in DescribeConfigs.
    Internal,
    /// A key of ours that Kafka does not know; only by a restart.
    Own,
}

impl Mode {
    pub const fn name(self) -> &'static str {
        match self {
            Mode::ReadOnly | Mode::Internal | Mode::Own => "read-only",
            Mode::PerBroker => "per-broker",
            Mode::ClusterWide => "cluster-wide",
        }
    }

    /// May AlterConfigs change it?
    pub const fn dynamic(self) -> bool {
        matches!(self, Mode::PerBroker | Mode::ClusterWide)
    }
}

/// What happens when a key is set to something else than its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It does what Kafka's documentation says.
    Honoured,
    /// Nothing yet; one warning at the start names all such keys.
    Ignored,
    /// Nothing, as in Kafka in ZooKeeper mode with current clients; no warning.
    Inert,
    /// The broker does not start: ignoring it would weaken security or durability.
    Refused,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct KeyInfo {
    pub name: &'static str,
    pub kind: Kind,
    /// Text of the default; `None` is null.
    pub default: Option<&'static str>,
    pub valid: Valid,
    pub importance: Importance,
    pub mode: Mode,
    pub support: Support,
    /// What it is for, in a few words.
    pub meaning: &'static str,
}

impl KeyInfo {
    /// Is the value a secret?
    pub const fn sensitive(&self) -> bool {
        matches!(self.kind, Kind::Password)
    }

    /// Reads and checks `text`.
    pub fn parse(&self, text: &str) -> Result<Value, InvalidConfig> {
        let value = self.kind.parse(self.name, text)?;
        self.valid.check(self.name, &value)?;
        Ok(value)
    }

    /// The default, parsed.
    pub fn default_value(&self) -> Value {
        match self.default {
            None => Value::Null,
            Some(text) => self.kind.parse(self.name, text).expect("defaults of the table parse"),
        }
    }
}

/// A typed handle of a key: `settings.get(keys::NUM_PARTITIONS)` is an `i32`.
pub struct Key<T> {
    pub(super) index: usize,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Key<T> {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> Key<T> {
    pub(super) const fn new(index: usize) -> Key<T> {
        Key { index, value: PhantomData }
    }

    /// Its line in the table.
    pub fn info(self) -> &'static KeyInfo {
        &super::keys::TABLE[self.index]
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.info().name
    }
}

/// The Rust types of values.
pub trait FromValue: Sized {
    /// `None` if the value has another type.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty: $variant:ident;)*) => {
        $(impl FromValue for $type {
            fn from_value(value: &Value) -> Option<$type> {
                match value {
                    Value::$variant(value) => Some(value.clone()),
                    _ => None,
                }
            }
        })*
    };
}

from_value! {
    bool: Boolean;
    i32: Int;
    i16: Short;
    i64: Long;
    f64: Double;
    String: Str;
    Vec<String>: List;
    Password: Password;
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Option<T>> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}
