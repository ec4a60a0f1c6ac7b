//! Replication: what a broker does with the partitions it hosts.
//!
//! - [`partition`] and [`isr`] (pure): roles, epochs, the in-sync set, the high watermark.
//! - [`fetch_plan`] and [`fetch_session`] (pure): what a Fetch may return, and what a session remembers.

pub mod fetch_plan;
pub mod fetch_session;
pub mod fetch_states;
pub mod isr;
pub mod partition;
pub mod session_client;
pub mod waits;
