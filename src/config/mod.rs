//! Settings: every key that Kafka lists, declared once.
//!
//! [`keys`] is the table of broker keys and [`topic`] that of topics; [`Settings`] is one immutable snapshot of a broker's
//! values, [`LogConfig`] the values of one topic. [`properties`] reads `server.properties`.

pub mod alter;
mod check;
pub mod describe;
pub mod docs;
pub mod key;
pub mod keys;
mod listeners;
mod live;
pub mod properties;
mod release;
mod settings;
pub mod topic;
mod value;

pub use key::{Key, KeyInfo, Mode, Support};
pub use listeners::{Listener, ProtocolMap, SecurityProtocol};
pub use live::Live;
pub use release::Release;
pub use settings::{ConfigErrors, DynamicConfig, Settings};
pub use topic::{CleanupPolicy, CompressionType, LogConfig, TimestampType, TopicKey, TopicOverrides};
pub use value::{Importance, InvalidConfig, Kind, Password, Valid, Value, java_double};
