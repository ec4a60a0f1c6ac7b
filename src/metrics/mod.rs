//! Metrics under the names of Kafka.
//!
//! [`names`] is the table. [`Metrics`] hands out [`Counter`]s, [`Gauge`]s and [`Histogram`]s that cost one or two atomic
//! operations, and renders all series as the text that Prometheus reads; [`http`] serves it.

pub mod docs;
pub mod http;
pub mod names;
pub mod process;
mod registry;
mod reservoir;

pub use names::{Kind, Metric};
pub use registry::{Counter, Gauge, Metrics, Samples};
pub use reservoir::Histogram;
